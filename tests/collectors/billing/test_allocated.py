"""Our own export is known again, adds nothing to the bills it is a view of, and says what it said."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.billing import format_of, formats
from collectors.billing.base import BillingSource
from costlib.text_safety import neutral
from tests.collectors.billing.samples import rows_of
from tests.store.builders import CHARGE, bill


def test_our_own_export_is_evidence_and_no_other_format(tmp_path: Path) -> None:
    path = bill(tmp_path / "a.csv", {"x_Bucket": "warm_idle"})
    assert format_of(BillingSource(path=path)).key == "allocated"
    assert formats()["allocated"].is_evidence


@pytest.mark.parametrize("text", ["=1+1", "'=1", "-2", "@now", "\t=1", "＝1", "it's", "plain"])
def test_b25_texts_come_back_and_negative_amounts_stay_numbers(tmp_path: Path, text: str) -> None:
    exported = {
        **CHARGE,
        "BilledCost": "-1.5",
        "ResourceName": neutral(text),
        "x_Note": neutral(text),
        "x_Bucket": "credit",
    }
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([exported.keys(), exported.values()])
    (row,) = rows_of(tmp_path / "a.csv")
    assert (row["BilledCost"], row["ResourceName"]) == (Decimal("-1.5"), text)
    assert json.loads(row["extra"]) == {"x_Note": text, "x_Bucket": "credit"}
