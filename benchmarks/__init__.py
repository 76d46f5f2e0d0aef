"""Speed and accuracy, measured and printed; never asserted. `./dev bench` runs all, `./dev bench NAME` one."""
