"""The questions of the trial balance: what was charged, month by month, what changed, and what gateways say of use."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Row, and_, func, or_, select
from sqlalchemy.sql import ColumnElement, FromClause

from costlib.billing import exact_sum
from costlib.books import ChargeGroup, TeamUse
from costlib.charge_time import joined, part_of
from costlib.errors import UnknownKey
from store.batches import ACTIVE, PENDING, SUPERSEDED
from store.engine import aware, naive
from store.locks import locks
from store.months import month_of
from store.rows import by_batch, charges_of
from store.schema import import_batch
from store.sql import json_text, time_bin

DAY = timedelta(days=1)
AXES = {"billing": "BillingPeriodStart", "charge": "ChargePeriodStart"}

_TEXTS = {
    "currency": "BillingCurrency",
    "billing_account": "BillingAccountId",
    "invoice_id": "InvoiceId",
    "charge_category": "ChargeCategory",
    "charge_class": "ChargeClass",
    "pricing_category": "PricingCategory",
    "commitment_id": "CommitmentDiscountId",
    "commitment_type": "CommitmentDiscountType",
    "commitment_status": "CommitmentDiscountStatus",
    "capacity_status": "CapacityReservationStatus",
    "service_category": "ServiceCategory",
    "service_name": "ServiceName",
    "sku_meter": "SkuMeter",
    "sku_id": "SkuId",
    "resource_id": "ResourceId",
    "resource_name": "ResourceName",
    "resource_type": "ResourceType",
    "region": "RegionId",
    "pricing_unit": "PricingUnit",
    "consumed_unit": "ConsumedUnit",
    "model": "x_Model",
    "token_class": "x_TokenClass",
}
_JSON = {"sku_price_details": "SkuPriceDetails", "tags": "Tags"}
_PROVIDERS = {"provider": "ProviderName", "issuer": "InvoiceIssuerName"}
_COSTS = {
    "billed": "BilledCost",
    "effective": "EffectiveCost",
    "list_cost": "ListCost",
    "contracted": "ContractedCost",
}
_QUANTITIES = {"pricing_quantity": "PricingQuantity", "consumed_quantity": "ConsumedQuantity"}
_TEAM_TAGS = ("team", "team_id", "team_alias")
_TOKENS = {
    "input_tokens": "x_InputTokens",
    "cached_input_tokens": "x_CachedInputTokens",
    "output_tokens": "x_OutputTokens",
    "requests_count": "x_RequestsCount",
}


def batches(connection: Connection, *conditions: ColumnElement[bool]) -> list[Row]:
    return list(connection.execute(select(import_batch).where(*conditions).order_by(import_batch.c.batch_id)))


def costs(connection: Connection, folder: Path, *conditions: ColumnElement[bool]) -> FromClause:
    """The charges that count: those of active batches that are no evidence."""
    batch = import_batch.c
    return charges_of(folder, batches(connection, batch.status == ACTIVE, ~batch.is_evidence, *conditions))


def within_month(month: str, moment: ColumnElement[datetime]) -> ColumnElement[bool]:
    start, end = map(naive, month_of(month))
    return and_(moment >= start, moment < end)


# What was charged


def charge_groups(connection: Connection, folder: Path, month: str, axis: str) -> list[ChargeGroup]:
    if axis not in AXES:
        raise UnknownKey("month axis", axis, AXES)
    of_month = [within_month(month, import_batch.c.period_start)] if axis == "billing" else []
    rows = costs(connection, folder, *of_month)
    keys = _keys(rows)
    columns = (*keys, *_sums(rows), *_times_of(rows))
    statement = select(*columns).where(within_month(month, rows.c[AXES[axis]])).group_by(*keys)
    return [_group(row) for row in connection.execute(statement.order_by(*keys))]


def charge_groups_between(connection: Connection, folder: Path, start: datetime, end: datetime) -> list[ChargeGroup]:
    """The part of each charge that falls in [start, end), by the time of its charge period."""
    rows = costs(connection, folder)
    first, last = rows.c.ChargePeriodStart, rows.c.ChargePeriodEnd
    keys = _keys(rows)
    begins_within = and_(first >= naive(start), first < naive(end))
    # A charge that takes no time counts where it is.
    within = select(*keys, *_sums(rows), *_times_of(rows)).where(begins_within, or_(last <= naive(end), last <= first))
    crosses = and_(first < naive(end), last > naive(start), last > first, ~and_(begins_within, last <= naive(end)))
    # Cut only after charges of the same time are added up: a bill of months has few times and any number of charges.
    times = (first.label("first_start"), last.label("last_end"))
    across = select(*keys, *_sums(rows), *times).where(crosses)
    found = [_group(row) for row in connection.execute(within.group_by(*keys).order_by(*keys))]
    cut = connection.execute(across.group_by(*keys, first, last).order_by(*keys, first, last))
    return joined([*found, *(part_of(_group(row), start, end) for row in cut)])


def daily_charge_groups(
    connection: Connection, folder: Path, start: datetime, end: datetime
) -> dict[datetime, list[ChargeGroup]]:
    """`charge_groups_between` of each day of [start, end)."""
    rows = costs(connection, folder)
    first, last = rows.c.ChargePeriodStart, rows.c.ChargePeriodEnd
    keys, day = _keys(rows), time_bin("day", rows.c.ChargePeriodStart)
    within = and_(first >= naive(start), first < naive(end), or_(last <= day + DAY, last <= first))
    of_day = select(day.label("day"), *keys, *_sums(rows), *_times_of(rows)).where(within).group_by(day, *keys)
    found: dict[datetime, list[ChargeGroup]] = {start + n * DAY: [] for n in range((end - start) // DAY)}
    for row in connection.execute(of_day.order_by(day, *keys)):
        found[row.day.replace(tzinfo=UTC)].append(_group(row))
    crosses = and_(first < naive(end), last > naive(start), last > first, last > day + DAY)
    times = (first.label("first_start"), last.label("last_end"))
    across = select(*keys, *_sums(rows), *times).where(crosses).group_by(*keys, first, last)
    for row in connection.execute(across.order_by(*keys, first, last)):
        group = _group(row)
        for at, groups in found.items():
            if row.first_start < naive(at + DAY) and row.last_end > naive(at):
                groups.append(part_of(group, at, at + DAY))
    return {at: joined(groups) for at, groups in found.items()}


def _keys(rows: FromClause) -> list[ColumnElement]:
    # As stored, nulls too: DuckDB groups dictionary-coded texts by their codes only while nothing is done to them.
    return [rows.c[column].label(name) for name, column in (_TEXTS | _JSON | _PROVIDERS).items()]


def _sums(rows: FromClause) -> list[ColumnElement]:
    cell = rows.c
    return [
        *(func.sum(cell[column]).label(name) for name, column in (_COSTS | _QUANTITIES).items()),
        *(func.count(cell[column]).label(f"{name}_count") for name, column in _COSTS.items()),
        func.count().label("rows_count"),
        func.min(cell.ChargeDescription).label("description"),
    ]


def _times_of(rows: FromClause) -> tuple[ColumnElement, ColumnElement]:
    return func.min(rows.c.ChargePeriodStart).label("first_start"), func.max(rows.c.ChargePeriodEnd).label("last_end")


def _group(row: Row) -> ChargeGroup:
    values: dict[str, Any] = {name: getattr(row, name) or "" for name in (*_TEXTS, "description")}
    values["provider"] = row.provider or row.issuer or ""
    values |= {name: getattr(row, name) for name in _QUANTITIES}
    for name in _COSTS:
        values[name] = getattr(row, name) if getattr(row, f"{name}_count") == row.rows_count else None
    for name in _JSON:
        values[name] = _texts(getattr(row, name))
    times = {"first_start": aware(row.first_start), "last_end": aware(row.last_end)}
    return ChargeGroup(rows_count=row.rows_count, **values, **times)


def _texts(document: str | None) -> dict[str, str]:
    """A JSON object, each value as text: tags may be true, and counts numbers."""
    found = json.loads(document) if document else {}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def gateway_use(connection: Connection, folder: Path, start: datetime, end: datetime) -> list[TeamUse]:
    batch = import_batch.c
    rows = charges_of(folder, batches(connection, batch.status == ACTIVE, batch.is_evidence))
    model = func.coalesce(rows.c.x_Model, "").label("model_key")
    team = func.coalesce(*(json_text(rows.c.Tags, key) for key in _TEAM_TAGS), "").label("team")
    sums = [func.coalesce(func.sum(rows.c[column]), 0).label(name) for name, column in _TOKENS.items()]
    at = rows.c.ChargePeriodStart
    statement = select(model, team, *sums).where(at >= naive(start), at < naive(end)).group_by(model, team)
    return [
        TeamUse(model_key=row.model_key, team=row.team, **{name: int(getattr(row, name)) for name in _TOKENS})
        for row in connection.execute(statement.order_by(model, team))
    ]


# Months and what changed in them


def months(connection: Connection, now: datetime) -> pd.DataFrame:
    is_locked = locks(connection)
    versions: dict[tuple, list[Row]] = defaultdict(list)
    for row in batches(connection, ~import_batch.c.is_evidence):
        versions[row.period_start, row.provider or "", row.billing_account or ""].append(row)
    found = [_month(own, is_locked(own[0]), naive(now)) for _, own in sorted(versions.items())]
    names = ("month", "provider", "billing_account", "currency", "rows_count", "billed", "effective", "state")
    frame = pd.DataFrame(found, columns=[*names, "imported_at", "versions_count", "pending_count"])
    return frame.astype({"imported_at": "datetime64[us, UTC]"})


def _month(versions: Sequence[Row], is_locked: bool, now: datetime) -> dict[str, Any]:
    newest = max(versions, key=lambda row: (row.status == ACTIVE, row.imported_at))
    stands = newest.status == ACTIVE
    is_final = stands and newest.period_end <= now and not newest.uninvoiced_count
    return {
        "month": f"{newest.period_start:%Y-%m}",
        "provider": newest.provider or "",
        "billing_account": newest.billing_account or "",
        "currency": newest.currency,
        "rows_count": newest.rows_count if stands else 0,
        "billed": newest.BilledCost if stands else None,
        "effective": newest.EffectiveCost if stands else None,
        "state": "locked" if is_locked else "final" if is_final else "open",
        "imported_at": aware(newest.imported_at),
        "versions_count": sum(row.status != PENDING for row in versions),
        "pending_count": sum(row.status == PENDING for row in versions),
    }


def restatements(connection: Connection, folder: Path, month: str) -> pd.DataFrame:
    """Each version of a month beside the one that took its place, and the active one beside what waits."""
    known = batches(connection, within_month(month, import_batch.c.period_start), ~import_batch.c.is_evidence)
    by_id = {batch.batch_id: batch for batch in known}
    pairs = [(old, by_id[old.superseded_by]) for old in known if old.superseded_by in by_id]
    key = ("provider", "billing_account", "period_start")
    standing = {tuple(getattr(row, name) for name in key): row for row in known if row.status == ACTIVE}
    pairs += [
        (standing[place], row)
        for row in known
        if row.status == PENDING and (place := tuple(getattr(row, name) for name in key)) in standing
    ]
    billed = _billed_by_service(connection, folder, {row.batch_id: row for pair in pairs for row in pair}.values())
    found = []
    for old, new in pairs:
        before, after = billed[old.batch_id], billed[new.batch_id]
        for service, currency in sorted(before.keys() | after.keys()):
            was, now = (side.get((service, currency), Decimal(0)) for side in (before, after))
            if was != now:
                found.append(
                    {
                        "provider": old.provider or "",
                        "billing_account": old.billing_account or "",
                        "service": service,
                        "currency": currency,
                        "before": was,
                        "after": now,
                        "difference": exact_sum((now, was.copy_negate())),
                        "superseded_at": aware(old.superseded_at) if old.status == SUPERSEDED else None,
                    }
                )
    names = ("provider", "billing_account", "service", "currency", "before", "after", "difference", "superseded_at")
    return pd.DataFrame(found, columns=list(names)).astype({"superseded_at": "datetime64[us, UTC]"})


def _billed_by_service(connection: Connection, folder: Path, of: Any) -> dict[str, dict[tuple[str, str], Decimal]]:
    found: dict[str, dict[tuple[str, str], Decimal]] = defaultdict(dict)
    rows = by_batch(folder, list(of))
    service, currency = func.coalesce(rows.c.ServiceName, ""), rows.c.BillingCurrency
    statement = select(rows.c.batch_id, service, currency, func.sum(rows.c.BilledCost))
    for batch_id, name, code, billed in connection.execute(statement.group_by(rows.c.batch_id, service, currency)):
        found[batch_id][name, code] = billed
    return found
