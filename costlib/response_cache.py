"""Whole answers given again: what a cache in front of the models takes off them, costs, and gets wrong."""

from dataclasses import replace

from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from costlib.lever import Refusal
from costlib.scenario import Deployment, Scenario
from costlib.units import SECONDS_PER_HOUR


def break_even_hit_fraction(
    model_usd_per_request: float,
    lookup_usd_per_request: float,
    wrong_fraction: float = 0.0,
    wrong_usd_per_answer: float = 0.0,
) -> float | Undefined:
    """The hit rate from which a cache of answers pays.

    Equation   h* = c_l / (c_m - f L)
    Symbols    c_l embedding and lookup   c_m what the model costs for a request that would hit   f wrong hits of all
               hits   L what a wrong answer loses; all USD per request
    Returns    [1]; Undefined where no hit rate pays: a hit saves no more than its errors lose, or h* is above 1
    Valid for  GPUs that are given back when load goes: with a fixed fleet nothing is saved before a replica goes
    Raises     DomainError for a negative price or a share outside 0 to 1
    Source     domain_math §7.1, vector 25
    Example    $0.004 a request, 2 % of hits wrong at $0.05, $0.00005 a lookup
    >>> round(break_even_hit_fraction(0.004, 5e-5, 0.02, 0.05), 5)
    0.01667
    """
    prices = {
        "model_usd_per_request": model_usd_per_request,
        "lookup_usd_per_request": lookup_usd_per_request,
        "wrong_usd_per_answer": wrong_usd_per_answer,
    }
    for name, price in prices.items():
        if not price >= 0:
            raise DomainError(f"{name} must be 0 or more, not {price}.")
    if not 0 <= wrong_fraction <= 1:
        raise DomainError(f"wrong_fraction is a share from 0 to 1, not {wrong_fraction}.")
    gain = model_usd_per_request - wrong_fraction * wrong_usd_per_answer
    if gain <= 0:
        return Undefined(reason="a hit saves no more than its wrong answers lose, at any hit rate")
    if lookup_usd_per_request > gain:
        return Undefined(reason="a lookup costs more than a hit saves, at any hit rate")
    return lookup_usd_per_request / gain


def answered_from_cache(
    scenario: Scenario, hit_fraction: float, lookup_usd_per_request: float, wrong_usd_per_hit: float = 0.0
) -> Scenario:
    """This scenario with a share of requests answered before they reach a model; every request is looked up."""

    def cached(deployment: Deployment) -> Deployment:
        work, beside = deployment.workload, deployment.beside
        # A try that another model answers again was looked up once, and its answer is cached there.
        lookups_per_s = work.requests_per_s * work.answered_fraction
        hits_per_s = lookups_per_s * hit_fraction
        return replace(
            deployment,
            workload=replace(work, requests_per_s=work.requests_per_s * (1 - hit_fraction), basis=Basis.ASSUMED),
            beside=replace(
                beside,
                cached_requests_per_s=beside.cached_requests_per_s + hits_per_s,
                services_usd_per_hour=beside.services_usd_per_hour
                + lookups_per_s * lookup_usd_per_request * SECONDS_PER_HOUR,
                wrong_answers_usd_per_hour=beside.wrong_answers_usd_per_hour
                + hits_per_s * wrong_usd_per_hit * SECONDS_PER_HOUR,
            ),
        )

    return replace(scenario, deployments=tuple(cached(deployment) for deployment in scenario.deployments))


def refuse_without_requests(scenario: Scenario) -> Refusal | None:
    """A cache answers requests; without any there is nothing to answer."""
    if any(deployment.workload.requests_per_s > 0 for deployment in scenario.deployments):
        return None
    return Refusal(reason="no deployment receives requests", remedy="state or measure requests_per_s first")
