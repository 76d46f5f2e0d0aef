"""`demo`: the sample in a home, once or twice the same, and never beside real data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.demo import load_fleet
from collectors.importer import import_files
from costlib.errors import ConfigError
from store.home import Home
from store.read import open_snapshot
from tests.store.builders import ALWAYS, bill

NOON = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)


def totals(home: Home) -> tuple:
    with open_snapshot(home) as snapshot:
        usage = snapshot.usage(*ALWAYS, "day")
        return (
            snapshot.is_sample,
            snapshot.spend_total(*ALWAYS),
            int(usage["prompt_tokens"].sum()),
            int(usage["generation_tokens"].sum()),
            snapshot.status().usage_to,
        )


def test_twice_is_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = load_fleet(home, lambda: NOON)
    once = totals(home)
    second = load_fleet(home, lambda: NOON)
    assert totals(home) == once
    assert once[0] is True
    assert first.hours_count == second.hours_count == 3 * 17 * 7 * 24
    assert (first.bill.status, second.bill.status) == ("imported", "already imported")
    assert first.usage_to == NOON.replace(minute=0, second=0) == once[-1]


def test_a_week_later_the_overlap_is_not_counted_twice(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    load_fleet(home, lambda: NOON)
    load_fleet(home, lambda: NOON + timedelta(weeks=1))
    with open_snapshot(home) as snapshot:
        hours = snapshot.usage(*ALWAYS, "hour")
        assert not hours.duplicated(["bin_start", "target_key"]).any()
        days = snapshot.daily_spend(*ALWAYS)
        alone = Home(tmp_path / "alone")
        load_fleet(alone, lambda: NOON + timedelta(weeks=1))
        with open_snapshot(alone) as other:
            newest = other.daily_spend(*ALWAYS)
        both = days.groupby("day")["cost"].sum(), newest.groupby("day")["cost"].sum()
        assert both[0][both[1].index[7:]].equals(both[1].iloc[7:]), "days that were there before are those of the newer"


def test_the_bill_is_the_sum_of_its_receipt(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    loaded = load_fleet(home, lambda: NOON)
    assert totals(home)[1] == {"USD": loaded.bill.billed_cost}
    assert loaded.bill.billed_cost == loaded.bill.effective_cost


def test_a_home_with_real_data_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    import_files([bill(tmp_path / "real.csv")], home)
    before = totals(home)
    with pytest.raises(ConfigError, match=r"already holds real data.*PERMILLION_HOME"):
        load_fleet(home, lambda: NOON)
    assert totals(home) == before
