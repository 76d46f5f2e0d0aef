"""The tables. A column's type follows from the end of its name; NULL means unknown or not exported, never zero.

No primary keys, no upserts and no secondary indexes: rows are added, or a whole bin or batch is replaced in one
transaction. Times are UTC without a zone. Real and sample rows never live in one home (see `store.sample`).
"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, MetaData, Numeric, Table, Text
from sqlalchemy.types import TypeEngine

from costlib.billing import FOCUS_COLUMNS, MONEY_PRECISION, MONEY_SCALE, ColumnKind
from costlib.telemetry import COUNTERS, GAUGES, HISTOGRAMS

# Raised with every file in store/migrations.
SCHEMA_VERSION = 1

BUCKETS_COUNT = 32
BUCKETS = {name: tuple(f"{name}_bucket_{i:02d}" for i in range(BUCKETS_COUNT)) for name in HISTOGRAMS}

_TYPE_OF_KIND: dict[ColumnKind, TypeEngine] = {
    ColumnKind.MONEY: Numeric(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.QUANTITY: Numeric(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.TIME: DateTime(),
    ColumnKind.TEXT: Text(),
    ColumnKind.JSON: Text(),
}

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


def _counters() -> list[Column]:
    return [Column(name, Double if name.endswith("_s") else BigInteger) for name in COUNTERS]


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

# One row per scrape and engine: what the engine did since the scrape before.
usage_sample = Table(
    "usage_sample",
    metadata,
    *_text("target_key", "model_key", "engine_key"),
    *_times("scraped_at"),
    *_doubles("interval_s"),
    *_text("state"),
    *_flags("is_sample"),
    *_counters(),
    *_doubles(*GAUGES),
    *_histograms(),
)

# The upper bounds that a bounds_id stands for.
histogram_bounds = Table("histogram_bounds", metadata, *_text("bounds_id", "bounds"))


def _rollup(name: str) -> Table:
    """The samples scraped in one bin, summed.

    samples_count  engine samples in the bin
    observed_s     time the target was observed, however many engines it has; a gap is not observed
    gap_s          time behind increments that arrived after a gap, which may have begun before the bin
    coverage_s     engine-seconds observed
    busy_s         those of coverage_s in which the engine ran a request
    gauges         time-means over observed_s; requests summed over engines, KV usage averaged
    """
    return Table(
        name,
        metadata,
        *_times("bin_start"),
        *_text("target_key", "model_key"),
        *_flags("is_sample"),
        *_counts("samples_count"),
        *_doubles("observed_s", "gap_s", "coverage_s", "busy_s"),
        *_counters(),
        *_doubles(*GAUGES, "kv_usage_max_fraction"),
        *_histograms(),
    )


usage_minute = _rollup("usage_minute")
usage_hour = _rollup("usage_hour")

# The last cumulative page of each engine, so that a restarted collector goes on where it stopped.
engine_page = Table(
    "engine_page",
    metadata,
    *_text("target_key", "model_key", "engine_key"),
    *_times("scraped_at", "started_at"),
    *_text("page"),
    *_flags("is_sample"),
)

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

# One row per provider, billing account and billing period of a delivery. The newest is active, the rest superseded.
import_batch = Table(
    "import_batch",
    metadata,
    *_text("batch_id", "segment_id", "provider", "billing_account"),
    *_times("period_start", "period_end"),
    *_text("status"),
    *_times("imported_at", "superseded_at"),
    *_text("superseded_by", "file_names", "format_key", "digest", "currency"),
    *_counts("rows_count"),
    *_money(),
    *_flags("is_sample"),
)

# One row per charge, in FOCUS columns; what a file has beyond them is in `extra`, as JSON.
charge = Table(
    "charge",
    metadata,
    *_text("batch_id"),
    *_counts("file_number", "row_number"),
    *(Column(name, _TYPE_OF_KIND[kind]) for name, kind in FOCUS_COLUMNS.items()),
    *_text("extra"),
)

# The store itself -----------------------------------------------------------------------------------------------------

meta = Table("meta", metadata, *_text("key", "value"))
schema_version = Table("schema_version", metadata, *_counts("version"), *_times("applied_at"))
