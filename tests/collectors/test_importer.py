"""Importing: the same bill twice is one bill, a restated month replaces, and a running writer is no obstacle."""

import json
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.billing import _parquet
from collectors.importer import import_files
from costlib.errors import Cancelled, ConfigError, UnknownKey
from store import inbox
from store.home import Home
from store.read import open_snapshot
from store.records import ImportReceipt
from store.writer import Writer
from tests.store.builders import ALWAYS, bill

GOLDEN = Path(__file__).parent / "billing" / "focus"
OFFICIAL = GOLDEN / "focus_1.0_official_mixed_part1.csv.gz"
MONTH, RESTATED = (GOLDEN / f"aws_focus_1.2_p5_savings_plan{name}.csv" for name in ("", ".restated"))


def imported(home: Home, *paths: Path, **settings) -> ImportReceipt:
    (receipt,) = import_files(paths, home, **settings)
    return receipt


def billed(home: Home, basis: str = "billed") -> dict[str, Decimal]:
    with open_snapshot(home) as snapshot:
        return snapshot.spend_total(*ALWAYS, basis=basis)


def batches(home: Home) -> list[str]:
    with open_snapshot(home) as snapshot:
        return snapshot.imports()["status"].tolist()


def parquet(path: Path) -> Path:
    """The same table, packed otherwise; its cells stay text."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


# The same and the new -------------------------------------------------------------------------------------------------


def test_a_file_is_imported_once_with_its_exact_totals(home: Home) -> None:
    first = imported(home, OFFICIAL)
    assert (first.status, first.format_key, first.rows_count, first.currency) == ("imported", "focus", 502, "USD")
    assert first.periods == ("2024-09",)
    totals = (first.billed_cost, first.effective_cost, first.list_cost)
    assert totals == (Decimal("5.07502739051"), Decimal("1.81354239318"), Decimal("5.01442739051"))

    again = imported(home, OFFICIAL)
    assert again.status == "already imported"
    assert "nothing is added" in again.detail
    assert (again.rows_count, again.billed_cost) == (502, first.billed_cost)
    assert billed(home) == {"USD": Decimal("5.07502739051")}
    assert batches(home) == ["active"] * 3, "one for each provider and account in the file"


def test_a_restated_month_replaces_the_month_before(home: Home) -> None:
    imported(home, MONTH)
    assert billed(home) == {"USD": Decimal("435.2354")}
    receipt = imported(home, RESTATED)
    assert receipt.status == "imported"
    assert len(receipt.superseded) == 1
    assert f"replaces the 28 rows of 2026-10 from AWS 100000000009 that came with {MONTH.name}" in receipt.detail
    assert billed(home) == billed(home, "effective") == {"USD": Decimal("345.3970")}
    assert batches(home) == ["active", "superseded"]


def test_an_older_delivery_does_not_come_back(home: Home) -> None:
    imported(home, MONTH)
    imported(home, RESTATED)
    for path in (RESTATED, MONTH):
        assert imported(home, path).status == "already imported"
    assert f"was replaced by {RESTATED.name}" in imported(home, MONTH).detail
    assert billed(home) == {"USD": Decimal("345.3970")}


def test_a_replaced_month_is_kept_for_audit(home: Home) -> None:
    imported(home, MONTH)
    imported(home, RESTATED)
    with open_snapshot(home) as snapshot:
        kept = snapshot.imports()[["status", "rows_count", "BilledCost"]].values.tolist()
    assert kept == [["active", 28, Decimal("345.3970")], ["superseded", 28, Decimal("435.2354")]]
    assert sum(pq.read_metadata(file).num_rows for file in home.charges.glob("[!.n]*.parquet")) == 56


def test_the_same_rows_in_other_clothes_change_nothing(home: Home, tmp_path: Path) -> None:
    rows = [{"BilledCost": str(n % 3), "ResourceId": str(n)} for n in range(6)]
    imported(home, bill(tmp_path / "month.csv", *rows))
    imported_again = [
        imported(home, bill(tmp_path / "reordered.csv", *rows[::-1])).status,
        *(
            r.status
            for r in import_files([bill(tmp_path / "1.csv", *rows[:2]), bill(tmp_path / "2.csv", *rows[2:])], home)
        ),
    ]
    assert imported_again == ["already imported"] * 3
    assert billed(home) == {"USD": 6}


def test_one_identical_row_more_is_a_different_month(home: Home, tmp_path: Path) -> None:
    imported(home, bill(tmp_path / "a.csv", {}, {}))
    assert imported(home, bill(tmp_path / "b.csv", {}, {}, {})).status == "imported"
    assert billed(home) == {"USD": Decimal("4.5")}


# Parts and neighbours -------------------------------------------------------------------------------------------------


def test_files_of_one_call_are_parts_of_one_delivery(home: Home, tmp_path: Path) -> None:
    parts = [bill(tmp_path / f"part{n}.csv", {"ResourceId": str(n), "BilledCost": str(n)}) for n in (1, 2)]
    receipts = import_files(parts, home)
    assert [receipt.billed_cost for receipt in receipts] == [1, 2]
    assert billed(home) == {"USD": 3}
    assert batches(home) == ["active"]


def test_a_part_imported_alone_is_completed_by_importing_all_parts(home: Home, tmp_path: Path) -> None:
    parts = [bill(tmp_path / f"part{n}.csv", {"ResourceId": str(n), "BilledCost": str(n)}) for n in (1, 2)]
    for part in parts:
        last = imported(home, part)
    assert "parts of one export must be imported in one call" in last.detail
    assert billed(home) == {"USD": 2}
    import_files(parts, home)
    assert billed(home) == {"USD": 3}


def test_a_month_and_its_restatement_in_one_call_are_not_summed(home: Home) -> None:
    receipts = import_files([MONTH, RESTATED], home)
    assert [receipt.status for receipt in receipts] == ["refused"] * 2
    assert "share 26 identical rows of 2026-10" in receipts[0].detail
    assert "the older first" in receipts[0].detail
    assert billed(home) == {}


def test_a_copy_of_a_file_in_the_same_call_counts_once(home: Home, tmp_path: Path) -> None:
    copy = tmp_path / "copy of the month.csv"
    shutil.copy(MONTH, copy)
    first, second = import_files([MONTH, copy], home)
    assert (first.status, second.status, second.file_name) == ("imported", "already imported", copy.name)
    assert billed(home) == {"USD": Decimal("435.2354")}


@pytest.mark.parametrize(
    "difference", [{"ProviderName": "Azure"}, {"BillingAccountId": "200"}, {"BillingAccountId": ""}]
)
def test_other_providers_and_accounts_stay(home: Home, tmp_path: Path, difference: dict[str, str]) -> None:
    imported(home, bill(tmp_path / "a.csv"))
    imported(home, bill(tmp_path / "b.csv", difference))
    imported(home, bill(tmp_path / "c.csv", {**difference, "BilledCost": "10"}))
    assert billed(home) == {"USD": Decimal("11.5")}
    assert sorted(batches(home)) == ["active", "active", "superseded"]


def test_of_a_file_with_two_months_only_the_changed_one_is_replaced(home: Home, tmp_path: Path) -> None:
    september = {"BillingPeriodStart": "2026-09-01", "BillingPeriodEnd": "2026-10-01", "BilledCost": "7"}
    imported(home, bill(tmp_path / "a.csv", september, {}))
    receipt = imported(home, bill(tmp_path / "b.csv", september, {"BilledCost": "2"}))
    assert (receipt.periods, len(receipt.superseded)) == (("2026-09", "2026-10"), 1)
    assert billed(home) == {"USD": 9}


def test_a_file_with_two_currencies_has_no_total(home: Home, tmp_path: Path) -> None:
    receipt = imported(home, bill(tmp_path / "a.csv", {}, {"BillingCurrency": "EUR"}))
    assert (receipt.billed_cost, receipt.currency) == (None, "EUR, USD")


def test_a_cost_that_no_row_has_is_unknown(home: Home, tmp_path: Path) -> None:
    receipt = imported(home, bill(tmp_path / "a.csv"))
    assert (receipt.list_cost, receipt.contracted_cost) == (None, None)


# The call -------------------------------------------------------------------------------------------------------------


def test_a_wrong_call_is_an_error_not_a_receipt(home: Home) -> None:
    with pytest.raises(ConfigError, match="no file"):
        import_files([], home)
    with pytest.raises(UnknownKey, match=r"billing format 'focsu'.*Did you mean 'focus'"):
        import_files([MONTH], home, format_key="focsu")
    assert list(home.inbox.iterdir()) == []


def test_a_bill_that_the_store_cannot_take_is_taken_back(home: Home) -> None:
    home.make()
    home.live.write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigError, match="cannot be opened"):
        imported(home, MONTH)
    assert list(home.inbox.iterdir()) == []


def test_b30_progress_is_told_in_rows_and_where_known_as_a_share_of_all_bytes(home: Home, tmp_path: Path) -> None:
    told: list[tuple[str, int, float | None]] = []
    imported(home, MONTH, on_progress=lambda *so_far: told.append(so_far))
    assert told[-1][:2] == (MONTH.name, 28)

    told.clear()
    parts = [parquet(bill(tmp_path / f"{n}.csv", *[{"ResourceId": f"{n}{i}"} for i in range(4 * n)])) for n in (1, 2)]
    import_files(parts, home, on_progress=lambda *so_far: told.append(so_far))
    sizes = [path.stat().st_size for path in parts]
    assert told == [(parts[0].name, 4, sizes[0] / sum(sizes)), (parts[1].name, 8, 1.0)]


@pytest.mark.parametrize("asked", range(4))
def test_b30_a_cancelled_import_leaves_nothing(home: Home, tmp_path: Path, asked: int) -> None:
    """Whenever it is cancelled: before a file, between its parts, or before the next file."""
    paths = [bill(tmp_path / f"{n}.csv", {"ResourceId": str(n)}) for n in range(2)]
    answers = iter([False] * asked + [True])
    with pytest.raises(Cancelled, match="nothing is stored"):
        import_files(paths, home, cancelled=lambda: next(answers))
    assert list(home.inbox.iterdir()) == []
    assert open_snapshot(home) is None
    assert next(answers, None) is None, "it is asked before each file and each of its parts"


def test_b30_the_rows_of_a_large_file_are_read_a_part_at_a_time(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parquet, "CHUNK_ROWS", 7)
    path = parquet(bill(tmp_path / "a.csv", *[{"ResourceId": str(n), "BilledCost": f"0.{n}1"} for n in range(50)]))
    told: list[int] = []
    receipt = imported(home, path, on_progress=lambda name, rows_count, fraction: told.append(rows_count))
    assert told == [*range(7, 50, 7), 50]
    assert (receipt.rows_count, receipt.billed_cost) == (50, sum(Decimal(f"0.{n}1") for n in range(50)))


def test_b31_two_imports_of_one_month_at_once_leave_one_of_them(home: Home) -> None:
    receipts: dict[Path, ImportReceipt] = {}

    def imports(path: Path) -> None:
        receipts[path] = imported(home, path)

    both = [threading.Thread(target=imports, args=[path]) for path in (MONTH, RESTATED)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert [receipts[path].status for path in (MONTH, RESTATED)] == ["imported"] * 2
    assert sorted(batches(home)) == ["active", "superseded"]
    assert billed(home)["USD"] in (Decimal("345.3970"), Decimal("435.2354"))


def test_b32_an_import_that_breaks_off_leaves_the_month_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tests/store/test_kill.py` kills the process at every step; here an error comes from where none is expected."""
    imported(home, MONTH)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(inbox.SegmentBuilder, "finish", broken)
    with pytest.raises(RuntimeError):
        imported(home, RESTATED)
    assert list(home.inbox.iterdir()) == []
    assert billed(home) == {"USD": Decimal("435.2354")}


def test_b06_a_manifest_stands_for_its_parts_and_all_of_them(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "20261001-20261101"
    folder.mkdir()
    parts = [bill(folder / f"part{n}.csv", {"ResourceId": str(n), "BilledCost": str(n)}) for n in (1, 2)]
    manifest = folder / "report-Manifest.json"
    manifest.write_text(
        json.dumps({"assemblyId": "a", "reportKeys": [f"x/20261001-20261101/{part.name}" for part in parts]})
    )
    receipts = import_files([manifest], home)
    assert [(receipt.file_name, receipt.billed_cost) for receipt in receipts] == [("part1.csv", 1), ("part2.csv", 2)]
    parts[1].unlink()
    refused = imported(home, manifest)
    assert (refused.status, refused.file_name) == ("refused", manifest.name)
    assert "incomplete 1/2" in refused.detail


# Beside a running writer ----------------------------------------------------------------------------------------------


def test_beside_a_running_writer_the_rows_go_through_its_inbox(home: Home) -> None:
    with Writer.open(home) as writer:
        handed_over = threading.Event()
        receipts: list[ImportReceipt] = []

        def sleep(_: float) -> None:
            handed_over.set()
            threading.Event().wait(0.01)

        importing = threading.Thread(target=lambda: receipts.extend(import_files([MONTH], home, sleep=sleep)))
        importing.start()
        assert handed_over.wait(10)
        (stored,) = writer.drain_inbox()
        importing.join(10)
        writer.publish(force=True)
    assert receipts == [stored]
    assert stored.status == "imported"
    assert billed(home) == {"USD": Decimal("435.2354")}
    assert list(home.inbox.iterdir()) == []


def test_a_writer_that_does_not_answer_gets_it_later(home: Home) -> None:
    with Writer.open(home) as writer:
        receipt = imported(home, MONTH, wait_s=0.5, sleep=lambda _: None)
        assert (receipt.status, receipt.rows_count) == ("queued", 28)
        assert [item.status for item in writer.drain_inbox()] == ["imported"]
        assert writer.drain_inbox() == []


def test_loading_a_segment_twice_is_loading_it_once(home: Home, tmp_path: Path) -> None:
    """As after a kill between the commit and the answer."""
    with Writer.open(home) as writer:
        imported(home, MONTH, wait_s=0, sleep=lambda _: None)
        (segment,) = inbox.waiting(home)
        shutil.copytree(segment, tmp_path / "copy")
        first = writer.drain_inbox()
        imported(home, RESTATED, wait_s=0, sleep=lambda _: None)
        restated = writer.drain_inbox()
        shutil.copytree(tmp_path / "copy", segment)
        assert writer.drain_inbox() == first, "the answer of the first time, not a new import"
        writer.publish(force=True)
    assert restated[0].status == "imported"
    assert billed(home) == {"USD": Decimal("345.3970")}


@pytest.mark.parametrize("damage", ["rows.parquet", "manifest.json"])
def test_a_damaged_segment_is_refused_and_does_not_block_the_next(home: Home, damage: str) -> None:
    with Writer.open(home) as writer:
        imported(home, MONTH, wait_s=0, sleep=lambda _: None)
        (segment,) = inbox.waiting(home)
        content = bytearray((segment / damage).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (segment / damage).write_bytes(content)
        imported(home, OFFICIAL, wait_s=0, sleep=lambda _: None)
        assert [receipt.status for receipt in writer.drain_inbox()] == ["imported"]
        reply = inbox.take_reply(home, segment.name)
        assert "damaged" in reply.refused_message
        writer.publish(force=True)
    assert billed(home) == {"USD": Decimal("5.07502739051")}
