"""A comparison as text for a terminal: today, the scenario, what each lever changed, what the author expected."""

from collections.abc import Iterator

from costlib.compare import Comparison
from costlib.estimate import Undefined
from costlib.levers import lever
from costlib.projection import Projection
from costlib.scenario_file import Checked


def whatif_text(comparison: Comparison, checked: tuple[Checked, ...]) -> str:
    return "\n".join(_lines(comparison, checked))


def _lines(comparison: Comparison, checked: tuple[Checked, ...]) -> Iterator[str]:
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
    yield f"80 % band of the scenario: {band.low:,.0f} to {band.high:,.0f} USD per month, {band.basis}"
    for key, change in comparison.changes:
        yield f"  {lever(key).label:<32}{change:>+16,.2f} USD per month"
    for key, refusal in comparison.refusals:
        yield f"  {lever(key).label}: not applied, {refusal.reason}; {refusal.remedy}"
    for warning in comparison.scenario.warnings:
        yield f"note: {warning}"
    for check in checked:
        verdict = "as expected" if check.is_met else f"EXPECTED {check.expectation.value:,.6g}"
        place = f"{check.expectation.scope} " if check.expectation.scope else ""
        yield f"{place}{check.expectation.of} = {check.found:,.6g}  {verdict}"


def _figure(projection: Projection, name: str) -> str:
    value = getattr(projection, name)
    if name == "usd_per_month":
        value = value.mid
    if value is None or isinstance(value, Undefined):
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if value < 100 else f"{value:,.2f}"
