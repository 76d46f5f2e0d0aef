"""The live fleet: servers scraped at different moments are one fleet, and what nobody exports stays unknown."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from ui.live import fleet_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MEASURES = (
    "prompt_tokens", "generation_tokens", "prefix_queries_tokens", "prefix_hits_tokens", "preemptions_count",
    "kv_usage_fraction", "running_count", "waiting_count", "ttft_p95_s",
)  # fmt: skip


def row(target: str, at_s: float, interval_s: float | None = 5.0, **measures: float) -> dict:
    return {
        "scraped_at": NOON + timedelta(seconds=at_s),
        "target_key": target,
        "model_key": "m",
        "interval_s": interval_s,
        **{name: measures.get(name) for name in MEASURES},
    }


def fleet(*rows: dict):
    frame = pd.DataFrame(rows)
    for name in MEASURES:
        whole = name.endswith("_tokens") or name == "preemptions_count"
        frame[name] = frame[name].astype("Int64" if whole else "float64")
    frame["interval_s"] = frame["interval_s"].astype("float64")
    return fleet_of(frame)


def test_no_rows_are_no_fleet() -> None:
    assert fleet_of(pd.DataFrame()) is None


def test_two_servers_scraped_at_shifted_times_add_up() -> None:
    tokens = {"prompt_tokens": 400, "generation_tokens": 100}
    rows = [row(t, at + shift, **tokens) for at in range(0, 60, 5) for t, shift in (("a", 0.0), ("b", 2.5))]
    found = fleet(*rows)
    assert found.targets_count == 2
    assert found.tokens_per_s.iloc[-1] == pytest.approx(2 * 500 / 5)
    assert found.tokens_per_s.iloc[2:].tolist() == pytest.approx([200.0] * (len(found.tokens_per_s) - 2)), "no sawtooth"
    assert found.generation_tokens_per_s == pytest.approx(2 * 100 / 5)


def test_the_newest_moment_is_the_newest_scrape_of_any_server() -> None:
    assert fleet(row("a", 0), row("b", 7)).newest_at == NOON + timedelta(seconds=7)


def test_levels_are_those_of_the_last_scrape_of_each_server() -> None:
    found = fleet(
        row("a", 0, running_count=1, waiting_count=9, kv_usage_fraction=0.1),
        row("a", 5, running_count=3, waiting_count=2, kv_usage_fraction=0.2),
        row("b", 2, running_count=10, waiting_count=1, kv_usage_fraction=0.6),
    )
    assert found.running_count.iloc[-1] == 13
    assert found.waiting_count == 3
    assert found.kv_usage_fraction.iloc[-1] == pytest.approx(0.4)


def test_what_no_server_exports_is_unknown_and_not_zero() -> None:
    found = fleet(row("a", 0), row("a", 5, prompt_tokens=10, generation_tokens=1))
    assert found.waiting_count is None
    assert found.preemptions_per_min is None
    assert found.prefix_hit_fraction is None
    assert found.ttft_p95_s is None
    assert len(found.kv_usage_fraction) == 0


def test_a_first_scrape_has_no_rate() -> None:
    found = fleet(row("a", 0, None, running_count=4))
    assert len(found.tokens_per_s) == 0
    assert found.generation_tokens_per_s is None
    assert found.running_count.iloc[-1] == 4


def test_preemptions_are_per_minute_and_hits_are_over_queries() -> None:
    found = fleet(
        *[
            row("a", 5 * n, prompt_tokens=1, generation_tokens=1, preemptions_count=2, prefix_queries_tokens=100,
                prefix_hits_tokens=25)
            for n in range(12)
        ]
    )  # fmt: skip
    assert found.preemptions_per_min == pytest.approx(24)
    assert found.prefix_hit_fraction == pytest.approx(0.25)


def test_no_queries_are_no_hit_rate() -> None:
    assert fleet(row("a", 0, prefix_queries_tokens=0, prefix_hits_tokens=0)).prefix_hit_fraction is None


def test_the_slowest_server_gives_the_first_token_time() -> None:
    assert fleet(row("a", 0, ttft_p95_s=0.5), row("b", 0, ttft_p95_s=0.9)).ttft_p95_s == 0.9
