"""Files that cannot be trusted: each is refused with its name, the place, and what to do; nothing of it is stored."""

import gzip
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.billing import _files, _tables
from collectors.importer import import_files
from costlib.billing import REQUIRED_COLUMNS
from store.home import Home
from store.read import open_snapshot
from store.records import ImportReceipt
from tests.store.builders import CHARGE, bill

CUT_GZIP = gzip.compress(",".join(REQUIRED_COLUMNS).encode() + os.urandom(200_000).hex().encode())[:-30]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def refused(home: Home, path: Path, **settings) -> str:
    """The reason; and that nothing was stored or left behind."""
    (receipt,) = import_files([path], home, **settings)
    assert receipt.status == "refused"
    assert receipt.file_name == path.name
    assert_nothing_stored(home)
    return receipt.detail


def assert_nothing_stored(home: Home) -> None:
    assert open_snapshot(home) is None
    assert not home.live.exists()
    assert list(home.inbox.iterdir()) == []


def raw(tmp_path: Path, content: bytes, name: str = "bill.csv") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


# Cells ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount", ["1,234.50", "1.234,50", "$12", "(1.23)", "twelve", "NaN", "inf", "1e-30", "1" * 21, "12 USD", "١٢"]
)
def test_bad_money_is_named_by_row_line_and_column(home: Home, tmp_path: Path, amount: str) -> None:
    path = bill(tmp_path / "october.csv", {}, {"ChargeDescription": "two\nlines"}, {"BilledCost": amount})
    reason = refused(home, path)
    assert reason.startswith(f"october.csv: row 3 (line 5), column BilledCost: {amount[:40]!r}"), reason
    assert "mend the export and import it again" in reason


@pytest.mark.parametrize(
    "moment",
    [
        "05/01/2026",
        "5/1/25",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "20261001",
        "1759276800",
        "yesterday",
        "2026-10-05T25:00:00Z",
    ],
)
def test_a_date_that_could_mean_two_days_is_refused(home: Home, tmp_path: Path, moment: str) -> None:
    reason = refused(home, bill(tmp_path / "october.csv", {}, {"ChargePeriodStart": moment}))
    assert reason.startswith(f"october.csv: row 2 (line 3), column ChargePeriodStart: {moment!r}"), reason


@pytest.mark.parametrize(
    "column", ["BilledCost", "BillingCurrency", "BillingPeriodStart", "ChargePeriodEnd", "ChargeCategory"]
)
def test_a_required_cell_that_is_empty_is_refused(home: Home, tmp_path: Path, column: str) -> None:
    reason = refused(home, bill(tmp_path / "a.csv", {}, {column: "NULL"}))
    assert reason.startswith(f"a.csv: row 2 (line 3), column {column} is empty"), reason


def test_a_period_must_end_after_it_starts(home: Home, tmp_path: Path) -> None:
    reason = refused(home, bill(tmp_path / "a.csv", {"ChargePeriodEnd": "2026-10-05T00:00:00Z"}))
    assert "row 1 (line 2), column ChargePeriodEnd" in reason
    assert "ends are exclusive" in reason


def test_a_currency_is_three_letters_and_not_another_than_named(home: Home, tmp_path: Path) -> None:
    assert "column BillingCurrency: '$' is not a currency" in refused(
        home, bill(tmp_path / "a.csv", {"BillingCurrency": "$"})
    )
    assert "says 'USD', but the import was told 'EUR'" in refused(home, bill(tmp_path / "b.csv"), currency="EUR")


def test_a_cell_beyond_64_kib_is_refused(home: Home, tmp_path: Path) -> None:
    assert "row 1 (line 2), column ChargeDescription" in refused(
        home, bill(tmp_path / "a.csv", {"ChargeDescription": "x" * 65_537})
    )


def test_the_first_bad_row_is_named_whatever_the_others_are(home: Home, tmp_path: Path) -> None:
    rows = [{"BilledCost": str(n)} for n in range(50)] + [{"BilledCost": f"bad {n}"} for n in range(50)]
    assert "row 51 (line 52), column BilledCost: 'bad 0'" in refused(home, bill(tmp_path / "a.csv", *rows))


# Columns --------------------------------------------------------------------------------------------------------------


def test_a_missing_column_is_listed_with_those_present(home: Home, tmp_path: Path) -> None:
    reason = refused(home, bill(tmp_path / "a.csv", {"BilledCost": None, "ChargeCategory": None}))
    assert reason.startswith("a.csv lacks the column BilledCost, ChargeCategory. It has EffectiveCost, BillingCurrency")


def test_a_missing_currency_can_be_mended_on_the_command_line(home: Home, tmp_path: Path) -> None:
    assert "--currency" in refused(home, bill(tmp_path / "a.csv", {"BillingCurrency": None}))


def test_a_column_twice_is_refused(home: Home, tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv").read_text().replace("EffectiveCost", "BilledCost")
    assert "has the column 'BilledCost' more than once" in refused(home, raw(tmp_path, text.encode()))


# Whole files ----------------------------------------------------------------------------------------------------------


def test_a_file_cut_in_its_last_row_is_refused(home: Home, tmp_path: Path) -> None:
    """At every byte of the last row, also in the middle of its last number."""
    rows = [{"ChargeDescription": "a, b", "x_Rate": "12.59"}] * 3
    whole = bill(tmp_path / "whole.csv", *rows).read_bytes()
    last_row = whole[:-1].rindex(b"\n") + 1
    for cut in range(last_row + 1, len(whole)):
        path = raw(tmp_path, whole[:cut], "cut.csv")
        (receipt,) = import_files([path], home)
        assert receipt.status == "refused", whole[last_row:cut]
        assert re.match(r"cut\.csv: row 3(,| \(line 4\))", receipt.detail), receipt.detail
    assert_nothing_stored(home)


def test_a_cut_at_the_end_of_a_chunk_is_seen_too(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "CHUNK_ROWS", 2)
    whole = bill(tmp_path / "a.csv", *[{"x_Rate": "12.59"}] * 4).read_bytes()
    assert "row 4, column x_Rate: the file ends in '12.5'" in refused(home, raw(tmp_path, whole[:-2]))


def test_a_row_with_a_cell_too_many_is_refused(home: Home, tmp_path: Path) -> None:
    content = bill(tmp_path / "a.csv", {}, {}).read_bytes() + b",".join([b"1"] * 20) + b"\n"
    assert "row 3 (line 4) has 20 cells where the header has 12" in refused(home, raw(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "page.html",
            b"<!DOCTYPE html><html>Sign in</html>",
            r"no billing export we know: it begins with b'<!DOCTYPE html",
        ),
        ("logo.png", PNG, r"no billing export we know: it begins with b'\\x89PNG"),
        ("empty.csv", b"", r"empty \(0 bytes\)"),
        ("other.csv", b"a,b,c\n1,2,3\n", r"Known formats: FOCUS"),
        ("cut.gz", CUT_GZIP, r"cut-off gzip"),
        ("bad.gz", b"\x1f\x8b" + b"\x00" * 40, r"damaged or cut-off gzip"),
        ("bad.parquet", b"PAR1" + b"\x00" * 100, r"damaged or cut-off Parquet"),
    ],
)
def test_what_is_no_bill_is_refused(home: Home, tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    found = refused(home, raw(tmp_path, content, name))
    assert found.startswith(name)
    assert re.search(reason, found), found


def test_a_header_alone_is_nothing_to_import(home: Home, tmp_path: Path) -> None:
    header = bill(tmp_path / "a.csv").read_bytes().splitlines(keepends=True)[0]
    assert "has a header and no rows" in refused(home, raw(tmp_path, header))


def test_folders_pipes_and_absent_files_are_refused(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert "is a folder; name the files in it" in refused(home, tmp_path / "folder")
    assert "no regular file" in refused(home, tmp_path / "pipe")
    assert "does not exist" in refused(home, tmp_path / "nowhere.csv")


def test_other_encodings_are_refused_by_line(home: Home, tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv", {}, {"ServiceName": "Größe"}).read_text()
    assert "not UTF-8" in refused(home, raw(tmp_path, text.encode("latin-1")))


def test_a_gzip_bomb_is_stopped_while_it_unpacks(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "_RATIO_FROM_BYTES", 1 << 20)
    row = bill(tmp_path / "a.csv").read_bytes().splitlines(keepends=True)
    bomb = raw(tmp_path, gzip.compress(row[0] + row[1] * 30_000), "bomb.csv.gz")
    assert bomb.stat().st_size < 30_000
    reason = refused(home, bomb)
    assert re.match(
        r"bomb\.csv\.gz unpacks to more than \d+ MiB, \d+ times its size; at most 8 GiB and 100 times", reason
    )


def test_a_parquet_file_that_is_cut_or_has_nan_is_refused(home: Home, tmp_path: Path) -> None:
    rows = {name: [value] * 2 for name, value in _charge_without_tags().items()}
    pq.write_table(pa.table({**rows, "BilledCost": [1.0, float("nan")]}), tmp_path / "nan.parquet")
    assert "nan.parquet: row 2, column BilledCost: 'NaN' is not a number" in refused(home, tmp_path / "nan.parquet")
    whole = (tmp_path / "nan.parquet").read_bytes()
    assert "Parquet" in refused(home, raw(tmp_path, whole[:-200], "cut.parquet"))


def _charge_without_tags() -> dict[str, str]:
    return {name: value for name, value in CHARGE.items() if name != "Tags"}


def test_one_bad_file_of_a_call_keeps_the_others_out(home: Home, tmp_path: Path) -> None:
    """They may be parts of the same month: storing half of it would replace the whole."""
    good, bad = bill(tmp_path / "part1.csv"), bill(tmp_path / "part2.csv", {"BilledCost": "?"})
    receipts: list[ImportReceipt] = import_files([good, bad], home)
    assert [receipt.status for receipt in receipts] == ["refused", "refused"]
    assert "not stored, because part2.csv of the same call is refused" in receipts[0].detail
    assert "column BilledCost" in receipts[1].detail
    assert_nothing_stored(home)
