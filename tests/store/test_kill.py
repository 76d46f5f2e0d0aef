"""kill -9 at every step of an import and of a publishing loses nothing and doubles nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.builders import bill

# 1 kills at every step, and takes three times as long.
STRIDE = 3
ORIGINAL, RESTATED = ["3", 1], ["5", 1]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("kill")
    original = bill(folder / "original.csv", {"BilledCost": "1"}, {"BilledCost": "2"})
    restated = bill(folder / "restated.csv", {"BilledCost": "1"}, {"BilledCost": "4"})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_points.py")), folder, original, restated, str(STRIDE)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_whole_import_was_covered(reports: list[dict]) -> None:
    assert len(reports) >= 16 / STRIDE
    assert [report["killed"] for report in reports] == [True] * (len(reports) - 1) + [False]


def test_readers_see_the_old_bill_or_the_new_one_never_a_mix(reports: list[dict]) -> None:
    seen = [report["seen_at_once"] for report in reports]
    assert seen == sorted(seen), "old first, and new from some step on"
    assert {tuple(item) for item in seen} == {tuple(ORIGINAL), tuple(RESTATED)}


def test_the_next_writer_brings_what_was_handed_over(reports: list[dict]) -> None:
    recovered = [report["recovered"] for report in reports]
    assert recovered == sorted(recovered)
    assert {tuple(item) for item in recovered} == {tuple(ORIGINAL), tuple(RESTATED)}
    assert recovered.count(RESTATED) > len(reports) / 2, "once the segment is in place it is never lost"


def test_importing_again_gives_the_restated_bill_once(reports: list[dict]) -> None:
    for report in reports:
        status, *billed = report["again"]
        assert billed == RESTATED, report
        assert (status == "imported") == (report["recovered"] == ORIGINAL), report


def test_nothing_half_built_is_left_behind(reports: list[dict]) -> None:
    assert [report["left"] for report in reports] == [[]] * len(reports)
