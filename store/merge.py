"""Deliveries that are not a whole period: what they and the rows before them make together, in a file of its own."""

from pathlib import Path

from sqlalchemy import Connection, Date, Row, cast, func, select, true, union_all
from sqlalchemy.sql import ColumnElement, FromClause

from store.arrival import BatchKey, fingerprint
from store.durable import move_into_place
from store.inbox import APPEND
from store.rows import charges_of, is_of
from store.schema import charge
from store.sql import copy_to_parquet

Conditions = tuple[ColumnElement[bool], ColumnElement[bool]]  # which old rows stay, and which new ones come

_CHARGE = tuple(column.name for column in charge.c if column.name != "batch_id")


def merge(
    connection: Connection,
    folder: Path,
    delivery: str,
    base: Row | None,
    arrival: FromClause,
    key: BatchKey,
    merged: Path,
) -> None:
    """Write to `merged` what stands for the period after a delivery that adds to `base`, if there is one.

    APPEND    each different row as often as `base` or one of the files has it, whichever has it oftener
    DAYS      the days that rows arrived of as they arrived, and the other days of `base`
    """
    old = charges_of(folder, [base] if base else [])
    add = _appended if delivery == APPEND else _days_replaced
    kept, added = add(old, arrival, is_of(arrival, key))
    rows = union_all(
        select(*(old.c[name] for name in _CHARGE)).where(kept),
        select(*(arrival.c[name] for name in _CHARGE)).where(is_of(arrival, key), added),
    )
    building = merged.with_name(f".{merged.name}.building")
    copy_to_parquet(connection, rows, building)
    move_into_place(building, merged)


def _days_replaced(old: FromClause, arrival: FromClause, is_own: ColumnElement[bool]) -> Conditions:
    arrived = select(_day(arrival)).where(is_own)
    return _day(old).not_in(arrived), true()


def _appended(old: FromClause, arrival: FromClause, is_own: ColumnElement[bool]) -> Conditions:
    """Of rows alike in one file the first, the second, ... are told apart by their place among them."""
    counted = select(fingerprint(old).label("row"), func.count().label("n")).group_by("row").subquery()
    prints = select(
        arrival.c.file_number, arrival.c.file_row_number.label("at"), fingerprint(arrival).label("row")
    ).where(is_own)
    prints = prints.subquery()
    place = func.row_number().over(partition_by=(prints.c.file_number, prints.c.row), order_by=prints.c.at)
    placed = select(prints, place.label("place")).subquery()
    more = (
        select(func.min(placed.c.at))
        .outerjoin(counted, counted.c.row == placed.c.row)
        .where(placed.c.place > func.coalesce(counted.c.n, 0))
        .group_by(placed.c.row, placed.c.place)
    )
    return true(), arrival.c.file_row_number.in_(more)


def _day(rows: FromClause) -> ColumnElement:
    return cast(rows.c.ChargePeriodStart, Date)
