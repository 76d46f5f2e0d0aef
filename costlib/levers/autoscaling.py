"""Autoscaling: replicas that follow demand instead of standing by for the peak."""

from dataclasses import replace
from datetime import date

import numpy as np

from costlib.catalog import Catalog
from costlib.demand_curve import assumed_day_ratio
from costlib.estimate import Basis
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.sources import Source
from costlib.units import HOURS_PER_DAY


def followed_ratio(peak_to_mean_ratio: float, headroom_fraction: float, kept_fraction: float) -> float:
    """The fleet that follows demand, on the mean of the day, over what the mean demand needs.

    Equation   mean over hours of  min(P, max((1 + h) d, k P)), at least 1
    Symbols    P peak over mean   d the hour of an assumed day over its mean   h headroom for what grows while a
               replica starts   k share of the peak's replicas that always stay
    Returns    [1], from 1 to P
    Valid for  a smooth day (`demand_curve.assumed_load`)
    Source     domain_math §8.4; docs/capacity.md
    Example    twice the mean at the peak: nothing kept and no headroom needs the mean, everything kept the peak
    >>> [round(followed_ratio(2.0, headroom, kept), 3) for headroom, kept in ((0, 0), (0.15, 0.3), (0, 1))]
    [1.0, 1.237, 2.0]
    """
    peak = min(peak_to_mean_ratio, float(HOURS_PER_DAY))
    kept = np.clip((1 + headroom_fraction) * assumed_day_ratio(peak), kept_fraction * peak, peak)
    return min(peak_to_mean_ratio, max(1.0, float(kept.mean())))


def _peaked(deployment: Deployment) -> bool:
    return isinstance(deployment.supply, SelfHosted) and deployment.workload.peak_to_mean_ratio > 1


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if any(_peaked(deployment) for deployment in scenario.deployments):
        return None
    return Refusal(
        reason="no demand on our own GPUs has a peak to follow: peak_to_mean_ratio is 1, or all is bought by the token",
        remedy="measure or state peak_to_mean_ratio, the busiest hour over the mean",
    )


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    def follows(deployment: Deployment) -> Deployment:
        if not _peaked(deployment):
            return deployment
        work = deployment.workload
        ratio = followed_ratio(work.peak_to_mean_ratio, values["headroom_fraction"], values["kept_fraction"])
        return replace(deployment, workload=replace(work, peak_to_mean_ratio=ratio, basis=Basis.ASSUMED))

    return replace(scenario, deployments=tuple(follows(deployment) for deployment in scenario.deployments))


LEVER = Lever(
    key="autoscaling",
    stage=Stage.HARDWARE,
    label="Autoscaling",
    question="What if replicas followed demand instead of standing by for the peak?",
    params=(
        Switch(
            key="enabled",
            label="Autoscaling",
            help="Replicas are ordered and given back with demand. Replay a policy on your own traffic before: "
            "permillion capacity.",
        ),
        Number(
            key="headroom_fraction",
            label="Headroom",
            low=0.0,
            high=1.0,
            step=0.01,
            neutral=0.15,
            unit="more than is needed",
            usual=(0.05, 0.4),
            help="Assumed 15 %: what demand grows by while a replica starts. The longer the start, the more.",
        ),
        Number(
            key="kept_fraction",
            label="Always kept",
            low=0.0,
            high=1.0,
            step=0.05,
            neutral=0.3,
            unit="of the peak's replicas stay",
            help="The least that runs, at night too.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="headroom_fraction", values=(0.0, 0.15, 0.4, 1.0), step="usd_per_month", rises=True),
    effort=Effort.SERVICE,
    changes_answers=False,
    risks="Who comes while a replica starts waits. A policy on a queue that vanishes flaps for ever. GPUs given back "
    "may not be there at the next peak, and committed ones stay payable.",
    rollback="Set the least and the most replicas to the peak's number.",
    sources=(
        Source(
            title="Kubernetes documentation, Horizontal Pod Autoscaling",
            url="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
