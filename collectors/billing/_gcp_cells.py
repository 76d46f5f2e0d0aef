"""Cells of a BigQuery export that hold lists: credits, labels. JSON, or what Python or a console made of it."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from collectors.billing._json import text_of
from collectors.billing._native import is_blank
from collectors.billing._typed import time_from
from costlib.billing import exact_text
from costlib.errors import BadRecord

_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)
_CONSTANTS = {"null": None, "true": True, "false": False, "nan": None}
# Names that data frames put around a value; what stands inside them is the value.
_WRAPPERS = ("Decimal", "array", "list", "tuple")
# As programs write numbers: 007 and 12e4 are names.
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]\d{1,2})?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ].+", re.ASCII)


def value_of(cell: str) -> Any:
    """The value that a cell spells: JSON, or a Python literal. Numbers exactly as written; nothing is executed.

    Raises    ValueError for anything else
    >>> value_of("[{'name': 'Free', 'amount': -5e-06, 'id': None}]")
    [{'name': 'Free', 'amount': Decimal('-0.000005'), 'id': None}]
    """
    try:
        value, end = _DECODER.raw_decode(cell.strip())
        if end == len(cell.strip()):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        return _literal(ast.parse(cell.strip(), mode="eval").body, cell.strip())
    except (SyntaxError, RecursionError, MemoryError, ArithmeticError) as error:
        raise ValueError(f"neither JSON nor a Python literal: {error}") from None


def _literal(node: ast.expr, text: str) -> Any:
    match node:
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element, text) for element in elements]
        case ast.Dict(keys=keys, values=values):
            return {_literal(key, text): _literal(value, text) for key, value in zip(keys, values, strict=True) if key}
        case ast.UnaryOp(op=ast.USub(), operand=operand) if isinstance(number := _literal(operand, text), Decimal):
            return number.copy_negate()  # a minus sign would round to 28 digits
        case ast.Constant(value=bool() | None | str()):
            return node.value
        case ast.Constant(value=int() | float()):
            return Decimal(ast.get_source_segment(text, node) or "")
        case ast.Name(id=name) if name.lower() in _CONSTANTS:
            return _CONSTANTS[name.lower()]
        case ast.Call(func=ast.Name(id=name), args=[inside, *_]) if name in _WRAPPERS:
            value = _literal(inside, text)
            return Decimal(value) if name == "Decimal" else value
    raise ValueError(f"{ast.unparse(node)[:40]!r} is no literal")


def records_of(cell: str | None) -> list[Mapping[str, Any]]:
    """The records that a cell lists. One record by itself counts as a list of it, none as an empty one.

    >>> records_of('{"key": "team", "value": "search"}')
    [{'key': 'team', 'value': 'search'}]
    """
    if cell is None or cell.strip() in ("", "NULL", "null", "None", "nan"):
        return []
    return list(_records(value_of(cell)))


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, str):  # JSON in a JSON text
        value = value_of(value)
    if isinstance(value, list):
        for item in value:
            yield from _records(item)
    elif isinstance(value, dict) and set(value) <= {"list", "element", "item"}:  # how BigQuery writes lists to Parquet
        for item in value.values():
            yield from _records(item)
    elif isinstance(value, dict):
        yield value
    elif value is not None:
        raise ValueError(f"{value!r} is no record")


def pairs_of(cell: str | None) -> dict[str, str]:
    """Labels or tags: [{"key": ..., "value": ...}], or an object of them.

    >>> pairs_of("[{'key': 'env', 'value': 'prod'}]") == pairs_of('{"env": "prod"}')
    True
    """
    pairs: dict[str, str] = {}
    for record in records_of(cell):
        members = [(record["key"], record.get("value"))] if "key" in record else record.items()
        pairs |= {str(key): text_of(value) or "" for key, value in members}
    return pairs


def one_spelling(cell: str | None) -> str | None:
    """A cell as every shape of the export would have it: numbers, times and lists differ between CSV and JSON.

    >>> one_spelling("1.0"), one_spelling("2026-10-02 09:14:55 UTC"), one_spelling("[]"), one_spelling("007")
    ('1', '2026-10-02T09:14:55', None, '007')
    >>> one_spelling("[{'id': None, 'amount': -5e-06}]") == one_spelling('[{"amount": "-0.000005"}]')
    True
    """
    text = (cell or "").strip()
    if is_blank(text):
        return None
    if text[0] in "[{":
        try:
            value = _plain(value_of(text))
        except ValueError:
            return text
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else None
    if _NUMBER.fullmatch(text):
        return exact_text(Decimal(text) + 0 if Decimal(text).is_zero() else Decimal(text))
    try:
        return time_from(text).isoformat() if _TIME.fullmatch(text) else text
    except BadRecord:
        return text


def _plain(value: Any) -> Any:
    """Without members that say nothing, and every other value as the text that it has in a cell of its own."""
    if isinstance(value, dict):
        members = {name: _plain(item) for name, item in value.items()}
        return {name: item for name, item in members.items() if item}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return one_spelling(text_of(value))
