"""The few pieces of SQL that differ between databases. Everything else in store/ is plain SQLAlchemy Core."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb_sqlalchemy import insert_from_arrow
from sqlalchemy import BigInteger, Column, Connection, DateTime, Double, MetaData, Select, Table, Text, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, FromClause, column, func, literal_column, table
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
    """64 bits of the MD5 of a row's text. Added up over a batch they do not depend on the order of its rows."""
    cells = [func.coalesce(cast(item, Text), func.chr(30)) for item in columns]
    return func.md5_number_lower(func.concat_ws(func.chr(31), *cells), type_=BigInteger)


def bulk_load(connection: Connection, target: Table, rows: pa.Table) -> None:
    """Append `rows` to `target` by column name, without touching them one by one."""
    if rows.num_rows:
        insert_from_arrow(connection, target, rows)


def temporary_like(table: Table) -> Table:
    """A table in the columns of `table` that only this connection sees; `create` and `drop` are the caller's."""
    columns = (Column(item.name, item.type) for item in table.columns)
    return Table(f"{table.name}_staged", MetaData(), *columns, prefixes=["TEMPORARY"])


def view_of_parquet(connection: Connection, name: str, path: Path) -> FromClause:
    """The rows of a Parquet file as a table that lasts as long as the transaction."""
    names = pq.read_schema(path).names
    connection.exec_driver_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM read_parquet({quoted(path)})")
    return table(name, *(column(item) for item in names))


def frame(connection: Connection, statement: Select) -> pd.DataFrame:
    """The result as a frame: times aware in UTC, money Decimal, whole numbers Int64 so that NULL stays apart from 0."""
    result: Any = connection.execute(statement.execution_options(duckdb_arrow=True))
    rows: pa.Table = result.arrow
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].cast(pa.timestamp("us", tz="UTC")))
    return rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
