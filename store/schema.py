"""The tables. A column's type follows from the end of its name; NULL means unknown or not exported, never zero.

No primary keys, no upserts and no secondary indexes: rows are added, or a whole bin or batch is replaced in one
transaction. Times are UTC without a zone. Real and sample rows never live in one home (see `store.sample`).
"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, MetaData, Numeric, Table, Text
from sqlalchemy.types import TypeEngine

from costlib.billing import FOCUS_COLUMNS, MONEY_PRECISION, MONEY_SCALE, ColumnKind
from costlib.devices import DEVICE_COUNTERS, DEVICE_GAUGES
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS

# Raised with every file in store/migrations.
SCHEMA_VERSION = 4

# The engine of rows that cannot be told apart by engine: those of schema 1, and sample data.
ALL_ENGINES = "all"
# Counters that end in one of these are no whole numbers, or leave the whole numbers of the database too soon.
DOUBLE_ENDINGS = ("_s", "_flop", "_bytes", "_j")

BUCKETS_COUNT = 32
BUCKETS = {name: tuple(f"{name}_bucket_{i:02d}" for i in range(BUCKETS_COUNT)) for name in HISTOGRAMS}

_TYPE_OF_KIND: dict[ColumnKind, TypeEngine] = {
    ColumnKind.MONEY: Numeric(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.QUANTITY: Numeric(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.TIME: DateTime(),
    ColumnKind.TEXT: Text(),
    ColumnKind.JSON: Text(),
}

KV_USAGE = ("kv_usage_p50_fraction", "kv_usage_p95_fraction", "kv_usage_max_fraction")

metadata = MetaData()


def _text(*names: str) -> list[Column]:
    return [Column(name, Text) for name in names]


def _times(*names: str) -> list[Column]:
    return [Column(name, DateTime) for name in names]


def _counts(*names: str) -> list[Column]:
    return [Column(name, BigInteger) for name in names]


def _doubles(*names: str) -> list[Column]:
    return [Column(name, Double) for name in names]


def _flags(*names: str) -> list[Column]:
    return [Column(name, Boolean) for name in names]


def _counters(names: tuple[str, ...] = COUNTERS) -> list[Column]:
    return [Column(name, Double if name.endswith(DOUBLE_ENDINGS) else BigInteger) for name in names]


def _histograms() -> list[Column]:
    """Per histogram: sum, count, which bounds, and the increase of each bucket by itself (not cumulative)."""
    columns: list[Column] = []
    for name in HISTOGRAMS:
        columns += [*_doubles(f"{name}_sum"), *_counts(f"{name}_count"), *_text(f"{name}_bounds_id")]
        columns += _counts(*BUCKETS[name])
    return columns


def _money() -> list[Column]:
    return [Column(name, _TYPE_OF_KIND[kind]) for name, kind in FOCUS_COLUMNS.items() if kind is ColumnKind.MONEY]


# Measurements ---------------------------------------------------------------------------------------------------------

# One row per scrape and engine: what the engine did since the scrape before. These are the truth of two weeks; minutes
# and hours are made of them.
usage_sample = Table(
    "usage_sample",
    metadata,
    *_text("target_key", "model_key", "engine_key"),
    *_times("scraped_at"),
    *_doubles("interval_s"),
    *_text("state"),
    *_flags("restarted", "is_sample"),
    *_counters(),
    *_doubles(*GAUGES),
    *_histograms(),
)

# The upper bounds that a bounds_id stands for.
histogram_bounds = Table("histogram_bounds", metadata, *_text("bounds_id", "bounds"))


def _rollup(name: str) -> Table:
    """The samples that one engine has in one bin, summed.

    samples_count   samples in the bin
    restarts_count  those that found the engine restarted
    observed_s      time the engine was observed; a gap is not observed
    gap_s           time behind increments that arrived after a gap, which may have begun before the bin
    coverage_s      engine-seconds observed: observed_s, unless the row is of several engines
    busy_s          those of coverage_s in which the engine ran a request
    gauges          time-means over observed_s
    kv_usage_*      sample quantiles and maximum of kv_usage_fraction
    oldest_at, newest_at  the first and the last scrape in the bin
    """
    return Table(
        name,
        metadata,
        *_times("bin_start"),
        *_text("target_key", "model_key", "engine_key"),
        *_flags("is_sample"),
        *_counts("samples_count", "restarts_count"),
        *_doubles("observed_s", "gap_s", "coverage_s", "busy_s"),
        *_counters(),
        *_doubles(*GAUGES, *KV_USAGE),
        *_histograms(),
        *_times("oldest_at", "newest_at"),
    )


usage_minute = _rollup("usage_minute")
usage_hour = _rollup("usage_hour")

# The last cumulative page of each engine, so that a restarted collector goes on where it stopped. A backfill under way
# has pages of its own, in a stream of its own.
engine_page = Table(
    "engine_page",
    metadata,
    *_text("stream", "target_key", "model_key", "engine_key"),
    *_times("scraped_at", "started_at"),
    *_text("page", "facts"),
    *_flags("is_sample"),
)

# What engines said otherwise than before of themselves: one row per fact, NULL where it was not said. Rows are only
# added.
engine_change = Table(
    "engine_change",
    metadata,
    *_text("target_key", "model_key", "engine_key"),
    *_times("changed_at"),
    *_text("fact", "before", "after"),
    *_flags("is_sample"),
)

# GPUs as their own exporter sees them.
device_page = Table(
    "device_page",
    metadata,
    *_text("target_key", "device_key"),
    *_times("scraped_at"),
    *_text("page", "facts"),
    *_flags("is_sample"),
)
device_sample = Table(
    "device_sample",
    metadata,
    *_text("target_key", "device_key"),
    *_times("scraped_at"),
    *_doubles("interval_s"),
    *_text("state"),
    *_flags("is_sample"),
    *_counters(DEVICE_COUNTERS),
    *_doubles(*DEVICE_GAUGES),
)
device_hour = Table(
    "device_hour",
    metadata,
    *_times("bin_start"),
    *_text("target_key", "device_key"),
    *_flags("is_sample"),
    *_counts("samples_count"),
    *_doubles("observed_s", "gap_s"),
    *_counters(DEVICE_COUNTERS),
    *_doubles(*DEVICE_GAUGES),
    *_times("newest_at"),
)

# Every server that was ever measured or named. `first_seen_at` is its first sample, NULL until there is one.
target = Table(
    "target",
    metadata,
    *_text("target_key", "source_key", "deployment_key", "labels"),
    *_times("first_seen_at"),
    *_flags("is_sample"),
)

# How far the history of a source has been read.
backfill = Table("backfill", metadata, *_text("source_key"), *_times("from_at", "to_at", "done_to"))

run_log = Table(
    "run_log",
    metadata,
    *_text("source_key", "kind", "target_key"),
    *_times("started_at", "finished_at"),
    *_text("state"),
    *_counts("rows_count"),
    *_text("error"),
    *_doubles("every_s"),
    *_flags("is_sample"),
)

# Bills ----------------------------------------------------------------------------------------------------------------

# One row per file that brought charges. Files handed over together share a segment.
import_file = Table(
    "import_file",
    metadata,
    *_text("segment_id"),
    *_counts("file_number"),
    *_text("file_name", "format_key", "file_sha256"),
    *_counts("bytes_count", "rows_count"),
    *_times("imported_at"),
    *_text("notes", "receipt"),
    *_flags("is_sample"),
)

# One row per provider, billing account and billing period of a delivery. The newest is active, or pending where the
# month is locked; the rest are superseded. `digest` is of the rows that stand for the period now, `arrived_digest` of
# those that came: the two differ where a delivery adds to the one before. `statement` is whose account of the money it
# is, of which one counts. `rows_file` holds the rows, and `file_rows_count` rows in all.
import_batch = Table(
    "import_batch",
    metadata,
    *_text("batch_id", "segment_id", "provider", "billing_account"),
    *_times("period_start", "period_end"),
    *_text("status"),
    *_times("imported_at", "superseded_at"),
    *_text("superseded_by", "file_names", "format_key", "statement", "delivery", "digest", "arrived_digest"),
    *_text("currency", "rows_file"),
    *_counts("rows_count", "uninvoiced_count", "file_rows_count"),
    *_money(),
    *_flags("is_evidence", "is_sample"),
)

# What people wrote: invoice totals, notes, locks. Rows are only ever added; `number` is their order.
ledger_entry = Table(
    "ledger_entry",
    metadata,
    *_counts("number"),
    *_text("entry_id", "kind", "month", "provider", "billing_account", "currency"),
    Column("amount", _TYPE_OF_KIND[ColumnKind.MONEY]),
    *_text("text", "owner"),
    *_times("at"),
    *_flags("is_sample"),
)

# One row per charge, in FOCUS columns; what a file has beyond them is in `extra`, as JSON. These lie in Parquet files
# beside the database (see `store.rows`), so the table is in no database.
charge = Table(
    "charge",
    MetaData(),
    *_text("batch_id"),
    *_counts("file_number", "row_number"),
    *(Column(name, _TYPE_OF_KIND[kind]) for name, kind in FOCUS_COLUMNS.items()),
    *_text("extra"),
)

# The store itself -----------------------------------------------------------------------------------------------------

meta = Table("meta", metadata, *_text("key", "value"))
schema_version = Table("schema_version", metadata, *_counts("version"), *_times("applied_at"))
