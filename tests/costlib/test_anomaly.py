"""Anomalies: what is usual is quiet, what is not is found, and what caused it is named first."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.anomaly import Cause, Measure, UseDay, anomalies, explained

FIRST = date(2026, 8, 3)  # a Monday
DAYS = 70
USD_PER_GPU_HOUR, WORK_PER_GPU_HOUR = 3.0, 40_000_000.0
WEEK = (1, 1, 1, 1, 0.95, 0.5, 0.45)


def pool(rng: np.random.Generator, *, is_elastic: bool, cause: Cause | None = None, times: float = 1.0, lasts: int = 1):
    """Seventy days of a pool of GPUs, with one thing wrong on the last `lasts` days: `times` what it would be."""
    found = []
    for n in range(DAYS):
        wrong = times if n >= DAYS - lasts else 1.0

        def now(which, wrong=wrong):
            return wrong if cause is which else 1.0

        def noise(size):
            return float(np.exp(rng.normal(0, size)))

        requests = 200_000 * WEEK[n % 7] * noise(0.03) * now(Cause.VOLUME)
        prompt = requests * 2000 * noise(0.01) * now(Cause.MIX)
        output = requests * 300 * noise(0.01) * now(Cause.MIX)
        cached = prompt * min(0.95, 0.4 * noise(0.02) / now(Cause.CACHE))
        drafts = output * 1.2
        accepted = drafts * min(0.75, 0.5 * noise(0.02) / now(Cause.ACCEPTANCE))
        recomputed = prompt * 0.02 * noise(0.1) * (1 + 15 * (now(Cause.PREEMPTION) - 1))
        work = prompt - cached + 4 * (output - accepted) + recomputed
        busy = work / WORK_PER_GPU_HOUR * noise(0.02) * now(Cause.EFFICIENCY)
        gpus = (busy / 0.6 if is_elastic else 40.0) * noise(0.01 if is_elastic else 0.0) * now(Cause.IDLE)
        found.append(
            UseDay(
                on=FIRST + timedelta(days=n),
                cost=Decimal(str(round(gpus * USD_PER_GPU_HOUR * now(Cause.PRICE), 2))),
                requests_count=requests,
                prompt_tokens=prompt,
                cached_tokens=cached,
                output_tokens=output,
                draft_tokens=drafts,
                accepted_tokens=accepted,
                recomputed_tokens=recomputed,
                busy_gpu_hours=busy,
                gpu_hours=gpus,
            )
        )
    return found


def rate(is_elastic: bool, seeds: range, lasts: int = 1) -> tuple[int, int, list[str]]:
    right, tried, wrong = 0, 0, []
    for seed in seeds:
        for cause in Cause:
            rng = np.random.default_rng((seed, list(Cause).index(cause)))
            times = float(rng.uniform(1.25, 1.6))
            days = pool(rng, is_elastic=is_elastic, cause=cause, times=times, lasts=lasts)
            found = anomalies(days, since=days[-lasts].on)
            tried += 1
            if found and found[0].cause is cause:
                right += 1
            else:
                wrong.append(f"{cause} x {times:.2f}: {found[0].cause if found else 'nothing'}")
    return right, tried, wrong


@pytest.mark.parametrize("is_elastic", [True, False], ids=["a fleet that grows with its load", "a fleet of one size"])
def test_an_injected_cause_is_named_first_nine_times_in_ten(is_elastic, capsys):
    right, tried, wrong = rate(is_elastic, range(10))
    with capsys.disabled():
        print(f"\ncauses named first: {right} of {tried}; not: {wrong[:5]}")  # noqa: T201
    assert right >= 0.9 * tried


def test_a_shift_that_lasts_is_one_anomaly_with_its_days():
    rng = np.random.default_rng(1)
    days = pool(rng, is_elastic=True, cause=Cause.PRICE, times=1.3, lasts=5)
    cost = [found for found in anomalies(days, "chat", since=days[-5].on) if found.measure is Measure.COST]
    assert [(found.on, found.until) for found in cost] == [(days[-5].on, days[-1].on)]
    assert cost[0].scope == "chat"


def test_a_small_shift_that_lasts_a_week_is_found():
    rng = np.random.default_rng(2)
    days = pool(rng, is_elastic=True, cause=Cause.EFFICIENCY, times=1.12, lasts=7)
    found = [one for one in anomalies(days, since=days[-7].on) if one.measure is Measure.PER_MTOK]
    assert found and found[0].until == days[-1].on


def test_usual_days_are_quiet():
    false = 0
    for seed in range(10):
        days = pool(np.random.default_rng(seed), is_elastic=bool(seed % 2))
        false += len(anomalies(days))
    assert false <= 0.01 * 10 * DAYS * len(Measure)


def test_the_effects_add_up_to_what_the_day_cost_more():
    days = pool(np.random.default_rng(3), is_elastic=True, cause=Cause.MIX, times=1.5)
    impact, effects = explained(days)
    assert impact > 0
    assert sum(amount for _, amount in effects) == pytest.approx(impact, abs=Decimal("0.05"))


def test_fewer_requests_on_a_fleet_of_one_size_are_the_cause_and_idling_is_what_follows():
    days = pool(np.random.default_rng(4), is_elastic=False, cause=Cause.VOLUME, times=0.5)
    first = anomalies(days, since=days[-1].on)[0]
    assert first.cause is Cause.VOLUME
    assert first.effects[-1][0] is Cause.IDLE
    assert "fewer requests" in first.sentence


def test_one_day_off_does_not_change_what_is_usual():
    days = pool(np.random.default_rng(5), is_elastic=True)
    days[-8] = replace(days[-8], cost=days[-8].cost * 5)
    assert not [one for one in anomalies(days, since=days[-1].on) if one.measure is Measure.COST]


def test_what_is_not_known_is_not_judged_and_blames_nobody():
    def day(n):
        prompt = 10.0 ** (3 + (n == 60))
        return UseDay(on=FIRST + timedelta(days=n), requests_count=100.0, prompt_tokens=prompt, output_tokens=1.0)

    days = [day(n) for n in range(61)]
    (found,) = anomalies(days)
    assert (found.measure, found.cause, found.impact) == (Measure.TOKENS, None, None)


def test_an_api_without_gpus_blames_price_or_volume():
    def day(n, requests=100.0, price=1.0):
        tokens = requests * 10
        return UseDay(
            on=FIRST + timedelta(days=n), cost=Decimal(str(tokens * price)), requests_count=requests,
            prompt_tokens=tokens, output_tokens=tokens,
        )  # fmt: skip

    usual = [day(n) for n in range(40)]
    assert anomalies([*usual, day(40, price=2.0)])[0].cause is Cause.PRICE
    assert anomalies([*usual, day(40, requests=300.0)])[0].cause is Cause.VOLUME


def test_tokens_without_requests_are_volume():
    usual = [
        UseDay(on=FIRST + timedelta(days=n), cost=Decimal(5), prompt_tokens=9.0, output_tokens=1.0) for n in range(40)
    ]
    more = UseDay(on=FIRST + timedelta(days=40), cost=Decimal(10), prompt_tokens=18.0, output_tokens=2.0)
    assert explained([*usual, more])[1][0] == (Cause.VOLUME, Decimal("5.00"))


def test_a_gap_is_no_day_of_zero():
    days = pool(np.random.default_rng(6), is_elastic=True)
    assert anomalies([*days[:30], *days[35:]]) == anomalies(list(reversed([*days[:30], *days[35:]])))
    assert not [one for one in anomalies([*days[:30], *days[35:]]) if one.measure is Measure.COST]


@pytest.mark.parametrize("count", [0, 1, 20])
def test_too_little_history_finds_nothing(count):
    assert anomalies(pool(np.random.default_rng(7), is_elastic=True)[:count]) == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.one_of(st.none(), st.floats(0, 1e15))] * 6), min_size=30, max_size=45))
def test_any_days_give_finite_findings(rows):
    days = [
        UseDay(
            on=FIRST + timedelta(days=n),
            cost=None if cost is None else Decimal(str(cost)),
            requests_count=requests,
            prompt_tokens=prompt,
            output_tokens=output,
            busy_gpu_hours=busy,
            gpu_hours=gpus,
        )
        for n, (cost, requests, prompt, output, busy, gpus) in enumerate(rows)
    ]
    for one in anomalies(days):
        assert np.isfinite(one.sigmas_ratio)
        assert one.sentence
