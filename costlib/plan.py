"""From what a million tokens cost to a target: single changes in the order of their effect, or why it cannot be had."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from costlib.catalog import Catalog
from costlib.errors import DomainError, PermillionError
from costlib.estimate import Undefined
from costlib.floor import floor
from costlib.pricing import PurchaseMix
from costlib.project import project, usd_per_gpu_hour
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.search import Space
from costlib.serving import KV_BYTES_PER_ELEMENT

BATCH_LIMITS = (64, 128, 256, 512, 1024)
SMALLEST_EFFECT = 1e-6  # of the cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting changed, and what a million tokens cost before and after."""

    what: str
    was: str
    becomes: str
    before_usd_per_mtok: float
    after_usd_per_mtok: float
    gpus_count: int
    tpot_s: float | None

    @property
    def saved_usd_per_mtok(self) -> float:
        return self.before_usd_per_mtok - self.after_usd_per_mtok


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes that reach the target, or as many as help. `unreachable` says why it is missed, else it is empty."""

    target_usd_per_mtok: float
    today_usd_per_mtok: float
    changes: tuple[Change, ...]
    end: Deployment
    unreachable: str = ""

    @property
    def end_usd_per_mtok(self) -> float:
        return self.changes[-1].after_usd_per_mtok if self.changes else self.today_usd_per_mtok


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    """A deployment with its cost: of whole replicas, and of the share of them that the demand needs."""

    deployment: Deployment
    usd_per_mtok: float
    needed_usd_per_hour: float
    gpus_count: int
    tpot_s: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """Whole replicas make plateaus: on one of them, the way that needs less is closer to the next step down."""
        return self.usd_per_mtok, self.needed_usd_per_hour


def plan_to(
    target_usd_per_mtok: float,
    deployment: Deployment,
    scenario: Scenario,
    catalog: Catalog,
    space: Space,
    max_ttft_s: float | None = None,
) -> Plan:
    """The single changes that bring a deployment's tokens to a target cost.

    Equation   from today, again and again the change of the largest effect, each setting once, until
               cost = $ per hour of whole replicas / tokens answered  is at most the target
    Returns    a Plan; the effects sum to today's cost minus the cost at the end
    Valid for  the demand as it is; `space` holds what may be chosen: GPUs with prices, formats, tensor parallelism.
               Steepest descent: each change is the best next one, and the whole need not be the cheapest of all
    Raises     DomainError for an API or a target that is not above 0; whatever today's deployment raises
    Source     docs/method.md
    """
    if not target_usd_per_mtok > 0:
        raise DomainError(f"a target cost is above 0 USD per million tokens, not {target_usd_per_mtok:g}.")
    if not isinstance(deployment.supply, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: there is nothing to change but its price.")
    now = today = _priced(deployment, scenario, catalog)
    changes: list[Change] = []
    reached = [today]
    settled: set[str] = set()
    while now.usd_per_mtok > target_usd_per_mtok:
        better = []
        for what, was, becomes, changed in _single_changes(now.deployment, scenario, catalog, space):
            if what in settled:
                continue
            try:
                then = _priced(changed, scenario, catalog, max_ttft_s)
            except PermillionError:
                continue  # does not fit, or misses a target: no choice
            if then.rank < (now.usd_per_mtok * (1 - SMALLEST_EFFECT), 0.0) or (
                then.usd_per_mtok <= now.usd_per_mtok * (1 + SMALLEST_EFFECT)
                and then.needed_usd_per_hour < now.needed_usd_per_hour * (1 - SMALLEST_EFFECT)
            ):
                better.append((then.rank, what, was, becomes, then))
        if not better:
            break
        _, what, was, becomes, then = min(better, key=lambda row: row[0])
        changes.append(
            Change(
                what=what,
                was=was,
                becomes=becomes,
                before_usd_per_mtok=now.usd_per_mtok,
                after_usd_per_mtok=then.usd_per_mtok,
                gpus_count=then.gpus_count,
                tpot_s=then.tpot_s,
            )
        )
        settled.add(what)
        now = then
        reached.append(now)
    # A step along a plateau that no step down follows has changed nothing.
    while changes and changes[-1].saved_usd_per_mtok < SMALLEST_EFFECT * today.usd_per_mtok:
        changes.pop()
        reached.pop()
    now = reached[-1]
    return Plan(
        target_usd_per_mtok=target_usd_per_mtok,
        today_usd_per_mtok=today.usd_per_mtok,
        changes=tuple(changes),
        end=now.deployment,
        unreachable=_why(target_usd_per_mtok, now, catalog, space),
    )


def _priced(deployment: Deployment, scenario: Scenario, catalog: Catalog, max_ttft_s: float | None = None) -> _Priced:
    whole = project(replace(scenario, deployments=(deployment,), target_usd_per_mtok=None), catalog)
    (part,) = whole.deployments
    if isinstance(whole.usd_per_mtok_blended, Undefined):
        raise DomainError(f"{deployment.key}: {whole.usd_per_mtok_blended.reason}.")
    for took, most, name in ((part.tpot_s, deployment.max_tpot_s, "token"), (part.ttft_s, max_ttft_s, "first token")):
        if took is not None and most is not None and took > most:
            raise DomainError(f"{deployment.key}: a {name} takes {took:.3g} s, and {most:.3g} s are allowed.")
    return _Priced(
        deployment=deployment,
        usd_per_mtok=whole.usd_per_mtok_blended,
        needed_usd_per_hour=part.needed_gpus_ratio * part.usd_per_hour / max(1, part.gpus_count),
        gpus_count=part.gpus_count,
        tpot_s=part.tpot_s,
    )


def _single_changes(
    deployment: Deployment, scenario: Scenario, catalog: Catalog, space: Space
) -> Iterator[tuple[str, str, str, Deployment]]:
    """What is changed, from what, to what, and the deployment with it."""
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    serving, paid = hosted.serving, usd_per_gpu_hour(hosted.purchase, scenario, catalog)

    def supplied(**changes: Any) -> Deployment:
        return replace(deployment, supply=replace(hosted, **changes))

    for key, price in space.usd_per_gpu_hour.items():
        if key != hosted.gpu_key:
            mix = PurchaseMix(stated_usd_per_gpu_hour=price)
            was, becomes = catalog.gpu(hosted.gpu_key).name, f"{catalog.gpu(key).name} at ${price:.2f} an hour"
            yield "GPU", was, becomes, supplied(gpu_key=key, purchase=mix)
        elif price < paid:
            mix = PurchaseMix(stated_usd_per_gpu_hour=price)
            yield "Price", f"${paid:.2f}", f"${price:.2f} a GPU-hour", supplied(purchase=mix)
    axes: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
        ("GPUs per replica", "tensor_parallel_count", space.tensor_parallel_counts),
        ("Weights", "weight_precision", space.weight_precisions),
        ("KV cache", "kv_precision", space.kv_precisions),
        ("max_num_seqs", "max_num_seqs", BATCH_LIMITS),
        ("Least replicas", "min_replicas_count", (1,) if serving.min_replicas_count > 1 else ()),
    )
    for what, field, values in axes:
        for value in values:
            was = getattr(serving, field)
            if value != was:
                edits: dict[str, Any] = {field: value}
                if field == "weight_precision":
                    edits["stated_weights_bytes"] = None  # which is that of its own format
                yield what, str(was), str(value), supplied(serving=replace(serving, **edits))


def _why(target: float, now: _Priced, catalog: Catalog, space: Space) -> str:
    if now.usd_per_mtok <= target:
        return ""
    lowest = _lowest_floor(now.deployment, catalog, space)
    if lowest > target:
        return (
            f"unreachable: the floor of these GPUs, prices and formats is ${lowest:.3f} per million tokens, by their "
            "data sheets alone. Allow fewer bits, other GPUs or lower prices, or send fewer tokens."
        )
    return (
        f"not reached: the best of single changes ends at ${now.usd_per_mtok:.3f} per million tokens. The floor is "
        f"${lowest:.3f}; what lies between is idle time, whole replicas and what no engine reaches of the data sheet."
    )


def _lowest_floor(deployment: Deployment, catalog: Catalog, space: Space) -> float:
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    model = catalog.model(deployment.model_key)
    found = []
    kv = min(space.kv_precisions, key=KV_BYTES_PER_ELEMENT.__getitem__)  # fewer bytes are never more dear
    for (key, price), weights, group in product(
        space.usd_per_gpu_hour.items(), space.weight_precisions, space.tensor_parallel_counts
    ):
        serving = replace(
            hosted.serving, weight_precision=weights, kv_precision=kv, tensor_parallel_count=group,
            stated_weights_bytes=None,
        )  # fmt: skip
        gpu = catalog.gpu(key)
        try:
            constants = catalog.engine.resolve(model, gpu, serving)
            found.append(
                floor(model, gpu, serving, deployment.workload, constants, price, deployment.max_tpot_s).usd_per_mtok
            )
        except PermillionError:
            continue  # this GPU cannot
    return min(found, default=float("inf"))
