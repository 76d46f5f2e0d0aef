"""Numbers and names as people read them. Every name from outside is hostile until it has passed `plain` or `label`."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from html import escape

from costlib.estimate import Undefined
from costlib.text_safety import in_markdown as label
from costlib.text_safety import plain
from costlib.units import GIGA, KILO, MEGA, MS_PER_S, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, TERA

Number = float | int | Decimal
UNKNOWN = "–"
A_PARAGRAPH = 1500  # characters: enough for an error, its place and its remedy
PERCENT = 100


def sentence(text: str) -> str:
    """A remark of the library as a sentence of the small print."""
    return label(text[:1].upper() + text[1:].rstrip(".") + ".", A_PARAGRAPH)


def on_chart(text: object, longest: int = 60) -> str:
    """`plain`, with the tags Plotly would interpret escaped. For titles, axes, legends and hover texts."""
    return escape(plain(text, longest), quote=False)


def money(value: Number | Undefined | None, currency: str = "USD") -> str:
    """Whole units with separators; cents below 100. Negative amounts have the sign in front.

    >>> money(1234.5), money(-0.5), money(None)
    ('$1,234', '-$0.50', '–')
    """
    if value is None or isinstance(value, Undefined):
        return UNKNOWN
    sign = "-" if value < 0 else ""
    figure = f"{abs(value):,.0f}" if abs(value) >= 100 else f"{abs(value):,.2f}"
    return f"{sign}${figure}" if currency == "USD" else f"{sign}{figure} {plain(currency)}"


def change(value: Number, shown: str) -> str | int:
    """A change with its sign, for the small line under a figure; the number 0 when nothing moved."""
    if value == 0:
        return 0
    return shown if shown.startswith("-") else f"+{shown}"


def short_money(value: Number) -> str:
    """
    >>> short_money(190_870), short_money(-4_722), short_money(0.5)
    ('$191k', '-$4,722', '$0.50')
    """
    if abs(value) < 10_000:
        return money(value)
    sign = "-" if value < 0 else ""
    return f"{sign}${compact(abs(value))}"


def unit_cost(value: float | Undefined | None) -> str:
    """Dollars per million tokens, three decimals below a dollar."""
    if value is None or isinstance(value, Undefined):
        return UNKNOWN
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.3f}" if abs(value) < 10 else f"{sign}${abs(value):,.2f}"


def compact(value: Number) -> str:
    """
    >>> compact(136_300), compact(2.8e9), compact(12)
    ('136k', '2.8B', '12')
    """
    size = float(value)
    for unit, letter in ((TERA, "T"), (GIGA, "B"), (MEGA, "M"), (KILO, "k")):
        if abs(size) >= unit * 0.9995:  # what would round up to the unit is shown in it
            figure = size / unit
            return f"{figure:,.0f}{letter}" if abs(figure) >= 100 else f"{figure:.3g}{letter}"
    return f"{size:,.0f}" if abs(size) >= 10 or size == int(size) else f"{size:.2g}"


def percent(fraction: float | Undefined | None, digits: int = 0) -> str:
    if fraction is None or isinstance(fraction, Undefined) or fraction != fraction:
        return UNKNOWN
    return f"{fraction:.{digits}%}"


def milliseconds(seconds: float | None) -> str:
    if seconds is None or seconds != seconds:
        return UNKNOWN
    return f"{seconds * MS_PER_S:,.0f} ms"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    if since is None:
        return "never"
    seconds = max(0.0, (now - since).total_seconds())
    for unit, name in ((SECONDS_PER_DAY, "d"), (SECONDS_PER_HOUR, "h"), (SECONDS_PER_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"


def day(moment: datetime) -> str:
    return day_of(moment.date())


def day_of(moment: date) -> str:
    return f"{moment.day} {moment:%b %Y}"


def last_day(end: datetime | None) -> str:
    """The last day before `end`, which is excluded."""
    return UNKNOWN if end is None else day(end - timedelta(microseconds=1))


def cents(value: Decimal, currency: str = "USD") -> str:
    """To the cent, always: for totals that someone compares with an invoice."""
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.2f}" if currency == "USD" else f"{value:,.2f} {plain(currency)}"


def dollars(sentence: str) -> str:
    """Markdown reads two dollar signs in a line as a formula."""
    return sentence.replace("$", "\\$")
