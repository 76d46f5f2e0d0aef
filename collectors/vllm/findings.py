"""What a vLLM page has of all that we measure, why it lacks the rest, and what that costs us: for `doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectors.base import CollectContext
from collectors.vllm.aliases import MEASURES, AliasTable, Metric, Version, version
from collectors.vllm.layout import EngineLayout
from collectors.vllm.page import parse, read
from collectors.vllm.version import UNKNOWN, Recognised
from costlib.telemetry import EnginePage


class FindingState(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    WITHHELD = "withheld"  # exposed, and not usable
    IDLE_FLAG_OFF = "idle-flag-off"  # exposed, and 0 for as long as a flag is off


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one engine's page has to say on one measure. `why`, where there is anything to say, follows its name.

    `costs` says what we cannot tell without the measure.
    """

    model_key: str
    engine_key: str
    measure: str
    state: FindingState
    exposed_as: str | None
    why: str
    costs: str


def diagnose(body: bytes, ctx: CollectContext) -> list[Finding]:
    """Every canonical measure of every engine: there, absent, withheld or idle, and why. Raises as `parse` does."""
    pages = parse(body, ctx).pages
    layout, values = read(body, ctx)
    recognised = layout.recognised(values)
    return [
        _finding(measure, page, engine, recognised, layout.table)
        for page, engine in zip(pages, layout.engines, strict=True)
        for measure in MEASURES
    ]


def _finding(
    measure: str, page: EnginePage, engine: EngineLayout, recognised: Recognised, table: AliasTable
) -> Finding:
    measured = engine.measures.get(measure)
    value = {**page.counters, **page.gauges}.get(measure)
    why = page.remarks.get(measure, "")
    if measured is None:
        state, why = FindingState.ABSENT, why_absent(measure, recognised, table)
    elif value is None and measure not in page.histograms:
        state = FindingState.WITHHELD
    elif value == 0 and measured.alias.metric.moves_with:
        state = FindingState.IDLE_FLAG_OFF
        why = f"stands at 0, and will until vLLM is started with {_flag(measured.alias.metric.moves_with, table)}"
    else:
        state = FindingState.PRESENT
    return Finding(
        model_key=page.model_key,
        engine_key=page.engine_key,
        measure=measure,
        state=state,
        exposed_as=measured.alias.name if measured else None,
        why=why,
        costs=table.costs[measure],
    )


def why_absent(measure: str, recognised: Recognised, table: AliasTable) -> str:
    """Why a page of that release has no metric for a measure, and what to do: a flag, a release, a filter."""
    metrics = [alias.metric for alias in table.by_measure[measure]]
    releases = [version(text) for text in table.releases if recognised.can_be(version(text))]
    fitting = [metric for metric in metrics if _can_have(metric, recognised, releases)]
    start = "is not on the page, and so unknown. It is exposed as "
    for metric in fitting:
        if metric.needs:
            return f"{start}{metric.name} when vLLM is started with {_flag(metric.needs, table)}."
    known = "; ".join(f"{metric.name} in {metric.releases}" for metric in metrics)
    if not fitting:
        newest = metrics[0]
        gone = f" It was replaced by {newest.replaced_by}." if newest.replaced_by else ""
        engine = f" by its {newest.engine} engine" if newest.engine not in (None, recognised.engine) else ""
        return f"{start}{known}{engine}, and this page is of {recognised.releases}.{gone}"
    if recognised.at_least is None:
        return f"{start}{known}, and this page is of {recognised.releases}."
    if any(metric.is_surely_in(release) for metric in fitting for release in releases):
        return (
            f"{start}{known}. This page is of {recognised.releases}, so either it comes with the first request, or "
            "something between the server and here drops it."
        )
    return f"{start}{known}. This page is of {recognised.releases}, which may be too old for it."


def _can_have(metric: Metric, recognised: Recognised, releases: Sequence[Version]) -> bool:
    """Whether some release that the page can be of has the metric; every one counts where the release is not known."""
    if metric.engine and recognised.engine not in (UNKNOWN, metric.engine):
        return False
    return any(metric.may_be_in(release) for release in releases)


def _flag(condition: str, table: AliasTable) -> str:
    return table.conditions[condition].flag
