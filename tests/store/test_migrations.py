"""Files of other versions: newer refused, older backed up and brought up to date, or left as they were."""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, text

from costlib.errors import ConfigError
from store.engine import open_live
from store.home import Home
from store.migrations import STEPS, migrate
from store.read import open_snapshot
from store.schema import SCHEMA_VERSION, metadata, run_log, schema_version
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, at, frozen, page, run, sample
from tests.store.segments import charge, deliver


def add_note(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE run_log ADD COLUMN note VARCHAR"))


def fill_note(connection: Connection) -> None:
    connection.execute(text("UPDATE run_log SET note = 'from ' || source_key"))


def fail(connection: Connection) -> None:
    raise RuntimeError("step 3 went wrong")


@pytest.fixture
def old_file(home: Home) -> Path:
    """A live file of version 1 with one run in it."""
    home.make()
    connection = open_live(home.live)
    with connection.begin():
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(schema_version).values(version=1))
        connection.execute(insert(run_log).values(source_key="vllm:http://gpu-1:8000", state="timeout"))
    connection.close()
    connection.engine.dispose()
    return home.live


def open_and_ask(path: Path, question: str) -> list[tuple]:
    connection = open_live(path)
    try:
        return [tuple(row) for row in connection.execute(text(question))]
    finally:
        connection.close()
        connection.engine.dispose()


def migrated(path: Path, *steps) -> Path | None:
    connection = open_live(path)
    try:
        return migrate(connection, path, NOON, steps)
    finally:
        connection.close()
        connection.engine.dispose()


def test_the_schema_s_version_counts_the_steps() -> None:
    assert 1 + len(STEPS) == SCHEMA_VERSION


def test_an_older_file_is_backed_up_and_gets_every_step_after_its_version(old_file: Path) -> None:
    backup = migrated(old_file, add_note, fill_note)
    assert open_and_ask(old_file, "SELECT note FROM run_log") == [("from vllm:http://gpu-1:8000",)]
    assert open_and_ask(old_file, "SELECT version FROM schema_version ORDER BY 1") == [(1,), (2,), (3,)]
    assert backup.name == "live.v1.20261005T120000Z.backup.duckdb"
    assert open_and_ask(backup, "SELECT state FROM run_log") == [("timeout",)]
    assert open_and_ask(backup, "SELECT max(version) FROM schema_version") == [(1,)]


def test_steps_run_once(old_file: Path) -> None:
    migrated(old_file, add_note)
    assert migrated(old_file, add_note) is None
    assert migrated(old_file, add_note, fill_note) is not None


def test_when_a_step_fails_the_file_stays_as_it_was(old_file: Path) -> None:
    with pytest.raises(RuntimeError, match="step 3"):
        migrated(old_file, add_note, fail)
    assert open_and_ask(old_file, "SELECT max(version) FROM schema_version") == [(1,)]
    with pytest.raises(Exception, match="note"):
        open_and_ask(old_file, "SELECT note FROM run_log")


def test_a_newer_file_is_refused_and_untouched(home: Home, old_file: Path) -> None:
    migrated(old_file, add_note, fill_note, fill_note, fill_note)
    with pytest.raises(ConfigError, match=r"newer Permillion \(schema 5; this one knows up to 4\).*PERMILLION_HOME"):
        Writer.open(home)
    assert open_and_ask(old_file, "SELECT note FROM run_log") == [("from vllm:http://gpu-1:8000",)]


def test_a_new_file_needs_no_step_and_no_backup(tmp_path: Path) -> None:
    assert migrated(tmp_path / "new.duckdb", fail) is None
    assert open_and_ask(tmp_path / "new.duckdb", "SELECT max(version) FROM schema_version") == [(2,)]


# From version 1 -------------------------------------------------------------------------------------------------------

ONE = [
    "INSERT INTO schema_version VALUES (1, '2026-10-01')",
    "INSERT INTO meta VALUES ('content', 'real')",
    "INSERT INTO usage_sample (target_key, model_key, engine_key, scraped_at, interval_s, state, is_sample,"
    " prompt_tokens, queue_s) VALUES"
    " ('gpu-1', 'qwen', '0', '2026-10-05 11:59:30', 15, 'ok', false, 40, 0.5),"
    " ('gpu-1', 'qwen', '1', '2026-10-05 11:59:30', 15, 'reset', false, 2, NULL)",
    *(
        f"INSERT INTO {table} (bin_start, target_key, model_key, is_sample, samples_count, observed_s, gap_s,"
        f" coverage_s, prompt_tokens, queue_s) VALUES ('{bin_start}', 'gpu-1', 'qwen', false, 2, 15, 0, 30, 42, 0.5)"
        for table, bin_start in (("usage_minute", "2026-10-05 11:59:00"), ("usage_hour", "2026-10-05 11:00:00"))
    ),
    "INSERT INTO usage_hour (bin_start, target_key, model_key, is_sample, samples_count, observed_s, gap_s, coverage_s,"
    " prompt_tokens) VALUES ('2026-06-01 00:00:00', 'gpu-1', 'qwen', false, 480, 3600, 0, 7200, 9007199254740993)",
    "INSERT INTO engine_page VALUES ('gpu-1', 'qwen', '0', '2026-10-05 11:59:30', NULL,"
    ' \'{"counters": {"prompt_tokens": 40.0}, "gauges": {}, "histograms": {}}\', false)',
]


def made(home: Home, tables: str, content: list[str]) -> Home:
    """A home whose live file has the tables and the content of an older version."""
    home.make()
    connection = open_live(home.live)
    created = Path(__file__).with_name(tables).read_text(encoding="utf-8")
    with connection.begin():
        for statement in (*filter(str.strip, created.split(";")), *content):
            connection.exec_driver_sql(statement)
    connection.close()
    connection.engine.dispose()
    return home


@pytest.fixture
def home_of_version_1(home: Home) -> Home:
    return made(home, "schema_1.sql", ONE)


def test_a_file_of_version_1_is_backed_up_and_tells_the_same_totals(home_of_version_1: Home) -> None:
    with Writer.open(home_of_version_1, frozen()) as writer:
        writer.publish(force=True)
        (kept,) = writer.engine_pages()
    assert (kept.counters, kept.facts) == ({"prompt_tokens": 40.0}, {})
    with open_snapshot(home_of_version_1) as snapshot:
        total = snapshot.windows(*ALWAYS).iloc[0]
        hours = snapshot.windows(*ALWAYS, "hour", "engine")
        known = snapshot.targets().iloc[0]
    assert int(total["prompt_tokens"]) == 2**53 + 1 + 42
    assert (total["queue_s"], total["observed_s"], total["coverage_s"]) == (0.5, 3615.0, 7230.0)
    assert hours["engine_key"].tolist() == ["all", "all"]
    assert (known["deployment_key"], known["newest_at"]) == ("gpu-1", NOON)
    assert [path.name for path in home_of_version_1.path.glob("*.backup.duckdb")] == [
        "live.v1.20261005T120000Z.backup.duckdb"
    ]


def test_scrapes_after_the_migration_count_beside_what_was_there(home_of_version_1: Home) -> None:
    """The hour that both versions scraped in is made of its samples anew, and so per engine."""
    with Writer.open(home_of_version_1, frozen()) as writer:
        add(writer, run(at(-15)), [page(at(-15))], [sample(at(-15), {"prompt_tokens": 100})])
        writer.publish(force=True)
    with open_snapshot(home_of_version_1) as snapshot:
        hours = snapshot.windows(*ALWAYS, "hour", "engine")
    found = dict(zip(hours["engine_key"], hours["prompt_tokens"], strict=True))
    assert found == {"all": 2**53 + 1, "0": 140, "1": 2}
    assert hours["restarts_count"].fillna(0).tolist() == [0, 0, 1], "version 1 told restarts by the state"


# From version 2 -------------------------------------------------------------------------------------------------------

_BATCH = (
    "INSERT INTO import_batch (batch_id, segment_id, provider, billing_account, period_start, period_end, status,"
    " imported_at, superseded_by, file_names, format_key, digest, currency, rows_count,"
    ' "BilledCost", is_sample) VALUES'
)
_CHARGE = (
    'INSERT INTO charge (batch_id, file_number, row_number, "BilledCost", "BillingCurrency", "BillingPeriodStart",'
    ' "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ProviderName", "BillingAccountId",'
    ' "InvoiceId", "ServiceName") VALUES'
)
_TIMES = "'2026-09-01', '2026-10-01'"
_DAY = "'2026-09-05', '2026-09-05 01:00:00'"
TWO = [
    "INSERT INTO schema_version VALUES (2, '2026-10-01')",
    "INSERT INTO meta VALUES ('content', 'real')",
    f"{_BATCH} ('s1-1', 's1', 'AWS', '100', {_TIMES}, 'superseded', '2026-10-02', 's2', 'a.csv', 'focus', '1:aa',"
    " 'USD', 1, 3, false)",
    f"{_BATCH} ('s2-1', 's2', 'AWS', '100', {_TIMES}, 'active', '2026-10-03', NULL, 'b.csv', 'focus', '2:bb', 'USD', 2,"
    " 12345678901234567890.123456789012345678, false)",
    f"{_BATCH} ('s2-2', 's2', 'AWS', '200', {_TIMES}, 'active', '2026-10-03', NULL, 'b.csv', 'focus', '1:cc', 'USD', 1,"
    " 5, false)",
    f"{_CHARGE} ('s1-1', 1, 2, 3, 'USD', {_TIMES}, {_DAY}, 'Usage', 'AWS', '100', NULL, 'EC2'),"
    f" ('s2-1', 1, 2, 12345678901234567890.123456789012345677, 'USD', {_TIMES}, {_DAY}, 'Usage', 'AWS', '100', 'i',"
    " 'EC2'),"
    f" ('s2-1', 1, 3, 0.000000000000000001, 'USD', {_TIMES}, {_DAY}, 'Usage', 'AWS', '100', 'i', 'EC2'),"
    f" ('s2-2', 1, 4, 5, 'USD', {_TIMES}, {_DAY}, 'Usage', 'AWS', '200', NULL, 'EC2')",
]


@pytest.fixture
def home_of_version_2(home: Home) -> Home:
    return made(home, "schema_2.sql", TWO)


def test_the_charges_of_version_2_are_the_same_in_files(home_of_version_2: Home) -> None:
    with Writer.open(home_of_version_2, frozen()) as writer:
        writer.publish(force=True)
    exact = Decimal("12345678901234567890.123456789012345678")
    with open_snapshot(home_of_version_2) as snapshot:
        assert snapshot.spend_total(*ALWAYS) == {"USD": Decimal("12345678901234567895.123456789012345678")}
        months = snapshot.months()
        restated = snapshot.restatements("2026-09").iloc[0]
    assert months[["billing_account", "billed", "state", "versions_count"]].values.tolist() == [
        ["100", exact, "final", 2],
        ["200", 5, "open", 1],
    ]
    assert (restated["before"], restated["after"]) == (3, exact)
    assert {path.name for path in home_of_version_2.charges.glob("s*")} == {"s1.parquet", "s2.parquet"}


def test_a_bill_of_version_2_is_known_when_it_comes_again(home_of_version_2: Home) -> None:
    values = {"BillingAccountId": "200", "EffectiveCost": None}
    same = charge("5", 5, 9, **values) | {"InvoiceId": None}
    assert [receipt.status for receipt in deliver(home_of_version_2, [same])] == ["already imported"]
    assert [receipt.status for receipt in deliver(home_of_version_2, [same, same])] == ["imported"]


# From version 3 -------------------------------------------------------------------------------------------------------


def test_a_file_of_version_3_begins_to_keep_what_engines_say_otherwise(home: Home) -> None:
    """The tables of version 4 without the one that it added; the page that is there is what the next is held to."""
    with Writer.open(home, frozen()) as writer:
        add(writer, run(), [page(facts={"cache_dtype": "auto"})])
        with writer._connection.begin():
            writer._connection.execute(text("DROP TABLE engine_change"))
            writer._connection.execute(text("UPDATE schema_version SET version = 3"))
    with Writer.open(home, frozen()) as writer:
        add(writer, run(at(15)), [page(at(15), facts={"cache_dtype": "fp8"})])
        writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        assert snapshot.changes(*ALWAYS)["after"].tolist() == ["fp8"]


@pytest.mark.parametrize(("tables", "content"), [("schema_1.sql", ONE), ("schema_2.sql", TWO)])
def test_a_migrated_file_has_the_tables_of_a_new_one(
    home: Home, tmp_path: Path, tables: str, content: list[str]
) -> None:
    Writer.open(made(home, tables, content), frozen()).close()
    migrated(tmp_path / "new.duckdb", *STEPS)
    shape = "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
    assert open_and_ask(home.live, shape) == open_and_ask(tmp_path / "new.duckdb", shape)
