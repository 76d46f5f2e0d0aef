"""Writes a report as JSON and reads it back as evidence for calibration, refusing whatever is not one."""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from collectors.base import excerpt
from collectors.bench.report import SCHEMA, BenchReport, StageResult
from costlib.errors import BadRecord, ConfigError
from costlib.estimate import Undefined
from costlib.jsonable import jsonable
from costlib.units import MEBI
from store.durable import write_text

FILE_BYTES = 256 * MEBI
# A rate must agree with its own tokens and window this closely: written figures are not rounded.
AGREEMENT = 1e-6


def report_json(report: BenchReport) -> str:
    """The report as JSON. Raises ValueError for NaN and infinity, which no figure of ours may be."""
    return json.dumps(jsonable(report), indent=1, allow_nan=False)


def write_report(report: BenchReport, path: Path) -> None:
    """Replace the file at `path` in one step. Raises ConfigError when it cannot be written."""
    try:
        write_text(path, report_json(report) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from None


def read_report(path: Path) -> BenchReport:
    """The report in a file that `permillion bench --out` wrote.

    Raises BadRecord naming the file and the field for anything else: another schema, a missing or unknown field, a
    value of the wrong kind, NaN, a count or rate that contradicts its neighbours.
    """
    try:
        if path.stat().st_size > FILE_BYTES:
            raise BadRecord(f"{path}: larger than {FILE_BYTES // MEBI} MiB; no benchmark report is.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecord(f"{path} cannot be read: {error}.") from None
    try:
        return report_from(text)
    except BadRecord as error:
        raise BadRecord(f"{path}: {error}") from None


def report_from(text: str) -> BenchReport:
    """The report in a JSON text; raises BadRecord naming the field."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON as `permillion bench` writes it: {error}.") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise BadRecord(f"the schema is {excerpt(repr(found))} where {SCHEMA} is read.")
    report: BenchReport = _object(BenchReport, document, "report")
    for number, stage in enumerate(report.stages):
        _check_stage(stage, f"stages[{number}]")
    return report


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_stage(stage: StageResult, where: str) -> None:
    ended = stage.done_count + sum(stage.failures.values()) + stage.unfinished_count
    if ended != stage.sent_count:
        raise BadRecord(f"{where}: {stage.sent_count} requests sent, but {ended} done, failed or unfinished.")
    for rate, tokens in ((stage.output_tokens_per_s, stage.output_tokens), (stage.requests_per_s, stage.done_count)):
        if isinstance(rate, Undefined) or isinstance(tokens, Undefined):
            continue
        if abs(rate * stage.window_s - tokens) > AGREEMENT * max(tokens, 1):
            raise BadRecord(f"{where}: a rate of {rate:g}/s over {stage.window_s:g} s is not {tokens}.")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise BadRecord(f"{where} is {excerpt(repr(value))}, not an object.")
    known = {item.name: item for item in fields(kind)}
    if unknown := sorted(value.keys() - known.keys()):
        raise BadRecord(f"{where} has the unknown field {excerpt(unknown[0])}.")
    given = {}
    for name, item in known.items():
        if name in value:
            given[name] = _value(_hints(kind)[name], value[name], f"{where}.{name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise BadRecord(f"{where} lacks the field {name!r}.")
    return kind(**given)


def _value(kind: Any, value: Any, where: str) -> Any:
    """`value` as the declared type, or BadRecord. Knows the types that the report's dataclasses use, and no others."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(inner, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin in (Mapping, dict) and isinstance(value, dict):
        return {key: _value(inner[1], item, f"{where}.{key[:40]}") for key, item in value.items()}
    if kind is Undefined and isinstance(value, dict) and isinstance(value.get("undefined"), str) and len(value) == 1:
        return Undefined(reason=value["undefined"])
    if kind is datetime and isinstance(value, str):
        return _instant(value, where)
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if isfinite(value) and (kind is float or isinstance(value, int)) and (value >= 0 or _may_be_negative(where)):
            return kind(value)
    elif isinstance(kind, type) and is_dataclass(kind) and kind is not Undefined:
        return _object(kind, value, where)
    raise BadRecord(f"{where} is {excerpt(repr(value))}, not {_name(kind)}.")


def _may_be_negative(where: str) -> bool:
    return where.endswith(("rank_correlation", "overhead_tokens", "seed"))


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, dict) and "undefined" in value and Undefined in kinds:
        return _value(Undefined, value, where)
    (kind,) = (kind for kind in kinds if kind not in (type(None), Undefined))
    return _value(kind, value, where)


def _instant(value: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise BadRecord(f"{where} is {excerpt(value)}, not a time.") from None
    if found.tzinfo is None:
        raise BadRecord(f"{where} is {excerpt(value)}, a time without its zone.")
    return found


def _name(kind: Any) -> str:
    names = {int: "a whole number of 0 or more", float: "a number of 0 or more", str: "a text", tuple: "a list"}
    return names.get(get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))
