"""How people write numbers and dates, once it has been said how: nothing here guesses."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from collectors.billing._periods import months_after
from collectors.billing._typed import time_from
from costlib.billing import MONEY_PRECISION, decimal_from
from costlib.errors import BadRecord

# What a spreadsheet or a typesetter puts into a number: no-break, thin and narrow spaces, and dashes for a minus.
_PLAIN = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ") | dict.fromkeys(map(ord, "\u2012\u2013\u2212"), "-")
_EITHER = re.compile(r"[1-9]\d{0,2}\.\d{3}|[^,]*,.*", re.ASCII)
_ZONE = re.compile(r"(Z|UTC|[+-]\d{2}(:?\d{2})?)$", re.IGNORECASE)
_UNIX = {"unix": "seconds", "unix_ms": "milliseconds"}
_EXACT = Context(prec=2 * MONEY_PRECISION)


def scaled(amount: Decimal, exponent: int) -> Decimal:
    """The amount times a power of ten, exactly.

    >>> scaled(Decimal("1234.5678"), -2)
    Decimal('12.345678')
    """
    return amount.scaleb(exponent, _EXACT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """How numbers are written. `decimal` is "" where nobody has said so: then 1.234 is refused."""

    decimal: str = ""
    thousands: str = ""
    signs: tuple[str, ...] = ()  # currency signs and codes that may stand before or after

    def number(self, cell: str) -> Decimal:
        """The number, or BadRecord. Negative is a minus before or after, or parentheses around.

        >>> NumberStyle(decimal=",", thousands=".", signs=("€",)).number("(1.234,50 €)") == Decimal("-1234.5")
        True
        """
        found = _shape(self.signs).fullmatch(cell.translate(_PLAIN))
        marks = [found[name] for name in ("open", "before", "inner", "after") if found and found[name]]
        if not found or bool(found["open"]) != bool(found["close"]) or len(marks) > 1:
            raise BadRecord(f"{cell[:40]!r} is not a number as the mapping says they are written")
        digits = found["digits"].strip()
        if not self.decimal and _EITHER.fullmatch(digits):
            raise BadRecord(
                f"{cell[:40]!r} may be a thousand and some or one and some; say which in the mapping,"
                ' under [numbers]: decimal = "." or decimal = ","'
            )
        amount = decimal_from(self._plain(digits, cell))
        return amount.copy_negate() if marks and marks != ["+"] and amount else amount

    def _plain(self, digits: str, cell: str) -> str:
        decimal, thousands = self.decimal or ".", self.thousands
        grouped = rf"\d{{1,3}}({re.escape(thousands)}\d{{3}})+" if thousands else r"\d+"
        shape = rf"({grouped}|\d*)({re.escape(decimal)}\d*)?([eE][+-]?\d+)?"
        if not re.fullmatch(shape, digits, re.ASCII):
            raise BadRecord(
                f"{cell[:40]!r} is not written with {decimal!r} before the decimals"
                f" and {thousands or 'nothing'!r} between thousands, as the mapping says"
            )
        return (digits.replace(thousands, "") if thousands else digits).replace(decimal, ".")


@lru_cache
def _shape(signs: tuple[str, ...]) -> re.Pattern[str]:
    sign = f"({'|'.join(map(re.escape, signs))})?" if signs else ""
    return re.compile(
        rf"\s*{sign}\s*(?P<open>\()?\s*(?P<before>[-+])?\s*{sign}\s*(?P<inner>[-+])?\s*"
        rf"(?P<digits>[\d.,' ]*(?:[eE][-+]?\d+)?)\s*(?P<after>-)?\s*{sign}\s*(?P<close>\))?\s*{sign}\s*",
        re.ASCII,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DateStyle:
    """How dates are written: "iso", "unix" (seconds), "unix_ms", or as strptime has it; the first that fits."""

    formats: tuple[str, ...] = ("iso",)
    zone: str = "UTC"

    def moment(self, cell: str) -> datetime:
        """The moment in UTC, without a zone, or BadRecord.

        >>> DateStyle(formats=("%d/%m/%y",), zone="Europe/Berlin").moment("31/12/26")
        datetime.datetime(2026, 12, 30, 23, 0)
        """
        return self._utc(self._local(cell))

    def day(self, cell: str) -> date:
        """The calendar day in the provider's zone, which decides the month that it is billed in."""
        return self._local(cell).date()

    def after(self, cell: str, span: str) -> datetime:
        """The end of the hour, day or month that begins then; days and months are those of the provider's zone."""
        local = self._local(cell)
        if span == "hour":
            return self._utc(local) + timedelta(hours=1)
        if local.time() != time.min:
            raise BadRecord(
                f"{cell[:40]!r} begins no day, but the mapping says that a charge lasts a {span};"
                ' set span = "hour" under [dates], or map the column that says when a charge ends'
            )
        days = timedelta(days=1)
        return self._utc(local + days if span == "day" else datetime.combine(months_after(local.date(), 1), time.min))

    def _local(self, cell: str) -> datetime:
        """In the provider's zone, whichever zone the cell names; without the zone."""
        for style in self.formats:
            try:
                moment = _read(cell.strip(), style)
            except (ValueError, OverflowError, BadRecord):
                continue
            return moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None) if moment.tzinfo else moment
        raise BadRecord(
            f"{cell[:40]!r} is no date as the mapping says they are written ({' or '.join(self.formats)});"
            " if day and month are the other way round, say so under [dates]"
        )

    def _utc(self, local: datetime) -> datetime:
        return local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC).replace(tzinfo=None)


def _read(text: str, style: str) -> datetime:
    if style in _UNIX:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(**{_UNIX[style]: float(text)})
    if style != "iso":
        return datetime.strptime(text, style)  # noqa: DTZ007  # the zone is the mapping's
    moment = time_from(text)  # which takes a time without a zone to be UTC
    return moment.replace(tzinfo=UTC) if _ZONE.search(text[10:]) else moment
