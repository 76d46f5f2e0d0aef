"""The repository checks itself: unit factors, risks, registry hosts, machine paths, the lock, and what docs name."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from cli import app
from collectors.billing import formats
from costlib.billing import MONEY_COLUMNS
from costlib.books import Bucket, IdlePolicy
from costlib.estimate import Basis
from costlib.levers import LEVERS
from costlib.token_split import SplitMethod
from costlib.units import UNIT_OF_SUFFIX

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = ROOT / "README.md"
NOT_OURS = {".git", ".venv", ".venv-live", "artifacts", "__pycache__"}


def our_files() -> list[Path]:
    """What git tracks or would offer to add; without git, every file outside hidden folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [path for name in sorted(listed.stdout.split("\0")) if name and (path := ROOT / name).is_file()]
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not any(part in NOT_OURS or part.endswith("_cache") for part in path.parts)
    ]


FILES = our_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
COUNTED = {"costlib", "store", "collectors", "ui", "pages", "lab"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


# Unit factors have one home.

FACTORS = {1e6, 1e9, float(1024**3), 3600.0}


def factors(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and value in FACTORS:
                yield f"line {node.lineno}: {value}"
            case ast.BinOp(left=ast.Constant(value=int(base)), op=ast.Pow(), right=ast.Constant(value=int(power))):
                if float(base) ** power in FACTORS:
                    yield f"line {node.lineno}: {base}**{power}"


@pytest.mark.parametrize("code", ["x / 1e6", "x * 1_000_000", "10**9", "1024**3", "1073741824", "s / 3600", "3_600.0"])
def test_a_unit_factor_is_found(code: str) -> None:
    assert list(factors(ast.parse(code)))


def test_other_numbers_are_not_unit_factors() -> None:
    assert not list(factors(ast.parse("x = (1024, 1000, 0.9, True, 2**10, 'takes 3600 s')")))


@pytest.mark.parametrize("path", [path for path in PYTHON if path.relative_to(ROOT).parts[0] in COUNTED], ids=name_of)
def test_unit_factors_live_in_costlib_units(path: Path) -> None:
    found = list(factors(tree_of(path)))
    if name_of(path) == "costlib/units.py":
        assert len(found) >= 4
    else:
        assert not found, f"{name_of(path)}: import the factor from costlib.units"


# Nothing is run, unpickled, embedded or trusted by accident.

RISKY_ARGUMENTS = {"unsafe_allow_html": True, "shell": True, "verify": False, "allow_pickle": True}
RISKY_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


def risks(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=str(name), value=ast.Constant(value=value)) if RISKY_ARGUMENTS.get(name) is value:
                if name in RISKY_ARGUMENTS:
                    yield f"line {node.value.lineno}: {name}={value}"
            case ast.Import(names=aliases) if found := {alias.name.split(".")[0] for alias in aliases} & RISKY_MODULES:
                yield f"line {node.lineno}: {', '.join(found)}"
            case ast.ImportFrom(module=str(module)) if module in RISKY_MODULES:
                yield f"line {node.lineno}: {module}"


@pytest.mark.parametrize(
    "code",
    [
        "st.markdown(text, unsafe_allow_html=True)",
        "import pickle",
        "from pickle import loads",
        "run(command, shell=True)",
        "get(url, verify=False)",
    ],
)
def test_a_risk_is_found(code: str) -> None:
    assert list(risks(ast.parse(code)))


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_no_file_takes_a_risk(path: Path) -> None:
    assert not list(risks(tree_of(path)))


def test_what_is_not_risky_is_left_alone() -> None:
    assert not list(risks(ast.parse("run(command, shell=False, check=None)\nget(url, verify=True, name=None)")))


# No file of ours knows the machine it was built on, or where packages come from.

PLACES = re.compile(r"(?<![\w./-])/(?:work|root|home)/[\w.-]")
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "python" + "hosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("conda", "anaconda", "org"),
        ("static", "crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
    )
]


def leaks(text: str) -> list[str]:
    return [*(host for host in HOSTS if host in text), *PLACES.findall(text)]


@pytest.mark.parametrize(
    "text", [f"https://{HOSTS[0]}/simple", "open('" + "/ho" + "me/me/x')", "see /ro" + "ot/.cache"]
)
def test_a_leak_is_found(text: str) -> None:
    assert leaks(text)


def test_ordinary_paths_and_addresses_are_not_leaks() -> None:
    assert not leaks("https://example.org/ho" + "me/page, ./wo" + "rk/x and /metrics")


def test_no_file_names_a_registry_or_a_path_of_the_build_machine() -> None:
    found = {}
    for path in FILES:
        content = path.read_bytes()
        if b"\0" not in content[:4096] and (names := leaks(content.decode("utf-8", errors="replace"))):
            found[name_of(path)] = names[:3]
    assert not found


# The lock and the package list.


def lock_faults(text: str) -> Iterator[str]:
    """A requirement is `name==version`, then at least one hash on lines of their own."""
    for entry in text.replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        name, *rest = entry.split()
        if "://" in entry or " @ " in entry:
            yield f"{name} has an address"
        if not re.fullmatch(r"[\w.\[\]-]+==[\w.+!]+", name):
            yield f"{name} is not pinned"
        hashes = [word for word in rest if word.startswith("--hash=sha256:")]
        if not hashes:
            yield f"{name} has no hash"


@pytest.mark.parametrize(
    "text",
    [
        "a==1\n",
        "a>=1 --hash=sha256:0\n",
        "a @ https://example.org/a.whl --hash=sha256:0\n",
        "--index-url https://x.org\n",
    ],
)
def test_a_fault_in_a_lock_is_found(text: str) -> None:
    assert list(lock_faults(text))


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/live/requirements.lock"])
def test_a_lock_is_hashed_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert text.count("==") > 30
    assert not list(lock_faults(text))


def test_every_dependency_is_locked() -> None:
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M)}
    wanted = {re.split(r"[^\w.-]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert wanted <= locked


def test_the_package_list_is_what_is_on_disk() -> None:
    """A package that is not listed would be missing from what is installed."""
    listed = PROJECT["tool"]["setuptools"]["packages"]
    roots = {name.split(".")[0] for name in listed}
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for root in roots for path in (ROOT / root).rglob("*.py")}
    assert set(listed) == on_disk
    assert len(set(listed)) == len(listed)


# The documents name what there is.


def unnamed(names: Iterable[str], text: str) -> list[str]:
    return [name for name in names if f"`{name}`" not in text and f"permillion {name}" not in text]


def test_a_name_left_out_is_found() -> None:
    assert unnamed(["whatif", "review"], "run `permillion whatif FILE`, then look") == ["review"]


def test_every_lever_has_its_section() -> None:
    sections = re.findall(r"^## .*", (ROOT / "docs" / "levers.md").read_text(encoding="utf-8"), re.M)
    assert sections
    assert not unnamed([lever.key for lever in LEVERS], "\n".join(sections))


def test_the_glossary_holds_every_suffix_every_basis_and_every_kind_of_cost() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert not unnamed([*UNIT_OF_SUFFIX, *MONEY_COLUMNS], text)
    assert all(f"| {basis} |" in text for basis in Basis)


def test_the_readme_names_every_command() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) > 3
    assert not unnamed(commands, README.read_text(encoding="utf-8"))


def test_the_readme_names_every_billing_format_and_idle_policy() -> None:
    assert not unnamed([*formats(), *IdlePolicy], README.read_text(encoding="utf-8"))


def test_the_method_names_every_bucket_and_every_way_to_split_and_to_spread() -> None:
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    assert not unnamed([*Bucket, *SplitMethod, *IdlePolicy], method)


LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".md"], ids=name_of)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (path.parent / target).exists()]
