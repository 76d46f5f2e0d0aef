"""X01 to X15: numbers that make other calculators print infinity, a negative batch or a saving of 130 %."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.billing import decimal_from, exact_sum
from costlib.books import CostBasis, TrialBalance
from costlib.breakeven import SelfHosting, crossings
from costlib.catalog import gpu_from
from costlib.compare import compare
from costlib.errors import BadRecord, ConfigError, DoesNotFit, DomainError
from costlib.estimate import Undefined
from costlib.pricing import TokenPrice, price_at
from costlib.project import project
from costlib.queueing import erlang_c_fraction, open_loop_response_s
from costlib.serving import ServingConfig
from costlib.speculation import accepted_length_tokens
from costlib.unit_cost import unit_costs
from costlib.units import HOURS_PER_MONTH, UNIT_OF_SUFFIX
from tests.collectors.numbered import numbers_in
from tests.costlib.scenario_builders import AS_OF, CATALOG, hosted, scenario, work

SMALL = "llama-3.1-8b"
H100 = "h100-sxm"


def test_x01_cost_without_tokens_is_idle_and_has_no_price_per_token():
    found = project(scenario(hosted(SMALL, H100, work(0.0))), CATALOG)
    assert isinstance(found.usd_per_mtok_blended, Undefined)
    assert found.cost.idle_usd_per_month == found.usd_per_month.mid > 0


def test_x02_nothing_at_all_is_undefined_with_a_reason():
    nothing = TrialBalance(
        month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(0), lines=(), residual=Decimal(0)
    )
    found = unit_costs(nothing, {})
    for price in (found.in_all.blended_per_mtok, found.in_all.per_request, found.per_gpu_hour):
        assert isinstance(price, Undefined)
        assert price.reason


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_x03_a_hit_rate_at_its_edges_has_a_finite_answer(share):
    found = project(scenario(hosted(SMALL, H100, work(), prefix_hit_fraction=share)), CATALOG)
    assert 0 < found.usd_per_month.mid < inf


def test_x03_a_hit_rate_above_1_is_refused_and_not_clamped():
    with pytest.raises(DomainError, match=r"prefix_hit_fraction .* not 1\.2"):
        ServingConfig(prefix_hit_fraction=1.2)


@given(st.floats(0, 1), st.integers(0, 64))
def test_x04_a_step_yields_at_least_one_token_and_at_most_the_draft_and_one(acceptance, draft):
    assert 1 <= accepted_length_tokens(acceptance, draft) <= draft + 1


@pytest.mark.parametrize(("acceptance", "draft", "tokens"), [(0.0, 5, 1), (1.0, 5, 6), (0.7, 0, 1)])
def test_x04_the_edges_are_exact(acceptance, draft, tokens):
    assert accepted_length_tokens(acceptance, draft) == tokens


def test_x04_near_1_no_digits_are_lost():
    almost = 1 - 1e-13
    exact = sum(Fraction(almost) ** power for power in range(6))
    assert accepted_length_tokens(almost, 5) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("bad", [-1.0, nan, inf])
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("requests_per_s", lambda bad: work(bad)),
        ("mean_prompt_tokens", lambda bad: work(1.0, prompt=bad)),
        ("usd_per_gpu_hour", lambda bad: hosted(SMALL, H100, usd_per_gpu_hour=bad)),
        ("acceptance_fraction", lambda bad: accepted_length_tokens(bad, 3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_x05_a_number_that_cannot_be_is_refused_by_name(name, made, bad):
    with pytest.raises((DomainError, ConfigError), match=name):
        made(bad)


def test_x06_a_saving_is_at_most_all_and_a_worse_stack_costs_more():
    today = scenario(hosted(SMALL, H100, work(40.0)))
    for settings in ({"weight_precision": {"weights": "int4"}}, {"batch_limits": {"max_num_seqs": "8"}}):
        found = compare(today, settings, CATALOG)
        assert found.saved_usd_per_month <= found.today.usd_per_month.mid
        assert sum(change for _, change in found.changes) == pytest.approx(-found.saved_usd_per_month)
    assert found.saved_usd_per_month < 0, "batches of 8 cannot be free"


@given(st.lists(st.tuples(st.integers(1, 10**15), st.integers(1, 10**6)), min_size=1, max_size=20))
def test_x07_tokens_times_price_are_exact_to_any_size(charges):
    """1e15 tokens at 1e-9 USD: floats would lose cents."""
    amounts = [Decimal(tokens) * Decimal(price).scaleb(-15) for tokens, price in charges]
    assert Fraction(exact_sum(amounts)) == sum(Fraction(tokens * price, 10**15) for tokens, price in charges)


@pytest.mark.parametrize("text", ["1e40", "-1e40", "1e-400000000", "Infinity", "NaN"])
def test_x08_an_amount_beyond_what_is_stored_is_refused(text):
    with pytest.raises(BadRecord):
        decimal_from(text)


def test_x09_the_order_in_which_levers_are_named_plays_no_part():
    today = scenario(hosted(SMALL, H100, work(40.0)))
    settings = {"weight_precision": {"weights": "fp8"}, "prefix_caching": {"enabled": True, "hit_fraction": 0.5}}
    forth, back = (compare(today, dict(order), CATALOG) for order in (settings.items(), reversed(settings.items())))
    assert forth.scenario.usd_per_month == back.scenario.usd_per_month
    assert dict(forth.changes) == pytest.approx(dict(back.changes))


def test_x10_a_model_that_does_not_fit_says_so_and_what_would():
    with pytest.raises(DoesNotFit, match=r"does not fit .* use \d+ of them or fewer bits per weight"):
        project(scenario(hosted("llama-3.1-405b", H100)), CATALOG)


def test_x11_a_queue_at_full_load_is_unstable_and_below_it_waits_rise():
    with pytest.raises(DomainError, match="unstable"):
        open_loop_response_s(1.0, 1.0)
    with pytest.raises(DomainError):
        erlang_c_fraction(10.0, 10)
    waits = [erlang_c_fraction(offered, 10) for offered in (5.0, 8.0, 9.0, 9.9)]
    assert waits == sorted(waits)
    assert waits[-1] < 1


def test_x12_a_break_even_that_is_never_reached_says_never():
    slow = SelfHosting(usd_per_gpu_hour=3.50, gpus_per_replica_count=1, capacity_tokens_per_s=1000.0)
    never = crossings(slow, 0.90).stays_cheaper_tokens_per_month
    assert isinstance(never, Undefined)
    assert never.reason.startswith("never")


def test_x13_a_figure_in_another_unit_has_another_name_and_is_refused_by_it():
    """GB for bytes, per 1K for per 1M: the name says the unit, so the wrong one is an unknown key."""
    with pytest.raises(ConfigError, match="hbm_gb"):
        gpu_from(
            "mine",
            {"hbm_gb": 80, "dense_flop_per_s": {"bf16": 1e15}, "sources": [{"title": "sheet", "retrieved_on": AS_OF}]},
        )
    assert UNIT_OF_SUFFIX["usd_per_mtok"] == "USD/M tokens"


@pytest.mark.parametrize(("hours", "usd"), [(720.0, 2520.0), (730.0, 2555.0), (744.0, 2604.0)])
def test_x14_a_month_has_the_hours_that_the_scenario_says(hours, usd):
    """domain_math §14, vector 32: one GPU at $3.50."""
    found = project(scenario(hosted(SMALL, H100, work(0.1)), hours_per_month=hours), CATALOG)
    assert found.usd_per_month.mid == pytest.approx(usd)
    assert HOURS_PER_MONTH == 730.0


def test_x15_a_price_holds_from_its_day_until_the_next_one():
    before = TokenPrice(
        key="p", provider="a", model_key=SMALL, usd_per_mtok_input=1.0, usd_per_mtok_cached_input=1.0,
        usd_per_mtok_output=2.0, valid_from=date(2026, 1, 1),
    )  # fmt: skip
    after = replace(before, usd_per_mtok_input=0.5, valid_from=date(2026, 10, 15))
    days = (date(2026, 10, 14), date(2026, 10, 15))
    assert [price_at((after, before), "p", day).usd_per_mtok_input for day in days] == [1.0, 0.5]


def test_every_number_has_its_test():
    assert numbers_in(Path(__file__).read_text(encoding="utf-8"), "x") == {f"x{n:02d}" for n in range(1, 16)}
