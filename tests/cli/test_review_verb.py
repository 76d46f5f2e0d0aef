"""`permillion review`: the pack in files and a summary in the terminal."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_the_pack_is_four_files_and_the_same_every_time(permillion: Run, tmp_path: Path) -> None:
    permillion("demo")
    first = permillion("review", "--out", tmp_path / "a")
    assert first.exit_code == 0
    assert "# " in first.stdout
    permillion("review", "--out", tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["csv", "md", "pdf", "xlsx"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_json_has_the_record(permillion: Run) -> None:
    permillion("demo")
    told = json.loads(permillion("review", "--json").stdout)
    assert told["files"] == []
    assert {"figures", "bridge", "movers", "outlook", "waste", "proposals", "details"} <= set(told["review"])


def test_what_cannot_be_is_one_clear_line(permillion: Run, tmp_path: Path) -> None:
    nothing = permillion("review")
    assert nothing.exit_code == 2
    assert "permillion" in nothing.stderr
    permillion("demo")
    for arguments, said in (
        (("--week", "1999-01-01"), "unknown week"),
        (("--team", "x"), "--out"),
        (("--locale", "xx"), "locale"),
        (("--currency", "EUR"), "currency"),
    ):
        refused = permillion("review", *arguments)
        assert refused.exit_code == 2, arguments
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
