"""What a token, a request and a GPU-hour cost, from a trial balance: prices that multiply back to the bill."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum

from costlib.allocation import WIDE, share_of, usd_per_mtok_of
from costlib.billing import exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis, Line, TokenClass, TrialBalance
from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined, weakest

Price = Decimal | Undefined

CLASS_BUCKETS = {
    TokenClass.INPUT: Bucket.INPUT,
    TokenClass.CACHED_INPUT: Bucket.CACHED_INPUT,
    TokenClass.OUTPUT: Bucket.OUTPUT,
}
_WASTE = (Bucket.PREEMPTION, Bucket.REJECTED_DRAFT)
_IDLE = (Bucket.WARM_IDLE, Bucket.START_AND_DRAIN, Bucket.UNMEASURED, Bucket.UNALLOCATED_GPU)
_COMMITMENT = (Bucket.COMMITMENT_WASTE, Bucket.COMMITMENT_PURCHASE)
_GPU_WORK = (*CLASS_BUCKETS.values(), *_WASTE)  # on lines with a deployment; without one they are an API's tokens
_AROUND_GPU = (
    *(Bucket.HOST, Bucket.NETWORK, Bucket.STORAGE, Bucket.SUPPORT_AND_LICENCE, Bucket.TAX),
    *_COMMITMENT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCost:
    """One class of tokens. `own` is what its work cost; `loaded` has its part of everything else, so that the loaded
    costs of the classes add up to the whole."""

    tokens: int | None
    own: Decimal
    per_mtok: Price
    loaded_per_mtok: Price
    basis: Basis = Basis.UNDEFINED  # the weakest of its lines


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """Prices of one model, or of all with `model_key` "", in the balance's currency."""

    model_key: str
    cost: Decimal  # of every line of the model; of the whole balance in all
    classes: Mapping[TokenClass, ClassCost]
    blended_per_mtok: Price  # all cost over all tokens
    tokens_per_unit: Price  # tokens for one dollar, or whatever the currency is
    per_request: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCosts:
    in_all: UnitCost
    by_model: tuple[UnitCost, ...]
    per_gpu_hour: Price  # GPUs alone
    all_in_per_gpu_hour: Price  # with hosts, network, storage, support, tax and commitments


def unit_costs(
    balance: TrialBalance, requests: Mapping[str, int | None], lines: Iterable[Line] | None = None
) -> UnitCosts:
    """Unit costs of a balance; `lines` are its lines with idle spread, where that is what is to be shown.

    Equation   own 10^6 / tokens;  loaded = own x cost / sum of own;  blended = cost 10^6 / all tokens
               per GPU-hour = GPU cost / billed GPU-hours;  all-in: with what the GPUs cannot run without
    Symbols    cost of a model: all lines that name it. Idle without a model is in the sum over all models only
    Returns    UnitCosts; a ratio without its denominator is Undefined and says why
    Valid for  `requests` finished, by model; None or absent where they are not exported
    Example    $3 of input and $5 of output of a million tokens each, and $2 idle
    >>> own = [Line(bucket=bucket, amount=Decimal(n), deployment_key="d", model_key="m", tokens=1_000_000)
    ...        for bucket, n in ((Bucket.INPUT, 3), (Bucket.OUTPUT, 5))]
    >>> idle = Line(bucket=Bucket.WARM_IDLE, amount=Decimal(2), deployment_key="d")
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(10),
    ...                     lines=(*own, idle), residual=Decimal(0), gpu_hours=4.0)
    >>> found = unit_costs(made, {"m": 1000})
    >>> output = found.in_all.classes[TokenClass.OUTPUT]
    >>> output.per_mtok, output.loaded_per_mtok, found.in_all.blended_per_mtok, found.per_gpu_hour
    (Decimal('5'), Decimal('6.25'), Decimal('5'), Decimal('2.5'))
    """
    shown = tuple(balance.lines if lines is None else lines)
    models = sorted({line.model_key for line in shown if line.model_key})
    served = [requests.get(model) for model in models]
    asked = None if None in served else sum(count for count in served if count is not None)
    gpu = [line.amount for line in balance.lines if _is_gpu(line)]
    around = [line.amount for line in balance.lines if line.bucket in _AROUND_GPU]
    return UnitCosts(
        in_all=_unit_cost("", shown, asked),
        by_model=tuple(
            _unit_cost(model, [line for line in shown if line.model_key == model], requests.get(model))
            for model in models
        ),
        per_gpu_hour=_per_gpu_hour(gpu, balance.gpu_hours),
        all_in_per_gpu_hour=_per_gpu_hour([*gpu, *around], balance.gpu_hours),
    )


def measured_fraction(balance: TrialBalance) -> float | Undefined:
    """How much of the matched GPUs' cost is of time in which their servers were watched [1].

    >>> lines = [Line(bucket=bucket, amount=Decimal(n), deployment_key="d")
    ...          for bucket, n in ((Bucket.OUTPUT, 6), (Bucket.WARM_IDLE, 2), (Bucket.UNMEASURED, 2))]
    >>> measured_fraction(TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(10),
    ...                                lines=tuple(lines), residual=Decimal(0)))
    0.8
    """
    mine = [line for line in balance.lines if line.deployment_key and _is_gpu(line)]
    watched = exact_sum(line.amount for line in mine if line.bucket in (*_GPU_WORK, Bucket.WARM_IDLE))
    return share_of(watched, exact_sum(line.amount for line in mine))


def class_bands(balance: TrialBalance) -> dict[TokenClass, tuple[Decimal, Decimal]]:
    """Least and most that a million tokens of each class cost by their own work, over the methods of splitting it.

    Equation   share x cost of all work on own GPUs x 10^6 / tokens
    Returns    currency per million tokens; classes without tokens, and balances without bands, are left out
    Valid for  own GPUs: tokens bought from an API are billed by class
    Example    between a quarter and half of $8 of work went into two million input tokens
    >>> line = Line(bucket=Bucket.INPUT, amount=Decimal(8), deployment_key="d", model_key="m", tokens=2_000_000)
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(8), lines=(line,),
    ...                     residual=Decimal(0), bands={"input": (0.25, 0.5)})
    >>> class_bands(made)[TokenClass.INPUT]
    (Decimal('1.00'), Decimal('2.0'))
    """
    work = [line for line in balance.lines if line.bucket in _GPU_WORK and line.deployment_key]
    whole = exact_sum(line.amount for line in work)
    found = {}
    for token_class, bucket in CLASS_BUCKETS.items():
        low, high = (Decimal(str(share)) * whole for share in balance.bands.get(str(bucket), ()) or (0, 0))
        tokens = sum(line.tokens or 0 for line in work if line.bucket is bucket)
        least, most = usd_per_mtok_of(low, tokens), usd_per_mtok_of(high, tokens)
        if bucket in balance.bands and isinstance(least, Decimal) and isinstance(most, Decimal):
            found[token_class] = (least, most)
    return found


def _unit_cost(model_key: str, lines: Iterable[Line], requests: int | None) -> UnitCost:
    lines = tuple(lines)
    cost = exact_sum(line.amount for line in lines)
    own, tokens, basis = {}, {}, {}
    for token_class, bucket in CLASS_BUCKETS.items():
        of_class = [line for line in lines if line.bucket is bucket]
        counts = [line.tokens for line in of_class if line.tokens is not None]
        own[token_class] = exact_sum(line.amount for line in of_class)
        basis[token_class] = weakest(*(line.basis for line in of_class)) if of_class else Basis.UNDEFINED
        # A sum that leaves some tokens out would make a price too high.
        tokens[token_class] = sum(counts) if len(counts) == len(of_class) else None
    worked = exact_sum(own.values())
    everything = None if None in tokens.values() else sum(count or 0 for count in tokens.values())
    classes = {
        token_class: ClassCost(
            tokens=tokens[token_class],
            own=own[token_class],
            per_mtok=_per_mtok(own[token_class], tokens[token_class]),
            loaded_per_mtok=_per_mtok(own[token_class] * cost / worked, tokens[token_class])
            if worked > 0
            else Undefined(reason="none of the cost is known to be of a class of tokens"),
            basis=basis[token_class],
        )
        for token_class in TokenClass
    }
    return UnitCost(
        model_key=model_key,
        cost=cost,
        classes=classes,
        blended_per_mtok=_per_mtok(cost, everything),
        tokens_per_unit=Decimal(everything) / cost
        if everything and cost > 0
        else Undefined(reason="no tokens were measured, or they cost nothing"),
        per_request=cost / requests if requests else Undefined(reason="no finished requests were measured"),
    )


def _per_mtok(cost: Decimal, tokens: int | None) -> Price:
    if tokens is None:
        return Undefined(reason="some of the charges do not say how many tokens they are for")
    return usd_per_mtok_of(cost, tokens)


def _is_gpu(line: Line) -> bool:
    return line.bucket in _IDLE or (line.bucket in _GPU_WORK and bool(line.deployment_key))


def _per_gpu_hour(amounts: Iterable[Decimal], gpu_hours: float | None) -> Price:
    if not gpu_hours:
        return Undefined(reason="no GPU-hours are billed")
    return exact_sum(amounts) / Decimal(str(gpu_hours))


class BridgeStep(StrEnum):
    """What becomes of the list price, in the order in which it is shown."""

    NEGOTIATED_DISCOUNT = "negotiated_discount"
    COMMITMENT_AND_SPOT = "commitment_and_spot"  # saved, less what commitments cost beside their use
    COMMITMENT_WASTE = "commitment_waste"  # with commitments bought now and used later
    NON_GPU = "non_gpu"  # and everything that is neither GPU time nor tokens
    IDLE = "idle"
    WASTE = "waste"
    INPUT = "input"
    CACHED_INPUT = "cached_input"
    OUTPUT = "output"


STEP_OF = {
    **dict.fromkeys(Bucket, BridgeStep.NON_GPU),
    **dict.fromkeys(_COMMITMENT, BridgeStep.COMMITMENT_WASTE),
    **dict.fromkeys(_IDLE, BridgeStep.IDLE),
    **dict.fromkeys(_WASTE, BridgeStep.WASTE),
    Bucket.INPUT: BridgeStep.INPUT,
    Bucket.CACHED_INPUT: BridgeStep.CACHED_INPUT,
    Bucket.OUTPUT: BridgeStep.OUTPUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """From what everything used would have cost at list price, down to the tokens. The steps add up to `list_price`."""

    list_price: Decimal
    paid: Decimal  # what the first two steps leave: the balance's total
    steps: Mapping[BridgeStep, Decimal]


def bridge(balance: TrialBalance, groups: Iterable[ChargeGroup]) -> Bridge:
    """Where the list price went; `groups` are those that the balance was made of.

    Equation   list = (list - contracted) + (contracted - cost) + sum of the balance's lines, to the last digit
    Returns    a Bridge. A charge without a list price stands at its contracted cost or its own: no saving is claimed.
               Commitments bought and commitments not used have no list price, as nothing was used: what they cost
               lessens the saving of those that were
    Raises     DomainError when the groups are not those of the balance, or its residual is not 0
    Example    list $10, a contract of $9, a commitment that makes it $6, of which $2 idle
    >>> used = ChargeGroup(currency="USD", billed=Decimal(6), list_cost=Decimal(10), contracted=Decimal(9))
    >>> lines = (Line(bucket=Bucket.OUTPUT, amount=Decimal(4)), Line(bucket=Bucket.WARM_IDLE, amount=Decimal(2)))
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(6), lines=lines,
    ...                     residual=Decimal(0))
    >>> found = bridge(made, [used])
    >>> found.list_price, [(str(step), int(amount)) for step, amount in found.steps.items() if amount]
    (Decimal('10'), [('negotiated_discount', 1), ('commitment_and_spot', 3), ('idle', 2), ('output', 4)])
    """
    listed, contracted, costs = [], [], []
    for group in groups:
        if group.currency == balance.currency:
            at_list, at_contract, cost = _prices(group, balance.basis)
            listed.append(at_list)
            contracted.append(at_contract)
            costs.append(cost)
    with localcontext(prec=WIDE):
        list_price, contract_price, paid = (exact_sum(amounts) for amounts in (listed, contracted, costs))
        if paid != balance.total or balance.residual:
            raise DomainError(
                f"{balance.month}: charges of {paid} {balance.currency} do not make the balance of {balance.total}, "
                f"whose residual is {balance.residual}; give the charges that it was made of."
            )
        steps = dict.fromkeys(BridgeStep, Decimal(0))
        steps[BridgeStep.NEGOTIATED_DISCOUNT] = list_price - contract_price
        steps[BridgeStep.COMMITMENT_AND_SPOT] = contract_price - paid
        for line in balance.lines:
            steps[STEP_OF[line.bucket]] += line.amount
    return Bridge(list_price=list_price, paid=paid, steps=steps)


def _prices(group: ChargeGroup, basis: CostBasis) -> tuple[Decimal, Decimal, Decimal]:
    """List price, contracted price and cost of a group."""
    cost = group.cost(basis)
    if cost is None:
        raise DomainError(f"{group.provider} {group.service_name}: the charges have no {basis} cost.")
    is_purchase = group.charge_category == "Purchase" and bool(group.commitment_id)
    if is_purchase or group.commitment_status == "Unused":
        return Decimal(0), Decimal(0), cost
    if group.charge_category != "Usage":
        return cost, cost, cost
    saves_by_kind = bool(group.commitment_id) or group.pricing_category in ("Committed", "Dynamic")
    if group.contracted is not None:
        contracted = group.contracted
    elif group.list_cost is not None and saves_by_kind:
        contracted = group.list_cost
    else:
        contracted = cost
    return group.list_cost if group.list_cost is not None else contracted, contracted, cost
