"""Money is read exactly or not at all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.billing import FOCUS_COLUMNS, MONEY_COLUMNS, REQUIRED_COLUMNS, ColumnKind, decimal_from
from costlib.errors import BadRecord


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("-12.50", "-12.50"),
        ("+3", "3"),
        (".5", "0.5"),
        ("7.", "7"),
        ("5e-06", "0.000005"),
        ("1.5E3", "1500"),
        ("0.1", "0.1"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("1.0000000000000000000000", "1"),
    ],
)
def test_exact(text, value):
    assert decimal_from(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "1,234.56",
        "1.234,56",
        "$5",
        "5 USD",
        "1_000",
        "NaN",
        "Infinity",
        "--1",
        "0x10",
        " 1",
        "1\n",
        "١٢",
        ".",
    ],
)
def test_what_could_mean_two_things_is_refused(text):
    with pytest.raises(BadRecord, match="is not a number"):
        decimal_from(text)


@pytest.mark.parametrize("text", ["0.1234567890123456789", "123456789012345678901", "1e-19", "1e21", "1e9999"])
def test_what_does_not_fit_is_refused_and_not_rounded(text):
    with pytest.raises(BadRecord, match="nothing is rounded"):
        decimal_from(text)


@given(st.decimals(min_value=-(10**20) + 1, max_value=10**20 - 1, places=18))
def test_every_decimal_survives_its_own_text(value):
    assert decimal_from(str(value)) == value


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_bad_record(text):
    try:
        assert decimal_from(text) == Decimal(text)
    except BadRecord as refusal:
        assert len(str(refusal)) < 600


@given(st.lists(st.decimals(min_value=-1000, max_value=1000, places=18), max_size=50))
def test_sums_do_not_depend_on_the_order(values):
    amounts = [decimal_from(str(value)) for value in values]
    assert sum(amounts) == sum(reversed(amounts)) == sum(values)


def test_the_four_costs_are_money_and_the_required_columns_are_known():
    assert MONEY_COLUMNS == ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    assert set(REQUIRED_COLUMNS) <= set(FOCUS_COLUMNS)
    assert FOCUS_COLUMNS["PricingQuantity"] is ColumnKind.QUANTITY
