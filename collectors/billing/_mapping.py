"""A declared mapping: which column of a file is which FOCUS column, and how its numbers and dates are written.

One TOML file, shipped in data/billing/mappings or a user's own like those.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from collectors.billing._locale import DateStyle, NumberStyle
from costlib.billing import FOCUS_COLUMNS
from costlib.errors import ConfigError, UnknownKey
from store.catalog_files import DATA, read_toml

SHIPPED = DATA / "billing" / "mappings"
SPANS = ("hour", "day", "month")
_SECTIONS = {
    "": {"label", "source", "recognise", "encoding", "same_names", "optional", "drop"},
    "numbers": {"decimal", "thousands", "signs", "unit", "negate"},
    "dates": {"format", "zone", "end", "span"},
    "columns": None,
    "constants": None,
    "values": None,
    "tags": None,
    "sku_price_details": None,
    "skip": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """`columns`, `constants` and `values` are by FOCUS column; `tags` and `sku_price_details` by the key to write."""

    name: str
    label: str
    recognise: tuple[str, ...] = ()  # columns whose presence tells a file of this kind; none: only when named
    encoding: str = "utf-8-sig"
    same_names: bool = False  # columns that have FOCUS names are what they say
    optional: tuple[str, ...] = ()  # FOCUS columns whose own column not every file has
    drop: tuple[str, ...] = ()  # never kept: personal data
    numbers: NumberStyle = field(default_factory=NumberStyle)
    money_exponent: int = 0  # of ten: -2 where amounts are cents
    negate: bool = False
    dates: DateStyle = field(default_factory=DateStyle)
    inclusive_end: bool = False
    span: str = "day"  # how long a charge lasts where no column says when it ends
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the first of these that is there
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sku_price_details: Mapping[str, str] = field(default_factory=dict)
    skip: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # rows that are no cost, by column and value


def folded(column: str) -> str:
    """A column's name as it is compared: Interval Start and interval_start are one.

    >>> folded(" Interval Start")
    'interval_start'
    """
    return "_".join(column.replace("_", " ").casefold().split())


@cache
def shipped() -> Mapping[str, ColumnMapping]:
    return {path.stem: mapping_from(path.stem, read_toml(path)) for path in sorted(SHIPPED.glob("*.toml"))}


def load_mapping(path: Path) -> ColumnMapping:
    """A user's file, or a shipped one by its name."""
    if path.suffix != ".toml" and not path.exists():
        if path.name not in shipped():
            raise UnknownKey("mapping", path.name, shipped())
        return shipped()[path.name]
    return mapping_from(path.stem, read_toml(path))


def mapping_from(name: str, document: Mapping[str, Any]) -> ColumnMapping:
    """Raises ConfigError naming the member that is wrong and what is allowed."""
    _refuse_unknown(name, document)
    numbers, dates = document.get("numbers", {}), document.get("dates", {})
    for section in ("columns", "constants", "values"):
        for column in document.get(section, {}):
            if column not in FOCUS_COLUMNS:
                raise UnknownKey("FOCUS column", column, FOCUS_COLUMNS, f"[{section}] of mapping {name}")
    end, span = dates.get("end", "exclusive"), dates.get("span", "day")
    if end not in ("exclusive", "inclusive") or span not in SPANS:
        raise ConfigError(
            f"mapping {name}: [dates] end is 'exclusive' or 'inclusive' and span one of {', '.join(SPANS)},"
            f" not {end!r} and {span!r}"
        )
    return ColumnMapping(
        name=name,
        label=document.get("label", name),
        recognise=tuple(map(folded, document.get("recognise", ()))),
        encoding=document.get("encoding", "utf-8-sig"),
        same_names=document.get("same_names", False),
        optional=tuple(document.get("optional", ())),
        drop=tuple(map(folded, document.get("drop", ()))),
        numbers=_numbers(name, numbers),
        money_exponent=_exponent(name, numbers.get("unit", "1")),
        negate=numbers.get("negate", False),
        dates=DateStyle(formats=_listed(dates.get("format", "iso")), zone=_zone(name, dates.get("zone", "UTC"))),
        inclusive_end=end == "inclusive",
        span=span,
        columns={name: _listed(columns) for name, columns in document.get("columns", {}).items()},
        constants=document.get("constants", {}),
        values=document.get("values", {}),
        tags=document.get("tags", {}),
        sku_price_details=document.get("sku_price_details", {}),
        skip={folded(column): tuple(values) for column, values in document.get("skip", {}).items()},
    )


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _refuse_unknown(name: str, document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if isinstance(value, dict):
            if key not in _SECTIONS:
                raise UnknownKey("section", key, filter(None, _SECTIONS), f"mapping {name}")
            for member in value:
                allowed = _SECTIONS[key]
                if allowed is not None and member not in allowed:
                    raise UnknownKey("key", member, allowed, f"[{key}] of mapping {name}")
        elif key not in (allowed_top := _SECTIONS[""] or set()):
            raise UnknownKey("key", key, allowed_top, f"mapping {name}")


def _numbers(name: str, numbers: Mapping[str, Any]) -> NumberStyle:
    decimal, thousands = numbers.get("decimal", ""), numbers.get("thousands", "")
    if decimal not in ("", ".", ",") or thousands not in ("", ".", ",", " ", "'") or (decimal and decimal == thousands):
        raise ConfigError(
            f"mapping {name}: [numbers] decimal is '.' or ',' and thousands another of '.', ',', ' ' and \"'\","
            f" not {decimal!r} and {thousands!r}"
        )
    if thousands and not decimal:
        raise ConfigError(f"mapping {name}: [numbers] has thousands and no decimal; give both")
    return NumberStyle(decimal=decimal, thousands=thousands, signs=tuple(numbers.get("signs", ())))


def _exponent(name: str, unit: object) -> int:
    try:
        value = Decimal(str(unit))
    except InvalidOperation:
        value = Decimal(0)
    if value.is_finite() and value == Decimal(1).scaleb(value.adjusted()):
        return value.adjusted()
    raise ConfigError(f'mapping {name}: [numbers] unit is a power of ten, such as "0.01" for cents, not {unit!r}')


def _zone(name: str, zone: str) -> str:
    try:
        return ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"mapping {name}: {zone!r} is no time zone; write it such as America/Los_Angeles") from None
