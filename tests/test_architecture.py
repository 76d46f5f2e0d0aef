"""Who may import whom, how long a file may be, and what pages and the cost library keep their hands off.

Each rule is a function from a syntax tree to what breaks it, tried here on code that breaks it.
"""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("costlib", "store", "collectors", "ui", "pack", "lab")
PAGES = sorted((ROOT / "pages").glob("*.py"))
COSTLIB = sorted((ROOT / "costlib").rglob("*.py"))
PACK = sorted((ROOT / "pack").rglob("*.py"))
CODE = sorted(
    [*(path for name in (*PACKAGES, "pages", "benchmarks") for path in (ROOT / name).rglob("*.py")), *ROOT.glob("*.py")]
)
MOST_LINES = {"app.py": 60, "cli.py": 150} | {f"pages/{page.name}": 120 for page in PAGES}

PAGE_IMPORTS = {"ui", "costlib", "streamlit"} | sys.stdlib_module_names
PACK_IMPORTS = {"pack", "costlib", "reportlab", "xlsxwriter"} | sys.stdlib_module_names
_VERBS = {"select", "insert", "update", "delete", "with", "create", "drop", "copy", "attach", "pragma"}
SQL_VERBS = _VERBS | {verb.upper() for verb in _VERBS}
SQL_CLAUSES = {"from", "into", "set", "table", "as", "to", "where"}
MONEY_WORDS = ("usd", "cost", "price", "spend")
# A number passed through these stays a number; any other call is a function of ours that may know about money.
TRANSPARENT_CALLS = {"float", "int", "abs", "round", "sum", "min", "max", "Decimal"}


def names_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


# The rules.


def foreign_imports(tree: ast.Module, allowed: set[str] | frozenset[str] = frozenset(PAGE_IMPORTS)) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."]
        else:
            continue
        yield from (f"line {node.lineno}: imports {name}" for name in modules if name.split(".")[0] not in allowed)


def text_of(node: ast.AST) -> str:
    """A text literal on one line, with `?` for what an f-string puts in; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "?" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def sql_texts(tree: ast.Module) -> Iterator[str]:
    """Statements in capitals or small letters; prose begins with one capital."""
    for node in ast.walk(tree):
        words = text_of(node).split()
        if len(words) > 2 and words[0] in SQL_VERBS and SQL_CLAUSES & {word.lower() for word in words}:
            yield f"line {node.lineno}: SQL {' '.join(words)[:40]!r}"


def money_in(node: ast.expr) -> str | None:
    """The first name in an operand that looks like money; what other functions make of money is their business."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            if any(word in name.lower() for word in MONEY_WORDS):
                return name
    match node:
        case ast.Call(func=ast.Name(id=function), args=arguments) if function in TRANSPARENT_CALLS:
            parts: list[ast.expr] = arguments
        case ast.Call() | ast.JoinedStr():
            parts = []
        case _:
            parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return next((found for part in parts if (found := money_in(part))), None)


def money_arithmetic(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=left, right=right) | ast.AugAssign(target=left, value=right):
                operands = [left, right]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                operands = [operand]
            case ast.Call(func=ast.Name(id="sum"), args=[operand, *_]):
                operands = [operand.elt if isinstance(operand, ast.GeneratorExp | ast.ListComp) else operand]
            case _:
                continue
        if found := next((name for operand in operands if (name := money_in(operand))), None):
            yield f"line {node.lineno}: arithmetic on {found}"


IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
IMPURE_METHODS = {"now", "today", "utcnow", "getenv", "read_text", "read_bytes", "write_text", "write_bytes", "urandom"}
IMPURE_MODULES = {"os", "io", "pathlib", "time", "random", "socket", "urllib", "subprocess", "threading", "tomllib"}


def impurities(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"line {node.lineno}: calls {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                yield f"line {node.lineno}: calls .{name}"
            case ast.Attribute(attr="environ"):
                yield f"line {node.lineno}: uses .environ"
            case ast.Import(names=aliases) if found := {alias.name.split(".")[0] for alias in aliases} & IMPURE_MODULES:
                yield f"line {node.lineno}: imports {', '.join(found)}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in IMPURE_MODULES:
                yield f"line {node.lineno}: imports {module}"


# Each rule on code that breaks it, and on code that does not.


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (foreign_imports, "import pandas as pd"),
        (foreign_imports, "from store.read import usage"),
        (foreign_imports, "import sqlalchemy.sql"),
        (foreign_imports, "def page():\n    import duckdb"),
        (foreign_imports, "from . import helper"),
        (sql_texts, "rows = ask('SELECT a FROM b')"),
        (sql_texts, 'rows = ask("""\n  with a as (select 1)\n  select * from a""")'),
        (sql_texts, "ask(f'select {x} from t')"),
        (sql_texts, "run('UPDATE charges SET a = 1')"),
        (money_arithmetic, "x = projection.usd_per_month * 12"),
        (money_arithmetic, "x = 12 * float(row['billed_cost'])"),
        (money_arithmetic, "total += line.price"),
        (money_arithmetic, "x = sum(d.usd_per_hour for d in deployments)"),
        (money_arithmetic, "x = (a + (b - spend)) / 2"),
        (money_arithmetic, "text = f'{total_cost / 30:.2f}'"),
        (money_arithmetic, "x = -saved_usd"),
        (money_arithmetic, "x = before.usd_per_month.mid - after"),
        (impurities, "text = open('x').read()"),
        (impurities, "day = datetime.now(UTC)"),
        (impurities, "day = date.today()"),
        (impurities, "home = os.environ['HOME']"),
        (impurities, "from pathlib import Path"),
        (impurities, "import os.path"),
        (impurities, "print('hello')"),
    ],
)
def test_each_rule_catches_what_it_is_for(rule: Callable[[ast.Module], Iterator[str]], code: str) -> None:
    assert list(rule(ast.parse(code)))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (foreign_imports, "import streamlit as st\nfrom ui.money import usd\nfrom costlib.project import project"),
        (sql_texts, '"""Select a team from the list."""\nst.write("Select a scenario to compare from those saved.")'),
        (sql_texts, "st.caption('With every lever at rest, nothing changes.')"),
        (money_arithmetic, "st.metric('Cost', usd(projection.usd_per_month), usd(change_usd))"),
        (money_arithmetic, "label = usd_text(total_cost) + ' per month'"),
        (money_arithmetic, "if cost > budget_usd:\n    st.warning('over')"),
        (money_arithmetic, "width = columns * 2"),
        (impurities, "spend = comparison.today.usd_per_month"),
    ],
)
def test_no_rule_catches_what_it_is_not_for(rule: Callable[[ast.Module], Iterator[str]], code: str) -> None:
    assert not list(rule(ast.parse(code)))


# The rules on our own code.


@pytest.mark.parametrize("page", PAGES, ids=names_of)
@pytest.mark.parametrize("rule", [foreign_imports, sql_texts, money_arithmetic])
def test_pages_only_lay_out(rule: Callable[[ast.Module], Iterator[str]], page: Path) -> None:
    assert not list(rule(tree_of(page)))


@pytest.mark.parametrize("path", COSTLIB, ids=names_of)
def test_the_cost_library_is_pure(path: Path) -> None:
    assert not list(impurities(tree_of(path)))
    assert not list(foreign_imports(tree_of(path), frozenset(sys.stdlib_module_names) | {"costlib", "numpy"}))


@pytest.mark.parametrize("path", PACK, ids=names_of)
def test_a_pack_is_drawn_from_its_review_alone(path: Path) -> None:
    assert not list(foreign_imports(tree_of(path), PACK_IMPORTS))


@pytest.mark.parametrize("path", CODE, ids=names_of)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    most = MOST_LINES.get(names_of(path), 400)
    assert lines <= most, f"{names_of(path)} has {lines} lines; {most} are allowed: split it by what it does"


def test_most_files_are_short() -> None:
    assert median(len(path.read_text(encoding="utf-8").splitlines()) for path in CODE) <= 150


def test_the_rules_see_the_cost_library() -> None:
    assert len(COSTLIB) > 25
    assert set(COSTLIB) < set(CODE)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True, no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def copied(folder: Path) -> Path:
    """The contracts and the packages they name, in `folder`; a package that is not written yet is empty there."""
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*.py"):
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").touch()
    return folder


def test_import_contracts_are_kept(tmp_path: Path) -> None:
    found = lint_imports(copied(tmp_path))
    assert found.returncode == 0, found.stdout + found.stderr


def test_broken_import_contracts_are_found(tmp_path: Path) -> None:
    """One import that each contract forbids, all at once: no contract may be kept."""
    folder = copied(tmp_path)
    broken = {
        "costlib/units.py": "import store.home\nimport pandas\nimport streamlit\n",
        "costlib/levers/batch_limits.py": "import costlib.levers.prefix_caching\n",
        "collectors/__init__.py": "import duckdb\nimport reportlab\n",
    }
    for name, line in broken.items():
        path = folder / name
        path.write_text(dedent(line) + path.read_text(encoding="utf-8"), encoding="utf-8")
    contracts = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    found = lint_imports(folder)
    assert found.returncode != 0
    assert f"Contracts: 0 kept, {len(contracts['contracts'])} broken." in found.stdout, found.stdout + found.stderr
