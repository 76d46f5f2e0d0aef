"""Billing formats: every module here that does not begin with an underscore is one format, under its own name.

A new format is one file with one FORMAT (see `base.BillingFormat`); it is found by scanning this folder.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from collectors.billing.base import BillingFormat, BillingSource
from costlib.errors import BadRecord, ConfigError, UnknownKey

_MAPPED = "mapped"


@cache
def formats() -> dict[str, BillingFormat]:
    """Every format by key, in alphabetical order."""
    found = {}
    for name in sorted(module.name for module in iter_modules(__path__)):
        if name != "base" and not name.startswith("_"):
            billing_format = import_module(f"{__name__}.{name}").FORMAT
            if billing_format.key != name:
                raise RuntimeError(f"collectors/billing/{name}.py declares the key {billing_format.key!r}")
            found[name] = billing_format
    return found


def format_of(source: BillingSource, key: str | None = None) -> BillingFormat:
    """The one format that knows this file, or the one called `key`. Raises BadRecord or UnknownKey.

    A named mapping says that the file is of no format but its own.
    """
    source.check()
    known = formats()
    if source.mapping is not None:
        if key not in (None, _MAPPED):
            raise ConfigError(f"a mapping is for the format {_MAPPED}, not {key}; leave one of the two out")
        key = _MAPPED
    if key is not None:
        if key not in known:
            raise UnknownKey("billing format", key, known)
        return known[key]
    head = source.head()
    found = [item for item in known.values() if item.identify(head, source.name)]
    if len(found) == 1:
        return found[0]
    labels = "; ".join(f"{item.label} ({item.key})" for item in found or known.values())
    if found:
        raise BadRecord(f"{source.name} fits several formats: {labels}. Name one with --format.")
    raise BadRecord(
        f"{source.name} is no billing export we know: it begins with {head[:40]!r}. Known formats: {labels}."
        " If it is one of them, name it with --format to see what is wrong with it."
    )
