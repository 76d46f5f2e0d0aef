"""Every scenario file is solved, and every figure its author worked out by hand is met."""

from functools import cache
from pathlib import Path

import pytest

from costlib.compare import Comparison, compare
from costlib.scenario_file import Checked, ScenarioFile, check_expectations, scenario_file_from
from store.catalog_files import load_catalog, read_toml
from tests.costlib.scenario_builders import AS_OF

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.toml"))


@cache
def parsed(path: Path) -> ScenarioFile:
    return scenario_file_from(read_toml(path), load_catalog(), path.name, AS_OF)


@cache
def solved(path: Path) -> Comparison:
    file = parsed(path)
    return compare(file.today, dict(file.levers), file.catalog)


EXPECTATIONS = [
    pytest.param(path, index, id=f"{path.stem}: {wanted.scope} {wanted.of}")
    for path in FILES
    for index, wanted in enumerate(parsed(path).expectations)
]


@pytest.mark.parametrize(("path", "index"), EXPECTATIONS)
def test_expectation(path: Path, index: int) -> None:
    check: Checked = check_expectations(parsed(path), solved(path))[index]
    wanted = check.expectation
    assert check.is_met, f"{wanted.of} is {check.found:g}, and {wanted.source} says {wanted.value:g}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_is_commented_labelled_and_expects_something_with_a_source(path: Path) -> None:
    file = parsed(path)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert file.today.label != "Today"
    assert file.expectations
    assert all(wanted.source for wanted in file.expectations)
    assert not solved(path).refusals


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 7
