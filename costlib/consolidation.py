"""Several models on fewer GPUs: MIG instances, time slices, adapters of one base, models that sleep; and what each
takes from those who wait for an answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from costlib.breakeven import ROUNDING
from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.hardware import GpuSpec
from costlib.kvcache import HOST_LINK_REACHED_FRACTION, reserve_bytes_per_gpu, sequence_bytes_per_gpu, weight_bytes
from costlib.mig import MigTable
from costlib.mig_packing import Packing, hosted_by, one_gpu, pack
from costlib.models import ModelSpec
from costlib.pooled import together
from costlib.replica import Replica, resident_tokens, solve_replica
from costlib.scenario import Deployment
from costlib.serving import ServingConfig
from costlib.units import GIBI, GIGA

# Requests per second per GPU of time-sliced processes over those of MIG instances, NVIDIA's own test as news reported
# it in March 2026 (domain_math §8.1, [14]); not re-read at the source.
TIME_SLICED_RATIO = 0.76
# Step time with several adapters in a batch over that of the base alone; assumed: published engines reach 80 % and more
# of the base's throughput.
ADAPTER_STEP_RATIO = 1.25
WAKE_FIXED_S = 0.5  # of waking beside the copy: allocation, first token; assumed (vLLM, sleep mode, 2025-10-26)
DISK_BYTES_PER_S = 2 * GIGA  # from which a model comes that left nothing in host memory; assumed
_ROUNDS = 40


class Way(StrEnum):
    """How models share GPUs."""

    WHOLE_GPUS = "whole_gpus"
    MIG = "mig"
    TIME_SLICING = "time_slicing"
    MULTI_LORA = "multi_lora"
    SLEEP_1 = "sleep_level_1"  # weights wait in host memory
    SLEEP_2 = "sleep_level_2"  # weights are dropped and read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What one deployment gets of a way of sharing: where, how fast, and how long a request may wait for its model."""

    deployment_key: str
    place: str
    tpot_s: float
    longest_wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """One way for all deployments. `gpus_count` is 0 and `why` says so where it cannot be done; else `why` is what it
    asks for."""

    way: Way
    gpus_count: int
    usd_per_hour: float
    tenants: tuple[Tenant, ...] = ()
    why: str = ""

    @property
    def is_able(self) -> bool:
        return self.gpus_count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """All ways of sharing one kind of GPU beside each other, and the packing behind MIG."""

    gpu_key: str
    usd_per_gpu_hour: float
    ways: tuple[Sharing, ...]
    packing: Packing

    def way(self, way: Way) -> Sharing:
        return next(one for one in self.ways if one.way is way)

    def saved_usd_per_hour(self, way: Way) -> float | None:
        """Against whole GPUs for each; None where either cannot be done."""
        whole, shared = self.way(Way.WHOLE_GPUS), self.way(way)
        return whole.usd_per_hour - shared.usd_per_hour if whole.is_able and shared.is_able else None


@dataclass(frozen=True, slots=True)
class Alone:
    """One deployment on one whole GPU."""

    deployment: Deployment
    model: ModelSpec
    serving: ServingConfig
    replica: Replica
    peak_requests_per_s: float  # with the headroom asked for: what capacity must be

    @property
    def key(self) -> str:
        return self.deployment.key

    @property
    def load_ratio(self) -> float:
        return self.peak_requests_per_s / self.replica.capacity_requests_per_s

    def running_count(self, time_ratio: float = 1.0) -> float:
        """Sequences at work at the peak when steps take so many times as long."""
        work = self.deployment.workload
        peak = work.requests_per_s * work.peak_to_mean_ratio
        return self.replica.running_count(min(peak * time_ratio, self.replica.capacity_requests_per_s))

    def tpot_s(self, time_ratio: float = 1.0, replicas_count: int = 1) -> float:
        """Time per token at the peak when steps take so many times as long."""
        work = self.deployment.workload
        peak = work.requests_per_s * work.peak_to_mean_ratio / replicas_count
        return self.replica.tpot_s(peak * time_ratio) * time_ratio

    @property
    def busy_tpot_s(self) -> float:
        """Time per token on a replica that is as full as it may be."""
        return self.replica.tpot_s(self.replica.capacity_requests_per_s * self.serving.target_busy_fraction)


def consolidate(
    deployments: Sequence[Deployment], gpu: GpuSpec, usd_per_gpu_hour: float, catalog: Catalog, table: MigTable
) -> Consolidation:
    """The same models on one kind of GPU, in every way of sharing it.

    Equation   whole GPUs      sum over models of replicas
               MIG             `mig_packing.pack`
               time slicing    `stretches`; X_i(s_i) >= peak_i / U, and weights, reserves and KV caches fit one memory
               multi-LoRA      one model with the work of all, steps 1.25 times as long
               sleep           cycle = sum of (switch + one answer) / (1 - sum of loads);  wait <= (1 - load_i) cycle
    Symbols    X requests per second   s times as long   U target_busy_fraction   load = peak / (X U) of a whole GPU
    Returns    Consolidation; a way that cannot be done says why
    Valid for  means at the peak hour, peaks at the same time; packing is first fit, rarely one GPU above the least.
               Time slices have no isolation: a process that takes too much memory takes the others with it
    Raises     DomainError for deployments that are bought by the token, and where there is none
    Source     domain_math §8.1; vLLM documentation, sleep mode and LoRA adapters; docs/sharing.md
    """
    if not deployments:
        raise DomainError("consolidation needs at least one deployment.")
    alone = [on_one_gpu(deployment, gpu, catalog) for deployment in deployments]
    packed = pack(deployments, gpu, usd_per_gpu_hour, catalog, table)
    ways = (
        _whole(alone, usd_per_gpu_hour, gpu),
        _mig(packed, usd_per_gpu_hour),
        _time_slicing(alone, gpu, usd_per_gpu_hour),
        _multi_lora(deployments, gpu, usd_per_gpu_hour, catalog),
        _sleeping(alone, gpu, usd_per_gpu_hour, Way.SLEEP_1),
        _sleeping(alone, gpu, usd_per_gpu_hour, Way.SLEEP_2),
    )
    return Consolidation(gpu_key=gpu.key, usd_per_gpu_hour=usd_per_gpu_hour, ways=ways, packing=packed)


def on_one_gpu(deployment: Deployment, gpu: GpuSpec, catalog: Catalog) -> Alone | str:
    """The deployment on one whole GPU, or why it cannot."""
    hosted, work = hosted_by(deployment), deployment.workload
    model, serving = catalog.model(deployment.model_key), one_gpu(hosted.serving)
    try:
        constants = catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
        replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
    except DomainError as error:
        return f"{deployment.key}: {error}"
    if replica.misses_tpot:
        return f"{deployment.key}: one sequence alone on a {gpu.name} is slower than max_tpot_s."
    peak = work.requests_per_s * work.peak_to_mean_ratio / serving.target_busy_fraction
    return Alone(deployment, model, serving, replica, peak)


def _cannot(way: Way, why: str) -> Sharing:
    return Sharing(way=way, gpus_count=0, usd_per_hour=0.0, why=why)


def _able(alone: Iterable[Alone | str]) -> tuple[list[Alone], str]:
    every = list(alone)
    return [one for one in every if isinstance(one, Alone)], next((one for one in every if isinstance(one, str)), "")


def _whole(alone: Iterable[Alone | str], usd_per_gpu_hour: float, gpu: GpuSpec) -> Sharing:
    able, refusal = _able(alone)
    if refusal:
        return _cannot(Way.WHOLE_GPUS, refusal)
    counts = [max(1, one.serving.min_replicas_count, ceil(one.load_ratio - ROUNDING)) for one in able]
    return Sharing(
        way=Way.WHOLE_GPUS,
        gpus_count=sum(counts),
        usd_per_hour=sum(counts) * usd_per_gpu_hour,
        tenants=tuple(
            Tenant(deployment_key=one.key, place=f"{count} x {gpu.name}", tpot_s=one.tpot_s(1.0, count))
            for one, count in zip(able, counts, strict=True)
        ),
    )


def _mig(packed: Packing, price: float) -> Sharing:
    if packed.why:
        return _cannot(Way.MIG, packed.why)
    return Sharing(
        way=Way.MIG,
        gpus_count=len(packed.gpus),
        usd_per_hour=len(packed.gpus) * price,
        tenants=tuple(
            Tenant(
                deployment_key=fit.deployment_key,
                place=f"{fit.instances_count} x {fit.profile_key}",
                tpot_s=fit.tpot_s or 0.0,
            )
            for fit in packed.chosen
        ),
        why="isolated memory, cache and SMs; a layout is changed only while its instances are idle",
    )


Able = Callable[[Sequence[Alone]], bool]


def _packed(able: Sequence[Alone], size: Callable[[Alone], float], fits: Able) -> list[list[Alone]] | None:
    """First fit, largest first; None where one does not even fit alone."""
    bins: list[list[Alone]] = []
    for one in sorted(able, key=size, reverse=True):
        home = next((each for each in bins if fits([*each, one])), None)
        if home is not None:
            home.append(one)
        elif fits([one]):
            bins.append([one])
        else:
            return None
    return bins


def stretches(at_work: Sequence[Callable[[float], float]]) -> list[float]:
    """How many times as long a step of each process takes that shares a GPU in time slices.

    Equation   s_i = (1 + sum over j != i of min(1, n_j(s_j))) / e;  1 for a process alone
    Symbols    n_j mean sequences running when steps take s_j times as long   e TIME_SLICED_RATIO
    Returns    [1] each
    Valid for  equal slices among the processes at work; one with anything running is at work
    Raises     nothing
    Source     processor sharing; domain_math §8.1
    Example    two that are always at work halve the GPU and lose a quarter to switching
    >>> [round(one, 2) for one in stretches([lambda s: 5.0, lambda s: 5.0])]
    [2.63, 2.63]
    """
    if len(at_work) == 1:
        return [1.0]
    found = [1.0] * len(at_work)
    for _ in range(_ROUNDS):
        busy = [min(1.0, running(stretch)) for running, stretch in zip(at_work, found, strict=True)]
        found = [(1 + sum(busy) - mine) / TIME_SLICED_RATIO for mine in busy]
    return found


def _time_slicing(alone: Iterable[Alone | str], gpu: GpuSpec, price: float) -> Sharing:
    able, refusal = _able(alone)
    if refusal:
        return _cannot(Way.TIME_SLICING, refusal)

    def fits(group: Sequence[Alone]) -> bool:
        slower = stretches([one.running_count for one in group])
        return _held_bytes(group, slower) <= gpu.hbm_bytes and all(
            one.replica.capacity_if(ratio) >= one.peak_requests_per_s
            and (one.deployment.max_tpot_s is None or one.tpot_s(ratio) <= one.deployment.max_tpot_s)
            for one, ratio in zip(group, slower, strict=True)
        )

    bins = _packed(able, lambda one: weight_bytes(one.model, one.serving), fits)
    if bins is None:
        return _cannot(Way.TIME_SLICING, "one of them needs more than one whole GPU: give it its own, and share the "
                       "rest")  # fmt: skip
    return Sharing(
        way=Way.TIME_SLICING,
        gpus_count=len(bins),
        usd_per_hour=len(bins) * price,
        tenants=tuple(
            Tenant(deployment_key=one.key, place=f"GPU {number} with {len(group) - 1} more", tpot_s=one.tpot_s(ratio))
            for number, group in enumerate(bins, 1)
            for one, ratio in zip(group, stretches([each.running_count for each in group]), strict=True)
        ),
        why="no isolation: every process must be told its share of the memory, and a busy neighbour slows every token",
    )


def _held_bytes(group: Sequence[Alone], slower: Sequence[float]) -> float:
    """Memory that processes side by side take: weights, reserve, and the KV cache of what runs at the peak."""
    return sum(
        (
            weight_bytes(one.model, one.serving)
            + reserve_bytes_per_gpu(one.model, one.serving)
            + max(1.0, one.running_count(ratio))
            * sequence_bytes_per_gpu(one.model, one.serving, resident_tokens(one.deployment.workload))
        )
        / one.serving.gpu_memory_utilization
        for one, ratio in zip(group, slower, strict=True)
    )


def _multi_lora(deployments: Sequence[Deployment], gpu: GpuSpec, price: float, catalog: Catalog) -> Sharing:
    bases = Counter(one.model_key for one in deployments)
    if len(bases) > 1:
        return _cannot(Way.MULTI_LORA, f"adapters share one base, and these are {len(bases)}: "
                       f"{', '.join(catalog.model(key).name for key in sorted(bases))}")  # fmt: skip
    limits = [one.max_tpot_s for one in deployments if one.max_tpot_s is not None]
    pooled = replace(
        deployments[0], key="all", workload=together(deployments), max_tpot_s=min(limits) if limits else None
    )
    one = on_one_gpu(pooled, gpu, catalog)
    if isinstance(one, str):
        return _cannot(Way.MULTI_LORA, one)
    capacity = one.replica.capacity_if(ADAPTER_STEP_RATIO)
    count = max(1, ceil(one.peak_requests_per_s / capacity - ROUNDING))
    tpot_s = one.tpot_s(ADAPTER_STEP_RATIO, count)
    return Sharing(
        way=Way.MULTI_LORA,
        gpus_count=count,
        usd_per_hour=count * price,
        tenants=tuple(
            Tenant(deployment_key=each.key, place="an adapter of the base", tpot_s=tpot_s) for each in deployments
        ),
        why="one copy of the weights and one batch; each model must be an adapter of this base, and steps are taken "
        f"to be {ADAPTER_STEP_RATIO:g} times as long",
    )


def _sleeping(alone: Iterable[Alone | str], gpu: GpuSpec, price: float, way: Way) -> Sharing:
    able, refusal = _able(alone)
    if refusal:
        return _cannot(way, refusal)
    bins = _packed(able, lambda one: one.load_ratio, lambda group: sum(one.load_ratio for one in group) < 1)
    if bins is None:
        return _cannot(way, "one of them needs more than one whole GPU: give it its own, and let the others take turns")
    tenants = []
    for number, group in enumerate(bins, 1):
        cycle_s = _cycle_s(group, gpu, way)
        tenants += [
            Tenant(
                deployment_key=one.key,
                place=f"GPU {number} in turns with {len(group) - 1} more",
                tpot_s=one.busy_tpot_s if len(group) > 1 else one.tpot_s(),
                longest_wait_s=cycle_s * (1 - one.load_ratio) if cycle_s else 0.0,
            )
            for one in group
        ]
    kept = sum(weight_bytes(one.model, one.serving) for one in able) / GIBI
    return Sharing(
        way=way,
        gpus_count=len(bins),
        usd_per_hour=len(bins) * price,
        tenants=tuple(tenants),
        why=f"one model is awake at a time; {kept:,.0f} GiB of host memory hold the weights of all"
        if way is Way.SLEEP_1
        else f"one model is awake at a time; weights are read again from a disk of {DISK_BYTES_PER_S / GIGA:g} GB/s",
    )


def switch_s(model: ModelSpec, serving: ServingConfig, gpu: GpuSpec, way: Way) -> float:
    """Time to put one model to sleep and wake it again, without what its running answers still take.

    Equation   2 W / (e M_h / 2) + 0.5 s at level 1, out and in;  W / disk + 0.5 s at level 2
    Returns    [s], assumed
    Source     vLLM documentation, sleep mode
    Example    16 GB of Llama 3.1 8B over 64 GB/s each way, 80 % reached: 0.3 s each way
    >>> llama = catalog.model("llama-3.1-8b"), ServingConfig(), catalog.gpu("h100-sxm")
    >>> round(switch_s(*llama, Way.SLEEP_1), 2), round(switch_s(*llama, Way.SLEEP_2), 1)
    (1.13, 8.5)
    """
    weights = weight_bytes(model, serving)
    if way is Way.SLEEP_2:
        return weights / DISK_BYTES_PER_S + WAKE_FIXED_S
    return 2 * weights / (gpu.host_link_bytes_per_s / 2 * HOST_LINK_REACHED_FRACTION) + WAKE_FIXED_S


def _cycle_s(group: Sequence[Alone], gpu: GpuSpec, way: Way) -> float:
    """The shortest round in which every model of the group gets its share; 0 for one that never sleeps."""
    if len(group) == 1:
        return 0.0
    switches_s = sum(
        switch_s(one.model, one.serving, gpu, way) + one.deployment.workload.mean_output_tokens * one.busy_tpot_s
        for one in group
    )
    return switches_s / (1 - sum(one.load_ratio for one in group))
