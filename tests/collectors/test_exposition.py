"""The strict reading of the text format: what prometheus_client says, the same cold and warm, or a refusal."""

import math
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from collectors.base import PageRefused
from collectors.exposition import PageLimits, SeriesTable
from costlib.errors import BadRecord


def every_series(name, labels):
    return name, tuple(sorted(labels.items()))


def table(**limits):
    return SeriesTable(every_series, PageLimits(**limits))


def outcome(series, body):
    """What a table makes of a page, comparable: NaN equals NaN, and a refusal is its word and message."""
    try:
        return [(meaning, repr(value)) for meaning, value in series.read(body)]
    except PageRefused as refusal:
        return refusal.word, str(refusal)


def library(body):
    return [
        (every_series(sample.name, sample.labels), repr(float(sample.value)))
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}_total", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    max_size=4,
)
VALUES = st.one_of(st.floats(), st.integers(min_value=0, max_value=2**70)).map(lambda value: f"{value}")


@st.composite
def pages(draw):
    """Pages as exporters write them: comments, blank lines, every legal label value, here and there a timestamp."""
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        name, labels, value = draw(NAMES), draw(LABELS), draw(VALUES)
        if draw(st.booleans()):
            lines += [f"# HELP {name} So many tokens.", f"# TYPE {name} counter"]
        escaped = {
            label: text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for label, text in labels.items()
        }
        series = name + ("{" + ",".join(f'{k}="{v}"' for k, v in escaped.items()) + "}" if labels else "")
        timestamp = draw(st.sampled_from(["", "", "", " 1795224558303"]))
        lines.append(f"{series} {value}{timestamp}")
        lines += draw(st.sampled_from([[], [], [""]]))
    return ("\n".join(lines) + "\n").encode()


@given(pages(), pages())
def test_it_agrees_with_the_library_cold_and_warm(first, second):
    series = table()
    for page in (first, second, first):
        assert outcome(series, page) == library(page)


@st.composite
def mutilated(draw, page: bytes):
    """A page after a few of the things that networks, proxies and bugs do to bytes."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(page)))
        until = min(len(page), at + draw(st.integers(0, 40)))
        put = draw(
            st.sampled_from([b"", b" ", b"\n", b"\t", b'"', b"{", b"}", b"\\", b",", b"_", b"#", b"\xff", b"1 2"])
        )
        page = page[:at] + put + page[until:]
    return page


def test_whatever_arrives_is_read_or_refused_and_memory_changes_nothing(last_page):
    head = last_page[last_page.index(b"# HELP vllm:num_requests_running") :][:6000]
    good = head[: head.rindex(b"\n") + 1]

    @given(mutilated(good))
    def check(page):
        warm = table()
        warm.read(good)
        assert outcome(warm, page) == outcome(table(), page)

    check()


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_raise_nothing_but_a_bad_record(body):
    with suppress(BadRecord):
        assert all(isinstance(value, float) for _, value in table().read(body))


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("a 1\nb", "truncated"),
        ("a 1\nb 12", "truncated"),
        ("a 1\nb\n", "bad_syntax"),
        ("a 1\nb 0x10\n", "bad_syntax"),
        ("a 1\nb 1_000\n", "bad_syntax"),
        ("a 1\nb{x=1} 1\n", "bad_syntax"),
        ('a 1\nb{x="1} 1\n', "bad_syntax"),
        ('a 1\nb{x="1",x="1"} 1\n', "bad_syntax"),
        ("no metrics\n", "not_metrics"),
        ("\n\n", "not_metrics"),
    ],
)
def test_a_page_with_a_line_that_is_none_is_refused_whole(page, word):
    with pytest.raises(PageRefused) as caught:
        table().read(page.encode())
    assert caught.value.word == word


@pytest.mark.parametrize("value", ["1_000", "x", "1e", ""])
def test_a_series_seen_before_is_held_to_the_same_rules(value):
    series = table()
    series.read(b"a 1\nb 2\n")
    with pytest.raises(PageRefused):
        series.read(b"a 1\nb " + value.encode() + b"\n")


def test_infinity_and_nan_are_numbers_of_the_format():
    values = [value for _, value in table().read(b"a +Inf\nb -Inf\nc NaN\n")]
    assert values[:2] == [math.inf, -math.inf] and math.isnan(values[2])


@pytest.mark.parametrize("page", [b"a 1 1795224558303\n", b"a\t1\n", b"a 1 \n", b"a  1\n", b" a 1\n", b"a 1\r\n"])
def test_unusual_spacing_and_timestamps_read_alike_every_time(page):
    series = table()
    assert [series.read(page) for _ in range(3)] == [[(("a", ()), 1.0)]] * 3


def test_limits_hold_at_their_edge():
    page = b'a{x="12",y="1"} 1\nb 2\n'
    table(samples_count=2, labels_count=2, label_value_chars_count=2, line_chars_count=17).read(page)
    for limit in (
        {"samples_count": 1},
        {"labels_count": 1},
        {"label_value_chars_count": 1},
        {"label_name_chars_count": 0},
        {"line_chars_count": 16},
    ):
        with pytest.raises(PageRefused, match="allowed"):
            table(**limit).read(page)


def test_series_that_are_gone_are_forgotten():
    """A label with a new value per request must not fill the memory of a collector that runs for months."""
    numbers = count()
    series = table()
    for _ in range(50):
        series.read(b"".join(b'a{request="%d"} 1\n' % next(numbers) for _ in range(200)))
    assert len(series) <= 2 * 200 + 1_200


def test_a_page_is_not_parsed_twice():
    asked = []
    series = SeriesTable(lambda name, labels: asked.append(name))
    for _ in range(3):
        series.read(b"a 1\nb 2\n")
    assert asked == ["a", "b"]
