"""Cases with a number, such as S01 or B36, and the tests that bear it in their name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_Test = ast.FunctionDef | ast.AsyncFunctionDef
_NUMBERED = re.compile(r"test_((?:[a-z]\d{2}_)+)")
_NOT_RUN = re.compile(r"\b(skip|skipif|xfail|importorskip)\b")


def numbered_in(code: str, letter: str) -> Iterator[tuple[str, _Test]]:
    """The number and the test, for each number that the name of a test begins with."""
    for node in _top_level(ast.parse(code)):
        if isinstance(node, _Test) and (found := _NUMBERED.match(node.name)):
            yield from ((number, node) for number in found[1].split("_") if number.startswith(letter))


def numbers_in(code: str, letter: str) -> set[str]:
    return {number for number, _ in numbered_in(code, letter)}


def may_not_run(test: _Test) -> bool:
    """Whether a mark or a call in it may leave it out, or expects it to fail."""
    return bool(_NOT_RUN.search(ast.unparse(test)))


def codes_below(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("test_*.py")):
        yield path, path.read_text(encoding="utf-8")


def _top_level(module: ast.Module) -> Iterator[ast.stmt]:
    for node in module.body:
        yield from node.body if isinstance(node, ast.ClassDef) else (node,)
