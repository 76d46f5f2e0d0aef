"""Kept calibrations: whole, never changed, and used only for the deployment as it was when they were made."""

import json
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from costlib.calibration import calibrate
from costlib.errors import ConfigError
from costlib.scenario import ApiTokens, Deployment
from costlib.suspects import Stated
from store.calibrations import Identity, Told, identity_of, keep, newest, with_calibrations
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.home import Home
from tests.costlib.simulated_fleet import simulated
from tests.store.builders import NOON

FILE = load_scenario(SAMPLE_SCENARIO, NOON.date())
CATALOG = FILE.catalog
DEPLOYMENT = next(item for item in FILE.today.deployments if item.key == "search-answers")
FACTS = {"vllm_at_least": "0.32.0", "vllm_below": "0.33.0"}


def told(facts: dict[str, str] = FACTS, labels: dict[str, str] | None = None, is_sample: bool = False) -> Told:
    targets = {"target_key": ["gpu-1"], "deployment_key": [DEPLOYMENT.key], "labels": [labels or {"pool": "a"}]}
    return Told(
        targets=pd.DataFrame(targets),
        engines=pd.DataFrame({"target_key": ["gpu-1"], "facts": [facts]}),
        is_sample=is_sample,
    )


def now(deployment: Deployment = DEPLOYMENT, of: Told | None = None) -> Identity:
    return identity_of(deployment, CATALOG, of or told())


def served(**serving: object) -> Deployment:
    supply = replace(DEPLOYMENT.supply, serving=replace(DEPLOYMENT.supply.serving, **serving))
    return replace(DEPLOYMENT, supply=supply)


@pytest.fixture(scope="module")
def found():
    stated = Stated.of(DEPLOYMENT, CATALOG)
    return calibrate(simulated(stated, {"memory": 0.9}, minutes=600), stated, CATALOG)


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


def test_what_was_kept_is_read_as_it_was(home, found) -> None:
    keep(home, now(), found, NOON)
    kept, why = newest(home, now())
    assert why == ""
    assert kept.calibration == found
    assert (kept.identity, kept.made_at) == (now(), NOON)


def test_the_newest_counts_and_the_earlier_stay(home, found) -> None:
    other = replace(found, windows_count=1)
    names = [keep(home, now(), one, NOON + timedelta(days=day)) for day, one in enumerate((found, other))]
    assert newest(home, now())[0].calibration == other
    assert sorted(path.name for path in home.calibrations.iterdir()) == sorted(names)


def test_a_calibration_is_never_overwritten(home, found) -> None:
    keep(home, now(), found, NOON)
    with pytest.raises(ConfigError, match="is never changed"):
        keep(home, now(), replace(found, windows_count=1), NOON)
    assert newest(home, now())[0].calibration == found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(
            now(of=told({"vllm_at_least": "0.33.0"})),
            "vllm was 0.32.0 to before 0.33.0 and is 0.33.0 or newer",
            id="release",
        ),
        pytest.param(now(of=told({})), "vllm was 0.32.0 to before 0.33.0 and is unknown", id="release unknown"),
        pytest.param(now(of=told(labels={"pool": "b"})), "the labels of its servers", id="labels"),
        pytest.param(now(of=told(is_sample=True)), "sample or real data", id="sample"),
        pytest.param(
            now(replace(DEPLOYMENT, supply=replace(DEPLOYMENT.supply, gpu_key="h200-sxm"))),
            "gpu was h100-sxm and is h200-sxm",
            id="GPU",
        ),
        pytest.param(now(served(kv_precision="fp8")), "kv_precision was bf16 and is fp8", id="KV precision"),
        pytest.param(now(served(tensor_parallel_count=2)), "layout was 1x1x1 and is 2x1x1", id="layout"),
        pytest.param(
            now(replace(DEPLOYMENT, model_key="llama-3.2-3b")), "model was llama-3.1-8b and is llama-3.2-3b", id="model"
        ),
    ],
)
def test_a_calibration_of_something_else_is_not_used_and_says_what_changed(home, found, changed, said) -> None:
    keep(home, now(), found, NOON)
    kept, why = newest(home, changed)
    assert kept is None
    assert said in why
    assert f"permillion calibrate --deployment {DEPLOYMENT.key}" in why


def test_after_a_change_back_the_earlier_counts_again(home, found) -> None:
    keep(home, now(), found, NOON)
    keep(home, now(served(kv_precision="fp8")), replace(found, windows_count=1), NOON + timedelta(days=1))
    assert newest(home, now())[0].calibration == found


def test_of_another_deployment_nothing_is_known(home, found) -> None:
    keep(home, now(), found, NOON)
    assert newest(home, now(replace(DEPLOYMENT, key="other"))) == (None, "")
    assert newest(Home(home.path / "elsewhere"), now()) == (None, "")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps({**json.loads(text), "format": 99}),
        lambda text: json.dumps({**json.loads(text), "calibration": {}}),
        lambda text: text.replace('"ratio": ', '"ratio": "x", "was": '),
        lambda text: text.replace('"group": "memory",', '"group": "memory", "ratio": NaN, "was": 1,', 1),
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_a_damaged_file_is_passed_over_and_said(home, found, damage) -> None:
    keep(home, now(), found, NOON)
    damaged = home.calibrations / keep(home, now(), found, NOON + timedelta(days=1))
    damaged.write_text(damage(damaged.read_text(encoding="utf-8")), encoding="utf-8")
    assert newest(home, now())[0].made_at == NOON
    (home.calibrations / sorted(path.name for path in home.calibrations.iterdir())[0]).unlink()
    kept, why = newest(home, now())
    assert kept is None
    assert damaged.name in why and "cannot be read" in why


def test_a_scenario_gets_what_was_found_of_its_deployments(home, found) -> None:
    keep(home, now(), found, NOON)
    bought = replace(DEPLOYMENT, key="bought", supply=ApiTokens(usd_per_mtok_input=1.0, usd_per_mtok_output=2.0))
    scenario = replace(FILE.today, deployments=(*FILE.today.deployments, bought))
    calibrated, notes = with_calibrations(scenario, CATALOG, home, told())
    fitted = {item.key: getattr(item.supply, "fitted", None) for item in calibrated.deployments}
    assert fitted == {**dict.fromkeys(fitted), DEPLOYMENT.key: found.fitted}
    assert notes == ()


def test_a_scenario_is_told_why_a_calibration_is_not_used(home, found) -> None:
    keep(home, now(), found, NOON)
    calibrated, notes = with_calibrations(FILE.today, CATALOG, home, told({}))
    assert calibrated == FILE.today
    (note,) = notes
    assert note.startswith(f"{DEPLOYMENT.key}: the calibration of 2026-")
