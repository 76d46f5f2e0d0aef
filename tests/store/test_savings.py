"""The ledger beside what was measured: what a signature rests on, and what counts where that is another by now."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.importer import import_files
from collectors.sample_story import DOCUMENTS, SEARCH, SUPPORT
from costlib.errors import ConfigError, UnknownKey
from costlib.estimate import Estimate, Undefined
from costlib.pool_days import window_of
from costlib.saving import Design, Entry, Savings, State, Verdict
from store import savings as module
from store.home import Home
from store.pools import Pools, distributions, guarded_by_day, slowest_by_day
from store.read import Snapshot, snapshot_of
from store.savings import Verifier, learnt_of, savings, signed_from
from store.savings_file import ledger
from store.savings_plan import Wanted, measured_pools, plan_of, price_of
from tests.demo_home import demo_home
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)
CACHING, BATCHES = "Prefix caching on", "Smaller batches for a steadier answer"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return demo_home(tmp_path_factory.mktemp("savings") / "home", NOW)


@pytest.fixture(scope="module")
def snapshot(sample: Home) -> Iterator[Snapshot]:
    with snapshot_of(sample) as found:
        yield found


@pytest.fixture(scope="module")
def pools(sample: Home, snapshot: Snapshot) -> Pools:
    return measured_pools(snapshot, sample)


@pytest.fixture(scope="module")
def entries(sample: Home) -> dict[str, Entry]:
    return {one.title: one for one in ledger(sample).entries}


@pytest.fixture(scope="module")
def told(sample: Home, snapshot: Snapshot) -> Savings:
    return savings(snapshot, sample, NOW)


def verifier(sample: Home, snapshot: Snapshot, entries: list[Entry]) -> Verifier:
    return Verifier(snapshot, sample, entries, NOW, with_distributions=False)


# What was read --------------------------------------------------------------------------------------------------------


def test_every_deployment_has_its_hours_and_its_days_of_cost(pools: Pools, snapshot: Snapshot) -> None:
    assert set(pools.hours) == set(pools.cost_by_day) == {SUPPORT, DOCUMENTS, SEARCH}
    assert pools.currency == "USD"
    assert pools.measured_until == snapshot.status().usage_to
    assert "2026-09" in pools.final_months
    assert "2026-11" not in pools.final_months
    for hours in pools.hours.values():
        assert len(hours.gpu_hours) == (pools.end - pools.start) / timedelta(hours=1)


def test_hours_of_two_pools_are_the_sum_of_both(pools: Pools) -> None:
    both = pools.hours_of([SEARCH, SUPPORT])
    assert both.gpu_hours[100:200] == pytest.approx(
        pools.hours[SEARCH].gpu_hours[100:200] + pools.hours[SUPPORT].gpu_hours[100:200]
    )
    costs, alone = pools.cost_of([SEARCH, SUPPORT]), [pools.cost_of([key]) for key in (SEARCH, SUPPORT)]
    day = date(2026, 10, 20)
    assert costs[day] == alone[0][day] + alone[1][day]


def test_guards_and_quantiles_are_read_by_day_and_window(
    sample: Home, snapshot: Snapshot, entries: dict[str, Entry]
) -> None:
    at = entries[CACHING].shipped_at
    window = window_of(at, 7, 7)
    guarded = guarded_by_day(snapshot, at - timedelta(days=3), at + timedelta(days=3))
    assert set(guarded[SEARCH]) == {"ttft_p95_s", "tpot_p95_s", "failed_fraction"}
    assert all(0 < value < 0.02 for value in guarded[SEARCH]["failed_fraction"].values())
    both = slowest_by_day([guarded[SEARCH], guarded[SUPPORT]])["ttft_p95_s"]
    assert all(both[day] == max(guarded[key]["ttft_p95_s"][day] for key in (SEARCH, SUPPORT)) for day in both)
    found = distributions(snapshot, [SEARCH], window.before, window.after)
    assert {one.measure for one in found} >= {"ttft_s", "tpot_s"}
    for one in found:
        assert list(one.before.values()) == sorted(one.before.values())


# What a signature rests on --------------------------------------------------------------------------------------------


def restated(pools: Pools, key: str, day: date, more: Decimal) -> Pools:
    costs = {name: dict(days) for name, days in pools.cost_by_day.items()}
    costs[key][day] += more
    return replace(pools, cost_by_day=costs)


def measured_again(pools: Pools, name: str, first: date, hour: int) -> Pools:
    """One more of something of the search pool in one hour, counted from a day."""
    was = pools.hours[SEARCH]
    values = getattr(was, name).copy()
    values[(first - pools.start.date()).days * 24 + hour] += 1.0
    return replace(pools, hours={**pools.hours, SEARCH: replace(was, **{name: values})})


def test_a_signed_change_whose_bill_was_restated_cannot_be_told_and_counts_no_more(
    sample: Home, snapshot: Snapshot, pools: Pools, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entries[CACHING]
    day = entry.shipped_at.date() + timedelta(days=5)

    other = restated(pools, SEARCH, day, Decimal("125.00"))
    monkeypatch.setattr(module, "pools_between", lambda *asked: other)
    found = savings(snapshot, sample, NOW)
    said = found.verifications[entry.id]
    assert said.verdict is Verdict.CANNOT_TELL
    assert f"{entry.signed.saved_fraction.mid:.1%} was signed, now {said.saved_fraction.mid:.1%}" in said.reason
    assert "sign again" in said.remedy
    october = next(month for month in found.months if month.month == "2026-10")
    assert october.verified <= 0
    assert found.verifications[entries[BATCHES].id].verdict is Verdict.ROSE  # of another pool, and other weeks


def test_a_digest_changes_with_a_charge_or_an_hour_of_its_weeks_and_with_nothing_else(
    pools: Pools, entries: dict[str, Entry]
) -> None:
    entry = entries[CACHING]
    assert entry.plan is not None
    window = window_of(entry.shipped_at, entry.plan.before_days, entry.plan.after_days)
    first, end = window.before[0], window.after[1]

    def digest(of: Pools) -> str:
        return of.digest((SEARCH, DOCUMENTS), first, end)

    assert digest(pools) == entry.signed.data_digest
    assert digest(restated(pools, SEARCH, first, Decimal("0.01"))) != digest(pools)
    assert digest(restated(pools, DOCUMENTS, end - DAY, Decimal("0.01"))) != digest(pools)
    for key, day in ((SEARCH, end), (SEARCH, first - DAY), (SUPPORT, first)):
        assert digest(restated(pools, key, day, Decimal(1000))) == digest(pools)
    for field in fields(pools.hours[SEARCH]):
        if field.name != "start":
            last = (end - first).days * 24
            for at, is_other in ((-1, False), (0, True), (last - 1, True), (last, False)):
                assert (digest(measured_again(pools, field.name, first, at)) != digest(pools)) is is_other, field.name


def test_a_pool_that_nobody_measured_is_named(sample: Home, snapshot: Snapshot, entries: dict[str, Entry]) -> None:
    entry = entries[CACHING]
    odd = replace(entry, plan=replace(entry.plan, pool_keys=("chat-bot",)))
    found = verifier(sample, snapshot, [odd]).one(odd)
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason == (
        f"chat-bot was not measured in these weeks; deployments that were: {DOCUMENTS}, {SEARCH}, {SUPPORT}"
    )


def test_what_is_signed_is_what_was_found(snapshot: Snapshot, told: Savings, entries: dict[str, Entry]) -> None:
    found = told.verifications[entries[CACHING].id]
    made = signed_from(found, snapshot, "Ada", NOW)
    assert (made.by, made.at, made.verdict) == ("Ada", NOW, Verdict.VERIFIED)
    assert (made.saved_fraction, made.cash_usd_per_month) == (found.saved_fraction, found.cash_usd_per_month)
    assert (made.data_digest, made.snapshot_id) == (found.data_digest, snapshot.id)
    none = replace(found, verdict=Verdict.CANNOT_TELL, reason="too few days", remedy="wait")
    with pytest.raises(ConfigError, match=r"there is no verdict to sign: too few days. What would settle it: wait"):
        signed_from(none, snapshot, "Ada", NOW)
    with pytest.raises(ConfigError, match=r"not billed. Import the bill, then sign"):
        signed_from(replace(found, cash_usd_per_month=Undefined(reason="not billed")), snapshot, "Ada", NOW)


# All of them together -------------------------------------------------------------------------------------------------


def test_months_reach_from_the_first_change_until_now_and_only_signed_ones_count(told: Savings) -> None:
    found = told
    assert [one.month for one in found.months] == ["2026-09", "2026-10", "2026-11"]
    assert [one.is_final for one in found.months] == [True, True, False]
    september, october, _ = found.months
    assert september.verified < 0  # the week of smaller batches, which made it dearer
    assert october.verified > 0
    assert all(one.probable == 0 for one in found.months)
    assert set(found.erosions) == {one.id for one in found.entries if one.state is State.VERIFIED}
    assert found.head
    assert found.lines_count > len(found.entries)


def test_two_changes_of_one_pool_at_once_count_for_no_more_than_what_both_did(
    sample: Home, snapshot: Snapshot, entries: dict[str, Entry]
) -> None:
    """Noted twice under other names, six days apart, the same saving counts once, or near that."""
    first = entries[CACHING]
    second = replace(first, id="again", title="Again", shipped_at=first.shipped_at + timedelta(days=6))
    asked = verifier(sample, snapshot, [first, second])
    pair = frozenset({first.id, second.id})
    joint = asked.joints([pair])
    assert set(joint) == {pair}
    step, error = joint[pair]
    assert step == pytest.approx(first.signed.log_effect, abs=0.05)
    assert 0 < error < 0.1


def test_two_changes_too_near_are_said_to_be(sample: Home, snapshot: Snapshot, entries: dict[str, Entry]) -> None:
    first = replace(entries[CACHING], signed=None)
    second = replace(first, id="again", title="Again", shipped_at=first.shipped_at + timedelta(days=2))
    found = verifier(sample, snapshot, [first, second]).all()
    assert {one.verdict for one in found.values()} == {Verdict.CANNOT_TELL}
    assert "two changes in one window: Again" in found[first.id].reason
    assert f"two changes in one window: {CACHING}" in found["again"].reason


def test_a_home_without_a_ledger_has_no_savings(snapshot: Snapshot, tmp_path) -> None:
    home = Home(tmp_path)
    found = savings(snapshot, home, NOW)
    assert (found.entries, found.verifications, found.months, found.overlaps) == ((), {}, (), ())
    assert learnt_of(home, is_sample=False) == {}


def test_a_ledger_beside_a_store_that_measured_nothing_tells_of_its_changes_and_what_was_signed_stays(
    sample: Home, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    import_files([bill(tmp_path / "bill.csv")], home, is_sample=True)
    home.savings.write_bytes(sample.savings.read_bytes())
    with snapshot_of(home) as nothing_measured:
        found = savings(nothing_measured, home, NOW)
    assert len(found.entries) == len(ledger(sample).entries)
    assert {one.verdict for one in found.verifications.values()} == {Verdict.CANNOT_TELL}
    assert {one.reason for one in found.verifications.values()} == {
        "nothing was measured yet; start `permillion collect`"
    }
    assert any(month.verified for month in found.months)
    assert not any(month.is_final for month in found.months)
    assert all(one.windows == () for one in found.erosions.values())


# Planned --------------------------------------------------------------------------------------------------------------


def test_a_plan_is_frozen_from_the_model_and_from_what_was_measured(
    sample: Home, snapshot: Snapshot, pools: Pools
) -> None:
    plan = plan_of(snapshot, sample, Wanted(settings={"weight_precision": {"weights": "fp8"}}, pool_keys=(SEARCH,),
                                            control_keys=(DOCUMENTS,)))  # fmt: skip
    assert plan.design is Design.DIFFERENCE
    assert plan.pool_keys == (SEARCH,)
    price, month = price_of(pools, [SEARCH])
    assert plan.usd_per_gpu_hour == price
    promised = plan.projection.saved_fraction
    assert isinstance(promised, Estimate)
    assert plan.projection.saved_usd_per_month.mid == pytest.approx(promised.mid * month)
    assert 0 < plan.minimum_fraction < 0.5
    assert 0 < plan.weights.cached_ratio < 1 < plan.weights.output_ratio


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(settings={}), "these settings change nothing"),
        (Wanted(settings={"weight_precision": {"weights": "fp8"}}, pool_keys=(SEARCH,), control_keys=(SEARCH,)),
         f"{SEARCH} cannot be compared with itself"),
    ],
)  # fmt: skip
def test_a_plan_that_could_show_nothing_is_refused(sample: Home, snapshot: Snapshot, wanted: Wanted, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_of(snapshot, sample, wanted)


def test_a_plan_for_an_unknown_pool_is_refused(sample: Home, snapshot: Snapshot) -> None:
    with pytest.raises(UnknownKey, match="chat-bot"):
        plan_of(snapshot, sample, Wanted(settings={"weight_precision": {"weights": "fp8"}}, pool_keys=("chat-bot",)))
