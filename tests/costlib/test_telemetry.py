"""What one scrape adds to the one before: restarts, gaps, absent measures and histogram quantiles."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.measures import COUNTERS
from costlib.telemetry import (
    EnginePage,
    Histogram,
    SampleState,
    carried,
    counter_increase,
    is_same_engine,
    quantile,
    usage_sample,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
INF = float("inf")


def page(second=0.0, started_at=None, gauges=None, histogram=None, **counters):
    return EnginePage(
        target_key="node-1",
        model_key="llama",
        engine_key="0",
        scraped_at=NOON + timedelta(seconds=second),
        started_at=started_at,
        counters=counters,
        gauges=gauges or {},
        histograms={"ttft_s": histogram} if histogram else {},
    )


def generated(previous, current):
    return usage_sample(previous, current, 15).counters["generation_tokens"]


@pytest.mark.parametrize(
    ("values", "total"),
    [
        pytest.param([100, 150, 20, 60], 110, id="vector 36: one restart"),
        pytest.param([0, 0, 0], 0, id="nothing happened"),
        pytest.param([5], 0, id="one reading holds no increase"),
        pytest.param([10, 0, 10], 10, id="a restart caught at zero"),
    ],
)
def test_increases(values, total):
    assert sum(counter_increase(a, b) for a, b in pairwise(values)) == total


@pytest.mark.parametrize(("previous", "current"), [(None, 5), (5, None), (None, None)])
def test_an_end_that_is_not_known_makes_the_increase_unknown(previous, current):
    assert counter_increase(previous, current) is None


def test_after_a_known_restart_the_new_value_is_the_increase():
    assert counter_increase(100, 130, restarted=True) == 130
    assert counter_increase(None, 130, restarted=True) == 130


def test_the_first_scrape_has_nothing_to_compare_with():
    sample = usage_sample(None, page(generation_tokens=50), 15)
    assert (sample.state, sample.interval_s) == (SampleState.FIRST, None)
    assert set(sample.counters.values()) == {None}


def test_a_measure_that_is_not_exported_is_none_and_never_zero():
    sample = usage_sample(page(0, generation_tokens=5), page(15, generation_tokens=9), 15)
    assert sample.counters["generation_tokens"] == 4
    assert sample.counters["cached_prompt_tokens"] is None
    assert sample.gauges["kv_usage_fraction"] is None
    assert sample.histograms["ttft_s"] is None
    assert set(sample.counters) == set(COUNTERS)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(15, SampleState.OK), (37, SampleState.OK), (38, SampleState.GAP), (3600, SampleState.GAP)],
)
def test_a_late_scrape_is_a_gap_whose_increase_is_real(seconds, state):
    sample = usage_sample(page(0, generation_tokens=5), page(seconds, generation_tokens=9), 15)
    assert (sample.state, sample.interval_s, sample.counters["generation_tokens"]) == (state, seconds, 4)


def test_one_counter_that_drops_restarts_them_all():
    """The generation counter has already passed its old value: only the prompt counter tells."""
    before, after = page(0, prompt_tokens=100, generation_tokens=10), page(15, prompt_tokens=5, generation_tokens=12)
    sample = usage_sample(before, after, 15)
    assert sample.state is SampleState.RESET
    assert (sample.counters["prompt_tokens"], sample.counters["generation_tokens"]) == (5, 12)


def test_a_later_process_start_is_a_restart_even_when_no_counter_drops():
    before = page(0, NOON - timedelta(hours=1), generation_tokens=10)
    after = page(15, NOON + timedelta(seconds=5), generation_tokens=300)
    assert usage_sample(before, after, 15).state is SampleState.RESET
    assert generated(before, after) == 300


def test_a_process_start_that_jitters_by_a_rounding_is_no_restart():
    before = page(0, NOON - timedelta(hours=1), generation_tokens=10)
    after = page(15, NOON - timedelta(hours=1) + timedelta(seconds=0.4), generation_tokens=30)
    assert (usage_sample(before, after, 15).state, generated(before, after)) == (SampleState.OK, 20)


def test_gauges_are_what_they_are_now():
    sample = usage_sample(page(0, gauges={"running_count": 9}), page(15, gauges={"running_count": 3}), 15)
    assert sample.gauges["running_count"] == 3


counts = st.lists(st.integers(0, 10**12), min_size=3, max_size=20)


@given(counts)
def test_adjacent_windows_add_up_to_the_whole(increments):
    """No increase is extrapolated: the parts of a window sum to the window exactly."""
    totals = [sum(increments[: n + 1]) for n in range(len(increments))]
    pages = [page(15 * n, generation_tokens=total) for n, total in enumerate(totals)]
    parts = sum(generated(a, b) for a, b in pairwise(pages))
    assert parts == generated(pages[0], pages[-1]) == totals[-1] - totals[0]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), min_size=2, max_size=20))
def test_no_token_is_invented_and_those_lost_fall_between_scrape_and_restart(history):
    """Whatever restarts happen at a scrape, the increases are what was generated from the first scrape on."""
    value, true_total, pages = 0, 0, []
    for n, (increment, restarts) in enumerate(history):
        started = NOON + timedelta(minutes=n) if restarts else (pages[-1].started_at if pages else NOON)
        value = increment if restarts else value + increment
        true_total += increment if n else 0
        pages.append(page(60 * n + 59, started, generation_tokens=value))
    assert sum(generated(a, b) for a, b in pairwise(pages)) == true_total


def histogram(*counts, bounds=(0.5, 1.0, INF)):
    return Histogram(bounds=bounds, cumulative_counts=counts, sum=float(sum(counts)), count=counts[-1])


def test_histograms_are_subtracted_bucket_by_bucket():
    sample = usage_sample(page(0, histogram=histogram(5, 8, 9)), page(15, histogram=histogram(6, 11, 13)), 15)
    assert sample.histograms["ttft_s"] == Histogram(
        bounds=(0.5, 1.0, INF), cumulative_counts=(1, 3, 4), sum=8.0, count=4
    )


def test_histograms_with_other_bounds_cannot_be_subtracted():
    before, after = histogram(5, 9, bounds=(0.5, INF)), histogram(6, 11, 13)
    assert usage_sample(page(0, histogram=before), page(15, histogram=after), 15).histograms["ttft_s"] is None


def test_after_a_restart_the_new_histogram_is_the_increase():
    before = page(0, histogram=histogram(50, 80, 90), generation_tokens=9)
    after = page(15, histogram=histogram(6, 11, 13), generation_tokens=2)
    assert usage_sample(before, after, 15).histograms["ttft_s"] == histogram(6, 11, 13)


@pytest.mark.parametrize(
    ("counts", "q", "value"),
    [
        pytest.param((80, 100, 100), 0.9, 0.75, id="halfway through the second bucket"),
        pytest.param((80, 100, 100), 0.4, 0.25, id="halfway through the first, which begins at zero"),
        pytest.param((80, 100, 100), 1.0, 1.0, id="the largest"),
        pytest.param((10, 10, 100), 0.9, 1.0, id="beyond the last bound: only known to be above it"),
        pytest.param((0, 10, 10), 0.5, 0.75, id="an empty bucket is passed over"),
        pytest.param((0, 0, 0), 0.5, None, id="nothing observed"),
        pytest.param((), 0.5, None, id="no buckets"),
    ],
)
def test_quantile(counts, q, value):
    assert quantile((0.5, 1.0, INF)[: len(counts)], counts, q) == value


@given(
    st.lists(st.integers(0, 1000), min_size=4, max_size=4),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_quantiles_are_ordered_and_inside_the_bounds(increments, qs):
    cumulative = [sum(increments[: n + 1]) for n in range(4)]
    low, high = (quantile((0.1, 1.0, 10.0, INF), cumulative, q) for q in qs)
    if cumulative[-1] == 0:
        assert low is high is None
    else:
        assert 0 <= low <= high <= 10.0


class TestANewEngine:
    """S23: a replica that starts under our eyes counts from its start; one that ran before counts from now on."""

    def test_that_started_while_watched_counts_whole(self):
        new = page(20, started_at=NOON + timedelta(seconds=5), generation_tokens=300)
        sample = usage_sample(None, new, 15, watched_since=NOON)
        assert (sample.state, sample.interval_s) == (SampleState.STARTED, 15)
        assert sample.counters["generation_tokens"] == 300

    @pytest.mark.parametrize("started_at", [None, NOON - timedelta(days=3), NOON + timedelta(days=1)])
    def test_that_may_have_run_before_counts_from_its_first_page_on(self, started_at):
        sample = usage_sample(None, page(20, started_at=started_at, generation_tokens=300), 15, watched_since=NOON)
        assert sample.state is SampleState.FIRST
        assert sample.counters["generation_tokens"] is None


def test_a_restart_within_a_gap_is_a_gap_that_says_so():
    sample = usage_sample(page(0, generation_tokens=100), page(7200, generation_tokens=20), 15)
    assert (sample.state, sample.restarted) == (SampleState.GAP, True)
    assert sample.counters["generation_tokens"] == 20


class TestWhatIsComparedWith:
    def test_a_counter_that_is_missing_once_loses_nothing(self):
        pages = [page(0, generation_tokens=100), page(15), page(30, generation_tokens=180)]
        before, total = None, 0
        for current in pages:
            total += usage_sample(before, current, 15).counters["generation_tokens"] or 0
            before = carried(before, current)
        assert total == 80

    def test_a_restart_takes_away_what_was_known(self):
        before = page(0, generation_tokens=100, prompt_tokens=50)
        assert carried(before, page(15, prompt_tokens=3)).counters == {"prompt_tokens": 3}


class TestTheSameEngineByTwoPaths:
    """S26: its tokens would count twice."""

    STARTED = NOON - timedelta(hours=5, microseconds=410_000)

    def test_is_known_by_its_start(self):
        direct = page(0, started_at=self.STARTED, prompt_tokens=1000)
        assert is_same_engine(direct, page(7, started_at=self.STARTED, prompt_tokens=1010))

    def test_is_known_by_its_counts_where_the_start_is_not_exported(self):
        assert is_same_engine(page(0, prompt_tokens=1000), page(7, prompt_tokens=1000))

    @pytest.mark.parametrize(
        "other",
        [
            page(7, started_at=STARTED + timedelta(seconds=1), prompt_tokens=1010),
            page(7, started_at=STARTED, prompt_tokens=900),
            page(7, started_at=STARTED),
        ],
        ids=["another start", "has counted less", "counts nothing in common"],
    )
    def test_and_another_is_not(self, other):
        assert not is_same_engine(page(0, started_at=self.STARTED, prompt_tokens=1000), other)

    def test_two_that_have_done_nothing_yet_are_not_taken_for_one(self):
        assert not is_same_engine(page(0, prompt_tokens=0), page(7, prompt_tokens=0))
