"""Calibration against fleets whose truth is known: what is found again, what is refused, and what is only a hint."""

from dataclasses import replace

import numpy as np
import pytest

from costlib.calibration import Calibration, How, WrongFact, calibrate
from costlib.engine import EngineConstants, engine_inputs
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.fitted import with_ratios
from costlib.load_windows import LoadWindows, modelled_step_s
from costlib.step_fit import fit_steps
from costlib.suspects import Stated
from costlib.units import SECONDS_PER_HOUR
from store.catalog_files import load_catalog
from tests.costlib import planted_fleet
from tests.costlib.simulated_fleet import (
    MINUTE_S,
    MINUTES_OF_A_DAY,
    coefficients,
    covered_fraction,
    simulated,
    stated,
    upto,
    with_columns,
)

CATALOG = load_catalog()
SMALL = stated(CATALOG, "llama-3.1-8b", "h100-sxm")
LARGE = stated(CATALOG, "llama-3.3-70b", "h100-sxm", tensor_parallel_count=4)
EXPERTS = stated(CATALOG, "mixtral-8x7b", "h100-sxm", tensor_parallel_count=2)
FLEETS = {"8B": SMALL, "70B on 4 GPUs": LARGE, "experts on 2 GPUs": EXPERTS}
SEVERAL_ENGINES = {
    "attention of its own on each of 8 GPUs": stated(
        CATALOG, "deepseek-v3", "h200-sxm", data_parallel_attention_count=8, weight_precision="fp8"
    ),
    "a pipeline of two": stated(
        CATALOG, "llama-3.3-70b", "h100-sxm", tensor_parallel_count=4, pipeline_parallel_count=2
    ),
}
PLANTED = {"compute": 0.85, "memory": 0.9, "overhead": 1.3}


def constants_of(found: Calibration, of: Stated) -> EngineConstants:
    return CATALOG.engine.resolve(of.model, of.gpu, of.serving, fitted=found.fitted)


# What is found again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", FLEETS.values(), ids=FLEETS)
def test_planted_coefficients_are_found_within_5_percent(of: Stated) -> None:
    found = calibrate(simulated(of, PLANTED, day_noise=0.0), of, CATALOG)
    planted = coefficients(of, with_ratios(of.constants, PLANTED))
    assert found.how is How.FITTED
    recovered = coefficients(of, constants_of(found, of))
    assert recovered == pytest.approx(planted, rel=0.05)
    assert coefficients(of, of.constants) != pytest.approx(planted, rel=0.1), "nothing was planted"


@pytest.mark.parametrize(
    "name", ["8B, chat and documents, saturated", "70B, documents, saturated", "compute-bound, chat, saturated"]
)
def test_the_linear_coefficients_of_a_fleet_that_knows_no_engine_model_are_found_within_5_percent(name: str) -> None:
    steps, kinds, load = planted_fleet.FLEETS[name]
    fit = fit_steps(planted_fleet.planted(steps, kinds, load, minutes=10_000, gauge_noise=0.02).windows)
    assert fit.t0_s == pytest.approx(steps.t0, rel=0.05)
    assert fit.prompt_s_per_token == pytest.approx(steps.a, rel=0.05)


@pytest.mark.parametrize("of", FLEETS.values(), ids=FLEETS)
def test_the_back_test_replays_the_last_day_and_passes(of: Stated) -> None:
    load = simulated(of, PLANTED)
    test = calibrate(load, of, CATALOG).back_test
    assert test is not None and test.passes
    assert test.windows_count == MINUTES_OF_A_DAY
    assert [hour.busy_s for hour in test.hours] == pytest.approx([SECONDS_PER_HOUR] * 24)
    assert test.hours[0].start_s == load.start_s[-1] + MINUTE_S - 24 * SECONDS_PER_HOUR
    assert all(hour.low_s < hour.predicted_s < hour.high_s for hour in test.hours)
    assert test.median_error_ratio == pytest.approx(0.02, abs=0.01), "3 % of noise is 2 % at the median"


def test_the_band_covers_what_comes_next() -> None:
    """Of 15 fleets: two days to calibrate on, and the share of the third day's minutes inside the 80 % band."""
    covered = []
    for seed in range(5):
        for of in FLEETS.values():
            whole = simulated(of, PLANTED, seed=seed, day_noise=0.005)
            constants = constants_of(calibrate(upto(whole, 2 * MINUTES_OF_A_DAY), of, CATALOG), of)
            covered.append(covered_fraction(of, constants, whole, since=2 * MINUTES_OF_A_DAY))
    assert 0.75 <= np.mean(covered) <= 0.85


@pytest.mark.parametrize("of", SEVERAL_ENGINES.values(), ids=SEVERAL_ENGINES)
def test_steps_counted_by_several_engines_are_put_together(of: Stated) -> None:
    found = calibrate(simulated(of, PLANTED, minutes=1500, batches=(64.0, 512.0)), of, CATALOG)
    assert found.back_test is not None and found.back_test.passes
    assert found.fitted.validity.least_batch_count == pytest.approx(64, rel=0.1)
    ratios = {one.group: one.ratio for one in found.fitted.ratios}
    assert ratios["compute"] == pytest.approx(0.85, rel=0.1)


def test_a_fleet_as_published_stays_as_published() -> None:
    found = calibrate(simulated(SMALL), SMALL, CATALOG)
    assert coefficients(SMALL, constants_of(found, SMALL)) == pytest.approx(
        coefficients(SMALL, SMALL.constants), rel=0.03
    )


# The fact that is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "said", "fact", "fits"),
    [
        pytest.param(SMALL, {"gpu": "a100-sxm-80gb"}, "GPU", "NVIDIA H100 SXM", id="an H100 called A100"),
        pytest.param({"gpu": "h200-sxm"}, {}, "GPU", "NVIDIA H200 SXM", id="an H200 called H100"),
        pytest.param({"weight_precision": "fp8"}, {}, "precision", "fp8", id="fp8 called bf16"),
    ],
)
def test_a_wrong_fact_is_named(truth, said, fact, fits) -> None:
    def small(gpu: str = "h100-sxm", **serving: object) -> Stated:
        return stated(CATALOG, "llama-3.1-8b", gpu, **serving)

    real = truth if isinstance(truth, Stated) else small(**truth)
    with pytest.raises(WrongFact, match=f"The {fact} is most likely not .*: {fits} would") as wrong:
        calibrate(simulated(real, minutes=1500), small(**said), CATALOG)
    assert wrong.value.suspects[0].fact == fact


def test_a_gpu_that_is_slower_than_any_of_its_kind_is_used_and_said() -> None:
    """An A100 called H100 keeps to shares that are possible, but no H100 that was measured is so slow."""
    real = stated(CATALOG, "llama-3.1-8b", "a100-sxm-80gb")
    found = calibrate(simulated(real, minutes=1500), SMALL, CATALOG)
    (note,) = [note for note in found.notes if note.startswith("unusual")]
    assert "NVIDIA A100 SXM 80 GB would reach" in note


# What cannot be calibrated on, or hardly ------------------------------------------------------------------------------


def test_an_hour_of_idling_is_refused() -> None:
    idle = simulated(SMALL, minutes=60, batches=(0.3, 2.0))
    with pytest.raises(DomainError, match=r"no window ran 4 sequences .* 1\.0 h were observed"):
        calibrate(idle, SMALL, CATALOG)


def test_no_window_at_all_is_refused() -> None:
    load = simulated(SMALL, minutes=60)
    nothing = {name: np.array([]) for name in load.busy.__dataclass_fields__}
    with pytest.raises(DomainError, match="no window ran"):
        calibrate(replace(with_columns(load, **nothing), start_s=np.array([]), busy_fraction=0.0), SMALL, CATALOG)


def test_a_server_that_exports_no_steps_is_refused_as_such() -> None:
    load = simulated(SMALL, minutes=600)
    with pytest.raises(DomainError, match="engine steps are not exported"):
        calibrate(with_columns(load, steps_count=np.full(600, np.nan)), SMALL, CATALOG)


@pytest.mark.parametrize("name", ["window_s", "steps_count", "computed_tokens", "generated_tokens"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_windows_with_an_impossible_number_are_left_out(name: str, bad: float) -> None:
    load = simulated(SMALL, minutes=900)
    column = getattr(load.busy, name).copy()
    column[::3] = bad
    found = calibrate(with_columns(load, **{name: column}), SMALL, CATALOG)
    assert found.windows_count + found.back_test.windows_count == 600
    assert found.back_test.passes


@pytest.mark.parametrize("name", ["context_tokens", "requests_count"])
def test_what_is_not_needed_may_be_unknown(name: str) -> None:
    load = simulated(SMALL, minutes=900)
    some = getattr(load.busy, name).copy()
    some[::2] = np.nan
    for column in (some, None):
        found = calibrate(with_columns(load, **{name: column}), SMALL, CATALOG)
        assert found.back_test.passes


def test_windows_too_alike_are_led_by_the_prior_and_say_so() -> None:
    load = simulated(SMALL, PLANTED, minutes=900)
    same = load.busy.generated_tokens * 5.0
    steps = load.busy.window_s / modelled_step_s(
        engine_inputs(SMALL.model, SMALL.gpu, SMALL.serving),
        with_ratios(SMALL.constants, PLANTED),
        with_columns(load, computed_tokens=same, requests_count=None),
        np.arange(900),
    )
    alike = with_columns(
        load,
        computed_tokens=same / load.busy.steps_count * steps,
        generated_tokens=load.busy.generated_tokens / load.busy.steps_count * steps,
        steps_count=steps,
        requests_count=None,
    )
    found = calibrate(alike, SMALL, CATALOG)
    assert found.how is How.PRIOR_LED
    assert "input per output token hardly varies" in found.why
    assert found.back_test.passes


def test_a_handful_of_windows_is_one_measured_point() -> None:
    """A tenth slower everywhere: the one point moves the prediction there most of the way, and the band stays wide."""
    slow = {"compute": 1 / 1.1, "memory": 1 / 1.1, "overhead": 1.1}
    load = simulated(SMALL, slow, minutes=12, noise=0.0, day_noise=0.0)
    found = calibrate(load, SMALL, CATALOG)
    assert found.how is How.ANCHORED
    assert found.back_test is None
    rows = load.usable()
    inputs = engine_inputs(SMALL.model, SMALL.gpu, SMALL.serving)
    constants = constants_of(found, SMALL)
    before = load.step_s(rows).mean() / modelled_step_s(inputs, SMALL.constants, load, rows).mean()
    after = load.step_s(rows).mean() / modelled_step_s(inputs, constants, load, rows).mean()
    assert before == pytest.approx(1.1, abs=0.01)
    assert 1.0 < after < 1.07
    assert constants.step_low_ratio < 0.95 and constants.step_high_ratio > 1.05


def test_a_handful_of_windows_of_another_gpu_names_it() -> None:
    said = stated(CATALOG, "llama-3.1-8b", "a100-sxm-80gb")
    with pytest.raises(WrongFact, match="NVIDIA H100 SXM would reach"):
        calibrate(simulated(SMALL, minutes=12), said, CATALOG)


def test_less_than_a_day_is_indicative() -> None:
    found = calibrate(simulated(SMALL, minutes=600), SMALL, CATALOG)
    assert found.notes == ("indicative: 10.0 h were observed; 24 h show a whole day.",)


def test_an_engine_that_changed_overnight_is_not_valid_for_planning() -> None:
    load = simulated(SMALL)
    last = np.arange(3 * MINUTES_OF_A_DAY) >= 2 * MINUTES_OF_A_DAY
    changed = with_columns(
        load,
        steps_count=load.busy.steps_count / np.where(last, 1.4, 1.0),
        computed_tokens=load.busy.computed_tokens / np.where(last, 1.4, 1.0),
        generated_tokens=load.busy.generated_tokens / np.where(last, 1.4, 1.0),
    )
    found = calibrate(changed, SMALL, CATALOG)
    assert not found.back_test.passes
    assert any(note.startswith("not valid for planning") for note in found.notes)


def test_what_is_fitted_says_so_and_keeps_the_sheet() -> None:
    found = calibrate(simulated(SMALL, PLANTED, minutes=900), SMALL, CATALOG)
    constants = constants_of(found, SMALL)
    assert constants.basis is Basis.CALIBRATED
    by_group = {one.group: one for one in found.found}
    assert by_group["memory"].reached_fraction == pytest.approx(float(constants.bandwidth_fraction))
    assert by_group["compute"].reached_fraction == pytest.approx(float(constants.dense_compute_fraction))
    assert all(one.low_ratio <= one.ratio <= one.high_ratio for one in found.found)


def test_the_same_windows_give_the_same_calibration() -> None:
    load: LoadWindows = simulated(SMALL, PLANTED, minutes=900)
    assert calibrate(load, SMALL, CATALOG) == calibrate(load, SMALL, CATALOG)
