"""What changes were to save, and what of it counts, by calendar month."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, localcontext

from costlib.allocation import CENT, WIDE
from costlib.billing import exact_sum
from costlib.budget import days_of
from costlib.overlap import NO_JOINTS, SAVED, Joints, counted, segments
from costlib.saving import CashMonth, Design, Entry, Verdict

_SECOND = timedelta(seconds=1)
_EXACT = Decimal("1E-9")  # so that sums are exact: to a thousandth of a millionth of a dollar


def cash_months(
    entries: Iterable[Entry],
    months: Iterable[str],
    now: datetime,
    *,
    final_months: Collection[str] = (),
    broken_entries: Collection[str] = (),
    joints: Joints = NO_JOINTS,
) -> tuple[CashMonth, ...]:
    """What changes were to save in each of `months`, and what of it counts.

    Equation   claimed = sum over changes of max(0, projected a month) x time live / time of the month
               verified, probable = sum of what was signed a month x what of it counts x time live / time of the month
    Symbols    what of it counts  1, or less while changes of the same pools are live: `costlib.overlap.counted`
    Returns    a CashMonth for each month, in cents [USD]. Verified is what was compared with the same days elsewhere,
               probable what was not. A change that was signed as costing more counts its cost, below 0. One that was
               not shown, cannot be told, or broke a guard counts nothing, whatever it seems to have saved
    Valid for  months as YYYY-MM, in UTC, and work that stays about what it was when it was signed. Live is from when a
               change was shipped to when it was taken back, or `now`; of a switchback its periods. Entries in
               `broken_entries` count nothing, not even as claimed
    Raises     ValueError for what is no month
    Example    no changes, nothing saved
    >>> str(cash_months([], ["2026-11"], datetime(2026, 11, 30, tzinfo=UTC))[0].verified)
    '0.00'
    """
    sound = [entry for entry in entries if entry.id not in broken_entries]
    return tuple(_cash_month(sound, month, now, month in final_months, joints) for month in months)


def _cash_month(entries: list[Entry], month: str, now: datetime, is_final: bool, joints: Joints) -> CashMonth:
    days = days_of(month)
    start = datetime.combine(days[0], time(), UTC)
    end = start + timedelta(days=len(days))
    claimed: list[Decimal] = []  # USD a month times seconds
    signed: dict[bool, list[Decimal]] = {True: [], False: []}  # by whether the same days were compared
    with localcontext(prec=WIDE):
        for (first, last), live in segments(entries, start, end, now):
            seconds = (last - first) // _SECOND
            counts = counted(live, joints)
            for entry in live:
                if entry.plan:
                    claimed.append(max(Decimal(0), _money(entry.plan.projection.saved_usd_per_month.mid)) * seconds)
                    ratio = Decimal(repr(counts[entry.id])).quantize(_EXACT)
                    signed[_is_compared(entry)].append(_signed_usd(entry) * ratio * seconds)
        whole = (end - start) // _SECOND
        return CashMonth(
            month=month,
            claimed=_cents(claimed, whole),
            verified=_cents(signed[True], whole),
            probable=_cents(signed[False], whole),
            is_final=is_final,
        )


def _is_compared(entry: Entry) -> bool:
    """Whether what it saved was compared with the same days elsewhere."""
    if entry.plan is None or entry.plan.design is Design.BEFORE_AFTER:
        return False
    return entry.signed is None or entry.signed.verdict is not Verdict.PROBABLE


def _signed_usd(entry: Entry) -> Decimal:
    """A month's cash as signed: of what saved no less than 0, of what cost more no more than 0."""
    if entry.signed is None:
        return Decimal(0)
    cash = _money(entry.signed.cash_usd_per_month.mid)
    if entry.signed.verdict is Verdict.ROSE:
        return min(Decimal(0), cash)
    return max(Decimal(0), cash) if entry.signed.verdict in SAVED else Decimal(0)


def _money(usd: float) -> Decimal:
    return Decimal(repr(float(usd))).quantize(_EXACT)


def _cents(usd_seconds: list[Decimal], seconds: int) -> Decimal:
    return (exact_sum(usd_seconds) / seconds).quantize(CENT) + 0  # + 0: no minus before nothing
