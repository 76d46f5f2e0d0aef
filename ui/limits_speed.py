"""The speeds on Limits: of one user against one GPU, or against cost, at every batch, beside other GPUs."""

from collections.abc import Mapping, Sequence

import streamlit as st

from costlib.breakeven import usd_per_mtok
from costlib.catalog import Catalog
from costlib.project import usd_per_gpu_hour
from costlib.search import BATCHES, Choice, Space, search
from ui import charts, text
from ui.limits import View, prices
from ui.physics_charts import SpeedLine, SpeedPoint, speeds
from ui.theme import palette

RIVALS = 3  # other GPUs drawn beside today's
SMALLEST_PRICE = 1e-6  # USD per GPU-hour: a logarithmic axis has no place for GPUs that cost nothing


def speed_chart(view: View, catalog: Catalog) -> None:
    """Today's layout at every batch, and the best of other GPUs in the same formats."""
    serving, slo_s = view.hosted.serving, view.deployment.max_tpot_s
    space = Space(
        usd_per_gpu_hour={view.gpu.key: _paid(view, catalog), **_others(view, catalog)},
        weight_precisions=(serving.weight_precision,),
        kv_precisions=(serving.kv_precision,),
    )
    found = search(view.model, view.deployment.workload, space, catalog, serving, fitted=view.hosted.fitted)
    fronts = {key: found.front(gpu_key=key) for key in space.usd_per_gpu_hour}
    quick = {
        key: min((one.usd_per_mtok for one in front if slo_s is None or one.tpot_s <= slo_s), default=None)
        for key, front in fronts.items()
    }
    ranked = sorted((cost, key) for key, cost in quick.items() if cost is not None)
    shown = [key for _, key in ranked if key != view.gpu.key][:RIVALS]
    own = _own_line(view, catalog)
    at = view.batch_count
    today = _speed_point(view, min(round(at), view.replica.batch_count), catalog, "Today")
    lines = [
        SpeedLine(name=f"{serving.gpus_count} x {view.gpu.name}, as it is", points=own, is_today=True),
        *(
            SpeedLine(name=catalog.gpu(key).name, points=[_point_of(one) for one in reversed(fronts[key])])
            for key in shown
        ),
    ]
    title = _speed_title(ranked, fronts, view, catalog, slo_s)
    st.markdown(text.dollars(title))
    view_of = st.segmented_control(
        "Against", ["Speed", "Cost"], default="Speed", required=True, key="pareto", label_visibility="collapsed",
        bind="query-params",
    )  # fmt: skip
    charts.draw(
        speeds(lines, today, None if slo_s is None else 1 / slo_s, view_of == "Cost", palette()),
        "speeds",
        alt=title.replace("*", ""),
    )
    st.caption(
        f"One point per batch, always full, at the mean request. Other GPUs: {serving.weight_precision} weights, the "
        "layouts of 1 to 8 that no other beats, at their least list price without spot."
    )


def _paid(view: View, catalog: Catalog) -> float:
    return usd_per_gpu_hour(view.hosted.purchase, view.scenario, catalog)


def _others(view: View, catalog: Catalog) -> dict[str, float]:
    return {key: price for key, price in prices(catalog, view.scenario).items() if key != view.gpu.key}


def _own_line(view: View, catalog: Catalog) -> list[SpeedPoint]:
    most = len(view.replica.uncut_interval_s)
    return [_speed_point(view, batch, catalog) for batch in [*(b for b in BATCHES[::2] if b < most), most]]


def _speed_point(view: View, batch: int, catalog: Catalog, name: str = "") -> SpeedPoint:
    gpus, work = view.hosted.serving.gpus_count, view.deployment.workload
    requests_per_s = batch / (work.mean_output_tokens * float(view.replica.uncut_step_s[batch - 1]))
    tokens_per_s = requests_per_s * work.tokens_per_request / gpus
    return SpeedPoint(
        name=name or f"batch {batch:,}",
        user_tokens_per_s=1 / float(view.replica.uncut_interval_s[batch - 1]),
        gpu_tokens_per_s=tokens_per_s,
        usd_per_mtok=usd_per_mtok(max(_paid(view, catalog), SMALLEST_PRICE), tokens_per_s),
    )


def _point_of(one: Choice) -> SpeedPoint:
    return SpeedPoint(
        name=f"{one.layout.serving.gpus_count} GPUs, batch {one.batch_count:,}",
        user_tokens_per_s=1 / one.tpot_s,
        gpu_tokens_per_s=one.gpu_tokens_per_s,
        usd_per_mtok=one.usd_per_mtok,
    )


def _speed_title(
    ranked: Sequence[tuple[float, str]],
    fronts: Mapping[str, Sequence[Choice]],
    view: View,
    catalog: Catalog,
    slo_s: float | None,
) -> str:
    asked = "at any speed" if slo_s is None else f"at {1 / slo_s:,.3g} tok/s per user or more"
    if not ranked:
        return f"**No GPU of the catalogue serves {text.label(view.model.name)} {asked}** in these formats"
    cost, key = ranked[0]
    best = next(one for one in fronts[key] if one.usd_per_mtok == cost)
    return (
        f"**{best.layout.serving.gpus_count} x {text.label(catalog.gpu(key).name)} is cheapest {asked}** "
        f"{text.unit_cost(cost)} per 1M when full"
    )
