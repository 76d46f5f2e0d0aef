"""The books of a month, from a home as it lies on disk: bill, measurements, owners.toml, and what people wrote."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from collectors.importer import import_files
from costlib.balance import fully_loaded, in_buckets
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, IdlePolicy
from costlib.errors import ConfigError, UnknownKey
from costlib.units import SECONDS_PER_HOUR
from store.books import Books, books, newest_full_month
from store.home import Home
from store.ledger import write
from store.months import month_of
from store.read import Snapshot, open_snapshot
from store.records import LedgerEntry, LedgerKind
from store.server_use import busy_windows, hours_of, server_uses
from store.writer import Writer
from tests.demo_home import demo_home
from tests.store.builders import bill, frozen

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
OCTOBER = "2026-10"
both_bases = pytest.mark.parametrize("basis", list(CostBasis))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Snapshot]]:
    home = demo_home(tmp_path_factory.mktemp("books") / "home", NOW)
    with open_snapshot(home) as snapshot:
        yield home, snapshot


def opened(home: Home, month: str = OCTOBER, basis: CostBasis = CostBasis.BILLED, currency: str | None = None) -> Books:
    with open_snapshot(home) as snapshot:
        return books(snapshot, home, month, basis, currency)


# The sample -----------------------------------------------------------------------------------------------------------


@both_bases
def test_the_samples_balance_has_no_residual_and_idle_cost(sample: tuple[Home, Snapshot], basis: CostBasis) -> None:
    home, snapshot = sample
    (balance,) = books(snapshot, home, OCTOBER, basis).balances
    assert balance.residual == 0
    assert in_buckets(balance)[Bucket.WARM_IDLE] > 0
    month = month_of(OCTOBER)
    assert balance.total == snapshot.spend_total(*month, basis=str(basis))["USD"]
    assert exact_sum(line.amount for line in balance.lines) == balance.total


def test_the_sample_has_a_line_of_every_kind_that_a_real_month_has(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    found = {b for basis in CostBasis for b in in_buckets(books(snapshot, home, OCTOBER, basis).balances[0])}
    assert found >= {
        Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT, Bucket.WARM_IDLE, Bucket.UNALLOCATED_GPU,
        Bucket.COMMITMENT_WASTE, Bucket.COMMITMENT_PURCHASE, Bucket.HOST, Bucket.NETWORK, Bucket.STORAGE,
        Bucket.SUPPORT_AND_LICENCE, Bucket.CREDIT, Bucket.TAX,
    }  # fmt: skip


def test_every_gpu_hour_of_the_sample_but_the_untagged_nodes_is_matched(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    found = books(snapshot, home, OCTOBER, CostBasis.EFFECTIVE)
    served = sum(use.observed_s * use.gpus_count for use in found.servers) / SECONDS_PER_HOUR
    assert found.balances[0].matched_gpu_hours == served > 10_000
    assert found.balances[0].gpu_hours == served + 24 * 31
    assert "gpu-17" in {group.resource_name for group in found.matches.unmatched}
    assert {item.gpu_key for item in found.capacity if item and item.gpu_hours} == {"h100-sxm"}


@pytest.mark.parametrize("policy", list(IdlePolicy))
def test_no_idle_policy_changes_a_sum(sample: tuple[Home, Snapshot], policy: IdlePolicy) -> None:
    home, snapshot = sample
    found = books(snapshot, home, OCTOBER, CostBasis.EFFECTIVE)
    assert in_buckets(found.with_idle(policy).balances[0]) == in_buckets(found.balances[0])


def test_the_bands_hold_what_was_chosen(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    found = books(snapshot, home, OCTOBER, CostBasis.EFFECTIVE)
    (balance,) = found.balances
    amounts = in_buckets(balance)
    work = sum(amounts[Bucket(name)] for name in balance.bands if Bucket(name) in amounts)
    for name, (low, high) in balance.bands.items():
        share = float(amounts.get(Bucket(name), 0) / work)
        assert low - 1e-9 <= share <= high + 1e-9, name
    assert set(found.splits) == {"llama-3.1-8b", "llama-3.3-70b"}


def test_the_newest_full_month_is_over(sample: tuple[Home, Snapshot]) -> None:
    assert newest_full_month(sample[1]) == OCTOBER


def test_a_month_that_was_never_billed_is_refused_with_those_that_were(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    with pytest.raises(UnknownKey, match=r"month '2026-06' in the imported bills.*2026-10"):
        books(snapshot, home, "2026-06", CostBasis.BILLED)
    with pytest.raises(UnknownKey, match=r"currency 'EUR' in 2026-10.*USD"):
        books(snapshot, home, OCTOBER, CostBasis.BILLED, "EUR")


@pytest.mark.parametrize("text", ["", "october", "2026-13", "2026-10-01", "26-10"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write for example 2026-10"):
        month_of(text)


def test_a_month_ends_where_the_next_begins() -> None:
    assert month_of("2026-12") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


# Measurements ---------------------------------------------------------------------------------------------------------

START = datetime(2026, 10, 5, tzinfo=UTC)
# Three hours of two engines: half busy, always busy, silent in between.
HOURS = [
    {"hour": 0, "busy_s": 3600.0, "prompt_tokens": 1000, "cached_prompt_tokens": 100, "generation_tokens": 200},
    {"hour": 1, "busy_s": 7200.0, "prompt_tokens": 3000, "cached_prompt_tokens": 300, "generation_tokens": 600},
    {"hour": 5, "busy_s": 0.0, "prompt_tokens": 0, "cached_prompt_tokens": 0, "generation_tokens": 0},
]


@pytest.fixture
def measured(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    rows = [
        {
            "bin_start": START.replace(tzinfo=None) + timedelta(hours=row.pop("hour")),
            "target_key": "chat",
            "model_key": "llama-3.1-8b",
            "samples_count": 480,
            "observed_s": 3600.0,
            "coverage_s": 7200.0,
            "gap_s": 0.0,
            "steps_count": 100,
            "requests_stop_count": 10,
            **row,
        }
        for row in map(dict, HOURS)
    ]
    with Writer.open(home, frozen(NOW)) as writer:
        writer.add_usage_hours(pa.Table.from_pylist(rows))
        writer.publish(force=True)
    return home


def test_a_servers_month_is_the_sum_of_its_hours(measured: Home) -> None:
    with open_snapshot(measured) as snapshot:
        span = month_of(OCTOBER)
        (use,) = server_uses(snapshot, *span, hours_of(snapshot, *span), {"chat": 4})
    assert (use.target_key, use.deployment_key, use.model_key) == ("chat", "chat", "llama-3.1-8b")
    assert (use.observed_s, use.busy_s, use.engines_count, use.gpus_count) == (3 * 7200.0, 10_800.0, 2, 4)
    assert (use.computed_prompt_tokens, use.cached_prompt_tokens, use.generation_tokens) == (3600, 400, 800)
    assert use.requests_count == 30
    assert use.peak_fraction == 1.0
    assert (use.first_at, use.last_at) == (START, START + timedelta(hours=6))


def test_what_was_not_exported_is_unknown_and_not_zero(measured: Home) -> None:
    with open_snapshot(measured) as snapshot:
        span = month_of(OCTOBER)
        (use,) = server_uses(snapshot, *span, hours_of(snapshot, *span), {})
    assert (use.estimated_flop, use.draft_tokens, use.gpus_count) == (None, None, None)


def test_a_busy_window_is_one_in_which_a_request_always_ran(measured: Home) -> None:
    with open_snapshot(measured) as snapshot:
        span = month_of(OCTOBER)
        found = busy_windows(snapshot, *span, hours_of(snapshot, *span))["llama-3.1-8b"]
    assert found.window_s.tolist() == [7200.0]
    assert (found.computed_tokens.tolist(), found.generated_tokens.tolist()) == ([2700.0], [600.0])


def test_a_month_without_measurements_is_in_no_window(measured: Home) -> None:
    with open_snapshot(measured) as snapshot:
        span = month_of("2026-09")
        hours = hours_of(snapshot, *span)
        assert server_uses(snapshot, *span, hours, {}) == ()
        assert busy_windows(snapshot, *span, hours) == {}


# Bills, currencies, rules ---------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "own")


def imported(home: Home, folder: Path, *rows: dict) -> Home:
    import_files([bill(folder / "bill.csv", *rows)], home)
    return home


def test_b13_two_currencies_are_two_balances(home: Home, tmp_path: Path) -> None:
    found = opened(imported(home, tmp_path, {"BilledCost": "5"}, {"BilledCost": "90", "BillingCurrency": "EUR"}))
    assert [(one.currency, one.total) for one in found.balances] == [("EUR", 90), ("USD", 5)]
    assert found.invoice is None
    (only,) = opened(home, currency="USD").balances
    assert (only.currency, only.total, only.residual) == ("USD", 5, 0)


def test_b20_billed_and_effective_are_two_books(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"BilledCost": "100", "EffectiveCost": "8.5"})
    assert opened(home).balances[0].total == 100
    assert opened(home, basis=CostBasis.EFFECTIVE).balances[0].total == Decimal("8.5")


def test_b21_a_month_of_refunds_is_negative_and_ties(home: Home, tmp_path: Path) -> None:
    (balance,) = opened(imported(home, tmp_path, {"BilledCost": "10"}, {"BilledCost": "-25.5"})).balances
    assert (balance.total, balance.residual) == (Decimal("-15.5"), 0)


def test_a_rule_of_owners_toml_matches(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"ResourceId": "i-0abc1"})
    assert len(opened(home).matches.unmatched) == 1
    home.owners.write_text('[[rule]]\ndeployment = "chat"\nresource = "i-0abc*"', encoding="utf-8")
    found = opened(home)
    assert found.matches.unmatched == ()
    assert found.matches.by_group[0].deployment_key == "chat"


def test_a_broken_owners_toml_is_named(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path)
    home.owners.write_text("[[rules]]", encoding="utf-8")
    with pytest.raises(UnknownKey, match=r"owners.toml. Did you mean 'rule'"):
        opened(home)


def test_what_no_invoice_has_is_beside_the_books(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path)
    home.owners.write_text(
        '[[monthly]]\nwhat = "on-call"\nkind = "people"\nusd = "5000"\nfrom = 2026-10-01\nto = 2026-10-31', "utf-8"
    )
    found = opened(home)
    loaded = fully_loaded(found.balances[0], found.owners)
    assert [cost.what for cost in loaded.beside] == ["on-call"]
    assert loaded.total == found.balances[0].total + 5000
    assert opened(home).balances[0].total == Decimal("1.50")


# What people write ----------------------------------------------------------------------------------------------------


def entry(amount: str, at: int = 0, **more: str) -> LedgerEntry:
    moment = NOW + timedelta(minutes=at)
    fields = {"kind": LedgerKind.INVOICE, "month": OCTOBER, "currency": "USD", "at": moment}
    return LedgerEntry(**{**fields, **more}, amount=Decimal(amount))


def test_b35_an_invoice_that_differs_is_shown_to_the_digit(home: Home, tmp_path: Path) -> None:
    write(imported(home, tmp_path, {"BilledCost": "100.004"}), [entry("100.00")])
    (statement,) = opened(home).statements
    assert (statement.difference, statement.ties) == (Decimal("-0.004"), True)
    write(home, [entry("99.99", at=1)])
    (statement,) = opened(home).statements
    assert (statement.difference, statement.ties) == (Decimal("-0.014"), False), "the newest counts"
    assert opened(home).invoice == Decimal("99.99")


def test_without_an_invoice_nothing_is_called_reconciled(home: Home, tmp_path: Path) -> None:
    (statement,) = opened(imported(home, tmp_path)).statements
    assert (statement.invoice, statement.difference, statement.ties) == (None, None, None)


def test_an_invoice_of_one_account_leaves_the_other_open(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"BilledCost": "7"}, {"BilledCost": "9", "BillingAccountId": "200"})
    write(home, [entry("7", provider="AWS", billing_account="100")])
    found = opened(home)
    assert [(item.billing_account, item.ties) for item in found.statements] == [("100", True), ("200", None)]
    assert found.invoice_of("USD") is None
    write(home, [entry("16", at=1)])
    (whole,) = opened(home).statements
    assert (whole.provider, whole.billing_account, whole.billed, whole.ties) == ("", "", 16, True)
