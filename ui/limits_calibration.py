"""How well the engine model knows a deployment: the constants found of it, and the last day replayed."""

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from costlib.calibration import Calibration, How
from costlib.estimate import Basis
from store.calibrations import Kept, Told, identity_of, newest
from ui import charts, data, text
from ui.limits import View
from ui.physics_charts import Hour, back_test
from ui.theme import palette

PUBLISHED = {
    Basis.ASSUMED: "fitted to published measurements of this GPU generation",
    Basis.EXTRAPOLATED: "taken from the nearest GPU generation that was measured",
}
RATIO = st.column_config.NumberColumn(format="%.2f")
NAMES = {How.FITTED: "Calibrated", How.PRIOR_LED: "Calibrated in part", How.ANCHORED: "Anchored to one measured point"}


def panel(view: View, found: data.Snapshot | None, today: data.Today) -> None:
    kept = _kept(view, found, today)
    if kept is None or view.hosted.fitted is None:
        band = f"{view.constants.step_low_ratio - 1:+.0%} to {view.constants.step_high_ratio - 1:+.0%}"
        st.markdown(f"**Not calibrated on this fleet** step times {band}")
        st.caption(
            f"Its constants are {PUBLISHED.get(view.constants.basis, str(view.constants.basis))}. `permillion "
            "calibrate` fits them to what your servers export, and holds back the last day to check."
        )
        return
    _made(kept.calibration, kept.made_at, is_sample=kept.identity.is_sample)
    if kept.identity.is_sample:
        st.caption("Sample hours are made with the engine model itself: that it agrees with them proves nothing.")


def _kept(view: View, found: data.Snapshot | None, today: data.Today) -> Kept | None:
    """The calibration in use; why there is none, the head of the page says."""
    if found is None or not today.is_measured_fleet:
        return None
    told = Told(targets=data.targets(found), engines=data.engines(found), is_sample=found.is_sample)
    stated = replace(view.deployment, supply=replace(view.hosted, fitted=None))
    return newest(data.home(), identity_of(stated, today.catalog, told))[0]


def _made(made: Calibration, at: datetime, *, is_sample: bool) -> None:
    test = made.back_test
    error = "" if test is None else f", busy time off by {test.median_error_ratio:.1%} on held-out windows"
    title = f"**{NAMES[made.how]} on {'sample hours, which proves nothing' if is_sample else f'this fleet{error}'}**"
    st.markdown(title)
    if test is not None:
        hours = [
            Hour(at=datetime.fromtimestamp(hour.start_s, UTC).isoformat(), busy_s=hour.busy_s,
                 predicted_s=hour.predicted_s, low_s=hour.low_s, high_s=hour.high_s)
            for hour in test.hours
        ]  # fmt: skip
        charts.draw(back_test(hours, palette()), "back-test", alt=title.replace("*", ""))
        if not test.passes:
            st.error(
                "The back-test fails: projections of this deployment are not to be relied on. Check its GPU, formats "
                "and layout in scenario.toml.",
                icon=":material/error:",
            )
    st.dataframe(
        pd.DataFrame(
            {
                "Constant": [one.group.replace("_", " ") for one in made.found],
                "Times published": [one.ratio for one in made.found],
                "P10": [one.low_ratio for one in made.found],
                "P90": [one.high_ratio for one in made.found],
            }
        ),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.2f") for name in ("Times published", "P10", "P90")
        },
        key="calibration",
    )
    seen = made.fitted.validity
    notes = " ".join(f"{note}." for note in (made.why.rstrip("."), *made.notes) if note)
    st.caption(
        f"Made on {text.day(at)} from {made.windows_count:,} busy windows, batches of "
        f"{seen.least_batch_count:,.0f} to {seen.most_batch_count:,.0f}. {text.label(notes, 600)}"
    )
