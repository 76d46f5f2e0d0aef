"""Version 3: charges lie in Parquet files beside the database, one per segment; batches that wait, or are evidence; the
ledger.

A killed step leaves files that the next attempt writes again. The names below are those of version 3, spelled out, so
that this step does the same whatever later versions call them.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from store.durable import move_into_place
from store.engine import quoted

_BATCH = {
    "statement": "TEXT",
    "delivery": "TEXT",
    "arrived_digest": "TEXT",
    "rows_file": "TEXT",
    "uninvoiced_count": "BIGINT",
    "file_rows_count": "BIGINT",
    "is_evidence": "BOOLEAN",
}
_LEDGER = (
    "number BIGINT, entry_id TEXT, kind TEXT, month TEXT, provider TEXT, billing_account TEXT, currency TEXT,"
    ' amount DECIMAL(38, 18), "text" TEXT, owner TEXT, "at" TIMESTAMP, is_sample BOOLEAN'
)


def upgrade(connection: Connection) -> None:
    for name, kind in _BATCH.items():
        _run(connection, f"ALTER TABLE import_batch ADD COLUMN {name} {kind}")
    _run(connection, f"CREATE TABLE ledger_entry ({_LEDGER})")
    _run(
        connection,
        "UPDATE import_batch SET statement = format_key, delivery = 'replace', arrived_digest = digest,"
        " rows_file = segment_id || '.parquet', is_evidence = false,"
        ' uninvoiced_count = (SELECT count(*) - count(c."InvoiceId") FROM charge c'
        "  WHERE c.batch_id = import_batch.batch_id),"
        " file_rows_count = (SELECT sum(b.rows_count) FROM import_batch b"
        "  WHERE b.segment_id = import_batch.segment_id)",
    )
    # `superseded_by` named the segment; it names the batch now.
    _run(
        connection,
        "UPDATE import_batch AS old SET superseded_by = new.batch_id FROM import_batch AS new"
        " WHERE new.segment_id = old.superseded_by AND new.provider IS NOT DISTINCT FROM old.provider"
        " AND new.billing_account IS NOT DISTINCT FROM old.billing_account AND new.period_start = old.period_start",
    )
    for segment_id in connection.scalars(text("SELECT DISTINCT segment_id FROM import_batch")).all():
        _write_charges(connection, segment_id)
    _run(connection, "DROP TABLE charge")


def _write_charges(connection: Connection, segment_id: str) -> None:
    live = connection.execute(text("SELECT path FROM duckdb_databases() WHERE database_name = current_database()"))
    folder = Path(live.scalar_one()).parent / "charges"
    folder.mkdir(exist_ok=True)
    final = folder / f"{segment_id}.parquet"
    building = final.with_name(f".{final.name}.building")
    connection.exec_driver_sql(
        "COPY (SELECT charge.* EXCLUDE (batch_id) FROM charge JOIN import_batch USING (batch_id)"
        f" WHERE segment_id = ? ORDER BY file_number, row_number) TO {quoted(building)}"
        " (FORMAT parquet, COMPRESSION zstd)",
        (segment_id,),
    )
    move_into_place(building, final)


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))
