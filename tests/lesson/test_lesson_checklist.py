"""`./dev check lesson`: all 135 rows are covered, and a list with a hole in it is told so."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lesson import __main__ as command
from tests.lesson.checklist import IDS, ROOT, Row, counts, fault_of, faults, load, table

ROWS = load()
SOUND = [
    Row(id=id, verdict="OK", right="So it is.", kind="test", where=("tests/costlib/test_roofline.py::test_ridge",))
    for id in IDS
]


def test_there_are_135_rows_and_each_leads_somewhere() -> None:
    assert len(IDS) == len(set(IDS)) == 135
    assert faults(ROWS) == []


def test_every_row_is_printed_with_its_verdict_and_all_that_covers_it() -> None:
    lines = list(table(ROWS))
    printed = {line.strip() for line in lines}
    assert all(set(row.where) <= printed for row in ROWS)
    assert [line.split()[0] for line in lines[1:] if line.startswith("S")] == list(IDS)
    assert counts(ROWS).startswith("135 rows: ")


def with_row(row_id: str, **changes: object) -> list[Row]:
    return [replace(row, **changes) if row.id == row_id else row for row in SOUND]  # type: ignore[arg-type]


def test_a_missing_row_a_double_one_and_a_stranger_are_named() -> None:
    assert faults(SOUND) == []
    assert faults([SOUND[0], SOUND[0], *SOUND[2:]]) == ["S2: is missing", "S1: stands 2 times"]
    assert faults([*SOUND, replace(SOUND[0], id="S127")]) == ["S127: is no row of the lesson"]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("tests/costlib/test_roofline.py::test_ridges", "tests/costlib/test_roofline.py has no test_ridges"),
        ("tests/costlib/test_roof.py::test_ridge", "there is no file tests/costlib/test_roof.py"),
        ("costlib/kvcache.py::BLOCKS", "costlib/kvcache.py has no BLOCKS"),
        ("costlib/levers/prefix_caching.py::hit_rate", "costlib/levers/prefix_caching.py has no hit_rate"),
        ("tests/scenarios/cascade.toml#share_fraction", "tests/scenarios/cascade.toml has no share_fraction"),
        ("data/demo/scenario.toml#max_ttft_s", "data/demo/scenario.toml has no max_ttft_s"),
        ("docs/method.md#monies", "docs/method.md has no monies"),
        ("docs/traps.md: never written", "docs/traps.md does not say 'never written'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_said(reference: str, why: str) -> None:
    assert fault_of(reference) == why
    assert f"S11: {why}" in faults(with_row("S11", where=(reference,)))


@pytest.mark.parametrize(
    "reference",
    [
        "tests/costlib/test_roofline.py::test_ridge",
        "tests/collectors/test_prometheus.py::TestS25Pairs",
        "costlib/kvcache.py::BLOCK_TOKENS",
        "costlib/scenario.py::max_tpot_s",
        "costlib/levers/prefix_caching.py::hit_fraction",
        "tests/scenarios/cascade.toml#usd_per_mtok_blended",
        "data/demo/scenario.toml#max_tpot_s",
        "docs/method.md#several-levers-at-once",
        "docs/levers.md#prefix-caching--prefix_caching",
        "docs/traps.md: KV heads, not query heads",
        "data/catalog/prices/aws.toml",
    ],
)
def test_one_that_leads_somewhere_is_not(reference: str) -> None:
    assert fault_of(reference) == ""


def test_a_test_that_may_be_skipped_covers_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_runs(): ...\n\n@pytest.mark.skip\ndef test_rests(): ...\n")
    assert fault_of("test_a.py::test_runs", tmp_path) == ""
    assert fault_of("test_a.py::test_rests", tmp_path) == "test_a.py has no test_rests"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"where": ("tests/costlib/test_roofline.py::test_ridge", "issue 9")}, "there is no file issue 9"),
        ({"where": ("docs/method.md#time",)}, "has no reference that makes it a test"),
        ({"where": ("tests/scenarios/cascade.toml",)}, "has no reference that makes it a test"),
        ({"kind": "default"}, "has no reference that makes it a default"),
        ({"kind": "refusal", "where": ()}, "has no reference that makes it a refusal"),
        ({"kind": "perhaps"}, "kind must be one of test, default, refusal, not 'perhaps'"),
        ({"verdict": "FINE"}, "needs what is right, and a verdict"),
        ({"right": ""}, "needs what is right, and a verdict"),
    ],
)
def test_a_row_must_be_what_it_says(changes: dict[str, object], why: str) -> None:
    (found, *_) = faults(with_row("S11", **changes))
    assert found.startswith(f"S11: {why}")


def test_the_list_is_made_of_this_project_alone() -> None:
    """The checklist it answers lies elsewhere, and nothing may need it."""
    assert not [row.id for row in ROWS for one in row.where if ".." in one or Path(one).is_absolute()]


def test_the_command_prints_the_list_and_its_exit_code_is_that_of_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load", lambda: SOUND)
    assert command.main() == 0
    printed = capsys.readouterr()
    assert printed.out.rstrip().endswith("135 rows: 135 test, 0 default, 0 refusal")
    assert printed.err == ""
    monkeypatch.setattr(command, "load", lambda: SOUND[1:])
    assert command.main() == 1
    assert capsys.readouterr().err == "S1: is missing\n"


@pytest.mark.parametrize("words", [[], ["lessons"], ["lesson", "twice"]])
def test_dev_says_what_there_is_to_check(words: list[str]) -> None:
    said = subprocess.run(["sh", str(ROOT / "dev"), "check", *words], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (2, "check what? There is: lesson\n")
