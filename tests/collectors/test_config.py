"""permillion.toml: what it says is what is scraped, and what is wrong with it is said by file and block."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.config import FILE_NAME, PROMETHEUS_KEYS, SERVER_KEYS, TOP_KEYS, Config, config_from, load_config
from costlib.errors import ConfigError
from store.catalog_files import DATA

EXAMPLE = DATA / "demo" / FILE_NAME
ENV = {"VLLM_TOKEN": "secret", "PROMETHEUS_TOKEN": "other"}


def config(text: str, env: dict | None = None) -> Config:
    return config_from(tomllib.loads(text), "permillion.toml", Path("/nowhere"), env or {})


class TestTheExample:
    def test_loads_and_names_every_key(self):
        doc = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
        assert doc.keys() == TOP_KEYS
        assert {key for block in doc["vllm"] for key in block} == SERVER_KEYS
        assert {key for block in doc["prometheus"] for key in block} == PROMETHEUS_KEYS

    def test_says_what_its_comments_say(self):
        found = load_config(EXAMPLE, ENV)
        assert found.every_s == 15.0
        targets = {target.key: target for target in found.targets}
        assert targets.keys() == {
            "gpu-1:8000", "gpu-2:8000", "gpu-3.example.com/vllm/metrics", "search", "prom", "gpu-1:9400", "gpu-2:9400",
        }  # fmt: skip
        assert targets["gpu-1:8000"].url == "http://gpu-1:8000/metrics"
        assert targets["gpu-1:8000"].deployment_key == "support-copilot"
        assert targets["gpu-1:8000"].bearer_token == "secret" and targets["search"].bearer_token is None
        assert targets["gpu-1:9400"].source_key == "dcgm"
        assert targets["prom"].options == {
            "matchers": 'job="vllm",namespace="serving"',
            "target_label": "instance",
            "replica_labels": ["prometheus_replica"],
            "tenant": "serving",
            "lookback_s": 300.0,
            "backfill": timedelta(days=30),
        }
        (block,) = found.file_sd
        assert (block.folder, block.scheme) == (EXAMPLE.parent, "https")
        day = datetime(2026, 11, 1, tzinfo=UTC)
        names = [found.names.key_of("prod-chat", day - timedelta(seconds=1)), found.names.key_of("prod-chat", day)]
        assert names == ["llama-3.3-70b", "qwen3-235b-a22b"]


def test_no_file_is_nothing_to_add(tmp_path):
    assert load_config(tmp_path / FILE_NAME, {}).targets == ()


def test_servers_have_a_token_each_or_one_for_their_block():
    text = '[[vllm]]\nurls = ["gpu-1:8000", "gpu-2:8000"]\ntoken_variable = "FLEET"'
    found = config(text, {"FLEET": "all", "PERMILLION_TOKEN_GPU_2_8000": "own"})
    assert [target.bearer_token for target in found.targets] == ["all", "own"]


def test_tokens_are_not_in_what_is_printed():
    text = '[[vllm]]\nfile_sd = "a.json"\ntoken_variable = "FLEET"\n[[vllm]]\nurls = "b"\ntoken_variable = "FLEET"'
    assert "hush" not in repr(config(text, {"FLEET": "hush"}))


def test_certificates_are_checked_unless_a_block_says_otherwise():
    found = config('[[vllm]]\nurls = "https://a"\ntls_verify = false\n[[vllm]]\nurls = "https://b"')
    assert [target.options.get("tls_verify") for target in found.targets] == [False, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('evry = "15s"', r"'evry' in permillion.toml. Did you mean 'every'"),
        ("every = true", "every: 'True' is not a time"),
        ('every = "often"', "every: 'often' is not a time"),
        ("vllm = 3", "expected a list of tables"),
        ('[[vllm]]\nurls = "a"\n[[vllm]]\nurl = "b"\nlabel = {}', r"\[\[vllm\]\] 2. Did you mean 'labels'"),
        ("[[vllm]]", r"permillion.toml \[\[vllm\]\] 1: say where to read"),
        ('[[vllm]]\nurls = "a"\nfile_sd = "b.json"', "one of them"),
        ('[[vllm]]\nurl = "a"', "`key` and `url`"),
        ('[[vllm]]\nurls = ["a", 3]', "urls is a list of texts"),
        ('[[vllm]]\nurls = "a"\nlabels = { team = 3 }', "labels: 'team' must be a text"),
        ('[[vllm]]\nurls = "a"\nscheme = "ftp"', "http or https"),
        ('[[vllm]]\nurls = "a"\ntls_verify = "no"', "true or false"),
        ('[[vllm]]\nurls = "http://user:pw@gpu-1/metrics"', r"\[\[vllm\]\] 1: .*user name or password"),
        ('[[vllm]]\nurls = "http://gpu-1/metrics?token=abc"', "the parameter 'token'"),
        ('[[vllm]]\nurls = "http://169.254.169.254/metrics"', r"\[\[vllm\]\] 1: .*cloud metadata"),
        ('[[vllm]]\nurls = "a"\ntoken_variable = "sk-123"', "not the token itself"),
        ('[[vllm]]\nurls = "a"\ntoken_variable = "NOT_SET"', "NOT_SET is not set"),
        ('[[vllm]]\nfile_sd = "servers.txt"', "must end in .json"),
        ('[[prometheus]]\nkey = "prom"', "url is a text in quotes and cannot be left out"),
        ('[[prometheus]]\nurl = "http://p"\nmatchers = "job=vllm"', r"\[\[prometheus\]\] 1: matchers cannot be read"),
        ('[[prometheus]]\nurl = "http://p"\nbackfill = "a month"', r"backfill: 'a month' is not a time"),
        ('[[prometheus]]\nurl = "http://p"\nmatcher = "a"', "Did you mean 'matchers'"),
        ('[[dcgm]]\nurls = "a"\nlables = {}', r"\[\[dcgm\]\] 1. Did you mean 'labels'"),
        ('[[model]]\nexposed = "a"', r"\[\[model\]\] 1: key is a text"),
        ('[[model]]\nexposed = "a"\nkey = "b"\nfrom = "2026"', "a day without quotes"),
        ('[[model]]\nexposed = "a"\nkey = "b"\nfrom = 2026-02-01\nto = 2026-01-01', "must lie before"),
        ('[[model]]\nexposed = "a"\nkey = "b"\n[[model]]\nexposed = "a"\nkey = "c"', "at the same time"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, says):
    with pytest.raises(ConfigError, match=says):
        config(text)


def test_an_error_never_shows_the_secret_of_an_address():
    with pytest.raises(ConfigError) as caught:
        config('[[vllm]]\nurls = "http://user:hunter2@gpu-1/metrics"')
    assert "hunter2" not in str(caught.value)


def test_bad_toml_is_said_with_its_line(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_text('every = "15s"\nvllm = \n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"permillion.toml is not valid TOML.*line 2"):
        load_config(path, {})
