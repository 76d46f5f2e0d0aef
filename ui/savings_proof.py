"""What a verdict rests on: guarded measures, other ways to ask, what overlaps with it, and whether it lasts."""

import pandas as pd
import streamlit as st

from costlib.estimate import Estimate, Undefined
from costlib.saving import GUARDED, Distribution, Entry, GuardResult, Savings, Verification
from costlib.units import MS_PER_S
from pack.savings_tables import interval
from pack.style import NONE, Numbers, day_text
from ui import charts, savings_charts, text
from ui.savings import said
from ui.text import PERCENT
from ui.theme import palette

_MEASURES = {"ttft": "TTFT", "tpot": "Time per output token", "failed": "Aborted or failed"}
_QUANTILE = 0.95  # that guards of a latency are on


def guards(found: Verification, numbers: Numbers) -> None:
    """Each guarded measure with its margin, then every measure by quantile, in the same days as the saving."""
    broken = [one for one in found.guards if one.is_broken]
    open_ones = [one for one in found.guards if one.is_broken is None]
    if not found.guards and not found.distributions:
        st.markdown("**Latency and failures were not compared** no guard was set, or nothing was measured yet")
        return
    if broken:
        names = ", ".join(GUARDED.get(one.guard.measure, one.guard.measure) for one in broken)
        st.markdown(f"**{said(names)} got worse than allowed** before and after, in the same days")
    elif open_ones:
        st.markdown(f"**{len(open_ones)} of {len(found.guards)} guards cannot be told yet** before and after")
    elif found.guards:
        st.markdown("**Latency and failures held** before and after, in the same days")
    else:
        st.markdown("**No guard was set** latency and failures before and after")
    for one in found.guards:
        _guard(one, numbers)
    places = st.columns(max(len(found.distributions), 1), gap="medium")
    for place, measure in zip(places, found.distributions, strict=False):
        with place:
            _distribution(measure, found.guards)


def _guard(one: GuardResult, numbers: Numbers) -> None:
    name = GUARDED.get(one.guard.measure, one.guard.measure)
    change = one.change_fraction
    moved = f"not known: {change.reason}" if isinstance(change, Undefined) else (
        f"{'+' if change.mid > 0 else ''}{numbers.share(change.mid)} ({interval(change, numbers)})")  # fmt: skip
    word, icon, color = {
        True: ("Broken", ":material/cancel:", "red"),
        False: ("Held", ":material/check_circle:", "green"),
        None: ("Cannot tell", ":material/question_mark:", "orange"),
    }[one.is_broken]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, icon=icon, color=color)  # type: ignore[arg-type]
        st.markdown(f"{said(name)}: {said(moved)}; may rise {numbers.share(one.guard.margin_fraction, 0)}",
                    width="stretch")  # fmt: skip


def _distribution(one: Distribution, results: tuple[GuardResult, ...]) -> None:
    kind = one.measure.split("_")[0]
    is_share = one.measure.endswith("_fraction")
    limit = next(
        (
            (_QUANTILE, one.before[_QUANTILE] * (1 + result.guard.margin_fraction))
            for result in results
            if result.guard.measure.startswith(f"{kind}_p95") and _QUANTILE in one.before
        ),
        None,
    )
    st.caption(f"**{said(_MEASURES.get(kind, one.measure))}** by quantile")
    figure = savings_charts.quantiles(
        one.before, one.after, PERCENT if is_share else MS_PER_S, "%" if is_share else "ms", limit, palette()
    )
    charts.draw(figure, f"quantiles-{kind}", alt=f"{_MEASURES.get(kind, one.measure)} before and after, by quantile")


def checks(found: Verification, numbers: Numbers) -> None:
    """The same question asked in other ways."""
    told = [one.saved_fraction for one in found.checks if not isinstance(one.saved_fraction, Undefined)]
    agree = sum(share.low > 0 for share in told)
    finding = f"{agree} of {len(told)} other methods see a saving" if told else "No other method could be tried"
    st.markdown(f"**{finding}** the same question, asked in other ways")
    if found.checks:
        rows = [
            {
                "Method": text.plain(one.name, 80),
                "Saved": NONE if isinstance(one.saved_fraction, Undefined) else numbers.share(one.saved_fraction.mid),
                "95 %": interval(one.saved_fraction, numbers),
                "Note": text.plain(
                    one.saved_fraction.reason if isinstance(one.saved_fraction, Undefined) else one.note, 200
                ),
            }
            for one in found.checks
        ]
        right = st.column_config.TextColumn(alignment="right")
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="checks", column_config={"Saved": right, "95 %": right})
    placebo = found.placebo_fraction
    if isinstance(placebo, Undefined):
        st.caption(f"Other dates were not tried: {said(placebo.reason)}.")
    else:
        st.caption(
            f"Placebo: of other dates taken for the change, {numbers.share(placebo, 0)} show as much of an effect."
        )
    for line in found.notes:
        st.caption(text.sentence(line))


def afterwards(of: Savings, one: Entry, numbers: Numbers) -> None:
    """Whether it lasts, and what else was changed at the same time."""
    erosion = of.erosions.get(one.id)
    st.markdown(f"**{_lasting(erosion.is_eroded if erosion else None)}** what later windows still save")
    if erosion is None:
        st.caption("A window of its own begins once the saving is signed.")
    else:
        st.markdown(text.sentence(erosion.sentence))
        st.markdown("\n".join(f"- from {day_text(on)}: {_still(share, numbers)}" for on, share in erosion.windows))
    names = {entry.id: entry.title for entry in of.entries}
    for overlap in (found for found in of.overlaps if one.id in found.entry_ids):
        others = ", ".join(text.label(names.get(key, key), 80) for key in overlap.entry_ids if key != one.id)
        counted = numbers.share(overlap.counted_ratio, 0)
        st.markdown(
            f"**At the same time as {others}** {text.sentence(overlap.sentence)} {counted} of the "
            "sum of their savings counts."
        )


def _still(share: Estimate | Undefined, numbers: Numbers) -> str:
    if isinstance(share, Undefined):
        return f"not known: {said(share.reason)}"
    return f"{numbers.share(share.mid)} ({interval(share, numbers)})"


def _lasting(is_eroded: bool | None) -> str:
    return {True: "It erodes", False: "It lasts", None: "Whether it lasts is not known yet"}[is_eroded]
