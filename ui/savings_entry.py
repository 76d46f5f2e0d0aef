"""One change: what it promised, what was measured of it, how sure that is, and what people said of it."""

from datetime import date
from decimal import Decimal
from urllib.parse import parse_qsl

import streamlit as st

from costlib.allocation import in_cents
from costlib.estimate import Estimate, Undefined
from costlib.lever import Work
from costlib.levers import LEVERS
from costlib.saving import Design, Entry, Outcome, Plan, Savings, State, Verdict, Verification
from pack.savings_tables import STATES, VERDICTS, amount_of, interval
from pack.style import NONE, Numbers, day_text, short_day
from ui import cards, charts, links, savings_charts, text
from ui.savings import choose, said
from ui.savings_board import chips, evidence
from ui.theme import palette

DESIGNS = {
    Design.SPLIT: "replicas with and without it, at the same time",
    Design.SWITCHBACK: "on and off by turns",
    Design.DIFFERENCE: "against deployments that nobody touched",
    Design.BEFORE_AFTER: "before and after, with nothing untouched to compare with",
}
WORKS = {
    Work.TOKENS: "tokens by their weight",
    Work.ASKED_TOKENS: "tokens that were asked for, cached or not",
    Work.REQUESTS: "finished requests",
    Work.OUTSIDE: "requests as clients sent them",
}
OUTCOMES = {Outcome.GPU_HOURS: "GPU-hours at the frozen price", Outcome.COST: "cost as billed"}
SAVED = (Verdict.VERIFIED, Verdict.PARTIAL, Verdict.PROBABLE)
MOST_OF_PROMISE = 3  # beyond it, as below zero, a share of the promise says nothing


def head(of: Savings, one: Entry) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="entry-head"):
        st.button("All changes", icon=":material/arrow_back:", key="back", on_click=choose, args=("",), type="tertiary")
        st.markdown(f"#### {text.label(one.title, 200)}", width="stretch")
        chips(of, one)
        evidence(one)
    steps = [("noted", one.noted_at), ("planned", one.committed_at), ("shipped", one.shipped_at),
             ("taken back", one.ended_at)]  # fmt: skip
    dates = ", ".join(f"{name} {short_day(at.date())}" for name, at in steps if at is not None)
    st.caption(f"{text.label(one.owner or 'no owner', 80)} · {dates}")


def verdict(of: Savings, one: Entry, numbers: Numbers) -> None:
    """In one sentence what is known, then why, and what would settle it."""
    if one.id in of.broken_entries:
        st.error(
            "**Lines of this change in the ledger are not what was written.** What it says here is what the file says "
            "now; nothing of it counts.",
            icon=":material/link_off:",
        )
    found = of.verifications.get(one.id)
    if found is None:
        st.markdown(f"**{STATES[one.state]}** {_not_measured(one)}")
        return
    st.markdown(f"**{said(sentence(found, numbers))}** {text.sentence(found.reason)}")
    if found.remedy:
        asks = "What would settle it" if found.verdict is Verdict.CANNOT_TELL else "What to do"
        st.info(f"{asks}: {text.sentence(found.remedy)}", icon=":material/conversion_path:")
    if one.signed:
        signed = one.signed
        basis = "final bills" if signed.is_final else "bills that were still open"
        st.caption(
            f"Signed by {text.label(signed.by, 80)} on {day_text(signed.at.date())}: "
            f"{VERDICTS[signed.verdict].lower()}, {numbers.share(signed.saved_fraction.mid)} "
            f"({interval(signed.saved_fraction, numbers)}), on {basis}."
        )


def _not_measured(one: Entry) -> str:
    if one.state is State.REJECTED:
        return "It was never shipped, so nothing of it was measured."
    if one.plan is None:
        return "Nobody committed to what it promises yet, so there is nothing to measure it against."
    return "It is measured once it is shipped."


def sentence(found: Verification, numbers: Numbers) -> str:
    """The verdict, and how much for the same work."""
    word = VERDICTS[found.verdict]
    if isinstance(found.saved_fraction, Undefined) or found.verdict is Verdict.CANNOT_TELL:
        return f"{word}."
    share = found.saved_fraction
    way = f"{numbers.share(abs(share.mid))} {'less' if share.mid >= 0 else 'more'} for the same work"
    return f"{word}: {way} ({interval(share, numbers)})."


def is_known(found: Verification) -> bool:
    """Whether anything was measured that can be drawn."""
    return bool(found.days) or not isinstance(found.saved_fraction, Undefined)


def figures(found: Verification, numbers: Numbers) -> None:
    """Four ways to look at one change; they are never added."""
    final = "final bills" if found.is_final else "bills still open"
    capacity, change = found.capacity_gpu_hours_per_month, found.bill_change_usd_per_month
    with st.grid(4, min_column_width=cards.WIDTH):
        _figure("Saved per unit of work", _share(found.saved_fraction, numbers), found.saved_fraction,
                f"{interval(found.saved_fraction, numbers)}", "At equal load, with 95 % confidence.")  # fmt: skip
        shown = NONE if isinstance(change, Undefined) else numbers.change(in_cents([change])[0])
        _figure("Bill change a month", shown, change, final,
                "What the bill of these deployments did, for whatever reason: volume and prices too.")  # fmt: skip
        hours = NONE if isinstance(capacity, Undefined) else f"{numbers.count(capacity.mid)} GPU-h"
        _figure("Capacity freed a month", hours, capacity, "free, and still paid",
                "GPU time that the same work does not need any more. It is no money until GPUs go.")  # fmt: skip
        cash = amount_of(found.cash_usd_per_month)
        _figure("Cash a month", numbers.money(cash), found.cash_usd_per_month, final,
                "What is not paid any more at the work of the days after.")  # fmt: skip
    st.caption("Four views of one change. They are never added.")


def _figure(name: str, value: str, known: object, note: str, help: str) -> None:
    is_known = not isinstance(known, Undefined)
    badge = str(known.basis) if isinstance(known, Estimate) else "measured" if is_known else "not known"
    why = "" if is_known else f" Not known: {known.reason}."  # type: ignore[attr-defined]
    cards.noted(name, value, badge, note if is_known else None, help=said(f"{help}{why}"))


def _share(found: Estimate | Undefined, numbers: Numbers) -> str:
    return NONE if isinstance(found, Undefined) else numbers.share(found.mid)


def promise(one: Entry, found: Verification, numbers: Numbers) -> None:
    promised: Estimate | Undefined = one.plan.projection.saved_fraction if one.plan else Undefined(reason="no plan")
    rate = found.realised_fraction
    if isinstance(rate, Undefined):
        st.markdown(f"**What came of the promise is not known** {said(rate.reason)}")
    else:
        ends = f"{numbers.share(rate.low, 0)} to {numbers.share(rate.high, 0)}"
        is_told = found.verdict is not Verdict.CANNOT_TELL
        part = (
            f"{numbers.share(rate.mid, 0)} of what was promised" if is_told else f"Anything from {ends} of the promise"
        )
        if is_told and not 0 <= rate.mid <= MOST_OF_PROMISE and isinstance(promised, Estimate):
            saved = found.saved_fraction
            measured = numbers.share(saved.mid) if isinstance(saved, Estimate) else "nothing"
            st.markdown(
                f"**Promised {numbers.share(promised.mid)}, measured {measured}** of the cost of a unit of work"
            )
        else:
            st.markdown(f"**{part}**{f' ({ends})' if is_told else ''} saved of the cost of a unit of work")
    figure = savings_charts.promise_and_measurement(
        promised, found.saved_fraction, found.naive_fraction, found.minimum_fraction, found.verdict in SAVED, palette()
    )
    charts.draw(figure, "promise", alt="Promised and measured saving with their ranges")
    naive = found.naive_fraction
    if not isinstance(naive, Undefined):
        st.caption(
            f"Before and after alone would claim {numbers.share(naive)}. Volume, prices and the season are in that, so "
            "it is shown and not counted."
        )


def bridge(of: Savings, found: Verification, numbers: Numbers) -> None:
    """A month's cost before and after, with everything between; what is not explained is drawn like the rest."""
    before, after = found.spend_before, found.spend_after
    if isinstance(before, Undefined) or isinstance(after, Undefined):
        why = before.reason if isinstance(before, Undefined) else after.reason  # type: ignore[union-attr]
        st.markdown(f"**The bill before and after is not known** {said(why)}")
        return
    moved = in_cents([after - before])[0]
    verb = "rose" if moved > 0 else "fell"
    st.markdown(f"**The bill {verb} by {said(numbers.money(abs(moved)))} a month** and why, before to after")
    shown = {bar.name: f"{'+' if bar.amount > 0 else ''}{numbers.short(bar.amount)}" for bar in found.bars}
    figure = savings_charts.bridge(before, found.bars, after, shown, palette())
    charts.draw(figure, "savings-bridge", alt="From the spend before to the spend after, by reason")
    ends = f"From {numbers.money(in_cents([before])[0])} to {numbers.money(in_cents([after])[0])} a month."
    st.caption(said(ends if found.is_final else f"{ends} Bills of these days are still open, so this may change."))


def days(of: Savings, one: Entry, found: Verification, numbers: Numbers) -> None:
    if not found.days:
        st.markdown("**No day was measured yet** cost of a million units of work")
        return
    after = [point for point in found.days if point.is_after and point.without_usd_per_mtok is not None]
    lower = sum(point.usd_per_mtok < (point.without_usd_per_mtok or 0.0) for point in after)
    finding = f"{lower} of {len(after)} days after it cost less than without it" if after else "No day after it yet"
    st.markdown(f"**{finding}** a million units of work at equal load")
    windows = [(first.isoformat(), end.isoformat()) for first, end in (w for w in (found.before, found.after) if w)]
    figure = savings_charts.days(
        found.days, one.shipped_at.date().isoformat() if one.shipped_at else "", windows, palette(), of.currency
    )
    charts.draw(figure, "savings-days", alt="Cost of a million units of work by day, and without the change")
    if found.before and found.after:
        st.caption(f"Shaded: the days that are compared, {_window(found.before)} and {_window(found.after)}.")


def _window(ends: tuple[date, date]) -> str:
    first, last = ends[0], date.fromordinal(ends[1].toordinal() - 1)
    return f"{short_day(first)} to {short_day(last)}"


def frozen(of: Savings, one: Entry, numbers: Numbers) -> None:
    """What was said before the change, which nobody can edit."""
    plan = one.plan
    if plan is None:
        return
    st.markdown("**Frozen before it shipped** what this change is measured by")
    st.markdown(frozen_lines(plan, numbers))
    if plan.link.startswith("/?"):
        query = dict(parse_qsl(plan.link.removeprefix("/?")))
        st.page_link("pages/what_if.py", label="What-if", icon=":material/tune:",
                     query_params={"v": str(links.VERSION), **query})  # fmt: skip


def frozen_lines(plan: Plan, numbers: Numbers) -> str:
    """A plan as a list."""
    low, mid, high = (Decimal(repr(end)) for end in _ends(plan.projection.saved_usd_per_month))
    lines = [
        ("Promised", f"{numbers.share(plan.projection.saved_fraction.mid)} "
                     f"({interval(plan.projection.saved_fraction, numbers)}), {numbers.short(mid)} a month "
                     f"({numbers.short(low)} to {numbers.short(high)}), {plan.projection.saved_fraction.basis}"),
        ("Smallest that can be seen", "nobody worked it out" if plan.minimum_fraction is None
                                      else numbers.share(plan.minimum_fraction)),
        ("Levers", ", ".join(_lever(key) for key in plan.lever_keys) or NONE),
        ("Changed", ", ".join(plan.pool_keys)),
        ("Untouched", ", ".join(plan.control_keys) or "nothing"),
        ("Compared", DESIGNS[plan.design]),
        ("Counted per", WORKS[plan.work]),
        ("Outcome", f"{OUTCOMES[plan.outcome]}, {numbers.amount(plan.usd_per_gpu_hour, 3)} per GPU-hour"),
        ("Weights", f"cached {plan.weights.cached_ratio:.3g}, output {plan.weights.output_ratio:.3g}: "
                    f"{plan.weights.source}"),
        ("Days", f"{plan.before_days} before, {plan.after_days} after, {_looks(plan)}"),
    ]  # fmt: skip
    return "\n".join(f"- {name}: {said(words)}" for name, words in lines)


def _ends(of: Estimate) -> tuple[float, float, float]:
    return of.low, of.mid, of.high


def _looks(plan: Plan) -> str:
    return "looked at once" if plan.looks_count == 1 else f"looked at {plan.looks_count} times, each at its part of 5 %"


def _lever(key: str) -> str:
    return next((lever.label for lever in LEVERS if lever.key == key), key)


def history(of: Savings, one: Entry) -> None:
    """What was said, oldest first, and where the ledger stood when this page was drawn."""
    st.markdown("**What was said** each a line of the ledger, which is only ever added to")
    told = (f"- {day_text(line.at.date())}, **{text.label(line.by, 80)}**: {said(line.text)}" for line in one.said)
    st.markdown("\n".join(told))
    rest = ""
    if one.signed:
        digest, snapshot = text.label(one.signed.data_digest, 80), text.label(one.signed.snapshot_id, 80)
        rest = f" Signed on data {digest}, snapshot {snapshot}."
    whole = "is broken" if of.broken else "holds"
    lines = f"{of.lines_count:,} line{'' if of.lines_count == 1 else 's'}"
    st.caption(f"The chain {whole}: {lines}, head {text.label(of.head or 'none', 80)}.{rest}")
