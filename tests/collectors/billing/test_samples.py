"""Every sample file of the FOCUS, API and gateway formats: its own totals to the last digit, or why it is refused."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.billing import format_of
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord
from tests.collectors.billing.samples import read, total

HERE = Path(__file__).parent
US = {"mapping": Path("focus_us")}
USD = {"currency": "USD"}


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and what it adds up to by its own numbers (taken from it with a calculator, not with this code)."""

    name: str
    key: str
    rows_count: int
    billed: str
    effective: str | None = None

    @property
    def path(self) -> Path:
        return HERE / self.name


SAMPLES = [
    (Sample("focus/focus_1.0_official_mixed_part1.csv.gz", "focus", 502, "5.07502739051", "1.81354239318"), {}),
    (Sample("focus/focus-00001.snappy.parquet", "focus", 502, "5.07502739051", "1.81354239318"), {}),
    (Sample("focus/aws_focus_1.2_p5_savings_plan.csv", "focus", 28, "435.2354", "435.2354"), {}),
    (Sample("focus/aws_focus_1.2_p5_savings_plan.restated.csv", "focus", 28, "345.3970", "345.3970"), {}),
    (Sample("focus/focus_1.2_synthetic_aws_excerpt.csv", "focus", 3, "599.476892", "38.620604"), {}),
    (Sample("focus/focus_1.3_synthetic_gcp_excerpt.csv", "focus", 3, "149.05059248", "149.05059248"), {}),
    (Sample("focus/coreweave_focus_1.2_usage_only.csv", "focus", 3, "0"), {}),
    (Sample("focus/commitment_discount_purchase_scenario_1.csv", "focus", 1, "8760.00", "0.00"), USD),
    (Sample("focus/commitment_discount_usage_scenario_1.csv", "focus", 1, "0.00", "1.00"), USD),
    (Sample("focus/commitment_discount_usage_scenario_2.csv", "focus", 1, "0.00", "1.00"), USD),
    (Sample("focus/commitment_discount_usage_scenario_3.csv", "focus", 2, "0.00", "1.00"), USD),
    (Sample("focus/commitment_discount_usage_scenario_4.csv", "focus", 2, "0.50", "1.50"), USD),
    (Sample("focus/simple_saas_agreements_a1.csv", "mapped", 1, "10000.00", "10000.00"), US),
    (Sample("focus/simple_saas_agreements_a2.csv", "mapped", 1, "50000.00", "50000.00"), US),
    (Sample("focus/simple_saas_agreements_a3.csv", "mapped", 1, "1000.00", "1000.00"), US),
    (Sample("focus/simple_saas_agreements_b.csv", "mapped", 1, "50000.00", "50000.00"), US),
    (Sample("focus/simple_saas_agreements_c.csv", "mapped", 3, "35800.00", "35800.00"), US),
    (Sample("api/anthropic_cost_report.json", "anthropic_costs", 2, "13.332678", "13.332678"), {}),
    (Sample("api/openai_costs.json", "openai_costs", 2, "10.84567", "10.84567"), {}),
    (Sample("api/runpod_v2_billing_pods.json", "runpod", 2, "57.84", "57.84"), {}),
    (Sample("api/litellm_focus_export.csv", "litellm", 3, "1.930662", "1.930662"), {}),
]

NO_CURRENCY = "lacks the column BillingCurrency"
SPREADSHEET = "may be two days, with the day or the month first"
REFUSED = [
    ("focus/focus_1.4_draft_invoicedetail_excerpt.csv", {}, "is the FOCUS dataset Invoice Detail"),
    ("focus/commitment_discount_purchase_scenario_1.csv", {}, NO_CURRENCY),
    ("focus/commitment_discount_purchase_scenario_2.csv", USD, "'2023-02-01T30:00:00Z' is no time there is"),
    ("focus/commitment_discount_purchase_scenario_3.csv", USD, "'2023-02-01T30:00:00Z' is no time there is"),
    *((f"focus/simple_saas_agreements_{name}.csv", {}, SPREADSHEET) for name in ("a1", "a2", "a3", "b", "c")),
]


@pytest.mark.parametrize(("sample", "settings"), SAMPLES, ids=lambda value: getattr(value, "name", ""))
def test_a_sample_has_its_own_totals(sample: Sample, settings: dict) -> None:
    rows, source = read(sample.path, **settings)
    assert format_of(source).key == sample.key
    assert rows.num_rows == sample.rows_count
    assert total(rows, "BilledCost") == Decimal(sample.billed)
    if sample.effective is None:
        assert rows["EffectiveCost"].null_count == rows.num_rows
    else:
        assert total(rows, "EffectiveCost") == Decimal(sample.effective)


@pytest.mark.parametrize(("name", "settings", "reason"), REFUSED)
def test_a_sample_is_refused_with_its_reason(name: str, settings: dict, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        list(format_of(source := BillingSource(path=HERE / name, **settings)).parse(source))


def test_every_sample_file_is_in_the_table() -> None:
    listed = {sample.name for sample, _ in SAMPLES} | {name for name, _, _ in REFUSED}
    files = {f"{path.parent.name}/{path.name}" for folder in ("focus", "api") for path in (HERE / folder).iterdir()}
    assert {name for name in files if not name.endswith((".md", ".expected.json"))} == listed
