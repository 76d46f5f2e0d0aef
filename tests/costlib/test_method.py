"""docs/method.md says what the library does: its worked example and its table of constants are recomputed."""

import re
import tomllib
from pathlib import Path

import pytest

from costlib.engine import EngineConstants
from costlib.project import project
from costlib.scenario_file import scenario_file_from
from tests.costlib.scenario_builders import AS_OF, SHIPPED

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```toml\n(.*?)```", TEXT, re.S).group(1)
ROWS = re.findall(r"^\| `(\w+)` \| ([\d.e]+) \|", TEXT, re.M)
PROJECTION = project(scenario_file_from(tomllib.loads(EXAMPLE), SHIPPED, "docs/method.md", AS_OF).today, SHIPPED)


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


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("compute_efficiency_fraction", "0.69"),
        ("bandwidth_efficiency_fraction", "0.69"),
        ("link_efficiency_fraction", "0.70"),
        ("layer_overhead_s", "87 µs"),
        ("link_hop_s", "4 µs"),
    ],
)
def test_the_constants_are_those_of_the_code(name: str, row: str) -> None:
    assert re.search(rf"^\| `{name}` \w+ \| {re.escape(row)} \|", TEXT, re.M)
    number, unit = (*row.split(), "")[:2]
    assert getattr(EngineConstants(), name) == pytest.approx(float(number) * (1e-6 if unit else 1))


def test_the_band_is_that_of_the_code() -> None:
    constants = EngineConstants()
    assert f"| {constants.step_low_ratio}, {constants.step_high_ratio} |" in TEXT
