"""Send a share of requests to a smaller model first; what it cannot answer is escalated and paid for twice."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.kvcache import concurrent_sequences
from costlib.lever import Choice, Lever, Monotone, Number, Option, Refusal, Stage, Switch, Values
from costlib.models import ModelSpec
from costlib.pricing import price_at
from costlib.replica import resident_tokens
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.sources import Source
from costlib.workload import Workload

KEY = "cascade-small"
GROUPS = (1, 2, 4, 8)


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    return tuple(
        Option(value=model.key, label=model.name)
        for model in sorted(catalog.models, key=lambda model: model.active_params_count)
    )


def _routed(scenario: Scenario, small: ModelSpec, catalog: Catalog) -> list[Deployment]:
    """Deployments of a larger model: the ones worth routing away from."""
    return [
        d
        for d in scenario.deployments
        if catalog.model(d.model_key).active_params_count > small.active_params_count and d.workload.requests_per_s > 0
    ]


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    small = catalog.model(values["small_model"])
    routed = _routed(scenario, small, catalog)
    if KEY in {deployment.key for deployment in scenario.deployments}:
        return Refusal(reason=f"a deployment is already called {KEY}", remedy="give it another key")
    if not routed:
        return Refusal(reason=f"no deployment runs a model larger than {small.name}", remedy="choose a smaller model")
    try:
        _supply(routed, small, _workload(routed, values), scenario, catalog)
    except DomainError as error:
        return Refusal(reason=str(error).rstrip("."), remedy="choose a smaller model or another source deployment")
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    small = catalog.model(values["small_model"])
    routed = _routed(scenario, small, catalog)
    kept_fraction = 1 - values["share_fraction"] * (1 - values["escalated_fraction"])
    work = _workload(routed, values)
    added = Deployment(
        key=KEY,
        model_key=small.key,
        workload=work,
        supply=_supply(routed, small, work, scenario, catalog),
        max_tpot_s=min((d.max_tpot_s for d in routed if d.max_tpot_s is not None), default=None),
    )
    remaining = tuple(
        replace(d, workload=replace(d.workload, requests_per_s=d.workload.requests_per_s * kept_fraction))
        if d in routed
        else d
        for d in scenario.deployments
    )
    return replace(scenario, deployments=(*remaining, added))


def _workload(routed: list[Deployment], values: Values) -> Workload:
    """All first tries together, at the request-weighted mean shape of where they come from."""
    rate = sum(d.workload.requests_per_s for d in routed)

    def mean(name: str) -> float:
        return sum(d.workload.requests_per_s * float(getattr(d.workload, name)) for d in routed) / rate

    return Workload(
        requests_per_s=rate * values["share_fraction"],
        mean_prompt_tokens=mean("mean_prompt_tokens"),
        mean_output_tokens=mean("mean_output_tokens"),
        peak_to_mean_ratio=mean("peak_to_mean_ratio"),
        output_cv_ratio=mean("output_cv_ratio"),
        answered_fraction=mean("answered_fraction") * (1 - values["escalated_fraction"]),
    )


def _supply(
    routed: list[Deployment], small: ModelSpec, work: Workload, scenario: Scenario, catalog: Catalog
) -> SelfHosted | ApiTokens:
    """The small model is bought as the largest routed stream is: on the same GPUs, in the smallest group that fits."""
    source = max(routed, key=lambda d: d.workload.requests_per_s)
    if isinstance(source.supply, ApiTokens):
        # A scenario file's own prices come first in the catalogue, so they win.
        key = next((price.key for price in catalog.token_prices if price.model_key == small.key), None)
        if key is None:
            raise DomainError(f"no API price for {small.name} is known.")
        price = price_at(catalog.token_prices, key, scenario.as_of)
        return ApiTokens(usd_per_mtok_input=price.usd_per_mtok_input, usd_per_mtok_output=price.usd_per_mtok_output)
    gpu = catalog.gpu(source.supply.gpu_key)
    for group in GROUPS:
        serving = replace(
            source.supply.serving,
            tensor_parallel_count=group,
            pipeline_parallel_count=1,
            data_parallel_attention_count=1,
            stated_weights_bytes=None,
        )
        try:
            concurrent_sequences(small, gpu, serving, resident_tokens(work))
        except DomainError:
            continue
        return SelfHosted(gpu_key=gpu.key, serving=serving, purchase=source.supply.purchase)
    raise DomainError(f"{small.name} does not fit {GROUPS[-1]} x {gpu.name}.")


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
        Choice(
            key="small_model",
            label="Small model",
            options=_options,
            neutral="llama-3.1-8b",
            help="Runs on the same GPUs in the smallest tensor-parallel group it fits.",
        ),
        Number(
            key="share_fraction",
            label="Tried on the small model",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.45,
            unit="tried on the small model",
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
            help="Share of tries whose answer is not accepted. Assumed 30 %; it decides whether a cascade pays.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="escalated_fraction", values=(0.0, 0.2, 0.4, 0.6, 0.8), step="needed_gpus_ratio", rises=True),
    risks="Wrong answers that are not caught are not priced here; escalated requests wait twice.",
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
