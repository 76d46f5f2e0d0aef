"""Tables of the pack on a page: the same cells, written by the same rules, and numbers that still sort as numbers."""

from datetime import date
from decimal import Decimal
from functools import partial

import pandas as pd
import streamlit as st

from costlib.estimate import Undefined
from pack.style import NONE, Numbers
from pack.tables import Cell, Column, Kind, Table, shown
from ui import text

LONGEST, LONGEST_SENTENCE = 80, 400
_NUMERIC = frozenset(Kind) - {Kind.TEXT, Kind.LONG, Kind.DAY, Kind.FIGURE}


def grid(table: Table, numbers: Numbers, key: str) -> None:
    """The rows of a table, and its note; its total is for the title to say, since rows can be sorted."""
    if table.rows:
        frame = pd.DataFrame(
            {
                column.title: [_value(row[n], column.kind) for row in table.rows]
                for n, column in enumerate(table.columns)
            }
        )
        formats = {
            column.title: partial(_shown, column.kind, numbers) for column in table.columns if column.kind in _NUMERIC
        }
        st.dataframe(
            frame.style.format(formats, na_rep=NONE) if formats else frame,
            hide_index=True,
            column_config={column.title: _config(column) for column in table.columns},
            placeholder=NONE,
            key=key,
        )
    if table.note:
        st.caption(text.label(table.note, LONGEST_SENTENCE))


def _value(cell: Cell, kind: Kind) -> float | str | date | None:
    if kind in (Kind.TEXT, Kind.LONG, Kind.FIGURE):
        return text.plain(NONE if cell is None else cell, LONGEST_SENTENCE if kind is Kind.LONG else LONGEST)
    if cell is None or isinstance(cell, str | Undefined):
        return None
    return cell if isinstance(cell, date) else float(cell)


def _shown(kind: Kind, numbers: Numbers, value: float) -> str:
    return shown(Decimal(str(value)), kind, numbers)


def _config(column: Column) -> object:
    if column.kind is Kind.DAY:
        return st.column_config.DateColumn(format="D MMM")
    if column.kind in (Kind.FIGURE, Kind.TEXT, Kind.LONG):
        align = "right" if column.kind is Kind.FIGURE else "left"
        return st.column_config.TextColumn(alignment=align, width="large" if column.kind is Kind.LONG else None)
    return st.column_config.NumberColumn()
