"""policies.toml: what scales a home's deployments now, or the sample's where there is none of the home's."""

from pathlib import Path

import pytest

from costlib.autoscale_policy import StaticPolicy
from costlib.errors import ConfigError, UnknownKey
from store.home import Home
from store.policies_file import policies_for, policies_in_force

KEYS = ("chat", "search")
POLICIES = """
[[policy]]
deployment = "chat"
kind = "static"
label = "ours"
replicas_count = 3

[[policy]]
kind = "static"
label = "everybody's"
replicas_count = 2
"""


def written(path: Path, text: str) -> Home:
    (path / "policies.toml").write_text(text, encoding="utf-8")
    return Home(path)


def test_each_deployment_has_its_own_and_those_of_all(tmp_path: Path) -> None:
    found = policies_in_force(written(tmp_path, POLICIES), False, KEYS)
    assert policies_for("search", found) == (StaticPolicy(label="everybody's", replicas_count=2),)
    assert [one.label for one in policies_for("chat", found)] == ["ours", "everybody's"]


def test_the_sample_is_in_force_beside_sample_data_until_the_home_has_a_file(tmp_path: Path) -> None:
    assert policies_in_force(Home(tmp_path), False, KEYS) == ()
    of_the_sample = policies_in_force(Home(tmp_path), True, KEYS)
    assert [policy.label for policy in policies_for("search-answers", of_the_sample)] == ["In force"]
    assert len(policies_in_force(written(tmp_path, POLICIES), True, KEYS)) == 2


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("[[policy]", ConfigError, "policies.toml is not valid TOML"),
        ("", ConfigError, "policies.toml: no"),
        (POLICIES.replace("= 3", "= 'three'"), ConfigError, "policies.toml, policy 1: replicas_count"),
        (POLICIES.replace('"chat"', '"chatt"'), UnknownKey, "'chatt' in policies.toml, policy 1. Did you mean 'chat'"),
    ],
)
def test_a_broken_file_names_the_place(tmp_path: Path, text: str, error: type[ConfigError], said: str) -> None:
    with pytest.raises(error, match=said):
        policies_in_force(written(tmp_path, text), False, KEYS)
