"""A comparison as text for a terminal: today, the scenario, what each lever changed, what the author expected."""

from collections.abc import Iterator

from costlib.compare import Comparison
from costlib.estimate import Undefined
from costlib.flags import Served
from costlib.levers import lever
from costlib.projection import Projection
from costlib.realisation import learnt_sentence
from costlib.scenario_file import Checked
from costlib.uncertainty import Uncertainty
from costlib.units import KILO


def whatif_text(
    comparison: Comparison, sure: Uncertainty, checked: tuple[Checked, ...], served: tuple[Served, ...] = ()
) -> str:
    return "\n".join(_lines(comparison, sure, checked, served))


def _lines(
    comparison: Comparison, sure: Uncertainty, checked: tuple[Checked, ...], served: tuple[Served, ...]
) -> Iterator[str]:
    yield f"{'':<34}{'today':>16}{'scenario':>16}"
    for label, name in (
        ("USD per month", "usd_per_month"),
        ("USD per M tokens, input + output", "usd_per_mtok_blended"),
        ("USD per M input tokens", "usd_per_mtok_input"),
        ("USD per M output tokens", "usd_per_mtok_output"),
        ("GPUs", "gpus_count"),
        ("time per output token, s", "tpot_s"),
        ("time to first token, s", "ttft_s"),
    ):
        yield f"{label:<34}{_figure(comparison.today, name):>16}{_figure(comparison.scenario, name):>16}"
    band = comparison.scenario.usd_per_month
    yield f"80 % band of step times and demand: {band.low:,.0f} to {band.high:,.0f} USD per month, {band.basis}"
    yield from _pulled(comparison)
    yield from _answers(comparison)
    yield from _sure(comparison, sure)
    for key, refusal in comparison.refusals:
        yield f"  {lever(key).label}: not applied, {refusal.reason}; {refusal.remedy}"
    if comparison.net_saved_usd_per_month != comparison.saved_usd_per_month:
        yield f"saved less what wrong answers lose: {comparison.net_saved_usd_per_month:+,.2f} USD per month, assumed"
    for warning in (*comparison.notes, *comparison.scenario.warnings):
        yield f"note: {warning}"
    yield from _flags(served)
    for check in checked:
        verdict = "as expected" if check.is_met else f"EXPECTED {check.expectation.value:,.6g}"
        place = f"{check.expectation.scope} " if check.expectation.scope else ""
        yield f"{place}{check.expectation.of} = {check.found:,.6g}  {verdict}"


def _pulled(comparison: Comparison) -> Iterator[str]:
    """Each lever with what it changes, what it takes and how its effect is proven."""
    evaluations = dict(comparison.evaluations)
    for key, change in comparison.changes:
        yield f"  {lever(key).label:<32}{change:>+16,.2f} USD per month"
        seen = evaluations.get(key)
        if seen is None:
            proof = "answers stay as they are"
        elif seen.is_proof:
            proof = f"{seen.accepted_fraction:.1%} of {seen.evaluated_count:,.0f} answers accepted"
        else:
            proof = "UNPROVEN, no answers were evaluated"
        yield f"    {lever(key).effort}; {proof}"
    if comparison.unproven:
        yield f"unproven: {round(comparison.unproven_usd_per_month, 2) + 0:,.2f} USD per month of what is saved"


def _answers(comparison: Comparison) -> Iterator[str]:
    today, then = comparison.usd_per_answer
    accepted = comparison.usd_per_accepted_answer
    if not isinstance(today, Undefined) and not isinstance(then, Undefined):
        proven = f"unproven, {accepted.reason}" if isinstance(accepted, Undefined) else f"{accepted * KILO:,.4f}"
        yield f"USD per 1,000 answers: {today * KILO:,.4f} today, {then * KILO:,.4f} then; accepted ones {proven}"


def _sure(comparison: Comparison, sure: Uncertainty) -> Iterator[str]:
    """The range with every guess drawn, what it hangs on, and what multiplied percentages would have promised."""
    bill, saved = sure.scenario, sure.saved
    yield (
        f"P10, P50, P90 of {sure.draws_count} draws: {bill.p10_usd_per_month:,.0f}, {bill.p50_usd_per_month:,.0f}, "
        f"{bill.p90_usd_per_month:,.0f} USD per month"
    )
    if comparison.changes:
        yield (
            f"saved: {saved.p10_usd_per_month:,.0f}, {saved.p50_usd_per_month:,.0f}, {saved.p90_usd_per_month:,.0f} "
            "USD per month"
        )
        rises = sure.rises_fraction
        yield f"chance that the bill rises: {rises.reason if isinstance(rises, Undefined) else f'{rises:.0%}'}"
    for one in sure.learnt:
        yield learnt_sentence(one)
    for driver in sure.drivers:
        yield (
            f"hangs on {driver.name}, {driver.low} to {driver.high}: {driver.low_usd_per_month:,.0f} to "
            f"{driver.high_usd_per_month:,.0f} USD per month"
        )
    if len(comparison.changes) > 1:
        yield (
            f"solved together: {comparison.saved_fraction:.1%} saved; each lever's own percentage, multiplied, would "
            f"promise {comparison.naive_saving_fraction:.1%}"
        )


def _flags(served: tuple[Served, ...]) -> Iterator[str]:
    for item in served:
        for change in item.changes:
            yield f"flags of {item.deployment_key}: {change.text}"
        if item.changes and item.scenario is not None:
            yield from (
                f"note: {item.deployment_key}: {text}" for text in (*item.scenario.missing, *item.scenario.notes)
            )


def _figure(projection: Projection, name: str) -> str:
    value = getattr(projection, name)
    if name == "usd_per_month":
        value = value.mid
    if value is None or isinstance(value, Undefined):
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if value < 100 else f"{value:,.2f}"
