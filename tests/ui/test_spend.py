"""Spend joined with usage: every billed cent is busy, idle, not measured or not matched; currencies never meet."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from collectors.importer import import_files
from costlib.estimate import Undefined
from costlib.scenario_file import scenario_file_from
from store.catalog_files import load_catalog
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer
from tests.pages.homes import charge
from tests.store.builders import bill
from ui.spend import REST, Spend, day_start, spend

END = datetime(2026, 11, 21, tzinfo=UTC)
DAYS_COUNT = 7
DAYS = [END - timedelta(days=n) for n in range(DAYS_COUNT, 0, -1)]


def deployment(key: str, product: str) -> dict:
    return {
        "key": key, "product": product, "model": "llama-3.1-8b", "gpu": "h100-sxm",
        "workload": {"requests_per_s": 1.0, "mean_prompt_tokens": 100, "mean_output_tokens": 10},
        "purchase": {"usd_per_gpu_hour": 2.5},
    }  # fmt: skip


FLEET = scenario_file_from(
    {"deployments": [deployment("chat", "Chat"), deployment("docs", "Documents")]}, load_catalog(), "test", END.date()
).today


@pytest.fixture
def spent(tmp_path: Path) -> Callable[..., Spend | None]:
    """spent(charges, usage hours): what a home with these shows over the last week."""

    def of(charges: list[dict], hours: list[dict] = (), basis: str = "billed", days_count: int = DAYS_COUNT):
        home = Home(tmp_path / "home")
        if hours:
            with Writer.open(home, lambda: END) as writer:
                writer.add_usage_hours(pa.Table.from_pylist(list(hours)))
        import_files([bill(tmp_path / "bill.csv", *charges)], home, is_sample=True, clock=lambda: END)
        with open_snapshot(home) as snapshot:
            return spend(snapshot, FLEET, END, days_count, basis)

    return of


def hour(at: datetime, target: str, busy_fraction: float, tokens: int = 1_000_000) -> dict:
    return {
        "bin_start": at.replace(tzinfo=None), "target_key": target, "model_key": "m", "samples_count": 240,
        "prompt_tokens": tokens, "generation_tokens": tokens // 4,
        "observed_s": 3600.0, "coverage_s": 3600.0, "busy_s": 3600.0 * busy_fraction,
    }  # fmt: skip


def test_every_cent_is_in_one_of_four_places(spent) -> None:
    found = spent(
        [
            *(charge(day, "chat", "10.00") for day in DAYS),
            *(charge(day, "docs", "0.333333333333333333") for day in DAYS),
            *(charge(day, "", "1.01") for day in DAYS),
        ],
        [hour(day, "chat", 0.25) for day in DAYS],
    )
    now = found.now
    assert now.busy == Decimal("17.5")
    assert now.idle == Decimal("52.5")
    assert now.unmeasured == 7 * Decimal("0.333333333333333333")
    assert now.unmatched == Decimal("7.07")
    assert now.busy + now.idle + now.unmeasured + now.unmatched == now.total == 7 * Decimal("11.343333333333333333")


def test_products_are_named_and_sorted_by_what_they_cost(spent) -> None:
    found = spent([*(charge(day, "docs", "1") for day in DAYS), *(charge(day, "chat", "2") for day in DAYS)])
    assert [row.name for row in found.rows] == ["Chat", "Documents"]
    assert list(found.by_day) == ["Chat", "Documents", REST] or set(found.by_day) == {"Chat", "Documents", REST}
    assert found.by_day["Chat"] == (2.0,) * 7


def test_two_deployments_of_one_product_name_are_both_counted(tmp_path: Path, spent, monkeypatch) -> None:
    twins = scenario_file_from(
        {"deployments": [deployment("chat", "Same"), deployment("docs", "Same")]}, load_catalog(), "test", END.date()
    ).today
    monkeypatch.setitem(globals(), "FLEET", twins)
    found = spent([*(charge(day, "chat", "1") for day in DAYS), *(charge(day, "docs", "2") for day in DAYS)])
    assert sum(sum(series) for series in found.by_day.values()) == pytest.approx(float(found.now.total))


def test_a_tag_that_names_no_deployment_is_not_matched(spent) -> None:
    found = spent([*(charge(day, "chat", "1") for day in DAYS), charge(DAYS[0], "somebody-else", "5")])
    assert found.now.unmatched == 5
    assert found.by_day[REST][0] == 5.0
    assert [row.name for row in found.rows] == ["Chat"]


def test_a_tag_that_names_a_measured_server_is_matched_without_a_scenario_file(spent) -> None:
    found = spent([charge(day, "gpu-7", "4") for day in DAYS], [hour(day, "gpu-7", 0.5) for day in DAYS])
    assert [row.name for row in found.rows] == ["gpu-7"]
    assert (found.now.busy, found.now.unmatched) == (14, 0)


def test_other_currencies_are_listed_and_never_added(spent) -> None:
    found = spent(
        [
            *(charge(day, "chat", "10") for day in DAYS),
            *(charge(day, "chat", "3", BillingCurrency="EUR", BillingAccountId="200") for day in DAYS),
        ]
    )
    assert (found.currency, found.now.total) == ("USD", 70)
    assert found.other_currencies == (("EUR", Decimal(21)),)


def test_the_period_before_is_compared_only_when_it_is_whole(spent) -> None:
    week_before = [day - timedelta(days=DAYS_COUNT) for day in DAYS]
    charges = [*(charge(day, "chat", "10") for day in DAYS), *(charge(day, "chat", "8") for day in week_before)]
    found = spent(charges)
    assert found.before.total == 56
    assert found.rows[0].cost_before == 56


def test_a_period_before_that_begins_late_is_no_comparison(spent) -> None:
    charges = [charge(END - timedelta(days=n), "chat", "10") for n in range(10, 0, -1)]
    assert spent(charges).before is None


def test_a_day_without_tokens_has_no_unit_cost(spent) -> None:
    found = spent([charge(day, "chat", "5") for day in DAYS], [hour(day, "chat", 0.5, 4_000_000) for day in DAYS[:3]])
    assert found.unit_cost_by_day == (1.0, 1.0, 1.0, None, None, None, None)


def test_credits_lower_the_total_and_are_kept(spent) -> None:
    found = spent([*(charge(day, "chat", "10") for day in DAYS), charge(DAYS[2], "", "-15", ChargeCategory="Credit")])
    assert (found.now.unmatched, found.now.total) == (-15, 55)
    assert found.by_day[REST][2] == -15.0


def test_charges_without_a_cost_on_this_basis_are_counted_and_not_taken_for_zero(spent) -> None:
    charges = [charge(day, "chat", "10") for day in DAYS]
    charges[3]["EffectiveCost"] = ""
    found = spent(charges, basis="effective")
    assert (found.missing_count, found.now.total) == (1, 60)


def test_coverage_is_the_share_of_the_period_that_was_observed(spent) -> None:
    charges = [charge(day, "chat", "10") for day in DAYS]
    assert isinstance(spent(charges).coverage_fraction, Undefined)


def test_coverage_of_half_the_hours_is_a_half(spent) -> None:
    hours = [hour(day + timedelta(hours=n), "chat", 0.5) for day in DAYS for n in range(12)]
    found = spent([charge(day, "chat", "10") for day in DAYS], hours)
    assert found.coverage_fraction == pytest.approx(0.5)


def test_an_empty_period_is_none(spent) -> None:
    assert spent([charge(END - timedelta(days=30), "chat", "1")]) is None


def test_a_day_begins_at_midnight_utc() -> None:
    paris = datetime.fromisoformat("2026-11-21T00:30:00+01:00")
    assert day_start(paris) == datetime(2026, 11, 20, tzinfo=UTC)
