"""How sure a what-if is: draws of what is not known, paired for today and the scenario."""

from dataclasses import replace

import pytest

from costlib.compare import compare
from costlib.estimate import Undefined
from costlib.saving import Learnt
from costlib.uncertainty import DEMAND, STEP_TIME, uncertainty
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

BUSY = scenario(hosted("llama-3.3-70b", "h100-sxm", work(400, 800, 200), tensor_parallel_count=4))
PREFIX = {"prefix_caching": {"enabled": True, "hit_fraction": 0.45}}


def of(today, settings, **learnt):
    comparison = compare(today, settings, CATALOG)
    known = {
        key: Learnt(lever_key=key, mean_ratio=mean, sd_ratio=sd, changes_count=1) for key, (mean, sd) in learnt.items()
    }
    return comparison, uncertainty(today, settings, comparison, CATALOG, learnt=known)


def test_quantiles_come_in_order_and_around_the_answer():
    comparison, found = of(BUSY, PREFIX)
    assert found.saved.p10_usd_per_month < found.saved.p50_usd_per_month < found.saved.p90_usd_per_month
    assert found.saved.p10_usd_per_month < comparison.saved_usd_per_month < found.saved.p90_usd_per_month
    assert found.scenario.p10_usd_per_month < comparison.scenario.usd_per_month.mid < found.scenario.p90_usd_per_month


def test_the_same_question_has_the_same_answer():
    assert of(BUSY, PREFIX) == of(BUSY, PREFIX)


def test_a_step_time_that_is_off_is_off_today_too():
    """A lever of fixed effect saves or does not; that the engine model may be off makes it no gamble."""
    comparison, found = of(BUSY, {"weight_precision": {"weights": "fp8"}})
    assert comparison.saved_usd_per_month > 0
    assert found.rises_fraction == 0
    assert found.scenario.p90_usd_per_month > comparison.today.usd_per_month.low


def test_a_cascade_that_may_escalate_too_much_may_cost_more():
    even = {"cascade_routing": {"enabled": True, "share_fraction": 0.45, "escalated_fraction": 0.8}}
    _, found = of(BUSY, even)
    _, sure = of(BUSY, {"cascade_routing": {**even["cascade_routing"], "escalated_fraction": 0.1}})
    assert 0 < found.rises_fraction < 1
    assert sure.rises_fraction < found.rises_fraction


def test_what_drives_the_bill_is_named_with_its_edges_the_widest_first():
    _, found = of(BUSY, PREFIX)
    swings = [driver.swing_usd_per_month for driver in found.drivers]
    assert swings == sorted(swings, reverse=True)
    hits = next(driver for driver in found.drivers if driver.name.startswith("Prefix caching"))
    assert (hits.low, hits.high) == ("10 %", "65 %")
    assert hits.low_usd_per_month > hits.high_usd_per_month, "fewer hits cost more"
    assert STEP_TIME in {driver.name for driver in found.drivers}
    assert DEMAND not in {driver.name for driver in found.drivers}, "this demand is said to be exact"


def test_demand_that_varies_drives_the_bill():
    (deployment,) = BUSY.deployments
    varies = replace(deployment.workload, demand_low_ratio=0.7, demand_high_ratio=1.5)
    _, found = of(replace(BUSY, deployments=(replace(deployment, workload=varies),)), PREFIX)
    assert DEMAND in {driver.name for driver in found.drivers}


def test_a_guess_stays_within_its_lever_however_it_is_drawn():
    """0.95 is the most that the lever takes; draws beyond it are that."""
    _, found = of(BUSY, {"prefix_caching": {"enabled": True, "hit_fraction": 0.95}})
    assert found.draws_count > 100
    hits = next(driver for driver in found.drivers if driver.name.startswith("Prefix caching"))
    assert hits.high == "95 %"


def test_nothing_unknown_leaves_nothing_open():
    api = scenario(bought("llama-3.3-70b", 0.88))
    _, found = of(api, {})
    assert (
        found.scenario.p10_usd_per_month
        == found.scenario.p90_usd_per_month
        == pytest.approx(compare(api, {}, CATALOG).today.usd_per_month.mid)
    )
    assert found.drivers == ()
    assert found.rises_fraction == 0


def test_draws_that_cannot_run_are_left_out_and_counted():
    today = scenario(
        hosted("llama-3.1-8b", "h100-sxm", work(40, 8000, 100), max_num_batched_tokens=64, prefix_hit_fraction=0.5)
    )
    hits = {"prefix_caching": {"enabled": True, "hit_fraction": 0.5}}
    _, found = of(today, hits)
    assert 0 < found.draws_count < 128
    assert not isinstance(found.rises_fraction, Undefined)


# What earlier changes came to of what was promised


def test_a_lever_of_which_nothing_is_learnt_changes_nothing():
    comparison, found = of(BUSY, PREFIX)
    assert uncertainty(BUSY, PREFIX, comparison, CATALOG) == found
    assert of(BUSY, PREFIX, batch_limits=(0.2, 0.1))[1] == found, "that lever is not pulled"
    assert found.learnt == ()


def test_a_lever_that_surely_came_to_half_of_its_promise_saves_half_in_every_draw():
    _, whole = of(BUSY, PREFIX)
    comparison, half = of(BUSY, PREFIX, prefix_caching=(0.5, 0.0))
    assert half.saved.p10_usd_per_month == pytest.approx(whole.saved.p10_usd_per_month / 2)
    assert half.saved.p90_usd_per_month == pytest.approx(whole.saved.p90_usd_per_month / 2)
    assert half.scenario.p50_usd_per_month > whole.scenario.p50_usd_per_month, "what is not saved is spent"
    assert half.scenario.p50_usd_per_month < comparison.today.usd_per_month.high
    assert half.drivers == whole.drivers, "the model's own answer stays as it is"
    assert [one.lever_key for one in half.learnt] == ["prefix_caching"]


def test_a_lever_that_came_to_anything_makes_the_range_wider():
    fixed = {"weight_precision": {"weights": "fp8"}}
    _, sure = of(BUSY, fixed)
    _, unsure = of(BUSY, fixed, weight_precision=(1.0, 0.4))
    width = [one.saved.p90_usd_per_month - one.saved.p10_usd_per_month for one in (sure, unsure)]
    assert width[0] < width[1]
    assert unsure.saved.p50_usd_per_month == pytest.approx(sure.saved.p50_usd_per_month, rel=0.1)


def test_a_loss_is_not_made_smaller_by_a_lever_that_came_to_less():
    even = {"cascade_routing": {"enabled": True, "share_fraction": 0.45, "escalated_fraction": 0.8}}
    _, found = of(BUSY, even)
    _, less = of(BUSY, even, cascade_routing=(0.1, 0.0))
    assert less.rises_fraction == found.rises_fraction > 0
    assert less.saved.p10_usd_per_month <= found.saved.p10_usd_per_month
    assert less.saved.p90_usd_per_month < found.saved.p90_usd_per_month
