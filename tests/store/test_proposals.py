"""What the weekly review proposes: the three levers that save most, in money that the bill can lose."""

import pytest

from costlib.compare import compare
from costlib.estimate import Undefined
from costlib.levers import lever as lever_of
from costlib.saving import Learnt
from store.proposals import MOST, SHOWN_BY_THE_BILL, billed_fraction, proposals
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

TODAY = scenario(
    hosted("llama-3.3-70b", "h100-sxm", work(9, 2400, 320, peak_to_mean_ratio=2.0), tensor_parallel_count=4)
)
MODELLED = compare(TODAY, {}, CATALOG).today.usd_per_month.mid


def middles(found):
    assert not any(isinstance(one.saved, Undefined) for one in found)
    return [float(one.saved) for one in found]


def test_at_most_three_the_largest_first_each_with_its_range_and_its_link():
    found = proposals(TODAY, CATALOG)
    assert len(found) == MOST
    assert middles(found) == sorted(middles(found), reverse=True)
    for one in found:
        assert one.saved_low <= one.saved <= one.saved_high
        assert one.link.startswith("/?")
        assert one.effort


def test_of_a_bill_below_the_model_the_same_part_is_saved():
    """Half of what the model's fleet would cost is billed: of a saving, half can be cash."""
    whole = {one.title: float(one.saved) for one in proposals(TODAY, CATALOG)}
    half = {one.title: float(one.saved) for one in proposals(TODAY, CATALOG, MODELLED / 2)}
    both = whole.keys() & half.keys()
    assert both
    for title in both:
        assert half[title] == pytest.approx(whole[title] / 2, abs=0.01)


def test_what_a_lower_bill_shows_to_be_done_is_not_proposed_again():
    busy = scenario(hosted("llama-3.1-8b", "h100-sxm", work(400, 800, 200, peak_to_mean_ratio=6.0)))
    modelled = compare(busy, {}, CATALOG).today.usd_per_month.mid
    assert any("autoscaling" in one.link for one in proposals(busy, CATALOG)), "this one has a peak to follow"
    links = [one.link for one in proposals(busy, CATALOG, modelled / 2)]
    assert links
    assert not [link for link in links for key in SHOWN_BY_THE_BILL if key in link]


def test_a_bill_above_the_model_makes_no_saving_larger():
    assert proposals(TODAY, CATALOG, MODELLED * 3) == proposals(TODAY, CATALOG)
    assert billed_fraction(TODAY, CATALOG, MODELLED * 3) == 1
    assert billed_fraction(TODAY, CATALOG, None) == 1


def test_work_that_is_bought_by_the_token_has_no_lever_of_hardware():
    links = [one.link for one in proposals(scenario(bought("llama-3.3-70b", 0.8)), CATALOG)]
    assert not [link for link in links if "gpu_choice" in link or "autoscaling" in link]


def test_a_lever_that_came_to_half_of_its_promise_is_proposed_with_half():
    """Its link names the lever. The others are as they were."""
    before = proposals(TODAY, CATALOG)
    key = before[0].link.removeprefix("/?").split(".")[0]
    known = {key: Learnt(lever_key=key, mean_ratio=0.5, sd_ratio=0.0, changes_count=2)}
    after = proposals(TODAY, CATALOG, learnt=known)
    assert after[1:] == before[1:]
    assert after[0].title.startswith(lever_of(key).label)
    assert after[0].saved_low <= after[0].saved <= after[0].saved_high
    assert float(after[0].saved_high) == pytest.approx(float(before[0].saved_high) / 2, abs=0.02)
