"""dcgm-exporter's page: whole GPUs, MIG slices, what is missing and what is no number.

The pages are made up after the exporter's documented fields and labels (dcgm-exporter 4.6.0-4.8.3); none was recorded.
"""

import pytest

from collectors.base import PageRefused
from collectors.sources.dcgm import parse

WHOLE = 'gpu="0",UUID="GPU-6ad7",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="node-1"'
POD = ',container="vllm",namespace="serving",pod="llama-0"'
SLICE = 'gpu="1",UUID="GPU-77aa",modelName="NVIDIA A100",Hostname="node-1",GPU_I_PROFILE="1g.10gb",GPU_I_ID="3"'


def page(*lines):
    return ("# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n" + "\n".join(lines) + "\n").encode()


GPU = page(
    f"DCGM_FI_DEV_GPU_UTIL{{{WHOLE}{POD}}} 97",
    f"DCGM_FI_PROF_SM_ACTIVE{{{WHOLE}{POD}}} 0.62",
    f"DCGM_FI_PROF_SM_OCCUPANCY{{{WHOLE}{POD}}} 0.21",
    f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{WHOLE}{POD}}} 0.143",
    f"DCGM_FI_PROF_DRAM_ACTIVE{{{WHOLE}{POD}}} 0.71",
    f"DCGM_FI_DEV_FB_USED{{{WHOLE}{POD}}} 74080",
    f"DCGM_FI_DEV_FB_FREE{{{WHOLE}{POD}}} 7000",
    f"DCGM_FI_DEV_POWER_USAGE{{{WHOLE}{POD}}} 512.5",
    f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{WHOLE}{POD}}} 123456789",
    f"DCGM_FI_DEV_GPU_TEMP{{{WHOLE}{POD}}} 61",
)


def test_a_whole_gpu_in_base_units(ctx):
    (device,) = parse(GPU, ctx).devices
    assert device.device_key == "GPU-6ad7"
    assert device.gauges == {
        "gpu_util_fraction": pytest.approx(0.97),
        "sm_active_fraction": 0.62,
        "sm_occupancy_fraction": 0.21,
        "tensor_active_fraction": 0.143,
        "dram_active_fraction": 0.71,
        "memory_used_bytes": 74080 * 1024**2,
        "memory_free_bytes": 7000 * 1024**2,
        "power_w": 512.5,
    }
    assert device.counters == {"energy_j": pytest.approx(123_456.789)}
    assert device.facts == {
        "name": "NVIDIA H100 80GB HBM3",
        "host": "node-1",
        "pod": "llama-0",
        "namespace": "serving",
        "container": "vllm",
    }


def test_s40_a_mig_slice_is_a_device_of_its_own_without_utilisation(ctx):
    (device,) = parse(page(f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{SLICE}}} 0.4"), ctx).devices
    assert device.device_key == "GPU-77aa/3"
    assert device.gauges == {"tensor_active_fraction": 0.4}
    assert device.facts["mig_profile"] == "1g.10gb"


def test_s40_a_gpu_without_kubernetes_labels_stays_visible(ctx):
    (device,) = parse(page('DCGM_FI_DEV_POWER_USAGE{gpu="5",pod=""} 88'), ctx).devices
    assert (device.device_key, device.facts) == ("gpu 5", {})


def test_the_pod_that_has_the_gpu_wins_over_the_exporters_own(ctx):
    (device,) = parse(page('DCGM_FI_DEV_POWER_USAGE{UUID="G",pod="dcgm-x",exported_pod="llama-0"} 88'), ctx).devices
    assert device.facts["pod"] == "llama-0"


def test_what_is_no_number_is_left_out_and_said(ctx):
    readings = parse(page('DCGM_FI_DEV_POWER_USAGE{UUID="G"} NaN', 'DCGM_FI_DEV_GPU_UTIL{UUID="G"} 50'), ctx)
    assert readings.devices[0].gauges == {"gpu_util_fraction": 0.5}
    assert readings.remarks == ["power_w is not a number of any GPU and is left out"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"python_info 1\n", "no_device_metrics"),
        (b"<html>", "not_metrics"),
        (b"", "not_metrics"),
        (b'DCGM_FI_DEV_GPU_UTIL{UUID="G"} 5', "truncated"),
    ],
)
def test_what_is_no_exporter_is_refused_by_name(ctx, body, word):
    with pytest.raises(PageRefused, match="gpu-1") as caught:
        parse(body, ctx)
    assert caught.value.word == word
