"""GPUs are found on a bill by what it says, counted in hours by its units, and never guessed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.books import ChargeGroup
from costlib.capacity import Purchase, gpu_capacity, owned_usd_per_gpu_hour
from costlib.errors import DomainError
from tests.costlib.scenario_builders import SHIPPED

H100, H100_EACH = "Nvidia H100 80GB GPU running in Americas", "Nvidia H100 80GB GPU attached to Spot Preemptible VMs"


def group(**said):
    given = {"currency": "USD", "billed": Decimal(10), "service_category": "Compute"} | said
    return ChargeGroup(**given)


def hours(quantity=1, unit="Hours", **said):
    return group(pricing_quantity=Decimal(quantity), pricing_unit=unit, **said)


def capacity(charge):
    return gpu_capacity(charge, SHIPPED.instances)


@pytest.mark.parametrize(
    ("charge", "gpu_key", "gpu_hours"),
    [
        pytest.param(
            hours(3, sku_price_details={"InstanceType": "p5.48xlarge", "GpuCount": "8"}), "h100-sxm", 24, id="FOCUS"
        ),
        pytest.param(
            hours(3, sku_price_details={"InstanceType": "p5.48xlarge"}), "h100-sxm", 24, id="count from the catalogue"
        ),
        pytest.param(
            hours(3, sku_price_details={"InstanceType": "brand.new", "GpuCount": "4"}), "", 12, id="count from the bill"
        ),
        pytest.param(hours(2, "Hrs", sku_meter="BoxUsage:p5.48xlarge"), "h100-sxm", 16, id="AWS usage type"),
        pytest.param(hours(2, "Hrs", sku_meter="USW2-SpotUsage:g6e.12xlarge"), "l40s", 8, id="AWS in another region"),
        pytest.param(hours(2, "Hrs", sku_meter="USE1-Host:ml.p4d.24xlarge"), "a100-sxm-40gb", 16, id="SageMaker"),
        pytest.param(hours(1, sku_meter="ND96isr H100 v5"), "h100-sxm", 8, id="Azure meter"),
        pytest.param(hours(1, sku_meter="ND96isr H100 v5 Spot"), "h100-sxm", 8, id="Azure spot meter"),
        pytest.param(hours(1, sku_meter="NC24ads A100 v4/NC24ads"), "a100-pcie-80gb", 1, id="Azure meter of two names"),
        pytest.param(
            hours(1, sku_meter="A0", sku_price_details={"InstanceType": "Standard_ND96isr_H100_v5"}),
            "h100-sxm", 8, id="the instance type over a broken meter",
        ),
        pytest.param(hours(8, "hour", sku_meter=H100), "h100-sxm", 8, id="Google: the quantity is of GPUs"),
        pytest.param(
            hours(8, "hour", description=H100, sku_price_details={"InstanceType": "a3-highgpu-8g"}),
            "h100-sxm", 8, id="Google with the machine: still of GPUs",
        ),
        pytest.param(hours(28800, "seconds", sku_meter=H100_EACH), "h100-sxm", 8, id="Google in seconds"),
        pytest.param(hours(8, "hour", sku_meter="Nvidia Tesla A100 GPU running in X"), "a100-sxm-40gb", 8, id="A100"),
        pytest.param(hours(1, "hour", sku_meter="Nvidia L4 GPU running in X"), "l4", 1, id="a short name"),
        pytest.param(
            hours(8, "GPU Per Hour", sku_price_details={"InstanceType": "BM.GPU.H100.8", "GpuCount": "1"}),
            "h100-sxm", 8, id="Oracle by the GPU",
        ),
        pytest.param(
            group(consumed_quantity=Decimal(8), consumed_unit="GPU-Hours", sku_id="H100-SXM"),
            "h100-sxm", 8, id="CoreWeave: only a consumed quantity",
        ),
        pytest.param(hours(1, sku_price_details={"InstanceType": "g6f.2xlarge"}), "l4", Decimal("0.25"), id="a slice"),
        pytest.param(hours(2, sku_meter="BoxUsage:p3.8xlarge"), "", 8, id="a GPU without a sheet"),
        pytest.param(
            hours(730, provider="Owned", sku_meter="Host month", sku_price_details={"InstanceType": "dgx-h100"}),
            "h100-sxm", 5840, id="owned",
        ),
        pytest.param(
            hours(1, service_category="AI and Machine Learning", sku_meter="ml.g5.xlarge"), "a10g", 1, id="AI service"
        ),
    ],
)  # fmt: skip
def test_gpu_hours(charge, gpu_key, gpu_hours):
    found = capacity(charge)
    assert (found.gpu_key, found.gpu_hours, found.note) == (gpu_key, gpu_hours, "")


@pytest.mark.parametrize(
    "charge",
    [
        pytest.param(hours(208, "hour", sku_meter="A3 Instance Core running in Americas"), id="cores"),
        pytest.param(
            hours(
                208, "hour", description="A3 Instance Ram running in X",
                sku_price_details={"InstanceType": "a3-highgpu-8g"},
            ),
            id="memory of a GPU machine",
        ),
        pytest.param(hours(1, sku_meter="BoxUsage:m6i.large"), id="no GPU in it"),
        pytest.param(hours(1, sku_meter="BoxUsage:t4g.medium"), id="t4g is no T4"),
        pytest.param(hours(1, sku_meter="SoftwareUsage:p5.48xlarge"), id="software on it"),
        pytest.param(hours(1, sku_meter="EBSOptimized:p5.48xlarge"), id="its disk link"),
        pytest.param(hours(1, sku_meter="p5.48xlarge", service_category="Storage"), id="its disks"),
        pytest.param(hours(1, sku_meter="BoxUsage:p5.48xlarge", charge_category="Tax"), id="tax on it"),
        pytest.param(
            hours(1, sku_price_details={"InstanceType": "p5.48xlarge", "GpuCount": "0"}), id="the bill says none"
        ),
        pytest.param(hours(1, sku_meter="L4 load balancing rule"), id="a layer is no L4"),
        pytest.param(group(), id="nothing said"),
    ],
)  # fmt: skip
def test_what_rents_no_gpu(charge):
    assert capacity(charge) is None


@pytest.mark.parametrize(
    ("quantity", "unit", "expected"),
    [
        ("2", "Hours", 2), ("2", "hour", 2), ("2", "Hrs", 2), ("2", "1 Hour", 2), ("2", "1/Hour", 2),
        ("2", "hourly", 2), ("0", "h", 0), ("0.24", "100 Hours", 24), ("7200", "seconds", 2), ("2", "Day", 48),
        ("30", "minutes", Decimal("0.5")), ("2", "daily", 48), ("2", "Instance per hour", 2),
        ("2", "Instance-Hours", 2), ("-2", "Hours", -2),
    ],
)  # fmt: skip
def test_hours_by_unit(quantity, unit, expected):
    billed = Decimal(-1) if quantity.startswith("-") else Decimal(1)
    assert capacity(hours(quantity, unit, sku_meter="BoxUsage:p5.4xlarge", billed=billed)).gpu_hours == expected


@pytest.mark.parametrize(
    ("charge", "note"),
    [
        (hours(1, "Quantity", sku_meter="BoxUsage:p5.48xlarge"), "'Quantity' is no unit of time that is known here"),
        (hours(1, "Month", sku_meter="BoxUsage:p5.48xlarge"), "'Month' is no unit of time"),
        (group(sku_meter="BoxUsage:p5.48xlarge"), "the bill has no quantity"),
        (hours(1, sku_meter="NVIDIA H100 PCIe pod"), "does not say how many GPUs"),
        (group(sku_meter="gpu", service_name="RunPod pods"), "no quantity"),
    ],
)
def test_without_hours_there_are_none_and_it_is_said(charge, note):
    found = capacity(charge)
    assert found.gpu_hours is None
    assert note in found.note


def test_the_bills_own_count_of_gpus_wins():
    assert capacity(hours(1, sku_price_details={"InstanceType": "p5.48xlarge", "GpuCount": "7"})).gpu_hours == 7


def test_a_discount_on_hours_adds_no_hours():
    """AWS repeats the hours on the row that takes a Savings Plan's on-demand price back."""
    assert capacity(hours(3, sku_meter="BoxUsage:p5.48xlarge", billed=Decimal(-10))).gpu_hours == 0


def test_hours_given_back_are_taken_off():
    assert capacity(hours(-3, sku_meter="BoxUsage:p5.48xlarge", billed=Decimal(-10))).gpu_hours == -24


@pytest.mark.parametrize(
    ("said", "purchase"),
    [
        ({"pricing_category": "Standard"}, Purchase.ON_DEMAND),
        ({"pricing_category": "Dynamic"}, Purchase.SPOT),
        ({"sku_meter": "SpotUsage:p5.48xlarge"}, Purchase.SPOT),
        ({"sku_meter": "ND96isr H100 v5 Low Priority"}, Purchase.SPOT),
        ({"pricing_category": "Committed", "commitment_type": "Savings Plan"}, Purchase.SAVINGS_PLAN),
        ({"pricing_category": "Committed", "commitment_type": "Compute Savings Plans"}, Purchase.SAVINGS_PLAN),
        ({"pricing_category": "Committed", "commitment_type": "Reservation"}, Purchase.RESERVED),
        ({"commitment_type": "Committed Use"}, Purchase.RESERVED),
        ({"pricing_category": "Committed"}, Purchase.RESERVED),
        ({"provider": "Owned", "pricing_category": "Other"}, Purchase.OWNED),
        ({}, Purchase.UNKNOWN),
    ],
)
def test_how_it_was_bought(said, purchase):
    assert capacity(hours(1, **{"sku_meter": "BoxUsage:p5.48xlarge"} | said)).purchase is purchase


@given(st.text(max_size=60), st.text(max_size=20), st.decimals(-(10**9), 10**9, places=6))
def test_no_text_of_a_bill_breaks_it(text, unit, quantity):
    found = capacity(hours(quantity, unit, sku_meter=text, sku_price_details={"InstanceType": text, "GpuCount": text}))
    assert found is None or found.gpu_hours is None or found.gpu_hours.is_finite()


# Owned GPUs

OWNED = {"price_usd": Decimal(30_000), "years": Decimal(4), "watts": Decimal(700), "usd_per_kwh": Decimal("0.12")}


def test_the_price_of_an_owned_gpu():
    """27,000 over 35,040 hours, 1 % upkeep of 30,000 over 8,760 hours, 0.7 kW x 1.25 x 0.12, 73 over 730 hours."""
    price = owned_usd_per_gpu_hour(
        **OWNED,
        pue=Decimal("1.25"),
        residual_fraction=Decimal("0.1"),
        upkeep_fraction_per_year=Decimal("0.01"),
        hosting_usd_per_month=Decimal(73),
    )
    expected = Decimal(27_000) / 35_040 + Decimal(300) / 8_760 + Decimal("0.105") + Decimal("0.1")
    assert abs(price - expected) < Decimal("1e-17")


@given(st.decimals(0, 10**6, places=2), st.decimals(0, 10**6, places=2))
def test_i08_the_price_rises_with_what_was_paid(one, other):
    low, high = (owned_usd_per_gpu_hour(**OWNED | {"price_usd": price}) for price in sorted((one, other)))
    assert low <= high


@pytest.mark.parametrize(
    "wrong",
    [{"years": Decimal(0)}, {"pue": Decimal("0.9")}, {"watts": Decimal(-1)}, {"residual_fraction": Decimal(2)}],
    ids=str,
)
def test_an_owned_gpu_that_cannot_be(wrong):
    with pytest.raises(DomainError, match="an owned GPU"):
        owned_usd_per_gpu_hour(**OWNED | wrong)
