"""`budgets.toml` in the folder that PERMILLION_HOME names: what each product and team may spend in a month, and what is
known of the future.

data/demo/budgets.toml shows every key.

    [[budget]]
    product = "Support copilot"  of one product, as bills and scenario.toml call it; of a team; of a product's part of
    team = "support"             a team, with both; of everything, with neither
    amount = "12000.00"          of every month; money is a text, so that no digit is lost; above 0
    currency = "USD"             spend in another currency is not compared with it
    month = "2026-11"            the only month that has it,
    from = "2026-11"             or the first
    to = "2027-03"               and the last one; open without it
    phasing = "flat"             how it falls on days: flat; weekday, by `weekdays`; listed, by `days`
    weekdays = [1, 1, 1, 1, 1, 0.4, 0.4]    Monday to Sunday, against each other
    days = ["400.00", …]         one amount for each day of `month`, which add up to `amount`

    [[step]]                     something known of the future, which forecasts take into account
    what = "savings plan ends"
    day = 2026-12-01             from this day
    until = 2027-03-01           to before this one; for good without it
    product = "Support copilot"  of one product; of each, without it
    on = "cost"                  what changes: requests, tokens_per_request, mix, price, rest, cost; cost without it
    class = "output"             the class of tokens whose price or mix it is: input, cached_input, output
    times = 1.3                  it is multiplied by this
    amount = "-900.00"           or this comes on top, every day, in the currency of the spend
    once = true                  on `day` alone
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.billing import decimal_from, exact_text
from costlib.books import TokenClass
from costlib.budget import Budget, Phasing, check_budgets
from costlib.catalog import check_keys, convert, needed, needed_text, tables
from costlib.errors import BadRecord, ConfigError, DomainError, PermillionError, UnknownKey
from costlib.forecast import Driver, Step
from store.catalog_files import DATA, read_toml
from store.home import Home
from store.months import month_of

FILE_NAME = "budgets.toml"
SAMPLE_BUDGETS = DATA / "demo" / FILE_NAME
BUDGET_KEYS = {"product", "team", "amount", "currency", "month", "from", "to", "phasing", "weekdays", "days"}
STEP_KEYS = {"what", "day", "until", "product", "on", "class", "times", "amount", "once"}
_SHAPES = {Phasing.WEEKDAY: "weekdays", Phasing.LISTED: "days"}


def load_budgets(home: Home) -> tuple[Budget, ...]:
    """The parsed budgets.toml; none where there is no file. Raises ConfigError naming the place in it."""
    path = budgets_path(home)
    return budgets_from(read_toml(path), path.name) if path.exists() else ()


def load_steps(home: Home) -> tuple[Step, ...]:
    """What budgets.toml says of the future; nothing where there is no file."""
    path = budgets_path(home)
    return steps_from(read_toml(path), path.name) if path.exists() else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is known of the future. With a `problem` nobody knows of a budget, which is not that none is set."""

    budgets: tuple[Budget, ...] = ()
    steps: tuple[Step, ...] = ()
    problem: str = ""  # what is wrong with the file, where, and what to do
    is_sample: bool = False  # of the sample, not of this home


def planned(home: Home, is_sample: bool) -> Planned:
    """What the home's budgets.toml says, or that of the sample where its data are the sample's and it has no file."""
    own = budgets_path(home)
    path = SAMPLE_BUDGETS if is_sample and not own.exists() else own
    if not path.exists():
        return Planned()
    try:
        doc = read_toml(path)
        return Planned(
            budgets=budgets_from(doc, path.name), steps=steps_from(doc, path.name), is_sample=path is SAMPLE_BUDGETS
        )
    except PermillionError as error:
        return Planned(problem=f"{FILE_NAME} is not used: {str(error).rstrip('.')}.")


def budgets_path(home: Home) -> Path:
    return home.path / FILE_NAME


def budgets_from(doc: Mapping[str, Any], where: str) -> tuple[Budget, ...]:
    """What a parsed budgets.toml says; `where` is the file's name for messages."""
    check_keys(doc, {"budget", "step"}, where)
    blocks = tables(doc.get("budget", ()), f"{where} budget")
    budgets = tuple(_budget(row, f"{where} [[budget]] {number}") for number, row in enumerate(blocks, 1))
    try:
        check_budgets(budgets)
    except DomainError as error:
        raise ConfigError(f"{where}: {error} Give each a `from` and a `to`, or add them up in one.") from None
    return budgets


def steps_from(doc: Mapping[str, Any], where: str) -> tuple[Step, ...]:
    """The steps of a parsed budgets.toml; `where` is the file's name for messages."""
    check_keys(doc, {"budget", "step"}, where)
    blocks = tables(doc.get("step", ()), f"{where} step")
    return tuple(_step(row, f"{where} [[step]] {number}") for number, row in enumerate(blocks, 1))


def _step(row: Mapping[str, Any], place: str) -> Step:
    check_keys(row, STEP_KEYS, place)
    if ("times" in row) == ("amount" in row):
        raise ConfigError(
            f"{place}: by what it is multiplied, `times`, or what comes on top, `amount`: say one of them."
        )
    is_once = row.get("once", False)
    if not isinstance(is_once, bool):
        raise ConfigError(f"{place} once: true or false, without quotes.")
    try:
        return Step(
            what=needed_text(row, "what", place),
            day=convert(needed(row, "day", place), date, f"{place} day"),
            until=convert(row["until"], date, f"{place} until") if "until" in row else None,
            key=needed_text(row, "product", place) if "product" in row else "",
            on=Driver(_one_of(row, "on", list(Driver), place)) if "on" in row else Driver.COST,
            token_class=TokenClass(_one_of(row, "class", list(TokenClass), place)) if "class" in row else None,
            times_ratio=convert(row.get("times", 1.0), float, f"{place} times"),
            amount=_amount(row["amount"], f"{place} amount") if "amount" in row else Decimal(0),
            is_once=is_once,
        )
    except DomainError as error:
        raise ConfigError(f"{place}: {error}") from None


def _one_of(row: Mapping[str, Any], key: str, known: list[Any], place: str) -> str:
    name = needed_text(row, key, place)
    if name not in known:
        raise UnknownKey(key, name, map(str, known), place)
    return name


def _budget(row: Mapping[str, Any], place: str) -> Budget:
    check_keys(row, BUDGET_KEYS, place)
    phasing = _phasing(row, place)
    first, last = _months(row, place)
    try:
        return Budget(
            product=needed_text(row, "product", place) if "product" in row else "",
            team=needed_text(row, "team", place) if "team" in row else "",
            amount=_amount(needed(row, "amount", place), f"{place} amount"),
            currency=_currency(row, place),
            first_month=first,
            last_month=last,
            phasing=phasing,
            **_shape(row, phasing, place),
        )
    except DomainError as error:
        raise ConfigError(f"{place}: {error}") from None


def _phasing(row: Mapping[str, Any], place: str) -> Phasing:
    phasing = Phasing(_one_of(row, "phasing", list(Phasing), place)) if "phasing" in row else Phasing.FLAT
    for other, key in _SHAPES.items():
        if (key in row) != (phasing is other):
            needs = f"needs {key}" if phasing is other else f"does not use {key}; say phasing = {str(other)!r} for it"
            raise ConfigError(f"{place}: phasing {str(phasing)!r} {needs}.")
    return phasing


def _shape(row: Mapping[str, Any], phasing: Phasing, place: str) -> dict[str, Any]:
    if phasing is Phasing.FLAT:
        return {}
    key = _SHAPES[phasing]
    values = row[key]
    if not isinstance(values, list):
        raise ConfigError(f"{place} {key}: a list in square brackets, not {str(values)[:40]!r}.")
    numbered = [(value, f"{place} {key} {number}") for number, value in enumerate(values, 1)]
    if phasing is Phasing.WEEKDAY:
        return {"weekday_weights": tuple(convert(value, float, where) for value, where in numbered)}
    return {"listed": tuple(_amount(value, where) for value, where in numbered)}


def _months(row: Mapping[str, Any], place: str) -> tuple[str, str | None]:
    if ("month" in row) == ("from" in row):
        raise ConfigError(f'{place}: say month = "2026-11", or from = "2026-11" for every month on; one of them.')
    if "month" in row and "to" in row:
        raise ConfigError(f"{place}: `to` goes with `from`; a budget with `month` is of that one.")
    first = _month(row, "month" if "month" in row else "from", place)
    if "month" in row:
        return first, first
    return first, _month(row, "to", place) if "to" in row else None


def _month(row: Mapping[str, Any], key: str, place: str) -> str:
    month = needed_text(row, key, place)
    try:
        month_of(month)
    except ConfigError as error:
        raise ConfigError(f"{place} {key}: {error}") from None
    return month


def _currency(row: Mapping[str, Any], place: str) -> str:
    code = needed_text(row, "currency", place)
    if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):
        raise ConfigError(f"{place}: currency is three letters of ISO 4217, such as EUR, not {code[:40]!r}.")
    return code


def _amount(value: object, where: str) -> Decimal:
    """Digits in quotes, or a whole number: a TOML float has lost digits before we see it."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigError(f'{where}: digits in quotes, such as "{str(value)[:40]}", so that no digit is lost.')
    try:
        return Decimal(exact_text(decimal_from(str(value).strip())))
    except BadRecord as error:
        raise ConfigError(f"{where}: {error}") from None
