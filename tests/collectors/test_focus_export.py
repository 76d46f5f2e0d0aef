"""`export`: allocated cost as FOCUS 1.2 rows that sum to the bill, are harmless in a spreadsheet, and read back."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest

from collectors.billing import format_of
from collectors.billing.base import BillingSource
from collectors.focus_export import COLUMNS, OURS, focus_csv
from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, IdlePolicy, Line, TrialBalance
from store.books import Books, books
from store.durable import write_text
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.records import ImportStatus
from tests.collectors.focus_rules import broken
from tests.demo_home import demo_home

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
both_bases = pytest.mark.parametrize("basis", list(CostBasis))
Sample = tuple[Home, Snapshot]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    home = demo_home(tmp_path_factory.mktemp("export") / "home", NOW)
    with open_snapshot(home) as snapshot:
        yield home, snapshot


def read(text: str) -> tuple[list[str], list[dict[str, str]]]:
    reader = csv.DictReader(StringIO(text, newline=""))
    rows = list(reader)
    return list(reader.fieldnames or ()), rows


def of(sample: Sample, basis: CostBasis = CostBasis.BILLED) -> Books:
    return books(sample[1], sample[0], "2026-10", basis)


def with_lines(found: Books, *lines: Line) -> Books:
    total = exact_sum(line.amount for line in lines)
    balance = TrialBalance(
        month=found.month, currency="USD", basis=found.basis, total=total, lines=lines, residual=Decimal(0)
    )
    return replace(found, balances=(balance,))


ONE_OF_EACH = tuple(
    Line(bucket=bucket, amount=Decimal(number) / 8 - 1, deployment_key="d", model_key="m", team="t", tokens=tokens)
    for number, (bucket, tokens) in enumerate((bucket, tokens) for bucket in Bucket for tokens in (None, 0, 12))
)


@both_bases
def test_the_sample_breaks_no_rule_of_focus(sample: Sample, basis: CostBasis) -> None:
    assert list(broken(*read(focus_csv(of(sample, basis))))) == []


def test_no_bucket_breaks_a_rule_of_focus(sample: Sample) -> None:
    text = focus_csv(with_lines(of(sample), *ONE_OF_EACH))
    assert list(broken(*read(text))) == []
    assert {row["x_Bucket"] for row in read(text)[1]} == set(Bucket)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"BilledCost": ""}, "BilledCost is null"),
        ({"BilledCost": "1,5"}, "no decimal"),
        ({"ChargePeriodEnd": "2026-10-31"}, "no UTC moment"),
        ({"ChargeCategory": "Refund"}, "not allowed"),
        ({"Tags": "team=x"}, "no JSON object"),
        ({"PricingUnit": ""}, "go together"),
        ({"ResourceId": "", "ResourceType": "Model"}, "ResourceType of no resource"),
        ({"BillingPeriodEnd": "2026-10-01T00:00:00Z"}, "not after its start"),
    ],
)
def test_a_broken_rule_is_found(sample: Sample, change: dict, what: str) -> None:
    header, (first, *_) = read(focus_csv(of(sample)))
    assert any(what in fault for fault in broken(header, [first | change]))


def test_a_column_that_focus_lacks_or_that_we_lack_is_found(sample: Sample) -> None:
    header, _ = read(focus_csv(of(sample)))
    assert "BilledCost is missing" in broken([name for name in header if name != "BilledCost"], [])
    assert "Zone is no column of FOCUS 1.2" in broken([*header, "Zone"], [])


@both_bases
def test_the_rows_sum_to_the_bill_idle_rows_included(sample: Sample, basis: CostBasis) -> None:
    found = of(sample, basis)
    header, rows = read(focus_csv(found))
    assert header == [*COLUMNS, *OURS]
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert exact_sum(Decimal(row[column]) for row in rows) == found.balances[0].total
    idle = [row for row in rows if row["x_Bucket"] == "warm_idle"]
    assert idle
    assert {row["ChargeCategory"] for row in idle} == {"Usage"}
    assert {row["x_CostBasis"] for row in rows} == {str(basis)}


def test_a_row_says_model_token_class_team_bucket_and_deployment(sample: Sample) -> None:
    line = Line(
        bucket=Bucket.CACHED_INPUT, amount=Decimal("1E-18"), deployment_key="d", model_key="m", team="t", tokens=7
    )
    _, (row,) = read(focus_csv(with_lines(of(sample), line)))
    told = {name: row[name] for name in ("x_Model", "x_TokenClass", "x_Team", "x_Bucket", "x_Deployment")}
    assert list(told.values()) == ["m", "cached_input", "t", "cached_input", "d"]
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("7", "Tokens")
    assert row["BilledCost"] == "0.000000000000000001"
    assert row["Tags"] == '{"deployment": "d", "model": "m", "team": "t"}'


def test_idle_shown_to_teams_leaves_the_sum(sample: Sample) -> None:
    found = of(sample)
    sums = {
        policy: exact_sum(Decimal(row["BilledCost"]) for row in read(focus_csv(found.with_idle(policy)))[1])
        for policy in IdlePolicy
    }
    assert set(sums.values()) == {found.balances[0].total}


NASTY = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "＝1", "'=1", "it's", 'a,"b"', "a\nb"]


def test_b25_formula_text_is_neutralised_and_amounts_stay_numbers(sample: Sample) -> None:
    lines = [Line(bucket=Bucket.OUTPUT, amount=Decimal(-5), team=name, deployment_key=name) for name in NASTY]
    _, rows = read(focus_csv(with_lines(of(sample), *lines)))
    for name, row in zip(NASTY, rows, strict=True):
        assert row["BilledCost"] == "-5", "a negative amount is no formula"
        assert row["x_Team"] == (name if name in ("it's", 'a,"b"', "a\nb") else f"'{name}")
        assert not row["ResourceName"].startswith(("=", "+", "-", "@", "\t", "\r", "＝"))


def test_i12_what_is_read_back_is_what_was_written(sample: Sample, tmp_path: Path) -> None:
    lines = [
        Line(bucket=Bucket.OUTPUT, amount=Decimal(-5), team=name, deployment_key=name, model_key=name) for name in NASTY
    ]
    path = tmp_path / "export.csv"
    write_text(path, focus_csv(with_lines(of(sample), *lines)))
    source = BillingSource(path=path)
    charges = [row for batch in format_of(source).parse(source) for row in batch.to_pylist()]
    assert [row["x_Model"] for row in charges] == NASTY
    assert [row["BilledCost"] for row in charges] == [-5] * len(NASTY)


def test_our_own_export_imports_to_the_same_sum_and_is_never_added_to_the_bill(tmp_path: Path) -> None:
    home = demo_home(tmp_path / "home", NOW)
    path = tmp_path / "export.csv"
    with open_snapshot(home) as snapshot:
        found = books(snapshot, home, "2026-10", CostBasis.BILLED)
        write_text(path, focus_csv(found))
    (receipt,) = import_files([path], home, is_sample=True)
    assert (receipt.format_key, receipt.status) == ("allocated", ImportStatus.IMPORTED)
    assert receipt.billed_cost == found.balances[0].total
    with open_snapshot(home) as snapshot:
        again = books(snapshot, home, "2026-10", CostBasis.BILLED)
    assert again.balances[0].total == found.balances[0].total
    assert [(line.bucket, line.amount) for line in again.balances[0].lines] == [
        (line.bucket, line.amount) for line in found.balances[0].lines
    ]
