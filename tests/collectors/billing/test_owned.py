"""Owned GPUs: whole months that add up to what was paid, over the life of the machine."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.billing.owned import OwnedHost
from costlib.capacity import owned_usd_per_gpu_hour
from costlib.errors import BadRecord
from tests.collectors.billing.samples import read, rows_of, total, written

HOSTS = """
first_month = "2026-01"
last_month = "2026-03"
[[host]]
name = "dgx-1"
instance_type = "dgx-h100"
in_service = "2025-02"
purchase_price = "310000.00"
residual_price = "30000.00"
life_years = 4
watts = 9000
pue = "1.3"
price_per_kwh = "0.11"
hosting_per_month = "950.00"
tags = { team = "search" }
[[host]]
name = "dgx-2"
gpus_count = 8
in_service = "2026-03"
purchase_price = 100
life_years = "0.25"
"""


def hosts(tmp_path: Path, text: str = HOSTS) -> Path:
    return written(tmp_path, "owned.toml", text)


def test_a_month_of_a_host_is_one_charge_with_its_hours(tmp_path: Path) -> None:
    january, february, march, new = rows_of(hosts(tmp_path))
    # 280,000 / 48 months = 5,833.33; 9 kW x 1.3 x 744 h x 0.11 = 957.528; and 950 of hosting.
    assert january["BilledCost"] == january["EffectiveCost"] == Decimal("5833.33") + Decimal("957.528") + 950
    assert [row["PricingQuantity"] for row in (january, february, march)] == [744, 672, 744]
    assert {row["ProviderName"] for row in (january, new)} == {"Owned"}
    assert (january["ChargePeriodStart"], january["ChargePeriodEnd"]) == (datetime(2026, 1, 1), datetime(2026, 2, 1))  # noqa: DTZ001
    assert json.loads(january["SkuPriceDetails"]) == {"InstanceType": "dgx-h100"}
    assert json.loads(new["SkuPriceDetails"]) == {"GpuCount": "8"}
    assert json.loads(january["Tags"]) == {"team": "search"}
    assert json.loads(january["extra"]) == {"depreciation": "5833.33", "electricity": "957.528", "hosting": "950"}
    assert (new["ResourceId"], new["BilledCost"]) == ("dgx-2", Decimal("33.33"))


@given(
    price=st.decimals(min_value=0, max_value=10**7, places=2),
    residual=st.decimals(min_value=0, max_value=1, places=2),
    life_months=st.integers(1, 120),
)
def test_the_months_of_a_life_add_up_to_what_was_lost(price: Decimal, residual: Decimal, life_months: int) -> None:
    left = (price * residual).quantize(Decimal("0.01"))
    host = OwnedHost(
        name="a",
        in_service=date(2020, 5, 1),
        purchase_price=price,
        residual_price=left,
        life_months=life_months,
    )
    months = [host.depreciation(date(2020 + (4 + n) // 12, (4 + n) % 12 + 1, 1)) for n in range(-3, life_months + 3)]
    assert sum(months) == price - left
    assert months[:3] == [0, 0, 0] == months[-3:], "nothing before it came and nothing after its life"
    assert max(months[3:-3]) - min(months[3:-3]) <= Decimal("0.01")


def test_a_year_of_months_is_the_formula_for_an_hour(tmp_path: Path) -> None:
    """$35,040 a GPU over four years and a kilowatt at PUE 1.3 and $0.10: $1.13, as costlib.capacity works out."""
    text = """
        first_month = "2026-01"
        last_month = "2026-12"
        [[host]]
        name = "dgx-1"
        gpus_count = 8
        in_service = "2026-01"
        purchase_price = 280320
        life_years = 4
        watts = 8000
        pue = "1.3"
        price_per_kwh = "0.10"
    """
    rows, _ = read(hosts(tmp_path, text))
    hourly = owned_usd_per_gpu_hour(
        price_usd=Decimal(35_040),
        years=Decimal(4),
        watts=Decimal(1000),
        usd_per_kwh=Decimal("0.10"),
        pue=Decimal("1.3"),
    )
    assert total(rows, "PricingQuantity") == 8760
    assert total(rows, "BilledCost") == hourly * 8 * 8760


def test_electricity_and_hosting_outlive_the_books(tmp_path: Path) -> None:
    text = HOSTS.replace("2026-01", "2030-01").replace("2026-03", "2030-01", 1)
    rows, _ = read(hosts(tmp_path, text))
    assert total(rows, "BilledCost") == Decimal("957.528") + 950


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("watts = 9000", "wats = 9000", "Did you mean 'watts'?"),
        ("first_month", "month", "unknown key 'month'"),
        ('purchase_price = "310000.00"\n', "", "[[host]] 1 (dgx-1) lacks purchase_price"),
        ('pue = "1.3"', "pue = 1.3", "pue is 1.3; write a number of 0 or more in quotes"),
        ('pue = "1.3"', 'pue = "0.9"', "pue is less than 1"),
        ('"30000.00"', '"400000"', "residual_price is more than purchase_price"),
        ("life_years = 4", 'life_years = "0.3"', "no whole number of months"),
        ("life_years = 4", "life_years = 0", "no whole number of months"),
        ('"2025-02"', '"2025-2"', 'write a month such as "2026-10"'),
        ('"dgx-2"', '"dgx-1"', "two hosts with one name"),
        ('last_month = "2026-03"', 'last_month = "2025-03"', "last_month is before first_month"),
        ("watts = 9000", 'watts = "-1"', "watts is '-1'"),
        ("life_years = 4", "life_years = ", "is no TOML"),
    ],
)
def test_what_is_declared_wrong_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        rows_of(hosts(tmp_path, HOSTS.replace(old, new, 1)), "owned")
    assert str(caught.value).startswith("owned.toml") or "owned.toml" in str(caught.value)
    assert reason in str(caught.value)
