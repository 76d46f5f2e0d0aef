"""Sentence embeddings: every module here but `base` is one embedder, under its own name. Nothing is ever fetched."""

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from costlib.errors import ConfigError, UnknownKey
from lab.embedders.base import Embedder, Kind


@cache
def kinds() -> dict[str, Kind]:
    """Every embedder by key, in alphabetical order."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name != "base")
    found = {name: import_module(f"{__name__}.{name}").KIND for name in names}
    for name, kind in found.items():
        if kind.key != name:
            raise RuntimeError(f"lab/embedders/{name}.py declares the key {kind.key!r}")
    return found


def embedder_from(choice: str = "") -> Embedder:
    """The embedder called `choice`, the model in that folder, or the best that is installed here.

    Raises UnknownKey, and ConfigError where what is asked for is not installed or cannot be read.
    """
    known = kinds()
    if not choice:
        return max((kind for kind in known.values() if kind.is_here()), key=lambda kind: kind.rank).load(None)
    if choice not in known and (Path(choice).is_dir() or "/" in choice):
        if not Path(choice).is_dir():
            raise ConfigError(f"--embedder {choice}: there is no such folder. Known names: {', '.join(known)}.")
        return known["folder"].load(Path(choice))
    if choice not in known:
        raise UnknownKey("embedder", choice, known)
    return known[choice].load(None)
