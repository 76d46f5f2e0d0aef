"""What to commit to: the closed form, every grid point, and the lesson's rules beside it."""

from datetime import date, timedelta
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.commitment import Commitment
from costlib.demand_curve import HOURS_PER_YEAR
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.purchase_mix import committed_gpus_count, purchase_plan
from costlib.purchase_offers import market_for, offers_for
from costlib.purchase_terms import Market, Offer
from costlib.savings_plan import Covered, best_plan, plan_usd_per_hour
from costlib.spot import NOTICE_S, Spot
from tests.costlib.capacity_builders import MONDAY, curve
from tests.costlib.scenario_builders import AS_OF, CATALOG

ON_DEMAND, RESERVED, SPOT = 3.50, 2.10, 1.05  # the lesson's
YEAR = Offer(label="1 year", usd_per_gpu_hour=RESERVED)
NEEDS = st.lists(st.integers(0, 30), min_size=1, max_size=60)


def bought(need, offer=YEAR, owned=(), **market):
    plan = purchase_plan(curve(need), Market(**{"usd_per_gpu_hour": ON_DEMAND, **market}), [offer], owned)
    return plan, plan.choices[0]


def bill(need, level, price, share=0.0, spot=ON_DEMAND):
    """Hour by hour, as it is said: committed first, then spot for what may be interrupted, the rest on demand."""
    total = 0.0
    for one in need:
        rest = max(0, one - level)
        interruptible = min(rest, int(share * one + 1e-9))
        total += level * price + interruptible * spot + (rest - interruptible) * ON_DEMAND
    return total / len(need)


def repeated(need):
    """The hours of a year that a short curve stands for."""
    return np.resize(np.array(need), HOURS_PER_YEAR)


@given(NEEDS, st.floats(0.05, 0.95))
def test_the_optimum_is_the_closed_form_and_no_worse_than_any_level(need, ratio):
    offer = Offer(label="term", usd_per_gpu_hour=ratio * ON_DEMAND)
    _, choice = bought(need, offer)
    hours = repeated(need)
    grid = np.array([bill(need, level, offer.usd_per_gpu_hour) for level in range(max(need) + 1)])
    assert choice.level_usd_per_hour[choice.best.gpus_count] == choice.level_usd_per_hour.min()
    closed = committed_gpus_count(hours, offer.usd_per_gpu_hour, ON_DEMAND)
    assert choice.level_usd_per_hour[closed] == pytest.approx(choice.best.usd_per_hour, abs=1e-9)
    # A curve repeated over a year does not end with a whole repetition.
    assert choice.level_usd_per_hour == pytest.approx(grid, abs=2 * max(need, default=0) * ON_DEMAND * 60 / 8760 + 1e-9)


@given(NEEDS, st.floats(0.1, 0.9), st.floats(0.0, 1.0), st.floats(0.1, 3.4))
def test_with_spot_too_it_is_no_worse_than_any_level_counted_hour_by_hour(need, ratio, share, spot):
    need = [*need, *need]
    year = Offer(label="term", usd_per_gpu_hour=ratio * ON_DEMAND, years_ratio=len(need) / HOURS_PER_YEAR)
    _, choice = bought(need, year, spot=Spot(usd_per_gpu_hour=spot, rework_fraction=0.0, share_fraction=share))
    grid = [bill(need, level, ratio * ON_DEMAND, share, spot) for level in range(max(need) + 1)]
    assert choice.level_usd_per_hour == pytest.approx(np.array(grid))
    assert choice.best.usd_per_hour == pytest.approx(min(grid))
    hours = choice.best
    assert hours.on_demand_gpu_hours + hours.spot_gpu_hours == pytest.approx(
        sum(max(0, one - hours.gpus_count) for one in need)
    )


def test_s82_a_forty_percent_discount_reserves_the_40th_percentile_and_neither_70_percent_nor_p50():
    _, choice = bought(range(1, 101))
    assert choice.quantile_fraction == pytest.approx(0.4)
    assert choice.best.gpus_count == pytest.approx(40, abs=1)
    by_rule = {rule.label: rule for rule in choice.rules}
    assert by_rule["70 % of the mean (the 70/30 rule)"].gpus_count == pytest.approx(35, abs=1)
    assert by_rule["the median (the P50 rule)"].gpus_count == pytest.approx(50, abs=1)
    assert all(rule.usd_per_hour >= choice.best.usd_per_hour for rule in choice.rules)


def test_s84b_the_lessons_mixes_on_a_flat_need_of_ten():
    """70/30 reserved and on demand: $2.52, 28 % off. 70/20/10 with spot: $2.275, 35 % off."""
    _, choice = bought([10] * 24)
    seven = next(rule for rule in choice.rules if "70/30" in rule.label)
    assert seven.gpus_count == 7
    assert seven.mean_usd_per_gpu_hour == pytest.approx(2.52)
    assert seven.saved_fraction == pytest.approx(0.28)
    _, with_spot = bought([10] * 24, spot=Spot(usd_per_gpu_hour=SPOT, rework_fraction=0, share_fraction=0.1))
    seven = next(rule for rule in with_spot.rules if "70/30" in rule.label)
    assert seven.mean_usd_per_gpu_hour == pytest.approx(2.275)
    assert 1 - seven.mean_usd_per_gpu_hour / ON_DEMAND == pytest.approx(0.35)
    assert choice.best.gpus_count == 10, "what is always needed is reserved whole"


@pytest.mark.parametrize(("rework", "usd"), [(0.1, 1.17), (0.2, 1.31)])
def test_s84_spot_with_rework(rework, usd):
    own = Spot(usd_per_gpu_hour=SPOT, rework_fraction=rework).mean_usd_per_gpu_hour(ON_DEMAND)
    assert round(own + 1e-9, 2) == usd


def test_s80_notices_are_two_minutes_and_thirty_seconds():
    assert NOTICE_S == {"aws": 120, "azure": 30, "gcp": 30}


def test_s81_hours_without_spot_run_on_demand():
    spot = Spot(usd_per_gpu_hour=SPOT, rework_fraction=0, available_fraction=0.5)
    assert spot.mean_usd_per_gpu_hour(ON_DEMAND) == pytest.approx((SPOT + ON_DEMAND) / 2)


@pytest.mark.parametrize("spot", [Spot(usd_per_gpu_hour=4), Spot(usd_per_gpu_hour=3, rework_fraction=0.2)])
def test_spot_that_costs_more_than_on_demand_is_not_used_and_says_so(spot):
    plan, choice = bought([1, 2, 3], spot=spot)
    assert choice.best.spot_gpu_hours == 0
    assert any("Spot is not used" in note and "on demand" in note for note in plan.notes)


def test_spot_that_never_works_is_undefined_and_not_infinite():
    plan, _ = bought([1], spot=Spot(usd_per_gpu_hour=1, mean_uptime_hours=0.1, lost_s=3600))
    assert isinstance(plan.spot_usd_per_gpu_hour, Undefined)
    assert any("never up long enough" in note for note in plan.notes)


def test_a_reservation_above_on_demand_pays_at_no_level():
    plan, choice = bought([5] * 10, Offer(label="dear", usd_per_gpu_hour=4))
    assert choice.best.gpus_count == 0
    assert plan.chosen is None
    assert any("pays at no level" in note for note in plan.notes)


def test_a_demand_above_all_that_can_be_had_counts_its_hours():
    plan, choice = bought([4] * 9 + [50], most_gpus_count=8)
    assert plan.short_hours == HOURS_PER_YEAR / 10
    assert choice.best.gpus_count == 4
    assert any("50 GPUs, more than can be had, in 876 of 8,760 hours" in note for note in plan.notes)


def test_what_is_owned_is_used_first_until_it_ends():
    half = MONDAY.date() + timedelta(days=182)
    owned = [Commitment(gpu_key="h100-sxm", gpus_count=6, usd_per_gpu_hour=2.0, ends_on=half)]
    plan, choice = bought([10] * 24, owned=owned)
    assert choice.best.gpus_count == 4, "the six are needed on their own for half of the year only, below 60 %"
    assert plan.owned_usd_per_hour == pytest.approx(12 * 183 / 365)
    assert choice.best.coverage_fraction == pytest.approx((6 * 183 / 365 + 4) / 10)
    ended = [Commitment(gpu_key="h100-sxm", gpus_count=6, usd_per_gpu_hour=2.0, ends_on=date(2026, 1, 1))]
    assert bought([10] * 24, owned=ended)[1].best.gpus_count == 10
    assert bought([2] * 24, owned=owned)[0].owned_unused_gpu_hours == 4 * 183 * 24


def test_each_term_is_judged_over_its_own_hours():
    """A load that halves after a year: three years at half the price commit to what is left."""
    need = [20.0] * HOURS_PER_YEAR + [10.0] * (2 * HOURS_PER_YEAR)
    three = Offer(label="3 years", usd_per_gpu_hour=1.75, years_ratio=3)
    plan = purchase_plan(curve(need), Market(usd_per_gpu_hour=ON_DEMAND), [YEAR, three])
    levels = {choice.offer.label: choice.best.gpus_count for choice in plan.choices}
    assert levels == {"1 year": 20, "3 years": 10}


def test_prices_that_fall_make_a_long_term_worth_less():
    offer = Offer(label="3 years", usd_per_gpu_hour=1.75, years_ratio=3)
    need = np.arange(1.0, 101.0)
    now, falling = (bought(need, offer, price_fall_fraction=fall)[1].best for fall in (0.0, 0.3))
    assert falling.gpus_count < now.gpus_count


def test_commitments_come_in_whole_nodes():
    node = Offer(label="node", usd_per_gpu_hour=RESERVED, step_count=8)
    assert bought([10] * 10, node)[1].best.gpus_count == 8
    assert bought([15] * 10, node)[1].best.gpus_count == 16, "one idle of sixteen is cheaper than seven on demand"
    assert bought([15] * 10, Offer(label="few", usd_per_gpu_hour=RESERVED, most_count=4))[1].best.gpus_count == 4


def test_regret_is_what_the_level_costs_more_than_the_best_of_that_load():
    _, choice = bought([10] * 24)
    # 30 % less: three of ten stand idle, $21 against $14.70. 30 % more: three on demand, $31.50 against $27.30.
    assert choice.best.regret_low_fraction == pytest.approx(21 / 14.7 - 1)
    assert choice.best.regret_high_fraction == pytest.approx(31.5 / 27.3 - 1)


def test_a_pool_that_needs_nothing_has_no_price_and_no_commitment():
    _, choice = bought([0] * 24)
    assert choice.best.gpus_count == 0
    assert isinstance(choice.best.mean_usd_per_gpu_hour, Undefined)
    assert isinstance(choice.best.coverage_fraction, Undefined)


def test_no_hour_known_is_refused():
    with pytest.raises(DomainError, match="no hour of the curve is known"):
        bought([np.nan])


def test_a_year_of_hours_at_every_level_takes_milliseconds():
    need = np.random.default_rng(0).integers(0, 2000, HOURS_PER_YEAR)
    bought(need)
    began = perf_counter()
    _, choice = bought(need)
    assert perf_counter() - began < 0.5  # about 2 ms alone
    assert len(choice.level_usd_per_hour) == need.max() + 1


@pytest.mark.parametrize(("hours", "usd"), [(30 * 24, 2520), (720, 2520), (730, 2555)])
def test_a_month_has_720_or_730_hours(hours, usd):
    """domain_math §14, vector 32."""
    _, choice = bought([1] * 24)
    assert choice.rules[0].usd_per_hour * hours == pytest.approx(usd)


# Offers of the catalogue.


def test_s79_a_listed_reservation_is_offered_and_an_unlisted_one_is_assumed_and_says_so():
    [listed] = offers_for("h200-sxm", "hyperstack", 3.99, CATALOG, AS_OF)
    assert listed.usd_per_gpu_hour < 3.99
    assumed = offers_for("h100-sxm", "lambda", 4.0, CATALOG, AS_OF)
    assert [(offer.years_ratio, offer.usd_per_gpu_hour) for offer in assumed] == [(1, 2.52), (3, 1.8)]
    assert all("assumed" in offer.label for offer in assumed)


def test_spot_is_offered_only_for_a_load_that_may_be_interrupted():
    assert market_for("a100-sxm-80gb", "gcp", 5.07, CATALOG, AS_OF).spot is None
    spot = market_for("a100-sxm-80gb", "gcp", 5.07, CATALOG, AS_OF, spot_share_fraction=0.3, mean_request_s=20).spot
    assert spot.usd_per_gpu_hour < 5.07
    assert spot.lost_s == pytest.approx(20 * np.exp(-30 / 20))


# Savings plans: money, not GPUs.


def covered(need, price=ON_DEMAND, plan=RESERVED):
    return Covered(
        gpu_key="a", needed_gpus_count=np.array(need, dtype=float), usd_per_gpu_hour=price, plan_usd_per_gpu_hour=plan
    )


@given(NEEDS, st.floats(0.05, 0.95))
def test_a_plan_of_one_gpu_costs_what_reserving_costs(need, ratio):
    year = Offer(label="term", usd_per_gpu_hour=ratio * ON_DEMAND, years_ratio=len(need) / HOURS_PER_YEAR)
    _, choice = bought(need, year)
    assert best_plan([covered(need, plan=ratio * ON_DEMAND)]).usd_per_hour == pytest.approx(choice.best.usd_per_hour)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 9), min_size=n, max_size=n)] * 2)))
def test_the_best_plan_of_two_gpus_is_no_worse_than_any_other(needs):
    both = [covered(needs[0], 3.5, 2.1), covered(needs[1], 9.0, 7.2)]
    best = best_plan(both)
    top = sum(float((one.needed_gpus_count * one.plan_usd_per_gpu_hour).max()) for one in both)
    assert all(best.usd_per_hour <= plan_usd_per_hour(both, at).usd_per_hour + 1e-9 for at in np.linspace(0, top, 41))


def test_a_plan_covers_first_what_it_makes_cheapest():
    both = [covered([1], 10.0, 9.0), covered([10], 4.0, 2.0)]
    found = plan_usd_per_hour(both, 20.0)
    assert found.usd_per_hour == 20 + 10, "all of the dollars go to the half-price GPUs"
    assert found.utilisation_fraction == 1
    assert plan_usd_per_hour(both, 40.0).utilisation_fraction == pytest.approx(29 / 40)


def test_a_plan_that_cannot_be_is_refused():
    for wrong in ([], [covered([1]), covered([1, 2])]):
        with pytest.raises(DomainError, match="same hours"):
            best_plan(wrong)
    with pytest.raises(DomainError, match="at most the on-demand price"):
        covered([1], 1.0, 2.0)
