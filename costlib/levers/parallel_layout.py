"""GPUs of a replica, how the model is split over them, and how few replicas may run."""

from dataclasses import replace
from datetime import date
from typing import Any

from costlib.catalog import Catalog
from costlib.engine import engine_inputs
from costlib.errors import DomainError
from costlib.kvcache import concurrent_sequences
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, refuse_unmodelled
from costlib.replica import resident_tokens
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.sources import Source

CHOICES = {
    "tensor_parallel_count": (1, 2, 4, 8),
    "pipeline_parallel_count": (1, 2, 4),
    "min_replicas_count": (1, 2, 3),
}


def _options(key: str):  # type: ignore[no-untyped-def]
    offered = tuple(Option(value=str(count), label=str(count)) for count in CHOICES[key])
    return lambda scenario, catalog: (KEEP, *offered)


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to choose its layout"):
        return refusal
    for deployment in apply(scenario, values, catalog).deployments:
        if not isinstance(deployment.supply, SelfHosted):
            continue
        model, gpu = catalog.model(deployment.model_key), catalog.gpu(deployment.supply.gpu_key)
        try:
            engine_inputs(model, gpu, deployment.supply.serving)
            concurrent_sequences(model, gpu, deployment.supply.serving, resident_tokens(deployment.workload))
        except DomainError as error:
            return Refusal(
                reason=f"{deployment.key}: {str(error).rstrip('.')}",
                remedy="choose a group that divides the heads and holds the weights, or fewer bits per weight",
            )
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    layout: dict[str, Any] = {key: int(values[key]) for key in CHOICES if values[key] != KEEP.value}

    def edit(deployment: Deployment, hosted: SelfHosted) -> SelfHosted:
        return replace(hosted, serving=replace(hosted.serving, **layout))

    return scenario.with_modelled(edit)


LEVER = Lever(
    key="parallel_layout",
    stage=Stage.HARDWARE,
    label="Parallel layout",
    question="What if each replica were split over more GPUs, or fewer?",
    params=(
        Choice(
            key="tensor_parallel_count",
            label="Tensor parallel GPUs",
            options=_options("tensor_parallel_count"),
            neutral=KEEP.value,
            ordered=True,
            help="More GPUs answer faster and leave more room for KV cache, and pay for it in traffic between them. "
            "The fewest that hold the model and keep the time per token are mostly the cheapest.",
        ),
        Choice(
            key="pipeline_parallel_count",
            label="Pipeline stages",
            options=_options("pipeline_parallel_count"),
            neutral=KEEP.value,
            ordered=True,
            help="Little traffic, which helps over PCIe; but a token still passes every stage, so none comes faster.",
        ),
        Choice(
            key="min_replicas_count",
            label="Replicas at least",
            options=_options("min_replicas_count"),
            neutral=KEEP.value,
            ordered=True,
            help="The peak decides how many replicas run; this is a floor for availability. It only ever costs.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(
        param="tensor_parallel_count",
        values=tuple(map(str, CHOICES["tensor_parallel_count"])),
        step="weight_read_s",
        rises=False,
    ),
    effort=Effort.FLAG,
    changes_answers=False,
    risks="Larger replicas are larger steps: one more costs more, and one that fails takes more with it. Links between "
    "nodes are not modelled.",
    rollback="Restart with the layout of before.",
    sources=(
        Source(
            title="vLLM documentation, parallelism and scaling",
            url="https://docs.vllm.ai/en/latest/serving/parallelism_scaling/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
