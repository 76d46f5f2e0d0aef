"""`owners.toml` and `rates.toml` in the folder that PERMILLION_HOME names: what no bill says.

data/demo/owners.toml shows every key. All are optional but those that say what an entry is.

    [[rule]]                   charges that agree with everything said here belong to the deployment, the team or both;
                               of two rules that agree the earlier one decides
    deployment = "chat"        key of a deployment, as servers and scenario.toml call it
    team = "support"           who is shown the cost
    resource = "i-0abc*"       ResourceId, its last part or ResourceName; * and ? stand for any text
    tag = { team = "support" } every tag named, whatever the case or prefix of its key; values as above
    service, provider, account, region = "…"    as billed; values as above

    [[reserved]]               whose idle capacity is whose: the policy reserved_share
    deployment = "chat"
    share = 0.4                of the fleet, 0 to 1; all shares together at most 1

    [[monthly]]                what no invoice has, beside the bill and never in it
    what = "on-call engineer"
    kind = "people"            people or licence
    usd = "5000.00"            of every month; money is a text, so that no digit is lost
    from = 2026-01-01          the first month that has it
    to = 2026-12-31            the last one; open without it

    [[rate]]                   in owners.toml or rates.toml: exchange rates, for display only
    from = "EUR"
    to = "USD"
    on = 2026-10-01            in force from this day until a newer entry
    rate = "1.0812"            what one EUR costs in USD
    source = "ECB"             where the rate is from
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from math import fsum
from pathlib import Path
from typing import Any, TypeVar

from costlib.billing import decimal_from, exact_text
from costlib.catalog import check_keys, convert, needed, needed_text, table, tables
from costlib.errors import BadRecord, ConfigError, UnknownKey
from costlib.ownership import MonthlyCost, OwnerRule, Owners
from costlib.rates import Rate, check_rates
from store.catalog_files import read_toml
from store.home import Home

OWNERS_KEYS = {"rule", "reserved", "monthly", "rate"}
MATCHERS = ("resource", "service", "provider", "account", "region")
RULE_KEYS = {"deployment", "team", "tag", *MATCHERS}
MONTHLY_KEYS = {"what", "usd", "kind", "from", "to"}
RATE_KEYS = {"from", "to", "on", "rate", "source"}
MONTHLY_KINDS = ("licence", "people")
_SLACK = 1e-9  # tenths do not add up to 1 in binary
_CURRENCY = re.compile(r"[A-Z]{3}")

Entry = TypeVar("Entry")


def load_owners(home: Home) -> Owners:
    """The parsed owners.toml; an empty one where there is none. Raises ConfigError naming the place in the file."""
    return owners_from(_document(home.owners), home.owners.name)


def load_rates(home: Home) -> tuple[Rate, ...]:
    """The rates of owners.toml and rates.toml together."""
    owners, more = _document(home.owners), _document(home.rates)
    check_keys(more, {"rate"}, home.rates.name)
    rates = (*_entries(owners, home.owners.name, "rate", _rate), *_entries(more, home.rates.name, "rate", _rate))
    check_rates(rates)
    return rates


def owners_from(doc: Mapping[str, Any], where: str) -> Owners:
    """What a parsed owners.toml says; `where` is the file's name for messages."""
    check_keys(doc, OWNERS_KEYS, where)
    reserved: dict[str, float] = {}
    for deployment, share in _entries(doc, where, "reserved", _reserved):
        if deployment in reserved:
            raise ConfigError(f"{where}: {deployment!r} is reserved twice; add the shares up in one [[reserved]].")
        reserved[deployment] = share
    if (total := fsum(reserved.values())) > 1 + _SLACK:
        raise ConfigError(f"{where}: the reserved shares add up to {total:g}; there is 1 to share.")
    check_rates(_entries(doc, where, "rate", _rate))
    return Owners(
        rules=tuple(_entries(doc, where, "rule", _rule)),
        reserved=reserved,
        monthly=tuple(_entries(doc, where, "monthly", _monthly)),
    )


def _document(path: Path) -> Mapping[str, Any]:
    return read_toml(path) if path.exists() else {}


def _entries(
    doc: Mapping[str, Any], where: str, kind: str, parse: Callable[[Mapping[str, Any], str], Entry]
) -> Iterable[Entry]:
    """The blocks of one kind, parsed with the place to name in a message, such as `owners.toml [[rule]] 2`."""
    blocks = tables(doc.get(kind, ()), f"{where} {kind}")
    return [parse(block, f"{where} [[{kind}]] {number}") for number, block in enumerate(blocks, 1)]


def _rule(row: Mapping[str, Any], place: str) -> OwnerRule:
    check_keys(row, RULE_KEYS, place)
    if not {"deployment", "team"} & set(row):
        raise ConfigError(f"{place}: says of nobody; give it a deployment, a team or both.")
    tag = table(row.get("tag", {}), f"{place} tag")
    if strange := [key for key, value in tag.items() if not isinstance(value, str) or not value]:
        raise ConfigError(f"{place} tag: {strange[0]!r} must be a text in quotes.")
    if not tag and not set(MATCHERS) & set(row):
        raise ConfigError(f"{place}: fits no charge; say which by tag, {', '.join(MATCHERS)}.")
    return OwnerRule(
        **{key: needed_text(row, key, place) for key in ("deployment", "team", *MATCHERS) if key in row}, tag=dict(tag)
    )


def _reserved(row: Mapping[str, Any], place: str) -> tuple[str, float]:
    check_keys(row, {"deployment", "share"}, place)
    share = convert(needed(row, "share", place), float, f"{place} share")
    if not 0 <= share <= 1:
        raise ConfigError(f"{place} share: a share of the fleet from 0 to 1, not {share:g}.")
    return needed_text(row, "deployment", place), share


def _monthly(row: Mapping[str, Any], place: str) -> MonthlyCost:
    check_keys(row, MONTHLY_KEYS, place)
    kind = needed_text(row, "kind", place)
    if kind not in MONTHLY_KINDS:
        raise UnknownKey("kind", kind, MONTHLY_KINDS, place)
    first = _day(row, "from", place)
    until = _day(row, "to", place) if "to" in row else None
    if until and until < first:
        raise ConfigError(f"{place}: ends on {until}, before it begins on {first}.")
    return MonthlyCost(
        what=needed_text(row, "what", place), usd=_amount(row, "usd", place), kind=kind, first=first, until=until
    )


def _rate(row: Mapping[str, Any], place: str) -> Rate:
    check_keys(row, RATE_KEYS, place)
    base, quote = _currency(row, "from", place), _currency(row, "to", place)
    rate = _amount(row, "rate", place)
    if rate <= 0 or base == quote:
        raise ConfigError(f"{place}: a rate above 0 between two currencies, not {base} to {quote} at {rate}.")
    return Rate(base=base, quote=quote, on=_day(row, "on", place), rate=rate, source=needed_text(row, "source", place))


def _day(row: Mapping[str, Any], key: str, place: str) -> date:
    day: date = convert(needed(row, key, place), date, f"{place} {key}")
    return day


def _currency(row: Mapping[str, Any], key: str, place: str) -> str:
    code = needed_text(row, key, place)
    if not _CURRENCY.fullmatch(code):
        raise ConfigError(f"{place}: {key} is three letters of ISO 4217, such as EUR, not {code[:40]!r}.")
    return code


def _amount(row: Mapping[str, Any], key: str, place: str) -> Decimal:
    """A whole number, or digits in quotes: a TOML float has lost digits before we see it."""
    value = needed(row, key, place)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigError(f'{place}: {key} is digits in quotes, such as "{value}", so that no digit is lost.')
    try:
        return Decimal(exact_text(decimal_from(str(value).strip())))
    except BadRecord as error:
        raise ConfigError(f"{place} {key}: {error}") from None
