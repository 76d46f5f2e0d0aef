"""The part of a charge that falls in a window of time: parts of windows that follow each other are the whole charge."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from costlib.allocation import WIDE
from costlib.billing import SMALLEST, exact_sum
from costlib.books import ChargeGroup

_CUT = ("billed", "effective", "list_cost", "contracted", "pricing_quantity", "consumed_quantity")
_OF_SEVERAL = frozenset((*_CUT, "rows_count", "description", "first_start", "last_end"))
_SAID = tuple(field.name for field in fields(ChargeGroup) if field.name not in _OF_SEVERAL)
_TICK = timedelta(microseconds=1)


def part_of(group: ChargeGroup, start: datetime, end: datetime) -> ChargeGroup:
    """The part of `group`, all of whose charges last from `first_start` to `last_end`, that falls in [start, end).

    Equation   part = R(end) - R(start),  R(t) = amount x (t - first_start) / (last_end - first_start), rounded once at
               10^-18, from 0 where the charge starts to the whole amount where it ends
    Returns    the group with costs, quantities and times of that part; a charge that takes no time stays as it is.
               How many charges there are does not change
    Valid for  a charge that accrues evenly. Parts of windows that follow each other sum to the charge exactly
    Example    two of three days of a charge of one dollar
    >>> from datetime import UTC
    >>> first, second, end = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 4))
    >>> fee = ChargeGroup(currency="USD", billed=Decimal(1), first_start=first, last_end=end)
    >>> part_of(fee, first, second).billed, part_of(fee, second, end).billed
    (Decimal('0.333333333333333333'), Decimal('0.666666666666666667'))
    """
    first, last = group.first_start, group.last_end
    if first is None or last is None or last <= first:
        return group
    since, until = max(first, start), min(last, end)
    whole, before, passed = ((moment - first) // _TICK for moment in (last, since, until))
    amounts = {name: getattr(group, name) for name in _CUT}
    with localcontext(prec=WIDE):
        parts: dict[str, Any] = {
            name: None if amount is None else _until(amount, passed, whole) - _until(amount, before, whole)
            for name, amount in amounts.items()
        }
    return replace(group, **parts, first_start=since, last_end=until)


def _until(amount: Decimal, passed: int, whole: int) -> Decimal:
    if passed in (0, whole):
        return amount if passed else Decimal(0)
    return (amount * passed / whole).quantize(SMALLEST, ROUND_HALF_EVEN)


def joined(groups: Iterable[ChargeGroup]) -> list[ChargeGroup]:
    """Groups that agree in everything said, as one each; in the order in which they first come.

    A cost is None when that of one of them is; a quantity when that of all is.
    """
    alike: dict[tuple[object, ...], list[ChargeGroup]] = defaultdict(list)
    for group in groups:
        said = (getattr(group, name) for name in _SAID)
        alike[tuple(tuple(sorted(item.items())) if isinstance(item, dict) else item for item in said)].append(group)
    return [same[0] if len(same) == 1 else _one(same) for same in alike.values()]


def _one(same: list[ChargeGroup]) -> ChargeGroup:
    totals: dict[str, Any] = {}
    for name in _CUT:
        known = [amount for group in same if (amount := getattr(group, name)) is not None]
        is_quantity = name.endswith("_quantity")
        totals[name] = exact_sum(known) if known and (is_quantity or len(known) == len(same)) else None
    return replace(
        same[0],
        **totals,
        rows_count=sum(group.rows_count for group in same),
        description=min(filter(None, (group.description for group in same)), default=""),
        first_start=min((group.first_start for group in same if group.first_start), default=None),
        last_end=max((group.last_end for group in same if group.last_end), default=None),
    )
