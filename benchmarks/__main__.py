"""Runs the benchmarks named, or all; a first word will do. Each is a file whose `main()` prints a table."""

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

NAMES = sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if not module.name.startswith("_"))


def main(names: list[str]) -> int:
    names = [next((known for known in NAMES if known.split("_")[0] == name), name) for name in names]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        module = import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}")
        module.main()
    return 0


sys.exit(main(sys.argv[1:]))
