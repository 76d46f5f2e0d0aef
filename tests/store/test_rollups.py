"""Minutes and hours against their samples: sums exact, unknown stays unknown, a gap is not coverage."""

import math
import tempfile
from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, func, select

from costlib.measures import COUNTERS
from costlib.telemetry import SampleState
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.schema import usage_hour, usage_minute
from store.writer import Writer
from tests.store.builders import ALWAYS, add, at, frozen, histogram, run, sample


def published(home: Home, writer: Writer) -> Snapshot:
    writer.publish(force=True)
    found = open_snapshot(home)
    assert found
    return found


# Whole tokens, and seconds in 64ths: sums of either are exact in the database's types, so equality may be demanded.
tokens = st.one_of(st.none(), st.integers(0, 2**40))
seconds = st.one_of(st.none(), st.integers(0, 2**20).map(lambda n: n / 64))
measured = st.tuples(
    st.integers(-7200, 0),
    st.sampled_from("01"),
    st.sampled_from(SampleState),
    st.fixed_dictionaries({name: seconds if name.endswith("_s") else tokens for name in COUNTERS}),
)
Batches = list[list[tuple[int, str, SampleState, dict[str, float | None]]]]


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(measured, min_size=1, max_size=6), min_size=1, max_size=3), st.booleans())
def test_minutes_and_hours_of_an_engine_sum_to_its_samples(batches: Batches, publishes_between: bool) -> None:
    """Whatever the order and the overlap of the scrapes, and whenever somebody looks."""
    with tempfile.TemporaryDirectory() as folder, Writer.open(Home(Path(folder)), frozen()) as writer:
        for rows in batches:
            samples = [
                sample(at(offset), counters, engine_key=engine, state=state) for offset, engine, state, counters in rows
            ]
            add(writer, run(), [], samples)
            if publishes_between:
                writer.publish_tail(force=True)
        writer.publish(force=True)
        with writer._connection.begin():
            stored = {table.name: stored_sums(writer, table) for table in (usage_minute, usage_hour)}
    for engine in "01":
        found = [counters for rows in batches for _, key, _, counters in rows if key == engine]
        for sums in stored.values():
            assert sums.get(engine, {}).get("samples_count", 0) == len(found)
            for name in COUNTERS:
                known = [Fraction(counters[name]) for counters in found if counters[name] is not None]
                total = sums.get(engine, {}).get(name)
                assert (total is None) == (not known), "a counter that was never exported is not 0"
                assert total is None or Fraction(total) == sum(known)


def stored_sums(writer: Writer, table: Table) -> dict[str, dict[str, float | None]]:
    """The sums over all bins of a table, by engine."""
    names = ("samples_count", *COUNTERS)
    sums = select(table.c.engine_key, *(func.sum(table.c[name]).label(name) for name in names))
    rows = writer._connection.execute(sums.group_by(table.c.engine_key)).mappings()
    return {row["engine_key"]: {name: row[name] for name in names} for row in rows}


def hour_of(home: Home, writer: Writer, *samples):
    add(writer, run(), [], samples)
    return published(home, writer).usage(*ALWAYS).iloc[0]


def test_a_gap_counts_its_tokens_but_not_its_time(home: Home, writer: Writer) -> None:
    hour = hour_of(
        home,
        writer,
        sample(at(0), {"prompt_tokens": 10}, interval_s=15.0),
        sample(at(600), {"prompt_tokens": 1000}, state=SampleState.GAP, interval_s=600.0),
        sample(at(615), {"prompt_tokens": 20}, state=SampleState.RESET, interval_s=15.0),
        sample(at(630), {}, state=SampleState.FIRST, interval_s=None),
    )
    assert hour["prompt_tokens"] == 1030
    assert (hour["coverage_s"], hour["observed_s"], hour["gap_s"]) == (30.0, 30.0, 600.0)


def test_an_engine_is_busy_while_it_runs_or_has_generated(home: Home, writer: Writer) -> None:
    hour = hour_of(
        home,
        writer,
        sample(at(0), {"generation_tokens": 0}, {"running_count": 2}),
        sample(at(15), {"generation_tokens": 5}, {"running_count": 0}),
        sample(at(30), {"generation_tokens": 0}, {"running_count": 0}),
        sample(at(45), {"generation_tokens": 5}, {"running_count": 1}, state=SampleState.GAP, interval_s=99.0),
    )
    assert (hour["busy_s"], hour["coverage_s"]) == (30.0, 45.0)


def test_an_engine_that_says_nothing_about_its_work_is_not_called_idle(home: Home, writer: Writer) -> None:
    hour = hour_of(home, writer, sample(at(0), {"prompt_tokens": 1}))
    assert hour["coverage_s"] == 15.0
    assert math.isnan(hour["busy_s"])


def test_two_engines_of_a_target_are_observed_once_and_covered_twice(home: Home, writer: Writer) -> None:
    hour = hour_of(
        home,
        writer,
        *(
            sample(at(offset), {}, {"running_count": running, "kv_usage_fraction": kv}, engine_key=engine)
            for offset, engine, running, kv in [
                (0, "0", 1, 0.2),
                (0, "1", 3, 0.4),
                (15, "0", 0, 0.9),
                (15, "1", 2, 0.1),
            ]
        ),
    )
    assert (hour["observed_s"], hour["coverage_s"], hour["busy_s"]) == (30.0, 60.0, 45.0)
    assert hour["running_count"] == 3.0, "the time-mean of the target's requests: (1 + 3 + 0 + 2) / 2"
    assert hour["kv_usage_fraction"] == 0.4
    assert hour["kv_usage_max_fraction"] == 0.9


def test_means_are_weighted_by_time(home: Home, writer: Writer) -> None:
    hour = hour_of(
        home,
        writer,
        sample(at(0), {}, {"waiting_count": 8}, interval_s=10.0),
        sample(at(30), {}, {"waiting_count": 0}, interval_s=30.0),
        sample(at(45), {}, {"waiting_count": None}, interval_s=15.0),
    )
    assert hour["waiting_count"] == 2.0


def test_models_and_targets_stay_apart(home: Home, writer: Writer) -> None:
    rows = [("gpu-1", "qwen", 1), ("gpu-1", "llama", 2), ("gpu-2", "qwen", 4)]
    add(writer, run(), [], [sample(at(0), {"prompt_tokens": n}, target_key=t, model_key=m) for t, m, n in rows])
    add(writer, run(), [], [sample(at(1), {"prompt_tokens": 8}, target_key="gpu-2")])
    usage = published(home, writer).usage(*ALWAYS)
    found = {(t, m): n for t, m, n in usage[["target_key", "model_key", "prompt_tokens"]].itertuples(index=False)}
    assert found == {("gpu-1", "qwen"): 1, ("gpu-1", "llama"): 2, ("gpu-2", "qwen"): 12}


def test_where_the_bounds_changed_there_is_no_quantile(home: Home, writer: Writer) -> None:
    old, new = histogram(1, 2, 3), histogram(1, 2, bounds=(0.5, float("inf")))
    add(writer, run(), [], [sample(at(-60), ttft_s=old), sample(at(0), ttft_s=new)])
    snapshot = published(home, writer)
    assert snapshot.live(at(0), 120)["ttft_p95_s"].isna().all()
    assert snapshot.live(at(0), 30)["ttft_p95_s"].notna().all()
