"""Moments and months, as FOCUS writes them."""

from datetime import UTC, date, datetime

_MONTHS = 12


def iso(moment: datetime) -> str:
    """A moment in UTC.

    >>> iso(datetime(2026, 10, 5, 1, tzinfo=UTC))
    '2026-10-05T01:00:00Z'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def months_after(first: date, count: int) -> date:
    """The first day of the month `count` months after that of `first`.

    >>> months_after(date(2026, 11, 30), 2)
    datetime.date(2027, 1, 1)
    """
    years, month = divmod(first.year * _MONTHS + first.month - 1 + count, _MONTHS)
    return date(years, month + 1, 1)


def billing_month(day: date) -> dict[str, str]:
    """The billing period of a provider that bills by calendar month.

    >>> billing_month(date(2026, 10, 5))["BillingPeriodEnd"]
    '2026-11-01T00:00:00Z'
    """
    ends = {"BillingPeriodStart": months_after(day, 0), "BillingPeriodEnd": months_after(day, 1)}
    return {name: f"{first}T00:00:00Z" for name, first in ends.items()}
