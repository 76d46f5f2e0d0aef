"""Requests sent to a smaller model: which deployments they leave, what the rest looks like, and what serves the small.

Each model is priced at its own mix: a router sends away short requests, and the large model keeps long ones.
"""

from dataclasses import dataclass, replace

from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.kvcache import concurrent_sequences
from costlib.lever import Choice, Number, Option, Refusal
from costlib.models import ModelSpec
from costlib.pricing import price_at
from costlib.replica import check_lengths, resident_tokens, solve_replica
from costlib.scenario import ApiTokens, Beside, Deployment, Scenario, SelfHosted
from costlib.units import MS_PER_S, SECONDS_PER_HOUR
from costlib.workload import Workload

CASCADE_KEY, ROUTED_KEY = "cascade-small", "routed-small"
GROUPS = (1, 2, 4, 8)


def small_models(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    return tuple(
        Option(value=model.key, label=model.name)
        for model in sorted(catalog.models, key=lambda model: model.active_params_count)
    )


SMALL_MODEL = Choice(
    key="small_model",
    label="Small model",
    options=small_models,
    neutral="llama-3.1-8b",
    help="Runs on the same GPUs in the smallest tensor-parallel group it fits.",
)
KEPT_LENGTH = Number(
    key="kept_length_ratio",
    label="Length of what stays",
    low=1.0,
    high=3.0,
    step=0.05,
    neutral=1.0,
    unit="times the mean request",
    help="Prompt and answer of requests that are never sent to the small model, over the mean of all. What is sent is "
    "shorter by as much: the mean of all stays.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """A way to send requests to a small model. Escalated ones come back and are answered again by the large one."""

    key: str  # of the deployment it adds
    small_model: str
    share_fraction: float
    escalated_fraction: float = 0.0
    escalated_prompt_tokens: float = 0.0  # that an escalated request brings besides: the rejected answer, for one
    kept_length_ratio: float = 1.0
    router_usd: float = 0.0  # of each request, all of which a router reads
    check_usd: float = 0.0  # of each try of the small model
    wrong_usd: float = 0.0  # that an answer of the small model is expected to lose

    @property
    def kept_fraction(self) -> float:
        """Requests that reach the large model, over all of them."""
        return 1 - self.share_fraction * (1 - self.escalated_fraction)

    @property
    def sent_length_ratio(self) -> float:
        """Length of what is sent away over the mean of all.

        Equation   r = (1 - (1 - x) k) / x
        Symbols    x share sent   k length of what stays over the mean
        Returns    [1]; 1 where nothing is sent
        Raises     DomainError where what stays alone is longer than all together
        Source     domain_math §7.2: each model at its own token mix
        Example    40 % sent, and the rest 1.2 times as long as the mean
        >>> round(Routing(key="", small_model="", share_fraction=0.4, kept_length_ratio=1.2).sent_length_ratio, 3)
        0.7
        """
        if self.kept_length_ratio == 1 or not self.share_fraction:
            return 1.0
        ratio = (1 - (1 - self.share_fraction) * self.kept_length_ratio) / self.share_fraction
        if not ratio > 0:
            raise DomainError(
                f"{1 - self.share_fraction:.0%} of requests at {self.kept_length_ratio:g} times the mean length are "
                "longer than all requests together."
            )
        return ratio

    @property
    def large_length_ratio(self) -> float:
        """Length of what the large model answers over the mean of all: what stays, and escalated tries [1]."""
        if self.kept_length_ratio == 1:
            return 1.0
        sent = self.share_fraction * self.escalated_fraction * self.sent_length_ratio
        return ((1 - self.share_fraction) * self.kept_length_ratio + sent) / self.kept_fraction


def refusal(scenario: Scenario, routing: Routing, catalog: Catalog) -> Refusal | None:
    """Why these requests cannot be sent to this model, and what would let them."""
    small = catalog.model(routing.small_model)
    keys = {deployment.key for deployment in scenario.deployments}
    if routing.key in keys:
        return Refusal(reason=f"a deployment is already called {routing.key}", remedy="give it another key")
    if keys & {CASCADE_KEY, ROUTED_KEY}:
        return Refusal(
            reason="requests are already routed to a smaller model: both would send the same easy ones away",
            remedy="pull either cascade routing or predictive routing",
        )
    if not _routed(scenario, small, catalog):
        return Refusal(reason=f"no deployment runs a model larger than {small.name}", remedy="choose a smaller model")
    try:
        after = routed(scenario, routing, catalog)
        for deployment in after.deployments:
            _check(deployment, catalog)
    except DomainError as error:
        return Refusal(reason=str(error).rstrip("."), remedy="choose another small model, a larger share or fewer long "
                       "requests that stay, or another source deployment")  # fmt: skip
    return None


def routed(scenario: Scenario, routing: Routing, catalog: Catalog) -> Scenario:
    """This scenario with a deployment of the small model, and the larger ones left with the rest.

    Equation   large: rate 1 - x (1 - e), length ((1 - x) k + x e r) / that;  small: rate x, length r
    Symbols    x share sent   e escalated of it   k, r length of what stays and of what is sent, over the mean of all
    Returns    a Scenario. Router, checks and expected losses stand beside the small deployment
    Valid for  prompts and answers that are longer or shorter alike; a peak and spread as today's
    Raises     DomainError where the small model does not fit, has no price, or the lengths contradict each other
    Source     domain_math §7.2
    """
    small = catalog.model(routing.small_model)
    sources = _routed(scenario, small, catalog)
    work = _small_workload(sources, routing)
    rate = sum(d.workload.requests_per_s for d in sources)
    answered_per_s = work.requests_per_s * work.answered_fraction
    moved = {d.key: d.beside.cached_requests_per_s * _moved_fraction(routing) for d in sources}
    added = Deployment(
        key=routing.key,
        model_key=small.key,
        workload=work,
        supply=_supply(sources, small, work, scenario, catalog),
        max_tpot_s=min((d.max_tpot_s for d in sources if d.max_tpot_s is not None), default=None),
        beside=Beside(
            cached_requests_per_s=sum(moved.values()),
            services_usd_per_hour=(rate * routing.router_usd + work.requests_per_s * routing.check_usd)
            * SECONDS_PER_HOUR,
            wrong_answers_usd_per_hour=answered_per_s * routing.wrong_usd * SECONDS_PER_HOUR,
        ),
    )
    remaining = tuple(
        replace(
            d,
            workload=_large_workload(d.workload, routing),
            beside=replace(d.beside, cached_requests_per_s=d.beside.cached_requests_per_s - moved[d.key]),
        )
        if d.key in moved
        else d
        for d in scenario.deployments
    )
    return replace(scenario, deployments=(*remaining, added))


def _routed(scenario: Scenario, small: ModelSpec, catalog: Catalog) -> list[Deployment]:
    """Deployments of a larger model: the ones worth routing away from."""
    return [
        d
        for d in scenario.deployments
        if catalog.model(d.model_key).active_params_count > small.active_params_count and d.workload.requests_per_s > 0
    ]


def _moved_fraction(routing: Routing) -> float:
    """Share of cached answers to be counted with the small model's, so that their mean length stays what it is."""
    large, sent = routing.large_length_ratio, routing.sent_length_ratio
    return (large - 1) / (large - sent) if large != sent else 0.0


def _small_workload(sources: list[Deployment], routing: Routing) -> Workload:
    """All that is sent away together, at the request-weighted mean shape of where it comes from."""
    rate = sum(d.workload.requests_per_s for d in sources)

    def mean(name: str) -> float:
        return sum(d.workload.requests_per_s * float(getattr(d.workload, name)) for d in sources) / rate

    length = routing.sent_length_ratio
    return Workload(
        requests_per_s=rate * routing.share_fraction,
        mean_prompt_tokens=mean("mean_prompt_tokens") * length,
        mean_output_tokens=mean("mean_output_tokens") * length,
        peak_to_mean_ratio=mean("peak_to_mean_ratio"),
        output_cv_ratio=mean("output_cv_ratio"),
        answered_fraction=mean("answered_fraction") * (1 - routing.escalated_fraction),
    )


def _large_workload(work: Workload, routing: Routing) -> Workload:
    escalated = routing.share_fraction * routing.escalated_fraction / routing.kept_fraction
    length = routing.large_length_ratio
    return replace(
        work,
        requests_per_s=work.requests_per_s * routing.kept_fraction,
        mean_prompt_tokens=work.mean_prompt_tokens * length + escalated * routing.escalated_prompt_tokens,
        mean_output_tokens=work.mean_output_tokens * length,
    )


def _check(deployment: Deployment, catalog: Catalog) -> None:
    """Raises DomainError where the deployment cannot serve its requests: too long, or never fast enough."""
    model, hosted = catalog.model(deployment.model_key), deployment.supply
    check_lengths(model, deployment.workload)
    if not isinstance(hosted, SelfHosted) or hosted.stated_tokens_per_s is not None:
        return
    gpu = catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, hosted.serving, fitted=hosted.fitted)
    solved = solve_replica(model, gpu, hosted.serving, deployment.workload, constants, deployment.max_tpot_s)
    if solved.misses_tpot and deployment.max_tpot_s is not None and deployment.key in (CASCADE_KEY, ROUTED_KEY):
        raise DomainError(
            f"{model.name} on {gpu.name} takes {solved.interval_s[0] * MS_PER_S:.0f} ms a token even alone, longer "
            f"than max_tpot_s {deployment.max_tpot_s * MS_PER_S:.0f} ms"
        )


def _supply(
    sources: list[Deployment], small: ModelSpec, work: Workload, scenario: Scenario, catalog: Catalog
) -> SelfHosted | ApiTokens:
    """The small model is bought as the largest routed stream is: on the same GPUs, in the smallest group that fits."""
    source = max(sources, key=lambda d: d.workload.requests_per_s)
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
