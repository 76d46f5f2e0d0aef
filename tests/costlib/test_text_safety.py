"""B25: formula text is neutralised in exports and comes back as it was. I12: neutralising is reversible."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from costlib.text_safety import neutral, restored

FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1:A9)", "\t=1", "\tteam", "\r=1", "\x00=1", "\x00a",
    "\n=1", " =1", "\ufeff=1", "\u200b=1", "＝1+1", "＋1", "－1", "＠SUM(A1)", "﹦1", "\u3000=1", "'=1", "''+1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_b25_formula_text_gets_an_apostrophe_and_loses_it_again(text: str) -> None:
    assert neutral(text) == f"'{text}"
    assert restored(neutral(text)) == text


@pytest.mark.parametrize("text", ["", "team", "a=1", "x+y", "1-2", "it's", "'quoted'", "user@example.com", "Zürich"])
def test_b25_other_text_is_left_as_it_is(text: str) -> None:
    assert neutral(text) == restored(text) == text


ANY_TEXT = st.text() | st.text("'=+-@＝\t\r\n \x00a", max_size=6)


@given(ANY_TEXT)
@example("'")
@example("'=")
def test_i12_restoring_gives_every_text_back(text: str) -> None:
    assert restored(neutral(text)) == text


@given(ANY_TEXT)
def test_i12_nothing_that_leaves_begins_like_a_formula(text: str) -> None:
    assert not neutral(text).lstrip(" ").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\x00"))


@given(ANY_TEXT)
def test_i12_an_export_of_what_was_read_back_is_the_same_export(text: str) -> None:
    assert neutral(restored(neutral(text))) == neutral(text)
