"""Exchange rates, for display only: sums are made in the currency that was billed, and never across currencies."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from costlib.billing import MONEY_PRECISION, SMALLEST
from costlib.errors import ConfigError
from costlib.estimate import Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One `base` costs `rate` of `quote`, from the day `on` until a newer entry of the same pair."""

    base: str
    quote: str
    on: date
    rate: Decimal
    source: str

    @property
    def text(self) -> str:
        return f"1 {self.base} = {self.rate} {self.quote}, {self.source}, {self.on}"


def check_rates(rates: Iterable[Rate]) -> None:
    """Raises ConfigError when two entries of one pair and day disagree: there is no telling which holds."""
    seen: dict[tuple[str, str, date], Rate] = {}
    for rate in rates:
        other = seen.setdefault((rate.base, rate.quote, rate.on), rate)
        if other.rate != rate.rate:
            raise ConfigError(
                f"two rates from {rate.base} to {rate.quote} on {rate.on}: {other.rate} ({other.source}) and"
                f" {rate.rate} ({rate.source}); keep one of them."
            )


def rate_at(rates: Iterable[Rate], base: str, quote: str, on: date) -> Rate | Undefined:
    """The newest entry of the pair that is not later than `on`; Undefined where there is none. No rate is inverted.

    >>> ecb = Rate(base="EUR", quote="USD", on=date(2026, 10, 1), rate=Decimal("1.0812"), source="ECB")
    >>> rate_at([ecb], "EUR", "USD", date(2026, 10, 31)).rate
    Decimal('1.0812')
    >>> rate_at([ecb], "EUR", "USD", date(2026, 9, 30)).reason
    'no rate from EUR to USD on or before 2026-09-30; add a [[rate]] to rates.toml'
    """
    in_force = [rate for rate in rates if (rate.base, rate.quote) == (base, quote) and rate.on <= on]
    if not in_force:
        return Undefined(reason=f"no rate from {base} to {quote} on or before {on}; add a [[rate]] to rates.toml")
    return max(in_force, key=lambda rate: rate.on)


def converted(amount: Decimal, rate: Rate) -> Decimal:
    """amount x rate, rounded once to 18 places.

    >>> converted(Decimal("100"), Rate(base="EUR", quote="USD", on=date.min, rate=Decimal("1.0812"), source="ECB")) \
== Decimal("108.12")
    True
    """
    with localcontext(prec=2 * MONEY_PRECISION):
        return (amount * rate.rate).quantize(SMALLEST)
