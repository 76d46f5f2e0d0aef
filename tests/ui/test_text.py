"""Numbers as people read them, and names that cannot act."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.estimate import Undefined
from ui import text
from ui.text import UNKNOWN

UNDEFINED = Undefined(reason="no tokens")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "$0.00"), (0.004, "$0.00"), (99.994, "$99.99"), (100, "$100"), (1234.5, "$1,234"), (-0.5, "-$0.50"),
        (-1_234_567, "-$1,234,567"), (Decimal("1e9"), "$1,000,000,000"), (None, UNKNOWN), (UNDEFINED, UNKNOWN),
    ],
)  # fmt: skip
def test_money(value, shown: str) -> None:
    assert text.money(value) == shown


def test_other_currencies_are_named_after_the_figure_and_cannot_act() -> None:
    assert text.money(1234, "EUR") == "1,234 EUR"
    assert text.money(-5, "EUR") == "-5.00 EUR"
    assert "\u202e" not in text.money(5, "\u202eUSD")


@pytest.mark.parametrize(
    ("value", "shown"), [("-0.005", "$0.00"), ("-0.01", "-$0.01"), ("1234.565", "$1,234.56"), ("0", "$0.00")]
)
def test_cents_are_exact(value: str, shown: str) -> None:
    assert text.cents(Decimal(value)).replace("-$0.00", "$0.00") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (12, "12"), (0.5, "0.5"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (136_300, "136k"),
        (2.8e9, "2.8B"), (278e9, "278B"), (1e12, "1T"), (-2500, "-2.5k"),
    ],
)  # fmt: skip
def test_compact(value: float, shown: str) -> None:
    assert text.compact(value) == shown


@given(st.integers(-(10**15), 10**15) | st.floats(0.01, 1e6))
def test_compact_is_short_and_near(value: float) -> None:
    shown = text.compact(value)
    assert len(shown.replace(",", "")) <= 8
    units = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    back = float(shown.rstrip("kMBT").replace(",", "")) * units.get(shown[-1], 1.0)
    assert back == pytest.approx(value, rel=0.06, abs=0.5)


@pytest.mark.parametrize("value", [999.6, 999_600.0, 999.6e6])
def test_compact_never_rounds_to_a_thousand_of_a_smaller_unit(value: float) -> None:
    assert not text.compact(value).startswith("1,000")


def test_short_money_keeps_the_sign_in_front() -> None:
    assert [text.short_money(v) for v in (190_870, -4_722, -190_870, 0.5)] == ["$191k", "-$4,722", "-$191k", "$0.50"]


def test_a_change_has_a_sign_and_none_is_the_number_0() -> None:
    assert text.change(5, "$5") == "+$5"
    assert text.change(-5, "-$5") == "-$5"
    assert text.change(0, "$0") == 0


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4711, "$0.471"), (12.3456, "$12.35"), (-0.5, "-$0.500"), (None, UNKNOWN)]
)
def test_unit_cost(value: float | None, shown: str) -> None:
    assert text.unit_cost(value) == shown
    assert text.unit_cost(UNDEFINED) == UNKNOWN


def test_shares_and_times_that_are_unknown_are_not_zero() -> None:
    assert text.percent(0.456) == "46%"
    assert text.percent(0.0123, 1) == "1.2%"
    assert [text.percent(v) for v in (None, UNDEFINED, float("nan"))] == [UNKNOWN] * 3
    assert text.milliseconds(0.0514) == "51 ms"
    assert [text.milliseconds(v) for v in (None, float("nan"))] == [UNKNOWN] * 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (3600, "1 h ago"), (86_400 * 3, "3 d ago"), (-5, "0 s ago")],
)
def test_age(seconds: float, shown: str) -> None:
    assert text.age(NOW - timedelta(seconds=seconds), NOW) == shown
    assert text.age(None, NOW) == "never"


def test_the_last_day_is_the_one_before_the_excluded_end() -> None:
    assert text.last_day(datetime(2026, 11, 21, tzinfo=UTC)) == "20 Nov 2026"
    assert text.last_day(None) == UNKNOWN
    assert text.day_of(date(2026, 1, 2)) == "2 Jan 2026"


# Names from outside ---------------------------------------------------------------------------------------------------


@given(st.text())
def test_plain_text_has_no_control_or_direction_characters_and_is_cut(name: str) -> None:
    shown = text.plain(name, 20)
    assert len(shown) <= 20
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202a\u202e\u2066\u2069\u200b\u200f" for c in shown)


@given(st.text(alphabet="[]()!<>*_`$#|~:\\ab/.&^{}+-="))
def test_a_label_has_every_character_that_markdown_acts_on_escaped(name: str) -> None:
    rest = text.label(name, 1000).replace("\\\\", "")
    for at, character in enumerate(rest):
        if character in "[]()!<>*_`$#|~:{}^":
            assert rest[at - 1] == "\\", rest


@pytest.mark.parametrize(
    "name",
    ["https://evil.example/x", "see HTTP://evil.example", "www.evil.example", "a@evil.example", "x+y@evil.example"],
)
def test_a_label_has_no_address_that_markdown_links_by_itself(name: str) -> None:
    """Streamlit's Markdown links bare addresses, escaped or not, wherever scheme and host stand together."""
    read = re.sub(r"\\(\W)", r"\1", text.label(name))
    assert not re.search(r"(?i)(https?://|www\.)[-.\w]|[-.\w+]@[-\w]", read, re.ASCII), ascii(read)


def test_a_label_reads_as_it_was_written() -> None:
    assert text.label("a_b*c").replace("\\", "") == "a_b*c"
    assert text.label("x" * 500) == "x" * 119 + "…"


@pytest.mark.parametrize("name", ["<b>x</b>", "<a href='https://evil.example'>x</a>", "a<br>b & c"])
def test_a_chart_has_no_tags(name: str) -> None:
    assert "<" not in text.on_chart(name)


def test_dollars_do_not_make_a_formula() -> None:
    assert text.dollars("$1 to $2") == "\\$1 to \\$2"
