"""What `project()` answers: money, tokens, latency, and every intermediate value on the way there."""

from dataclasses import dataclass

from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate, Undefined
from costlib.replica import Bound
from costlib.units import unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One intermediate value: what it is, how it was computed, and from what."""

    scope: str  # the deployment's key, or "fleet"
    key: str
    value: float
    unit: str
    equation: str
    basis: Basis


class Trace:
    """Collects the steps of one scope, in order."""

    def __init__(self, scope: str, basis: Basis) -> None:
        self.scope = scope
        self.basis = basis
        self.steps: list[Step] = []

    def __call__(self, key: str, value: float, equation: str, basis: Basis | None = None) -> float:
        unit = unit_of(key)
        if unit is None:
            raise DomainError(f"step {key!r} has no unit in its name.")
        self.steps.append(
            Step(scope=self.scope, key=key, value=value, unit=unit, equation=equation, basis=basis or self.basis)
        )
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class CostParts:
    """Where a month's dollars go; the parts sum to the total. Idle is paid capacity that the demand leaves unused;
    services are what is paid beside the models, such as a cache's embeddings."""

    prefill_usd_per_month: float
    decode_usd_per_month: float
    idle_usd_per_month: float
    services_usd_per_month: float = 0.0

    def times(self, ratio: float) -> "CostParts":
        """The same parts at other prices."""
        return CostParts(
            prefill_usd_per_month=self.prefill_usd_per_month * ratio,
            decode_usd_per_month=self.decode_usd_per_month * ratio,
            idle_usd_per_month=self.idle_usd_per_month * ratio,
            services_usd_per_month=self.services_usd_per_month * ratio,
        )

    @property
    def total_usd_per_month(self) -> float:
        models = self.prefill_usd_per_month + self.decode_usd_per_month + self.idle_usd_per_month
        return models + self.services_usd_per_month


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentProjection:
    """One deployment, priced. Latencies are at the peak hour's load; None for an API or a stated capacity."""

    key: str
    model_key: str
    gpu_key: str | None
    replicas_count: int
    gpus_count: int
    needed_gpus_ratio: float  # before rounding up to whole replicas: what capacity freed is counted in
    usd_per_hour: float
    cost: CostParts
    demand_tokens_per_s: float
    capacity_tokens_per_s: float | None = None
    busy_fraction: float | None = None
    bound: Bound | None = None
    tpot_s: float | None = None
    ttft_s: float | None = None
    running_count: float | None = None
    kv_usage_fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A scenario, priced. Unit costs count answered tokens only, cached prompt tokens included, and say which.

    `wrong_answers_usd_per_month` is an expected loss, not a bill: no other figure holds it.
    """

    scenario_key: str
    usd_per_month: Estimate
    usd_per_hour: float
    usd_per_mtok_blended: float | Undefined
    usd_per_mtok_input: float | Undefined
    usd_per_mtok_output: float | Undefined
    gpus_count: int
    needed_gpus_ratio: float
    gpu_hours_per_month: float
    tokens_per_month: float
    busy_fraction: float | Undefined
    cost: CostParts
    wrong_answers_usd_per_month: float
    deployments: tuple[DeploymentProjection, ...]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]

    @property
    def tpot_s(self) -> float | None:
        """The slowest deployment's time per output token at peak."""
        return max((d.tpot_s for d in self.deployments if d.tpot_s is not None), default=None)

    @property
    def ttft_s(self) -> float | None:
        """The slowest deployment's time to first token at peak."""
        return max((d.ttft_s for d in self.deployments if d.ttft_s is not None), default=None)

    def step(self, key: str, scope: str | None = None) -> Step:
        """The step called `key`, of the first deployment that has it unless `scope` names one."""
        for step in self.steps:
            if step.key == key and scope in (None, step.scope):
                return step
        raise DomainError(f"no step {key!r}; this projection has: {', '.join(sorted({s.key for s in self.steps}))}.")
