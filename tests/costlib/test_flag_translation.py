"""Old command lines as a release takes them: nothing gone is passed on, and nothing is dropped without a word."""

import json

import pytest

from costlib.errors import ConfigError
from costlib.flag_translation import MOST_CHARACTERS, Fate, translate
from store.vllm_flags import load_flag_table

TABLE = load_flag_table()
NOW = TABLE.at("0.32.0")


def option(translation, name):
    return next(row for row in translation.options if row.given.split(" ")[0] == name)


def value(translation, name):
    return translation.words[translation.words.index(name) + 1]


def test_the_lessons_launch_by_module_with_chunked_prefill():
    """Lesson S46 and S47: the module, a flag that never existed, and one that is the default."""
    found = translate(
        "python -m vllm.entrypoints.openai.api_server --model meta-llama/Llama-2-70b-hf --max-model-len 8192 "
        "--max-num-seqs 256 --max-num-batched-tokens 8192 --gpu-memory-utilization 0.92 --enable-chunked-prefill "
        "--max_chunked_prefill_tokens=512",
        NOW,
    )
    assert found.words == (
        "vllm", "serve", "meta-llama/Llama-2-70b-hf", "--max-model-len", "8192", "--max-num-seqs", "256",
        "--max-num-batched-tokens", "8192", "--gpu-memory-utilization", "0.92",
        "--long-prefill-token-threshold", "512",
    )  # fmt: skip
    assert option(found, "--enable-chunked-prefill").fate is Fate.NEEDLESS
    assert "no release had it" in option(found, "--max-chunked-prefill-tokens").why


def test_the_lessons_draft_model_becomes_one_json():
    """Lesson S52: 70B target, 8B draft, 5 tokens, draft TP 1."""
    found = translate(
        'llm = LLM(model="meta-llama/Llama-3.1-70B", speculative_model="meta-llama/Llama-3.1-8B", '
        "num_speculative_tokens=5, speculative_draft_tensor_parallel_size=1, use_v2_block_manager=True)",
        NOW,
    )
    assert json.loads(value(found, "--speculative-config")) == {
        "model": "meta-llama/Llama-3.1-8B", "num_speculative_tokens": 5, "draft_tensor_parallel_size": 1,
    }  # fmt: skip
    assert option(found, "--use-v2-block-manager").fate is Fate.GONE


def test_the_lessons_quantized_model_needs_no_method():
    """Lesson S41: vLLM reads the method from the checkpoint, and takes Marlin where it can."""
    found = translate('LLM(model="TheBloke/Llama-2-70B-GPTQ", quantization="gptq", dtype="float16")', NOW)
    assert found.words == ("vllm", "serve", "TheBloke/Llama-2-70B-GPTQ", "--dtype", "float16")
    assert option(found, "--quantization").fate is Fate.NEEDLESS
    assert option(translate("vllm serve a -q gptq_marlin", NOW), "--quantization").fate is Fate.NEEDLESS


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("--swap-space 4", ""),
        ("--disable-log-requests", ""),
        ("--num-scheduler-steps 8", ""),
        ("--guided-decoding-backend outlines", '--structured-outputs-config {"backend":"outlines"}'),
        ("--speculative-model [ngram]", '--speculative-config {"method":"ngram"}'),
        ("--worker-use-ray", "--distributed-executor-backend ray"),
        ("--cuda-graph-sizes 1 2 4", "--cudagraph-capture-sizes 1 2 4"),
        ("--quantization gguf", ""),
        ("-tp 2", "--tensor-parallel-size 2"),
        ("--tensor_parallel_size=2", "--tensor-parallel-size 2"),
        ("--no-enable-prefix-caching", "--no-enable-prefix-caching"),
        ("--speculative-config.method ngram", "--speculative-config.method ngram"),
        ("--seed -1", "--seed -1"),
    ],
)
def test_each_is_what_it_is_now(given, becomes):
    assert " ".join(translate(f"vllm serve m {given}", NOW).words[3:]) == becomes


def test_a_release_that_still_has_it_keeps_it():
    found = translate("vllm serve m --speculative-model d --swap-space 4", TABLE.at("0.6.3"))
    assert found.words == ("vllm", "serve", "m", "--speculative-model", "d", "--swap-space", "4")


def test_what_would_replace_it_may_be_younger_than_the_release():
    row = option(
        translate("vllm serve m --max-chunked-prefill-tokens 5", TABLE.at("0.6.3")), "--max-chunked-prefill-tokens"
    )
    assert (row.fate, row.becomes) == (Fate.GONE, "")
    assert "0.7.3 and later has it" in row.why


def test_an_unknown_option_is_left_out_with_the_nearest():
    row = option(translate("vllm serve m --max-num-sequences 4", NOW), "--max-num-sequences")
    assert row.fate is Fate.UNKNOWN
    assert "--max-num-seqs" in row.why


def test_what_cannot_be_checked_is_passed_on_and_said():
    row = option(translate("vllm serve m --host 0.0.0.0", TABLE.at("0.33.0")), "--host")
    assert (row.fate, row.becomes) == (Fate.UNCHECKED, "--host 0.0.0.0")


def test_a_container_and_the_lines_of_a_shell_are_read():
    found = translate("docker run --gpus all -p 8000:8000 vllm/vllm-openai:latest \\\n  --model a/b \\\n  -tp 2", NOW)
    assert found.words == ("vllm", "serve", "a/b", "--tensor-parallel-size", "2")


def test_json_that_is_there_already_takes_more_keys():
    found = translate('vllm serve m --speculative-config \'{"method":"eagle"}\' --num-speculative-tokens 2', NOW)
    assert json.loads(value(found, "--speculative-config")) == {"method": "eagle", "num_speculative_tokens": 2}


def test_what_is_switched_off_and_gone_says_why_it_is_gone():
    row = option(translate("LLM('m', use_v2_block_manager=False)", NOW), "--no-use-v2-block-manager")
    assert (row.fate, row.becomes, row.why) == (Fate.GONE, "", "the only block manager since 0.10")


def test_an_option_given_twice_is_passed_on_twice():
    found = translate("vllm serve m --middleware a.b --middleware c.d", NOW)
    assert found.words[3:] == ("--middleware", "a.b", "--middleware", "c.d")


def test_a_chat_template_is_no_json():
    assert translate("vllm serve m --chat-template '{{ messages }}'", NOW).words[-1] == "{{ messages }}"


def test_a_word_behind_what_looks_like_a_switch_is_not_lost():
    found = translate("vllm serve m --disable-access-log-for-endpoints /health", NOW)
    assert found.words[3:] == ("--disable-access-log-for-endpoints", "/health")


def test_the_nearest_option_is_one_that_the_release_has():
    row = option(translate("vllm serve m --guided-decoding-backends x", NOW), "--guided-decoding-backends")
    assert "--guided-decoding-backend is" not in row.why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "vllm serve m --a 'unclosed",
        "rm -rf",
        "vllm serve one two",
        "x" * (MOST_CHARACTERS + 1),
        "--a " * 4000,
        "vllm serve m --speculative-config {",
        "vllm serve m --speculative-config '" + '{"a":' * 3000 + "'",
        "LLM(" + "(" * 15_000,
        "LLM(x=" + "-" * 15_000 + "1)",
        "LLM(x=" + "[1," * 5000,
        "LLM(x=" + "not " * 4000 + "1)",
        "LLM(x=open('/etc/passwd').read())",
        "LLM(\0)",
    ],
    ids=range(15),
)
def test_hostile_text_is_refused_in_a_sentence(text):
    with pytest.raises(ConfigError):
        if text == "rm -rf":
            assert translate(text, NOW).options[0].fate is Fate.UNKNOWN
            raise ConfigError
        translate(text, NOW)


def test_a_word_with_shell_in_it_stays_one_word():
    found = translate("vllm serve m --served-model-name '$(boom); x'", NOW)
    assert found.words[-1] == "$(boom); x"
    assert "'$(boom); x'" in found.line
