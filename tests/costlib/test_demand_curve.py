"""GPUs by hour: what is needed, how often, how it grows, and what is said where little is known."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.autoscale import replay
from costlib.demand_curve import (
    HOURS_PER_WEEK,
    HOURS_PER_YEAR,
    assumed_load,
    demand_curve,
    duration_fraction,
    growth_per_week_ratio,
    predicted,
    together,
    week_shape_ratio,
)
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.project import project
from costlib.replica_unit import replica_unit
from tests.costlib.capacity_builders import MONDAY, curve, load, unit
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

WEEK = 1 + 0.5 * np.sin(np.arange(HOURS_PER_WEEK) / HOURS_PER_WEEK * 14 * np.pi)


@pytest.mark.parametrize("rate", [0.5, 40.0, 300.0])
def test_an_hour_needs_what_project_sizes_a_fleet_for_at_that_peak(rate):
    today = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(rate), max_tpot_s=0.05))
    [deployment] = today.deployments
    [at_peak] = demand_curve(load([rate]), replica_unit(deployment, today, CATALOG)).needed_gpus_count
    assert at_peak == project(today, CATALOG).gpus_count


def test_a_stated_throughput_is_the_capacity():
    today = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(5, 500, 200), stated_tokens_per_s=7000))
    found = replica_unit(today.deployments[0], today, CATALOG)
    assert found.capacity_requests_per_s == pytest.approx(10.0)
    assert found.answered_requests_per_s[-1] == pytest.approx(10.0)
    assert found.basis is not Basis.CALIBRATED


def test_what_is_bought_by_the_token_needs_no_gpus():
    today = scenario(bought("llama-3.3-70b", 0.88))
    with pytest.raises(DomainError, match="bought by the token"):
        replica_unit(today.deployments[0], today, CATALOG)


def test_whole_replicas_of_four_gpus_with_room_to_spare():
    needed = demand_curve(load([0.0, 0.8, 0.81, 4.0, np.nan]), unit(gpus=4)).needed_gpus_count
    assert needed[:4].tolist() == [4, 4, 8, 20]
    assert np.isnan(needed[4])


def test_an_hour_of_twice_the_tokens_is_two_requests():
    assert unit().mean_requests_per_s(1000, 200) == pytest.approx(1)
    assert unit().mean_requests_per_s(2000, 400) == pytest.approx(2)
    assert unit().mean_requests_per_s(2000, 200) == pytest.approx(1.25)  # prompts take a quarter of the time


def test_a_demand_that_nobody_can_meet_is_refused_by_name():
    with pytest.raises(DomainError, match="chat needs 1,250,000 GPUs"):
        demand_curve(load([1e6]), unit())


@given(st.lists(st.integers(0, 60), min_size=1, max_size=200))
def test_the_load_duration_curve_only_falls_and_holds_every_gpu_hour(need):
    found = duration_fraction(np.array(need, dtype=float))
    assert len(found) == max(need)
    assert np.all(np.diff(found) <= 1e-12)
    assert found.sum() == pytest.approx(np.mean(need))


def test_the_shape_of_a_week_is_told_from_any_day_on():
    wednesday = load(np.roll(WEEK, -48), start=MONDAY + timedelta(days=2))
    assert week_shape_ratio(wednesday) == pytest.approx(WEEK / WEEK.mean())
    assert np.isnan(week_shape_ratio(load([1.0, 2.0]))[2:]).all()


def test_growth_is_found_under_noise_and_one_wild_week():
    hours = np.arange(8 * HOURS_PER_WEEK)
    noise = np.exp(0.05 * np.random.default_rng(1).normal(size=len(hours)))
    rates = np.tile(WEEK, 8) * 1.02 ** (hours / HOURS_PER_WEEK) * noise
    rates[200:260] *= 9
    assert growth_per_week_ratio(load(rates)) == pytest.approx(1.02, abs=0.003)
    assert growth_per_week_ratio(load(rates[:300])) is None


def test_a_year_is_the_weeks_measured_again_and_again():
    found = predicted(load(np.tile(WEEK, 2)), HOURS_PER_YEAR)
    assert found.start == MONDAY + timedelta(days=14)
    assert found.requests_per_s[:HOURS_PER_WEEK] == pytest.approx(WEEK)
    assert found.requests_per_s[-HOURS_PER_WEEK:].max() == pytest.approx(WEEK.max())
    assert found.basis is Basis.EXTRAPOLATED


@pytest.mark.parametrize("of_the_model", Basis)
def test_what_follows_from_an_assumed_shape_is_assumed_and_never_reads_as_measured(of_the_model):
    shape = assumed_load("chat", 5.0, 2.0, MONDAY, 2 * HOURS_PER_WEEK)
    ahead = predicted(shape, HOURS_PER_YEAR)
    replica = replace(unit(), basis=of_the_model)
    assert ahead.basis is predicted(ahead, 24).basis is Basis.ASSUMED
    assert demand_curve(shape, replica).basis is demand_curve(ahead, replica).basis is Basis.ASSUMED
    measured = predicted(load(np.tile(WEEK, 2)), HOURS_PER_YEAR)
    [pool] = together([demand_curve(one, replica) for one in (measured, ahead)])
    assert pool.basis is Basis.ASSUMED
    assert replay(shape.newest(24), replica, []).basis is Basis.ASSUMED


def test_growth_goes_on_for_as_long_as_it_was_seen_and_a_stated_one_for_ever():
    grown = load(np.tile(WEEK, 4) * 1.1 ** (np.arange(4 * HOURS_PER_WEEK) / HOURS_PER_WEEK))
    seen, stated = predicted(grown, HOURS_PER_YEAR), predicted(grown, HOURS_PER_YEAR, 1.05)
    last = grown.requests_per_s[-1]
    assert seen.requests_per_s[4 * HOURS_PER_WEEK - 1] == pytest.approx(last * 1.1**4)
    assert seen.requests_per_s[51 * HOURS_PER_WEEK - 1] == pytest.approx(last * 1.1**4, rel=1e-3)
    assert stated.requests_per_s[51 * HOURS_PER_WEEK - 1] == pytest.approx(last * 1.05**51, rel=1e-3)
    assert any("+10.0% a week" in note for note in seen.notes)


def test_one_hour_of_history_is_a_level_without_a_shape_and_says_so():
    found = predicted(load([3.0]), 48)
    assert found.requests_per_s.tolist() == [3.0] * 48
    assert found.basis is Basis.ASSUMED
    assert any("1 hour of history" in note and "hides every peak" in note for note in found.notes)


def test_days_of_history_are_repeated_and_say_that_weekends_are_missing():
    found = predicted(load(np.tile(WEEK[:24], 2)), 72)
    assert found.requests_per_s == pytest.approx(np.tile(WEEK[:24], 3))
    assert any("weekends" in note for note in found.notes)


def test_gaps_are_filled_by_the_same_hour_of_other_weeks_and_counted():
    rates = np.tile(WEEK, 3)
    rates[10:30] = np.nan
    found = predicted(load(rates), HOURS_PER_WEEK * 3)
    assert found.requests_per_s == pytest.approx(np.tile(WEEK, 3))
    assert any("20 of 504 hours were not observed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([np.nan] * 5, "no hour of its history is known"),
        ([1.0, np.nan, np.nan], "1 of 3 hours are known"),
        ([], "no hour of its history is known"),
    ],
)
def test_no_history_is_refused_with_what_to_do(rates, said):
    with pytest.raises(DomainError, match=said):
        predicted(load(rates), 24)


@pytest.mark.parametrize("rates", [[-1.0], [np.inf]])
def test_a_rate_that_cannot_be_is_refused(rates):
    with pytest.raises(DomainError, match="0 or more in every hour"):
        load(rates)


def test_hours_begin_on_the_hour_and_in_a_zone():
    for start in (MONDAY.replace(tzinfo=None), MONDAY + timedelta(minutes=5)):
        with pytest.raises(DomainError, match="full hour"):
            load([1.0], start=start)


@given(st.floats(1.0, 23.9), st.floats(0.01, 1e4))
def test_an_assumed_day_has_the_mean_and_the_peak_it_was_given(ratio, rate):
    found = assumed_load("chat", rate, ratio, MONDAY, 24)
    assert found.requests_per_s.mean() == pytest.approx(rate)
    assert found.requests_per_s.max() == pytest.approx(rate * ratio, rel=1e-6)
    assert found.basis is Basis.ASSUMED
    assert "no history" in found.notes[0]


def test_a_pool_is_the_sum_of_its_deployments_and_knows_what_all_of_them_know():
    [pool] = together([curve([1, 2, np.nan]), curve([4, 4, 4])])
    assert pool.needed_gpus_count[:2].tolist() == [5, 6]
    assert np.isnan(pool.needed_gpus_count[2])
    assert len(together([curve([1]), replace(curve([1]), gpu_key="b200")])) == 2
    with pytest.raises(DomainError, match="different hours"):
        together([curve([1]), curve([1, 2])])
