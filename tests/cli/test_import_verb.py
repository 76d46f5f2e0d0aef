"""`permillion import`: what became of each file, in words and in JSON."""

import json
from pathlib import Path

import pytest

from store.home import Home
from tests.cli.conftest import Run
from tests.store.builders import bill


def test_a_bill_is_imported_once_and_then_known(permillion: Run, tmp_path: Path) -> None:
    path = bill(tmp_path / "october.csv", {}, {"BilledCost": "2.25"})
    first, second = (permillion("import", path) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.startswith("october.csv: imported.")
    assert second.stdout.startswith("october.csv: already imported.")


def test_json_has_the_field_names_and_money_as_text(permillion: Run, tmp_path: Path) -> None:
    path = bill(tmp_path / "october.csv", {}, {"BilledCost": "0.000000000000000001"})
    (receipt,) = json.loads(permillion("import", path, "--json").stdout)
    assert {"file_name", "format_key", "status", "detail", "rows_count", "currency", "periods"} <= set(receipt)
    assert (receipt["status"], receipt["rows_count"], receipt["currency"]) == ("imported", 2, "USD")
    assert receipt["billed_cost"] == "1.500000000000000001", "to the last digit, as a string"
    assert isinstance(receipt["effective_cost"], str)
    assert receipt["list_cost"] is None, "the file has no such column: unknown, not 0"
    assert receipt["periods"] == ["2026-10"]


def test_a_bad_file_is_exit_code_1_with_the_file_the_row_and_a_remedy(permillion: Run, tmp_path: Path) -> None:
    path = bill(tmp_path / "bad.csv", {}, {"BilledCost": "twelve"})
    result = permillion("import", path)
    assert result.exit_code == 1
    assert result.stdout.startswith("bad.csv: refused.")
    assert "row 2" in result.stdout or "row 3" in result.stdout or "line 3" in result.stdout
    assert "BilledCost" in result.stdout
    assert "twelve" in result.stdout
    (receipt,) = json.loads(permillion("import", path, "--json").stdout)
    assert receipt["status"] == "refused"


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.csv", b"a,b\n1,2\n"), ("photo.csv", b"\x89PNG\r\n\x1a\n" * 9), ("empty.csv", b""), ("gone.csv", None)],
)
def test_what_is_no_bill_is_refused_and_stores_nothing(
    permillion: Run, home: Home, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = permillion("import", tmp_path / name)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{name}: refused.")
    assert permillion("usage").exit_code == 2, "the home still holds nothing"


def test_one_bad_file_keeps_the_delivery_out(permillion: Run, tmp_path: Path) -> None:
    good, bad = bill(tmp_path / "good.csv"), bill(tmp_path / "bad.csv", {"BilledCost": "x"})
    result = permillion("import", good, bad)
    assert result.exit_code == 1
    assert "good.csv: refused. not stored, because bad.csv of the same call is refused" in result.stdout
    assert permillion("import", good).stdout.startswith("good.csv: imported.")


def test_another_currency_than_the_one_asked_for_is_refused(permillion: Run, tmp_path: Path) -> None:
    path = bill(tmp_path / "euro.csv", {"BillingCurrency": "EUR"})
    result = permillion("import", path, "--currency", "USD")
    assert result.exit_code == 1
    assert "EUR" in result.stdout
    assert permillion("import", path, "--currency", "EUR").exit_code == 0


def test_real_data_drive_the_sample_out(permillion: Run, tmp_path: Path) -> None:
    permillion("demo")
    assert permillion("import", bill(tmp_path / "real.csv")).exit_code == 0
    assert json.loads(permillion("usage", "--json").stdout) == []
