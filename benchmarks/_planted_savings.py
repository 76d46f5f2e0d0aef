"""Simulated pools whose saving is known: weekly shape, days that hang on each other, drift, load, and rebound.

Two kinds: days, of which thousands are quickly drawn, and hours of a fleet that scales by whole replicas over a floor.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from costlib.estimate import Basis, Estimate
from costlib.lever import Work
from costlib.pool_days import PoolDays, PoolHours, Window
from costlib.saving import Design, Entry, Plan, Projection, State, Weights
from costlib.verifiable import Measured

START = date(2026, 1, 5)  # a Monday
TOKENS_WEIGH_ALIKE = Weights(cached_ratio=1.0, output_ratio=1.0, source="planted")
_WEEK_LOAD = np.array([0.0, 0.02, 0.0, 0.03, 0.01, -0.25, -0.3])
_DAY_LOAD = 0.6 + 0.4 * np.sin((np.arange(24) - 8) / 24 * 2 * np.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How the days of a pool come about; logarithms."""

    before_days: int = 56
    after_days: int = 28
    log_effect: float = 0.0
    error_sd: float = 0.05
    autoregression_ratio: float = 0.5
    noise_fraction: float = 0.0  # of the errors' variance, that no day hands on
    common_fraction: float = 0.5  # of the errors' variance, that the untouched pool has too
    drift_per_day: float = 0.001
    load_slope: float = -0.4  # of unit cost on load: busy GPUs serve cheaper
    rebound: float = 0.5  # extra demand for each part that became cheaper
    quiet_log_load: float = 0.0  # of the days after, in the changed pool alone

    @property
    def window(self) -> Window:
        change = START + timedelta(days=self.before_days)
        return Window(before=(START, change), after=(change, change + timedelta(days=self.after_days)))


WORLDS = {
    "days that hang on each other": World(),
    "hardly": World(autoregression_ratio=0.2),
    "strongly": World(autoregression_ratio=0.8),
    "and noise on top": World(autoregression_ratio=0.8, noise_fraction=0.3),
    "half the weeks": World(before_days=28, after_days=14),
    "fast drift, strong rebound": World(drift_per_day=0.004, rebound=1.5),
    "a quiet month after": World(quiet_log_load=-0.25),
}


def pools(world: World, seed: int) -> tuple[PoolDays, PoolDays]:
    """The pool that is changed, and one beside it that is not."""
    chance = np.random.default_rng(seed)
    count = world.before_days + world.after_days
    number = np.arange(count)
    after = (number >= world.before_days).astype(float)
    common = _errors(world, count, chance)
    found = []
    for is_changed in (True, False):
        effect = world.log_effect * after * is_changed
        load = _WEEK_LOAD[number % 7] + 0.002 * number + _handed_on(0.6, 0.08, count, chance)
        load = load - world.rebound * effect + world.quiet_log_load * after * is_changed
        own = _errors(world, count, chance)
        errors = np.sqrt(world.common_fraction) * common + np.sqrt(1 - world.common_fraction) * own
        weekend = 0.05 * (number % 7 >= 5)
        log_cost = effect + world.load_slope * load + weekend + world.drift_per_day * number + errors
        work = 1e4 * np.exp(load)
        gpu_hours = work * np.exp(log_cost) / 100
        days = tuple(START + timedelta(days=int(n)) for n in number)
        found.append(
            PoolDays(days=days, gpu_hours=gpu_hours, busy_gpu_hours=gpu_hours / 2, work=work,
                     usual_gpu_hours=work, usual_busy_gpu_hours=work)
        )  # fmt: skip
    return found[0], found[1]


def scaling_pools(world: World, seed: int) -> tuple[PoolHours, PoolHours, float]:
    """The same by the hour: replicas of two GPUs follow the work by whole ones, over a floor of two. Also what was
    saved of the rented GPU-hours: less than of the busy ones, as no replica below the floor can go."""
    chance = np.random.default_rng(seed)
    days = world.before_days + world.after_days
    after = np.repeat(np.arange(days) >= world.before_days, 24).astype(float)
    common = _errors(world, days, chance)
    found, saved = [], 0.0
    for is_changed in (True, False):
        effect = world.log_effect * after * is_changed
        by_day = _WEEK_LOAD[np.arange(days) % 7] + _handed_on(0.6, 0.05, days, chance)
        load = np.repeat(by_day, 24) + np.tile(np.log(_DAY_LOAD), days) + chance.normal(0, 0.03, days * 24)
        load += -world.rebound * effect + world.quiet_log_load * after * is_changed
        own = _errors(world, days, chance)
        errors = np.sqrt(world.common_fraction) * common + np.sqrt(1 - world.common_fraction) * own
        each = effect + np.repeat(errors + world.drift_per_day * np.arange(days), 24)
        work = 1e6 * np.exp(load)
        busy = 12 * np.exp(load + each)
        gpu_hours, without = _rented(busy), _rented(busy * np.exp(-effect))
        if is_changed:
            saved = 1 - float(gpu_hours[after > 0].sum() / without[after > 0].sum())
        none, all_ = np.zeros(days * 24), np.ones(days * 24)
        found.append(
            PoolHours(start=datetime.combine(START, time.min, UTC), gpu_hours=gpu_hours, busy_gpu_hours=busy,
                      computed_tokens=work / 2, cached_tokens=none, output_tokens=work / 2,
                      requests_count=100 * all_, failed_count=none)
        )  # fmt: skip
    return found[0], found[1], saved


def _rented(busy_gpu_hours: np.ndarray) -> np.ndarray:
    return 2 * np.maximum(2.0, np.ceil(busy_gpu_hours / 2 / 0.7))


def shipped(world: World, design: Design, promised: float = 0.1, usd_per_gpu_hour: float = 2.0) -> Entry:
    """The ledger's entry of the change."""
    at = datetime.combine(world.window.after[0], time.min, UTC)
    band = Estimate(low=promised / 2, mid=promised, high=promised * 1.5, basis=Basis.ASSUMED)
    plan = Plan(
        lever_keys=("prefix_caching",), pool_keys=("pool",), control_keys=("beside",), design=design, work=Work.TOKENS,
        weights=TOKENS_WEIGH_ALIKE, usd_per_gpu_hour=usd_per_gpu_hour,
        projection=Projection(saved_fraction=band, saved_usd_per_month=band),
        before_days=world.before_days, after_days=world.after_days,
    )  # fmt: skip
    return Entry(id="planted", title="Planted", owner="bench", state=State.SHIPPED, noted_at=at, plan=plan,
                 committed_at=at, shipped_at=at)  # fmt: skip


def measured(world: World, seed: int, usd_per_gpu_hour: float = 2.0) -> Measured:
    """What a verification of it looks at; every GPU-hour costs the same."""
    pool, beside, _ = scaling_pools(world, seed)
    rented = pool.gpu_hours.reshape(-1, 24).sum(axis=1)
    costs = {
        START + timedelta(days=n): Decimal(str(round(hours * usd_per_gpu_hour, 2))) for n, hours in enumerate(rented)
    }
    end = datetime.combine(world.window.after[1], time.min, UTC)
    return Measured(pool=pool, control=beside, cost_by_day=costs, measured_until=end)


def _errors(world: World, count: int, chance: np.random.Generator) -> np.ndarray:
    handed = _handed_on(world.autoregression_ratio, world.error_sd, count, chance)
    noise = chance.normal(0, world.error_sd, count)
    return np.sqrt(1 - world.noise_fraction) * handed + np.sqrt(world.noise_fraction) * noise


def _handed_on(rho: float, sd: float, count: int, chance: np.random.Generator) -> np.ndarray:
    shocks = chance.normal(0, sd * np.sqrt(1 - rho**2), count + 60)
    found = np.zeros(count + 60)
    for n in range(1, count + 60):
        found[n] = rho * found[n - 1] + shocks[n]
    return found[60:]
