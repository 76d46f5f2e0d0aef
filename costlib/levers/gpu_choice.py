"""Run the same models on another GPU, at that GPU's price."""

import re
from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.engine import engine_inputs
from costlib.errors import DomainError
from costlib.hardware import GpuSpec
from costlib.kvcache import concurrent_sequences
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, refuse_unmodelled
from costlib.pricing import GpuPrice, PriceKind, PurchaseMix, price_at
from costlib.replica import resident_tokens
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.sources import Source

MOST_GPUS = 8  # of one node
MOST_BLOCKED_CHARACTERS = 90


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    offered = []
    for gpu in catalog.gpus:
        refusal = _refusal(gpu, _price(gpu, scenario, catalog), scenario, catalog)
        blocked = _briefly(refusal.reason) if refusal else ""
        # No price in the label: links hold the label and must outlive the price.
        offered.append(Option(value=gpu.key, label=gpu.name, blocked=blocked))
    return (KEEP, *offered)


def _briefly(reason: str) -> str:
    """The first clause: what follows in an error is how to mend it, and a list of options has no room for that."""
    return re.split("[:;,]", reason)[0][:MOST_BLOCKED_CHARACTERS].strip()


def _price(gpu: GpuSpec, scenario: Scenario, catalog: Catalog) -> GpuPrice | None:
    """The least on-demand price in force, from a provider used today where one sells this GPU."""

    def in_force(key: str) -> GpuPrice:
        return price_at(catalog.gpu_prices, key, scenario.as_of)

    known = {
        p.key
        for p in catalog.gpu_prices
        if (p.gpu_key, p.kind) == (gpu.key, PriceKind.ON_DEMAND) and p.valid_from <= scenario.as_of
    }
    offers = [in_force(key) for key in sorted(known)]
    used = {in_force(key).provider for hosted in scenario.modelled for key, _ in hosted.purchase.shares}
    offers = [offer for offer in offers if offer.provider in used] or offers
    return min(offers, key=lambda offer: offer.usd_per_gpu_hour, default=None)


def _serving(deployment: Deployment, hosted: SelfHosted, gpu: GpuSpec, catalog: Catalog) -> ServingConfig:
    """Today's settings, in a larger tensor-parallel group where today's does not hold the model. Raises DomainError."""
    model, serving = catalog.model(deployment.model_key), hosted.serving
    while True:
        try:
            engine_inputs(model, gpu, serving)
            concurrent_sequences(model, gpu, serving, resident_tokens(deployment.workload))
        except DomainError:
            if serving.gpus_count * 2 > MOST_GPUS:
                raise
            serving = replace(serving, tensor_parallel_count=serving.tensor_parallel_count * 2)
        else:
            return serving


def _moved(scenario: Scenario, gpu: GpuSpec, price: GpuPrice, catalog: Catalog) -> Scenario:
    def edit(deployment: Deployment, hosted: SelfHosted) -> SelfHosted:
        if hosted.gpu_key == gpu.key:
            return hosted  # already there, at today's price
        return replace(
            hosted,
            gpu_key=gpu.key,
            serving=_serving(deployment, hosted, gpu, catalog),
            purchase=PurchaseMix(shares=((price.key, 1.0),)),
        )

    return scenario.with_modelled(edit)


def _refusal(gpu: GpuSpec, price: GpuPrice | None, scenario: Scenario, catalog: Catalog) -> Refusal | None:
    if price is None:
        return Refusal(
            reason=f"no on-demand price of {gpu.name} is known", remedy="state one in the scenario file's [prices]"
        )
    try:
        _moved(scenario, gpu, price, catalog)
    except DomainError as error:
        return Refusal(reason=str(error).rstrip("."), remedy="choose a GPU with more memory, or fewer bits per weight")
    return None


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to choose its GPU"):
        return refusal
    gpu = catalog.gpu(values["gpu"])
    return _refusal(gpu, _price(gpu, scenario, catalog), scenario, catalog)


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    gpu = catalog.gpu(values["gpu"])
    price = _price(gpu, scenario, catalog)
    return _moved(scenario, gpu, price, catalog) if price else scenario


LEVER = Lever(
    key="gpu_choice",
    stage=Stage.HARDWARE,
    label="GPU",
    question="What if the same models ran on another GPU?",
    params=(
        Choice(
            key="gpu",
            label="GPU",
            options=_options,
            neutral=KEEP.value,
            help="Bought on demand at the least price known, from today's provider where it sells this GPU: a discount "
            "that today's price holds is not carried over. Takes as many GPUs as hold the model, today's or more.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="gpu", values=("h200-sxm", "h100-sxm", "l4"), step="ridge_flop_per_byte", rises=True),
    effort=Effort.FLEET,
    changes_answers=False,
    risks="Availability and quota are not modelled, nor instances sold only whole. A calibrated deployment is "
    "extrapolated to the new GPU.",
    rollback="Keep the old pool, drained, until the new one has carried a peak.",
    sources=(
        Source(
            title="vLLM documentation, GPU installation and supported hardware",
            url="https://docs.vllm.ai/en/latest/getting_started/installation/gpu/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
