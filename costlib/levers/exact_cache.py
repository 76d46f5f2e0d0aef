"""Answer a request that came before, word for word, from a store of answers."""

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
    return answered_from_cache(scenario, values["hit_fraction"], values["lookup_usd_per_thousand"] / KILO)


LEVER = Lever(
    key="exact_cache",
    stage=Stage.REQUESTS,
    label="Exact cache",
    question="What if requests that repeat word for word were answered from a store?",
    params=(
        Switch(
            key="enabled",
            label="Exact cache",
            help="A hit never reaches a model. The rest runs at the smaller load, with its smaller batches.",
        ),
        Number(
            key="hit_fraction",
            label="Answered from the cache",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.05,
            unit="of requests answered from the cache",
            usual=(0.01, 0.15),
            help="Assumed 5 % until measured: count requests whose prompt, model and settings came before within the "
            "time answers stay valid. Weigh them by tokens; what repeats tends to be short.",
        ),
        Number(
            key="lookup_usd_per_thousand",
            label="Lookup",
            low=0.0,
            high=10.0,
            step=0.001,
            neutral=0.001,
            unit="USD per 1,000 lookups",
            help="The store's cost, for hits and misses alike. Assumed.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="hit_fraction", values=(0.0, 0.1, 0.3, 0.6, 0.9), step="needed_gpus_ratio", rises=False),
    effort=Effort.SERVICE,
    changes_answers=False,
    saves_per=Work.OUTSIDE,
    risks="Answers age, and one meant to vary no longer does. Key them by tenant, model, system prompt and settings.",
    rollback="Switch the cache off; requests reach the model again at once.",
    sources=(
        Source(
            title="GPTCache documentation",
            url="https://gptcache.readthedocs.io/en/latest/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
