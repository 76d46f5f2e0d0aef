"""`permillion calibrate`: what it says of the sample, what it keeps, and what it refuses."""

import json
from pathlib import Path

import pytest

from collectors.demo import load_fleet
from store.books import scenario_of
from store.engine import utc_now
from store.home import Home
from store.read import snapshot_of
from tests.cli.conftest import Run

DEPLOYMENTS = ["support-copilot", "doc-extraction", "search-answers"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    place = Home(tmp_path_factory.mktemp("sample") / "home")
    load_fleet(place, utc_now)
    return place


@pytest.fixture
def sample(loaded: Home, permillion: Run, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PERMILLION_HOME", str(loaded.path))
    return loaded


def kept(home: Home) -> list[Path]:
    return sorted(home.calibrations.glob("*.json"))


def test_a_dry_run_of_the_sample_says_how_far_its_hours_tell(permillion: Run, sample: Home) -> None:
    result = permillion("calibrate", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    outcomes = {outcome["deployment"]: outcome for outcome in json.loads(result.stdout)}
    assert list(outcomes) == DEPLOYMENTS
    for key, outcome in outcomes.items():
        found = outcome["calibration"]
        assert found["back_test"]["median_error_ratio"] < 0.01
        if key == "support-copilot" and found["how"] == "fitted":
            continue  # two weeks with its cache collapse are hours of two mixes, and those can be told apart
        assert found["how"] == "prior_led", "hours of one mix cannot tell all constants apart"
        assert "a fit" in found["why"]
        ratios = {one["group"]: one["ratio"] for one in found["found"]}
        assert ratios == pytest.approx(dict.fromkeys(ratios, 1.0), rel=0.01), "the sample is made as published"
    assert not kept(sample)


def test_it_says_that_the_sample_proves_nothing(permillion: Run, sample: Home) -> None:
    text = permillion("calibrate", "--dry-run", "--deployment", "search-answers").stdout
    assert text.startswith("search-answers: prior led")
    assert "made with the engine model itself" in text
    assert "dry run: nothing was kept" in text


def test_what_holds_is_kept_and_used_from_then_on(permillion: Run, sample: Home) -> None:
    result = permillion("calibrate", "--deployment", "search-answers")
    assert result.exit_code == 0, result.output
    (file,) = kept(sample)
    assert f"kept in calibrations/{file.name}" in result.stdout
    with snapshot_of(sample) as snapshot:
        scenario, _ = scenario_of(sample, snapshot)
    fitted = {item.key: item.supply.fitted for item in scenario.deployments}
    assert [key for key, found in fitted.items() if found is not None] == ["search-answers"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--deployment", "nobody"], "Known: doc-extraction", id="unknown deployment"),
        pytest.param(["--hours", "0"], "--hours", id="no time at all"),
        pytest.param(["--hours", "1e300"], "--hours", id="longer than there was time"),
    ],
)
def test_a_wrong_call_is_exit_code_2(permillion: Run, sample: Home, arguments: list[str], said: str) -> None:
    result = permillion("calibrate", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_empty_home_says_what_to_do(permillion: Run) -> None:
    result = permillion("calibrate")
    assert result.exit_code == 2
    assert "load the demo" in result.stderr
