"""Sample and real data never meet in one sum."""

from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from collectors.importer import import_files
from costlib.errors import ConfigError
from store.home import Home
from store.ledger import LedgerEntry, LedgerKind, write
from store.read import open_snapshot
from store.schema import metadata
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, bill, frozen, gpu_page, gpu_sample, page, run, sample

HOURS = pa.table(
    {
        "bin_start": pa.array([NOON], pa.timestamp("us", tz="UTC")),
        "target_key": ["demo"],
        "model_key": ["qwen"],
        "prompt_tokens": [1000],
        "requests_stop_count": [36],
        "coverage_s": [3600.0],
    }
)


@pytest.fixture
def sample_home(home: Home, tmp_path: Path) -> Home:
    """A home with sample rows in every table that can have them."""
    import_files([bill(tmp_path / "sample.csv")], home, is_sample=True)
    write(home, [LedgerEntry(kind=LedgerKind.LOCK, month="2026-10")])
    with Writer.open(home, frozen()) as writer:
        writer.add_usage_hours(HOURS)
        add(
            writer,
            run(is_sample=True),
            [page(facts={"cache_dtype": kind}) for kind in ("auto", "fp8")],
            [sample(counters={"prompt_tokens": 5})],
            devices=[gpu_page()],
            device_samples=[gpu_sample()],
        )
        writer.publish(force=True)
    return home


def rows_marked_sample(home: Home) -> dict[str, int]:
    with Writer.open(home, frozen()) as writer, writer._connection.begin():
        return {
            table.name: writer._connection.scalar(select(func.count()).select_from(table).where(table.c.is_sample))
            for table in metadata.sorted_tables
            if "is_sample" in table.c
        }


def test_sample_data_are_flagged_everywhere(sample_home: Home) -> None:
    with open_snapshot(sample_home) as snapshot:
        assert snapshot.status().is_sample
        assert snapshot.usage(*ALWAYS)["prompt_tokens"].sum() == 1005
        assert snapshot.imports()["is_sample"].all()
    assert all(rows_marked_sample(sample_home).values())


def test_a_real_scrape_drives_all_sample_rows_out(sample_home: Home) -> None:
    with Writer.open(sample_home, frozen()) as writer:
        add(writer, run(), [page()], [sample(counters={"prompt_tokens": 7})])
        writer.publish(force=True)
    assert not any(rows_marked_sample(sample_home).values())
    with open_snapshot(sample_home) as snapshot:
        assert not snapshot.status().is_sample
        assert snapshot.usage(*ALWAYS)["prompt_tokens"].tolist() == [7]
        assert snapshot.spend_total(*ALWAYS) == {}


def test_a_real_bill_drives_all_sample_rows_out(sample_home: Home, tmp_path: Path) -> None:
    import_files([bill(tmp_path / "real.csv", {"BilledCost": "9"})], sample_home)
    assert not any(rows_marked_sample(sample_home).values())
    with open_snapshot(sample_home) as snapshot:
        assert snapshot.spend_total(*ALWAYS) == {"USD": 9}
        assert snapshot.usage(*ALWAYS).empty


def test_a_real_scrape_that_fails_leaves_the_sample(sample_home: Home) -> None:
    with Writer.open(sample_home, frozen()) as writer:
        add(writer, run(state="timeout"))
        with pytest.raises(Exception, match="inf"):
            add(writer, run(), [], [sample(counters={"prompt_tokens": float("inf")})])
    assert all(rows_marked_sample(sample_home).values())


def test_sample_data_are_refused_where_real_data_are(home: Home, writer: Writer) -> None:
    add(writer, run(), [page()], [])
    for more in (
        lambda: writer.add_usage_hours(HOURS),
        lambda: add(writer, run(is_sample=True), [page()], [sample()]),
    ):
        with pytest.raises(ConfigError, match=r"already holds real data.*empty folder in PERMILLION_HOME"):
            more()


def test_a_sample_bill_is_refused_where_real_data_are(home: Home, tmp_path: Path) -> None:
    import_files([bill(tmp_path / "real.csv")], home)
    with pytest.raises(ConfigError, match="already holds real data"):
        import_files([bill(tmp_path / "sample.csv", {"BillingAccountId": "7"})], home, is_sample=True)
    with open_snapshot(home) as snapshot:
        assert snapshot.spend_total(*ALWAYS) == {"USD": pytest.approx(1.5)}


def test_the_sample_loaded_again_replaces_itself(home: Home, writer: Writer) -> None:
    writer.add_usage_hours(HOURS)
    writer.add_usage_hours(HOURS)
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        assert snapshot.usage(*ALWAYS)["prompt_tokens"].tolist() == [1000]
        assert snapshot.demand(*ALWAYS)["requests_per_s"].tolist() == [0.01]
