"""Draft some tokens cheaply and let the model verify them in one step: fewer steps, each of them with more work."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.engine import VOCABULARY_COUNT
from costlib.errors import DomainError
from costlib.kvcache import kv_bytes_per_token
from costlib.lever import (
    Choice,
    Effort,
    Lever,
    Monotone,
    Number,
    Option,
    Refusal,
    Stage,
    Switch,
    Values,
    refuse_unmodelled,
)
from costlib.models import ModelSpec
from costlib.replica import solve_replica
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import Batching
from costlib.sources import Source
from costlib.speculation import Speculation

EAGLE, NGRAM, BEST = "eagle", "ngram", "best"
LONGEST_DRAFT_TOKENS = 8
LEAST_SIZE_RATIO = 4.0  # a draft model nearer to the target's size cannot pay
TOO_LARGE = "a draft model needs a target four times its size"  # of all such alike: a panel says it once


def _targets(scenario: Scenario) -> list[tuple[Deployment, SelfHosted]]:
    return [
        (d, d.supply)
        for d in scenario.deployments
        if isinstance(d.supply, SelfHosted) and d.supply.stated_tokens_per_s is None
    ]


def _drafters(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    least = min(
        (catalog.model(d.model_key) for d, _ in _targets(scenario)),
        key=lambda model: model.active_params_count,
        default=None,
    )
    models = tuple(
        Option(
            value=model.key,
            label=f"{model.name} as draft model",
            blocked=TOO_LARGE
            if least and model.total_params_count * LEAST_SIZE_RATIO > least.active_params_count
            else "",
        )
        for model in catalog.models
        if not model.is_moe
    )
    return (Option(value=EAGLE, label="EAGLE or MTP layer"), Option(value=NGRAM, label="N-gram of the prompt"), *models)


def _lengths(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    stated = tuple(Option(value=str(k), label=str(k)) for k in range(1, LONGEST_DRAFT_TOKENS + 1))
    return (Option(value=BEST, label="Best for capacity"), *stated)


def drafted_by(drafter: str, target: ModelSpec, acceptance_fraction: float, catalog: Catalog) -> Speculation:
    """The drafter's size, before a length is chosen.

    Equation   EAGLE: P_a / L + V h parameters in one layer with the target's KV / L;  n-gram: nothing;  else its model
    Symbols    P_a active parameters   L layers   V vocabulary   h hidden size of the target
    Returns    a Speculation of no tokens
    Source     Li et al., EAGLE-3, arXiv 2503.01840
    """
    if drafter == NGRAM:
        return Speculation(acceptance_fraction=acceptance_fraction)
    if drafter == EAGLE:
        layers = target.layers_count
        return Speculation(
            acceptance_fraction=acceptance_fraction,
            draft_params_count=target.active_params_count / layers + VOCABULARY_COUNT * target.hidden_size_count,
            draft_layers_count=1,
            draft_kv_bytes_per_token=kv_bytes_per_token(target) / layers,
        )
    draft = catalog.model(drafter)
    return Speculation(
        acceptance_fraction=acceptance_fraction,
        draft_params_count=draft.total_params_count,
        draft_layers_count=draft.layers_count,
        draft_kv_bytes_per_token=kv_bytes_per_token(draft),
    )


def best_length(deployment: Deployment, hosted: SelfHosted, drafter: Speculation, catalog: Catalog) -> Speculation:
    """The draft length that answers most requests on this deployment; 0 where every draft is a loss.

    Equation   max over k of B / (O t(B, k)),  B the largest batch allowed with k drafts
    Returns    a Speculation
    Valid for  a replica that is full: below capacity longer drafts may still answer sooner
    Raises     DoesNotFit, DomainError when the deployment cannot be served even without drafts
    Source     domain_math §6.4
    """
    model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, hosted.serving, fitted=hosted.fitted)

    def capacity(length: int) -> float:
        serving = replace(hosted.serving, speculation=replace(drafter, draft_tokens=length))
        try:
            solved = solve_replica(model, gpu, serving, deployment.workload, constants, deployment.max_tpot_s)
        except DomainError:
            if length:
                return 0.0  # the drafter leaves no room
            raise
        return solved.capacity_requests_per_s

    return replace(drafter, draft_tokens=max(range(LONGEST_DRAFT_TOKENS + 1), key=capacity))


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to draft for it"):
        return refusal
    if any(hosted.serving.batching is Batching.STATIC for hosted in scenario.modelled):
        return Refusal(
            reason="a deployment batches statically, and drafts are modelled in continuous batches only",
            remedy="pull continuous batching first",
        )
    blocked = next(option.blocked for option in _drafters(scenario, catalog) if option.value == values["drafter"])
    return Refusal(reason=blocked, remedy="choose a smaller draft model, EAGLE or n-gram") if blocked else None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    edited = {}
    for deployment, hosted in _targets(scenario):
        target = catalog.model(deployment.model_key)
        drafter = drafted_by(values["drafter"], target, values["acceptance_fraction"], catalog)
        speculation = (
            best_length(deployment, hosted, drafter, catalog)
            if values["draft_tokens"] == BEST
            else replace(drafter, draft_tokens=int(values["draft_tokens"]))
        )
        serving = replace(hosted.serving, speculation=speculation)
        edited[deployment.key] = replace(deployment, supply=replace(hosted, serving=serving))
    return replace(scenario, deployments=tuple(edited.get(d.key, d) for d in scenario.deployments))


LEVER = Lever(
    key="speculative_decoding",
    stage=Stage.SERVING,
    label="Speculative decoding",
    question="What if tokens were drafted and verified several at a time?",
    params=(
        Switch(
            key="enabled",
            label="Speculative decoding",
            help="Saves time where steps wait for memory: small batches. Past the knee a step is bound by arithmetic, "
            "and every rejected draft is paid for: then it costs. Cash is saved only where replicas go.",
        ),
        Choice(
            key="drafter",
            label="Drafted by",
            options=_drafters,
            neutral=EAGLE,
            help="A layer trained for this model, a look-up in the prompt (for summaries and edits), or a small model "
            "with the same tokenizer.",
        ),
        Number(
            key="acceptance_fraction",
            label="Chance that a drafted token is accepted",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.7,
            unit="accepted, token by token",
            usual=(0.5, 0.85),
            help="Assumed 70 % until measured; 50 to 85 % is common, less at high temperature. Not vLLM's accepted "
            "over drafted tokens, which is lower: at 70 % and 5 drafts it shows 39 %.",
        ),
        Choice(
            key="draft_tokens",
            label="Tokens drafted",
            options=_lengths,
            neutral="3",
            help="The best length for a full replica is found by solving each; it is none where every draft is a "
            "loss, and then nothing changes.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="acceptance_fraction", values=(0.0, 0.3, 0.6, 0.9), step="step_tokens", rises=True),
    effort=Effort.FLAG,
    changes_answers=False,
    risks="Answers keep their distribution, but the gain hangs on acceptance: measure it on your own prompts and at "
    "your own temperature. The drafter takes KV memory from the batch.",
    rollback="Restart without --speculative-config.",
    sources=(
        Source(
            title="Leviathan et al., Fast Inference from Transformers via Speculative Decoding",
            url="https://arxiv.org/abs/2211.17192",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Li et al., EAGLE-3",
            url="https://arxiv.org/abs/2503.01840",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
