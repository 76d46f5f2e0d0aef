"""Where a product's cost sits: product, model, pool of GPUs, replica; each level adds up to the row above it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from costlib.allocation import split
from costlib.billing import SMALLEST, exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis, ServerUse
from costlib.bridge_cents import in_cents_to
from costlib.bucket_words import WORDS
from costlib.capacity import GpuCapacity
from costlib.charge_kind import bucket_of
from costlib.ownership import Match
from costlib.slices import ItemKind, Slice

LEVELS = ("product", "model", "pool", "replica")
NOT_NAMED = "not named on the bill"
_NO_MODEL = "no model measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Part of a period's cost, exact: what one machine, or another charged thing, cost for one model of a product.

    `model` is what a charge is for where it is for no model: tax, storage, GPUs that no server is matched to.
    `gpu_hours` is None where the bill does not say. Texts are as billed and named.
    """

    product: str
    model: str
    pool: str
    replica: str
    amount: Decimal
    gpu_hours: Decimal | None = None

    @property
    def path(self) -> tuple[str, str, str, str]:
        return self.product, self.model, self.pool, self.replica


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRow:
    """One row of a level, in whole cents; `before` is None where there is no period before."""

    name: str
    cost: Decimal
    before: Decimal | None = None
    gpu_hours: Decimal | None = None
    is_leaf: bool = False  # nothing further is known of it

    @property
    def change(self) -> Decimal | None:
        return None if self.before is None else self.cost - self.before

    @property
    def per_gpu_hour(self) -> Decimal | None:
        """Money per GPU-hour; None where the hours are not known."""
        return self.cost / self.gpu_hours if self.gpu_hours else None


def parts(
    basis: CostBasis,
    groups: Sequence[ChargeGroup],
    capacity: Sequence[GpuCapacity | None],
    matches: Sequence[Match],
    servers: Iterable[ServerUse],
    found: Iterable[Slice],
    product_of: Callable[[str], str],
) -> tuple[Part, ...]:
    """The charges of one currency as parts; `groups`, `capacity` and `matches` are in the same order.

    Equation   sum of parts = sum of charges, to the last digit. A machine that serves several models is divided by
               what its deployment cost for each of them, as `found`, the slices of the same period, say
    Returns    parts in the order of their paths
    Valid for  charges that all have a cost of this basis; a trial balance refuses others
    Example    a node that two models share three to one
    >>> from costlib.capacity import Purchase
    >>> from costlib.slices import Item
    >>> node = ChargeGroup(currency="USD", billed=Decimal(8), resource_name="node-1", region="eu")
    >>> gpu = GpuCapacity(gpu_key="h100-sxm", gpus_count=8.0, gpu_hours=Decimal(80), purchase=Purchase.SPOT,
    ...                   instance_type="")
    >>> shares = [Slice(item=Item(kind=ItemKind.GPU, deployment_key="d", model_key=model),
    ...                 amounts={Bucket.OUTPUT: Decimal(amount)}) for model, amount in (("a", 6), ("b", 2))]
    >>> made = parts(CostBasis.BILLED, [node], [gpu], [Match(deployment_key="d")], [], shares, str.upper)
    >>> [(part.product, part.model, part.pool, part.replica, int(part.amount)) for part in made]
    [('D', 'a', 'h100-sxm, spot, eu', 'node-1', 6), ('D', 'b', 'h100-sxm, spot, eu', 'node-1', 2)]
    """
    weights = _weights(found)
    targets: dict[str, set[str]] = defaultdict(set)
    for use in servers:
        targets[use.deployment_key].add(use.target_key)
    made: list[Part] = []
    for group, gpus, owner in zip(groups, capacity, matches, strict=True):
        cost = group.cost(basis) or Decimal(0)
        bucket = bucket_of(group, basis, is_gpu=gpus is not None)
        is_api = bool(group.model) and bucket in (Bucket.API, Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT)
        key = "" if is_api else owner.deployment_key
        one = Part(
            product=product_of(key) if key else "",
            model=group.model if is_api else WORDS[bucket][0],
            pool=_pool(group, gpus),
            replica=_replica(group, targets.get(key, set())),
            amount=cost,
            gpu_hours=gpus.gpu_hours if gpus else None,
        )
        if bucket is Bucket.UNALLOCATED_GPU and key:
            made += _by_model(one, weights.get(key, {}))
        else:
            made.append(one)
    return _merged(made)


def drill(
    now: Iterable[Part],
    before: Iterable[Part] | None,
    path: Sequence[str],
    cost: Decimal,
    cost_before: Decimal | None = None,
) -> tuple[DrillRow, ...]:
    """The level below `path` (product, then model, then pool), the dearest first.

    Equation   sum of rows = `cost` to the cent, and of what they were before = `cost_before`
    Returns    nothing for a path that has no parts; a replica is a leaf
    Example
    >>> made = [Part(product="p", model="m", pool="x", replica=str(n), amount=Decimal("0.005")) for n in (1, 2)]
    >>> [(row.name, str(row.cost)) for row in drill(made, None, ("p", "m", "x"), Decimal("0.01"))]
    [('1', '0.01'), ('2', '0.00')]
    """
    depth = len(path)
    mine = _grouped((part for part in now if part.path[:depth] == tuple(path)), depth)
    olds = {} if before is None else _grouped((part for part in before if part.path[:depth] == tuple(path)), depth)
    names = sorted(mine.keys() | olds.keys())
    if not names:
        return ()
    costs = in_cents_to([exact_sum(part.amount for part in mine.get(name, ())) for name in names], cost)
    earlier: Sequence[Decimal | None] = [None] * len(names)
    if before is not None and cost_before is not None:
        earlier = in_cents_to([exact_sum(part.amount for part in olds.get(name, ())) for name in names], cost_before)
    rows = [
        DrillRow(
            name=name, cost=amount, before=old, gpu_hours=_hours(mine.get(name, ())), is_leaf=depth + 1 == len(LEVELS)
        )
        for name, amount, old in zip(names, costs, earlier, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-abs(row.cost), row.name)))


def walk(
    now: Sequence[Part],
    before: Sequence[Part] | None,
    path: Sequence[str],
    cost: Decimal,
    cost_before: Decimal | None = None,
) -> tuple[tuple[str, ...], tuple[DrillRow, ...]]:
    """As `drill`, one level after another from the product, whose cents are `cost`: as far as `path` leads somewhere.

    >>> made = [Part(product="p", model="m", pool="x", replica="r", amount=Decimal(1))]
    >>> walk(made, None, ("p", "no such model"), Decimal(1))[0]
    ('p',)
    """
    gone = tuple(path[:1])
    rows = drill(now, before, gone, cost, cost_before)
    for name in path[1 : len(LEVELS) - 1]:
        row = next((row for row in rows if row.name == name), None)
        if row is None:
            break
        gone = (*gone, name)
        rows = drill(now, before, gone, row.cost, row.before)
    return gone, rows


def _weights(found: Iterable[Slice]) -> dict[str, dict[str, Decimal]]:
    """What each deployment's GPUs cost for each of its models."""
    amounts: dict[str, dict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        if one.item.kind is ItemKind.GPU and one.item.deployment_key:
            amounts[one.item.deployment_key][one.item.model_key].append(one.cost)
    return {key: {model: exact_sum(costs) for model, costs in mine.items()} for key, mine in amounts.items()}


def _by_model(one: Part, weights: Mapping[str, Decimal]) -> list[Part]:
    """The part divided by model; the whole of it is of one that is not known where nothing tells."""
    costs = split(one.amount, weights, fallback=min(weights, default=""))
    hours = None
    if one.gpu_hours is not None:
        hours = split(one.gpu_hours.quantize(SMALLEST), weights, fallback=min(weights, default=""))
    return [
        replace(one, model=model or _NO_MODEL, amount=amount, gpu_hours=None if hours is None else hours[model])
        for model, amount in costs.items()
        if amount or len(costs) == 1
    ]


def _pool(group: ChargeGroup, gpus: GpuCapacity | None) -> str:
    """What was bought and where: GPU, purchase and region, or else service and region."""
    if gpus is None:
        said: tuple[str, ...] = (group.service_name or group.sku_meter or group.charge_category, group.region)
    else:
        what = gpus.gpu_key or gpus.instance_type or group.sku_meter or group.service_name or "GPU"
        said = (what, str(gpus.purchase).replace("_", " "), group.region)
    return ", ".join(text for text in said if text)


def _replica(group: ChargeGroup, targets: set[str]) -> str:
    """The machine as the bill names it, else the only server that it can be."""
    named = group.resource_name or group.resource_id.rpartition("/")[2]
    return named or (next(iter(targets)) if len(targets) == 1 else NOT_NAMED)


def _grouped(of: Iterable[Part], depth: int) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in of:
        found[part.path[depth]].append(part)
    return found


def _hours(of: Sequence[Part]) -> Decimal | None:
    """The sum where every part tells; None else."""
    known = [part.gpu_hours for part in of if part.gpu_hours is not None]
    return exact_sum(known) if known and len(known) == len(of) else None


def _merged(made: Iterable[Part]) -> tuple[Part, ...]:
    alike: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in made:
        alike[part.path].append(part)
    return tuple(
        replace(same[0], amount=exact_sum(part.amount for part in same), gpu_hours=_hours(same))
        for _, same in sorted(alike.items())
    )
