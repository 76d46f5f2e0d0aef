"""The parts of Limits: how far a deployment is from what its GPUs can do, and what would bring its cost to a target."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from costlib.catalog import Catalog
from costlib.compare import Comparison
from costlib.engine import EngineConstants, EngineInputs, engine_inputs
from costlib.errors import PermillionError
from costlib.floor import Gap, least_price, step_work
from costlib.hardware import GpuSpec
from costlib.kvcache import concurrent_sequences, kv_pool_bytes_per_gpu, reserve_bytes_per_gpu
from costlib.models import ModelSpec
from costlib.projection import DeploymentProjection, Projection
from costlib.replica import Replica, resident_tokens, solve_replica
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.units import GIBI, TERA
from ui import cards, charts, data, fleet, text
from ui.fleet_figures import Missing, figure
from ui.physics_charts import MemoryPart, Roof, WorkPoint, memory, roofline
from ui.theme import palette


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One deployment, solved: what every part of the page is drawn from."""

    deployment: Deployment
    hosted: SelfHosted
    model: ModelSpec
    gpu: GpuSpec
    scenario: Scenario
    constants: EngineConstants
    inputs: EngineInputs
    replica: Replica
    projection: DeploymentProjection

    @property
    def batch_count(self) -> float:
        """Sequences that run at the mean rate, at least one: below, it is time that is shared."""
        mean = self.deployment.workload.requests_per_s / max(1, self.projection.replicas_count)
        return max(1.0, self.replica.running_count(mean))


def hosted_of(scenario: Scenario) -> dict[str, Deployment]:
    """Deployments with GPUs of their own, by the name under which they are offered."""
    return {f"{d.key} · {d.model_key}": d for d in scenario.deployments if isinstance(d.supply, SelfHosted)}


def choice(offered: dict[str, Deployment]) -> Deployment:
    if len(offered) == 1:
        return next(iter(offered.values()))
    name = st.selectbox(
        "Deployment", list(offered), key="deployment", bind="query-params", width=420,
        format_func=lambda name: text.plain(name, 80),
    )  # fmt: skip
    return offered[name]


def solve(key: str, scenario: Scenario, projection: Projection, catalog: Catalog) -> View:
    """A deployment with GPUs of its own, of a scenario that was projected.

    Raises PermillionError where a stated throughput hides that it cannot run.
    """
    (deployment,) = (d for d in scenario.deployments if d.key == key)
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, hosted.serving, fitted=hosted.fitted)
    return View(
        deployment=deployment,
        hosted=hosted,
        model=model,
        gpu=gpu,
        scenario=scenario,
        constants=constants,
        inputs=engine_inputs(model, gpu, hosted.serving),
        replica=solve_replica(model, gpu, hosted.serving, deployment.workload, constants, deployment.max_tpot_s),
        projection=next(part for part in projection.deployments if part.key == key),
    )


def changed(key: str, today: data.Today, comparison: Comparison) -> View | None:
    """The same deployment with the levers pulled; None where that is today, or it has no GPUs that could run it."""
    still = any(d.key == key for d in hosted_of(comparison.changed).values())
    if not comparison.changes or not still:
        return None
    try:
        return solve(key, comparison.changed, comparison.scenario, today.catalog)
    except PermillionError:
        return None


# Live -----------------------------------------------------------------------------------------------------------------


def live_of(view: View, today: data.Today) -> fleet.Section | None:
    """What was measured of this deployment in the last half hour; its busiest model where it serves several."""
    found, _ = data.tail()
    if found is None or not today.is_measured_fleet:
        return None
    return _section(found.id, data.key_of(today), view.deployment.key, found, today)


@st.cache_resource(max_entries=8, show_spinner=False)  # frames that nobody changes
def _section(
    snapshot_id: str, key_of_today: str, deployment_key: str, _found: data.Snapshot, _today: data.Today
) -> fleet.Section | None:
    frames = fleet.read(_found)
    keys = [key for key in fleet.keys_of(frames) if key[0] == deployment_key]
    return fleet.sections(frames, _today, keys[:1])[0] if keys else None


def _live_points(view: View, live: fleet.Section) -> list[WorkPoint]:
    """Work while decoding, from the batch and the time between tokens; and while a prompt is computed."""
    running, itl = (figure(live.recent, name) for name in ("running_littles_count", "itl_s_p50"))
    engines = max(1, len(live.replicas) - len(live.idle_replicas))
    points = []
    if not isinstance(running, Missing) and not isinstance(itl, Missing) and running > 0 and itl > 0:
        work = step_work(view.inputs, view.constants, running / engines, resident_tokens(view.deployment.workload))
        points.append(_point("Live decode", work.step_flop / itl, work.moved_bytes / itl, is_live=True))
    computed, spent = (figure(live.recent, name) for name in ("computed_prompt_tokens", "prefill_s"))
    if not isinstance(computed, Missing) and not isinstance(spent, Missing) and computed > 0 and spent > 0:
        prompt = view.deployment.workload.mean_prompt_tokens * (1 - view.hosted.serving.prefix_hit_fraction)
        chunk = min(max(prompt, 1.0), float(view.inputs.chunk_tokens))
        work = step_work(view.inputs, view.constants, 0.0, 0.0, chunk, prompt / 2)
        took = chunk * spent / computed
        points.append(_point("Live prefill", work.step_flop / took, work.moved_bytes / took, is_live=True))
    return points


def _point(
    name: str, flop_per_s: float, bytes_per_s: float, is_live: bool = False, scenario: bool = False
) -> WorkPoint:
    return WorkPoint(
        name=name, flop_per_byte=float(flop_per_s / bytes_per_s), flop_per_s=float(flop_per_s), is_live=is_live,
        is_scenario=scenario,
    )  # fmt: skip


def _modelled(name: str, view: View, scenario: bool = False) -> WorkPoint:
    """All work of a busy step at the mean rate, prompts included."""
    work = view.deployment.workload
    batch = view.batch_count
    uncached = work.mean_prompt_tokens * (1 - view.hosted.serving.prefix_hit_fraction)
    prompts = batch * uncached / work.mean_output_tokens
    loads = step_work(
        view.inputs, view.constants, batch, resident_tokens(work), prompts, work.mean_prompt_tokens - uncached / 2
    )
    step_s = float(view.replica.step_s[min(round(batch), view.replica.batch_count) - 1])
    return _point(name, loads.step_flop / step_s, loads.moved_bytes / step_s, scenario=scenario)


# Figures --------------------------------------------------------------------------------------------------------------


def figures(view: View, live: fleet.Section | None, gap: Gap | None, note: str) -> None:
    point = _modelled("", view)
    peak = view.gpu.peak_flop_per_s(view.hosted.serving.weight_precision)
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.noted(
            "Least cost per 1M",
            text.UNKNOWN if gap is None else text.unit_cost(gap.floor.usd_per_mtok),
            None if gap is None else f"1/{gap.usd_per_mtok / gap.floor.usd_per_mtok:,.0f} of today's",
            help=text.label(note, 400)
            if gap is None
            else "The floor: these GPUs at their least price and their data sheet's peaks, always full.",
        )
        for key, name, modelled, of in (
            ("mfu", "Arithmetic used, MFU", point.flop_per_s / peak, "peak"),
            ("mbu", "Bandwidth used, MBU", point.flop_per_s / point.flop_per_byte / view.gpu.hbm_bytes_per_s, "peak"),
        ):
            measured = live.utilisation(live.now, key) if live else None
            is_known = measured is not None and not isinstance(measured, Missing)
            cards.noted(
                name,
                text.percent(measured if is_known else modelled),
                "measured" if is_known else "modelled, busy step",
                help=f"Share of the data sheet's {of}. Measured by vLLM's own counters where it runs with "
                "--enable-mfu-metrics, idle time included; else the model's, while the GPU is busy.",
            )
        util = live.devices.get("gpu_util_fraction") if live else None
        cards.noted(
            "GPU utilisation",
            text.percent(util),
            "any kernel runs" if util is not None else "not exported",
            help="What nvidia-smi shows: the share of time in which any kernel ran. A GPU that reads weights for one "
            "user is 100 % utilised, and uses a few percent of its arithmetic.",
        )
        cards.noted(
            "Sequences that fit",
            f"{_fits(view):,}",
            f"{view.replica.batch_count:,} by {str(view.replica.bound).replace('_', ' ')}",
            help="Of the mean length, in the KV memory of one replica; and the batch after every other limit.",
        )
        cards.noted(
            "Engine model",
            str(view.constants.basis),
            f"{view.constants.step_low_ratio - 1:+.0%} to {view.constants.step_high_ratio - 1:+.0%} step time",
            help="How its constants are known, and how far measured step times were off for 80 % of measurements.",
        )


def _fits(view: View) -> int:
    return concurrent_sequences(view.model, view.gpu, view.hosted.serving, resident_tokens(view.deployment.workload))


def roofline_card(today: data.Today, comparison: Comparison) -> None:
    """The deployment that costs most under its GPU's roofs, before and after; nothing where none is modelled."""
    hosted = [{d.key for d in hosted_of(scenario).values()} for scenario in (today.scenario, comparison.changed)]
    costs = [part for part in comparison.today.deployments if all(part.key in keys for keys in hosted)]
    if not costs:
        return
    key = max(costs, key=lambda part: part.cost.total_usd_per_month).key
    try:
        view = solve(key, today.scenario, comparison.today, today.catalog)
    except PermillionError:
        return
    with st.container(border=True, key="roof"):
        roofline_chart(view, changed(key, today, comparison), live_of(view, today))
        st.page_link(
            "pages/limits.py", label=f"All limits of {text.label(key)}", icon=":material/speed:",
            query_params=dict(st.query_params),
        )  # fmt: skip


def roofline_chart(view: View, scenario: View | None, live: fleet.Section | None) -> None:
    points = [*(_live_points(view, live) if live else []), _modelled("Today", view)]
    if scenario is not None and scenario.gpu.key == view.gpu.key:
        points.append(_modelled("Scenario", scenario, scenario=True))
    peak = view.gpu.peak_flop_per_s(view.hosted.serving.weight_precision)
    sheet = Roof(name="Data sheet", bytes_per_s=view.gpu.hbm_bytes_per_s, flop_per_s=peak)
    reached = Roof(
        name="What engines reach",
        bytes_per_s=sheet.bytes_per_s * float(view.constants.bandwidth_fraction),
        flop_per_s=peak * float(view.constants.dense_compute_fraction),
    )
    today = next(point for point in points if point.name == "Today")
    share = today.flop_per_s / sheet.at(today.flop_per_byte)
    side = "bandwidth" if today.flop_per_byte < sheet.ridge_flop_per_byte else "arithmetic"
    title = f"**A busy step reaches {share:.0%} of what {side} allows** {text.label(view.gpu.name)}, today"
    st.markdown(title)
    charts.draw(roofline(sheet, reached, points, palette()), "roofline", alt=title.replace("*", ""))
    st.caption(
        f"Per GPU, {view.hosted.serving.weight_precision} weights: {peak / TERA:,.0f} TFLOP/s dense, "
        f"{sheet.bytes_per_s / TERA:,.2f} TB/s. {_how_known(points)}{_other_roof(view, scenario)}"
    )


def _how_known(points: Sequence[WorkPoint]) -> str:
    found, _ = data.tail()
    if found is None or not any(point.is_live for point in points):
        return "Open points are modelled; nothing was measured in the last half hour."
    until = found.published_at
    return (
        f"Filled points are measured, in the half hour to {until:%H:%M} UTC of {text.day(until)}; open ones modelled."
    )


def _other_roof(view: View, scenario: View | None) -> str:
    """The scenario may have a roof of its own."""
    if scenario is None:
        return ""
    if scenario.gpu.key != view.gpu.key:
        return f" The scenario is on another GPU, {text.label(scenario.gpu.name)}."
    precision = scenario.hosted.serving.weight_precision
    if precision is view.hosted.serving.weight_precision:
        return ""
    return f" With the scenario's {precision} weights: {view.gpu.peak_flop_per_s(precision) / TERA:,.0f} TFLOP/s."


def prices(catalog: Catalog, scenario: Scenario) -> dict[str, float]:
    """The least price of each GPU that has one."""
    listed = {gpu.key: least_price(catalog, gpu.key, scenario.as_of) for gpu in catalog.gpus}
    return {key: price.usd_per_gpu_hour for key, price in listed.items() if price is not None}


def memory_chart(view: View) -> None:
    serving = view.hosted.serving
    pool = kv_pool_bytes_per_gpu(view.model, view.gpu, serving)
    reserve = reserve_bytes_per_gpu(view.model, serving)
    outside = view.gpu.hbm_bytes * (1 - serving.gpu_memory_utilization)
    weights = view.gpu.hbm_bytes - outside - reserve - pool
    fits, running = _fits(view), min(view.batch_count, _fits(view))
    title = (
        f"**KV memory holds {fits:,} sequences, {running:,.0f} run** at the mean hour, "
        f"{resident_tokens(view.deployment.workload):,.0f} tokens each"
    )
    st.markdown(title)
    parts = [
        MemoryPart(name="Weights", size_bytes=weights),
        MemoryPart(name="KV in use", size_bytes=pool * running / fits),
        MemoryPart(name="KV free", size_bytes=pool * (1 - running / fits), is_free=True),
        MemoryPart(name="Activations", size_bytes=reserve),
        MemoryPart(name="Left free", size_bytes=outside),
    ]
    charts.draw(memory(parts, view.gpu.hbm_bytes, palette()), "memory", alt=title.replace("*", ""))
    st.caption(
        f"One of {serving.gpus_count} GPUs of a replica, {view.gpu.hbm_bytes / GIBI:,.0f} GiB. Left free: "
        f"gpu\\_memory\\_utilization is {serving.gpu_memory_utilization:g}."
    )
