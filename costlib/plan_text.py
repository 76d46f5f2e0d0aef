"""A plan as text for a terminal: the steps, what each takes, and what is left."""

from collections.abc import Iterator

from costlib.levers import lever as lever_of
from costlib.plan import Change, Plan
from costlib.plan_search import Evidence
from costlib.units import MS_PER_S

EVIDENCE_WORDS = {
    Evidence.MODELLED: "answers stay as they are",
    Evidence.EVALUATED: "changes answers, evaluated",
    Evidence.UNPROVEN: "UNPROVEN: changes answers, none were evaluated",
}


def plan_text(plan: Plan) -> str:
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"today     ${plan.today_usd_per_mtok:,.3f} per million tokens, ${plan.today_usd_per_month:,.0f} a month"
    yield f"target    ${plan.target_usd_per_mtok:,.3f}"
    yield f"reached   ${plan.end_usd_per_mtok:,.3f}, ${plan.saved_usd_per_month:,.0f} a month less"
    if plan.unreachable:
        yield plan.unreachable
    elif not plan.changes:
        yield "met already: nothing to change"
    for place, change in enumerate(plan.changes, 1):
        yield ""
        yield from _change_lines(place, change)
    if plan.changes:
        unproven = sum(one.saved_usd_per_month for one in plan.changes if one.evidence is Evidence.UNPROVEN)
        if unproven:
            yield ""
            yield f"${unproven:,.0f} a month of it is unproven until answers are evaluated."
    yield ""
    yield "not in the plan:"
    for why, keys in plan.left_by_reason:
        yield f"  {', '.join(lever_of(key).label for key in keys)}: {why}"


def _change_lines(place: int, change: Change) -> Iterator[str]:
    lever = lever_of(change.lever)
    yield f"{place}. {lever.label}: {', '.join(change.shown) or 'on'}"
    yield (
        f"   effect    ${change.before_usd_per_mtok:,.3f} -> ${change.after_usd_per_mtok:,.3f} per million tokens, "
        f"{_signed(-change.saved_usd_per_month)} USD a month, {change.before_gpus_count} -> {change.gpus_count} GPUs"
    )
    if change.assumed:
        yield (
            f"   assumed   {', '.join(change.assumed)}: from {_signed(-change.most_saved_usd_per_month)} to "
            f"{_signed(-change.least_saved_usd_per_month)} USD a month at the ends of what is usual"
        )
    if change.tpot_s is not None:
        yield f"   speed     {change.tpot_s * MS_PER_S:.0f} ms per token at the peak hour"
    if change.makes_room:
        yield "   saves nothing by itself: it makes room for the next"
    yield f"   evidence  {EVIDENCE_WORDS[change.evidence]}"
    yield f"   effort    {change.effort}"
    yield f"   risk      {lever.risks}"
    for served in change.flags:
        for one in served.changes:
            yield f"   flags     {served.deployment_key}: {one.text}"
    yield f"   rollback  {change.rollback}"


def _signed(usd: float) -> str:
    return f"{round(usd) + 0:+,}"
