"""Version 2: minutes and hours per engine, more measures, GPUs, servers by name, backfills.

The minutes and hours of version 1 are of all engines of a server together, and stay so. The names below are those of
version 2, spelled out, so that this step does the same whatever later versions call them.
"""

from sqlalchemy import Connection, text

_BUCKETS_COUNT = 32
_NEW_COUNTS = (
    "computed_prompt_tokens",
    "requests_repetition_count",
    "finished_prompt_tokens",
    "finished_generation_tokens",
    "external_hits_tokens",
    "step_tokens",
    "drafts_count",
    "draft_tokens",
    "accepted_tokens",
    *(f"accepted_at_{place:02d}_tokens" for place in range(16)),
)
_NEW_DOUBLES = (
    *("estimated_flop", "estimated_read_bytes", "estimated_write_bytes"),
    *("waiting_capacity_count", "waiting_deferred_count", "awake_fraction"),
)
_NEW_HISTOGRAMS = ("itl_s", "e2e_s")

_NEW_TABLES = {
    "device_page": "target_key TEXT, device_key TEXT, scraped_at TIMESTAMP, page TEXT, facts TEXT, is_sample BOOLEAN",
    "device_sample": "target_key TEXT, device_key TEXT, scraped_at TIMESTAMP, interval_s DOUBLE, state TEXT,"
    " is_sample BOOLEAN, {measures}",
    "device_hour": "bin_start TIMESTAMP, target_key TEXT, device_key TEXT, is_sample BOOLEAN, samples_count BIGINT,"
    " observed_s DOUBLE, gap_s DOUBLE, {measures}, newest_at TIMESTAMP",
    "target": "target_key TEXT, source_key TEXT, deployment_key TEXT, labels TEXT, first_seen_at TIMESTAMP,"
    " is_sample BOOLEAN",
    "backfill": "source_key TEXT, from_at TIMESTAMP, to_at TIMESTAMP, done_to TIMESTAMP",
}
_DEVICE_MEASURES = (
    *("energy_j", "gpu_util_fraction", "sm_active_fraction", "sm_occupancy_fraction", "tensor_active_fraction"),
    *("dram_active_fraction", "memory_used_bytes", "memory_free_bytes", "power_w"),
)


def upgrade(connection: Connection) -> None:
    for table in ("usage_sample", "usage_minute", "usage_hour"):
        _add(connection, table, dict.fromkeys(_NEW_COUNTS, "BIGINT") | dict.fromkeys(_NEW_DOUBLES, "DOUBLE"))
        for name in _NEW_HISTOGRAMS:
            buckets = dict.fromkeys((f"{name}_bucket_{i:02d}" for i in range(_BUCKETS_COUNT)), "BIGINT")
            sums = {f"{name}_sum": "DOUBLE", f"{name}_count": "BIGINT", f"{name}_bounds_id": "TEXT"}
            _add(connection, table, sums | buckets)
    _add(connection, "usage_sample", {"restarted": "BOOLEAN"})
    _run(connection, "UPDATE usage_sample SET restarted = (state = 'reset')")
    for table, bin_end in (("usage_minute", "INTERVAL 1 MINUTE"), ("usage_hour", "INTERVAL 1 HOUR")):
        quantiles = {"kv_usage_p50_fraction": "DOUBLE", "kv_usage_p95_fraction": "DOUBLE"}
        times = {"oldest_at": "TIMESTAMP", "newest_at": "TIMESTAMP"}
        _add(connection, table, {"engine_key": "TEXT", "restarts_count": "BIGINT"} | quantiles | times)
        _run(
            connection,
            f"UPDATE {table} SET engine_key = 'all', oldest_at = bin_start, newest_at = bin_start + {bin_end}",
        )
    _add(connection, "engine_page", {"stream": "TEXT", "facts": "TEXT"})
    _run(connection, "UPDATE engine_page SET stream = 'live', facts = '{}'")
    measures = ", ".join(f"{name} DOUBLE" for name in _DEVICE_MEASURES)
    for table, columns in _NEW_TABLES.items():
        _run(connection, f"CREATE TABLE {table} ({columns.format(measures=measures)})")
    _run(
        connection,
        "INSERT INTO target SELECT target_key, target_key, target_key, '{}', min(bin_start), bool_or(is_sample)"
        " FROM usage_hour GROUP BY target_key",
    )
    # All samples of version 1 are in their minutes and hours.
    _run(
        connection,
        "INSERT INTO meta SELECT 'rolled_up_to', CAST(max(scraped_at) + INTERVAL 1 MICROSECOND AS TEXT)"
        " FROM usage_sample HAVING count(*) > 0",
    )


def _add(connection: Connection, table: str, columns: dict[str, str]) -> None:
    for name, kind in columns.items():
        _run(connection, f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))
