"""What a delivery does to the rows before it. B-numbers are those of the fault catalogue."""

from decimal import Decimal

import pytest

from store import inbox
from store.home import Home
from store.ledger import LedgerEntry, LedgerKind, write
from store.read import Snapshot, open_snapshot
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, frozen
from tests.store.segments import APPEND, DAYS, charge, deliver, hand_in


def billed(home: Home) -> Decimal:
    with open_snapshot(home) as snapshot:
        return snapshot.spend_total(*ALWAYS).get("USD", Decimal(0))


def statuses(home: Home) -> list[str]:
    with open_snapshot(home) as snapshot:
        return sorted(snapshot.imports()["status"])


def snapshot(home: Home) -> Snapshot:
    found = open_snapshot(home)
    assert found
    return found


def lock(home: Home, kind: LedgerKind = LedgerKind.LOCK) -> None:
    write(home, [LedgerEntry(kind=kind, month="2026-10", owner="finance")], frozen())


# Whole months ---------------------------------------------------------------------------------------------------------


def test_b01_b02_the_same_rows_change_nothing_in_any_order_and_any_files(home: Home) -> None:
    rows = [charge(f"{place}.5", ResourceId=str(place % 2)) for place in range(6)]
    deliver(home, rows)
    for files in ([rows], [rows[::-1]], [rows[:2], rows[2:]]):
        assert {receipt.status for receipt in deliver(home, *files)} == {"already imported"}
    assert (billed(home), statuses(home)) == (18, ["active"])


def test_b03_the_newest_month_to_date_counts_alone(home: Home) -> None:
    for days in (1, 2, 3):
        deliver(home, [charge("1", day) for day in range(1, days + 1)])
    assert (billed(home), statuses(home)) == (3, ["active", "superseded", "superseded"])


def test_b04_a_restated_month_tells_what_changed_by_service(home: Home) -> None:
    deliver(home, [charge("10"), charge("2", ServiceName="S3"), charge("1", ServiceName="KMS")])
    deliver(home, [charge("8"), charge("2", ServiceName="S3"), charge("0.5", ServiceName="Tax")])
    found = snapshot(home).restatements("2026-10")
    assert found[["service", "before", "after", "difference"]].values.tolist() == [
        ["EC2", 10, 8, -2],
        ["KMS", 1, 0, -1],
        ["Tax", 0, Decimal("0.5"), Decimal("0.5")],
    ]
    assert found["superseded_at"].notna().all()
    assert snapshot(home).restatements("2026-09").empty


def test_b05_a_correction_stays_in_the_period_that_invoices_it(home: Home) -> None:
    correction = charge("-3", month=10) | {
        "ChargeClass": "Correction",
        "ChargePeriodStart": charge(month=9)["ChargePeriodStart"],
    }
    deliver(home, [charge("10", month=9)])
    deliver(home, [charge("4"), correction])
    billing, by_charge = (
        {month: sum(group.billed for group in snapshot(home).charge_groups(month, axis)) for month in MONTHS}
        for axis in ("billing", "charge")
    )
    assert (billing, by_charge) == ({"2026-09": 10, "2026-10": 1}, {"2026-09": 7, "2026-10": 4})


MONTHS = ("2026-09", "2026-10")


def test_b19_identical_rows_of_one_file_are_kept(home: Home) -> None:
    for delivery in ("replace", APPEND, DAYS):
        deliver(home, [charge("1", BillingAccountId=delivery)] * 3, delivery=delivery)
    assert billed(home) == 9


def test_b20_billed_and_effective_are_two_sums(home: Home) -> None:
    deliver(home, [charge("100", EffectiveCost=Decimal(0)), charge("0", EffectiveCost=Decimal("3.25"))])
    found = snapshot(home)
    assert found.spend_total(*ALWAYS) == {"USD": 100}
    assert found.spend_total(*ALWAYS, basis="effective") == {"USD": Decimal("3.25")}
    assert found.months()[["billed", "effective"]].values.tolist() == [[100, Decimal("3.25")]]


def test_b31_of_two_imports_of_one_period_at_once_the_second_finds_the_first(home: Home) -> None:
    for _ in range(2):
        hand_in(home, [charge("1")])
    with Writer.open(home) as writer:
        assert [receipt.status for receipt in writer.drain_inbox()] == ["imported", "already imported"]


# Rows that come late, and days ----------------------------------------------------------------------------------------


def test_b34_late_rows_are_added_and_rows_told_twice_are_not(home: Home) -> None:
    first, late = charge("1", 1), charge("0.25", 1, ServiceName="late")
    deliver(home, [first, first], delivery=APPEND)
    (receipt,) = deliver(home, [first, late], delivery=APPEND)
    assert receipt.status == "imported"
    assert "with the 2 rows of 2026-10 from AWS 100 that came with focus-1.csv there are 3 now" in receipt.detail
    assert deliver(home, [late], delivery=APPEND)[0].status == "already imported"
    assert deliver(home, [late], [first, late], delivery=APPEND)[0].status == "already imported"
    assert billed(home) == Decimal("2.25")
    assert statuses(home) == ["active", "superseded"]


def test_overlapping_extracts_of_one_call_are_not_summed(home: Home) -> None:
    rows = [charge("1", day) for day in range(1, 6)]
    deliver(home, rows[:4], rows[1:], delivery=APPEND)
    assert billed(home) == 5


def test_days_that_arrive_replace_themselves_and_leave_the_others(home: Home) -> None:
    deliver(home, [charge("1", 1), charge("1", 2), charge("1", 2)], delivery=DAYS)
    deliver(home, [charge("5", 2), charge("7", 3)], delivery=DAYS)
    assert billed(home) == 13
    (stale,) = deliver(home, [charge("1", 1), charge("1", 2), charge("1", 2)], delivery=DAYS)
    assert "older delivery does not replace a newer one" in stale.detail
    assert billed(home) == 13


# Evidence, and two statements of one account --------------------------------------------------------------------------


def test_evidence_is_in_no_total(home: Home) -> None:
    deliver(home, [charge("10")])
    used = {"x_Model": "qwen", "x_InputTokens": Decimal(7), "x_OutputTokens": Decimal(2), "x_RequestsCount": Decimal(1)}
    rows = [charge("99", Tags=tags, **used) for tags in ('{"team": "search"}', '{"team_id": "search"}', None)]
    (receipt,) = deliver(home, rows, is_evidence=True, format_key="litellm")
    found = snapshot(home)
    assert receipt.status == "imported"
    assert billed(home) == 10
    assert [group.billed for group in found.charge_groups("2026-10")] == [10]
    assert found.months()["rows_count"].tolist() == [1]
    assert found.daily_spend(*ALWAYS)["cost"].tolist() == [10]
    use = {team.team: (team.model_key, team.input_tokens, team.requests_count) for team in found.gateway_use(*ALWAYS)}
    assert use == {"": ("qwen", 7, 1), "search": ("qwen", 14, 2)}
    assert found.gateway_use(NOON, ALWAYS[1]) == []


def test_a_second_statement_of_one_account_is_refused_until_it_is_told_to_replace(home: Home) -> None:
    deliver(home, [charge("10")], format_key="focus")
    cur = {"format_key": "aws_cur", "delivery": "replace"}
    rows = [charge("11", ProviderName="Amazon Web Services")]
    (refused,) = deliver(home, rows, **cur)
    assert refused.status == "refused"
    assert "which focus-1.csv has told already as focus (1 rows)" in refused.detail
    assert "--replace" in refused.detail
    assert billed(home) == 10
    assert deliver(home, [charge("11", month=9)], **cur)[0].status == "imported", "another month is another matter"
    assert deliver(home, rows, **cur, replaces_statement=True)[0].status == "imported"
    assert billed(home) == 22


def test_an_account_is_the_same_by_its_whole_path_and_by_its_last_part(home: Home) -> None:
    path = "/providers/Microsoft.Billing/billingAccounts/AB-861"
    azure, focus = [charge("10", BillingAccountId="ab-861")], [charge("10", BillingAccountId=path)]
    deliver(home, azure, format_key="azure")
    (refused,) = deliver(home, focus)
    assert "has told already as azure (1 rows)" in refused.detail
    assert billed(home) == 10
    assert deliver(home, focus, replaces_statement=True)[0].status == "imported"
    assert (billed(home), statuses(home)) == (10, ["active", "superseded"])


def test_two_statements_of_one_format_are_told_apart(home: Home) -> None:
    deliver(home, [charge("10")], format_key="azure", statement="azure actual")
    (refused,) = deliver(home, [charge("9")], format_key="azure", statement="azure amortised")
    assert "azure amortised statement" in refused.detail
    assert billed(home) == 10


# Locked months --------------------------------------------------------------------------------------------------------


def test_a_locked_month_keeps_what_differs_apart_until_it_is_accepted(home: Home) -> None:
    deliver(home, [charge("10")])
    lock(home)
    assert deliver(home, [charge("10")])[0].status == "already imported"
    (waiting,) = deliver(home, [charge("12")])
    assert waiting.status == "pending"
    assert "no total changes" in waiting.detail
    assert "permillion reconcile --accept" in waiting.detail
    found = snapshot(home)
    assert billed(home) == 10
    assert found.months()[["state", "versions_count", "pending_count"]].values.tolist() == [["locked", 1, 1]]
    difference = found.restatements("2026-10").iloc[0]
    assert (difference["difference"], str(difference["superseded_at"])) == (2, "NaT")
    assert deliver(home, [charge("12")])[0].status == "already imported"

    lock(home, LedgerKind.ACCEPT)
    assert (billed(home), statuses(home)) == (12, ["active", "superseded"])
    assert snapshot(home).months()["state"].tolist() == ["locked"], "accepted, and closed as before"


def test_what_waits_beside_a_locked_month_is_added_to_by_what_comes_later(home: Home) -> None:
    deliver(home, [charge("1", 1)], delivery=APPEND)
    lock(home)
    for day in (2, 3):
        deliver(home, [charge("1", day)], delivery=APPEND)
    assert (billed(home), statuses(home)) == (1, ["active", "pending", "superseded"])
    lock(home, LedgerKind.ACCEPT)
    assert billed(home) == 3


def test_an_unlocked_month_takes_what_waited_when_it_comes_again(home: Home) -> None:
    deliver(home, [charge("10")])
    lock(home)
    deliver(home, [charge("12")])
    lock(home, LedgerKind.UNLOCK)
    assert billed(home) == 10
    assert deliver(home, [charge("12")])[0].status == "imported"
    assert (billed(home), statuses(home)) == (12, ["active", "superseded", "superseded"])


def test_an_account_that_is_new_to_a_locked_month_waits_too(home: Home) -> None:
    deliver(home, [charge("10")])
    lock(home)
    deliver(home, [charge("5", BillingAccountId="new")])
    months = snapshot(home).months()
    assert months[["billing_account", "rows_count", "pending_count"]].values.tolist() == [["100", 1, 0], ["new", 0, 1]]


def test_b34_a_month_is_open_until_it_is_over_and_every_charge_names_its_invoice(home: Home) -> None:
    deliver(home, [charge("1", month=9, InvoiceId="i-9"), charge("1", month=9, InvoiceId=None)])
    deliver(home, [charge("1", month=8, InvoiceId="i-8"), charge("1", month=10, InvoiceId="i-10")])
    with Writer.open(home, frozen()) as writer:
        writer.publish(force=True)
    months = snapshot(home).months()
    assert dict(zip(months["month"], months["state"], strict=True)) == {
        "2026-08": "final",
        "2026-09": "open",
        "2026-10": "open",
    }


# Kills ----------------------------------------------------------------------------------------------------------------


def test_b32_rows_that_were_kept_by_a_killed_load_are_no_charges(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class KillError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KillError

    deliver(home, [charge("1")])
    hand_in(home, [charge("2")])
    with monkeypatch.context() as patch, pytest.raises(KillError), Writer.open(home) as writer:
        patch.setattr("store.charges._add_files", killed)
        writer.drain_inbox()
    assert len(list(home.charges.glob("2*.parquet"))) == 2
    with Writer.open(home) as writer:
        writer.publish(force=True)
        assert billed(home) == 1
        assert [receipt.status for receipt in writer.drain_inbox()] == ["imported"]
        writer.publish(force=True)
    assert billed(home) == 2
    assert inbox.waiting(home) == []
