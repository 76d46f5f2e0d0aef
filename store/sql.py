"""The few pieces of SQL that differ between databases. Everything else in store/ is plain SQLAlchemy Core."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from duckdb_sqlalchemy import insert_from_arrow
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Double,
    MetaData,
    Numeric,
    Select,
    SelectBase,
    Table,
    Text,
    cast,
    literal,
    null,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, ColumnElement, Executable, FromClause, column, func, literal_column
from sqlalchemy.sql.functions import FunctionElement

from costlib.errors import UnknownKey
from store.engine import quoted

BINS = ("minute", "hour", "day")


class TimeBin(FunctionElement):
    """The start of the minute, hour or day a time lies in. The unit is literal: DuckDB cannot group by a bound one."""

    inherit_cache = True
    type = DateTime()


def time_bin(unit: str, moment: ColumnElement) -> ColumnElement:
    if unit not in BINS:
        raise UnknownKey("bin width", unit, BINS)
    return TimeBin(literal_column(f"'{unit}'"), moment)


@compiles(TimeBin)
def _time_bin(element: TimeBin, compiler: Any, **kw: Any) -> str:
    return f"date_trunc({compiler.process(element.clauses, **kw)})"


class JsonText(FunctionElement):
    """The text under one key of a JSON object, whatever characters the key has; NULL when it is absent or empty."""

    inherit_cache = True
    type = Text()


def json_text(document: ColumnElement, key: str) -> ColumnElement:
    # A JSON Pointer, so that a dot or a quote in a tag's name is just a character.
    return JsonText(document, "/" + key.replace("~", "~0").replace("/", "~1"))


@compiles(JsonText, "duckdb")
def _json_text(element: JsonText, compiler: Any, **kw: Any) -> str:
    document, pointer = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CASE WHEN json_valid({document}) THEN nullif(json_extract_string({document}, {pointer}), '') END"


def seconds_between(earlier: ColumnElement[datetime], later: ColumnElement[datetime]) -> ColumnElement[float]:
    return func.epoch(later - earlier, type_=Double)


def row_fingerprint(columns: Iterable[ColumnElement]) -> ColumnElement[int]:
    """64 bits that depend on every cell. Added up over a batch they do not depend on the order of its rows."""
    return func.hash(*columns, type_=BigInteger)


def fingerprint_scheme(connection: Connection, columns_count: int) -> str:
    """Fingerprints made under another scheme cannot be compared: the database may change its hash, and we columns."""
    probe = select(row_fingerprint([literal("permillion"), null(), cast(literal(1.5), Numeric(38, 18))]))
    return f"{columns_count}c{connection.scalar(probe):x}"[:12]


def bulk_load(connection: Connection, target: Table, rows: pa.Table) -> None:
    """Append `rows` to `target` by column name, without touching them one by one."""
    if rows.num_rows:
        insert_from_arrow(connection, target, rows)


def temporary_like(table: Table) -> Table:
    """A table in the columns of `table` that only this connection sees; `create` and `drop` are the caller's."""
    columns = (Column(item.name, item.type) for item in table.columns)
    return Table(f"{table.name}_staged", MetaData(), *columns, prefixes=["TEMPORARY"])


def parquet_rows(paths: Iterable[Path], columns: Iterable[Column], name: str) -> FromClause:
    """The rows of Parquet files by column name, with `filename` and, of one file, `file_row_number`."""
    shown = (*(column(item.name, item.type) for item in columns), column("filename", Text))
    shown += (column("file_row_number", BigInteger),)
    options = (literal_column(f"{option} = true") for option in ("union_by_name", "filename", "file_row_number"))
    listed = literal_column("[" + ", ".join(quoted(path) for path in paths) + "]")
    return func.read_parquet(listed, *options).table_valued(*shown, name=name)


def create_view(connection: Connection, name: str, rows: SelectBase) -> None:
    """A view that only this connection sees. `rows` has no parameters."""
    connection.execute(_CreateView(rows, name))


class _CreateView(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, rows: SelectBase, name: str) -> None:
        self.rows, self.name = rows, name


@compiles(_CreateView)
def _create_view(element: _CreateView, compiler: Any, **kw: Any) -> str:
    return f"CREATE OR REPLACE TEMP VIEW {element.name} AS {compiler.process(element.rows, **kw)}"


def copy_to_parquet(connection: Connection, rows: SelectBase, path: Path) -> None:
    connection.execute(_CopyToParquet(rows, path))


class _CopyToParquet(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, rows: SelectBase, path: Path) -> None:
        self.rows, self.path = rows, path


@compiles(_CopyToParquet)
def _copy_to_parquet(element: _CopyToParquet, compiler: Any, **kw: Any) -> str:
    return f"COPY ({compiler.process(element.rows, **kw)}) TO {quoted(element.path)} (FORMAT parquet, COMPRESSION zstd)"


def frame(connection: Connection, statement: Select) -> pd.DataFrame:
    """The result as a frame: times aware in UTC, money Decimal, whole numbers Int64 so that NULL stays apart from 0."""
    return as_frame(arrow(connection, statement))


def arrow(connection: Connection, statement: Select, values: Mapping[str, Any] | None = None) -> pa.Table:
    """The result as the database hands it over; with `values` for its parameters."""
    result: Any = connection.execute(statement.execution_options(duckdb_arrow=True), values)
    return result.arrow


def as_frame(rows: pa.Table) -> pd.DataFrame:
    """See `frame`."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].cast(pa.timestamp("us", tz="UTC")))
    return rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
