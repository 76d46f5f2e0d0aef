"""A router reads each request and decides, before any answer, which model gets it. Nothing is answered twice."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work
from costlib.routing import KEPT_LENGTH, ROUTED_KEY, SMALL_MODEL, Routing, refusal, routed
from costlib.scenario import Scenario
from costlib.sources import Source
from costlib.units import KILO


def _routing(values: Values) -> Routing:
    return Routing(
        key=ROUTED_KEY,
        small_model=values["small_model"],
        share_fraction=values["share_fraction"],
        kept_length_ratio=values["kept_length_ratio"],
        router_usd=values["router_usd_per_thousand"] / KILO,
        wrong_usd=values["misrouted_fraction"] * values["wrong_usd_per_answer"],
    )


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refusal(scenario, _routing(values), catalog)


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return routed(scenario, _routing(values), catalog)


LEVER = Lever(
    key="predictive_routing",
    stage=Stage.ROUTING,
    label="Predictive routing",
    question="What if a router sent easy requests to a smaller model?",
    params=(
        Switch(
            key="enabled",
            label="Predictive routing",
            help="Each model is priced at its own mix and its own load: the large one keeps what is long and hard, and "
            "loses batch size with the rest. No answer is tried twice; a wrong choice is a wrong answer.",
        ),
        SMALL_MODEL,
        Number(
            key="share_fraction",
            label="Sent to the small model",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.45,
            unit="of requests sent to the small model",
            usual=(0.2, 0.7),
            help="Assumed 45 %; plan 20 to 50 % and verify on your own requests.",
        ),
        replace(
            KEPT_LENGTH,
            neutral=1.2,
            usual=(1.0, 1.6),
            help=f"{KEPT_LENGTH.help} Assumed 1.2 until measured.",
        ),
        Number(
            key="misrouted_fraction",
            label="Misrouted",
            low=0.0,
            high=1.0,
            step=0.005,
            neutral=0.02,
            unit="of them answered worse",
            usual=(0.0, 0.08),
            help="Answers of the small model that the large one would have got right. Assumed 2 %, up to 8 %: take it "
            "from an evaluation of both on the same requests.",
        ),
        Number(
            key="wrong_usd_per_answer",
            label="Loss of a misrouted answer",
            low=0.0,
            high=1000.0,
            step=0.01,
            neutral=0.05,
            unit="USD per wrong answer",
            help="What one wrong answer costs you: a repeated question, a support case, a customer. Assumed.",
        ),
        Number(
            key="router_usd_per_thousand",
            label="Router",
            low=0.0,
            high=10.0,
            step=0.01,
            neutral=0.02,
            unit="USD per 1,000 requests",
            help="Every request is read by the router first: a classifier of some 100 M parameters. Assumed.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(
        param="misrouted_fraction", values=(0.0, 0.02, 0.1, 1.0), step="wrong_answers_usd_per_month", rises=True
    ),
    effort=Effort.SERVICE,
    changes_answers=True,
    saves_per=Work.REQUESTS,
    risks="A router trained on other traffic misroutes more, and silently. Shares drift with what users ask.",
    rollback="Route everything to the large model; keep its replicas until the share has held for a week.",
    sources=(
        Source(
            title="Ong et al., RouteLLM",
            url="https://arxiv.org/abs/2406.18665",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Hu et al., RouterBench",
            url="https://arxiv.org/abs/2403.12031",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
