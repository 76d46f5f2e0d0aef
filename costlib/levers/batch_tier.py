"""Let work that can wait do so: an API's batch price, or the idle hours of our own GPUs."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.estimate import Basis
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values
from costlib.scenario import ApiTokens, Deployment, Scenario
from costlib.sources import Source


def peak_to_mean_ratio_after(peak_to_mean_ratio: float, share_fraction: float) -> float:
    """The peak over the mean once a share of the work fills idle hours.

    Equation   max(1, (1 - s) P)
    Symbols    P peak over mean today   s share of requests that can wait
    Returns    [1]
    Valid for  work that waits until any hour with room, a day at most as a rule. What cannot wait keeps its shape, and
               (1 - s) P >= 1 is just what leaves enough idle below its peak for the rest
    Raises     nothing
    Source     domain_math §7.5
    Example    a peak of 3 times the mean, and 40 % that can wait
    >>> round(peak_to_mean_ratio_after(3.0, 0.4), 2), peak_to_mean_ratio_after(1.5, 0.4)
    (1.8, 1.0)
    """
    return max(1.0, (1 - share_fraction) * peak_to_mean_ratio)


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if any(isinstance(d.supply, ApiTokens) or d.workload.peak_to_mean_ratio > 1 for d in scenario.deployments):
        return None
    return Refusal(
        reason="demand has no peak to move work out of: peak_to_mean_ratio is 1, and nothing is bought by the token",
        remedy="measure or state peak_to_mean_ratio, the busiest hour over the mean",
    )


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    share = values["share_fraction"]
    price_ratio = 1 - share * values["discount_fraction"]

    def waiting(deployment: Deployment) -> Deployment:
        work, supply = deployment.workload, deployment.supply
        if isinstance(supply, ApiTokens):
            return replace(
                deployment,
                supply=replace(
                    supply,
                    usd_per_mtok_input=supply.usd_per_mtok_input * price_ratio,
                    usd_per_mtok_output=supply.usd_per_mtok_output * price_ratio,
                ),
            )
        peak = peak_to_mean_ratio_after(work.peak_to_mean_ratio, share)
        return replace(deployment, workload=replace(work, peak_to_mean_ratio=peak, basis=Basis.ASSUMED))

    return replace(scenario, deployments=tuple(waiting(deployment) for deployment in scenario.deployments))


LEVER = Lever(
    key="batch_tier",
    stage=Stage.PURCHASE,
    label="Batch and off-peak",
    question="What if work that can wait did?",
    params=(
        Switch(
            key="enabled",
            label="Batch and off-peak",
            help="Bought tokens go to the provider's batch tier; our own GPUs do the work in hours that are idle.",
        ),
        Number(
            key="share_fraction",
            label="Work that can wait",
            low=0.0,
            high=1.0,
            step=0.01,
            neutral=0.2,
            unit="of requests can wait",
            help="Assumed 20 %: evaluation, enrichment, summaries, anything nobody watches. Up to a day.",
        ),
        Number(
            key="discount_fraction",
            label="Batch discount",
            low=0.0,
            high=0.9,
            step=0.01,
            neutral=0.5,
            unit="off the API price",
            help="Half off is what large providers list. Own GPUs have no such price: they save by a lower peak.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="share_fraction", values=(0.0, 0.2, 0.5, 0.8, 1.0), step="usd_per_month", rises=False),
    effort=Effort.CONTRACT,
    changes_answers=False,
    risks="A batch may take a day and some of it expire. Late work that turns urgent meets the peak again.",
    rollback="Send the work as it comes again.",
    sources=(
        Source(
            title="OpenAI documentation, Batch API",
            url="https://platform.openai.com/docs/guides/batch",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Anthropic documentation, batch processing",
            url="https://docs.anthropic.com/en/docs/build-with-claude/batch-processing",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
