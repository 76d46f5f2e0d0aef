"""How a pack writes its numbers: separators by locale, the currency's sign, and a rate for display."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeGuard

from costlib.allocation import CENT, WIDE
from costlib.errors import UnknownKey
from costlib.estimate import Undefined
from costlib.rates import Rate, converted
from costlib.text_safety import plain
from costlib.units import GIGA, KILO, MEGA

NONE = "–"
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "INR": "₹", "CHF": "CHF", "CAD": "CA$"}
NARROW_SPACE = "\u202f"
SPACE = "\u00a0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locale:
    decimal: str = "."
    thousands: str = ","
    is_sign_first: bool = True


LOCALES = {
    "en": Locale(),
    "de": Locale(decimal=",", thousands=".", is_sign_first=False),
    "de-CH": Locale(thousands="’"),
    "es": Locale(decimal=",", thousands=".", is_sign_first=False),
    "fr": Locale(decimal=",", thousands=NARROW_SPACE, is_sign_first=False),
    "it": Locale(decimal=",", thousands=".", is_sign_first=False),
    "nl": Locale(decimal=",", thousands="."),
    "pl": Locale(decimal=",", thousands=SPACE, is_sign_first=False),
    "sv": Locale(decimal=",", thousands=SPACE, is_sign_first=False),
}


def locale_of(name: str) -> Locale:
    """
    >>> locale_of("de").decimal
    ','
    """
    if name not in LOCALES:
        raise UnknownKey("locale", name, LOCALES, "the settings of the pack")
    return LOCALES[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The settings of a pack. A rate adds a converted total, with its date, beside the billed one; it changes no sum.

    `dashboard_url` is where links of the review lead; without it the files have none.
    """

    locale: Locale = Locale()
    rate: Rate | None = None
    dashboard_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Numbers of one review as text."""

    currency: str
    style: Style = Style()

    def money(self, amount: Decimal | Undefined | None) -> str:
        """To the cent.

        >>> Numbers(currency="USD").money(Decimal("-1234.5"))
        '-$1,234.50'
        >>> Numbers(currency="EUR", style=Style(locale=LOCALES["de"])).money(Decimal("1234.5")).replace(SPACE, " ")
        '1.234,50 €'
        """
        return self._with_sign(self.plain(amount, 2), self.currency) if _is_known(amount) else NONE

    def change(self, amount: Decimal | Undefined | None) -> str:
        """
        >>> Numbers(currency="USD").change(Decimal(5)), Numbers(currency="USD").change(Decimal(0))
        ('+$5.00', '$0.00')
        """
        shown = self.money(amount)
        return f"+{shown}" if _is_known(amount) and amount >= CENT else shown

    def short(self, amount: Decimal) -> str:
        """For headlines and axes.

        >>> [Numbers(currency="USD").short(Decimal(n)) for n in ("20918.4", "950", "-1500000")]
        ['$20.9k', '$950', '-$1.5M']
        """
        size = abs(amount)
        for unit, letter in ((GIGA, "B"), (MEGA, "M"), (KILO, "k")):
            if size >= Decimal(int(unit)) * Decimal("0.9995"):
                scaled = amount / Decimal(int(unit))
                digits = 0 if abs(scaled) >= 100 else 1
                text = self.plain(scaled, digits)
                zero = f"{self.style.locale.decimal}0"
                return self._with_sign(text.removesuffix(zero) if digits else text, self.currency, letter)
        whole = amount == amount.to_integral_value()
        return self._with_sign(self.plain(amount, 0 if size >= 100 or whole else 2), self.currency)

    def per_mtok(self, amount: Decimal | float | Undefined | None) -> str:
        """
        >>> Numbers(currency="USD").per_mtok(Decimal("1.17849"))
        '$1.178'
        """
        if not _is_known(amount):
            return NONE
        return self._with_sign(self.plain(amount, 3 if abs(float(amount)) < 10 else 2), self.currency)

    def amount(self, amount: Decimal | float, digits: int) -> str:
        """Money of so many digits, for rates that cents are too coarse for."""
        return self._with_sign(self.plain(amount, digits), self.currency)

    def share(self, fraction: float | Decimal | Undefined | None, digits: int = 1) -> str:
        """
        >>> Numbers(currency="USD").share(0.0871)
        '8.7%'
        """
        if not _is_known(fraction):
            return NONE
        text = self.plain(Decimal(str(fraction)) * 100, digits)
        return f"{text}%" if self.style.locale.is_sign_first else f"{text}{SPACE}%"

    def chance(self, probability: float | Undefined | None) -> str:
        """A probability in whole percents that never claims to be sure.

        >>> [Numbers(currency="USD").chance(p) for p in (0.0001, 0.63, 0.9999)]
        ['<1%', '63%', '>99%']
        """
        if not _is_known(probability):
            return NONE
        if probability < 0.01:
            return f"<{self.share(0.01, 0)}"
        return f">{self.share(0.99, 0)}" if probability > 0.99 else self.share(probability, 0)

    def count(self, number: float | Undefined | None) -> str:
        return self.plain(number, 0) if _is_known(number) else NONE

    def in_display_currency(self, amount: Decimal) -> str:
        """The amount at the rate for display, or nothing without one that is for this currency."""
        rate = self.style.rate
        if rate is None or rate.base != self.currency:
            return ""
        return f"≈ {self._with_sign(self.plain(converted(amount, rate), 2), rate.quote)}"

    def rate_note(self) -> str:
        rate = self.style.rate
        if rate is None:
            return ""
        if rate.base != self.currency:
            return f"No rate for display from {plain(self.currency)}: the one given is {plain(rate.text)}."
        return f"Converted for display only, sums are made in {plain(self.currency)}: {plain(rate.text)}."

    def plain(self, number: Decimal | float, digits: int) -> str:
        """The number alone, with this locale's separators; rounded half to even, and never to minus zero."""
        value = number if isinstance(number, Decimal) else Decimal(str(number))
        with_separators = f"{_rounded(value, digits):,f}"
        swapped = {",": self.style.locale.thousands, ".": self.style.locale.decimal}
        return "".join(swapped.get(letter, letter) for letter in with_separators)

    def _with_sign(self, figure: str, currency: str, letter: str = "") -> str:
        minus, size = ("-", figure[1:]) if figure.startswith("-") else ("", figure)
        sign = SIGNS.get(currency, plain(currency, 12))
        if self.style.locale.is_sign_first:
            gap = SPACE if len(sign) > 1 and sign.isalpha() else ""
            return f"{minus}{sign}{gap}{size}{letter}"
        return f"{minus}{size}{SPACE if letter else ''}{letter}{SPACE}{sign}"


def _is_known(number: Decimal | float | Undefined | None) -> TypeGuard[Decimal | float]:
    return number is not None and not isinstance(number, Undefined) and number == number


def _rounded(value: Decimal, digits: int) -> Decimal:
    with localcontext(prec=WIDE):
        rounded = value.quantize(CENT if digits == 2 else Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return rounded if rounded else abs(rounded)


def day_text(day: date | None) -> str:
    return NONE if day is None else f"{day.day} {day:%b %Y}"


def short_day(day: date) -> str:
    return f"{day.day} {day:%b}"


def month_name(month: str) -> str:
    """
    >>> month_name("2026-11")
    'November'
    """
    return f"{date.fromisoformat(f'{month}-01'):%B}"
