"""The table of options says of every release what its sources say, and claims nothing that it does not know."""

import json
from pathlib import Path

import pytest

from costlib.errors import ConfigError
from costlib.flag_table import Standing, flag_table_from, version
from store.catalog_files import read_toml
from store.vllm_flags import FLAGS, load_flag_table
from tests.costlib.scenario_builders import CATALOG

HISTORY = json.loads((Path(__file__).parents[1] / "captures" / "version_history.json").read_text(encoding="utf-8"))
TABLE = load_flag_table()
KINDS = {"serve_flags": TABLE.flags, "quantization": TABLE.quantization, "kv_cache_dtype": TABLE.kv_cache_dtype}


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_is_what_the_sources_of_every_release_say(kind):
    assert set(HISTORY[kind]) == set(TABLE.releases)
    for release, names in HISTORY[kind].items():
        at = version(release)
        held = {
            name
            for name, spans in KINDS[kind].items()
            if any(version(span.first) <= at <= version(span.last or release) for span in spans)
        }
        assert held == set(names), release


@pytest.mark.parametrize(
    ("release", "name", "standing"),
    [
        ("0.32.0", "--max-num-seqs", Standing.KNOWN),
        ("0.32.0", "--no-enable-prefix-caching", Standing.KNOWN),
        ("0.8.0", "--speculative-model", Standing.KNOWN),
        ("0.8.5", "--speculative-model", Standing.ABSENT),
        ("0.8.0", "--speculative-config", Standing.ABSENT),
        ("0.8.3", "--speculative-config", Standing.UNCHECKED),
        ("0.26.0", "--max-num-seqs", Standing.KNOWN),
        ("0.32.0", "--max-chunked-prefill-tokens", Standing.ABSENT),
        ("0.9.2", "--host", Standing.KNOWN),
        ("0.6.3", "--grpc", Standing.ABSENT),
        ("0.32.0", "--host", Standing.KNOWN),
        ("0.33.0", "--host", Standing.UNCHECKED),
        ("0.33.0", "--config", Standing.UNCHECKED),
        ("0.10.0", "--device", Standing.ABSENT),
    ],
)
def test_what_is_known_of_an_option_in_a_release(release, name, standing):
    verdict = TABLE.at(release).flag(name)
    assert verdict.standing is standing
    assert bool(verdict.why) == (standing is not Standing.KNOWN)


def test_what_a_release_has_not_is_told_with_the_releases_that_have_it():
    assert "0.4.3 to 0.8.0 has it" in TABLE.at("0.32.0").flag("--num-speculative-tokens").why
    assert "0.8.5 and later has it" in TABLE.at("0.7.3").flag("--speculative-config").why
    assert "0.5.5 to 0.23.0 has it" in TABLE.at("0.32.0").quantization("gguf").why
    assert "0.5.0 to 0.27.1 has it" in TABLE.at("0.32.0").quantization("bitsandbytes").why


def test_kv_types_before_they_were_listed_are_not_called_absent():
    assert TABLE.at("0.6.3").kv_cache_dtype("fp8").standing is Standing.UNCHECKED
    assert TABLE.at("0.32.0").kv_cache_dtype("int8").standing is Standing.ABSENT


@pytest.mark.parametrize(
    ("gpu", "sequences", "tokens"),
    [("h100-sxm", 1024, 8192), ("a100-sxm-80gb", 256, 2048), ("b200", 1024, 16384), ("l4", 256, 2048)],
)
def test_the_servers_batch_limits_go_by_the_gpu(gpu, sequences, tokens):
    """vLLM 0.32.0, EngineArgs.get_batch_defaults."""
    default = TABLE.at("0.32.0").batch_default(CATALOG.gpu(gpu))
    assert default is not None
    assert (default.max_num_seqs, default.max_num_batched_tokens) == (sequences, tokens)


def test_defaults_of_other_releases_are_not_guessed():
    assert TABLE.at("0.33.0").batch_default(CATALOG.gpu("h100-sxm")) is None


def test_what_took_the_place_of_a_gone_option_is_there():
    newest = TABLE.at(TABLE.releases[-1])
    for name, gone in TABLE.gone.items():
        assert newest.flag(name).standing is Standing.ABSENT, name
        assert gone.says
        if gone.into:
            assert newest.flag(gone.into).standing is Standing.KNOWN, name


@pytest.mark.parametrize("release", ["0.4.2", "0.34.0", "latest", "1", "0.32.x", "9" * 50, ""])
def test_a_release_that_is_not_in_the_table_is_refused(release):
    if not release:
        assert TABLE.at(release).name == "0.32.0"
        return
    with pytest.raises(ConfigError, match=r"0\.4\.3 to 0\.33\.0|write it as in"):
        TABLE.at(release)


def test_a_slip_in_the_table_names_its_place():
    doc = read_toml(FLAGS)
    for edit, said in (
        ({"flags": {"0.4.3 until 0.5.0": ["--a"]}}, "is no span"),
        ({"flags": {"0.4.4 on": ["--a"]}}, "0.4.4 is not among the releases"),
        ({"flags": {"0.4.3 on": ["--a"], "0.5.0 on": ["--a"]}}, "--a stands in two spans"),
        ({"releases": []}, "at least one"),
        ({"defaults": {}}, "missing"),
        ({"gone": {"--a": {"nonsense": 1}}}, "nonsense"),
        ({"more": {}}, "more"),
    ):
        with pytest.raises(ConfigError, match=said):
            flag_table_from({**doc, **edit}, "flags.toml")
