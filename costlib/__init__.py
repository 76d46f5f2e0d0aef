"""The maths of serving cost. Pure: no file, clock, network or database. Start at `costlib.project`."""
