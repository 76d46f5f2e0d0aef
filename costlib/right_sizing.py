"""Which GPU, how many, in which format: every layout ranked by what a million tokens cost for this traffic at its SLO.

The search is `costlib.search`; here its points are read as a table, with why a row stands where it does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from costlib.breakeven import ROUNDING, usd_per_mtok
from costlib.catalog import Catalog
from costlib.engine import EngineInputs, engine_inputs
from costlib.errors import DomainError
from costlib.estimate import Basis, weakest
from costlib.floor import least_price
from costlib.hardware import GpuSpec, Precision
from costlib.levers.weight_precision import lacks_kernels
from costlib.project import usd_per_gpu_hour
from costlib.replica import check_lengths
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.search import Choice, Found, Layout, Space, search
from costlib.text_safety import plain
from costlib.units import GIBI, KILO, MS_PER_S, SECONDS_PER_HOUR, TERA

PRECISIONS = (Precision.BF16, Precision.FP8, Precision.INT8, Precision.INT4, Precision.FP4)
COUNTS = (1, 2, 4, 8)
# Whole numbers near capacity: eight to an octave, as the search has them, would round a batch of 20 to 19.
_FINE = tuple(sorted({*range(1, 65), *(round(2 ** (power / 16)) for power in range(96, 161))}))
_DESKTOP = re.compile(r"\b(?:GeForce|TITAN|RTX\s?[2-5]0[5-9]0)\b", re.IGNORECASE)
MOST_CHARACTERS = 1000
LICENCE = (
    "GeForce drivers are not licensed for data centres, and no large cloud rents these cards: the catalogue has none. "
    "A row of your own with such a card is yours to clear with NVIDIA's licence."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """One GPU, count and format at its best batch. Rows are in the order of `usd_per_mtok`.

    `usd_per_mtok` is the bill of whole replicas over the tokens of this traffic; `full_usd_per_mtok` that of a replica
    that is always full. `hbm_bytes_per_usd` and `flop_per_usd` are what a dollar buys by the data sheet, FLOP in the
    format that weights are multiplied in; `kv_fraction` is the share of memory left for KV cache.
    """

    gpu_key: str
    gpu_name: str
    gpus_count: int
    weight_precision: Precision
    usd_per_gpu_hour: float
    usd_per_mtok: float
    full_usd_per_mtok: float
    usd_per_hour: float
    replicas_count: int
    batch_count: int
    tpot_s: float
    hbm_bytes_per_usd: float
    flop_per_usd: float
    kv_fraction: float
    is_today: bool
    changes_answers: bool  # another format than today's: to be evaluated
    basis: Basis
    caveat: str = ""

    @property
    def label(self) -> str:
        return f"{self.gpus_count} x {self.gpu_name}, {self.weight_precision}"

    @property
    def full_ratio(self) -> float:
        """How much of the bought capacity the traffic uses: what whole replicas cost."""
        return self.full_usd_per_mtok / self.usd_per_mtok


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """A layout that cannot run, and why."""

    gpu_key: str
    gpu_name: str
    gpus_count: int  # 0: of any number
    weight_precision: Precision | None  # None: in any format
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSizing:
    """The table of one deployment. `why` says why the cheapest hour is not the cheapest token, or that it is."""

    deployment_key: str
    max_tpot_s: float | None
    max_ttft_s: float | None
    rows: tuple[SizeRow, ...]
    unable: tuple[Unable, ...]
    why: str
    notes: tuple[str, ...]

    @property
    def today(self) -> SizeRow | None:
        return next((row for row in self.rows if row.is_today), None)

    @property
    def unchanged(self) -> SizeRow | None:
        """The best row whose answers are today's."""
        return next((row for row in self.rows if not row.changes_answers), None)


def right_size(
    deployment: Deployment,
    scenario: Scenario,
    catalog: Catalog,
    precisions: Sequence[Precision] = PRECISIONS,
    counts: Sequence[int] = COUNTS,
    max_ttft_s: float | None = None,
) -> RightSizing:
    """Every GPU with a price x tensor-parallel count x weight format, by the cost of a million tokens.

    Equation   $ per M = replicas g p / (tokens per hour);  full: p g 10^6 / (3600 X)
               of each layout the batch with the least bill, of equal ones the cheapest at capacity
    Symbols    g GPUs   p USD per GPU-hour: the least listed price, today's where it is lower   X tokens/s at capacity
    Returns    RightSizing; layouts that cannot run with the reason
    Valid for  what `search.search` is valid for; today's KV format, batch limits and headroom. Prices of one provider's
               cheapest instance: how many GPUs an instance has, and whether it is to be had, is not looked at
    Raises     DomainError for what is bought by the token, serves nothing, or asks for more than the model's context
    Source     domain_math §8.5
    """
    hosted, work = deployment.supply, deployment.workload
    if not isinstance(hosted, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: there is no GPU to size.")
    if not work.requests_per_s > 0:
        raise DomainError(f"{deployment.key} serves nothing: a cost per token needs traffic. Measure or state it.")
    model = catalog.model(deployment.model_key)
    check_lengths(model, work)
    prices, unable = _prices(hosted, scenario, catalog)
    layouts = Space(
        usd_per_gpu_hour=prices,
        weight_precisions=tuple(precisions),
        kv_precisions=(hosted.serving.kv_precision,),
        tensor_parallel_counts=tuple(counts),
        batches=_FINE,
    )
    found = search(
        model, work, layouts, catalog, hosted.serving, deployment.max_tpot_s, max_ttft_s, fitted=hosted.fitted
    )
    rows: list[SizeRow] = []
    for place, layout in enumerate(found.layouts):
        if lacking := lacks_kernels(layout.gpu, layout.serving.weight_precision):
            unable.append(_unable(layout, lacking))
        elif (choice := _best_of(found, place)) is not None:
            rows.append(_row(choice, deployment, hosted, catalog))
        else:
            unable.append(_unable(layout, _why_not(found, place, deployment, max_ttft_s)))
    unable += _never_tried(found, prices, precisions, counts, catalog)
    ranked = tuple(sorted(rows, key=lambda row: (row.usd_per_mtok, row.full_usd_per_mtok, row.gpus_count)))
    return RightSizing(
        deployment_key=deployment.key,
        max_tpot_s=deployment.max_tpot_s,
        max_ttft_s=max_ttft_s,
        rows=ranked,
        unable=tuple(unable),
        why=cheapest_hour_and_token(ranked) if ranked else "no layout runs: see why each cannot",
        notes=(*_held_back(ranked, hosted), LICENCE),
    )


def _held_back(rows: Sequence[SizeRow], hosted: SelfHosted) -> Iterator[str]:
    """A limit that was chosen for today's GPU may be too small for a larger one."""
    most = hosted.serving.max_num_seqs
    held = sum(row.batch_count >= most * 0.95 for row in rows)
    if held:
        yield f"Today's max_num_seqs of {most:,} holds back {held} of {len(rows)} layouts: raise it with the GPU."


def _prices(hosted: SelfHosted, scenario: Scenario, catalog: Catalog) -> tuple[dict[str, float], list[Unable]]:
    """USD per GPU-hour of every GPU with a price, and the others."""
    prices, without = {}, []
    for gpu in catalog.gpus:
        listed = least_price(catalog, gpu.key, scenario.as_of)
        if listed is not None:
            prices[gpu.key] = listed.usd_per_gpu_hour
        elif gpu.key != hosted.gpu_key:
            without.append(
                Unable(
                    gpu_key=gpu.key, gpu_name=gpu.name, gpus_count=0, weight_precision=None, why="no listed price; "
                    "state one in the scenario file's [prices]",
                )
            )  # fmt: skip
    paid = usd_per_gpu_hour(hosted.purchase, scenario, catalog)
    prices[hosted.gpu_key] = min(paid, prices.get(hosted.gpu_key, paid))
    return prices, without


def _best_of(found: Found, place: int) -> Choice | None:
    """The batch of one layout with the smallest bill, of equal ones the cheapest at capacity."""
    at = np.flatnonzero(found.allowed[place, :, 0])
    if not len(at):
        return None
    places = np.ravel_multi_index((np.full(len(at), place), at, np.zeros(len(at), dtype=int)), found.allowed.shape)
    cost = found.outcome(places)
    ties = np.flatnonzero(cost.usd_per_hour <= cost.usd_per_hour.min() * (1 + ROUNDING))
    return found.choice(places[ties[np.argmin(cost.usd_per_mtok[ties])]])


def _row(choice: Choice, deployment: Deployment, hosted: SelfHosted, catalog: Catalog) -> SizeRow:
    layout, gpu, serving = choice.layout, choice.layout.gpu, choice.layout.serving
    model = catalog.model(deployment.model_key)
    of = engine_inputs(model, gpu, serving)
    # A price of nothing buys without end; a dollar's worth is then not a number anybody compares.
    hours_per_usd = 1 / layout.usd_per_gpu_hour if layout.usd_per_gpu_hour else 0.0
    today = hosted.serving
    same = serving.weight_precision is today.weight_precision
    is_today = same and gpu.key == hosted.gpu_key and serving.gpus_count == today.gpus_count
    return SizeRow(
        gpu_key=gpu.key,
        gpu_name=gpu.name,
        gpus_count=serving.gpus_count,
        weight_precision=serving.weight_precision,
        usd_per_gpu_hour=layout.usd_per_gpu_hour,
        usd_per_mtok=usd_per_mtok(choice.usd_per_hour, deployment.workload.total_tokens_per_s),
        full_usd_per_mtok=choice.usd_per_mtok,
        usd_per_hour=choice.usd_per_hour,
        replicas_count=choice.replicas_count,
        batch_count=choice.batch_count,
        tpot_s=choice.tpot_s,
        hbm_bytes_per_usd=gpu.hbm_bytes_per_s * SECONDS_PER_HOUR * hours_per_usd,
        flop_per_usd=float(of.expert_flop_per_s) * SECONDS_PER_HOUR * hours_per_usd,
        kv_fraction=_kv_fraction(of, gpu),
        is_today=is_today,
        changes_answers=not same,
        basis=weakest(
            deployment.workload.basis, catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted).basis
        ),
        caveat=LICENCE if _DESKTOP.search(gpu.name) else "",
    )


def _kv_fraction(of: EngineInputs, gpu: GpuSpec) -> float:
    dense_copies = of.tensor_parallel_count * of.pipeline_parallel_count
    weights = of.dense_bytes / dense_copies + of.expert_bytes / of.gpus_count
    return float((of.usable_hbm_bytes - weights) / gpu.hbm_bytes)


def _unable(layout: Layout, why: str) -> Unable:
    return Unable(
        gpu_key=layout.gpu.key,
        gpu_name=layout.gpu.name,
        gpus_count=layout.serving.gpus_count,
        weight_precision=layout.serving.weight_precision,
        why=why,
    )


def _why_not(found: Found, place: int, deployment: Deployment, max_ttft_s: float | None) -> str:
    for misfit in found.misfits:
        if misfit.layout is found.layouts[place]:
            return f"{misfit.missing_bytes / GIBI:,.1f} GiB short on each GPU for the weights and one sequence"
    shortest = float(np.nanmin(found.interval_s[place, :, 0]))
    limit = deployment.max_tpot_s
    if limit is not None and shortest > limit:
        return f"{shortest * MS_PER_S:.0f} ms per token at the least, {limit * MS_PER_S:.0f} ms are allowed"
    return f"the first token takes longer than {max_ttft_s or 0:g} s at any batch"


def _never_tried(
    found: Found, prices: dict[str, float], precisions: Sequence[Precision], counts: Sequence[int], catalog: Catalog
) -> Iterator[Unable]:
    """Layouts that the search leaves out because they make no sense."""
    heads = found.model.heads_count
    for count in counts:
        if heads % count:
            why = f"{found.model.name} has {heads} attention heads, which {count} GPUs do not divide"
            yield Unable(gpu_key="", gpu_name="any GPU", gpus_count=count, weight_precision=None, why=why)
    if Precision.FP4 in precisions:
        for key in prices:
            if not (gpu := catalog.gpu(key)).computes_in(Precision.FP4):
                yield Unable(gpu_key=key, gpu_name=gpu.name, gpus_count=0, weight_precision=Precision.FP4,
                             why=lacks_kernels(gpu, Precision.FP4))  # fmt: skip


def cheapest_hour_and_token(rows: Sequence[SizeRow]) -> str:
    """Why the layout that costs least by the hour is not the one that costs least by the token, in one sentence.

    Returns    text; of `rows` in their order, formats of the cheapest-token row where the cheapest hour has them
    Raises     DomainError without rows
    """
    if not rows:
        raise DomainError("no layout runs: there is nothing to compare.")
    token = rows[0]
    hour = min(rows, key=lambda row: (row.usd_per_gpu_hour * row.gpus_count, row.usd_per_mtok))
    price = hour.usd_per_gpu_hour * hour.gpus_count
    if hour.gpu_key == token.gpu_key and hour.gpus_count == token.gpus_count:
        return f"The cheapest hour is the cheapest token too: {token.label}, ${price:,.2f} an hour."
    reasons = []
    if (bandwidth := token.hbm_bytes_per_usd / hour.hbm_bytes_per_usd if hour.hbm_bytes_per_usd else 0.0) > 1.02:
        reasons.append(f"a dollar reads {bandwidth:.2g} times the bytes")
    if (compute := token.flop_per_usd / hour.flop_per_usd if hour.flop_per_usd else 0.0) > 1.02:
        reasons.append(f"computes {compute:.2g} times as much" if reasons else f"a dollar computes {compute:.2g} times "
                       "as much")  # fmt: skip
    if token.kv_fraction > hour.kv_fraction + 0.02:
        reasons.append(
            f"{token.kv_fraction:.0%} of its memory is left for KV cache, not {hour.kv_fraction:.0%}, so that "
            f"{token.batch_count:,} sequences share a reading of the weights and not {hour.batch_count:,}"
        )
    if token.full_ratio > hour.full_ratio + 0.02:
        reasons.append(f"whole replicas leave {1 - token.full_ratio:.0%} of what is bought unused, not "
                       f"{1 - hour.full_ratio:.0%}")  # fmt: skip
    told = ", ".join(reasons) or f"it runs {token.batch_count:,} sequences at once and not {hour.batch_count:,}"
    return (
        f"The cheapest hour, {hour.label} at ${price:,.2f}, makes a million tokens for ${hour.usd_per_mtok:,.3f}; "
        f"{token.label} at ${token.usd_per_gpu_hour * token.gpus_count:,.2f} for ${token.usd_per_mtok:,.3f}: {told}."
    )


def right_sizing_text(found: RightSizing, most: int = 12) -> str:
    """The table for a terminal: the `most` best rows, today's, and how many cannot run."""
    shown = list(found.rows[:most])
    if found.today is not None and found.today not in shown:
        shown.append(found.today)
    limit = "no limit" if found.max_tpot_s is None else f"{found.max_tpot_s * MS_PER_S:.0f} ms"
    lines = [
        f"{plain(found.deployment_key)}: {len(found.rows)} layouts run, {len(found.unable)} cannot; "
        f"time per token: {limit}",
        f"  {'layout':<52} {'$/M':>8} {'full':>8} {'$/h':>9} {'rep.':>5} {'batch':>6} {'ms':>6} {'PB/$':>6} {'KV':>5}",
    ]
    for row in shown:
        mark = "*" if row.is_today else "e" if row.changes_answers else " "
        lines.append(
            f"{mark} {plain(row.label):<52} {row.usd_per_mtok:>8.3f} {row.full_usd_per_mtok:>8.3f} "
            f"{row.usd_per_hour:>9.2f} {row.replicas_count:>5} {row.batch_count:>6} {row.tpot_s * MS_PER_S:>6.1f} "
            f"{row.hbm_bytes_per_usd / TERA / KILO:>6.1f} {row.kv_fraction:>5.0%}"
        )
    lines += [f"  {plain(found.why, MOST_CHARACTERS)}", "  * today   e another format: evaluate its answers first"]
    return "\n".join(lines)
