"""What many scenarios cost a month, solved at once: to share a change among levers, and for draws of what is unknown.

`project()` says everything about one scenario; this says one number about hundreds, and the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costlib.breakeven import ROUNDING
from costlib.catalog import Catalog
from costlib.columns import columns_of, part_of
from costlib.commitment import pools
from costlib.engine import EngineConstants, EngineInputs, engine_inputs, steady_tpot_s
from costlib.errors import DomainError
from costlib.fitted import Fitted
from costlib.project import step_band, usd_per_gpu_hour
from costlib.replica import Replica, batch_limits, check_lengths, resident_tokens, solve_replica
from costlib.roofline import Floats
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.serving import Batching, ServingConfig
from costlib.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK

# What many deployments share, by model, GPU, settings and fit: draws differ in what is found in caches, on which
# neither the inputs nor the constants of a step hang.
_BESIDE_HITS = attrgetter(
    *sorted({field.name for field in fields(ServingConfig)} - {"prefix_hit_fraction", "host_hit_fraction"})
)
Engines = dict[tuple[str, str, Any, Fitted | None], tuple[EngineInputs, EngineConstants]]
Z90 = NormalDist().inv_cdf(0.9)  # standard deviations from P50 to P90


def edge_ratio(band: tuple[float, float], z: Any) -> Floats:
    """The ratio that lies `z` standard deviations from 1 where P10 and P90 are `band`.

    Equation   low^(-z/1.2816) below, high^(z/1.2816) above
    Returns    [1]
    Valid for  bands around 1
    Source     a two-piece log-normal; Fechner 1897
    Example    P10, P50, P90
    >>> [round(float(edge_ratio((0.8, 1.3), z)), 3) for z in (-Z90, 0.0, Z90)]
    [0.8, 1.0, 1.3]
    """
    z = np.asarray(z, dtype=float)
    return np.asarray(np.where(z < 0, band[0] ** (-z / Z90), band[1] ** (z / Z90)))


@dataclass(frozen=True, slots=True)
class _Row:
    """One deployment, ready to be solved; `inputs` is None where no batch is to be found."""

    deployment: Deployment
    gpu_key: str = ""
    usd_per_gpu_hour: float = 0.0
    inputs: EngineInputs | None = None
    constants: EngineConstants | None = None
    replica: Replica | None = None  # solved alone, where many at once cannot be
    most_batch_count: int = 0
    band: tuple[float, float] = (1.0, 1.0)


def usd_per_month(
    scenarios: Sequence[Scenario],
    catalog: Catalog,
    constants: EngineConstants | None = None,
    *,
    time_z: Any = 0.0,
    demand_z: Any = 0.0,
) -> Floats:
    """The bill of each scenario, at its own standard deviations of step time and of demand.

    Equation   as `project`, with steps `edge_ratio(step band, time_z)` times as long and demand
               `edge_ratio(demand band, demand_z)` times as much
    Returns    [USD], one per scenario; NaN for one that cannot run
    Valid for  what `project` is valid for; scenarios of one day with the same commitments. All deployments of a
               scenario share its draw: an engine model that is off is off for all of them
    Raises     ConfigError for a price that is not known
    Source     docs/method.md
    Example    nothing unknown: as `project` says
    >>> from costlib.project import project
    >>> [bill] = usd_per_month([sample], catalog)
    >>> bool(abs(bill - project(sample, catalog).usd_per_month.mid) < 1e-6)
    True
    """
    engines: Engines = {}
    row_of: dict[Deployment, int] = {}
    rows: list[_Row | None] = []
    found = np.zeros(len(scenarios))
    of_scenario: list[int] = []
    of_row: list[int] = []
    for place, scenario in enumerate(scenarios):
        for deployment in scenario.deployments:
            at = row_of.setdefault(deployment, len(rows))
            if at == len(rows):
                rows.append(_row(deployment, scenario, catalog, constants, engines))
            of_scenario.append(place)
            of_row.append(at)
    places, indices = np.array(of_scenario), np.array(of_row)
    times = np.broadcast_to(np.asarray(time_z, dtype=float), len(scenarios))[places]
    demands = np.broadcast_to(np.asarray(demand_z, dtype=float), len(scenarios))[places]
    capacity = _capacities(rows, indices, times)
    spent, gpus = np.full(len(indices), np.nan), np.zeros(len(indices))
    for at, row in enumerate(rows):
        mine = np.flatnonzero(indices == at)
        if row is not None:
            spent[mine], gpus[mine], services = _usage(row, capacity[mine], demands[mine])
            np.add.at(found, places[mine], services)
    kinds = np.array(["" if row is None else row.gpu_key for row in rows])[indices]
    for pool in pools(scenarios[0].commitments, scenarios[0].as_of) if scenarios else ():
        mine = np.flatnonzero(kinds == pool.gpu_key)
        running, cost = np.zeros(len(scenarios)), np.zeros(len(scenarios))
        np.add.at(running, places[mine], gpus[mine])
        np.add.at(cost, places[mine], spent[mine])
        spent[mine] *= pool.used_ratio(running, cost)[places[mine]]
        found += pool.unused_usd_per_hour(running)
    np.add.at(found, places, spent)
    return np.asarray(found * np.array([scenario.hours_per_month for scenario in scenarios]))


def _row(
    deployment: Deployment,
    scenario: Scenario,
    catalog: Catalog,
    constants: EngineConstants | None,
    engines: Engines,
) -> _Row | None:
    """None for a deployment that cannot run."""
    hosted, work = deployment.supply, deployment.workload
    if isinstance(hosted, ApiTokens):
        return _Row(deployment)
    price = usd_per_gpu_hour(hosted.purchase, scenario, catalog)
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    replica = None
    try:
        check_lengths(model, work)
        key = model.key, gpu.key, _BESIDE_HITS(serving), hosted.fitted
        if key not in engines:
            of = constants or catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
            engines[key] = engine_inputs(model, gpu, serving), of
        inputs, of = engines[key]
        computed = work.mean_prompt_tokens * (1 - serving.reused_fraction)
        limits = batch_limits(model, gpu, serving, resident_tokens(work), computed / work.mean_output_tokens)
        band = of.step_low_ratio, of.step_high_ratio
        if hosted.fitted is not None or serving.batching is not Batching.CONTINUOUS or serving.reloaded_fraction:
            replica = solve_replica(model, gpu, serving, work, of, deployment.max_tpot_s)
            band = step_band(deployment, hosted, of, replica.batch_count, catalog)[0]
    except DomainError:
        return None
    return _Row(deployment, gpu.key, price, inputs, of, replica, min(limits.values()), band)


def _capacities(rows: Sequence[_Row | None], indices: NDArray[np.intp], time_z: Floats) -> Floats:
    """Requests per second of one replica, for each use of a row; infinite for what has no replicas."""
    capacity = np.full(len(indices), np.inf)
    together: list[int] = []
    for at, row in enumerate(rows):
        if row is None or row.inputs is None or row.constants is None:
            continue
        hosted, work = row.deployment.supply, row.deployment.workload
        assert isinstance(hosted, SelfHosted)
        mine = indices == at
        if hosted.stated_tokens_per_s is not None:
            capacity[mine] = hosted.stated_tokens_per_s / work.tokens_per_request
        elif row.replica is not None and (
            hosted.serving.batching is not Batching.CONTINUOUS or hosted.serving.reloaded_fraction
        ):
            capacity[mine] = [row.replica.capacity_if(ratio) for ratio in edge_ratio(row.band, time_z[mine])]
        else:
            together.append(at)
    if together:
        chosen = np.flatnonzero(np.isin(indices, together))
        of = np.searchsorted(together, indices[chosen])
        capacity[chosen] = _solve([row for at in together if (row := rows[at]) is not None], of, time_z[chosen])
    return capacity


def _usage(row: _Row, capacity: Floats, demand_z: Floats) -> tuple[Floats, Floats, Floats]:
    """USD an hour at the deployment's own prices, GPUs, and USD an hour of services, for each capacity and demand."""
    hosted, work, beside = row.deployment.supply, row.deployment.workload, row.deployment.beside
    demand = edge_ratio((work.demand_low_ratio, work.demand_high_ratio), demand_z)
    services = np.asarray(beside.services_usd_per_hour * demand)
    if isinstance(hosted, ApiTokens):
        each = (
            work.mean_prompt_tokens * hosted.usd_per_mtok_input + work.mean_output_tokens * hosted.usd_per_mtok_output
        )
        bought = np.asarray(work.requests_per_s * demand * each / TOKENS_PER_MTOK * SECONDS_PER_HOUR)
        return bought, np.zeros(len(demand)), services
    serving = hosted.serving
    peak = work.requests_per_s * work.peak_to_mean_ratio * demand
    needed = np.ceil(peak / (capacity * serving.target_busy_fraction) - ROUNDING)
    gpus = np.maximum(needed, serving.min_replicas_count) * serving.gpus_count
    return np.asarray(gpus * row.usd_per_gpu_hour), np.asarray(gpus), services


def _solve(rows: Sequence[_Row], of: NDArray[np.intp], time_z: Floats) -> Floats:
    """Capacity of the row at each place of `of`, with its steps so much slower."""
    inputs = columns_of([row.inputs for row in rows if row.inputs is not None])
    constants = columns_of([row.constants for row in rows if row.constants is not None])

    def per_place(of_row: Any) -> Floats:
        return np.array([of_row(row) for row in rows], dtype=float)[of]

    outputs = per_place(lambda row: row.deployment.workload.mean_output_tokens)
    prompts = per_place(lambda row: row.deployment.workload.mean_prompt_tokens)
    cached = prompts * per_place(lambda row: row.deployment.supply.serving.prefix_hit_fraction)
    context = per_place(lambda row: resident_tokens(row.deployment.workload))
    most_tpot_s = per_place(lambda row: row.deployment.max_tpot_s or np.inf)
    most = per_place(lambda row: row.most_batch_count)
    low, high = per_place(lambda row: row.band[0]), per_place(lambda row: row.band[1])
    ratio = np.where(time_z < 0, low ** (-time_z / Z90), high ** (time_z / Z90))

    def tpot_s(batch: Floats, own: float, at: Any) -> Floats:
        return steady_tpot_s(
            part_of(EngineInputs, inputs, of[at], 1), part_of(EngineConstants, constants, of[at], 1),
            batch, context[at], prompts[at] - cached[at], outputs[at], cached_tokens=cached[at], own_prompts=own,
        )  # fmt: skip

    batch = most.copy()
    bound = np.flatnonzero(np.isfinite(most_tpot_s))
    low_batch, high_batch = np.ones(len(bound)), most[bound] + 1  # answers in [low, high); 1 where none is in time
    while len(bound) and np.any(high_batch - low_batch > 1):
        middle = np.floor((low_batch + high_batch) / 2)
        in_time = tpot_s(middle, 1.0, bound) * ratio[bound] <= most_tpot_s[bound]
        low_batch, high_batch = np.where(in_time, middle, low_batch), np.where(in_time, high_batch, middle)
    batch[bound] = low_batch
    everything = np.arange(len(of))
    return np.asarray(batch / (outputs * tpot_s(batch, 0.0, everything) * ratio))
