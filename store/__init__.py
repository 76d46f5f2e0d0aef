"""The only place that knows a database exists: what is measured and billed is written here and read from here.

One process writes (`writer.Writer`); everybody else reads published snapshots (`read.open_snapshot`).
"""
