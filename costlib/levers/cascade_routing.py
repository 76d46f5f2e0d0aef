"""Send a share of requests to a smaller model first; what it cannot answer is escalated and paid for twice."""

from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work
from costlib.routing import CASCADE_KEY, KEPT_LENGTH, SMALL_MODEL, Routing, refusal, routed
from costlib.scenario import Scenario
from costlib.sources import Source
from costlib.units import KILO


def _routing(values: Values) -> Routing:
    return Routing(
        key=CASCADE_KEY,
        small_model=values["small_model"],
        share_fraction=values["share_fraction"],
        escalated_fraction=values["escalated_fraction"],
        escalated_prompt_tokens=values["escalated_prompt_tokens"],
        kept_length_ratio=values["kept_length_ratio"],
        check_usd=values["check_usd_per_thousand"] / KILO,
    )


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refusal(scenario, _routing(values), catalog)


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return routed(scenario, _routing(values), catalog)


LEVER = Lever(
    key="cascade_routing",
    stage=Stage.ROUTING,
    label="Cascade routing",
    question="What if a smaller model answered what it can?",
    params=(
        Switch(
            key="enabled",
            label="Cascade routing",
            help="Requests go to the small model first; the escalated share is answered again by the large one and "
            "paid for twice. The large fleet loses load, and with it batch size: the model is solved again for both.",
        ),
        SMALL_MODEL,
        Number(
            key="share_fraction",
            label="Tried on the small model",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.45,
            unit="tried on the small model",
            usual=(0.2, 0.7),
            help="Assumed 45 %; plan 20 to 50 % and verify on your own requests.",
        ),
        Number(
            key="escalated_fraction",
            label="Escalated",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.3,
            unit="of tries escalated",
            usual=(0.1, 0.6),
            help="Share of tries whose answer is not accepted. Assumed 30 %; it decides whether a cascade pays.",
        ),
        Number(
            key="check_usd_per_thousand",
            label="Checking answers",
            low=0.0,
            high=100.0,
            step=0.01,
            neutral=0.0,
            unit="USD per 1,000 tries",
            help="What it costs to tell which tries to escalate: a judge model, a verifier, people. 0 while unknown, "
            "which no real cascade is.",
        ),
        Number(
            key="escalated_prompt_tokens",
            label="Extra prompt of an escalation",
            low=0.0,
            high=20_000,
            step=10,
            neutral=0.0,
            unit="tokens",
            help="What the large model reads besides: the rejected answer, or why it was. Unit costs count these "
            "tokens, so compare dollars per month.",
        ),
        KEPT_LENGTH,
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="escalated_fraction", values=(0.0, 0.2, 0.4, 0.6, 0.8), step="needed_gpus_ratio", rises=True),
    effort=Effort.SERVICE,
    changes_answers=True,
    saves_per=Work.OUTSIDE,
    risks="Wrong answers that are not caught are not priced here; escalated requests wait twice.",
    rollback="Route everything to the large model; keep its replicas until the share has held for a week.",
    sources=(
        Source(
            title="Ong et al., RouteLLM",
            url="https://arxiv.org/abs/2406.18665",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Chen, Zaharia, Zou, FrugalGPT",
            url="https://arxiv.org/abs/2305.05176",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
