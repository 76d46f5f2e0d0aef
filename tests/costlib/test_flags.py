"""The command of a deployment: what differs from vLLM's defaults, what the release has, and nothing else."""

import json
import shlex
from dataclasses import replace

import pytest

from costlib.flags import MODEL, changes, command, commands, container_yaml
from costlib.hardware import Precision
from costlib.serving import Batching
from costlib.sources import Source
from costlib.speculation import Speculation
from store.vllm_flags import load_flag_table
from tests.costlib.scenario_builders import AS_OF, CATALOG, bought, hosted, scenario

TABLE = load_flag_table()
NOW = TABLE.at()
EAGLE = Speculation(draft_tokens=3, acceptance_fraction=0.7, draft_params_count=1e9, draft_layers_count=1)


def written(deployment, release=NOW):
    one = command(deployment, CATALOG, release)
    assert one is not None
    return one


def options(deployment, release=NOW):
    return {flag.name: flag.value for flag in written(deployment, release).flags}


def test_what_is_at_vllms_defaults_is_not_written():
    assert written(hosted("llama-3.1-8b", "h100-sxm")).words == ("vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct")


def test_defaults_are_those_of_the_gpu():
    assert options(hosted("llama-3.1-8b", "a100-sxm-80gb")) == {
        "--max-num-seqs": "1024", "--max-num-batched-tokens": "8192",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"tensor_parallel_count": 4}, {"--tensor-parallel-size": "4"}),
        ({"pipeline_parallel_count": 2}, {"--pipeline-parallel-size": "2"}),
        ({"max_num_seqs": 64}, {"--max-num-seqs": "64"}),
        ({"max_num_batched_tokens": 2048}, {"--max-num-batched-tokens": "2048"}),
        ({"gpu_memory_utilization": 0.85}, {"--gpu-memory-utilization": "0.85"}),
        ({"kv_precision": Precision.FP8}, {"--kv-cache-dtype": "fp8"}),
        ({"weight_precision": Precision.FP8}, {"--quantization": "fp8"}),
        ({"quantization": "awq", "weight_precision": Precision.INT4}, {"--quantization": "awq"}),
        ({"max_chunk_tokens": 512}, {"--long-prefill-token-threshold": "512"}),
        ({"host_kv_bytes": 64 * 1024.0**3, "tensor_parallel_count": 2},
         {"--tensor-parallel-size": "2", "--kv-offloading-size": "128"}),
        ({"prefix_hit_fraction": 0.5}, {}),
        ({"min_replicas_count": 3}, {}),
    ],
)  # fmt: skip
def test_each_setting_is_its_option(setting, expected):
    assert options(hosted("llama-3.1-8b", "h100-sxm", **setting)) == expected


def test_experts_spread_over_data_parallel_groups():
    assert options(hosted("deepseek-v3", "h200-sxm", data_parallel_attention_count=8)) == {
        "--data-parallel-size": "8", "--enable-expert-parallel": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("drafts", "expected"),
    [
        (Speculation(draft_tokens=4, acceptance_fraction=0.5),
         {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}),
        (EAGLE, {"method": "eagle3", "model": "PATH_TO/EAGLE3-head-of-Llama-3.3-70B-Instruct",
                 "num_speculative_tokens": 3}),
        (Speculation(draft_tokens=5, acceptance_fraction=0.7,
                     draft_params_count=CATALOG.model("llama-3.1-8b").total_params_count, draft_layers_count=32),
         {"method": "draft_model", "model": "meta-llama/Llama-3.1-8B-Instruct", "num_speculative_tokens": 5}),
    ],
)  # fmt: skip
def test_drafts_are_one_json_option(drafts, expected):
    found = options(hosted("llama-3.3-70b", "h200-sxm", tensor_parallel_count=4, speculation=drafts))
    assert json.loads(found["--speculative-config"]) == expected


def test_a_format_that_needs_its_own_checkpoint_asks_for_it():
    one = written(hosted("llama-3.1-8b", "h100-sxm", weight_precision=Precision.INT4))
    assert one.model == "PATH_TO/Llama-3.1-8B-Instruct-int4"
    assert any("stands for a checkpoint of Llama 3.1 8B in int4" in note for note in one.notes)


def test_a_model_quantized_at_birth_needs_no_option():
    assert "--quantization" not in options(
        hosted("deepseek-v3", "h200-sxm", tensor_parallel_count=8, weight_precision=Precision.FP8)
    )


def test_what_the_release_has_not_is_left_out_and_said():
    one = written(hosted("llama-3.3-70b", "h200-sxm", tensor_parallel_count=4, speculation=EAGLE), TABLE.at("0.7.3"))
    assert "--speculative-config" not in one.line
    assert one.missing == (
        "--speculative-config is left out: vLLM 0.7.3 has it not; 0.8.5 and later has it.",
    )  # fmt: skip
    assert not any("EAGLE" in note for note in one.notes)


def test_a_method_that_the_release_dropped_is_left_out_and_said():
    one = written(hosted("llama-3.1-8b", "h100-sxm", quantization="bitsandbytes", weight_precision=Precision.INT4))
    assert "--quantization" not in one.line
    assert "0.5.0 to 0.27.1 has it" in one.missing[0]


def test_where_defaults_are_not_known_every_limit_is_written():
    found = options(hosted("llama-3.1-8b", "h100-sxm", prefix_hit_fraction=0.3), TABLE.at("0.6.3"))
    assert found == {
        "--max-num-seqs": "1024",
        "--max-num-batched-tokens": "8192",
        "--gpu-memory-utilization": "0.92",
        "--enable-chunked-prefill": "",
        "--enable-prefix-caching": "",
    }
    assert options(hosted("llama-3.1-8b", "h100-sxm"), TABLE.at("0.33.0")).keys() == {
        "--max-num-seqs", "--max-num-batched-tokens", "--gpu-memory-utilization",
    }  # fmt: skip


def test_what_vllm_does_not_do_has_no_command_and_says_why():
    static = hosted("llama-3.1-8b", "h100-sxm", batching=Batching.STATIC)
    (served,) = commands(scenario(static), scenario(hosted("llama-3.1-8b", "h100-sxm")), CATALOG, NOW)
    assert served.today is None
    assert served.why == "batches statically today, which vLLM never does"
    assert [change.name for change in served.changes] == [MODEL]
    (api,) = commands(scenario(bought("llama-3.1-8b", 0.2)), scenario(bought("llama-3.1-8b", 0.2)), CATALOG, NOW)
    assert (api.today, api.scenario, api.changes) == (None, None, ())
    assert "bought by the token" in api.why


def test_the_difference_is_what_was_added_changed_and_removed():
    was = written(hosted("llama-3.1-8b", "h100-sxm", max_num_seqs=64, tensor_parallel_count=2))
    becomes = written(hosted("llama-3.1-8b", "h100-sxm", max_num_seqs=128, kv_precision=Precision.FP8))
    assert [change.text for change in changes(was, becomes)] == [
        "- --tensor-parallel-size 2", "~ --max-num-seqs 64 -> 128", "+ --kv-cache-dtype fp8",
    ]  # fmt: skip
    assert changes(was, was) == ()


def test_deployments_that_come_and_go_are_told():
    stays, comes = hosted("llama-3.1-8b", "h100-sxm", key="a"), hosted("llama-3.1-8b", "h100-sxm", key="b")
    first, second = commands(scenario(stays), scenario(stays, comes), CATALOG, NOW)
    assert (first.deployment_key, first.changes) == ("a", ())
    assert (second.deployment_key, second.why) == ("b", "not there today")


def test_the_line_and_the_container_hold_the_same_words():
    one = written(hosted("llama-3.3-70b", "h200-sxm", tensor_parallel_count=4, speculation=EAGLE))
    assert tuple(shlex.split(one.line.replace("\\\n", ""))) == one.words
    manifest = container_yaml(one)
    listed = [json.loads(line.strip()[2:]) for line in manifest.splitlines() if line.strip().startswith('- "')]
    assert tuple(listed) == one.words[2:]
    assert "image: vllm/vllm-openai:v0.32.0" in manifest
    assert "nvidia.com/gpu: 4" in manifest


def test_a_hostile_name_is_one_quoted_word():
    evil = "x'; rm -rf ~ #\n$(boom)"
    source = Source(title="t", url="stated", retrieved_on=AS_OF)
    model = replace(CATALOG.model("llama-3.1-8b"), key=evil, sources=(source,))
    catalog = replace(CATALOG, models=(*CATALOG.models, model))
    one = command(hosted(evil, "h100-sxm"), catalog, NOW)
    assert one is not None
    assert shlex.split(one.line) == ["vllm", "serve", one.model]
    assert not set(one.model) & set("'; $()#\n~")
