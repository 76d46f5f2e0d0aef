"""The lesson behind Permillion, row by row: which test, default or refusal answers it.

lesson.toml is the list. A reference in it is one of
    tests/x.py::test_name           a test
    costlib/x.py::name              a function, class, constant, or the key of a lever or of one of its numbers
    tests/scenarios/x.toml#step     what the scenario's author expects
    data/x.toml#key                 a key
    docs/x.md#heading               a section
    docs/x.md: words                a passage
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.collectors.numbered import may_not_run

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("lesson.toml")
KINDS = ("test", "default", "refusal")
VERDICTS = {"OK", "WRONG", "CLASH", "GARBLED", "STALE", "CLAIM", "CODE", "MISLEADING", "ADDED"}

# S84b is an addition; S87 and S95 are lists of five.
_IN_PARTS = {84: ("", "b"), 87: tuple("abcde"), 95: tuple("abcde")}
IDS = tuple(f"S{number}{part}" for number in range(1, 127) for part in _IN_PARTS.get(number, ("",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: the verdict on what the lesson says, what is right, and where the product has it."""

    id: str
    verdict: str
    right: str
    kind: str
    where: tuple[str, ...]


def load(path: Path = LIST) -> list[Row]:
    return [
        Row(**{**body, "where": tuple(body["where"])})
        for body in tomllib.loads(path.read_text(encoding="utf-8"))["row"]
    ]


def faults(rows: Iterable[Row], root: Path = ROOT) -> list[str]:
    """What is wrong with the list: rows missing or double, and references that lead nowhere."""
    rows = list(rows)
    counted = Counter(row.id for row in rows)
    found = [f"{id}: is missing" for id in IDS if not counted[id]]
    found += [f"{id}: stands {count} times" for id, count in counted.items() if count > 1]
    found += [f"{id}: is no row of the lesson" for id in counted if id not in IDS]
    return found + [f"{row.id}: {fault}" for row in rows for fault in _faults_of(row, root)]


def _faults_of(row: Row, root: Path) -> Iterator[str]:
    if row.kind not in KINDS:
        yield f"kind must be one of {', '.join(KINDS)}, not {row.kind!r}"
    if not row.right or not set(row.verdict.split(", ")) <= VERDICTS:
        yield "needs what is right, and a verdict"
    if not any(_serves(row.kind, one) for one in row.where):
        yield f"has no reference that makes it a {row.kind}"
    for one in row.where:
        if fault := fault_of(one, root):
            yield fault


def _serves(kind: str, reference: str) -> bool:
    is_test = "::test_" in reference or (reference.startswith("tests/scenarios/") and "#" in reference)
    return {"test": is_test, "default": not is_test}.get(kind, True)


def fault_of(reference: str, root: Path = ROOT) -> str:
    """Why a reference leads nowhere; empty when it leads somewhere."""
    place, separator, name = next(
        (reference.partition(mark) for mark in ("::", "#", ": ") if mark in reference), (reference, "", "")
    )
    path = root / place
    if not path.is_file():
        return f"there is no file {place}"
    if separator == "::" and name not in _names(path):
        return f"{place} has no {name}"
    if separator == "#" and name not in (_headings(path) if path.suffix == ".md" else _keys(path)):
        return f"{place} has no {name}"
    if separator == ": " and name not in path.read_text(encoding="utf-8"):
        return f"{place} does not say {name!r}"
    return ""


@cache
def _names(path: Path) -> frozenset[str]:
    """What a Python file defines, and the text of every `key=` in it. A test that may not run is none."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() if may_not_run(node):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.keyword(arg="key", value=ast.Constant(value=str(name))):
                names.add(name)
    return frozenset(names)


def _headings(path: Path) -> set[str]:
    """Anchors as a forge makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _keys(path: Path) -> set[str]:
    """Every key of a TOML file; of a scenario, what it expects."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    if "expect" in document:
        return {wanted["of"] for wanted in document["expect"]}
    return set(_keys_below(document))


def _keys_below(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        yield from node
    for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _keys_below(child)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """The list as lines: row, verdict, covered by, what is right, and below it where."""
    yield f"{'row':<6}{'verdict':<18}{'covered by':<12}what is right, and where the product has it"
    for row in rows:
        yield f"{row.id:<6}{row.verdict:<18}{row.kind:<12}{row.right}"
        yield from (f"{'':<36}{one}" for one in row.where)


def counts(rows: Iterable[Row]) -> str:
    rows = list(rows)
    kinds = Counter(row.kind for row in rows)
    return f"{len(rows)} rows: {', '.join(f'{kinds[kind]} {kind}' for kind in KINDS)}"
