"""Commitments: used first, paid whole, and no saving until they end."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.commitment import Commitment
from costlib.compare import compare
from costlib.errors import ConfigError, DomainError
from costlib.fleet_cost import Z90, usd_per_month
from costlib.project import project
from costlib.scenario_file import scenario_file_from
from tests.costlib.scenario_builders import AS_OF, CATALOG, hosted, scenario, work

ONE = hosted("llama-3.3-70b", "h100-sxm", work(60, 1500, 300), tensor_parallel_count=4, usd_per_gpu_hour=3.0)
HALF = {"prefix_caching": {"enabled": True, "hit_fraction": 0.9}}


def committed(gpus, ends_on=date(2027, 6, 30), gpu="h100-sxm", usd=2.0):
    kept = Commitment(gpu_key=gpu, gpus_count=gpus, usd_per_gpu_hour=usd, ends_on=ends_on)
    return replace(scenario(ONE), commitments=(kept,))


def per_hour(today):
    return project(today, CATALOG).usd_per_hour


def test_the_committed_gpus_are_used_first_and_the_rest_is_bought():
    gpus = project(scenario(ONE), CATALOG).gpus_count
    assert gpus > 8
    assert per_hour(committed(8)) == pytest.approx(8 * 2.0 + (gpus - 8) * 3.0)


def test_what_is_not_needed_of_a_commitment_is_paid_all_the_same():
    result = project(committed(1000), CATALOG)
    unused = result.step("unused_commitment_usd_per_hour").value
    assert result.usd_per_hour == pytest.approx(2000.0)
    assert unused == pytest.approx((1000 - result.gpus_count) * 2.0)
    assert result.cost.total_usd_per_month == pytest.approx(result.usd_per_month.mid)
    assert "stays payable until 2027-06-30" in " ".join(result.warnings)


def test_a_lever_that_frees_committed_gpus_saves_capacity_and_no_cash():
    free = compare(scenario(ONE), HALF, CATALOG)
    tied = compare(committed(1000), HALF, CATALOG)
    assert free.saved_usd_per_month > 0
    assert tied.saved_usd_per_month == pytest.approx(0, abs=0.01)
    assert tied.capacity_freed_fraction == free.capacity_freed_fraction > 0


def test_after_its_last_day_it_is_neither_used_nor_paid():
    assert per_hour(committed(1000, ends_on=AS_OF)) > per_hour(committed(1000, ends_on=AS_OF - timedelta(days=1)))
    assert per_hour(committed(1000, ends_on=AS_OF - timedelta(days=1))) == per_hour(scenario(ONE))


def test_moving_to_another_gpu_leaves_it_payable():
    moved = compare(committed(8), {"gpu_choice": {"gpu": "h200-sxm"}}, CATALOG).scenario
    assert moved.step("unused_commitment_usd_per_hour").value == pytest.approx(16.0)


def test_deployments_on_the_same_gpu_share_it():
    """Routing moves work to a small model on the same GPUs: what the large one no longer needs is used by it."""
    other = hosted("llama-3.1-8b", "h100-sxm", work(100), key="small", usd_per_gpu_hour=3.0)
    both = replace(scenario(ONE, other), commitments=committed(8).commitments)
    gpus = project(both, CATALOG).gpus_count
    assert project(both, CATALOG).usd_per_hour == pytest.approx(8 * 2.0 + (gpus - 8) * 3.0)
    parts = project(both, CATALOG)
    assert sum(part.usd_per_hour for part in parts.deployments) == pytest.approx(parts.usd_per_hour)


@given(gpus=st.integers(1, 60), usd=st.floats(0, 5))
def test_many_at_once_pay_the_same(gpus, usd):
    today = committed(gpus, usd=usd)
    assert usd_per_month([today, scenario(ONE)][:1], CATALOG) == pytest.approx(
        [project(today, CATALOG).usd_per_month.mid]
    )
    low, high = usd_per_month([today] * 2, CATALOG, time_z=[-Z90, Z90])
    band = project(today, CATALOG).usd_per_month
    assert band.low <= min(low, high) + 1e-6
    assert max(low, high) - 1e-6 <= band.high


def test_it_is_stated_in_the_file_and_its_gpu_must_be_known():
    deployment = {
        "key": "chat", "model": "llama-3.1-8b", "gpu": "h100-sxm",
        "workload": {"requests_per_s": 1.0, "mean_prompt_tokens": 100.0, "mean_output_tokens": 100.0},
        "purchase": {"usd_per_gpu_hour": 3.0},
    }  # fmt: skip
    row = {"gpu": "h100-sxm", "gpus_count": 2, "usd_per_gpu_hour": 2.0, "ends_on": date(2027, 1, 1)}
    document = {"deployments": [deployment], "commitments": [row]}
    assert scenario_file_from(document, CATALOG, "here", AS_OF).today.commitments == (
        Commitment(gpu_key="h100-sxm", gpus_count=2, usd_per_gpu_hour=2.0, ends_on=date(2027, 1, 1)),
    )
    for wrong, named in (({"gpu": "h1000"}, "h1000"), ({"gpus": 2}, "gpus"), ({"gpus_count": 0}, "1 GPU or more")):
        with pytest.raises(ConfigError, match=named):
            scenario_file_from({**document, "commitments": [{**row, **wrong}]}, CATALOG, "here", AS_OF)


@pytest.mark.parametrize(("gpus", "usd"), [(0, 1.0), (-1, 1.0), (1, -0.01), (1, float("nan"))])
def test_one_that_cannot_be_is_refused(gpus, usd):
    with pytest.raises(DomainError, match="a commitment"):
        Commitment(gpu_key="h100-sxm", gpus_count=gpus, usd_per_gpu_hour=usd, ends_on=AS_OF)
