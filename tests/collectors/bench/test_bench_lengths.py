"""Lengths, traces and arrivals: what is drawn is what was asked, and the same seed draws it again."""

from itertools import islice, pairwise
from pathlib import Path
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.bench.lengths import (
    WORKLOADS,
    Lengths,
    correlated_pair,
    lengths_from,
    load_trace,
    poisson_offsets_s,
    trace_keys,
)
from collectors.bench.prompts import Ask, Calibration, PromptSource, fitted
from costlib.errors import ConfigError
from store.catalog_files import read_toml
from tests.fake_openai import tokens_of

EXACT = Calibration(tokens_per_word_ratio=1.9, overhead_tokens=7.0)
probability = st.floats(min_value=0, max_value=1)
curves = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 100_000)), min_size=1, max_size=8, unique_by=lambda point: point[0]
).map(
    lambda found: tuple(
        (percent / 100, float(tokens))
        for (percent, _), tokens in zip(sorted(found), sorted(point[1] for point in found), strict=True)
    )
)


def source(**changes: object) -> PromptSource:
    given: dict[str, object] = {
        "seed": 7,
        "input_lengths": lengths_from("200-400", ""),
        "output_lengths": lengths_from("50", ""),
        "rank_correlation": 0.0,
        "calibrated": EXACT,
    }
    return PromptSource(**(given | changes))  # type: ignore[arg-type]


def asks(of: PromptSource, count: int = 200) -> list[Ask]:
    return [of.ask(f"1/{number}") for number in range(count)]


@given(curves, probability, probability)
def test_the_inverse_cdf_never_falls_and_stays_between_its_ends(
    points: tuple[tuple[float, float], ...], first: float, second: float
) -> None:
    lengths = Lengths(label="", points=points)
    low, high = (lengths.at(value) for value in sorted((first, second)))
    assert points[0][1] <= low <= high <= points[-1][1]


@pytest.mark.parametrize("key", trace_keys())
def test_a_trace_gives_back_its_own_quantiles_and_nearly_its_mean(key: str) -> None:
    trace, document = load_trace(key), read_toml(WORKLOADS / f"{key}.toml")
    for lengths, table in (
        (trace.input_tokens, document["input_tokens"]),
        (trace.output_tokens, document["output_tokens"]),
    ):
        for name, tokens in table["quantiles"].items():
            assert abs(lengths.at(int(name[1:]) / 100) - tokens) <= 1
        drawn = fmean(lengths.at((index + 0.5) / 20_000) for index in range(20_000))
        assert drawn == pytest.approx(table["mean"], rel=0.05)


@pytest.mark.parametrize("key", trace_keys())
def test_a_trace_names_its_source_licence_and_date(key: str) -> None:
    document = read_toml(WORKLOADS / f"{key}.toml")
    assert document["licence"] and document["requests_count"] > 0
    assert all(item["url"].startswith("https://") and item["retrieved_on"] for item in document["sources"])


def test_there_are_six_traces() -> None:
    assert len(trace_keys()) == 6


def test_an_unknown_trace_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'azure-2023-code'"):
        load_trace("azure-code")


@pytest.mark.parametrize("document", ["", "label = 'x'", "label = 'x'\nlicence = 'y'\nrank_correlation = 'no'"])
def test_a_trace_file_that_is_none_is_named(document: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(document)
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        load_trace("mine", tmp_path)


@pytest.mark.parametrize("text", ["", "0", "-5", "800-200", "many", "1e3", "5-", "99999999999", "12 tokens"])
def test_what_is_no_length_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--input"):
        lengths_from(text, "--input")


@pytest.mark.parametrize(
    "points",
    [(), ((0.5, 10.0), (0.4, 20.0)), ((0.1, 20.0), (0.5, 10.0)), ((0.5, 0.0),), ((1.5, 9.0),), ((0.5, float("nan")),)],
)
def test_a_curve_that_falls_or_leaves_its_range_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ConfigError):
        Lengths(label="mine", points=points)


@pytest.mark.parametrize("asked", [-0.9, -0.5, 0.0, 0.3, 0.8])
def test_lengths_correlate_by_rank_as_asked(asked: float) -> None:
    rng = Random(3)
    drawn = np.array([correlated_pair(rng, asked) for _ in range(20_000)])
    ranks = drawn.argsort(axis=0).argsort(axis=0)
    assert np.corrcoef(ranks.T)[0, 1] == pytest.approx(asked, abs=0.03)
    assert drawn.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.02), "each stays uniform"


def test_arrivals_are_poisson_with_the_rate_asked() -> None:
    times = list(islice(poisson_offsets_s(4.0, "seed"), 20_000))
    gaps = np.diff([0.0, *times])
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.03), "a coefficient of variation of 1 is Poisson's"
    assert all(a < b for a, b in pairwise(times))


def test_a_seed_gives_the_same_requests_in_any_order_and_another_seed_others() -> None:
    of = source()
    assert asks(of) == [of.ask(f"1/{number}") for number in reversed(range(200))][::-1]
    assert list(islice(poisson_offsets_s(1.0, "a"), 9)) == list(islice(poisson_offsets_s(1.0, "a"), 9))
    assert {ask.prompt for ask in asks(of)}.isdisjoint(ask.prompt for ask in asks(source(seed=8)))


def test_no_two_prompts_begin_alike_so_that_the_prefix_cache_finds_nothing() -> None:
    beginnings = [tuple(ask.prompt.split()[:6]) for ask in asks(source())]
    assert len(set(beginnings)) == len(beginnings)


def test_a_shared_prefix_comes_on_top_and_is_the_same_for_all() -> None:
    plain, shared = source(), source(shared_prefix_tokens=190)
    beginnings = {tuple(ask.prompt.split()[:100]) for ask in asks(shared)}
    assert len(beginnings) == 1
    assert len({ask.prompt for ask in asks(shared)}) == 200
    assert [ask.input_tokens - 190 for ask in asks(shared)] == [ask.input_tokens for ask in asks(plain)]


def test_prompts_have_the_tokens_that_were_asked() -> None:
    for ask in asks(source(calibrated=Calibration(tokens_per_word_ratio=1.904, overhead_tokens=7.0))):
        assert tokens_of(ask.prompt) + 7 == pytest.approx(ask.input_tokens, rel=0.15)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(64, 200_000))
def test_lengths_fitted_to_a_limit_fit_it(wanted_input: int, wanted_output: int, limit: int) -> None:
    input_tokens, output_tokens = fitted(wanted_input, wanted_output, limit)
    assert 1 <= input_tokens <= wanted_input and 1 <= output_tokens <= wanted_output
    assert input_tokens + output_tokens <= limit


def test_a_request_that_was_shortened_says_so() -> None:
    assert all(ask.is_clipped for ask in asks(source(most_tokens=200)))
    assert not any(ask.is_clipped for ask in asks(source(most_tokens=4096)))
