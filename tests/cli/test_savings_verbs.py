"""`permillion savings` and `permillion verify`: from an idea to what came of it, in the terminal.

What a change saved is measured once, on the sample fleet with its own ledger; verdicts are read from that.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from collectors import savings_command
from costlib.estimate import Undefined
from costlib.saving import Advice, Design, Guard, Plan, Savings, State, Verdict
from store.home import Home
from store.savings import Verifier
from store.savings_file import commit, ledger, note_idea
from tests import savings_builders as made
from tests.cli.conftest import Run
from tests.demo_home import demo_home

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
SCENARIO = """
[[deployments]]
key = "chat"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 20, mean_prompt_tokens = 800, mean_output_tokens = 200, peak_to_mean_ratio = 2 }
purchase = { usd_per_gpu_hour = 3.50 }

[levers.weight_precision]
weights = "fp8"
"""
SEEN = Advice(minimum_fraction=0.05, sentence="It sees a saving from 5.0% on.")


@dataclass(frozen=True)
class Board:
    """The board of the sample, measured once: what the command printed, and what it was drawn from."""

    home: Home
    printed: str
    exit_code: int
    of: Savings


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    home = demo_home(tmp_path_factory.mktemp("savings") / "home", NOW)
    found: list[Savings] = []
    read = savings_command.read_savings

    def kept(*arguments: Any) -> Savings:
        found.append(read(*arguments))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERMILLION_HOME", str(home.path))
        patch.setattr(savings_command, "utc_now", lambda: NOW)
        patch.setattr(savings_command, "read_savings", kept)
        result = CliRunner().invoke(cli.app, ["savings", "--json"])
    assert result.exit_code == 0, result.output
    yield Board(home=home, printed=result.stdout, exit_code=result.exit_code, of=found[0])


@pytest.fixture
def home(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The sample with a ledger of its own, in which anything may be said; what was measured is the same files."""

    def same(source: str, target: str) -> None:
        (shutil.copy if Path(source).name == board.home.savings.name else os.link)(source, target)

    shutil.copytree(board.home.path, tmp_path / "home", copy_function=same)
    monkeypatch.setenv("PERMILLION_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(savings_command, "utc_now", lambda: NOW)
    monkeypatch.setattr(savings_command, "getuser", lambda: "ada")
    return Home(tmp_path / "home")


@pytest.fixture
def measured(board: Board, monkeypatch: pytest.MonkeyPatch) -> Savings:
    """Verdicts as the board has them, measured once."""
    monkeypatch.setattr(Verifier, "all", lambda self: dict(board.of.verifications))
    return board.of


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "fp8.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `commit` find this plan and this advice, without working them out."""

    def use(advice: Advice = SEEN, plan: Plan | None = None) -> None:
        monkeypatch.setattr(savings_command, "plan_of", lambda *_: plan or made.plan())
        monkeypatch.setattr(savings_command, "advice_on", lambda *_: advice)

    return use


def in_state(of: Savings, state: State) -> str:
    return next(one.id for one in of.entries if one.state is state)


def entry_of(home: Home, key: str) -> Any:
    return next(one for one in ledger(home).entries if one.id == key)


def idea(home: Home, title: str = "FP8 for all", now: datetime = NOW) -> str:
    return note_idea(home, title, "Ada", now, is_sample=True)


# Looking --------------------------------------------------------------------------------------------------------------


def test_the_board_reads_back_as_json_with_every_verdict_and_every_month(board: Board) -> None:
    assert "NaN" not in board.printed
    found = json.loads(board.printed)
    assert found["is_sample"] is True
    assert found["lines_count"] == board.of.lines_count > 0
    assert found["head"] == board.of.head
    assert {one["id"] for one in found["entries"]} == {one.id for one in board.of.entries}
    verified = found["verifications"][in_state(board.of, State.VERIFIED)]
    assert verified["verdict"] == "verified"
    assert isinstance(found["months"][0]["verified"], str), "money is a string"


def test_verify_ends_with_0_where_it_saved_and_1_where_it_did_not(permillion: Run, measured: Savings) -> None:
    saved = permillion("verify", in_state(measured, State.VERIFIED))
    assert saved.exit_code == 0, saved.stderr
    for part in ("VERIFIED: saved", "promised", "smallest saving that is visible", "naive, bills before and after",
                 "cash not paid any more", "capacity freed, still paid", "TTFT, p95"):  # fmt: skip
        assert part in saved.stdout
    assert permillion("verify", in_state(measured, State.NOT_SHOWN)).exit_code == 1
    rose = permillion("verify", in_state(measured, State.REVERSED), "--json")
    assert rose.exit_code == 1
    found = json.loads(rose.stdout)
    assert found["verdict"] == "rose"
    assert found["saved_fraction"]["high"] < 0


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.PARTIAL, 0), (Verdict.PROBABLE, 1), (Verdict.GUARD_BROKEN, 1), (Verdict.CANNOT_TELL, 1)],
)
def test_only_what_is_verified_or_saved_in_part_ends_with_0(
    permillion: Run, board: Board, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, code: int
) -> None:
    key = in_state(board.of, State.VERIFIED)
    found = replace(board.of.verifications[key], verdict=verdict)
    monkeypatch.setattr(Verifier, "all", lambda self: {key: found})
    assert permillion("verify", key).exit_code == code


def test_what_is_unknown_ambiguous_or_not_shipped_is_one_clear_line(
    permillion: Run, home: Home, measured: Savings
) -> None:
    first, second = idea(home, "Night scaling"), idea(home, "Night batches")
    not_shipped = in_state(measured, State.PLANNED)
    for asked, parts in (
        ("nothing-such", ("unknown change 'nothing-such'",)),
        ("night-", (first, second)),
        ("", ("unknown change ''",)),
        (not_shipped, ("was not shipped",)),
        ("\x1b[2J", (r"\x1b[2J",)),
    ):
        told = permillion("verify", asked)
        assert told.exit_code == 2, asked
        assert all(part in told.stderr for part in parts)
        assert len(told.stderr.splitlines()) == 1
        assert "\x1b" not in told.stderr


def test_a_start_that_only_one_change_has_is_enough(permillion: Run, home: Home) -> None:
    key = idea(home, "Night scaling")
    assert permillion("savings", "say", "night-", "Soon").exit_code == 0
    assert entry_of(home, key).said[-1].text == "Soon"


def test_a_ledger_that_somebody_edited_is_told_in_full_and_ends_with_1(
    permillion: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Verifier, "final_months", frozenset())  # nothing is shipped, so no bill is asked for
    home.savings.unlink()
    key = idea(home, "Night scaling")
    idea(home, "Night batches")
    home.savings.write_text(home.savings.read_text(encoding="utf-8").replace("Night scaling", "Night and day"))
    told = permillion("savings")
    assert told.exit_code == 1
    assert told.stdout.startswith("THE LEDGER IS BROKEN")
    assert f"line 1 ({key}) was changed after it was written" in told.stdout
    refused = permillion("savings", "reject", key, "--why", "no")
    assert refused.exit_code == 2
    assert "cannot go on" in refused.stderr


def test_a_verdict_of_a_change_whose_lines_were_edited_ends_with_1(
    permillion: Run, home: Home, measured: Savings
) -> None:
    key = in_state(measured, State.VERIFIED)
    title = entry_of(home, key).title
    home.savings.write_text(home.savings.read_text(encoding="utf-8").replace(title, f"{title}!"))
    told = permillion("verify", key)
    assert told.exit_code == 1
    assert f"nothing of {key} counts" in told.stderr


def test_changes_that_metrics_tell_are_listed_but_for_those_that_are_noted(permillion: Run, measured: Savings) -> None:
    told = permillion("savings", "detected", "--since", "119", "--json")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert {(one["deployment_key"], one["kind"]) for one in found} == {("support-copilot", "cached_share")}
    for one in found:
        permillion("savings", "note", one["sentence"])
    assert "Nothing changed in 56 days" in permillion("savings", "detected").stdout


# Saying ---------------------------------------------------------------------------------------------------------------


def test_an_idea_is_noted_and_its_id_printed(permillion: Run, home: Home) -> None:
    told = permillion("savings", "note", "Two models on [red]one[/red] GPU", "--evidence", "https://git.example/1")
    assert told.exit_code == 0, told.stderr
    found = entry_of(home, told.stdout.strip())
    assert (found.title, found.owner, found.state) == ("Two models on [red]one[/red] GPU", "ada", State.IDEA)
    assert found.is_sample, "of a home that holds the sample"
    owned = permillion("savings", "note", "Another", "--owner", "Mei").stdout.strip()
    assert entry_of(home, owned).owner == "Mei"


def test_a_title_that_draws_on_the_terminal_is_refused(permillion: Run, home: Home) -> None:
    before = home.savings.read_bytes()
    told = permillion("savings", "note", "gone\x1b[2J")
    assert told.exit_code == 2
    assert "printable" in told.stderr and "\x1b" not in told.stderr
    assert home.savings.read_bytes() == before


def test_a_user_without_a_name_is_asked_for_one(permillion: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr(savings_command, "getuser", nobody)
    told = permillion("savings", "note", "Anything")
    assert told.exit_code == 2
    assert "--owner" in told.stderr


def test_a_plan_is_worked_out_said_and_frozen(
    permillion: Run, home: Home, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the model and what was measured; only what could be seen is given, as it takes long."""
    monkeypatch.setattr(savings_command, "advice_on", lambda *_: SEEN)
    key = idea(home, now=NOW - timedelta(hours=1))
    told = permillion("savings", "commit", key, "--scenario", scenario, "--pool", "search-answers", "--by", "Mei",
                      "--before-days", 28, "--after-days", 14, "--margin", "failed_fraction=0.05")  # fmt: skip
    assert told.exit_code == 0, told.stderr
    assert "It sees a saving from" in told.stdout
    assert "what it promises is frozen" in told.stdout
    plan = entry_of(home, key).plan
    assert (plan.lever_keys, plan.pool_keys) == (("weight_precision",), ("search-answers",))
    assert (plan.before_days, plan.after_days) == (28, 14)
    assert plan.guards == (Guard(measure="failed_fraction", margin_fraction=0.05),)
    again = permillion("savings", "commit", key, "--scenario", scenario)
    assert again.exit_code == 2
    assert "already" in again.stderr


@pytest.mark.parametrize("least", [0.4, Undefined(reason="requests outside are not counted")])
def test_a_promise_that_could_not_be_seen_is_refused_unless_it_is_wanted_anyway(
    permillion: Run, home: Home, scenario: Path, planned: Callable[..., None], least: float | Undefined
) -> None:
    planned(Advice(minimum_fraction=least, sentence="Too little to be seen."))
    key = idea(home)
    told = permillion("savings", "commit", key, "--scenario", scenario, "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert found["is_committed"] is False
    assert found["plan"]["projection"]["saved_fraction"]["mid"] == 0.18
    assert "--anyway" in told.stderr
    assert entry_of(home, key).state is State.IDEA
    assert permillion("savings", "commit", key, "--scenario", scenario, "--anyway").exit_code == 0
    assert entry_of(home, key).state is State.PLANNED


def test_a_change_goes_from_the_plan_to_the_signature_and_back(permillion: Run, home: Home, measured: Savings) -> None:
    key = in_state(measured, State.VERIFIED)
    signed = permillion("savings", "sign", key, "--by", "Zoe", "--note", "Bills are open")
    assert signed.exit_code == 0, signed.stderr
    assert "Signed as verified" in signed.stdout
    assert entry_of(home, key).signed.by == "Zoe"
    back = permillion("savings", "take-back", key, "--at", "2026-11-20 06:00")
    assert back.exit_code == 0, back.stderr
    assert entry_of(home, key).ended_at == datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert "can be taken back" in permillion("savings", "take-back", key).stderr


def test_what_cannot_be_told_is_not_signed(permillion: Run, home: Home, board: Board, monkeypatch: Any) -> None:
    key = in_state(board.of, State.VERIFIED)
    found = replace(board.of.verifications[key], verdict=Verdict.CANNOT_TELL)
    monkeypatch.setattr(Verifier, "to_sign", lambda self, entry: found)
    told = permillion("savings", "sign", key)
    assert told.exit_code == 2
    assert "no verdict to sign" in told.stderr


def test_weeks_that_were_restated_can_be_signed_again(
    permillion: Run, home: Home, board: Board, monkeypatch: Any
) -> None:
    """The verifier is asked as if nobody had signed yet: else what was signed before stands in the way."""
    key = in_state(board.of, State.VERIFIED)

    def restated(self: Verifier) -> dict[str, Any]:
        found = board.of.verifications[key]
        is_old = self._entries[key].signed is not None
        return {key: replace(found, verdict=Verdict.CANNOT_TELL) if is_old else found}

    monkeypatch.setattr(Verifier, "all", restated)
    assert permillion("verify", key).exit_code == 1
    assert permillion("savings", "sign", key).exit_code == 0


def test_a_change_ships_at_the_time_that_is_given_or_now(permillion: Run, home: Home, measured: Savings) -> None:
    key = in_state(measured, State.PLANNED)
    assert "yet to come" in permillion("savings", "ship", key, "--at", "2026-11-25").stderr
    assert "no switchback" in permillion("savings", "ship", key, "--hours", "12").stderr
    assert "no switchback" in permillion("savings", "turns", key).stderr
    told = permillion("savings", "ship", key, "--at", "2026-11-21T06:30", "--note", "All replicas")
    assert told.exit_code == 0, told.stderr
    assert "All replicas" in told.stdout
    assert entry_of(home, key).shipped_at == datetime(2026, 11, 21, 6, 30, tzinfo=UTC)


def test_turns_are_drawn_once_by_lot_and_shipped_as_they_were_drawn(permillion: Run, home: Home) -> None:
    key = idea(home, now=NOW - timedelta(days=2))
    plan = made.plan(design=Design.SWITCHBACK, control_keys=())
    commit(home, key, plan, "Ada", NOW - timedelta(days=2))
    drawn = json.loads(permillion("savings", "turns", key, "--from", "2026-11-21", "--json").stdout)
    assert len(drawn) == 28, "14 days of two turns"
    assert sum(turn["is_on"] for turn in drawn) == 14
    told = permillion("savings", "turns", key, "--from", "2026-11-21")
    assert f"permillion savings ship {key} --at 2026-11-21 --hours 12 --days 14" in told.stdout
    shipped = permillion("savings", "ship", key, "--at", "2026-11-21", "--hours", "12", "--days", "14")
    assert shipped.exit_code == 0, shipped.stderr
    found = entry_of(home, key)
    assert [start.isoformat() for start, _ in found.periods] == [turn["start"] for turn in drawn if turn["is_on"]]
    assert found.switched_every_hours == 12
    assert "a turn lasts" in permillion("savings", "turns", key, "--hours", "5").stderr
    assert "even number" in permillion("savings", "turns", key, "--days", "7").stderr


def test_a_change_is_rejected_with_a_reason_and_opened_again(permillion: Run, home: Home) -> None:
    key = idea(home)
    assert permillion("savings", "reject", key).exit_code == 2, "a reason is asked for"
    assert "no answer left" in permillion("savings", "reject", key, "--why", "no answer left").stdout
    assert entry_of(home, key).state is State.REJECTED
    assert permillion("savings", "reopen", key).exit_code == 0
    assert entry_of(home, key).state is State.IDEA


def test_a_margin_names_what_is_guarded_and_by_how_much(permillion: Run, home: Home, scenario: Path) -> None:
    key = idea(home)
    for margin, said in (
        ("latency=0.1", "unknown guard 'latency'"),
        ("ttft_p95_s", "MEASURE=SHARE"),
        ("ttft_p95_s=nan", "MEASURE=SHARE"),
        ("ttft_p95_s=-1", "MEASURE=SHARE"),
    ):
        told = permillion("savings", "commit", key, "--scenario", scenario, "--margin", margin)
        assert told.exit_code == 2
        assert said in told.stderr


def test_a_scenario_file_that_changes_nothing_promises_nothing(permillion: Run, home: Home, scenario: Path) -> None:
    scenario.write_text(SCENARIO.partition("[levers")[0], encoding="utf-8")
    told = permillion("savings", "commit", idea(home), "--scenario", scenario)
    assert told.exit_code == 2
    assert "change nothing" in told.stderr


def test_a_home_with_nothing_in_it_takes_ideas_that_are_real(
    permillion: Run, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERMILLION_HOME", str(tmp_path / "new"))
    told = permillion("savings", "note", "First of all")
    assert told.exit_code == 0, told.stderr
    assert not entry_of(Home(tmp_path / "new"), told.stdout.strip()).is_sample
    assert permillion("verify", "first").exit_code == 2
