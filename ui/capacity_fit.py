"""The Fit section of Capacity: which GPU for a deployment, and how several share one."""

from dataclasses import dataclass
from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.catalog import Catalog
from costlib.consolidation import Consolidation, Sharing, Way
from costlib.errors import PermillionError
from costlib.fleet_sharing import FleetSharing, share
from costlib.mig import SLACK, commands
from costlib.mig_packing import CutGpu
from costlib.right_sizing import RightSizing, SizeRow, Unable, right_size
from costlib.scenario import Scenario, SelfHosted
from costlib.units import MS_PER_S
from store.catalog_files import load_scenario
from store.mig_files import SHARING_SCENARIO, load_mig_table
from ui import capacity, charts, data, text
from ui.capacity import View
from ui.capacity_charts import Slice, cut_gpus
from ui.choices import picked
from ui.text import PERCENT
from ui.theme import palette

ROWS = 12
WAYS = {
    Way.WHOLE_GPUS: "Whole GPUs",
    Way.MIG: "MIG instances",
    Way.TIME_SLICING: "Time slicing",
    Way.MULTI_LORA: "Adapters of one base",
    Way.SLEEP_1: "Sleep, weights in host memory",
    Way.SLEEP_2: "Sleep, weights on disk",
}


def section(shown: View) -> str:
    """Draw it; returns its line of small print."""
    with st.container(border=True, key="right-size-card"):
        _right_size(shown)
    with st.container(border=True, key="sharing-card"):
        _sharing(shown)
    return (
        "Layouts are the model's best batch within the limit on time per token; least listed prices, today's where "
        "lower. MIG placements are NVIDIA's; a slice's dollars are half its compute and half its memory, a convention."
    )


def _right_size(shown: View) -> None:
    row = st.container(horizontal=True, vertical_alignment="bottom", key="right-size-controls")
    with row:
        member = capacity.member_of(shown)
        ttft = st.number_input(
            "First token within, s", 0.01, 60.0, None, 0.1, key="ttft", bind="query-params", placeholder="no limit",
            width=180,
        )  # fmt: skip
        same = st.toggle("Today's weights only", key="same", bind="query-params",
                         help="Another format changes answers: evaluate it first.")  # fmt: skip
    try:
        found = _sized(f"{shown.key} {member.key} {ttft}", shown, member.key, ttft)
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    rows = [one for one in found.rows if not (same and one.changes_answers)]
    st.markdown(_size_title(found, rows))
    if rows:
        st.markdown(text.dollars(text.label(found.why, text.A_PARAGRAPH).replace("\\$", "$")))
        _size_table(found, rows)
        _size_door(rows[0], found, shown)
    _unable(found.unable)
    capacity.notes(found.notes)


@st.cache_resource(max_entries=32, show_spinner="Sizing every GPU…")
def _sized(key: str, _shown: View, _deployment: str, _ttft_s: float | None) -> RightSizing:
    today = _shown.today
    return right_size(_shown.deployment(_deployment), today.scenario, today.catalog, max_ttft_s=_ttft_s)


def _size_title(found: RightSizing, rows: list[SizeRow]) -> str:
    if not rows:
        return f"**No layout runs {text.label(found.deployment_key)}**: each has its reason below"
    best, today = rows[0], found.today
    cost = text.dollars(text.unit_cost(best.usd_per_mtok))
    if today is None or best.is_today:
        return f"**{text.label(best.label)} is cheapest:** {cost} per 1M{', and what runs today' * best.is_today}"
    return (
        f"**{text.label(best.label)} makes a million tokens for {cost}**, today's {text.label(today.label)} for "
        f"{text.dollars(text.unit_cost(today.usd_per_mtok))}"
    )


def _size_table(found: RightSizing, rows: list[SizeRow]) -> None:
    shown = rows[:ROWS]
    if found.today is not None and found.today not in shown:
        shown = [*shown, found.today]
    table = [
        {
            "Layout": one.label,
            "State": "today" if one.is_today else "evaluate" if one.changes_answers else "",
            "USD per 1M": one.usd_per_mtok,
            "if always full": one.full_usd_per_mtok,
            "USD per hour": one.usd_per_hour,
            "Replicas": one.replicas_count,
            "Batch": one.batch_count,
            "Time per token, ms": one.tpot_s * MS_PER_S,
            "USD per GPU-hour": one.usd_per_gpu_hour,
            "Memory for KV": one.kv_fraction * PERCENT,
        }
        for one in shown
    ]
    st.dataframe(
        pd.DataFrame(table),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config={
            **dict.fromkeys(("USD per 1M", "if always full"), st.column_config.NumberColumn(format="%.3f")),
            **dict.fromkeys(("USD per hour", "USD per GPU-hour"), st.column_config.NumberColumn(format="%,.2f")),
            "Time per token, ms": st.column_config.NumberColumn(format="%.0f"),
            "Memory for KV": st.column_config.NumberColumn(format="%.0f%%"),
        },
        key="right-sizing",
        height="content",
    )
    if len(rows) > ROWS:
        st.caption(
            f"The {ROWS} best of {len(rows):,} layouts that run, and today's. “evaluate”: another weight format."
        )


def _size_door(best: SizeRow, found: RightSizing, shown: View) -> None:
    hosted = shown.deployment(found.deployment_key).supply
    assert isinstance(hosted, SelfHosted)
    settings: dict[str, dict[str, object]] = {}
    if best.gpu_key != hosted.gpu_key:
        settings["gpu_choice"] = {"gpu": best.gpu_key}
    if best.changes_answers:
        settings["weight_precision"] = {"weights": str(best.weight_precision)}
    if best.gpus_count != hosted.serving.gpus_count:
        settings["parallel_layout"] = {"tensor_parallel_count": str(best.gpus_count)}
    if settings:
        capacity.door("Try the cheapest in What-if", settings, shown.today)
        if len(shown.members) > 1:
            st.caption("What-if pulls these levers on every deployment, not on this one alone.")


def _unable(unable: tuple[Unable, ...]) -> None:
    if not unable:
        return
    with st.expander(f"{len(unable)} layouts cannot run", key="unable", on_change="rerun") as opened:
        if opened.open:
            table = [
                {
                    "GPU": one.gpu_name,
                    "GPUs": one.gpus_count or None,
                    "Weights": str(one.weight_precision) if one.weight_precision else "any",
                    "Why": text.plain(one.why, 300),
                }
                for one in unable
            ]
            st.dataframe(pd.DataFrame(table), hide_index=True, key="unable-layouts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """The deployments that are to share, and whose prices count."""

    scenario: Scenario
    catalog: Catalog
    key: str


def _sharing(shown: View) -> None:
    today = shown.today
    st.subheader("Sharing one GPU", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", key="sharing-controls"):
        example = st.toggle("Example: five small models", key="example", bind="query-params")
        fleet = _Fleet(scenario=today.scenario, catalog=today.catalog, key=shown.key)
        if example:
            file = load_scenario(SHARING_SCENARIO, data.now().date())
            fleet = _Fleet(scenario=file.today, catalog=file.catalog, key="example")
        gpu_key = _gpu(fleet)
    try:
        found = _shared(f"{fleet.key} {gpu_key}", fleet, gpu_key)
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    if found.found is None:
        st.info("Nothing here needs less than one GPU: there is nothing to share.", icon=":material/grid_view:")
    else:
        hours = fleet.scenario.hours_per_month
        _cut(found.found, fleet.catalog.gpu(gpu_key).name, hours)
        _ways(found.found, hours)
    if found.apart:
        with st.expander(f"{len(found.apart)} stay apart", key="apart"):
            for one in found.apart:
                st.caption(f"{text.label(one.deployment_key)}: {text.label(one.why, 400)}")


def _gpu(fleet: _Fleet) -> str:
    """GPUs that can be cut; the one most deployments run on first."""
    used = [hosted.gpu_key for hosted in fleet.scenario.hosted]
    able = [key for geometry in load_mig_table().geometries for key in geometry.gpu_keys]
    known = {gpu.key for gpu in fleet.catalog.gpus}
    order = sorted({key for key in (*able, *used) if key in known}, key=lambda key: (-used.count(key), key))
    return picked("GPU", order, "cut", lambda key: fleet.catalog.gpu(key).name)


@st.cache_resource(max_entries=32, show_spinner="Packing models on slices…")
def _shared(key: str, _fleet: _Fleet, _gpu_key: str) -> FleetSharing:
    return share(_fleet.scenario, _gpu_key, _fleet.catalog, load_mig_table())


def _cut(found: Consolidation, name: str, hours: float) -> None:
    packing = found.packing
    if not packing.gpus:
        st.caption(f"No MIG: {text.label(packing.why, 400)}")
        return
    models = len(packing.chosen)
    count = len(packing.gpus)
    many = f"{count} {text.label(name)}" if count > 1 else f"one {text.label(name)}"
    st.markdown(f"**{models} model{'s' * (models > 1)} fit {many} as MIG instances**")
    slices = [one for number, gpu in enumerate(packing.gpus, 1) for one in _drawn(gpu, number)]
    charts.draw(cut_gpus(slices, palette()), "mig", alt=f"{name} cut into instances, drawn to scale")
    rows = [row for number, gpu in enumerate(packing.gpus, 1) for row in _dollars(gpu, number, hours)]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config=dict.fromkeys(("USD per hour", "USD per month"), st.column_config.NumberColumn(format="%,.2f"))
        | dict.fromkeys(("Compute", "Memory"), st.column_config.NumberColumn(format="%.1f%%")),
        key="slices",
        height="content",
    )
    with st.popover("Make this layout", icon=":material/terminal:", key="mig-commands"):
        for number, gpu in enumerate(packing.gpus):
            st.code("\n".join(commands(gpu.layout, number)), language="bash", wrap_lines=True)


def _drawn(gpu: CutGpu, number: int) -> list[Slice]:
    """Memory where it lies; compute has no place, and is laid side by side."""
    geometry, found, at = gpu.layout.geometry, [], 0.0
    memory, compute = (f"GPU {number} {what}" for what in ("memory", "compute"))
    taken: set[int] = set()
    for one, tenant, part in zip(gpu.layout.instances, gpu.tenants, gpu.parts, strict=False):
        words = f"{one.profile.key} · {tenant or 'free'} · {text.money(part.usd_per_hour)} an hour"
        taken |= set(one.taken)
        found.append(
            Slice(row=memory, begin=one.start / geometry.memory_slices_count, width=part.memory_fraction,
                  tenant=tenant, words=words)
        )  # fmt: skip
        found.append(Slice(row=compute, begin=at, width=part.compute_fraction, tenant=tenant, words=words))
        at += part.compute_fraction
    each = 1 / geometry.memory_slices_count
    found += [
        Slice(row=memory, begin=place * each, width=each, tenant=None, words="no instance can use it")
        for place in range(geometry.memory_slices_count)
        if place not in taken
    ]
    if at < 1 - each / PERCENT:
        found.append(Slice(row=compute, begin=at, width=1 - at, tenant=None, words="no instance can use it"))
    return sorted(found, key=lambda one: (one.row != memory, one.begin))


def _dollars(gpu: CutGpu, number: int, hours: float) -> list[dict[str, object]]:
    """Each instance, what none can use, and the GPU: cents that add up."""
    hourly = [part.usd_per_hour for part in gpu.parts]
    monthly = [amount * Decimal(str(hours)) for amount in hourly]
    rows = [
        {
            "GPU": f"{number}",
            "Instance": "no instance can use" if part.name == SLACK else part.name,
            "Whose": "" if part.name == SLACK else text.plain(tenant or "free"),
            "Compute": part.compute_fraction * PERCENT,
            "Memory": part.memory_fraction * PERCENT,
            "USD per hour": float(an_hour),
            "USD per month": float(a_month),
        }
        for part, tenant, an_hour, a_month in zip(
            gpu.parts, (*gpu.tenants, ""), in_cents(hourly), in_cents(monthly), strict=True
        )
    ]
    of_all = {
        name: float(in_cents([exact_sum(of)])[0]) for name, of in (("USD per hour", hourly), ("USD per month", monthly))
    }
    return [*rows, {**rows[0], "Instance": "The GPU", "Whose": "", "Compute": 100.0, "Memory": 100.0, **of_all}]


def _ways(found: Consolidation, hours: float) -> None:
    able = [way for way in found.ways if way.is_able]
    if able:
        least = min(able, key=lambda way: way.usd_per_hour)
        whole = found.way(Way.WHOLE_GPUS)
        names = [WAYS[way.way] for way in able if way.usd_per_hour == least.usd_per_hour]
        saved = found.saved_usd_per_hour(least.way)
        head = f"**{text.dollars(text.short_money((saved or 0) * hours))} a month less than whole GPUs**"
        st.markdown(f"{head}: {', '.join(names)}" if saved and whole.is_able else "**Whole GPUs are the cheapest way**")
    st.dataframe(
        pd.DataFrame([_way_row(way, hours) for way in found.ways]),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config=dict.fromkeys(("USD per month",), st.column_config.NumberColumn(format="%,.0f"))
        | dict.fromkeys(
            ("Slowest time per token, ms", "Longest wait, s"), st.column_config.NumberColumn(format="%,.0f")
        ),
        key="ways",
        height="content",
    )


def _way_row(way: Sharing, hours: float) -> dict[str, object]:
    able = way.is_able
    return {
        "Way": WAYS[way.way],
        "GPUs": way.gpus_count if able else None,
        "USD per month": way.usd_per_hour * hours if able else None,
        "Slowest time per token, ms": max(one.tpot_s for one in way.tenants) * MS_PER_S if way.tenants else None,
        "Longest wait, s": max(one.longest_wait_s for one in way.tenants) if way.tenants else None,
        "What it asks for": text.plain(way.why if able else f"cannot: {way.why}", 300),
    }
