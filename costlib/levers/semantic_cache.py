"""Answer a request that means what an earlier one meant; some hits are wrong, and wrong answers lose money."""

from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work
from costlib.response_cache import answered_from_cache, refuse_without_requests
from costlib.scenario import Scenario
from costlib.sources import Source
from costlib.units import KILO


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refuse_without_requests(scenario)


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return answered_from_cache(
        scenario,
        values["hit_fraction"],
        values["lookup_usd_per_thousand"] / KILO,
        values["wrong_fraction"] * values["wrong_usd_per_answer"],
    )


LEVER = Lever(
    key="semantic_cache",
    stage=Stage.REQUESTS,
    label="Semantic cache",
    question="What if requests that mean the same got the same answer?",
    params=(
        Switch(
            key="enabled",
            label="Semantic cache",
            help="A hit never reaches a model; every request pays for an embedding and a search. Wrong hits are "
            "counted as a loss beside the bill.",
        ),
        Number(
            key="hit_fraction",
            label="Answered from the cache",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.12,
            unit="of requests answered from the cache",
            usual=(0.02, 0.35),
            help="Assumed 12 %, from 2 to 35 %; FAQ-like test sets reach 69 %. Weigh hits by tokens: they tend to be "
            "short.",
        ),
        Number(
            key="wrong_fraction",
            label="Wrong hits",
            low=0.0,
            high=1.0,
            step=0.005,
            neutral=0.02,
            unit="of hits wrong",
            usual=(0.005, 0.08),
            help="Assumed 2 %. Label pairs at your threshold: without an error in n of them, it is below 3/n at 95 %.",
        ),
        Number(
            key="wrong_usd_per_answer",
            label="Loss of a wrong answer",
            low=0.0,
            high=1000.0,
            step=0.01,
            neutral=0.05,
            unit="USD per wrong answer",
            help="What one wrong answer costs you: a repeated question, a support case, a customer. Assumed.",
        ),
        Number(
            key="lookup_usd_per_thousand",
            label="Embedding and search",
            low=0.0,
            high=10.0,
            step=0.01,
            neutral=0.05,
            unit="USD per 1,000 lookups",
            help="Paid for hits and misses alike. Assumed.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="hit_fraction", values=(0.0, 0.1, 0.3, 0.6, 0.9), step="needed_gpus_ratio", rises=False),
    effort=Effort.SERVICE,
    changes_answers=True,
    saves_per=Work.OUTSIDE,
    risks="Wrong answers lose more than the cache saves where they are dear. A crafted request can plant its answer "
    "for others: key by tenant, model and system prompt.",
    rollback="Switch the cache off; requests reach the model again at once.",
    sources=(
        Source(
            title="Regmi and Pun, GPT Semantic Cache",
            url="https://arxiv.org/abs/2411.05276",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Zhang et al., key-collision attack on semantic caches",
            url="https://arxiv.org/abs/2601.23088",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
