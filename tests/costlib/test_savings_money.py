"""What a change did to the money: bars that add up, cash, capacity that is free, purchases, and turns."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._planted_savings import START, World
from costlib.estimate import Undefined
from costlib.lmdi import lmdi
from costlib.saving import Bar, Design, Entry, Outcome, Verdict, Verification
from costlib.savings_money import DAYS_PER_MONTH, Spent, bars, capacity_freed
from costlib.switchback import schedule
from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from costlib.verifiable import Measured
from costlib.verification import verify
from tests.costlib.planted_changes import (
    CHANGE,
    DEARER,
    NOTHING,
    QUIET,
    SAVED,
    SAVING,
    amount,
    entry_of,
    hours_after,
    measured_once,
    moment,
    verified,
)

# Money ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [SAVING, NOTHING, QUIET, DEARER], ids=["saved", "nothing", "quiet", "dearer"])
def test_bars_lead_from_the_bill_before_to_the_bill_after_exactly(world: World):
    found = verified(world)
    assert found.spend_before + sum(bar.amount for bar in found.bars) == found.spend_after
    assert found.spend_after - found.spend_before == found.bill_change_usd_per_month
    assert [bar.name for bar in found.bars] == ["Volume", "Price", "This change", "Everything else"]
    assert abs(amount(found, "Price")) < 2  # every GPU-hour costs 2 USD; a day's bill is rounded to cents


@given(
    cost=st.tuples(*[st.decimals("0.01", "1000000", places=2)] * 2),
    gpu_hours=st.tuples(*[st.floats(0.1, 1e6)] * 2),
    work=st.tuples(*[st.floats(1, 1e12)] * 2),
    days=st.tuples(*[st.integers(1, 90)] * 2),
    log_effect=st.floats(-2, 2),
    outcome=st.sampled_from(Outcome),
)
def test_bars_of_any_bill_add_up_to_the_cent(cost, gpu_hours, work, days, log_effect, outcome):
    before, after = (
        Spent(days_count=days[n], cost=cost[n], gpu_hours=gpu_hours[n], busy_gpu_hours=0.0, work=work[n])
        for n in range(2)
    )
    first, last, found = bars(before, after, log_effect, outcome)
    assert first + sum(bar.amount for bar in found) == last
    assert all(bar.amount == bar.amount.quantize(Decimal("0.01")) for bar in found)


VECTOR_14 = {"price": -259.80, "use": -484.32, "efficiency": -975.49, "volume": 528.58}


def test_lmdi_of_vector_14():
    """domain_math §14 row 14: $3,535.35 to $2,344.32."""
    price, use, efficiency, volume = (3.5, 3.2), (0.55, 0.65), (1000.0, 1400.0), (2.0e9, 2.4e9)
    pairs = (price, tuple(1 / one for one in use), tuple(1 / one for one in efficiency), volume)
    found = lmdi([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    scale = SECONDS_PER_HOUR  # tokens per second, dollars per hour
    assert [effect / scale for effect in found] == pytest.approx(list(VECTOR_14.values()), abs=0.01)


def test_bars_hold_vector_14():
    """GPU-hours for a unit of work are use and efficiency together: -484.32 - 975.49, of which the change is a part."""
    hours = [2.0e9 / 1000 / SECONDS_PER_HOUR / 0.55, 2.4e9 / 1400 / SECONDS_PER_HOUR / 0.65]
    twelve = [Decimal(repr(round(12 * hours[0] * 3.5, 10))), Decimal(repr(round(12 * hours[1] * 3.2, 10)))]
    days = 365  # twelve months
    before, after = (
        Spent(days_count=days, cost=cost, gpu_hours=12 * time_, busy_gpu_hours=0.0, work=12 * work)
        for cost, time_, work in zip(twelve, hours, (2.0e9, 2.4e9), strict=True)
    )
    assert days / DAYS_PER_MONTH == pytest.approx(12)
    first, last, found = bars(before, after, log(1000 / 1400), Outcome.GPU_HOURS)
    assert (first, last) == (Decimal("3535.35"), Decimal("2344.32"))
    assert {bar.name: float(bar.amount) for bar in found} == pytest.approx(
        {"Volume": 528.58, "Price": -259.80, "This change": -975.49, "Everything else": -484.32}, abs=0.011
    )


def test_a_change_to_what_is_paid_is_taken_out_of_the_price():
    before = Spent(days_count=7, cost=Decimal(700), gpu_hours=100.0, busy_gpu_hours=50.0, work=1e3)
    after = replace(before, cost=Decimal(630))
    assert bars(before, after, log(0.9), Outcome.COST)[2] == (
        Bar(name="Volume", amount=Decimal("0.00")),
        Bar(name="Price", amount=Decimal("0.00")),
        Bar(name="This change", amount=Decimal("-304.17")),
        Bar(name="Everything else", amount=Decimal("0.00")),
    )


def of_fixed_size(world: World) -> Measured:
    """The same work and busy time, on as many GPUs as ever, which are paid for whatever they do."""
    was = measured_once(world)
    count = len(was.pool.gpu_hours)
    fixed = [replace(one, gpu_hours=np.full(count, 40.0)) for one in (was.pool, was.control)]
    costs = {START + timedelta(days=n): Decimal(40 * 24 * 2) for n in range(count // HOURS_PER_DAY)}
    return replace(was, pool=fixed[0], control=fixed[1], cost_by_day=costs)


def test_what_only_frees_capacity_saves_no_cash():
    found = verify(entry_of(SAVING), of_fixed_size(SAVING))
    bill = float(found.spend_after)
    assert found.cash_usd_per_month.mid == pytest.approx(0.0, abs=0.01 * bill)
    assert found.capacity_gpu_hours_per_month.low > 0
    busy = (
        float(of_fixed_size(SAVING).pool.busy_gpu_hours[hours_after(measured_once(SAVING))].sum()) / 28 * DAYS_PER_MONTH
    )
    assert found.capacity_gpu_hours_per_month.mid == pytest.approx(busy * (1 / (1 - SAVED) - 1), rel=0.5)


def test_what_lets_gpus_go_saves_cash():
    found = verified(SAVING)
    assert found.cash_usd_per_month.low > 0
    worth = float(found.spend_after) * (np.exp(-found.log_effect) - 1)
    assert found.cash_usd_per_month.mid == pytest.approx(worth)
    assert found.capacity_gpu_hours_per_month.low < found.capacity_gpu_hours_per_month.mid


def test_capacity_is_what_runs_no_more_less_what_is_rented_no_more():
    after = Spent(days_count=365, cost=Decimal(1), gpu_hours=1200.0, busy_gpu_hours=600.0, work=1.0)
    sure = (log(0.8),) * 3
    assert capacity_freed(after, sure, (0.0,) * 3).mid == pytest.approx(50 * 0.25)
    assert capacity_freed(after, sure, sure).mid == pytest.approx(50 * 0.25 - 100 * 0.25)


@pytest.mark.parametrize("why", ["several currencies", "a day is missing"])
def test_without_a_bill_there_is_a_verdict_and_no_cash(why: str):
    was = measured_once(SAVING)
    costs = Undefined(reason="billed in EUR and USD")
    if why == "a day is missing":
        assert not isinstance(was.cost_by_day, Undefined)
        costs = {
            day: cost for day, cost in was.cost_by_day.items() if day != SAVING.window.after[1] - timedelta(days=1)
        }
    found = verify(entry_of(SAVING), replace(was, cost_by_day=costs))
    assert found.verdict is Verdict.VERIFIED
    expected = "billed in EUR and USD" if isinstance(costs, Undefined) else "1 days of the window are not billed yet"
    for one in (found.cash_usd_per_month, found.bill_change_usd_per_month, found.spend_before, found.spend_after):
        assert isinstance(one, Undefined)
        assert expected in one.reason
    assert found.bars == ()
    assert found.is_final is False
    assert found.saved_fraction == verified(SAVING).saved_fraction


def test_it_is_final_only_when_all_its_months_are():
    was = measured_once(SAVING)
    months = frozenset({"2026-01", "2026-02", "2026-03"})
    assert verify(entry_of(SAVING), replace(was, final_months=months)).is_final
    assert not verify(entry_of(SAVING), replace(was, final_months=months - {"2026-02"})).is_final


def purchase(saved: float) -> Verification:
    """The same GPUs, bought for less from the change on."""
    was = measured_once(NOTHING)
    assert not isinstance(was.cost_by_day, Undefined)
    ratio = Decimal(str(1 - saved))
    costs = {day: cost * (ratio if day >= CHANGE else 1) for day, cost in was.cost_by_day.items()}
    return verify(entry_of(NOTHING, outcome=Outcome.COST, promised=0.3), replace(was, cost_by_day=costs))


def test_a_purchase_is_seen_in_the_bill_and_not_in_the_hours():
    found = purchase(0.3)
    assert found.verdict is Verdict.VERIFIED
    assert found.saved_fraction.low < 0.3 < found.saved_fraction.high
    assert amount(found, "This change") < 0
    assert found.spend_before + sum(bar.amount for bar in found.bars) == found.spend_after
    assert found.cash_usd_per_month.low > 0


def test_a_purchase_lets_no_gpu_go():
    """Rented hours are what they were: nothing is subtracted from capacity for them."""
    freed = purchase(0.3).capacity_gpu_hours_per_month
    assert freed == purchase(0.0).capacity_gpu_hours_per_month
    assert freed.low < 0 < freed.high


def test_the_other_methods_ask_of_a_purchase_what_was_paid_as_well():
    said = {one.name: one.saved_fraction for one in purchase(0.3).checks}
    for name in ("Before and after alone, with a trend", "CUPED with the untouched pool"):
        assert said[name].mid == pytest.approx(0.3, abs=0.1), name


def test_a_purchase_without_a_bill_cannot_be_told():
    was = replace(measured_once(NOTHING), cost_by_day=Undefined(reason="no charge is known to be of pool"))
    found = verify(entry_of(NOTHING, outcome=Outcome.COST), was)
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason == "its cost is not known: no charge is known to be of pool"


# On and off by turns --------------------------------------------------------------------------------------------------


def by_turns(saved: float, days: int = 28) -> tuple[Entry, Measured]:
    was = measured_once(NOTHING)
    turns = schedule(moment(CHANGE), days, 12, seed=4)
    ratio = np.ones(len(was.pool.gpu_hours))
    for turn in turns:
        first = int((turn.start - was.pool.start).total_seconds() // SECONDS_PER_HOUR)
        ratio[first : first + 12] = 1 - saved if turn.is_on else 1.0
    pool = replace(was.pool, gpu_hours=was.pool.busy_gpu_hours * 1.5 * ratio)
    on = tuple((turn.start, turn.end) for turn in turns if turn.is_on)
    return replace(entry_of(NOTHING, Design.SWITCHBACK), periods=on, switched_every_hours=12.0), replace(was, pool=pool)


def test_turns_say_what_being_on_saves():
    found = verify(*by_turns(0.15))
    assert found.verdict is Verdict.VERIFIED
    assert found.saved_fraction.low < 0.15 < found.saved_fraction.high
    width = (log(1 - found.saved_fraction.low) - log(1 - found.saved_fraction.high)) / 2
    assert found.standard_error == pytest.approx(width / 1.96, rel=0.01)  # of the turns, not of the days


def test_a_switchback_that_nobody_noted_or_that_was_short_cannot_be_told():
    entry, was = by_turns(0.15)
    assert verify(replace(entry, periods=()), was).reason == "nobody noted when it was on"
    entry, was = by_turns(0.15, days=4)
    found = verify(entry, was)
    assert found.verdict is Verdict.CANNOT_TELL
    assert "pairs of turns have data, at least 6 are needed" in found.reason
