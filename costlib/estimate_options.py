"""What a month of an estimate costs, by the token or on our own GPUs; for one draw, and for very many at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from math import inf

import numpy as np

from costlib.breakeven import ROUNDING
from costlib.capacity_curve import CapacityCurve, capacity_curve
from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.project import project, usd_per_gpu_hour
from costlib.roofline import Floats
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.units import HOURS_PER_DAY, SECONDS_PER_DAY, TOKENS_PER_MTOK
from costlib.usage_volume import Volume, volume
from costlib.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOption:
    """A model bought by the token. What waits for a batch costs `batch_price_ratio` of it."""

    name: str
    usd_per_mtok_input: float
    usd_per_mtok_cached_input: float
    usd_per_mtok_output: float
    batch_price_ratio: float = 0.5

    def __post_init__(self) -> None:
        for name in ("usd_per_mtok_input", "usd_per_mtok_cached_input", "usd_per_mtok_output"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        if not 0 <= self.batch_price_ratio <= 1:
            raise DomainError(f"batch_price_ratio is a share from 0 to 1, not {self.batch_price_ratio}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOption:
    """A model on our own GPUs. `peak_to_mean_ratio` is the busiest hour over the mean; operations are people."""

    name: str
    model_key: str
    hosted: SelfHosted
    peak_to_mean_ratio: float = 2.0
    max_tpot_s: float | None = None
    operations_usd_per_month: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.peak_to_mean_ratio < inf:
            raise DomainError(f"peak_to_mean_ratio is peak over mean, so 1 or more, not {self.peak_to_mean_ratio}.")
        if not 0 <= self.operations_usd_per_month < inf:
            raise DomainError(f"operations_usd_per_month must be 0 or more, not {self.operations_usd_per_month}.")


class ApiPricer:
    """What an API charges for a month."""

    def __init__(self, option: ApiOption, days_count: float) -> None:
        self.option, self.days_count = option, days_count

    def __call__(self, of: Mapping[str, Floats]) -> Floats:
        month, api = volume(of, self.days_count), self.option
        charged = (
            (month.input_tokens - month.cached_tokens) * api.usd_per_mtok_input
            + month.cached_tokens * api.usd_per_mtok_cached_input
            + month.output_tokens * api.usd_per_mtok_output
        )
        return np.asarray(charged / TOKENS_PER_MTOK * (1 - of["batch_fraction"] * (1 - api.batch_price_ratio)))

    def likely(self, of: Mapping[str, Floats]) -> float:
        return float(self(of)[0])


class HostPricer:
    """What our own GPUs cost for a month: whole replicas, and people."""

    def __init__(self, option: HostOption, days_count: float, as_of: date, month: Volume, catalog: Catalog) -> None:
        self.option, self.days_count, self.catalog = option, days_count, catalog
        self.scenario = Scenario(
            key="estimate",
            label=option.name,
            as_of=as_of,
            deployments=(self._deployment(_mix(month, 0), 1.0, option.peak_to_mean_ratio),),
            hours_per_month=days_count * HOURS_PER_DAY,
        )
        self.usd_per_gpu_hour = usd_per_gpu_hour(option.hosted.purchase, self.scenario, catalog)
        prompt, output, cached = _mixes(month)
        self.curve: CapacityCurve = capacity_curve(self.scenario.deployments[0], catalog, prompt, output, cached)
        self.most_tokens = catalog.model(option.model_key).max_context_tokens

    def _deployment(self, mix: tuple[float, float, float], requests_per_s: float, peak: float) -> Deployment:
        prompt, output, cached = mix
        hosted = self.option.hosted
        return Deployment(
            key=self.option.name,
            model_key=self.option.model_key,
            workload=Workload(
                requests_per_s=requests_per_s,
                mean_prompt_tokens=prompt,
                mean_output_tokens=output,
                peak_to_mean_ratio=peak,
            ),
            supply=replace(hosted, serving=replace(hosted.serving, prefix_hit_fraction=cached)),
            max_tpot_s=self.option.max_tpot_s,
        )

    def replicas(self, of: Mapping[str, Floats]) -> Floats:
        """Whole replicas of each draw; NaN for one that cannot run."""
        month, serving = volume(of, self.days_count), self.option.hosted.serving
        prompt, output, cached = _mixes(month)
        peak = np.maximum(1.0, (1 - of["batch_fraction"]) * self.option.peak_to_mean_ratio)
        rate = month.requests_count / (self.days_count * SECONDS_PER_DAY)
        stated = self.option.hosted.stated_tokens_per_s
        capacity = self.curve.requests_per_s(prompt, output, cached) if stated is None else stated / (prompt + output)
        needed = np.ceil(rate * peak / (capacity * serving.target_busy_fraction) - ROUNDING)
        needed = np.where(prompt + output > self.most_tokens, np.nan, needed)
        return np.asarray(np.maximum(needed, serving.min_replicas_count))

    def __call__(self, of: Mapping[str, Floats]) -> Floats:
        month_usd = self.option.hosted.serving.gpus_count * self.usd_per_gpu_hour * self.scenario.hours_per_month
        return np.asarray(self.option.operations_usd_per_month + self.replicas(of) * month_usd)

    def likely(self, of: Mapping[str, Floats]) -> float | None:
        """By `project()` itself, not by what is read off between; None where it cannot run."""
        month = volume(of, self.days_count)
        peak = max(1.0, float((1 - of["batch_fraction"][0]) * self.option.peak_to_mean_ratio))
        rate = float(month.requests_count[0]) / (self.days_count * SECONDS_PER_DAY)
        deployment = self._deployment(_mix(month, 0), rate, peak)
        try:
            found = project(replace(self.scenario, deployments=(deployment,)), self.catalog)
        except DomainError:
            return None
        return found.usd_per_month.mid + self.option.operations_usd_per_month


def _mixes(month: Volume) -> tuple[Floats, Floats, Floats]:
    """Mean prompt, mean answer and cached share of each draw."""
    cached = np.divide(
        month.cached_tokens, month.input_tokens, out=np.zeros_like(month.input_tokens), where=month.input_tokens > 0
    )
    output = np.maximum(month.output_tokens / month.requests_count, 1.0)
    return month.input_tokens / month.requests_count, output, cached


def _mix(month: Volume, at: int) -> tuple[float, float, float]:
    prompt, output, cached = (float(values[at]) for values in _mixes(month))
    return prompt, output, cached


Pricer = ApiPricer | HostPricer
