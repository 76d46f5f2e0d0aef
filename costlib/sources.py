"""Where a number comes from."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A citable origin. `fields` names the catalogue fields it supports; empty means the whole entry."""

    title: str
    retrieved_on: date
    url: str = ""
    fields: tuple[str, ...] = ()
    note: str = ""
