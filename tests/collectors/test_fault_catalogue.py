"""Every fault that scraping can meet has a number, S01 to S40, and each number has a test that bears it."""

import re
from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "faults"
NUMBERS = [f"s{number:02d}" for number in range(1, 41)]
NAMED = re.compile(r"^(?:async )?def test_((?:s\d{2}_)+)", re.MULTILINE)


def numbers_in(code: str) -> set[str]:
    return {number for names in NAMED.findall(code) for number in names.strip("_").split("_")}


def test_numbers_are_read_from_the_names_of_tests() -> None:
    code = (
        "def test_s01_refused():\n    def test_s02_inner(): ...\n\n# def test_s03_x\nasync def test_s04_s05_both(): ..."
    )
    assert numbers_in(code) == {"s01", "s04", "s05"}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_fault_has_a_test(number: str) -> None:
    assert any(number in numbers_in(path.read_text(encoding="utf-8")) for path in FAULTS.glob("test_*.py"))


def test_no_test_bears_a_number_that_is_none() -> None:
    found = set().union(*(numbers_in(path.read_text(encoding="utf-8")) for path in FAULTS.glob("test_*.py")))
    assert found <= set(NUMBERS)
