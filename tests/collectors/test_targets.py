"""Which servers are scraped: those given win, those of the scenario file are the default."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from collectors.base import TargetRefused
from collectors.config import FILE_NAME
from collectors.targets import sources_of, targets_of
from costlib.errors import ConfigError
from store.home import Home

TODAY = date(2026, 11, 21)
URL = "http://gpu-1:8000/metrics"
SCENARIO = """
[[deployments]]
key = "chat"
model = "llama-3.1-8b"
gpu = "h100-sxm"
metrics_url = "http://gpu-1:8000/metrics"
workload = { requests_per_s = 1, mean_prompt_tokens = 500, mean_output_tokens = 100 }
purchase = { usd_per_gpu_hour = 2.5 }

[[deployments]]
key = "unwatched"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 1, mean_prompt_tokens = 500, mean_output_tokens = 100 }
purchase = { usd_per_gpu_hour = 2.5 }
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def keys_and_urls(given: list[str], home: Home, env: dict | None = None) -> list[tuple[str, str]]:
    return [(target.key, target.url) for target in targets_of(given, home, env or {}, TODAY)]


@pytest.mark.parametrize(
    ("given", "key", "url"),
    [
        (URL, "gpu-1:8000", URL),
        (f"chat={URL}", "chat", URL),
        ("http://gpu-1:8000/eu/metrics", "gpu-1:8000/eu/metrics", "http://gpu-1:8000/eu/metrics"),
        ("http://gpu-1:8000/metrics?cluster=a", "gpu-1:8000", "http://gpu-1:8000/metrics?cluster=a"),
        ("chat=http://gpu-1:8000/metrics?cluster=a", "chat", "http://gpu-1:8000/metrics?cluster=a"),
    ],
)
def test_an_address_may_have_a_key_in_front(home: Home, given: str, key: str, url: str) -> None:
    assert keys_and_urls([given], home) == [(key, url)]


def test_nothing_given_and_no_scenario_file_is_nothing_to_scrape(home: Home) -> None:
    assert keys_and_urls([], home) == []


def test_the_scenario_files_servers_are_named_after_their_deployments(home: Home) -> None:
    home.scenario.write_text(SCENARIO)
    assert keys_and_urls([], home) == [("chat", URL)]


def test_what_is_given_replaces_the_scenario_files(home: Home) -> None:
    home.scenario.write_text(SCENARIO)
    assert keys_and_urls(["http://gpu-2:8000/metrics"], home) == [("gpu-2:8000", "http://gpu-2:8000/metrics")]


def test_a_bearer_token_comes_from_the_environment_by_host(home: Home) -> None:
    env = {"PERMILLION_TOKEN_GPU_1_8000": " secret "}
    assert [t.bearer_token for t in targets_of([URL, "http://gpu-2:8000/metrics"], home, env, TODAY)] == [
        "secret",
        None,
    ]


@pytest.mark.parametrize(
    "given", ["gpu-1", "file:///etc/passwd", "http://169.254.169.254/metrics", "chat=gpu-1", "=" + URL]
)
def test_what_is_no_address_to_ask_is_refused(home: Home, given: str) -> None:
    with pytest.raises((TargetRefused, ConfigError)):
        targets_of([given], home, {}, TODAY)


def test_a_broken_scenario_file_is_said_to_be(home: Home) -> None:
    home.scenario.write_text(SCENARIO.replace("h100-sxm", "h100-sxn", 1))
    with pytest.raises(ConfigError, match="h100-sxn"):
        targets_of([], home, {}, TODAY)


class TestWithAConfigFile:
    CONFIG = """
    every = "30s"
    [[vllm]]
    urls = ["gpu-8:8000"]
    [[vllm]]
    file_sd = ["*.json"]
    [[model]]
    exposed = "old"
    key = "llama"
    """

    def test_what_is_given_and_what_the_file_says_combine(self, home: Home) -> None:
        (home.path / FILE_NAME).write_text(self.CONFIG)
        (home.path / "a.json").write_text('[{"targets": ["gpu-9:8000"]}]')
        assert [key for key, _ in keys_and_urls([URL], home)] == ["gpu-1:8000", "gpu-8:8000", "gpu-9:8000"]
        home.scenario.write_text(SCENARIO)
        assert [key for key, _ in keys_and_urls([], home)] == ["chat", "gpu-8:8000", "gpu-9:8000"]

    def test_its_other_settings_come_along(self, home: Home) -> None:
        (home.path / FILE_NAME).write_text(self.CONFIG)
        sources = sources_of([], home, {}, TODAY)
        assert sources.every_s == 30 and len(sources.file_sd) == 1 and not sources.is_empty
        assert sources.names.key_of("old", datetime.now(UTC)) == "llama"

    def test_one_key_for_two_servers_is_an_error(self, home: Home) -> None:
        (home.path / FILE_NAME).write_text(self.CONFIG)
        with pytest.raises(ConfigError, match="gpu-8:8000 is named more than once"):
            sources_of(["http://gpu-8:8000/metrics"], home, {}, TODAY)

    def test_nothing_anywhere_is_nothing(self, home: Home) -> None:
        assert sources_of([], home, {}, TODAY).is_empty
