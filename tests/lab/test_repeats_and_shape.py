"""Text that repeats, turns of conversations and lengths of answers, by hand."""

from collections import Counter

import pytest

from costlib.estimate import Undefined
from lab.record import Request
from lab.repeats import RepeatCounter
from lab.shape import ShapeCounter, quantile

RULES = "Always answer politely, in whole sentences and within the facts."
MORE = "Never mention the name of another company in what you say."


def test_a_segment_is_counted_with_what_a_cache_would_not_have_given() -> None:
    """Ten requests of 100 tokens; the instructions are their beginning, and the cache gives half of them."""
    counter = RepeatCounter()
    system = f"{RULES}\n{MORE}"
    for number in range(10):
        counter.add(Request(messages=[("system", system), ("user", "q" * (2 * len(system)) + str(number))]), 300, 50)
    found = counter.found()
    (segment,) = found.segments
    assert segment.occurrences_count == 10
    assert segment.tokens == pytest.approx(100, rel=0.02)
    assert segment.uncached_tokens == pytest.approx(500, rel=0.03)
    assert found.repeated_fraction == pytest.approx(1 / 3, abs=0.02)
    assert segment.text == "" and RULES not in repr(found)


def test_a_line_that_also_comes_elsewhere_is_shown_by_itself_and_its_text_only_if_asked_for() -> None:
    counter = RepeatCounter(show_text=True)
    for number in range(4):
        counter.add(Request(messages=[("system", f"{RULES}\n{MORE}"), ("user", str(number))]), 50, 0)
        counter.add(Request(messages=[("user", f"{RULES}\nand number {number}")]), 20, 0)
    texts = {segment.text: segment.occurrences_count for segment in counter.found().segments}
    assert texts == {f"{RULES}\n{MORE}": 4, RULES: 8}


def test_earlier_turns_are_not_taken_for_a_template() -> None:
    counter = RepeatCounter()
    history: list[tuple[str, str]] = []
    for number in range(6):
        history.append(("user", f"turn {number}: " + "x" * 50))
        counter.add(Request(messages=list(history)), 50, 0)
        history.append(("assistant", f"answer {number}: " + "y" * 50))
    assert counter.found().segments == ()


def test_with_little_room_what_came_once_is_forgotten_first() -> None:
    counter = RepeatCounter(most_segments_count=100)
    for number in range(1_000):
        counter.add(Request(messages=[("system", RULES), ("user", f"{number:050d}")]), 40, 0)
    found = counter.found()
    assert found.is_bounded
    assert found.segments[0].occurrences_count == 1_000


def conversation(turns: int, number: str = "", first: str = "hello") -> list[Request]:
    history: list[tuple[str, str]] = []
    requests = []
    for turn in range(turns):
        history.append(("user", first if not turn else f"turn {turn}"))
        requests.append(Request(messages=list(history), conversation=number))
        history.append(("assistant", "so"))
    return requests


@pytest.mark.parametrize("number", ["", "7"], ids=["by its words", "by its number"])
def test_turns_are_counted_per_conversation(number: str) -> None:
    counter = ShapeCounter()
    for request in [*conversation(3, number), *conversation(1, number and "8", first="bye")]:
        counter.add(request, 100 * request.turns_count, None)
    found = counter.turns()
    assert (found.conversations_count, found.mean_turns, found.longest_turns_count) == (2, 2.0, 3)
    assert [(point.turn, point.requests_count, point.mean_prompt_tokens) for point in found.points] == [
        (1, 2, 100.0), (2, 1, 200.0), (3, 1, 300.0),
    ]  # fmt: skip


def test_the_same_first_words_again_are_another_conversation() -> None:
    counter = ShapeCounter()
    for request in [*conversation(3), *conversation(1)]:
        counter.add(request, 1, None)
    assert (counter.turns().conversations_count, counter.turns().mean_turns) == (2, 2.0)


def test_lengths_of_answers_against_what_they_were_allowed() -> None:
    counter = ShapeCounter()
    for length in range(1, 101):
        request = Request(messages=[("user", "a")], max_output_tokens=90, finish_reason="length" * (length >= 90))
        counter.add(request, 1, min(length, 90))
    found = counter.outputs()
    assert (found.p50_tokens, found.p90_tokens, found.p99_tokens, found.median_max_tokens) == (50, 90, 90, 90)
    assert found.truncated_fraction == 0.11


def test_what_the_log_does_not_tell_is_undefined() -> None:
    counter = ShapeCounter()
    counter.add(Request(messages=[("user", "a")]), 1, None)
    found = counter.outputs()
    for value in (found.mean_tokens, found.p99_tokens, found.median_max_tokens, found.truncated_fraction):
        assert isinstance(value, Undefined)


def test_a_quantile_is_a_length_that_occurs() -> None:
    assert quantile(Counter({5: 1}), 0.99) == 5
    assert quantile(Counter({1: 50, 9: 50}), 0.5) == 1
