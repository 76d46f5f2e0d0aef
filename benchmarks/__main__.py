"""Runs the benchmarks named, or all; a first word will do. Each is a file whose `main()` prints a table.

Options, from the first `-` on, go to the one benchmark named.
"""

import sys
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from pkgutil import iter_modules

NAMES = sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if not module.name.startswith("_"))


def main(words: list[str]) -> int:
    asked = list(takewhile(lambda word: not word.startswith("-"), words))
    options = words[len(asked) :]
    names = [next((known for known in NAMES if known.split("_")[0] == name), name) for name in asked]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if options and len(names) != 1:
        print(f"{' '.join(options)}: options need one benchmark named before them", file=sys.stderr)
        return 2
    for name in names or NAMES:
        module = import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}")
        if options:
            module.main(options)
        else:
            module.main()
    return 0


sys.exit(main(sys.argv[1:]))
