"""What data/billing says of native exports: in FOCUS' words, and no column twice."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.billing._native import fitted, json_object, vocabulary
from collectors.billing.base import BillingSource
from costlib.billing import FOCUS_COLUMNS, MONEY_SCALE

# FOCUS 1.2, ServiceCategory and the columns with a fixed list of values.
SERVICE_CATEGORIES = {
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
    "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration", "Mobile",
    "Multicloud", "Networking", "Security", "Storage", "Web", "Other",
}  # fmt: skip
ALLOWED = {
    "service_categories": SERVICE_CATEGORIES,
    "sku_categories": SERVICE_CATEGORIES,
    "charge_types": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "cost_types": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "credit_types": {"Credit"},
    "pricing_models": {"Standard", "Dynamic", "Committed", "Other"},
    "commitments": {"Reservation", "Savings Plan"},
    "commitment_credits": {"Committed Use"},
    "frequencies": {"One-Time", "Recurring", "Usage-Based"},
}


@pytest.mark.parametrize("key", ["azure", "gcp", "oci"])
def test_the_words_of_a_vocabulary_are_those_of_focus(key: str) -> None:
    words = vocabulary(key)
    assert {name for name in words.spellings if name[0].isupper()} <= set(FOCUS_COLUMNS)
    for table, meanings in words.words.items():
        assert set(meanings.values()) <= ALLOWED[table], table
    for meaning, spellings in words.spellings.items():
        assert max(Counter(spellings).values()) == 1, meaning


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_b14_a_number_is_kept_exactly_or_rounded_once_and_kept_beside(number: Decimal) -> None:
    source = BillingSource(path=Path("a.csv"))
    (kept,), raw = fitted(source, [str(number)])
    assert abs(Decimal(kept) - number) <= Decimal(5).scaleb(-MONEY_SCALE - 1)
    if Decimal(kept) == number:
        assert raw is None
    else:
        assert raw == [str(number)]
        assert sum(source.notes.values()) == 1


@pytest.mark.parametrize("cell", [None, "", "null", "[1]", "7", '"a"', '"a": ', "{" * 5000])
def test_what_is_no_object_is_none(cell: str | None) -> None:
    assert json_object(cell) is None
