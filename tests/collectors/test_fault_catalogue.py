"""Every fault that scraping can meet has a number, S01 to S40, and each number has a test that bears it."""

from pathlib import Path

import pytest

from tests.collectors.numbered import codes_below, numbers_in

FAULTS = Path(__file__).parent / "faults"
NUMBERS = [f"s{number:02d}" for number in range(1, 41)]


def test_numbers_are_read_from_the_names_of_tests() -> None:
    code = (
        "def test_s01_refused():\n    def test_s02_inner(): ...\n\n# def test_s03_x\nasync def test_s04_s05_both(): ..."
    )
    assert numbers_in(code, "s") == {"s01", "s04", "s05"}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_fault_has_a_test(number: str) -> None:
    assert any(number in numbers_in(code, "s") for _, code in codes_below(FAULTS))


def test_no_test_bears_a_number_that_is_none() -> None:
    found = set().union(*(numbers_in(code, "s") for _, code in codes_below(FAULTS)))
    assert found <= set(NUMBERS)
