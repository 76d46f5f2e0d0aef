"""Every way in which a bill can be bad has a number, B01 to B36, and each number has tests that bear it and run."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.collectors.numbered import codes_below, may_not_run, numbered_in

TESTS = Path(__file__).parents[1]
NUMBERS = [f"b{number:02d}" for number in range(1, 37)]


@cache
def found() -> dict[str, list[str]]:
    """By number, the tests of the whole tree, as file and name."""
    tests = defaultdict(list)
    for path, code in codes_below(TESTS):
        for number, test in numbered_in(code, "b"):
            tests[number].append(f"{path.relative_to(TESTS)}: {test.name}")
    return tests


@pytest.mark.parametrize("number", NUMBERS)
def test_the_case_has_a_test(number: str) -> None:
    assert found()[number]


def test_no_test_bears_a_number_that_is_none() -> None:
    assert {number: tests for number, tests in found().items() if tests and number not in NUMBERS} == {}


def test_none_of_them_is_left_out_or_expected_to_fail() -> None:
    left_out = [
        f"{path.relative_to(TESTS)}: {test.name}"
        for path, code in codes_below(TESTS)
        for _, test in numbered_in(code, "b")
        if may_not_run(test) or "pytestmark" in code
    ]
    assert left_out == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def test_b01_x(): assert 1", False),
        ("@pytest.mark.skipif(True, reason='')\ndef test_b01_x(): ...", True),
        ("@pytest.mark.xfail\ndef test_b01_x(): ...", True),
        ("def test_b01_x():\n    pytest.skip('later')", True),
    ],
)
def test_what_leaves_a_test_out(code: str, expected: bool) -> None:
    (test,) = ast.parse(code).body
    assert isinstance(test, ast.FunctionDef)
    assert may_not_run(test) is expected
