"""Importing FOCUS Parquet, beside a bare INSERT … SELECT read_parquet of the same files; and restating one month."""

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks._focus_bill import write_month
from collectors.importer import import_files
from costlib.billing import FOCUS_COLUMNS, MONEY_PRECISION, MONEY_SCALE, ColumnKind
from costlib.units import GIBI, KIBI, MEGA
from store.home import Home
from store.records import ImportStatus

# PERMILLION_BENCH_ROWS=10000000 for the whole.
ROWS_COUNT = int(os.environ.get("PERMILLION_BENCH_ROWS", int(MEGA)))
MONTHS_COUNT = 10
ROUNDS_COUNT = 3 if ROWS_COUNT <= MEGA else 1
GOAL_RATE, GOAL_GIB, GOAL_RESTATED = 0.7, 1.5, 1.5
_TYPES = {ColumnKind.MONEY: f"DECIMAL({MONEY_PRECISION}, {MONEY_SCALE})", ColumnKind.TIME: "TIMESTAMP"}
_TYPES[ColumnKind.QUANTITY] = _TYPES[ColumnKind.MONEY]

Figures = tuple[float, float, float]  # seconds by the wall, seconds of the processor, most memory in bytes


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        months = [folder / f"month_{number}.parquet" for number in range(MONTHS_COUNT)]
        last, restated = folder / "last.parquet", folder / "restated.parquet"
        _apart(_write, [*months, last], restated)
        found: dict[str, list[Figures]] = {"bare": [], "typed": [], "ours": []}
        for _ in range(ROUNDS_COUNT):
            found["bare"].append(_apart(_bare, folder, months, False))
            found["typed"].append(_apart(_bare, folder, months, True))
            found["ours"].append(_apart(_imported, folder / "home", months, True))
        bytes_count = sum(path.stat().st_size for path in months)
        print(f"{ROWS_COUNT:,} rows, {bytes_count / GIBI:.2f} GiB{'':<16}{'s':>8} {'cpu s':>8} {'rows/s':>10}  GiB")
        base_s = _row("INSERT … SELECT, types as they come", found["bare"], ROWS_COUNT)
        typed_s = _row("INSERT … SELECT into our types", found["typed"], ROWS_COUNT)
        our_s = _row("import, stored and published", found["ours"], ROWS_COUNT)
        print(f"rate: {base_s / our_s:.2f} and {typed_s / our_s:.2f} of those two (goal: {GOAL_RATE}),", end=" ")
        print(f"at most {max(figures[2] for figures in found['ours']) / GIBI:.2f} GiB (goal: {GOAL_GIB})")
        month: dict[str, list[Figures]] = {"append": [], "restate": []}
        for number in range(ROUNDS_COUNT):
            home = folder / f"home_{number}"
            shutil.copytree(folder / "home", home)
            month["append"].append(_apart(_imported, home, [last], False))
            month["restate"].append(_apart(_imported, home, [restated], False))
        append_s = _row("one month more", month["append"], ROWS_COUNT // MONTHS_COUNT)
        restate_s = _row("that month restated", month["restate"], ROWS_COUNT // MONTHS_COUNT)
        print(f"restating: {restate_s / append_s:.2f} of appending (goal: at most {GOAL_RESTATED})")


def _row(name: str, rounds: list[Figures], rows_count: int) -> float:
    wall_s, cpu_s, memory_bytes = (median(values) for values in zip(*rounds, strict=True))
    print(f"{name:<42}{wall_s:8.2f} {cpu_s:8.2f} {rows_count / wall_s:10,.0f} {memory_bytes / GIBI:5.2f}")
    return wall_s


def _apart(call: Callable[..., Any], *arguments: Any) -> Any:
    """The call's answer from a process of its own, so that memory is that call's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments)


# In a process of its own ----------------------------------------------------------------------------------------------


def _write(paths: list[Path], restated: Path) -> None:
    rows_count = ROWS_COUNT // MONTHS_COUNT
    for number, path in enumerate(paths, start=1):
        write_month(path, datetime(2026, number, 1), datetime(2026, number + 1, 1), rows_count, seed=number)  # noqa: DTZ001
    write_month(restated, datetime(2026, number, 1), datetime(2026, number + 1, 1), rows_count, number, discount=0.87)  # noqa: DTZ001


def _timed(call: Callable[[], None]) -> Figures:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    call()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI


def _bare(folder: Path, files: list[Path], is_typed: bool) -> Figures:
    """Until it is on the disk: closing writes the file that a commit leaves in the log."""
    names = ", ".join(f"'{path}'" for path in files)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        connection = duckdb.connect(Path(name) / "bare.duckdb")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"CREATE TABLE charge AS SELECT * FROM read_parquet([{names}]) LIMIT 0")
        for column, kind in FOCUS_COLUMNS.items() if is_typed else ():
            if column in _columns(connection):
                connection.execute(f'ALTER TABLE charge ALTER "{column}" TYPE {_TYPES.get(kind, "TEXT")}')

        def insert() -> None:
            connection.execute(f"INSERT INTO charge SELECT * FROM read_parquet([{names}])")
            connection.close()

        return _timed(insert)


def _columns(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in connection.execute("DESCRIBE charge").fetchall()}


def _imported(home: Path, files: list[Path], is_fresh: bool) -> Figures:
    if is_fresh:
        shutil.rmtree(home, ignore_errors=True)

    def imports() -> None:
        receipts = import_files(files, Home(home))
        if any(receipt.status != ImportStatus.IMPORTED for receipt in receipts):
            raise RuntimeError(f"not imported: {receipts}")

    return _timed(imports)
