"""Every way of serving a model at once: GPUs, their number and layout, formats, batch and prompt, under constraints."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costlib.breakeven import ROUNDING
from costlib.catalog import Catalog
from costlib.columns import columns_of, part_of
from costlib.engine import (
    EngineConstants,
    EngineInputs,
    attended,
    engine_inputs,
    kv_sequences,
    prefill_s,
    steady_tpot_s,
    step_s,
)
from costlib.errors import DoesNotFit, DomainError
from costlib.fitted import Fitted
from costlib.hardware import GpuSpec, Precision
from costlib.kvcache import BLOCK_TOKENS
from costlib.models import ModelSpec
from costlib.pareto import front
from costlib.queueing import open_loop_response_s, ttft_s
from costlib.roofline import Floats
from costlib.serving import ServingConfig
from costlib.units import GIBI, MS_PER_S, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from costlib.workload import Workload

BLOCK = 16  # layouts that are solved together: their arrays stay in the processor's cache
# What a sequence feels of the prompts, and what the GPU spends on them, on an axis before the others.
OWN_AND_ALL = np.array([1.0, 0.0])[:, None, None, None]
BATCHES = tuple(sorted({round(2 ** (power / 8)) for power in range(81)}))  # 1 to 1,024, eight to an octave


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be chosen. The formats are those whose answers are good enough: the quality constraint."""

    usd_per_gpu_hour: Mapping[str, float]  # by GPU
    weight_precisions: tuple[Precision, ...] = (Precision.BF16,)
    kv_precisions: tuple[Precision, ...] = (Precision.BF16,)
    tensor_parallel_counts: tuple[int, ...] = (1, 2, 4, 8)
    pipeline_parallel_counts: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = BATCHES
    prompts_tokens: tuple[float, ...] = ()  # mean prompt; empty: the workload's

    def __post_init__(self) -> None:
        for key, price in self.usd_per_gpu_hour.items():
            if not 0 <= price < inf:
                raise DomainError(f"the price of {key} must be 0 or more USD per GPU-hour, not {price}.")
        if not self.batches or list(self.batches) != sorted(set(self.batches)) or self.batches[0] < 1:
            raise DomainError("batches must be whole numbers from 1 on, each once, in rising order.")
        for tokens in self.prompts_tokens:
            if not 0 <= tokens < inf:
                raise DomainError(f"prompts_tokens must be 0 or more, not {tokens}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay the model out."""

    gpu: GpuSpec
    serving: ServingConfig
    usd_per_gpu_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One point of the search: what it is, and what it does at capacity."""

    layout: Layout
    batch_count: int
    prompt_tokens: float
    tpot_s: float
    gpu_tokens_per_s: float
    usd_per_mtok: float
    replicas_count: int
    usd_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A layout that cannot hold the model and one sequence, and how much memory each of its GPUs lacks."""

    layout: Layout
    missing_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What points of the search cost: at capacity, and as whole replicas for the demand at the peak hour."""

    gpu_tokens_per_s: Floats
    usd_per_mtok: Floats
    replicas_count: Floats
    usd_per_hour: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """All points; axes: layout, batch, prompt. `allowed` are those that fit in memory and meet every target."""

    model: ModelSpec
    workload: Workload
    serving: ServingConfig
    layouts: tuple[Layout, ...]
    batches: NDArray[np.int64]
    prompts_tokens: Floats
    interval_s: Floats  # between tokens of one sequence; NaN where the batch does not fit
    requests_per_s: Floats  # of a replica that is always full
    allowed: NDArray[np.bool_]
    misfits: tuple[Misfit, ...]

    @property
    def points_count(self) -> int:
        return self.allowed.size

    def outcome(self, places: NDArray[np.intp]) -> Outcome:
        """The costs of the points at these places of the flattened axes.

        Equation   $ per M = p g 10^6 / (3600 X);   replicas = max(min, ceil(peak / (U rate)))
        Symbols    p $ per GPU-hour   g GPUs   X tokens per second at capacity   U target_busy_fraction
        """
        layout, _, prompt = np.unravel_index(places, self.allowed.shape)
        gpus = np.array([one.serving.gpus_count for one in self.layouts], dtype=float)[layout]
        price = np.array([one.usd_per_gpu_hour for one in self.layouts])[layout]
        rate = self.requests_per_s.ravel()[places]
        gpu_tokens_per_s = rate * (self.prompts_tokens[prompt] + self.workload.mean_output_tokens) / gpus
        peak = self.workload.requests_per_s * self.workload.peak_to_mean_ratio
        needed = np.ceil(peak / (rate * self.serving.target_busy_fraction) - ROUNDING)
        replicas = np.maximum(needed, self.serving.min_replicas_count)
        return Outcome(
            gpu_tokens_per_s=gpu_tokens_per_s,
            usd_per_mtok=price * TOKENS_PER_MTOK / (SECONDS_PER_HOUR * gpu_tokens_per_s),
            replicas_count=replicas,
            usd_per_hour=replicas * gpus * price,
        )

    def choice(self, place: int | np.integer[Any]) -> Choice:
        """The point at this place of the flattened axes."""
        layout, batch, prompt = (int(at) for at in np.unravel_index(place, self.allowed.shape))
        cost = self.outcome(np.array([place]))
        return Choice(
            layout=self.layouts[layout],
            batch_count=int(self.batches[batch]),
            prompt_tokens=float(self.prompts_tokens[prompt]),
            tpot_s=float(self.interval_s[layout, batch, prompt]),
            gpu_tokens_per_s=float(cost.gpu_tokens_per_s[0]),
            usd_per_mtok=float(cost.usd_per_mtok[0]),
            replicas_count=int(cost.replicas_count[0]),
            usd_per_hour=float(cost.usd_per_hour[0]),
        )

    def places(self, prompt: int = 0, gpu_key: str | None = None) -> NDArray[np.intp]:
        """Where the allowed points of a prompt, of one GPU or of all, are on the flattened axes. Prompts are other work
        and no choice."""
        mine = self.allowed[:, :, prompt]
        if gpu_key is not None:
            mine = mine & np.array([one.gpu.key == gpu_key for one in self.layouts])[:, None]
        return np.flatnonzero(mine) * len(self.prompts_tokens) + prompt

    def best(self, prompt: int = 0) -> Choice:
        """The allowed point with the smallest bill for the demand; of equal ones the cheapest at capacity.

        Raises     DoesNotFit with how much memory lacks and what would do; DomainError when a target is missed
        """
        places = self.places(prompt)
        if not len(places):
            raise self._refusal()
        cost = self.outcome(places)
        ties = np.flatnonzero(cost.usd_per_hour <= cost.usd_per_hour.min() * (1 + ROUNDING))
        return self.choice(places[ties[np.argmin(cost.usd_per_mtok[ties])]])

    def front(self, prompt: int = 0, gpu_key: str | None = None) -> list[Choice]:
        """The allowed points that none beats in cost per token at capacity and in speed for one user at once."""
        places = self.places(prompt, gpu_key)
        return [self.choice(places[at])
                for at in front(self.outcome(places).usd_per_mtok, 1 / self.interval_s.ravel()[places])]  # fmt: skip

    def _refusal(self) -> DomainError:
        if len(self.misfits) == len(self.layouts):
            nearest = min(self.misfits, key=lambda misfit: misfit.missing_bytes)
            layout, serving = nearest.layout, nearest.layout.serving
            return DoesNotFit(
                f"{self.model.name} fits none of {len(self.layouts)} layouts. The nearest, {serving.gpus_count} x "
                f"{layout.gpu.name} in {serving.weight_precision}, lacks {nearest.missing_bytes / GIBI:,.1f} GiB on "
                "each GPU for the weights and one sequence: allow more GPUs, GPUs with more memory, or fewer bits per "
                "weight."
            )
        return DomainError(
            f"none of {self.points_count:,} ways to serve {self.model.name} meets the targets; the shortest time per "
            f"token is {np.nanmin(self.interval_s) * MS_PER_S:.3g} ms. Allow longer, more GPUs, or fewer bits per "
            "weight."
        )


def search(
    model: ModelSpec,
    workload: Workload,
    space: Space,
    catalog: Catalog,
    serving: ServingConfig,
    max_tpot_s: float | None = None,
    max_ttft_s: float | None = None,
    fitted: Fitted | None = None,
) -> Found:
    """Solve every point of the space by the one step-time model.

    Equation   as `replica.solve_replica`, at each batch B:  rate = B / (O t(B))
    Symbols    `serving` gives all that is not an axis, the prefix cache and target_busy_fraction included
    Returns    Found; allowed: KV memory and max_num_seqs hold B, a token comes within max_tpot_s, and the first one
               within max_ttft_s while B run
    Valid for  what `replica.solve_replica` is valid for; with `fitted`, what a deployment was found to differ by goes
               along to every layout
    Raises     DomainError when the space is empty
    Source     docs/method.md
    """
    layouts = tuple(_layouts(model, space, catalog, serving))
    if not layouts:
        raise DomainError(
            f"no GPU of the space can serve {model.name}: add GPUs, layouts or formats it can be split in."
        )
    inputs, constants = _solved(model, layouts, catalog, fitted)
    batches = np.array(space.batches, dtype=np.int64)
    prompts = np.array(space.prompts_tokens or (workload.mean_prompt_tokens,), dtype=float)
    context = prompts + workload.mean_output_tokens * (1 + workload.output_cv_ratio**2) / 2
    reserved = context + (BLOCK_TOKENS - 1) / 2
    fits = kv_sequences(part_of(EngineInputs, inputs, slice(None), 2), reserved)
    fits = np.broadcast_to(np.minimum(fits, serving.max_num_seqs), (len(layouts), len(prompts)))
    shape = (len(layouts), len(batches), len(prompts))
    interval_s, requests_per_s = np.full(shape, np.nan), np.zeros(shape)
    allowed = np.zeros(shape, dtype=bool)
    order = np.argsort(fits.max(axis=1))  # alike beside each other, so that no block has batches that few of it hold
    for begin in range(0, len(order), BLOCK):
        rows = order[begin : begin + BLOCK]
        most = int(np.searchsorted(batches, fits[rows].max(), side="right"))
        if not most:
            continue
        batch = batches[:most, None].astype(float)
        tpot_s, rate, in_time = _block(
            part_of(EngineInputs, inputs, rows, 3), part_of(EngineConstants, constants, rows, 3),
            batch, prompts, context, workload.mean_output_tokens, serving, max_ttft_s,
        )  # fmt: skip
        held = batch <= fits[rows][:, None, :]
        interval_s[rows, :most] = np.where(held, tpot_s, np.nan)
        requests_per_s[rows, :most] = rate
        allowed[rows, :most] = held & (tpot_s <= (np.inf if max_tpot_s is None else max_tpot_s)) & in_time
    return Found(
        model=model,
        workload=workload,
        serving=serving,
        layouts=layouts,
        batches=batches,
        prompts_tokens=prompts,
        interval_s=interval_s,
        requests_per_s=requests_per_s,
        allowed=allowed,
        misfits=tuple(
            Misfit(layout=layouts[row], missing_bytes=_missing_bytes(layouts[row], model, float(reserved.min())))
            for row in np.flatnonzero(fits.max(axis=1) < 1)
        ),
    )


def _block(
    inputs: EngineInputs, constants: EngineConstants, batch: Floats, prompts: Floats, context: Floats, output: float,
    serving: ServingConfig, max_ttft_s: float | None,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:  # fmt: skip
    """Interval between tokens, requests per second of a replica, and whether the first token comes in time."""
    cached = prompts * serving.prefix_hit_fraction
    computed = prompts - cached
    both = steady_tpot_s(
        inputs, constants, batch, context, computed, output, cached_tokens=cached, own_prompts=OWN_AND_ALL
    )
    interval_s, busy_s = np.asarray(both[0]), np.asarray(both[1])
    rate = np.asarray(batch / (output * busy_s))
    if max_ttft_s is None:
        return interval_s, rate, np.array(True)
    alone_s = constants.prefill_ratio * prefill_s(inputs, constants, computed, cached)
    running_s = step_s(inputs, constants, batch, context)
    response_s = open_loop_response_s(alone_s, 1 - running_s / inputs.step_tokens / busy_s)
    first_s = ttft_s(constants, response_s, running_s, interval_s)
    return interval_s, rate, np.asarray(first_s <= max_ttft_s)


def _layouts(model: ModelSpec, space: Space, catalog: Catalog, serving: ServingConfig) -> Iterator[Layout]:
    """Layouts that make sense: heads divide over the group, stages hold whole layers, the GPU computes the format."""
    settings = [
        replace(
            serving,
            weight_precision=weights,
            # A checkpoint's stated size and method are those of its own format.
            stated_weights_bytes=serving.stated_weights_bytes if weights is serving.weight_precision else None,
            quantization=serving.quantization if weights is serving.weight_precision else "",
            kv_precision=kv,
            tensor_parallel_count=group,
            pipeline_parallel_count=stages,
        )
        for weights, kv, group, stages in product(
            space.weight_precisions, space.kv_precisions, space.tensor_parallel_counts, space.pipeline_parallel_counts
        )
        if model.heads_count % group == 0 and stages <= model.layers_count
    ]
    for key, price in space.usd_per_gpu_hour.items():
        gpu = catalog.gpu(key)
        for one in settings:
            if one.weight_precision is not Precision.FP4 or gpu.computes_in(Precision.FP4):
                yield Layout(gpu=gpu, serving=one, usd_per_gpu_hour=price)


def _solved(
    model: ModelSpec, layouts: tuple[Layout, ...], catalog: Catalog, fitted: Fitted | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Inputs and constants of all layouts, by field: one value where all agree, else one per layout."""
    resolved: dict[tuple[str, Precision], EngineConstants] = {}
    for layout in layouts:
        key = layout.gpu.key, layout.serving.weight_precision
        if key not in resolved:
            resolved[key] = catalog.engine.resolve(model, layout.gpu, layout.serving, fitted=fitted)
    inputs = [engine_inputs(model, layout.gpu, layout.serving) for layout in layouts]
    constants = [resolved[layout.gpu.key, layout.serving.weight_precision] for layout in layouts]
    return columns_of(inputs), columns_of(constants)


def _missing_bytes(layout: Layout, model: ModelSpec, tokens: float) -> float:
    """What one GPU lacks for its share of the weights and one sequence of so many tokens."""
    of = engine_inputs(model, layout.gpu, layout.serving)
    weights = of.dense_bytes / layout.serving.gpus_per_dense_copy_count + of.expert_bytes / layout.serving.gpus_count
    one = of.state_bytes + attended(of, tokens, of.kv_bytes_per_token, of.window_kv_bytes_per_token)
    return float(weights + one - of.usable_hbm_bytes)
