"""The Demand section of Capacity: what each hour needed, for how long which level is needed, and when in the week."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import streamlit as st

from costlib.demand_curve import duration_fraction, growth_per_week_ratio, week_shape_ratio
from costlib.gpu_pool import Needed, Pool, owned_gpus_count, pools
from costlib.units import HOURS_PER_DAY
from ui import capacity, capacity_charts, capacity_traffic, cards, charts, text
from ui.capacity import View
from ui.choices import picked
from ui.theme import palette

WHOLE = "All of the pool"
RARE_FRACTION = 0.01


def section(shown: View) -> str:
    """Draw it; returns its line of small print."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="demand-controls"):
        pool = _narrowed(capacity.pool_of(shown))
        capacity_traffic.control(shown.self_hosted)
    if not len(pool.curve.known_gpus_count):
        st.info("No hour of the history is known for all of these at once.", icon=":material/hourglass_empty:")
        capacity.notes(pool.curve.notes)
        return ""
    owned = owned_gpus_count(shown.today.scenario, pool.gpu_key, pool.curve.start)
    _figures(pool, owned)
    name = shown.gpu_name(pool.gpu_key)
    with st.container(border=True, key="hours-card"):
        _hours(pool, owned, name)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, key="durations-card"):
        _durations(pool, owned)
    with right, st.container(border=True, key="week-card"):
        _week(pool)
    if len(pool.members) > 1:
        with st.container(border=True, key="members-card"):
            _members(pool)
    _remarks(pool)
    return (
        f"{capacity.whose_hours(pool.members)} Whole replicas at the share of their capacity that is aimed at, by the "
        f"model ({capacity.basis_words(pool.members[0].unit.basis)}); its range is P10 to P90 of step times."
    )


def _narrowed(pool: Pool) -> Pool:
    """The pool, or one deployment of it as a pool of its own."""
    if len(pool.members) == 1:
        return pool
    by_key = {one.key: one for one in pool.members}
    chosen = picked("Deployment", [WHOLE, *by_key], "member")
    return pool if chosen == WHOLE else pools([by_key[chosen]])[0]


def _figures(pool: Pool, owned: float) -> None:
    curve = pool.curve
    growth = growth_per_week_ratio(pool.work)
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.noted("GPUs, mean", f"{curve.mean_gpus_count:,.1f}", f"{curve.median_gpus_count:,.0f}", "the median")
        cards.noted("GPUs, busiest hour", f"{curve.peak_gpus_count:,}", f"{curve.peak_to_mean_ratio:.1f} ×", "the mean")
        cards.noted("Model's range", _range(pool), None, "at the busiest hour",
                    help="P10 to P90 of step times, for the busiest hour.")  # fmt: skip
        cards.noted("Growth", text.UNKNOWN if growth is None else f"{growth - 1:+.1%}", None,
                    "needs two weeks" if growth is None else "a week",
                    help="Median of the same hour of the week, half of the history apart.")  # fmt: skip
        cards.noted("Owned", f"{owned:,.0f}", None, "GPUs committed to" if owned else "nothing committed")
        _hours_known(pool)


def _hours_known(pool: Pool) -> None:
    hours, known = len(pool.curve.needed_gpus_count), len(pool.curve.known_gpus_count)
    if not capacity.has_hours(pool.members):
        cards.noted("Hours measured", "0", None, "all assumed")
        return
    cards.noted("Hours known", f"{known:,}", None if known == hours else text.percent(known / hours), f"of {hours:,}",
                help="An hour is known when half of it was observed, or a file has it.")  # fmt: skip


def _range(pool: Pool) -> str:
    at = int(np.nanargmax(pool.curve.needed_gpus_count))
    return f"{pool.low_gpus_count[at]:,.0f} to {pool.high_gpus_count[at]:,.0f}"


def _values(of: np.ndarray) -> list[float | None]:
    return [None if value != value else round(float(value), 3) for value in of]


def _hours(pool: Pool, owned: float, name: str) -> None:
    curve = pool.curve
    moments = [curve.start + timedelta(hours=n) for n in range(len(curve.needed_gpus_count))]
    peak = moments[int(np.nanargmax(curve.needed_gpus_count))]
    title = (
        f"**{curve.peak_gpus_count:,} {text.label(name)} in the busiest hour**, {_when(peak, pool)}; "
        f"{curve.mean_gpus_count:,.1f} on the mean"
    )
    st.markdown(title)
    figure = capacity_charts.hours(
        [moment.isoformat() for moment in moments], _values(curve.needed_gpus_count), _values(pool.low_gpus_count),
        _values(pool.high_gpus_count), owned, palette(),
    )  # fmt: skip
    charts.draw(figure, "hours", alt=title.replace("*", "").replace("\\", ""))


def _when(peak: datetime, pool: Pool) -> str:
    if capacity.has_hours(pool.members):
        return f"{peak:%A %-d %b %H:%M} UTC"
    return f"assumed at {peak:%H:%M} UTC of every day"


def _durations(pool: Pool, owned: float) -> None:
    shares = duration_fraction(pool.curve.needed_gpus_count)
    half, rare = (int((shares >= share).sum()) for share in (0.5, RARE_FRACTION))
    beyond = pool.curve.peak_gpus_count - half
    title = f"**{beyond:,} of {pool.curve.peak_gpus_count:,} GPUs are needed in less than half of the hours**"
    if not beyond:
        title = f"**All {half:,} GPUs are needed in half of the hours and more**"
    st.markdown(f"{title}, {rare:,} in 1 %")
    charts.draw(
        capacity_charts.durations([float(share) for share in shares], owned, palette()), "durations",
        alt="Load-duration curve: GPUs needed in so many of the hours",
    )  # fmt: skip


def _week(pool: Pool) -> None:
    ratios = week_shape_ratio(pool.work)
    if not np.isfinite(ratios).any():
        st.markdown("**No shape of a week yet**")
        return
    most, least = int(np.nanargmax(ratios)), int(np.nanargmin(ratios))
    st.markdown(
        f"**Busiest {_moment(most)}, {ratios[most]:.1f} times the mean**; quietest {_moment(least)}, "
        f"{ratios[least]:.1f} times"
    )
    charts.draw(capacity_charts.week(_values(ratios), palette()), "week", alt="Load by hour of the week")
    unseen = int((~np.isfinite(ratios)).sum())
    st.caption(f"Mean of each hour, UTC.{f' {unseen} hours of the week were never seen.' if unseen else ''}")


def _moment(hour: int) -> str:
    return f"{capacity_charts.DAYS[hour // HOURS_PER_DAY]} {hour % HOURS_PER_DAY:02}:00"


def _members(pool: Pool) -> None:
    most = max(pool.members, key=lambda one: one.curve.mean_gpus_count)
    share = most.curve.mean_gpus_count / max(sum(one.curve.mean_gpus_count for one in pool.members), 1e-9)
    st.markdown(f"**{text.label(most.key)} needs {share:.0%} of the GPUs** on the mean")
    st.dataframe(
        pd.DataFrame([_row(one) for one in pool.members]),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config={
            "GPUs, mean": st.column_config.NumberColumn(format="%,.1f"),
            "One replica carries, req/s": st.column_config.NumberColumn(format="%,.2f"),
        },
        key="pool-members",
    )


def _row(one: Needed) -> dict[str, object]:
    return {
        "Deployment": text.plain(one.key),
        "GPUs, mean": one.curve.mean_gpus_count,
        "GPUs, peak": one.curve.peak_gpus_count,
        "GPUs a replica": one.unit.gpus_count,
        "One replica carries, req/s": one.unit.capacity_requests_per_s,
        "Hours": text.plain(f"from {one.load.file_name}, assumed")
        if one.load.file_name
        else "measured"
        if one.is_measured
        else "assumed",
        "Capacity": capacity.basis_words(one.unit.basis),
    }


def _remarks(pool: Pool) -> None:
    gaps = len(pool.curve.needed_gpus_count) - len(pool.curve.known_gpus_count)
    said = pool.curve.notes
    if gaps:
        said = (*said, f"{gaps:,} hours were not observed for all of these: they are gaps, not zeros.")
    if len(pool.curve.known_gpus_count) < HOURS_PER_DAY:
        said = (*said, "less than a day is known: its peak and its night may lie outside")
    capacity.notes(said)
