"""Deployments on one kind of GPU as one pool: over the same hours, with the model's range, and how to buy it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from costlib.demand_curve import HOURS_PER_WEEK, HourlyLoad, assumed_load
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.gpu_pool import Terms, aligned, bought, needed, pools
from store.catalog_files import SAMPLE_SCENARIO, load_scenario

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NO_GROWTH = Terms(growth_ratio=1.0)


@pytest.fixture(scope="module")
def sample():
    return load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21))


def flat(key: str, requests_per_s: float, hours_count: int = 336) -> HourlyLoad:
    return HourlyLoad(
        deployment_key=key, start=MONDAY, requests_per_s=np.full(hours_count, requests_per_s), basis=Basis.MEASURED
    )


def test_a_pool_needs_what_its_deployments_need_together(sample) -> None:
    copilot, _, search = sample.today.deployments[:3]
    both = [needed(one, sample.today, sample.catalog, flat(one.key, 9.0)) for one in (copilot, search)]
    (pool,) = pools(both)
    assert pool.curve.peak_gpus_count == sum(one.curve.peak_gpus_count for one in both)
    assert (pool.low_gpus_count <= pool.curve.needed_gpus_count).all()
    assert (pool.high_gpus_count >= pool.curve.needed_gpus_count).all()


def test_gaps_and_a_late_beginning_are_not_known_and_not_zero(sample) -> None:
    early, late = flat("a", 1.0, 4), replace(flat("b", 1.0, 2), start=MONDAY.replace(hour=2))
    first, second = aligned([early, late])
    assert np.isnan(second.requests_per_s[:2]).all()
    assert (first.requests_per_s == 1).all()
    assert first.start == second.start


def test_a_flat_demand_is_committed_to_whole(sample) -> None:
    one = sample.today.deployments[0]
    (pool,) = pools([needed(one, sample.today, sample.catalog, flat(one.key, 9.0))])
    best = bought(pool, replace(sample.today, commitments=()), sample.catalog, NO_GROWTH).plan.chosen
    assert best is not None
    assert best.best.gpus_count == pool.curve.peak_gpus_count


def test_a_history_that_is_half_gaps_is_refused_with_a_remedy(sample) -> None:
    one = sample.today.deployments[0]
    load = flat(one.key, 9.0)
    load.requests_per_s[1:300] = np.nan
    (pool,) = pools([needed(one, sample.today, sample.catalog, load)])
    with pytest.raises(DomainError, match="Shorten the window"):
        bought(pool, sample.today, sample.catalog, Terms())


def test_what_is_bought_for_hours_that_were_assumed_is_assumed(sample) -> None:
    one, other = sample.today.deployments[0], sample.today.deployments[2]
    shape = assumed_load(one.key, 9.0, 2.0, MONDAY, 2 * HOURS_PER_WEEK)
    (alone,) = pools([needed(one, sample.today, sample.catalog, shape)])
    found = bought(alone, sample.today, sample.catalog, NO_GROWTH)
    assert alone.curve.basis is found.curve.basis is found.plan.basis is Basis.ASSUMED
    (mixed,) = pools(
        [*alone.members, needed(other, sample.today, sample.catalog, flat(other.key, 9.0))],
    )
    assert bought(mixed, sample.today, sample.catalog, NO_GROWTH).curve.basis is Basis.ASSUMED


def test_a_history_that_ends_earlier_is_carried_on_to_where_the_newest_ends(sample) -> None:
    first, second = sample.today.deployments[0], sample.today.deployments[2]
    early = flat(first.key, 9.0)
    late = replace(flat(second.key, 9.0), start=MONDAY + timedelta(weeks=5))
    every = [
        needed(one, sample.today, sample.catalog, load)
        for one, load in zip((first, second), aligned([early, late]), strict=True)
    ]
    (pool,) = pools(every)
    assert not len(pool.curve.known_gpus_count), "no hour of both is known"
    found = bought(pool, sample.today, sample.catalog, NO_GROWTH).curve
    assert found.start == late.end
    assert set(found.needed_gpus_count) == {sum(one.curve.peak_gpus_count for one in every)}


def test_hours_that_lie_decades_apart_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(DomainError, match="lie from 1000-01-01 to 9000-01-"):
        aligned([replace(flat("a", 1.0), start=MONDAY.replace(year=year, month=1, day=1)) for year in (1000, 9000)])
