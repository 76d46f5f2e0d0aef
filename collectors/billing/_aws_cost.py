"""What the lines of an AWS report cost: as billed, amortised, and at list price."""

import re
from collections.abc import Sequence
from decimal import Decimal

from collectors.billing import _aws_names as names
from collectors.billing._aws_kinds import Effective, Kind
from collectors.billing._aws_rows import Rows
from collectors.billing._read import read_table
from collectors.billing._tables import Cells
from collectors.billing.base import BillingSource
from costlib.billing import exact_sum, exact_text

_SOMETHING = re.compile(r"\s*[+-]?[0.]*[1-9]")


def uses_net(source: BillingSource) -> bool:
    """Whether any row has a net cost: the column of an account without discounts may be there and say nothing."""
    for chunk in read_table(BillingSource(path=source.path)):
        if any(cell and _SOMETHING.match(cell) for cell in set(Rows.of(chunk).cells(names.NET))):
            return True
    return False


def billed_cost(rows: Rows, kinds: Sequence[Kind], has_net: bool) -> Cells:
    unblended = rows.number("BilledCost", names.UNBLENDED)
    if not all(unblended):
        # A container's share has its amounts in columns of its own.
        shares = rows.flags(names.SPLIT_OF)
        unblended = ["0" if share and not cost else cost for cost, share in zip(unblended, shares, strict=True)]
    if not has_net:
        return unblended
    rows.rest[rows.name_of[names.UNBLENDED]] = rows.cells(names.UNBLENDED)
    net = rows.number("BilledCost", names.NET)
    # The net costs of other lines have a discount in them already, so the line of the discount itself is 0.
    return [n or ("0" if k.is_discount else u) for n, u, k in zip(net, unblended, kinds, strict=True)]


def effective_cost(rows: Rows, kinds: Sequence[Kind], billed: Cells, has_net: bool) -> tuple[Cells, dict[int, Decimal]]:
    """The amortised cost of each row, and by row what its fee paid for and nobody used."""
    effective, unused, unknown = list(billed), {}, 0
    for index, kind in enumerate(kinds):
        if kind.effective is Effective.AS_BILLED:
            continue
        amount = _amortised(rows, index, kind.effective, has_net)
        if amount is None:
            unknown += 1
            effective[index] = None
        elif kind.category == "Purchase":
            effective[index] = "0"
            if amount:
                unused[index] = amount
        else:
            effective[index] = exact_text(amount)
    if unknown:
        rows.chunk.source.notes["lines of a commitment that do not say what they cost amortised"] += unknown
    return effective, unused


def _amortised(rows: Rows, index: int, how: Effective, has_net: bool) -> Decimal | None:
    def net_or(name: str) -> Decimal | None:
        net = rows.amount(index, name.format("net_")) if has_net else None
        return rows.amount(index, name.format("")) if net is None else net

    match how:
        case Effective.NOTHING:
            return Decimal(0)
        case Effective.PLAN_USED:
            return net_or("savings_plan_{}savings_plan_effective_cost")
        case Effective.RESERVATION_USED:
            return net_or("reservation_{}effective_cost")
        case Effective.PLAN_UNUSED:
            committed = rows.amount(index, "savings_plan_total_commitment_to_date")
            used = rows.amount(index, "savings_plan_used_commitment")
            return None if committed is None or used is None else exact_sum((committed, used.copy_negate()))
        case _:
            upfront = net_or("reservation_{}unused_amortized_upfront_fee_for_billing_period")
            recurring = net_or("reservation_{}unused_recurring_fee")
            parts = [part for part in (upfront, recurring) if part is not None]
            return exact_sum(parts) if parts else None


def list_prices(rows: Rows, kinds: Sequence[Kind]) -> dict[str, Cells]:
    """Only what is used once has a list price to compare with. What is no number there is left in the rest."""
    columns = {"ListCost": "pricing_public_on_demand_cost", "ListUnitPrice": "pricing_public_on_demand_rate"}
    found: dict[str, Cells] = {}
    for ours, name in columns.items():
        is_number = {cell: _is_number(cell) for cell in set(rows.cells(name))}
        wanted = [kind.is_use and is_number[cell] for kind, cell in zip(kinds, rows.cells(name), strict=True)]
        found[ours] = rows.number(ours, name, wanted) if name in rows else (None,) * rows.count
    return found


def _is_number(text: str | None) -> bool:
    try:
        return bool(text) and Decimal(text or "").is_finite()
    except ArithmeticError:
        return False
