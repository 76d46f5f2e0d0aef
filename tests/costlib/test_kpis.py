"""The 28 indicators of research/billing.md §5.3: each by name, each by hand, none zero where it is not known."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from costlib.books import Bucket, ChargeGroup, CostBasis, Line, ServerUse, TrialBalance
from costlib.capacity import GpuCapacity, Purchase
from costlib.estimate import Undefined
from costlib.kpis import KPIS, Facts, kpi

END = datetime(2026, 11, 16, tzinfo=UTC)


def line(bucket, amount, deployment="chat", model="m", **said):
    return Line(bucket=bucket, amount=Decimal(amount), deployment_key=deployment, model_key=model, **said)


# $200: own GPUs $120 of which $20 idle, an API $30, GPUs nobody is matched to $20, hosts $10, unused $12, tax $8.
LINES = (
    line(Bucket.INPUT, 40, tokens=2_000_000),
    line(Bucket.CACHED_INPUT, 10, tokens=1_000_000),
    line(Bucket.OUTPUT, 50, tokens=1_000_000),
    line(Bucket.INPUT, 20, "", "gpt", tokens=500_000, provider="OpenAI"),
    line(Bucket.CACHED_INPUT, 4, "", "gpt", tokens=400_000, provider="OpenAI"),
    line(Bucket.OUTPUT, 6, "", "gpt", tokens=100_000, provider="OpenAI"),
    line(Bucket.WARM_IDLE, 15, model=""),
    line(Bucket.START_AND_DRAIN, 5, model=""),
    line(Bucket.UNALLOCATED_GPU, 20, "", ""),
    line(Bucket.HOST, 10, "", ""),
    line(Bucket.COMMITMENT_WASTE, 12, "", ""),
    line(Bucket.TAX, 8, "", ""),
)
MADE = TrialBalance(
    month="2026-11-09 to 2026-11-15", currency="USD", basis=CostBasis.BILLED, total=Decimal(200), lines=LINES,
    residual=Decimal(0), gpu_hours=100.0, matched_gpu_hours=80.0,
)  # fmt: skip


def gpus(effective, listed, hours, purchase, status="", contracted=None):
    cost = Decimal(effective)
    group = ChargeGroup(
        currency="USD", billed=cost, effective=cost, list_cost=None if listed is None else Decimal(listed),
        contracted=Decimal(effective if contracted is None else contracted), commitment_status=status, last_end=END,
    )  # fmt: skip
    capacity = GpuCapacity(
        gpu_key="h100-sxm", gpus_count=1, gpu_hours=Decimal(hours), purchase=purchase, instance_type=""
    )
    return group, capacity


CHARGES = (
    gpus(60, 100, 50, Purchase.RESERVED, "Used", contracted=90),
    gpus(50, 60, 25, Purchase.ON_DEMAND, contracted=60),
    gpus(18, 40, 25, Purchase.SPOT),
    gpus(12, None, 0, Purchase.RESERVED, "Unused"),
)
SERVED = ServerUse(
    target_key="t", deployment_key="chat", model_key="m", gpus_count=2, observed_s=36.0 * 3600, busy_s=30.0 * 3600,
    computed_prompt_tokens=2_000_000, cached_prompt_tokens=1_000_000, generation_tokens=1_000_000,
    requests_count=1000, requests_stop_count=700, requests_length_count=100,
)  # fmt: skip
MONDAYS = {date(2026, 10, 12) + timedelta(days=7 * n): Decimal(cost) for n, cost in enumerate((100, 110, 90, 104, 160))}
BEFORE = TrialBalance(
    month="", currency="USD", basis=CostBasis.BILLED, total=Decimal(120), residual=Decimal(0),
    lines=(line(Bucket.OUTPUT, 120, tokens=4_000_000),),
)  # fmt: skip
FACTS = Facts(
    balance=MADE,
    groups=tuple(group for group, _ in CHARGES),
    capacity=tuple(capacity for _, capacity in CHARGES),
    servers=(SERVED,),
    before=BEFORE,
    invoice=Decimal("200.50"),
    budget=Decimal(160),
    elapsed_fraction=0.5,
    forecasts=((Decimal(90), Decimal(100)), (Decimal(110), Decimal(100))),
    days=MONDAYS,
    device_busy_fraction=0.9,
    api_cost=Decimal(300),
    target_busy_fraction=0.8,
    slo_good_requests_count=500,
    now=END + timedelta(hours=6),
)

BY_HAND = {
    "cost_per_mtok": 40,  # 200 / 5 M
    "cost_per_mtok_output": 200 / 1.1,
    "busy_cost_per_mtok": 26,  # (100 + 30) / 5 M
    "tokens_per_dollar": 25_000,
    "cost_per_request": 0.2,
    "cost_per_successful_request": 0.25,
    "gpu_hour_rate": 1.4,  # (100 + 20 + 20) / 100 h
    "all_in_gpu_hour_rate": 1.7,  # 30 more: hosts, unused, tax
    "serving_utilisation": 0.6,  # 30 h of two GPUs / 100
    "device_utilisation": 0.9,
    "matched_capacity": 0.8,
    "idle_cost": 20,
    "idle_share": 0.26,  # (20 + 20 + 12) / 200
    "unused_commitment_cost": 12,
    "commitment_utilisation": 60 / 72,
    "commitment_coverage": 0.6,  # 90 / (90 + 60)
    "effective_savings_rate": 0.3,  # 1 - (60 + 50 + 18 + 12) / 200
    "spot_share": 0.25,
    "spot_discount": 0.55,
    "allocated_share": 0.75,  # 150: what names a deployment or a model
    "unallocated_share": 0.25,
    "reconciliation_difference": 0.5,
    "budget_variance": 0.25,
    "run_rate": 400,
    "forecast_accuracy": 0.9,
    "anomaly": 58,  # 160 - 102; the median deviation is 5, three of them 15
    "change_from_volume": 30,  # 1 M more at $30
    "change_from_unit_cost": 50,  # 5 M at $10 more
    "api_break_even": 1.5,
    "api_break_even_at_target": 2.0,  # at 80 % instead of 60 % own tokens cost three quarters
    "cached_token_saving": 12,  # 400 k at $40, less $4
    "prefix_hit_share": 1 / 3,
    "slo_good_cost": 0.4,
    "data_age": 6 * 3600,
    "data_completeness": 0.9,  # 72 / 80
}


@pytest.mark.parametrize("name", list(KPIS))
def test_by_hand(name):
    assert float(kpi(name, FACTS)) == pytest.approx(BY_HAND[name], rel=1e-9)


def test_all_28_are_there():
    assert {one.number_count for one in KPIS.values()} == set(range(1, 29))
    assert all(one.label and one.formula for one in KPIS.values())


NOTHING = Facts(balance=replace(MADE, lines=(), total=Decimal(0), gpu_hours=None, matched_gpu_hours=None))
KNOWN_OF_NOTHING = {"idle_cost", "unused_commitment_cost"}  # sums: of no charges they are nothing


@pytest.mark.parametrize("name", [name for name in KPIS if name not in KNOWN_OF_NOTHING])
def test_a_ratio_without_its_denominator_is_undefined_and_says_why(name):
    found = kpi(name, NOTHING)
    assert isinstance(found, Undefined)
    assert found.reason


def test_the_two_parts_of_a_change_are_the_change():
    assert kpi("change_from_volume", FACTS) + kpi("change_from_unit_cost", FACTS) == MADE.total - BEFORE.total


def test_a_day_like_its_weekdays_is_no_anomaly():
    assert kpi("anomaly", replace(FACTS, days=MONDAYS | {max(MONDAYS): Decimal(112)})) == 0
    assert isinstance(kpi("anomaly", replace(FACTS, days={date(2026, 11, 9): Decimal(1)})), Undefined)


def test_only_billed_cost_is_held_against_an_invoice():
    effective = replace(FACTS, balance=replace(MADE, basis=CostBasis.EFFECTIVE))
    assert isinstance(kpi("reconciliation_difference", effective), Undefined)


def test_tokens_that_a_line_does_not_tell_are_not_left_out_of_a_price():
    unknown = replace(MADE, lines=(*LINES, line(Bucket.OUTPUT, 5, "", "gpt", tokens=None)))
    assert isinstance(kpi("cost_per_mtok", replace(FACTS, balance=unknown)), Undefined)
