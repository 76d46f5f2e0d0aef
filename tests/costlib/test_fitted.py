"""What calibration found goes along: used as it is for the same setup, as a hint for another, labelled beyond."""

from dataclasses import replace

import pytest

from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.fitted import Fitted, GroupRatio, Setup
from costlib.hardware import Precision
from costlib.project import project
from costlib.scenario import ApiTokens, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.workload import Workload
from store.catalog_files import SAMPLE_SCENARIO, load_catalog, load_scenario
from tests.costlib.scenario_builders import AS_OF
from tests.costlib.test_validity import SEEN

CATALOG = load_catalog()
MODEL, GPU, SERVING = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm"), ServingConfig()
SLOWER = Fitted(
    setup=Setup.of(MODEL.key, GPU.key, SERVING),
    ratios=(GroupRatio(group="memory", ratio=0.8), GroupRatio(group="overhead", ratio=2.0)),
    step_low_ratio=0.95,
    step_high_ratio=1.04,
    validity=SEEN,
)


def test_the_same_setup_has_the_constants_that_were_found() -> None:
    published = CATALOG.engine.resolve(MODEL, GPU, SERVING)
    found = CATALOG.engine.resolve(MODEL, GPU, SERVING, fitted=SLOWER)
    assert found.bandwidth_fraction == pytest.approx(0.8 * published.bandwidth_fraction)
    assert found.layer_s == pytest.approx(2 * published.layer_s)
    assert found.dense_compute_fraction == published.dense_compute_fraction
    assert (found.step_low_ratio, found.step_high_ratio, found.basis) == (0.95, 1.04, Basis.CALIBRATED)


@pytest.mark.parametrize(
    ("gpu", "serving"),
    [
        ("a100-sxm-80gb", SERVING),
        ("h100-sxm", replace(SERVING, weight_precision=Precision.FP8)),
        ("h100-sxm", replace(SERVING, kv_precision=Precision.FP8)),
        ("h100-sxm", replace(SERVING, tensor_parallel_count=2)),
    ],
)
def test_another_setup_keeps_how_the_deployment_differs_but_not_the_band(gpu: str, serving: ServingConfig) -> None:
    other = CATALOG.gpu(gpu)
    published = CATALOG.engine.resolve(MODEL, other, serving)
    found = CATALOG.engine.resolve(MODEL, other, serving, fitted=SLOWER)
    assert found.bandwidth_fraction == pytest.approx(0.8 * published.bandwidth_fraction)
    assert (found.step_low_ratio, found.step_high_ratio) == (published.step_low_ratio, published.step_high_ratio)
    assert found.basis is published.basis


def test_no_share_of_a_peak_is_above_all_of_it() -> None:
    double = replace(SLOWER, ratios=(GroupRatio(group="memory", ratio=2.0),))
    assert CATALOG.engine.resolve(MODEL, GPU, SERVING, fitted=double).bandwidth_fraction == 1.0


def calibrated(scenario: Scenario, key: str, **validity: float) -> Scenario:
    """The sample scenario's deployment `key` alone, 20 % slower at reading memory, calibrated on this range."""
    (one,) = (item for item in scenario.deployments if item.key == key)
    assert isinstance(one.supply, SelfHosted)
    wide = {"least_batch_count": 1.0, "most_batch_count": 1e4, "least_context_tokens": 1.0, "most_context_tokens": 1e6}
    mix = {"least_input_per_output_ratio": 0.1, "most_input_per_output_ratio": 100.0}
    fitted = replace(
        SLOWER,
        setup=Setup.of(one.model_key, one.supply.gpu_key, one.supply.serving),
        validity=replace(SEEN, **{**wide, **mix, **validity}),
    )
    workload = replace(one.workload, basis=Basis.MEASURED)
    supply = replace(one.supply, fitted=fitted)
    return replace(scenario, deployments=(replace(one, supply=supply, workload=workload),))


def test_a_projection_uses_what_was_found_and_its_band() -> None:
    file = load_scenario(SAMPLE_SCENARIO, AS_OF)
    scenario = calibrated(file.today, "support-copilot")
    (one,) = scenario.deployments
    published = replace(scenario, deployments=(replace(one, supply=replace(one.supply, fitted=None)),))
    found, before = project(scenario, file.catalog), project(published, file.catalog)
    assert found.usd_per_month.basis is Basis.CALIBRATED
    assert found.usd_per_month.mid > before.usd_per_month.mid

    def width(of) -> float:
        return of.usd_per_month.high / of.usd_per_month.low

    assert width(found) < width(before)


def test_a_projection_beyond_what_was_observed_is_extrapolated_and_its_band_that_of_the_published() -> None:
    file = load_scenario(SAMPLE_SCENARIO, AS_OF)
    inside = project(calibrated(file.today, "support-copilot"), file.catalog)
    beyond = project(calibrated(file.today, "support-copilot", most_batch_count=12.0), file.catalog)
    assert beyond.usd_per_month.mid == inside.usd_per_month.mid
    assert beyond.usd_per_month.basis is Basis.EXTRAPOLATED
    assert beyond.usd_per_month.high > inside.usd_per_month.high
    assert any("is outside 1 to 12, where it was calibrated" in warning for warning in beyond.warnings)


@pytest.mark.parametrize("key", ["support-copilot", "search-answers"])
def test_demand_that_varies_widens_the_band(key: str) -> None:
    file = load_scenario(SAMPLE_SCENARIO, AS_OF)
    scenario = calibrated(file.today, key)
    (one,) = scenario.deployments
    restless = replace(one, workload=replace(one.workload, demand_low_ratio=0.7, demand_high_ratio=1.4))
    calm, wide = project(scenario, file.catalog), project(replace(scenario, deployments=(restless,)), file.catalog)
    assert wide.usd_per_month.mid == calm.usd_per_month.mid
    assert wide.usd_per_month.low < calm.usd_per_month.low
    assert wide.usd_per_month.high > calm.usd_per_month.high


def test_what_is_bought_by_the_token_varies_with_demand() -> None:
    file = load_scenario(SAMPLE_SCENARIO, AS_OF)
    one = file.today.deployments[0]
    workload = replace(one.workload, demand_low_ratio=0.7, demand_high_ratio=1.4)
    bought = replace(one, supply=ApiTokens(usd_per_mtok_input=1.0, usd_per_mtok_output=3.0), workload=workload)
    usd = project(replace(file.today, deployments=(bought,)), file.catalog).usd_per_month
    assert (usd.low / usd.mid, usd.high / usd.mid) == pytest.approx((0.7, 1.4))


@pytest.mark.parametrize(("low", "high"), [(1.1, 1.2), (0.0, 1.2), (0.9, 0.95), (0.9, float("inf")), (float("nan"), 2)])
def test_a_demand_band_encloses_1(low: float, high: float) -> None:
    with pytest.raises(DomainError, match="enclose 1"):
        Workload(
            requests_per_s=1, mean_prompt_tokens=1, mean_output_tokens=1, demand_low_ratio=low, demand_high_ratio=high
        )


@pytest.mark.parametrize(
    ("low", "high"), [(-5.0, 1.0), (0.0, 1.0), (1.1, 0.9), (float("nan"), 1.0), (0.9, float("inf"))]
)
def test_a_band_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(DomainError, match="step_low_ratio and step_high_ratio are a band above 0"):
        replace(SLOWER, step_low_ratio=low, step_high_ratio=high)
