"""docs/method.md says what the library does: its worked example and its table of constants are recomputed."""

import re
import tomllib
from pathlib import Path

import pytest

from costlib.engine import EngineConstants
from costlib.project import project
from costlib.scenario_file import scenario_file_from
from tests.costlib.scenario_builders import AS_OF, CATALOG, SHIPPED

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```toml\n(.*?)```", TEXT, re.S).group(1)
ROWS = re.findall(r"^\| `(\w+)` \| ([\d.e]+) \| .* \|$", TEXT, re.M)
ROUNDED = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.e-]+) \|$", TEXT, re.M)}
SELECTED = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\d.e-]+) \| .* \|$", TEXT, re.M)
SCENARIO = scenario_file_from(tomllib.loads(EXAMPLE), SHIPPED, "docs/method.md", AS_OF).today
PROJECTION = project(SCENARIO, SHIPPED, EngineConstants(**ROUNDED))


@pytest.mark.parametrize(("key", "value"), ROWS, ids=[key for key, _ in ROWS])
def test_the_worked_example(key: str, value: str) -> None:
    """Every figure is right to the digits it is printed with."""
    digits = len(re.sub(r"e.*|\.|^0\.0*", "", value))
    scope = None if any(step.key == key and step.scope == "chat" for step in PROJECTION.steps) else "fleet"
    assert PROJECTION.step(key, scope).value == pytest.approx(float(value), rel=0.6 * 10 ** (1 - max(digits, 3)))


def test_the_worked_example_is_complete() -> None:
    assert len(ROWS) >= 20
    assert {"usd_per_month", "step_s", "replicas_count"} <= {key for key, _ in ROWS}


def test_the_range_it_ends_with() -> None:
    assert (PROJECTION.usd_per_month.low, PROJECTION.usd_per_month.high) == (3650, 7300)
    assert "$3,650 to $7,300" in TEXT
    assert PROJECTION.cost.idle_usd_per_month > PROJECTION.usd_per_month.mid / 2


def test_its_constants_are_the_shipped_ones_to_two_digits() -> None:
    (hosted,) = SCENARIO.hosted
    shipped = CATALOG.engine.resolve(CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm"), hosted.serving)
    assert len(ROUNDED) >= 14
    for name, value in ROUNDED.items():
        assert getattr(shipped, name) == pytest.approx(value, rel=0.05), name


@pytest.mark.parametrize(("name", "stratum", "value"), SELECTED, ids=[f"{name} {kind}" for name, kind, _ in SELECTED])
def test_the_constants_it_lists_are_those_of_the_table(name: str, stratum: str, value: str) -> None:
    assert CATALOG.engine.value(name, stratum) == pytest.approx(float(value), rel=0.05)


def test_the_band_is_that_of_the_table() -> None:
    assert len(SELECTED) >= 15
    for band in CATALOG.engine.step_band.values():
        assert f"{band.low_ratio:.2f} to {band.high_ratio:.2f}" in TEXT
