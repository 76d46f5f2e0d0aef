"""What a deployment can be calibrated on, out of the store: hours of counters whose truth is known."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from costlib.calibration import calibrate
from costlib.errors import DomainError
from costlib.load_windows import LoadWindows
from costlib.units import SECONDS_PER_HOUR
from costlib.workload import Workload
from store.catalog_files import load_catalog
from store.home import Home
from store.read import snapshot_of
from store.server_use import load_windows
from store.writer import Writer
from tests.costlib.simulated_fleet import MINUTE_S, simulated, stated
from tests.store.builders import NOON, frozen

CATALOG = load_catalog()
TRUTH = stated(CATALOG, "llama-3.1-8b", "h100-sxm")
PLANTED = {"compute": 0.8, "memory": 0.8}
HOURS = 480
START = NOON - timedelta(hours=HOURS)
WORK = Workload(requests_per_s=1.0, mean_prompt_tokens=1.0, mean_output_tokens=1.0, output_cv_ratio=0.0)
Row = dict[str, object]


def rows(changes: Mapping[int, Row] | None = None) -> list[Row]:
    """An hour for every simulated minute, 60 times as much of everything; `changes` by hour."""
    found = simulated(TRUTH, PLANTED, minutes=HOURS)
    of, per_hour = found.busy, SECONDS_PER_HOUR / MINUTE_S
    held = of.context_tokens / of.steps_count
    return [
        {
            "bin_start": (START + timedelta(hours=hour)).replace(tzinfo=None),
            "target_key": "chat",
            "model_key": "llama",
            "samples_count": 240,
            "observed_s": SECONDS_PER_HOUR,
            "coverage_s": SECONDS_PER_HOUR,
            "busy_s": SECONDS_PER_HOUR,
            "gap_s": 0.0,
            "preemptions_count": 0,
            "steps_count": round(of.steps_count[hour] * per_hour),
            "prompt_tokens": round((of.computed_tokens[hour] + of.cached_tokens[hour]) * per_hour),
            "cached_prompt_tokens": round(of.cached_tokens[hour] * per_hour),
            "generation_tokens": round(of.generated_tokens[hour] * per_hour),
            "requests_stop_count": round(of.requests_count[hour] * per_hour),
            "kv_usage_fraction": float(held[hour] / held.max()),
            **(changes or {}).get(hour, {}),
        }
        for hour in range(HOURS)
    ]


def stored(folder: Path, found: list[Row]) -> Home:
    home = Home(folder / "home")
    with Writer.open(home, frozen()) as writer:
        writer.add_usage_hours(pa.Table.from_pylist(found))
        writer.publish(force=True)
    return home


def read(home: Home, key: str = "chat", start: datetime = START) -> LoadWindows:
    with snapshot_of(home) as snapshot:
        return load_windows(snapshot, start, NOON, key, WORK)


def test_what_was_planted_is_found_through_the_store(tmp_path: Path) -> None:
    load = read(stored(tmp_path, rows()))
    assert (load.observed_s, load.busy_fraction) == (HOURS * SECONDS_PER_HOUR, 1.0)
    assert load.start_s[0] == START.timestamp()
    assert load.mean_computed_tokens == pytest.approx(
        simulated(TRUTH, PLANTED, minutes=HOURS).mean_computed_tokens, rel=0.02
    )
    found = calibrate(load, TRUTH, CATALOG)
    ratios = {one.group: one.ratio for one in found.found}
    assert ratios["compute"] == pytest.approx(0.8, rel=0.05)
    assert found.back_test.passes
    assert found.back_test.windows_count == 24


@pytest.mark.parametrize(
    "change",
    [
        {"gap_s": 60.0},
        {"restarts_count": 1},
        {"preemptions_count": 3},
        {"draft_tokens": 1000},
        {"busy_s": SECONDS_PER_HOUR - 15.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_hour_that_tells_nothing_of_steps_is_left_out(tmp_path: Path, change: Row) -> None:
    load = read(stored(tmp_path, rows({0: change, 7: change})))
    assert len(load.start_s) == HOURS - 2
    assert START.timestamp() not in load.start_s


def test_steps_that_are_not_exported_are_unknown(tmp_path: Path) -> None:
    unknown: Row = {"steps_count": None}
    load = read(stored(tmp_path, rows(dict.fromkeys(range(HOURS), unknown))))
    assert np.isnan(load.busy.steps_count).all()
    with pytest.raises(DomainError, match="engine steps are not exported"):
        calibrate(load, TRUTH, CATALOG)


def test_a_server_that_told_nothing_is_refused(tmp_path: Path) -> None:
    home = stored(tmp_path, rows())
    with pytest.raises(DomainError, match="the servers of other told nothing"):
        read(home, key="other")
    with pytest.raises(DomainError, match="told nothing"):
        read(home, start=NOON + timedelta(days=1) - timedelta(hours=24))


def test_a_server_of_several_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"answered for 2 models \(llama, qwen\)"):
        read(stored(tmp_path, rows({3: {"model_key": "qwen"}})))
