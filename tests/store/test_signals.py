"""What alert rules look at: every figure that can be watched comes from what was published."""

from datetime import UTC, datetime

import pytest

from collectors.importer import import_files
from costlib.alerts import Watched
from costlib.errors import ConfigError
from store.home import Home
from store.read import snapshot_of
from store.signals import signals
from store.writer import Writer
from tests.demo_home import demo_home
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = demo_home(tmp_path_factory.mktemp("signals") / "home", NOW)
    (home.path / "budgets.toml").write_text(
        '[[budget]]\namount = "50000.00"\ncurrency = "USD"\nfrom = "2026-01"\n', encoding="utf-8"
    )
    return home


def test_each_thing_that_can_be_watched_is_there_but_for_days_that_are_like_the_others(sample: Home) -> None:
    with snapshot_of(sample) as snapshot:
        found = signals(snapshot, sample)
    by_kind = {watched: [one for one in found if one.on is watched] for watched in Watched}
    assert {watched for watched, ones in by_kind.items() if ones} >= set(Watched) - {Watched.ANOMALY}
    assert all(one.text for one in found)
    (idle,) = by_kind[Watched.IDLE_SHARE]
    assert 0 < idle.value_ratio < 1
    (chance,) = by_kind[Watched.BREACH_PROBABILITY]
    assert (chance.scope, chance.value_ratio > 0.9) == ("", True), "the sample fleet spends more than 50,000 a month"
    assert {one.scope for one in by_kind[Watched.PER_MTOK]} >= {"", "Support copilot", "Search answers"}


def test_without_a_bill_there_is_nothing_to_watch(tmp_path) -> None:
    home = Home(tmp_path / "home")
    with Writer.open(home) as writer:
        writer.publish(force=True)
    with snapshot_of(home) as snapshot:
        assert signals(snapshot, home) == ()


def test_what_is_not_measured_is_not_known_and_neither_fires_nor_clears(tmp_path) -> None:
    home = Home(tmp_path / "home")
    rows = {"BilledCost": "10.01", "EffectiveCost": "10.01", "ServiceCategory": "Storage"}
    import_files([bill(tmp_path / "bill.csv", rows)], home)
    with snapshot_of(home) as snapshot:
        unit_cost = next(one for one in signals(snapshot, home) if one.on is Watched.PER_MTOK)
    assert unit_cost.value_ratio is None


def test_a_broken_budget_file_says_where(sample: Home, tmp_path) -> None:
    home = Home(tmp_path / "home")
    import_files([bill(tmp_path / "bill.csv", {})], home)
    (home.path / "budgets.toml").write_text("[[budget]]\namount = 1.5\n", encoding="utf-8")
    with snapshot_of(home) as snapshot, pytest.raises(ConfigError, match=r"budgets\.toml"):
        signals(snapshot, home)
