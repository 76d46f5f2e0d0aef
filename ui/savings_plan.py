"""Committing to a change: what it promises, how it is to be measured, and whether that could be seen at all."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import streamlit as st

from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.saving import GUARDED, Advice, Design, Entry, Guard, Plan
from pack.savings_tables import interval
from pack.style import Numbers
from store.savings_file import commit
from store.savings_plan import USUAL_GUARDS, Wanted, advice_on, plan_of
from ui import data, text
from ui.plan_change import settings_of
from ui.savings import LINK, said
from ui.savings_entry import DESIGNS, frozen_lines
from ui.savings_steps import do, who
from ui.text import PERCENT

_BOX = 150
_MOST_LINK = 2000  # characters


def panel(found: data.Snapshot, one: Entry, numbers: Numbers) -> None:
    """The form of a plan, and what it could show; nobody commits without having seen that."""
    today = data.today(found)
    st.markdown("**Commit to what it promises** frozen with the button below, and never edited afterwards")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        link = st.text_input(
            "What-if link", st.query_params.get(LINK, ""), max_chars=_MOST_LINK, key="commit-link",
            placeholder="?v=2&weight_precision.weights=FP8", width="stretch",
        ).strip()  # fmt: skip
        st.page_link("pages/what_if.py", label="Set levers", icon=":material/tune:")
    if not link:
        st.caption("Set levers on What-if and copy the link from Share, or note the change there with Plan this.")
        return
    wanted, problem = _wanted(today, link)
    plan, why = _plan(found, wanted) if wanted else (None, problem)
    if plan is None:
        st.error(said(why), icon=":material/error:")
        return
    _promised(plan, numbers)
    advice = _advice(found, plan)
    is_seen = _shown(advice, plan, numbers)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = who("commit", 320)
        anyway = is_seen or st.checkbox("Commit anyway: it may never be told from nothing", key="commit-anyway")
        if st.button("Commit", icon=":material/lock:", type="primary", key="commit", disabled=not anyway):
            do(lambda: _commit(one, plan, by), "What it promises is frozen.")


def _commit(one: Entry, plan: Plan, by: str) -> None:
    commit(data.home(), one.id, plan, by, data.now())
    st.query_params.pop(LINK, None)


def _wanted(today: data.Today, link: str) -> tuple[Wanted | None, str]:
    """What is chosen beside the link; deployments that are left out are those that the model says change."""
    try:
        settings = settings_of(link, today)
    except PermillionError as error:
        return None, f"This link cannot be used here: {error}"
    turn = sha256(link.encode()).hexdigest()[:8]  # another link, another form
    keys = [one.key for one in today.scenario.deployments]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pools = st.multiselect(
            "Deployments that are changed",
            keys,
            key=f"commit-pools-{turn}",
            placeholder="those that the model changes",
            format_func=_named,
            width=320,
        )
        controls = st.multiselect(
            "Deployments that nobody touches",
            [key for key in keys if key not in pools],
            key=f"commit-controls-{turn}",
            format_func=_named,
            placeholder="none",
            width=320,
            help="They see the same days. Without one, what is saved is probable at most.",
        )
        usual = Design.DIFFERENCE if controls else Design.BEFORE_AFTER
        design = st.selectbox(
            "Compared",
            list(DESIGNS),
            list(DESIGNS).index(usual),
            key=f"commit-design-{turn}-{usual}",
            width=320,
            format_func=lambda one: DESIGNS[one],
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = st.number_input("Days before", 14, 365, 56, 7, key=f"commit-before-{turn}", width=_BOX)
        after = st.number_input("Days after", 7, 365, 28, 7, key=f"commit-after-{turn}", width=_BOX)
        looks = st.number_input(
            "Looks",
            1,
            52,
            1,
            key=f"commit-looks-{turn}",
            width=_BOX,
            help="How often somebody looks before the end. Each look has its part of the 5 %.",
        )
        guards = _guards(turn)
    return (
        Wanted(
            settings=settings,
            pool_keys=tuple(pools),
            control_keys=tuple(controls),
            design=design,
            before_days=int(before),
            after_days=int(after),
            guards=guards,
            looks_count=int(looks),
            link=f"/?{link.rpartition('?')[2]}",
        ),
        "",
    )


def _guards(turn: str) -> tuple[Guard, ...]:
    """A margin for each measure that may be guarded; an empty box guards nothing."""
    usual: Mapping[str, float] = {one.measure: one.margin_fraction * PERCENT for one in USUAL_GUARDS}
    margins = {
        measure: st.number_input(
            f"{name} may rise, %",
            0.0,
            1000.0,
            usual.get(measure),
            1.0,
            format="%g",
            key=f"commit-{measure}-{turn}",
            width=_BOX + 60,
            placeholder="not guarded",
        )
        for measure, name in GUARDED.items()
    }
    return tuple(Guard(measure=measure, margin_fraction=margin / PERCENT)
                 for measure, margin in margins.items() if margin is not None)  # fmt: skip


def _named(key: str) -> str:
    return text.plain(key, 80)


def _plan(found: data.Snapshot, wanted: Wanted) -> tuple[Plan | None, str]:
    try:
        return _planned(found.id, repr(wanted), found, wanted), ""
    except PermillionError as error:
        return None, str(error)


@st.cache_resource(max_entries=32, show_spinner="Working out what is promised…")
def _planned(snapshot_id: str, asked: str, _found: data.Snapshot, _wanted: Any) -> Plan:
    return plan_of(_found, data.home(), _wanted)


@st.cache_resource(max_entries=32, show_spinner="Working out what could be seen…")
def _advised(snapshot_id: str, asked: str, _found: data.Snapshot, _plan: Plan) -> Advice:
    return advice_on(_found, data.home(), _plan)


def _advice(found: data.Snapshot, plan: Plan) -> Advice:
    try:
        return _advised(found.id, repr(plan), found, plan)
    except PermillionError as error:
        return Advice(minimum_fraction=Undefined(reason=str(error)), sentence=str(error))


def _promised(plan: Plan, numbers: Numbers) -> None:
    share = plan.projection.saved_fraction
    st.markdown(
        f"**Promises {numbers.share(share.mid)} less for the same work** ({interval(share, numbers)}) on "
        f"{', '.join(text.label(key, 80) for key in plan.pool_keys)}"
    )
    with st.expander("Everything that is frozen", icon=":material/lock:", key="to-freeze"):
        st.markdown(frozen_lines(plan, numbers))


def _shown(advice: Advice, plan: Plan, numbers: Numbers) -> bool:
    """Whether what is promised would be seen; said beside what would make more be seen."""
    smallest, promised = advice.minimum_fraction, plan.projection.saved_fraction.mid
    is_seen = not isinstance(smallest, Undefined) and smallest <= promised
    lines = "".join(f"\n- {said(line)}" for line in advice.advice)
    if is_seen:
        st.success(f"{said(advice.sentence)}{lines}", icon=":material/visibility:")
    else:
        least = "not known" if isinstance(smallest, Undefined) else numbers.share(smallest)
        st.warning(
            f"**This could not be shown.** Smallest saving that can be seen: {least}; promised: "
            f"{numbers.share(promised)}. {said(advice.sentence)}{lines}",
            icon=":material/visibility_off:",
        )
    return is_seen
