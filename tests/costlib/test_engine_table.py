"""The engine's constants: which stratum a deployment takes, what is said of unmeasured ones, and how they are read."""

from dataclasses import replace

import numpy as np
import pytest

from costlib.catalog import engine_from
from costlib.engine_table import ENGINE, EngineTable, Strata
from costlib.errors import ConfigError, UnknownKey
from costlib.estimate import Basis
from costlib.hardware import Precision
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, TOY_GPU

TABLE = CATALOG.engine
LLAMA, DEEPSEEK = CATALOG.model("llama-3.1-8b"), CATALOG.model("deepseek-v3")
ENGINES = ("vllm", "vllm_2024", "tensorrt_llm", "tensorrt_llm_2024", "sglang", "rocm_2024")


def resolved(gpu="h100-sxm", model=LLAMA, engine=ENGINE, **serving):
    return TABLE.resolve(model, CATALOG.gpu(gpu), ServingConfig(**serving), engine)


def one(name, stratum="all"):
    return TABLE.value(name, stratum)


@pytest.mark.parametrize(
    ("precision", "gpu", "stratum"),
    [
        pytest.param("bf16", "h100-sxm", "16bit", id="16 bit"),
        pytest.param("fp8", "h100-sxm", "8bit", id="8 bit where the GPU multiplies in it"),
        pytest.param("fp8", "a100-sxm-80gb", "16bit", id="storage only on Ampere"),
        pytest.param("int4", "h100-sxm", "16bit", id="storage only everywhere"),
        pytest.param("fp4", "b200", "4bit", id="4 bit on Blackwell"),
    ],
)
def test_a_format_takes_the_share_of_what_it_is_multiplied_in(precision, gpu, stratum):
    generation = {"h100-sxm": "hopper", "a100-sxm-80gb": "ampere", "b200": "blackwell"}[gpu]
    expected = one("compute_fraction", stratum) * one("generation_compute_ratio", generation)
    assert resolved(gpu, weight_precision=Precision(precision)).dense_compute_fraction == pytest.approx(expected)


def test_amd_and_fp4_are_strata_of_their_own():
    assert resolved("mi300x").bandwidth_fraction == pytest.approx(
        one("bandwidth_fraction") * one("generation_bandwidth_ratio", "amd")
    )
    fp8, fp4 = (resolved("b200", weight_precision=Precision(name)) for name in ("fp8", "fp4"))
    assert fp4.layer_s - fp8.layer_s == pytest.approx(one("quantise_layer_s"))
    assert fp4.dense_read_ratio == one("dense_4bit_read_ratio")


def test_a_card_below_its_module_in_power_computes_less():
    """H100 PCIe: 350 W for 756.5 TFLOP/s where the module has 700 W for 989.4."""
    ratio = (350 / 756.5e12) / one_module("hopper")
    falls = resolved("h100-pcie").dense_compute_fraction / resolved("h100-sxm").dense_compute_fraction
    assert falls == pytest.approx(ratio ** one("power_exponent_ratio"))
    assert falls < 0.7


def one_module(generation):
    return TABLE.module_j_per_flop[generation]


def test_experts_have_costs_of_their_own():
    moe = resolved(model=DEEPSEEK, weight_precision=Precision.FP8, tensor_parallel_count=8)
    dense = resolved(weight_precision=Precision.FP8)
    assert moe.layer_s - dense.layer_s == pytest.approx(one("expert_layer_s"))
    assert moe.expert_read_ratio == pytest.approx(one("expert_read_ratio") * one("expert_8bit_read_ratio"))


def test_pcie_is_another_stratum_than_a_gpu_link():
    assert resolved("l40s").link_fraction == one("link_fraction", "pcie")
    assert resolved("l40s").link_group_exponent_ratio == one("pcie_group_exponent_ratio")
    assert resolved("h100-sxm").link_group_exponent_ratio == 0


@pytest.mark.parametrize("gpu", ["l40s", "t4", "mi355x"])
def test_an_unmeasured_architecture_is_extrapolated_with_a_wider_band(gpu):
    near, far = resolved("h100-sxm"), resolved(gpu)
    assert (near.basis, far.basis) == (Basis.ASSUMED, Basis.EXTRAPOLATED)
    assert far.step_high_ratio / far.step_low_ratio > near.step_high_ratio / near.step_low_ratio


@pytest.mark.parametrize("gpu", ["h200-sxm", "rtx-pro-6000-se"])
def test_an_unmeasured_gpu_of_a_measured_architecture_has_the_wider_band(gpu):
    found = resolved(gpu)
    assert found.basis is Basis.ASSUMED
    assert found.step_low_ratio == resolved("l40s").step_low_ratio < resolved("h100-sxm").step_low_ratio


def test_the_measured_gpus_are_in_the_catalogue():
    architectures = {CATALOG.gpu(key).architecture for key in TABLE.measured_gpus}
    assert architectures == TABLE.measured_architectures


def test_an_architecture_nobody_knows_takes_the_mean_generation():
    found = TABLE.resolve(LLAMA, TOY_GPU, ServingConfig())
    assert found.bandwidth_fraction == one("bandwidth_fraction")
    assert found.basis is Basis.EXTRAPOLATED


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_differ_in_their_fixed_costs(engine):
    assert resolved(engine=engine).step_s == one("step_s", engine)


def test_an_unknown_engine_is_answered_with_the_nearest():
    with pytest.raises(UnknownKey, match=r"unknown stratum of layer_s 'vlm'.* Did you mean 'vllm'"):
        resolved(engine="vlm")
    with pytest.raises(UnknownKey, match=r"unknown engine constant 'knee'.* Did you mean 'knee_ratio'"):
        TABLE.value("knee")


def test_rows_take_each_its_own_strata():
    rows = Strata(
        engine=np.array(["vllm", "rocm_2024"]),
        generation=np.array(["hopper", "rocm_2024"]),
        dense_format=np.array(["8bit", "16bit"]),
        expert_format=np.array(["8bit", "16bit"]),
        link=np.array(["link", "link"]),
        is_moe=np.array([False, False]),
        has_8bit_experts=np.array([True, False]),
        has_4bit_dense=np.array([False, False]),
    )
    found = TABLE.constants_of(rows)
    alone = resolved(weight_precision=Precision.FP8)
    assert found.dense_compute_fraction[0] == pytest.approx(alone.dense_compute_fraction)
    assert found.layer_s[0] == pytest.approx(alone.layer_s)
    assert list(found.crowded_kv_read_ratio) == [1.0, one("crowded_kv_read_ratio", "rocm_2024")]


def test_other_values_leave_the_table_as_it_was():
    changed = TABLE.with_values({("knee_ratio", "all"): 0.5})
    assert changed.value("knee_ratio") == 0.5 != TABLE.value("knee_ratio")
    assert changed.fitted("knee_ratio") == replace(TABLE.fitted("knee_ratio"), value=0.5)


def test_every_constant_says_what_it_rests_on():
    for name, strata in TABLE.constants.items():
        for stratum, fitted in strata.items():
            where = f"{name} {stratum}"
            assert fitted.value >= 0 and fitted.log_sd >= 0 and fitted.points_count >= 0, where
            # What nothing was measured of stays near what was assumed before.
            assert fitted.points_count or abs(fitted.value - fitted.prior) <= fitted.prior_log_sd * fitted.prior, where


def test_bad_entries_are_named_with_their_place():
    row = {"value": 1.0, "log_sd": 0.1, "points_count": 1, "prior": 1.0, "prior_log_sd": 0.1}
    assert engine_from({"constants": {"knee_ratio": {"all": row}}}).value("knee_ratio") == 1.0
    with pytest.raises(ConfigError, match=r"\[constants.knee_ratio\] all value: expected a finite number, not nan"):
        engine_from({"constants": {"knee_ratio": {"all": {**row, "value": float("nan")}}}})
    with pytest.raises(UnknownKey, match=r"unknown key 'constant' in engine/constants\.toml"):
        engine_from({"constant": {}})
    with pytest.raises(ConfigError, match="expected a table"):
        engine_from({"constants": {"knee_ratio": 1.0}})
    assert engine_from({}) == EngineTable()
