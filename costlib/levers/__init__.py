"""Every lever, found by scanning this folder: a file `x.py` with a `LEVER` whose key is `x`."""

from importlib import import_module
from pkgutil import iter_modules

from costlib.errors import UnknownKey
from costlib.lever import Lever


def _found() -> tuple[Lever, ...]:
    levers = []
    for module in iter_modules(__path__):
        lever: Lever = import_module(f"{__name__}.{module.name}").LEVER
        if lever.key != module.name:
            raise ImportError(f"costlib/levers/{module.name}.py declares key {lever.key!r}; they must be equal.")
        levers.append(lever)
    return tuple(sorted(levers, key=lambda lever: (lever.stage, lever.key)))


LEVERS = _found()


def lever(key: str) -> Lever:
    for known in LEVERS:
        if known.key == key:
            return known
    raise UnknownKey("lever", key, (known.key for known in LEVERS))
