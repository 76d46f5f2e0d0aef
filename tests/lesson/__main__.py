"""`./dev check lesson`: prints the list; exit code 1 when a row is missing, double, or leads nowhere."""

import sys

from tests.lesson.checklist import counts, faults, load, table


def main() -> int:
    rows = load()
    wrong = faults(rows)
    sys.stdout.write("\n".join([*table(rows), "", counts(rows), ""]))
    sys.stderr.write("".join(f"{fault}\n" for fault in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":  # pytest imports every file that it looks for examples in
    sys.exit(main())
