"""Measured demand: what the metrics say users asked for, put in place of a scenario's assumptions."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from costlib.estimate import Basis
from costlib.scenario import Deployment, Scenario, SelfHosted

# Below these, a window is too thin to replace what the scenario says (domain_math §10: 24 h is "indicative").
LEAST_HOURS = 24.0
LEAST_COVERAGE_FRACTION = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Demand of one model at one target over a window. `prefix_hit_fraction` is None when it is not exported."""

    target_key: str
    model_key: str
    requests_per_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    peak_to_mean_ratio: float
    prefix_hit_fraction: float | None
    coverage_fraction: float
    covered_hours: float
    low_ratio: float = 1.0  # P10 and P90 of the coming month's demand over this
    high_ratio: float = 1.0

    @property
    def is_enough(self) -> bool:
        return (
            self.covered_hours >= LEAST_HOURS
            and self.coverage_fraction >= LEAST_COVERAGE_FRACTION
            and self.requests_per_s > 0
            and self.mean_output_tokens >= 1
        )


def with_measured_demand(scenario: Scenario, demands: Iterable[Demand]) -> Scenario:
    """`scenario` with the workload measured at the target of each deployment's key, where there is enough of it.

    Returns    the scenario; replaced workloads carry Basis.MEASURED, the others stay as they were
    Valid for  targets named after deployments; windows of at least 24 h with half of it covered
    """
    by_target = usable(demands)
    return replace(
        scenario,
        deployments=tuple(
            _measured(deployment, by_target[deployment.key]) if deployment.key in by_target else deployment
            for deployment in scenario.deployments
        ),
    )


def usable(demands: Iterable[Demand]) -> dict[str, Demand]:
    """The demand of each target that has enough of one model, by target.

    A target that answered for several models, or under a changed name, is no single deployment, and stays assumed.
    """
    enough = [demand for demand in demands if demand.is_enough]
    names = Counter(demand.target_key for demand in enough)
    return {demand.target_key: demand for demand in enough if names[demand.target_key] == 1}


def _measured(deployment: Deployment, demand: Demand) -> Deployment:
    workload = replace(
        deployment.workload,
        requests_per_s=demand.requests_per_s,
        mean_prompt_tokens=demand.mean_prompt_tokens,
        mean_output_tokens=demand.mean_output_tokens,
        peak_to_mean_ratio=max(1.0, demand.peak_to_mean_ratio),
        demand_low_ratio=demand.low_ratio,
        demand_high_ratio=demand.high_ratio,
        basis=Basis.MEASURED,
    )
    supply = deployment.supply
    if isinstance(supply, SelfHosted) and demand.prefix_hit_fraction is not None:
        supply = replace(
            supply, serving=replace(supply.serving, prefix_hit_fraction=min(demand.prefix_hit_fraction, 0.99))
        )
    return replace(deployment, workload=workload, supply=supply)
