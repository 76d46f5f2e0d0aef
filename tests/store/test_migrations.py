"""Files of other versions: newer refused, older backed up and brought up to date, or left as they were."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from costlib.errors import ConfigError
from store.engine import open_live
from store.home import Home
from store.migrations import STEPS, migrate
from store.schema import SCHEMA_VERSION
from store.writer import Writer
from tests.store.builders import NOON, run


def add_note(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE run_log ADD COLUMN note VARCHAR"))


def fill_note(connection: Connection) -> None:
    connection.execute(text("UPDATE run_log SET note = 'from ' || source_key"))


def fail(connection: Connection) -> None:
    raise RuntimeError("step 3 went wrong")


@pytest.fixture
def old_file(home: Home) -> Path:
    """A live file of version 1 with one run in it."""
    with Writer.open(home) as writer:
        writer.add_failed_run(run(state="timeout"))
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
    migrated(old_file, add_note)
    with pytest.raises(ConfigError, match=r"newer Permillion \(schema 2; this one knows up to 1\).*PERMILLION_HOME"):
        Writer.open(home)
    assert open_and_ask(old_file, "SELECT note FROM run_log") == [(None,)]


def test_a_new_file_needs_no_step_and_no_backup(tmp_path: Path) -> None:
    assert migrated(tmp_path / "new.duckdb", fail) is None
    assert open_and_ask(tmp_path / "new.duckdb", "SELECT max(version) FROM schema_version") == [(2,)]
