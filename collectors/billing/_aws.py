"""AWS Cost and Usage Reports as FOCUS charges: legacy and 2.0 differ in how columns are named, not in what they say.

Billed cost is the unblended cost, or the net one where the account has discounts that the report works in. Effective
cost is amortised as `_aws_kinds` says. What a commitment's fee paid for and nobody used becomes a charge of its own
after the rows of the file, billed at 0, so that buying and wasting stay two things. A container's share of an instance
(split cost allocation) stays at no cost: the instance's own row is in the file too, and only one of them may count.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, Inexact
from functools import lru_cache

from collectors.billing import _aws_names as names
from collectors.billing._aws_bedrock import COLUMN_OF, token_use
from collectors.billing._aws_cost import billed_cost, effective_cost, list_prices, uses_net
from collectors.billing._aws_kinds import Kind, kind_of
from collectors.billing._aws_rows import Rows, fit
from collectors.billing._csv import header_of
from collectors.billing._read import read_table
from collectors.billing._tables import Cells, Chunk
from collectors.billing.base import BillingSource
from costlib.billing import MONEY_PRECISION, exact_text
from costlib.errors import BadRecord

_SAME = {
    "BillingCurrency": "line_item_currency_code",
    "BillingPeriodStart": "bill_billing_period_start_date",
    "BillingPeriodEnd": "bill_billing_period_end_date",
    "ChargeDescription": "line_item_line_item_description",
    "PublisherName": "line_item_legal_entity",
    "InvoiceIssuerName": "bill_invoicing_entity",
    "InvoiceId": "bill_invoice_id",
    "BillingAccountId": "bill_payer_account_id",
    "BillingAccountName": "bill_payer_account_name",
    "SubAccountId": "line_item_usage_account_id",
    "SubAccountName": "line_item_usage_account_name",
    "SkuId": "product_sku",
    "SkuPriceId": "pricing_rate_code",
    "SkuMeter": "line_item_usage_type",
    "ResourceId": "line_item_resource_id",
    "AvailabilityZone": "line_item_availability_zone",
}
_WIDE = Context(prec=2 * MONEY_PRECISION, traps=[Inexact])
_PLAN, _RESERVATION = "Savings Plan", "Reservation"
_COMMITMENT_ID = {_PLAN: "savings_plan_savings_plan_arn", _RESERVATION: "reservation_reservation_arn"}
_COMMITMENT_CATEGORY = {_PLAN: "Spend", _RESERVATION: "Usage"}
_KIND_TEXTS = (
    names.TYPE,
    "line_item_usage_type",
    "line_item_product_code",
    "bill_bill_type",
    "pricing_term",
    "pricing_unit",
    "capacity_reservation_capacity_reservation_status",
)
_KIND_FLAGS = ("line_item_tax_type", "reservation_reservation_arn", names.SPLIT_OF)


def focus_chunks(source: BillingSource) -> Iterator[Chunk]:
    """The rows of a report under FOCUS names, and after them what commitments cost that nobody used."""
    header = Counter(names.canonical(name) for name in header_of(source.head()))
    _check_header(source, header)
    has_net = names.NET in header and uses_net(source)
    unused: list[dict[str, str | None]] = []
    next_row = 1
    for chunk in read_table(source):
        next_row = chunk.first_row + chunk.rows_count
        yield _focus(Rows.of(chunk), has_net, unused)
    if unused:
        source.notes["unused parts of commitments, as charges of their own that are billed at 0"] = len(unused)
        columns = {name: [row[name] for row in unused] for name in unused[0]}
        yield Chunk(source=source, columns=columns, first_row=next_row, lines=None)


def _check_header(source: BillingSource, header: Counter[str]) -> None:
    twice = [f"{name} ({legacy})" for name, legacy in names.REQUIRED.items() if header[name] > 1]
    if twice:
        raise BadRecord(f"{source.name} has the column {', '.join(twice)} in two spellings; export it again with one")
    given = header.keys() | ({"line_item_currency_code"} if source.currency else set())
    missing = [f"{name} ({legacy})" for name, legacy in names.REQUIRED.items() if name not in given]
    if missing:
        raise BadRecord(
            f"{source.name} lacks the column {', '.join(missing)}; add it to the report and export it again"
        )


def _focus(rows: Rows, has_net: bool, unused: list[dict[str, str | None]]) -> Chunk:
    """These rows; to `unused` is added what their commitments' fees paid for and nobody used."""
    kinds = [kind_of(*row) for row in zip(*map(rows.texts, _KIND_TEXTS), *map(rows.flags, _KIND_FLAGS), strict=True)]
    _note(rows, kinds)
    columns: dict[str, Cells] = {"ProviderName": ["AWS"] * rows.count}
    columns |= {ours: rows.take(ours, name) for ours, name in _SAME.items()}
    columns |= _charge_period(rows) | _of_kinds(kinds) | _of_products(rows) | _commitments(rows, kinds)
    columns |= {"Tags": rows.tags()} | _tokens(rows, kinds, columns["ServiceName"]) | _quantities(rows, kinds)
    columns["BilledCost"] = billed_cost(rows, kinds, has_net)
    columns["EffectiveCost"], wasted = effective_cost(rows, kinds, columns["BilledCost"], has_net)
    columns |= list_prices(rows, kinds)
    for index, amount in wasted.items():
        row = {name: cells[index] for name, cells in columns.items()}
        unused.append(row | _unused_part(rows, index, kinds[index], amount))
    return rows.named(columns)


def _note(rows: Rows, kinds: Sequence[Kind]) -> None:
    notes = rows.chunk.source.notes
    for line_type, kind in zip(rows.cells(names.TYPE), kinds, strict=True):
        if not kind.is_known:
            notes[f"lines of the unknown type {(line_type or '')[:40]!r}, taken as usage of no quantity"] += 1
    if shares := sum(rows.flags(names.SPLIT_OF)):
        notes["shares of containers in an instance, at no cost beside the instance's own row"] += shares


def _charge_period(rows: Rows) -> dict[str, Cells]:
    """When the use was. A fee may begin and end in one moment: then the row's interval, or the billing period."""
    starts = list(rows.take("ChargePeriodStart", "line_item_usage_start_date"))
    ends = list(rows.take("ChargePeriodEnd", "line_item_usage_end_date"))
    moments = [i for i, (start, end) in enumerate(zip(starts, ends, strict=True)) if not end or start == end]
    if moments:
        intervals = rows.texts("identity_time_interval")
        first, last = rows.cells("bill_billing_period_start_date"), rows.cells("bill_billing_period_end_date")
        for i in moments:
            start, _, end = intervals[i].partition("/")
            starts[i], ends[i] = (start, end) if end and start != end else (first[i], last[i])
        rows.chunk.source.notes["charges of one moment, placed in their interval or billing period"] += len(moments)
    return {"ChargePeriodStart": starts, "ChargePeriodEnd": ends}


def _of_kinds(kinds: Sequence[Kind]) -> dict[str, Cells]:
    return {
        "ChargeCategory": [kind.category for kind in kinds],
        "ChargeClass": [kind.charge_class for kind in kinds],
        "ChargeFrequency": [kind.frequency for kind in kinds],
        "ServiceCategory": [kind.service_category for kind in kinds],
        "PricingCategory": [kind.pricing for kind in kinds],
        "PricingUnit": [kind.unit for kind in kinds],
        "ConsumedUnit": [None if kind.capacity_status == "Unused" else kind.unit for kind in kinds],
        "CommitmentDiscountCategory": [_COMMITMENT_CATEGORY.get(kind.commitment or "") for kind in kinds],
        "CommitmentDiscountType": [kind.commitment for kind in kinds],
        "CommitmentDiscountStatus": [kind.commitment_status for kind in kinds],
        "CapacityReservationStatus": [kind.capacity_status for kind in kinds],
        "SkuPriceDetails": [_details(kind.instance_type) for kind in kinds],
    }


@lru_cache(maxsize=4_096)
def _details(instance_type: str | None) -> str | None:
    return None if instance_type is None else json.dumps({"InstanceType": instance_type})


def _of_products(rows: Rows) -> dict[str, Cells]:
    """Service and region: a column in a legacy report, an attribute of the product in CUR 2.0."""
    services = zip(
        rows.take("ServiceName", "product_product_name"),
        rows.attribute("product_name"),
        rows.cells("line_item_product_code"),
        strict=True,
    )
    regions = zip(
        rows.take("RegionId", "product_region_code"),
        rows.attribute("region"),
        rows.cells("product_region"),
        strict=True,
    )
    return {"ServiceName": [a or b or c for a, b, c in services], "RegionId": [a or b or c for a, b, c in regions]}


def _commitments(rows: Rows, kinds: Sequence[Kind]) -> dict[str, Cells]:
    ids = {commitment: rows.cells(name) for commitment, name in _COMMITMENT_ID.items()}
    held = rows.cells("capacity_reservation_capacity_reservation_arn")
    return {
        "CommitmentDiscountId": [ids[k.commitment][i] if k.commitment else None for i, k in enumerate(kinds)],
        # A reservation that nobody uses is the resource itself.
        "CapacityReservationId": [
            arn or (resource if "capacity-reservation/" in resource else None)
            for arn, resource in zip(held, rows.texts("line_item_resource_id"), strict=True)
        ],
    }


def _tokens(rows: Rows, kinds: Sequence[Kind], services: Cells) -> dict[str, Cells]:
    """Of Amazon Bedrock: the model, and how many tokens of which class."""
    texts = map(rows.texts, ("line_item_product_code", "line_item_usage_type", "pricing_unit", names.DESCRIPTION))
    uses = [token_use(*row) for row in zip((name or "" for name in services), *texts, strict=True)]
    if not any(uses):
        return {}
    tokens: dict[str, list[str | None]] = {column: [None] * rows.count for column in COLUMN_OF.values()}
    for index, (use, kind) in enumerate(zip(uses, kinds, strict=True)):
        amount = rows.amount(index, names.AMOUNT) if use and kind.is_use else None
        if use and use.tokens_per_unit is not None and amount is not None:
            tokens[COLUMN_OF[use.token_class]][index] = exact_text(_WIDE.multiply(amount, use.tokens_per_unit))
    return {
        "x_Model": [use and use.model for use in uses],
        "x_TokenClass": [use and use.token_class for use in uses],
        **tokens,
    }


def _quantities(rows: Rows, kinds: Sequence[Kind]) -> dict[str, Cells]:
    if names.AMOUNT not in rows:
        return {}
    used = rows.number("PricingQuantity", names.AMOUNT, [kind.is_use for kind in kinds])
    idle = [kind.capacity_status == "Unused" for kind in kinds]
    return {"PricingQuantity": used, "ConsumedQuantity": [None if i else a for a, i in zip(used, idle, strict=True)]}


def _unused_part(rows: Rows, index: int, kind: Kind, amount: Decimal) -> dict[str, str | None]:
    """What makes a fee's row the row of what the fee paid for and nobody used."""
    hours = rows.cells("reservation_unused_quantity")[index] if kind.commitment == _RESERVATION else None
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "CommitmentDiscountStatus": "Unused",
        "BilledCost": "0",
        "EffectiveCost": exact_text(amount),
        "PricingQuantity": fit(hours) if hours else None,
        "PricingUnit": "Hours" if hours else None,
        "SkuPriceDetails": _details(kind.machine) if hours else None,
    }
