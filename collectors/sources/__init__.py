"""Every file here is one kind of source; dropping a file in is all it takes to add one.

Each defines `COLLECTOR`, whose key is the name of the file (`base.Collector`). Files that begin with _ are helpers.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from collectors.base import Collector
from costlib.errors import ConfigError


def _discover() -> Mapping[str, Collector]:
    found = {}
    for module in iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        collector = getattr(import_module(f"{__name__}.{module.name}"), "COLLECTOR", None)
        if not isinstance(collector, Collector) or collector.key != module.name:
            raise ConfigError(
                f"collectors/sources/{module.name}.py needs COLLECTOR = Collector(key={module.name!r}, …)."
            )
        found[collector.key] = collector
    return found


COLLECTORS = _discover()
