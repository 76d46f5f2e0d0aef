"""What cards, charts and small print of the overview have in common: names of days and months, points of lines."""

from datetime import date
from decimal import Decimal

from costlib.estimate import Undefined
from costlib.review import OutlookLine, Review
from ui import text

HOW_TO_BUDGET = "Write budgets.toml in the folder that PERMILLION_HOME names to set one."
NO_DAY = "no day of the month is charged whole"
Points = list[float | None]


def no_budget(line: OutlookLine) -> str:
    """Why the month is set against no budget."""
    if isinstance(line.breach_probability, Undefined):
        return line.breach_probability.reason
    return f"No budget is set. {HOW_TO_BUDGET}"


def range_of(line: OutlookLine, currency: str) -> str:
    ends = (text.money(line.p10, currency), text.money(line.p90, currency))
    return f"8 of 10 outcomes lie between {ends[0]} and {ends[1]}."


def month_of(of: Review) -> str:
    """The month that is forecast, by its name."""
    return f"{date.fromisoformat(of.outlook.month + '-01'):%B}" if of.outlook else f"{of.period.last_day:%B}"


def month_name(month: str, short: bool = False) -> str:
    first = date.fromisoformat(f"{month}-01")
    return f"{first:%b %Y}" if short else f"{first:%B %Y}"


def day_of(on: date) -> str:
    return f"{on.day} {on:%b}"


def point(value: Decimal | float | Undefined | None) -> float | None:
    return None if value is None or isinstance(value, Undefined) else round(float(value), 4)
