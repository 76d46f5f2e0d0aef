"""Files that cannot be trusted: each is refused with its name, the place, and what to do; nothing of it is stored."""

import csv
import gzip
import json
import os
import re
import stat
import tarfile
import warnings
import zipfile
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
from tests.collectors.billing.samples import rows_of
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
    "amount", ["1,234.50", "1.234,50", "$12", "(1.23)", "twelve", "NaN", "inf", "1" * 21, "12 USD", "١٢"]
)
def test_b11_bad_money_is_named_by_row_line_and_column(home: Home, tmp_path: Path, amount: str) -> None:
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
def test_b18_a_date_that_could_mean_two_days_is_refused(home: Home, tmp_path: Path, moment: str) -> None:
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


def test_a_cell_beyond_256_kib_is_refused(home: Home, tmp_path: Path) -> None:
    assert "row 1 (line 2), column ChargeDescription" in refused(
        home, bill(tmp_path / "a.csv", {"ChargeDescription": "x" * 262_145})
    )


def test_the_first_bad_row_is_named_whatever_the_others_are(home: Home, tmp_path: Path) -> None:
    rows = [{"BilledCost": str(n)} for n in range(50)] + [{"BilledCost": f"bad {n}"} for n in range(50)]
    assert "row 51 (line 52), column BilledCost: 'bad 0'" in refused(home, bill(tmp_path / "a.csv", *rows))


# Columns --------------------------------------------------------------------------------------------------------------


def test_b15_a_missing_column_is_listed_with_those_present(home: Home, tmp_path: Path) -> None:
    reason = refused(home, bill(tmp_path / "a.csv", {"BilledCost": None, "ChargeCategory": None}))
    assert reason.startswith("a.csv lacks the column BilledCost, ChargeCategory. It has EffectiveCost, BillingCurrency")


def test_a_missing_currency_can_be_mended_on_the_command_line(home: Home, tmp_path: Path) -> None:
    assert "--currency" in refused(home, bill(tmp_path / "a.csv", {"BillingCurrency": None}))


def test_b16_a_column_twice_is_refused(home: Home, tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv").read_text().replace("EffectiveCost", "BilledCost")
    assert "has the column 'BilledCost' more than once" in refused(home, raw(tmp_path, text.encode()))


# Whole files ----------------------------------------------------------------------------------------------------------


def test_b08_a_file_cut_in_its_last_row_is_refused(home: Home, tmp_path: Path) -> None:
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


def test_b08_a_cut_at_the_end_of_a_chunk_is_seen_too(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tables, "CHUNK_ROWS", 2)
    whole = bill(tmp_path / "a.csv", *[{"x_Rate": "12.59"}] * 4).read_bytes()
    assert "row 4, column x_Rate: the file ends in '12.5'" in refused(home, raw(tmp_path, whole[:-2]))


def test_b17_a_row_with_a_cell_too_many_is_refused(home: Home, tmp_path: Path) -> None:
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
        ("other.csv", b"a,b,c\n1,2,3\n", r"Known formats: .*FOCUS"),
        ("cut.gz", CUT_GZIP, r"cut-off gzip"),
        ("bad.gz", b"\x1f\x8b" + b"\x00" * 40, r"damaged or cut-off gzip"),
        ("bad.parquet", b"PAR1" + b"\x00" * 100, r"damaged or cut-off Parquet"),
    ],
)
def test_what_is_no_bill_is_refused(home: Home, tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    found = refused(home, raw(tmp_path, content, name))
    assert found.startswith(name)
    assert re.search(reason, found), found


def test_b24_a_header_alone_is_nothing_to_import(home: Home, tmp_path: Path) -> None:
    header = bill(tmp_path / "a.csv").read_bytes().splitlines(keepends=True)[0]
    assert "has a header and no rows" in refused(home, raw(tmp_path, header))


def test_b24_folders_pipes_links_and_absent_files_are_refused(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.csv").symlink_to(bill(tmp_path / "a.csv"))
    assert f"is a link, and only regular files are read; name the file itself: {tmp_path}" in refused(
        home, tmp_path / "link.csv"
    )
    assert "no CSV or Parquet file" in refused(home, tmp_path / "folder")
    assert "no regular file" in refused(home, tmp_path / "pipe")
    assert "does not exist" in refused(home, tmp_path / "nowhere.csv")


@pytest.mark.parametrize(("rows_before", "line"), [(1, 3), (3_000, 3_002)])
def test_b10_other_encodings_are_refused_by_line(home: Home, tmp_path: Path, rows_before: int, line: int) -> None:
    text = bill(tmp_path / "a.csv", *[{}] * rows_before, {"ServiceName": "Größe"}).read_text()
    reason = refused(home, raw(tmp_path, text.encode("latin-1")))
    assert reason.startswith(f"bill.csv: line {line} has the byte b'\\xf6', which is not UTF-8"), reason


def test_b10_utf_16_without_a_byte_order_mark_is_no_bill(home: Home, tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv").read_text()
    assert "no billing export we know" in refused(home, raw(tmp_path, text.encode("utf-16-le")))


def test_b10_utf_16_that_is_cut_is_refused(home: Home, tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv").read_text()
    assert "is not the utf-16 it begins as" in refused(home, raw(tmp_path, text.encode("utf-16")[:-1]))


@pytest.mark.parametrize(("delimiter", "quote"), [(",", "'"), (";", '"'), ("\t", '"'), ("|", '"'), (";", "'")])
def test_b09_delimiter_and_quote_are_told_from_the_rows(tmp_path: Path, delimiter: str, quote: str) -> None:
    text = "one, two; three|four\nfive's"
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quotechar=quote)
        writer.writerows([CHARGE.keys(), CHARGE.values(), ({**CHARGE, "ServiceName": text}).values()])
    first, second = rows_of(path)
    assert (first["ServiceName"], second["ServiceName"]) == ("EC2", text)
    assert json.loads(first["Tags"]) == {"team": "search"}


def test_b09_a_row_that_does_not_keep_to_the_dialect_is_refused(home: Home, tmp_path: Path) -> None:
    """Also beyond the first megabyte, on which the dialect was decided."""
    rows = [{"ChargeDescription": "x" * 500}] * 3_000
    text = bill(tmp_path / "a.csv", *rows).read_text()
    header, _, last = text.partition("\n")[0], "", text.splitlines()[-1].replace(",", ";")
    reason = refused(home, raw(tmp_path, f"{text}{last}\n".encode()))
    assert f"row 3001 (line 3002) has 1 cells where the header has {len(header.split(','))}" in reason


def test_b17_two_exports_joined_into_one_are_refused(home: Home, tmp_path: Path) -> None:
    content = bill(tmp_path / "a.csv", {}).read_bytes()
    assert "bill.csv: line 3 is the header again" in refused(home, raw(tmp_path, content * 2))


def test_b17_a_failing_row_is_named_without_its_content(home: Home, tmp_path: Path) -> None:
    content = bill(tmp_path / "a.csv", {}, {}).read_bytes() + b"secret,secret\n"
    assert "secret" not in refused(home, raw(tmp_path, content))


# Archives -------------------------------------------------------------------------------------------------------------


def zipped(tmp_path: Path, *members: tuple[str, bytes], name: str = "bill.zip") -> Path:
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for member, content in members:
            archive.writestr(member, content)
    return tmp_path / name


def test_a_zip_of_parts_is_read_as_one_table(tmp_path: Path) -> None:
    parts = [bill(tmp_path / f"{n}.csv", {"BilledCost": str(n)}, {"BilledCost": str(n)}).read_bytes() for n in (1, 2)]
    path = zipped(tmp_path, ("part1.csv", parts[0]), ("part2.csv", parts[1]), ("manifest.json", b"{}"))
    rows = rows_of(path)
    assert [row["BilledCost"] for row in rows] == [1, 1, 2, 2]
    assert [row["row_number"] for row in rows] == [1, 2, 3, 4]


def test_a_row_of_an_archive_is_named_by_its_member(home: Home, tmp_path: Path) -> None:
    bad = bill(tmp_path / "a.csv", {"BilledCost": "?"}).read_bytes()
    assert refused(home, zipped(tmp_path, ("october.csv", bad))).startswith("bill.zip/october.csv: row 1 (line 2)")


def test_parts_with_other_columns_are_refused(home: Home, tmp_path: Path) -> None:
    one, two = bill(tmp_path / "1.csv").read_bytes(), bill(tmp_path / "2.csv", {"Team": "a"}).read_bytes()
    assert "2.csv has other columns" in refused(home, zipped(tmp_path, ("1.csv", one), ("2.csv", two)))


@pytest.mark.parametrize("name", ["../../x.csv", "/etc/x.csv", "C:\\x.csv", "a\nb.csv", "X.csv"])
def test_b28_members_are_streamed_and_never_written_by_name(home: Home, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    content = bill(tmp_path / "x.csv").read_bytes()
    path = zipped(tmp_path, (name, content))
    assert len(rows_of(path)) == 1
    assert set(tmp_path.rglob("*")) - before == {path, tmp_path / "x.csv"}
    assert "\n" not in refused(home, zipped(tmp_path, (name, content.replace(b"1.50", b"?"))))


def test_b28_names_that_differ_in_case_are_two_files_and_one_name_twice_is_refused(home: Home, tmp_path: Path) -> None:
    content = bill(tmp_path / "x.csv").read_bytes()
    assert len(rows_of(zipped(tmp_path, ("a.csv", content), ("A.csv", content)))) == 2
    assert "has a.csv more than once" in refused(home, zipped(tmp_path, ("a.csv", content), ("a.csv", content)))


def test_b28_a_link_in_an_archive_is_refused(home: Home, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("bill.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "has the link bill.csv in it" in refused(home, tmp_path / "a.zip")


def test_b29_an_encrypted_archive_is_refused(home: Home, tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path, ("a.csv", bill(tmp_path / "a.csv").read_bytes())).read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    assert "is encrypted; unpack it" in refused(home, raw(tmp_path, bytes(content), "a.zip"))


def test_b29_a_workbook_is_refused_with_what_to_do(home: Home, tmp_path: Path) -> None:
    path = zipped(tmp_path, ("[Content_Types].xml", b"<!DOCTYPE x>"), ("xl/workbook.xml", b""), name="bill.xlsx")
    assert "is an Excel workbook" in refused(home, path)
    assert "old or a password-protected Excel workbook" in refused(home, raw(tmp_path, b"\xd0\xcf\x11\xe0" + b"0" * 99))


def test_b27_a_zip_bomb_is_stopped_while_it_unpacks(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members together, because each of many may stay below the cap."""
    monkeypatch.setattr(_files, "_RATIO_FROM_BYTES", 1 << 20)
    row = bill(tmp_path / "a.csv").read_bytes().splitlines(keepends=True)
    part = row[0] + row[1] * 5_000
    members = [(f"{n}.csv", part) for n in range(6)]
    assert len(rows_of(zipped(tmp_path, members[0]))) == 5_000
    assert re.match(r"bill\.zip unpacks to more than \d+ MiB", refused(home, zipped(tmp_path, *members)))


@pytest.mark.parametrize("inner", ["zip", "gzip"])
def test_b27_an_archive_within_an_archive_is_refused(home: Home, tmp_path: Path, inner: str) -> None:
    content = bill(tmp_path / "a.csv").read_bytes()
    packed = gzip.compress(content) if inner == "gzip" else zipped(tmp_path, ("a.csv", content)).read_bytes()
    for path in (zipped(tmp_path, ("a", packed), name="b.zip"), raw(tmp_path, gzip.compress(packed), "b.gz")):
        assert re.search("archive within an archive|packed twice", refused(home, path))


def test_b27_a_tar_archive_is_refused(home: Home, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(bill(tmp_path / "a.csv"), "a.csv")
    assert "is a tar archive; unpack it" in refused(home, tmp_path / "a.tar.gz")


@pytest.mark.parametrize("cut", [10, 60, -30])
def test_a_damaged_archive_is_refused(home: Home, tmp_path: Path, cut: int) -> None:
    content = zipped(tmp_path, ("a.csv", bill(tmp_path / "a.csv").read_bytes())).read_bytes()
    assert "damaged or cut-off zip" in refused(home, raw(tmp_path, content[:cut], "a.zip"))
    flipped = content[:80] + bytes([content[80] ^ 0xFF]) + content[81:]
    assert re.search("damaged|no CSV|no billing export", refused(home, raw(tmp_path, flipped, "a.zip")))


def test_b27_a_gzip_bomb_is_stopped_while_it_unpacks(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "_RATIO_FROM_BYTES", 1 << 20)
    row = bill(tmp_path / "a.csv").read_bytes().splitlines(keepends=True)
    bomb = raw(tmp_path, gzip.compress(row[0] + row[1] * 30_000), "bomb.csv.gz")
    assert bomb.stat().st_size < 30_000
    reason = refused(home, bomb)
    assert re.match(
        r"bomb\.csv\.gz unpacks to more than \d+ MiB, \d+ times its size; at most 8 GiB and 100 times", reason
    )


def test_b07_a_parquet_file_that_is_cut_or_has_nan_is_refused(home: Home, tmp_path: Path) -> None:
    rows = {name: [value] * 2 for name, value in _charge_without_tags().items()}
    pq.write_table(pa.table({**rows, "BilledCost": [1.0, float("nan")]}), tmp_path / "nan.parquet")
    assert "nan.parquet: row 2, column BilledCost: 'NaN' is not a number" in refused(home, tmp_path / "nan.parquet")
    whole = (tmp_path / "nan.parquet").read_bytes()
    assert "Parquet" in refused(home, raw(tmp_path, whole[:-200], "cut.parquet"))


def test_b07_a_flipped_bit_in_a_parquet_page_is_refused(home: Home, tmp_path: Path) -> None:
    rows = {name: [value] * 500 for name, value in _charge_without_tags().items()}
    rows["ChargeDescription"] = [f"line {n}" for n in range(500)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(rows), path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"line 250")] ^= 1
    assert "Parquet file is damaged" in refused(home, raw(tmp_path, bytes(content), "flipped.parquet"))


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
