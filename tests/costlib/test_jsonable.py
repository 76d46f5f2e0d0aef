"""JSON for machines: field names, money as text, and never a number that JSON does not have."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.estimate import Undefined
from costlib.jsonable import jsonable


class Word(StrEnum):
    YES = "yes"


class Figure(Enum):
    ONE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    words: tuple[Word, ...]
    missing: None = None


def test_dataclasses_become_objects_with_their_field_names() -> None:
    value = Outer(inner=Inner(cost=Decimal("1.5")), words=(Word.YES,))
    assert jsonable(value) == {"inner": {"cost": "1.5"}, "words": ["yes"], "missing": None}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("0.000000000000000001"), "0.000000000000000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-7"), "-7"),
        (date(2026, 11, 21), "2026-11-21"),
        (datetime(2026, 11, 21, 8, tzinfo=UTC), "2026-11-21T08:00:00+00:00"),
        (Figure.ONE, 1),
        (Undefined(reason="no tokens"), {"undefined": "no tokens"}),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (frozenset({4}), [4]),
        ("text", "text"),
        (True, True),
    ],
)
def test_values(value, shown) -> None:
    found = jsonable(value)
    assert found == shown
    assert type(found) is type(shown)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_money_survives_as_text_to_the_last_digit(amount: Decimal) -> None:
    text = jsonable(amount)
    assert isinstance(text, str)
    assert "E" not in text.upper()
    assert Decimal(text) == amount


def test_what_comes_out_is_json() -> None:
    json.dumps(jsonable(Outer(inner=Inner(cost=Decimal(1)), words=())), allow_nan=False)


def test_arrays_become_lists_and_json_has_no_nan():
    assert jsonable({"a": np.array([1.5, np.nan, np.inf]), "b": np.array([[1, 2]])}) == {
        "a": [1.5, None, None],
        "b": [[1, 2]],
    }
