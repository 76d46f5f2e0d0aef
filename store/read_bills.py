"""The questions about spending, as statements over the charges that count."""

from datetime import datetime

from sqlalchemy import ColumnElement, Date, Select, and_, cast, func, select
from sqlalchemy.sql import FromClause

from costlib.billing import FOCUS_COLUMNS, MONEY_COLUMNS, ColumnKind
from costlib.errors import ConfigError, UnknownKey
from store.engine import naive
from store.schema import import_batch
from store.sql import json_text

_COST = {"billed": "BilledCost", "effective": "EffectiveCost"}


def daily_spend(charges: FromClause, start: datetime, end: datetime, basis: str, by: str) -> Select:
    cost = _cost(charges, basis)
    rows = (
        select(
            cast(charges.c.ChargePeriodStart, Date).label("day"),
            _key(charges, by).label("key"),
            charges.c.BillingCurrency.label("currency"),
            cost.label("cost"),
        )
        .where(_begins_within(charges, start, end))
        .subquery()
    )
    groups = (rows.c.day, rows.c.key, rows.c.currency)
    return (
        select(
            *groups,
            func.sum(rows.c.cost).label("cost"),
            (func.count() - func.count(rows.c.cost)).label("unknown_count"),
        )
        .group_by(*groups)
        .order_by(*groups)
    )


def spend_total(charges: FromClause, start: datetime, end: datetime, basis: str) -> Select:
    currency = charges.c.BillingCurrency
    return (
        select(currency, func.sum(_cost(charges, basis)))
        .where(_begins_within(charges, start, end))
        .group_by(currency)
        .order_by(currency)
    )


def imports() -> Select:
    batch = import_batch.c
    shown = (
        *(
            "file_names",
            "format_key",
            "imported_at",
            "status",
            "provider",
            "billing_account",
            "period_start",
            "period_end",
        ),
        *("rows_count", "currency", *MONEY_COLUMNS, "batch_id", "superseded_at", "superseded_by", "is_sample"),
        *("statement", "delivery", "is_evidence"),
    )
    return select(*(batch[name] for name in shown)).order_by(batch.imported_at.desc(), batch.batch_id.desc())


def _cost(charges: FromClause, basis: str) -> ColumnElement:
    if basis not in _COST:
        raise UnknownKey("cost basis", basis, _COST)
    return charges.c[_COST[basis]]


def _key(charges: FromClause, by: str) -> ColumnElement[str]:
    kind = FOCUS_COLUMNS.get(by)
    if kind is ColumnKind.TEXT:
        return charges.c[by]
    if kind is not None:
        texts = ", ".join(name for name, kind in FOCUS_COLUMNS.items() if kind is ColumnKind.TEXT)
        raise ConfigError(
            f"spend cannot be grouped by {by}, which is not a text column. Use the name of a tag, or: {texts}."
        )
    return json_text(charges.c.Tags, by)


def _begins_within(charges: FromClause, start: datetime, end: datetime) -> ColumnElement[bool]:
    begins = charges.c.ChargePeriodStart
    return and_(begins >= naive(start), begins < naive(end))
