"""The floor: the least a million tokens can cost by the GPU's data sheet, and what fills the gap to what they cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from math import inf
from typing import Any

import numpy as np

from costlib.breakeven import usd_per_mtok
from costlib.catalog import Catalog
from costlib.engine import EngineConstants, EngineInputs, engine_inputs, steady_tpot_s, step_s
from costlib.errors import DomainError
from costlib.estimate import Basis, weakest
from costlib.hardware import GpuSpec
from costlib.models import ModelSpec
from costlib.pricing import GpuPrice, PriceKind, price_at
from costlib.project import usd_per_gpu_hour
from costlib.projection import DeploymentProjection
from costlib.replica import Bound, resident_tokens, solve_replica
from costlib.roofline import Floats
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.speculation import Speculation
from costlib.units import MS_PER_S, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from costlib.workload import Workload

# What a cache that forgets nothing would find: the larger of the ideal hit rates of two production traces
# (Wang et al., KVCache in the Wild, 2025). Assumed: a fleet whose prompts share more has measured more.
IDEAL_HIT_FRACTION = 0.62
ENDLESS = 2.0**40  # sequences: a batch in which the weights' share of a token's time is nothing


# Step time by batch, with the prompts of all sequences in it (0.0), or without one's own (1.0), as `steady_tpot_s`.
Curve = Callable[[Any, float], Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepWork:
    """What one GPU must compute and move in a step."""

    step_flop: Floats
    moved_bytes: Floats

    @property
    def flop_per_byte(self) -> Floats:
        return self.step_flop / self.moved_bytes


def step_work(inputs: EngineInputs, constants: EngineConstants, *loads: Any) -> StepWork:
    """Arithmetic and traffic of one GPU in a step; `loads` are those of `engine.step_s`.

    Equation   step_s of a GPU whose peaks are 1 FLOP/s and whose bandwidth is endless, and the other way round
    Returns    a StepWork, broadcast shape
    Valid for  what `engine.step_s` is valid for
    Raises     nothing
    Source     docs/method.md
    Example    8 B parameters in 16 bit: one token is 2 x 8 GFLOP of 16 GB, one FLOP for each byte
    >>> llama = engine_inputs(catalog.model("llama-3.1-8b"), catalog.gpu("h100-sxm"), ServingConfig())
    >>> round(float(step_work(llama, EngineConstants(), 1.0, 0.0).flop_per_byte), 2)
    1.0
    """
    sheet = _sheet(constants)
    alone = replace(inputs, link_bytes_per_s=np.inf)
    computing = replace(
        alone, dense_flop_per_s=1.0, expert_flop_per_s=1.0, attention_flop_per_s=1.0, hbm_bytes_per_s=np.inf
    )
    moving = replace(
        alone, dense_flop_per_s=np.inf, expert_flop_per_s=np.inf, attention_flop_per_s=np.inf, hbm_bytes_per_s=1.0
    )
    return StepWork(step_flop=step_s(computing, sheet, *loads), moved_bytes=step_s(moving, sheet, *loads))


def _sheet(constants: EngineConstants) -> EngineConstants:
    """The data sheet as it stands; but experts are touched no more evenly than measured: that is the model's doing."""
    return EngineConstants(expert_read_ratio=np.maximum(1.0, constants.expert_read_ratio))


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least cost, and the batch and speed at which it would be had."""

    usd_per_mtok: float
    tokens_per_s: float  # of one replica, input + output
    batch_count: float  # 2^40 stands for no end
    tpot_s: float
    memory_binds: bool  # else arithmetic does


class GapPart(StrEnum):
    """What a cost above the floor is paid for, in the order in which it is taken away."""

    PRICE = "price"
    IDLE = "idle"
    BATCH_FILL = "batch_fill"
    PREFILL_INTERFERENCE = "prefill_interference"
    KV_LIMIT = "kv_limit"
    CACHE_MISSES = "cache_misses"
    OVERHEAD = "overhead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """From what a million tokens cost down to the floor. The parts sum to the difference; one may be below zero."""

    usd_per_mtok: float
    floor: Floor
    parts: tuple[tuple[GapPart, float], ...]  # USD per million tokens
    basis: Basis


def least_price(catalog: Catalog, gpu_key: str, on: date) -> GpuPrice | None:
    """The lowest listed price of a GPU in force on a day; None without one. Spot is left out: it may be taken away."""
    keys = {
        price.key
        for price in catalog.gpu_prices
        if price.gpu_key == gpu_key and price.kind is not PriceKind.SPOT and price.valid_from <= on
    }
    listed = [price_at(catalog.gpu_prices, key, on) for key in sorted(keys)]
    return min(listed, key=lambda price: price.usd_per_gpu_hour, default=None)


def cost_gap(
    deployment: Deployment,
    projection: DeploymentProjection,
    scenario: Scenario,
    catalog: Catalog,
    constants: EngineConstants,
    measured_usd_per_mtok: float | None = None,
) -> Gap:
    """The least possible cost of this deployment's tokens, and what lies between it and what they cost.

    Equation   each cost is p g 10^6 / (3600 X);  X = B (I + O) / (O t(B)),  B the largest allowed with
               t(B) <= max_tpot. From the cost as it is, one after the other and each kept:
               price                 the least known price of this GPU
               idle                  X at capacity in place of the tokens served
               batch fill            B no longer held by max_num_seqs and max_num_batched_tokens
               prefill interference  prompts spread evenly over steps, where that beats whole chunks
               KV limit              B no longer held by memory
               cache misses          prompts found in the cache: IDEAL_HIT_FRACTION, or as today where that is more
               overhead              the sheet's peaks and perfect overlap, no fixed cost and no communication
    Symbols    p $ per GPU-hour   g GPUs of a replica   I, O mean prompt and output tokens   t step time
    Returns    a Gap. The parts sum to cost minus floor; another order would share it otherwise
    Valid for  this model, GPU, layout, formats and requests; the floor is a bound that no engine reaches
    Raises     DomainError when nothing is served, or when even the sheet is slower than max_tpot
    Source     docs/method.md
    """
    hosted, work = deployment.supply, deployment.workload
    if not isinstance(hosted, SelfHosted):
        raise DomainError(
            f"{deployment.key} is bought by the token: what the hardware allows is the provider's matter."
        )
    if projection.demand_tokens_per_s <= 0:
        raise DomainError(f"{deployment.key} serves no tokens: their cost is undefined. Measure or state its demand.")
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    inputs = engine_inputs(model, gpu, serving)
    replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
    paid = usd_per_gpu_hour(hosted.purchase, scenario, catalog)
    listed = least_price(catalog, hosted.gpu_key, scenario.as_of)
    least = min(paid, listed.usd_per_gpu_hour) if listed else paid
    hit = serving.reused_fraction
    best_hit = max(hit, IDEAL_HIT_FRACTION)
    lowest = floor(model, gpu, serving, work, constants, least, deployment.max_tpot_s, best_hit)

    def full(most: float, spread: bool, hit: float) -> float:
        """The cost of a full replica at the least price."""
        curve = _curve(work, hit, inputs, constants, spread)
        batch = _largest(curve, most, deployment.max_tpot_s)
        return usd_per_mtok(least * serving.gpus_count, _tokens_per_s(work, batch, float(curve(batch, 0.0))))

    fits = float(dict(replica.limits)[Bound.KV_MEMORY])
    cost = measured_usd_per_mtok
    if cost is None:
        cost = usd_per_mtok(projection.usd_per_hour, projection.demand_tokens_per_s)
    if not 0 <= cost < inf:
        raise DomainError(f"{deployment.key}: a cost must be 0 or more USD per million tokens, not {cost}.")
    capacity = projection.capacity_tokens_per_s or replica.capacity_requests_per_s * work.tokens_per_request
    costs = {
        GapPart.PRICE: cost * (least / paid if paid else 1.0),
        GapPart.IDLE: usd_per_mtok(least * serving.gpus_count, capacity),
        GapPart.BATCH_FILL: full(fits, False, hit),
        GapPart.PREFILL_INTERFERENCE: full(fits, True, hit),
        GapPart.KV_LIMIT: full(ENDLESS, True, hit),
        GapPart.CACHE_MISSES: full(ENDLESS, True, best_hit),
        GapPart.OVERHEAD: lowest.usd_per_mtok,
    }
    levels = [cost, *costs.values()]
    return Gap(
        usd_per_mtok=cost,
        floor=lowest,
        parts=tuple((part, levels[at] - levels[at + 1]) for at, part in enumerate(costs)),
        basis=weakest(work.basis, constants.basis),
    )


def floor(
    model: ModelSpec,
    gpu: GpuSpec,
    serving: ServingConfig,
    workload: Workload,
    constants: EngineConstants,
    usd_per_gpu_hour: float,
    max_tpot_s: float | None = None,
    prefix_hit_fraction: float = IDEAL_HIT_FRACTION,
) -> Floor:
    """The least possible cost of a million tokens, input + output, of this model on these GPUs in these formats.

    Equation   p g 10^6 / (3600 X),  X = B (I + O) / (O t(B)),  B the largest whose tokens come within max_tpot
    Symbols    t at the sheet's peaks, the longer of moving what decoding needs and of computing, the prompts' tokens
               included: those of B/O prompts in each step
    Returns    a Floor
    Valid for  any engine: neither memory nor settings limit the batch, nothing idles, nothing is fixed
    Raises     DomainError when even one sequence at a time is slower than `max_tpot_s`
    Source     docs/method.md; Williams et al., Roofline, CACM 2009
    """
    # Of speculation, only what it saves: one reading yields several tokens. Drafts and rejections cost nothing.
    alone = replace(serving, speculation=Speculation())
    inputs = replace(engine_inputs(model, gpu, alone), link_bytes_per_s=np.inf)
    step_tokens = serving.speculation.step_tokens
    curve = _sheet_curve(workload, prefix_hit_fraction, inputs, _sheet(constants), step_tokens)
    batch = _largest(curve, ENDLESS, max_tpot_s)
    least_s = float(curve(batch, 1.0))
    if max_tpot_s is not None and least_s > max_tpot_s:
        raise DomainError(
            f"{serving.gpus_count} x {gpu.name} cannot give a token of {model.name} in {max_tpot_s * MS_PER_S:.3g} ms: "
            f"by the data sheet alone one takes {least_s * MS_PER_S:.3g} ms. Use more or faster GPUs, fewer bits per "
            "weight, or a longer max_tpot_s."
        )
    step = float(curve(batch, 0.0))
    tokens_per_s = _tokens_per_s(workload, batch, step)
    moved = step_work(inputs, constants, batch, resident_tokens(workload)).moved_bytes
    return Floor(
        usd_per_mtok=usd_per_mtok(usd_per_gpu_hour * serving.gpus_count, tokens_per_s),
        tokens_per_s=tokens_per_s,
        batch_count=batch,
        tpot_s=least_s,
        memory_binds=bool(moved / step_tokens / gpu.hbm_bytes_per_s >= step * (1 - 1e-9)),
    )


def least_usd_per_month(scenario: Scenario, catalog: Catalog) -> float:
    """The least that a scenario's own GPUs could do its work for: what no answer about it may fall below.

    Equation   sum over self-hosted deployments of  floor x tokens per month,  prompt hits as they are
    Returns    [USD]; models bought by the token are left out
    Valid for  any engine, always full, at the prices the scenario pays. GPUs committed to at a lower price may be below
    Raises     DomainError where a deployment cannot run
    Source     docs/method.md
    """
    total = 0.0
    for deployment in scenario.deployments:
        hosted, work = deployment.supply, deployment.workload
        if not isinstance(hosted, SelfHosted) or not work.total_tokens_per_s:
            continue
        model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
        constants = catalog.engine.resolve(model, gpu, hosted.serving)
        price = usd_per_gpu_hour(hosted.purchase, scenario, catalog)
        least = floor(model, gpu, hosted.serving, work, constants, price, None, hosted.serving.reused_fraction)
        total += least.usd_per_mtok * work.total_tokens_per_s / TOKENS_PER_MTOK
    return total * SECONDS_PER_HOUR * scenario.hours_per_month


def _tokens_per_s(work: Workload, batch: float, step: float) -> float:
    return batch * work.tokens_per_request / (work.mean_output_tokens * step)


def _loads(work: Workload, hit: float, batch: Any, own_prompts: float) -> tuple[Any, float, Any, float]:
    """What `step_s` takes for a steady batch: sequences, their context, prompt tokens of each step, their context."""
    uncached = work.mean_prompt_tokens * (1 - hit)
    prompts = (np.asarray(batch) - own_prompts) * uncached / work.mean_output_tokens
    return batch, resident_tokens(work), prompts, work.mean_prompt_tokens - uncached / 2


def _curve(work: Workload, hit: float, inputs: EngineInputs, constants: EngineConstants, spread: bool) -> Curve:
    """Step time by batch with prompts in whole chunks, or spread over all steps where that is faster."""
    cached = work.mean_prompt_tokens * hit

    def chunks(batch: Any, own: float) -> Floats:
        return steady_tpot_s(
            inputs, constants, batch, resident_tokens(work), work.mean_prompt_tokens - cached, work.mean_output_tokens,
            cached_tokens=cached, own_prompts=own,
        )  # fmt: skip

    if not spread:
        return chunks

    # Spread, prompts touch experts in every step; in chunks they share one read of them.
    def spread_s(batch: Any, own: float) -> Floats:
        sequences, context, prompts, prompt_context = _loads(work, hit, batch, own)
        prompts = prompts * inputs.step_tokens
        return np.asarray(step_s(inputs, constants, sequences, context, prompts, prompt_context) / inputs.step_tokens)

    return lambda batch, own: np.minimum(chunks(batch, own), spread_s(batch, own))


def _sheet_curve(work: Workload, hit: float, inputs: EngineInputs, sheet: EngineConstants, step_tokens: float) -> Curve:
    """The least step time by batch: what decoding must read, or all arithmetic. What prompts read is left out: chunks
    of them may be as long as one likes."""
    computing = replace(inputs, hbm_bytes_per_s=np.inf)
    return lambda batch, own: np.maximum(
        step_s(inputs, sheet, batch, resident_tokens(work)) / step_tokens,
        step_s(computing, sheet, *_loads(work, hit, batch, own)),
    )


def _largest(curve: Curve, most: float, max_tpot_s: float | None) -> float:
    """The largest batch up to `most` whose tokens come fast enough; 1 where not even one sequence's do."""
    if max_tpot_s is None or float(curve(most, 1.0)) <= max_tpot_s:
        return most
    low, high = 1.0, most
    for _ in range(3):  # each look has 200 times finer steps
        batches = np.geomspace(low, high, 200)
        fast_enough = int(np.searchsorted(curve(batches, 1.0), max_tpot_s, side="right"))
        if fast_enough in (0, len(batches)):
            return float(batches[max(0, fast_enough - 1)])
        low, high = float(batches[fast_enough - 1]), float(batches[fast_enough])
    return low
