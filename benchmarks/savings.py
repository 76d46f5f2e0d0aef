"""Savings that were planted in simulated pools, found again: by our intervals, and by four other ways.

Covered: how often a 95 % interval holds the truth. False: how often one that saved nothing is said to have changed
something. Power: how often a saving as small as was said to be visible is seen; 80 % should be. Bill: the naive
before/after comparison of what a unit of work costs, with the usual two-sample interval.
"""

from dataclasses import replace

import numpy as np

from benchmarks._planted_savings import WORLDS, World, measured, pools, scaling_pools, shipped
from costlib.cross_checks import placebo_fraction
from costlib.effect import block_bootstrap, effect, newey_west
from costlib.estimate import Estimate, Undefined
from costlib.minimum_effect import smallest
from costlib.pool_days import PoolDays, question
from costlib.saving import Design, Verdict
from costlib.verification import verify

RUNS, POWER_RUNS, HOURLY_RUNS, PLACEBO_RUNS = 1000, 200, 200, 100
SAVED = 0.12
WAYS = ("ours", "newey-west", "bootstrap", "bill")


def main() -> None:
    print(f"\n{RUNS} pools of each kind by the day; {SAVED:.0%} saved, or nothing")
    print(f"{'':<44}" + "".join(f"{way:>12}" for way in WAYS) + f"{'false':>9}{'power':>8}{'at':>8}")
    for design in (Design.DIFFERENCE, Design.BEFORE_AFTER):
        rows = []
        for name, world in WORLDS.items():
            held = covered(world, design, RUNS)
            false = 1 - covered(replace(world, log_effect=0.0), design, RUNS, saved=0.0)[0]
            seen, at = power(world, design, POWER_RUNS)
            rows.append((*held, false, seen, at))
            print(f"{design.value + ', ' + name:<44}" + "".join(f"{one:>12.1%}" for one in held)
                  + f"{false:>9.1%}{seen:>8.0%}{at:>8.1%}")  # fmt: skip
        mean = np.mean(rows, axis=0)
        print(f"{design.value + ', all':<44}" + "".join(f"{one:>12.1%}" for one in mean[:4])
              + f"{mean[4]:>9.1%}{mean[5]:>8.0%}{mean[6]:>8.1%}")  # fmt: skip
    print("\nfleets that scale by whole replicas over a floor, by the hour, verified whole: covered, and what was said")
    for name, world in {"scaling": World(), "and a quiet month after": World(quiet_log_load=-0.25)}.items():
        for saved in (SAVED, 0.0):
            held, said = hourly(replace(world, log_effect=float(np.log(1 - saved))), HOURLY_RUNS)
            words = ", ".join(f"{verdict.value} {share:.0%}" for verdict, share in said.items() if share)
            print(f"{name + f', {saved:.0%} saved':<44}{held:>12.1%}  {words}")
    print(
        f"\nplacebo dates as clear as a change that saved nothing, mean: {placebo(PLACEBO_RUNS):.0%} (50 % should be)"
    )


def covered(world: World, design: Design, runs: int, saved: float = SAVED, first: int = 0) -> tuple[float, ...]:
    """How often each way's interval holds the truth."""
    truth = float(np.log(1 - saved))
    held = np.zeros(len(WAYS))
    for seed in range(first, first + runs):
        mine, beside = pools(replace(world, log_effect=truth), seed)
        asked = question(mine, world.window, design, beside)
        assert not isinstance(asked, Undefined)
        low, high = effect(asked.series, asked.design, asked.column, asked.numbers).interval()
        middle, error = newey_west(asked.series, asked.design, asked.column)
        _, least, most = block_bootstrap(asked.series, asked.design, asked.column, draws=200)
        naive = _two_samples(mine, world)
        spans = ((low, high), (middle - 1.96 * error, middle + 1.96 * error), (least, most), naive)
        held += [start <= truth <= end for start, end in spans]
    return tuple(held / runs)


def _two_samples(mine: PoolDays, world: World) -> tuple[float, float]:
    costs = np.log(mine.gpu_hours / mine.work)
    is_after = np.array([world.window.is_after(day) for day in mine.days])
    before, after = costs[~is_after], costs[is_after]
    error = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    step = float(after.mean() - before.mean())
    return step - 1.96 * error, step + 1.96 * error


def power(world: World, design: Design, runs: int, first: int = 50_000) -> tuple[float, float]:
    """How often a saving of just the size that was said to be visible is seen, and the middle of those sizes."""
    seen, said = 0, []
    for seed in range(first, first + runs):
        both = pools(world, seed)
        mine, beside = (one.on([day for day in one.days if world.window.is_before(day)]) for one in both)
        control = beside if design is Design.DIFFERENCE else None
        found = smallest(mine, design, world.before_days, world.after_days, control, draws=80)
        assert not isinstance(found, Undefined)
        said.append(found.fraction)
        mine, beside = pools(replace(world, log_effect=float(np.log(1 - found.fraction))), seed)
        asked = question(mine, world.window, design, beside)
        assert not isinstance(asked, Undefined)
        seen += effect(asked.series, asked.design, asked.column, asked.numbers).interval()[1] < 0
    return seen / runs, float(np.median(said))


def hourly(world: World, runs: int) -> tuple[float, dict[Verdict, float]]:
    """How often the verification of a scaling fleet holds the truth, and its verdicts."""
    held, said = 0, dict.fromkeys(Verdict, 0.0)
    entry = shipped(world, Design.DIFFERENCE, promised=SAVED)
    for seed in range(runs):
        found = verify(entry, measured(world, seed))
        assert isinstance(found.saved_fraction, Estimate), found.reason
        held += found.saved_fraction.low <= scaling_pools(world, seed)[2] <= found.saved_fraction.high
        said[found.verdict] += 1 / runs
    return held / runs, said


def placebo(runs: int) -> float:
    """The share of dates at which nothing happened that look as clear as the change, where that did nothing either."""
    world, found = World(), []
    for seed in range(runs):
        mine, beside = pools(world, seed)
        asked = question(mine, world.window, Design.DIFFERENCE, beside)
        assert not isinstance(asked, Undefined)
        one = effect(asked.series, asked.design, asked.column, asked.numbers)
        share = placebo_fraction(mine, world.window, Design.DIFFERENCE, beside, one)
        assert not isinstance(share, Undefined)
        found.append(share)
    return float(np.mean(found))
