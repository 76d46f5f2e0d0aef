"""Prompt compression: only input is saved, and what the prefix cache saves already is not saved again."""

import pytest

from costlib.compare import compare
from costlib.levers.prompt_compression import EACH, LEVER, REWRITTEN, hit_fraction_after
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

# Input is 3/4 of the tokens and of the bill: $0.004 a request, $0.003 of it for input.
API = scenario(bought("llama-3.3-70b", 1.0, work(1, 3000, 1000)))
MONTH_S = 3600 * 730


def fleet(prefix_hit_fraction=0.0):
    demand = work(40, 2000, 200)
    return scenario(hosted("llama-3.1-8b", "h100-sxm", demand, prefix_hit_fraction=prefix_hit_fraction))


def pulled(today, method=REWRITTEN, share=0.5, ratio=2.5, usd_per_mtok=0.0):
    values = {
        "enabled": True,
        "method": method,
        "share_fraction": share,
        "compression_ratio": ratio,
        "compressor_usd_per_mtok": usd_per_mtok,
    }
    return compare(today, {"prompt_compression": values}, CATALOG)


def test_half_the_prompt_saves_half_of_the_input_not_of_the_bill():
    """The lesson's "-50 % of the prompt is -30 to -40 % of cost" needs input to be 60 to 80 % of it."""
    result = pulled(API, share=1.0, ratio=2.0)
    assert result.saved_usd_per_month == pytest.approx(0.5 * 0.003 * MONTH_S)
    assert result.saved_usd_per_month / result.today.usd_per_month.mid == pytest.approx(0.375)


@pytest.mark.parametrize(("share", "ratio"), [(0.5, 2.5), (0.2, 20.0), (1.0, 5.0)])
def test_the_saving_is_input_x_share_x_what_is_cut(share, ratio):
    saved = pulled(API, share=share, ratio=ratio).saved_usd_per_month
    assert saved == pytest.approx(0.003 * share * (1 - 1 / ratio) * MONTH_S)


def test_the_compressing_model_reads_what_it_compresses():
    free, paid = (pulled(API, EACH, usd_per_mtok=price) for price in (0.0, 0.1))
    assert paid.scenario.cost.services_usd_per_month == pytest.approx(0.5 * 3000 * 0.1e-6 * MONTH_S)
    assert free.saved_usd_per_month - paid.saved_usd_per_month == pytest.approx(
        paid.scenario.cost.services_usd_per_month
    )


def test_rewriting_once_pays_no_model():
    assert pulled(API, REWRITTEN, usd_per_mtok=5.0).scenario.cost.services_usd_per_month == 0


def test_a_compressor_dearer_than_what_it_saves_is_a_loss_and_says_so():
    result = pulled(API, EACH, usd_per_mtok=1.0)
    assert result.saved_usd_per_month < 0
    assert result.notes[0].startswith("Prompt compression costs $")


def test_rewriting_what_the_prefix_cache_holds_saves_memory_and_hardly_any_prefill():
    cold, warm = (pulled(fleet(hits), share=0.5, ratio=2.5) for hits in (0.0, 0.6))
    prefill = [(r.today.step("prefill_s").value, r.scenario.step("prefill_s").value) for r in (cold, warm)]
    assert prefill[0][1] < 0.75 * prefill[0][0]
    assert prefill[1][1] == pytest.approx(prefill[1][0], rel=0.05)
    assert 0 < warm.capacity_freed_fraction < cold.capacity_freed_fraction


def test_compressing_each_prompt_where_it_was_cached_costs_more_than_it_saves():
    """Nine tenths are found in the cache today; all of it then changes with each request: nothing is found any more."""
    result = pulled(fleet(0.9), EACH, share=1.0, ratio=2.0)
    assert result.capacity_freed_fraction < 0


@pytest.mark.parametrize(
    ("hits", "share", "cut", "method", "after"),
    [
        pytest.param(0.0, 0.5, 0.6, REWRITTEN, 0.0, id="nothing was found"),
        pytest.param(0.5, 0.5, 0.4, REWRITTEN, 0.3 / 0.8, id="20 of 50 cached tokens go, of 80"),
        pytest.param(0.1, 0.5, 0.4, REWRITTEN, 0.0, id="more is cut than was cached"),
        pytest.param(0.5, 0.5, 0.4, EACH, 0.5 / 0.8, id="the tail is compressed and the cached head stays"),
        pytest.param(0.5, 1.0, 0.4, EACH, 0.0, id="the head changes with every request"),
        pytest.param(1.0, 1.0, 0.95, REWRITTEN, 1.0, id="all of it cached"),
    ],
)
def test_what_the_prefix_cache_still_finds(hits, share, cut, method, after):
    assert hit_fraction_after(hits, share, cut, method) == pytest.approx(after)


def test_a_ratio_of_one_cuts_nothing():
    result = pulled(fleet(0.6), ratio=1.0)
    assert result.scenario.cost == result.today.cost
    assert result.notes == ("Prompt compression changes nothing on this bill.",)


def test_without_prompts_there_is_nothing_to_compress():
    refusal = LEVER.refuse(scenario(bought("llama-3.3-70b", 1.0, work(1, 0, 10))), LEVER.neutral_values, CATALOG)
    assert refusal.reason == "no deployment receives prompt tokens"
    assert refusal.remedy
