"""Days that are written with the month first, or with the day first: which of the two, found over a whole file."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import StrEnum

from collectors.billing._typed import time_from
from costlib.errors import BadRecord

_NUMBERS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:[ T]\d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?)?", re.ASCII)
_MONTHS = 12


class DateOrder(StrEnum):
    MONTH_FIRST = "month first"
    DAY_FIRST = "day first"


def day_from(text: str, order: DateOrder) -> date:
    """The day that `text` says: ISO 8601, or numbers in the given order; the time of day is dropped.

    >>> day_from("9/30/2026", DateOrder.MONTH_FIRST), day_from("30.09.2026", DateOrder.DAY_FIRST)
    (datetime.date(2026, 9, 30), datetime.date(2026, 9, 30))
    """
    found = _NUMBERS.fullmatch(text.strip())
    if not found:
        return time_from(text.strip()).date()
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    month, day = (first, second) if order is DateOrder.MONTH_FIRST else (second, first)
    try:
        return date(year, month, day)
    except ValueError:
        raise BadRecord(f"{text[:40]!r} is no day there is, read {order} as the other dates of the file") from None


def date_order(places: Mapping[str, str], period_starts: Iterable[str]) -> DateOrder:
    """The order of day and month in a file, from every date in it.

    places          every different date text, and where it first stands
    period_starts   those that begin a billing period
    Returns         what a number above 12 says; else the one order in which billing periods begin on the first of a
                    month; else the one order in which all dates lie in one month
    Raises          BadRecord for numbers above 12 in both places, and where nothing tells
    >>> date_order({"09/01/2026": "row 1", "09/30/2026": "row 1"}, []).value
    'month first'
    >>> date_order({"03/10/2026": "row 1", "04/10/2026": "row 2"}, []).value
    'day first'
    """
    found = {text: match for text in places if (match := _NUMBERS.fullmatch(text.strip()))}
    month_first = [text for text, match in found.items() if int(match[3]) > _MONTHS]
    # 01.10.2026 is written only where the day comes first.
    day_first = [text for text, match in found.items() if int(match[1]) > _MONTHS or match[2] == "."]
    if month_first and day_first:
        raise BadRecord(
            f"{places[month_first[0]]} says {month_first[0]!r}, with the month first, but {places[day_first[0]]} says"
            f" {day_first[0]!r}, with the day first; nothing is stored. Two exports were joined, or a spreadsheet"
            " changed some of the dates: export it again."
        )
    if month_first or day_first:
        return DateOrder.MONTH_FIRST if month_first else DateOrder.DAY_FIRST
    open_ones = [text for text, match in found.items() if int(match[1]) != int(match[3])]
    if not open_ones:
        return DateOrder.MONTH_FIRST  # nothing depends on it
    starts = [text for text in period_starts if text in found]
    by_starts = _only(lambda order: bool(starts) and all(day_from(text, order).day == 1 for text in starts))
    by_month = _only(lambda order: len({day_from(text, order).replace(day=1) for text in found}) == 1)
    if decided := by_starts or by_month:
        return decided
    raise BadRecord(
        f"{places[open_ones[0]]} says {open_ones[0]!r}, and no date of the file tells whether the day or the month"
        " comes first. Export a whole month, or with billing period columns, or with dates such as 2026-10-05."
    )


def _only(holds: Callable[[DateOrder], bool]) -> DateOrder | None:
    """The one order for which it holds, if it is one."""
    fitting = [order for order in DateOrder if holds(order)]
    return fitting[0] if len(fitting) == 1 else None
