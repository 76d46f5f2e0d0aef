"""The questions about bills, as statements over a snapshot. A snapshot holds the charges of active batches only."""

from datetime import datetime

from sqlalchemy import ColumnElement, Date, Select, and_, cast, func, select

from costlib.billing import FOCUS_COLUMNS, MONEY_COLUMNS, ColumnKind
from costlib.errors import ConfigError, UnknownKey
from store.engine import naive
from store.schema import charge, import_batch
from store.sql import json_text

_COST = {"billed": charge.c.BilledCost, "effective": charge.c.EffectiveCost}


def daily_spend(start: datetime, end: datetime, basis: str, by: str) -> Select:
    cost = _cost(basis)
    rows = (
        select(
            cast(charge.c.ChargePeriodStart, Date).label("day"),
            _key(by).label("key"),
            charge.c.BillingCurrency.label("currency"),
            cost.label("cost"),
        )
        .where(_begins_within(start, end))
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


def spend_total(start: datetime, end: datetime, basis: str) -> Select:
    currency = charge.c.BillingCurrency
    return (
        select(currency, func.sum(_cost(basis))).where(_begins_within(start, end)).group_by(currency).order_by(currency)
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
    )
    return select(*(batch[name] for name in shown)).order_by(batch.imported_at.desc(), batch.batch_id.desc())


def _cost(basis: str) -> ColumnElement:
    if basis not in _COST:
        raise UnknownKey("cost basis", basis, _COST)
    return _COST[basis]


def _key(by: str) -> ColumnElement[str]:
    kind = FOCUS_COLUMNS.get(by)
    if kind is ColumnKind.TEXT:
        return charge.c[by]
    if kind is not None:
        texts = ", ".join(name for name, kind in FOCUS_COLUMNS.items() if kind is ColumnKind.TEXT)
        raise ConfigError(
            f"spend cannot be grouped by {by}, which is not a text column. Use the name of a tag, or: {texts}."
        )
    return json_text(charge.c.Tags, by)


def _begins_within(start: datetime, end: datetime) -> ColumnElement[bool]:
    begins = charge.c.ChargePeriodStart
    return and_(begins >= naive(start), begins < naive(end))
