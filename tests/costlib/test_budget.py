"""Budgets: phasing adds up to the cent, and a month's end says how likely it is over and from which day."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.budget import EVERYTHING, Budget, Phasing, budget_of, check_budgets, days_of, due, landing, outlook, phased
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.forecast import Forecast

NOVEMBER = "2026-11"
DAYS = days_of(NOVEMBER)


def budget(amount="300.00", **values) -> Budget:
    return Budget(**{"amount": Decimal(amount), "currency": "USD", "first_month": NOVEMBER, **values})


def spent(days: int, each="10.00") -> dict[date, Decimal]:
    return {day: Decimal(each) for day in DAYS[:days]}


def ahead(days: int, *each: float) -> Forecast:
    """As many draws as amounts, each of which costs the same every day, up to the end of the month."""
    return Forecast(key="", first=DAYS[-days], draws=np.repeat(np.array(each)[:, None], days, axis=1))


@given(
    st.integers(1, 10**9), st.lists(st.floats(0, 100), min_size=7, max_size=7), st.sampled_from(["2026-02", "2026-11"])
)
def test_phasing_always_adds_up_to_the_cent(cents, weights, month):
    amount = Decimal(cents) / 100
    ways = [budget(amount, first_month=month)]
    if sum(weights) > 0:
        ways.append(budget(amount, first_month=month, phasing=Phasing.WEEKDAY, weekday_weights=tuple(weights)))
    for one in ways:
        found = phased(one, month)
        assert sum(found.values()) == amount
        assert tuple(found) == days_of(month)
        assert due(one, month, days_of(month)[-1]) == amount


def test_a_weekend_without_weight_has_nothing_due():
    found = phased(budget(phasing=Phasing.WEEKDAY, weekday_weights=(1, 1, 1, 1, 1, 0, 0)), NOVEMBER)
    assert {day.weekday() for day, amount in found.items() if amount} == {0, 1, 2, 3, 4}


def test_listed_days_are_as_listed():
    listed = (Decimal(300), *[Decimal(0)] * 29)
    found = phased(budget(phasing=Phasing.LISTED, listed=listed, last_month=NOVEMBER), NOVEMBER)
    assert found[date(2026, 11, 1)] == 300


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amount": "0"}, "above 0"),
        ({"amount": "-5"}, "above 0 in whole cents, not -5"),
        ({"amount": "NaN"}, "above 0"),
        ({"amount": "1.005"}, "whole cents"),
        ({"last_month": "2026-10"}, "ends in 2026-10, before it begins in 2026-11"),
        ({"weekday_weights": (1.0,) * 6}, "seven numbers"),
        ({"weekday_weights": (0.0,) * 7}, "not all 0"),
        ({"phasing": Phasing.LISTED, "last_month": NOVEMBER, "listed": (Decimal(300),)}, "one for each of its days"),
        ({"phasing": Phasing.LISTED, "listed": (Decimal(10),) * 30}, "of one month"),
        ({"phasing": Phasing.LISTED, "last_month": NOVEMBER, "listed": (Decimal(9),) * 30}, "make 270, and the budget"),
    ],
)
def test_what_is_no_budget_is_refused_with_its_reason(values, message):
    with pytest.raises(DomainError, match=message):
        budget(**values)


def test_two_budgets_of_one_scope_and_month_are_refused():
    later = budget(product="chat", first_month="2027-01")
    check_budgets([budget(product="chat", last_month="2026-12"), later, budget(team="chat")])
    with pytest.raises(DomainError, match="'chat' has two budgets that hold in 2027-01"):
        check_budgets([budget(product="chat"), later])


def test_a_budget_that_does_not_hold_yet_is_not_found():
    assert budget_of([budget()], "2026-10", EVERYTHING) is None
    with pytest.raises(DomainError, match="not in 2026-10"):
        phased(budget(), "2026-10")


# Where the month ends


def test_the_month_end_is_what_was_spent_and_what_is_to_come():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, 8.0, 10.0, 12.0), budget("295"), "USD")
    assert (found.actual, found.p50) == (Decimal("200.00"), Decimal("300.00"))
    assert found.breach_probability == pytest.approx(2 / 3)
    assert found.breach_on == date(2026, 11, 30)  # half of the draws, at 10 and 12 a day, are over on the last day


def test_a_month_that_will_probably_do_has_a_chance_and_no_day():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, 8.0, 10.0, 12.0), budget("310"), "USD")
    assert found.breach_probability == pytest.approx(1 / 3)
    assert found.breach_on is None


def test_a_budget_that_is_met_to_the_cent_is_not_breached():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, 10.0), budget("300"), "USD")
    assert found.breach_probability == 0.0


def test_a_budget_already_passed_is_a_fact_with_its_day():
    for to_come in (ahead(10, 10.0), Undefined(reason="too few days")):
        found = landing(EVERYTHING, NOVEMBER, spent(20), to_come, budget("150"), "USD")
        assert found.breach_probability == 1.0
        assert found.breach_on == date(2026, 11, 16)


def test_a_credit_to_come_takes_a_breach_back_and_says_so():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, -10.0), budget("150"), "USD")
    assert (found.breach_probability, found.breach_on) == (0.0, None)
    assert "over the budget since 2026-11-16, and expected to end below it" in found.note


def test_without_a_forecast_the_reason_is_passed_on_and_nothing_is_made_up():
    reason = Undefined(reason="too few days")
    found = landing(EVERYTHING, NOVEMBER, spent(20), reason, budget(), "USD")
    assert (found.p50, found.breach_probability, found.breach_on) == (reason, reason, None)


def test_without_a_budget_there_is_a_landing_and_no_chance():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, 10.0), None, "USD")
    assert (found.budget, found.breach_probability, found.p50) == (None, None, Decimal("300.00"))


def test_a_budget_in_another_currency_is_not_compared():
    found = landing(EVERYTHING, NOVEMBER, spent(20), ahead(10, 10.0), budget(currency="EUR"), "USD")
    assert (found.budget, found.breach_probability) == (None, None)
    assert "in EUR and the spend in USD" in found.note


def test_a_closed_month_is_known():
    found = landing(EVERYTHING, NOVEMBER, spent(30), Undefined(reason="x"), budget("299.99"), "USD")
    assert (found.p10, found.p90, found.breach_probability) == (Decimal("300.00"), Decimal("300.00"), 1.0)


def test_days_that_are_missing_are_said():
    actual = {day: amount for day, amount in spent(20).items() if day.day not in (3, 4)}
    found = landing(EVERYTHING, NOVEMBER, actual, ahead(10, 10.0), budget(), "USD")
    assert found.note == "2 earlier days of the month are not known and count as nothing"


def test_a_forecast_that_ends_too_early_is_no_month_end():
    short = Forecast(key="", first=DAYS[20], draws=np.ones((3, 4)))
    found = landing(EVERYTHING, NOVEMBER, spent(20), short, budget(), "USD")
    assert isinstance(found.p50, Undefined)
    assert "goes on to 2026-11-30" in found.p50.reason


def test_the_outlook_has_everything_first_and_what_only_a_budget_names():
    chat, support = ("chat", ""), ("", "support")
    found = outlook(
        NOVEMBER,
        {EVERYTHING: spent(20), chat: spent(20, "4.00")},
        {EVERYTHING: ahead(10, 10.0), chat: ahead(10, 4.0)},
        [budget("100", product="chat"), budget(team="support"), budget(team="old", last_month="2026-11")],
        "USD",
    )
    assert [(line.kind, line.name) for line in found.lines] == [
        ("all", ""), ("product", "chat"), ("team", "old"), ("team", "support")
    ]  # fmt: skip
    by_name = {line.name: line for line in found.lines}
    assert by_name["chat"].breach_probability == 1.0
    assert isinstance(by_name["support"].p50, Undefined)
    assert support not in (EVERYTHING, chat)
    assert [(day.on, day.actual, day.p50) for day in found.path[19:21]] == [
        (DAYS[19], Decimal("200.00"), None),
        (DAYS[20], None, Decimal("210.00")),
    ]
    assert found.path[-1].on == DAYS[-1] == DAYS[0] + timedelta(days=29)
