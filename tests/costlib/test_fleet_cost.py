"""Many scenarios at once: the same bills as `project` says of each, and bands where its own are."""

from dataclasses import fields, replace
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.compare import apply_levers
from costlib.engine import engine_inputs
from costlib.errors import DomainError
from costlib.fleet_cost import Z90, edge_ratio, usd_per_month
from costlib.levers import LEVERS
from costlib.project import project
from tests.costlib.levers.test_lever_contract import SCENARIOS, extremes, switched_on
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

MANY = scenario(
    hosted("llama-3.3-70b", "h100-sxm", work(60, 1500, 300), key="large", tensor_parallel_count=4),
    hosted("llama-3.1-8b", "a100-sxm-80gb", work(40), key="small", max_tpot_s=0.02),
    hosted("llama-3.1-8b", "a100-sxm-80gb", work(5), key="stated", stated_tokens_per_s=900.0),
    bought("deepseek-v3", 1.10),
)


def alone(today):
    try:
        return project(today, CATALOG).usd_per_month.mid
    except DomainError:
        return float("nan")


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.key)
def test_whatever_a_lever_makes_of_a_scenario_costs_what_project_says(lever):
    edited = []
    for today in (*SCENARIOS.values(), MANY):
        for values in extremes(lever, today):
            checked = lever.check_values({**values, **switched_on(lever)}, today, CATALOG)
            if not lever.is_neutral(checked) and not lever.refuse(today, checked, CATALOG):
                edited.append(apply_levers(today, {lever.key: checked}, CATALOG))
    edited = edited[:: max(1, len(edited) // 40)]
    assert usd_per_month(edited, CATALOG) == pytest.approx([alone(one) for one in edited], rel=1e-9, nan_ok=True)


@given(
    rate=st.floats(0, 500), prompt=st.floats(0, 20_000), output=st.floats(1, 4000), cv=st.floats(0, 3),
    hit=st.floats(0, 1), slowest=st.none() | st.floats(0.001, 0.2), group=st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_any_load_costs_what_project_says(rate, prompt, output, cv, hit, slowest, group):
    deployment = hosted(
        "llama-3.1-8b", "h100-sxm", work(rate, prompt, output, output_cv_ratio=cv), prefix_hit_fraction=hit,
        tensor_parallel_count=group, max_tpot_s=slowest,
    )  # fmt: skip
    today = scenario(deployment)
    assert usd_per_month([today], CATALOG) == pytest.approx([alone(today)], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("key", ["prefix_hit_fraction", "host_hit_fraction"])
def test_what_draws_share_does_not_hang_on_what_is_found_in_caches(key):
    """Inputs and constants are found once for all draws that differ in cache hits alone."""
    host = {"host_kv_bytes": 64e9}
    rare, often = (
        scenario(
            *(hosted(model, gpu, work(60, 1500, 300), key=gpu, tensor_parallel_count=4, **host, **{key: share})
              for model, gpu in (("llama-3.3-70b", "h100-sxm"), ("gpt-oss-20b", "b200"), ("llama-3.1-8b", "l4")))
        )
        for share in (0.1, 0.9)
    )  # fmt: skip
    for was, now in zip(rare.deployments, often.deployments, strict=True):
        model, gpu = CATALOG.model(was.model_key), CATALOG.gpu(was.supply.gpu_key)
        for of in (engine_inputs, CATALOG.engine.resolve):
            first, second = (of(model, gpu, one.supply.serving) for one in (was, now))
            assert [getattr(first, field.name) for field in fields(first)] == [
                getattr(second, field.name) for field in fields(second)
            ]
    alone_each = [usd_per_month([one], CATALOG)[0] for one in (rare, often)]
    assert usd_per_month([rare, often], CATALOG).tolist() == alone_each


def test_one_that_does_not_fit_is_no_number_and_spoils_no_other():
    misfit = scenario(hosted("llama-3.3-70b", "a100-sxm-80gb", work()))
    found = usd_per_month([MANY, misfit, MANY], CATALOG)
    assert isnan(found[1])
    assert found[0] == found[2] == alone(MANY)


def test_slower_steps_and_more_demand_cost_more():
    z = np.linspace(-2, 2, 9)
    for change in ({"time_z": z}, {"demand_z": z}):
        today = replace(MANY, deployments=tuple(_open(d) for d in MANY.deployments))
        found = usd_per_month([today] * len(z), CATALOG, **change)
        assert (np.diff(found) >= 0).all()
        assert found[0] < found[-1]


def _open(deployment):
    return replace(deployment, workload=replace(deployment.workload, demand_low_ratio=0.8, demand_high_ratio=1.3))


def test_the_edges_of_step_time_alone_are_the_band_that_project_gives():
    low, high = usd_per_month([MANY, MANY], CATALOG, time_z=np.array([-Z90, Z90]))
    band = project(MANY, CATALOG).usd_per_month
    assert (low, high) == pytest.approx((band.low, band.high))


def test_a_ratio_of_nothing_known_is_one():
    assert edge_ratio((1.0, 1.0), 3.0) == 1.0
