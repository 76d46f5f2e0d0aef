"""A month in one pass gives what one scrape after another gives."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.history import EngineHistory, HistogramHistory, increases
from costlib.telemetry import EnginePage, Histogram, carried, usage_sample

BOUNDS = (0.5, float("inf"))
EVERY_S = 15.0

value = st.none() | st.integers(0, 5)
row = st.fixed_dictionaries(
    {
        "step_s": st.sampled_from([15.0, 15.0, 15.0, 40.0]),
        "started_s": st.sampled_from([None, 1.0, 1.0, 500.0]),
        "prompt_tokens": value,
        "generation_tokens": value,
        "observed": st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
    }
)


def moment(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def pages_of(rows):
    """The rows as one scrape after another."""
    at, pages = 1000.0, []
    for item in rows:
        at += item["step_s"]
        low, high = item["observed"] or (0, 0)
        seen = Histogram(bounds=BOUNDS, cumulative_counts=(low, low + high), sum=0.4 * low + high, count=low + high)
        pages.append(
            EnginePage(
                target_key="t",
                model_key="m",
                engine_key="0",
                scraped_at=moment(at),
                started_at=moment(item["started_s"]) if item["started_s"] else None,
                counters={
                    name: float(item[name]) for name in ("prompt_tokens", "generation_tokens") if item[name] is not None
                },
                histograms={"ttft_s": seen} if item["observed"] else {},
            )
        )
    return pages


def history_of(pages):
    def column(values):
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    hists = [page.histograms.get("ttft_s") for page in pages]
    return EngineHistory(
        target_key="t",
        model_key="m",
        engine_key="0",
        times_s=column(page.scraped_at.timestamp() for page in pages),
        started_s=column(page.started_at and page.started_at.timestamp() for page in pages),
        counters={
            name: column(page.counters.get(name) for page in pages) for name in ("prompt_tokens", "generation_tokens")
        },
        histograms={
            "ttft_s": HistogramHistory(
                bounds=BOUNDS,
                cumulative_counts=np.array(
                    [h.cumulative_counts if h else (np.nan, np.nan) for h in hists], dtype=float
                ).reshape(-1, 2),
                sum=column(h and h.sum for h in hists),
                count=column(h and h.count for h in hists),
            )
        },
    )


def one_after_another(pages, before, watched_since=None):
    samples = []
    for page in pages:
        samples.append(usage_sample(before, page, EVERY_S, watched_since))
        before = carried(before, page)
    return samples


def known(value):
    return None if np.isnan(value) else float(value)


@settings(max_examples=120, deadline=None)
@given(st.lists(row, min_size=1, max_size=8), st.integers(0, 3))
def test_columns_hold_what_single_scrapes_hold(rows, split):
    pages = pages_of(rows)
    split = min(split, len(pages) - 1)
    before = None
    for page in pages[:split]:
        before = carried(before, page)
    found = increases(history_of(pages[split:]), before, EVERY_S, watched_since_s=400.0)
    expected = one_after_another(pages[split:], before, moment(400.0))
    assert list(found.states) == [sample.state for sample in expected]
    assert found.restarted.tolist() == [sample.restarted for sample in expected]
    assert [known(value) for value in found.interval_s] == [sample.interval_s for sample in expected]
    for name in ("prompt_tokens", "generation_tokens"):
        assert [known(value) for value in found.counters[name]] == [sample.counters[name] for sample in expected]
    for page in pages[split:]:
        before = carried(before, page)
    assert found.last_page == before
    seen = found.histograms["ttft_s"]
    for index, sample in enumerate(expected):
        histogram = sample.histograms["ttft_s"]
        assert known(seen.count[index]) == (histogram.count if histogram else None)
        assert known(seen.sum[index]) == pytest.approx(histogram.sum if histogram else None)
        if histogram:
            assert tuple(seen.cumulative_counts[index]) == histogram.cumulative_counts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=12), st.data())
def test_a_stretch_read_in_pieces_adds_up_to_the_whole(steps, data):
    counts = np.cumsum(steps).astype(float)
    times = np.arange(len(counts)) * EVERY_S
    cut = data.draw(st.integers(1, len(counts) - 1))

    def part(rows):
        return EngineHistory(
            target_key="t", model_key="m", engine_key="0", times_s=times[rows],
            started_s=np.full(len(times[rows]), np.nan), counters={"prompt_tokens": counts[rows]},
        )  # fmt: skip

    first, second = part(slice(None, cut)), part(slice(cut, None))
    begun = increases(first, None, EVERY_S)
    pieces = [begun, increases(second, begun.last_page, EVERY_S)]
    total = sum(float(np.nansum(piece.counters["prompt_tokens"])) for piece in pieces)
    assert total == counts[-1] - counts[0] == sum(b - a for a, b in pairwise(counts))


def test_nothing_read_changes_nothing():
    empty = EngineHistory(
        target_key="t", model_key="m", engine_key="0", times_s=np.empty(0), started_s=np.empty(0),
        counters={"prompt_tokens": np.empty(0)},
    )  # fmt: skip
    (page,) = pages_of(
        [{"step_s": 15.0, "started_s": None, "prompt_tokens": 1, "generation_tokens": 1, "observed": None}]
    )
    assert len(increases(empty, page, EVERY_S).interval_s) == len(increases(empty, None, EVERY_S).states) == 0
    assert increases(empty, page, EVERY_S).last_page is page
