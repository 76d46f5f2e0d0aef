"""Answer in fewer words: fewer tokens to decode, at the risk that some answers are cut off and asked for again."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work
from costlib.scenario import Scenario
from costlib.sources import Source
from costlib.workload import MOST_REQUESTS_PER_S, Workload


def _retried_ratio(truncated_fraction: float) -> float:
    """Requests for each one answered, when a cut answer is asked for again until one is whole: 1 / (1 - r)."""
    return 1 / (1 - truncated_fraction)


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    most = max(deployment.workload.requests_per_s for deployment in scenario.deployments)
    if most * _retried_ratio(values["truncated_fraction"]) > MOST_REQUESTS_PER_S:
        return Refusal(
            reason=f"with retries, requests pass the {MOST_REQUESTS_PER_S:,.0f} a second that can be modelled",
            remedy="lower the share of answers cut off",
        )
    return None


def _edit(work: Workload, values: Values) -> Workload:
    requests = _retried_ratio(values["truncated_fraction"])
    return replace(
        work,
        mean_output_tokens=max(1.0, work.mean_output_tokens * (1 - values["cut_fraction"])),
        requests_per_s=work.requests_per_s * requests,
        answered_fraction=work.answered_fraction / requests,
    )


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return replace(
        scenario, deployments=tuple(replace(d, workload=_edit(d.workload, values)) for d in scenario.deployments)
    )


LEVER = Lever(
    key="output_limits",
    stage=Stage.MODEL,
    label="Output limits",
    question="What if answers were shorter?",
    params=(
        Switch(
            key="enabled",
            label="Shorter answers",
            help="By instruction, structured output, stop sequences or a cap. A max_tokens that answers never reach "
            "saves nothing: paged KV memory reserves nothing for it.",
        ),
        Number(
            key="cut_fraction",
            label="Output tokens saved",
            low=0.0,
            high=0.9,
            step=0.05,
            neutral=0.2,
            unit="of output tokens saved",
            help="Assumed until measured. Prefill is untouched, and USD per million tokens rises while the bill falls: "
            "compare the bill, or USD per answer.",
        ),
        Number(
            key="truncated_fraction",
            label="Answers cut off and asked again",
            low=0.0,
            high=0.5,
            step=0.01,
            neutral=0.0,
            unit="of answers cut off",
            help="The share that ends with finish reason `length`, beyond today's. Each is paid for again, prompt "
            "included, and counts as no answer.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="cut_fraction", values=(0.0, 0.2, 0.4, 0.6, 0.8), step="resident_tokens", rises=False),
    effort=Effort.CLIENT,
    changes_answers=True,
    saves_per=Work.REQUESTS,
    risks="A cap cuts answers in the middle: users ask again, or act on half an answer. Reasoning models may lose "
    "accuracy with fewer tokens to think in.",
    rollback="Take the limit out of the requests.",
    sources=(
        Source(
            title="vLLM documentation, sampling parameters",
            url="https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
