"""Every page over every state of the data: it is drawn, and says plainly what the data are."""

import ast
import tomllib

import pytest
from streamlit import config

from tests.conftest import EXPLORES
from tests.pages.conftest import ROOT, Homes, Open
from tests.pages.reading import badges, page_text

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
STATES = sorted(Homes.MAKERS)
SAMPLE_STATES = ("sample", "stale")
REAL_STATES = ("real", "own scenario", "hostile")
UNREADABLE_STATES = ("missing file", "garbage")
NOTHING_STATES = ("empty", "scenario only")

every_page = pytest.mark.parametrize("page", PAGES)


# Pages that compute for seconds, and the states in which they differ; PERMILLION_EXPLORE=1 tries all.
BUSY_PAGES = ("capacity", "compare", "overview", "plan", "reconciliation", "savings", "weekly_review")
TELLING_STATES = (*NOTHING_STATES, *UNREADABLE_STATES, "sample", "own scenario", "does not fit")


# Hostile names have a file of tests of their own.
TRIED = [(p, s) for s in STATES for p in PAGES if EXPLORES or p not in BUSY_PAGES or s in TELLING_STATES]


@pytest.mark.parametrize(("page", "state"), TRIED)
def test_no_state_of_the_data_breaks_a_page(see_page: Open, page: str, state: str) -> None:
    at = see_page(page, state)
    assert not at.exception, f"{len(at.exception)} exceptions"
    assert len(at.title) == 1


def test_the_navigation_has_every_page_once_and_no_other() -> None:
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    named = [
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "Page"
    ]
    assert sorted(named) == [f"pages/{page}.py" for page in PAGES]


def test_each_page_has_a_title_of_its_own(see_page: Open) -> None:
    titles = [see_page(page, "empty").title[0].value for page in PAGES]
    assert len(set(titles)) == len(PAGES)


@every_page
@pytest.mark.parametrize("state", SAMPLE_STATES)
def test_sample_data_are_labelled(see_page: Open, page: str, state: str) -> None:
    at = see_page(page, state)
    assert "Sample data" in badges(at)
    assert "Sample data: an invented fleet" in page_text(at), "in the small print too, which screenshots keep"


# Without a scenario.toml the baseline of these is the sample fleet: the next test has that case.
ON_A_FLEET = ("what_if", "compare")


@pytest.mark.parametrize(
    ("page", "state"),
    [(p, s) for p in PAGES for s in REAL_STATES if (p, s) in TRIED and not (p in ON_A_FLEET and s == "real")],
)
def test_real_data_are_not_called_sample(see_page: Open, page: str, state: str) -> None:
    assert "sample" not in page_text(see_page(page, state)).lower()


@pytest.mark.parametrize("page", ON_A_FLEET)
@pytest.mark.parametrize("state", ["empty", "real", "unknown GPU"])
def test_a_what_if_on_the_sample_fleet_says_so_whatever_else_the_home_holds(
    see_page: Open, page: str, state: str
) -> None:
    at = see_page(page, state)
    assert "sample" in page_text(at).lower(), "spend of an invented fleet is shown as if it were the user's"


@every_page
def test_data_are_fresh_for_five_minutes_and_stale_afterwards(see_page: Open, page: str) -> None:
    assert "published 0 s ago" in badges(see_page(page, "sample"))
    assert "Stale, published 1 h ago" in badges(see_page(page, "stale"))


@every_page
@pytest.mark.parametrize("state", NOTHING_STATES)
def test_a_home_without_data_says_so_and_is_no_error(see_page: Open, page: str, state: str) -> None:
    at = see_page(page, state)
    assert "No data yet" in badges(at)
    assert not at.error


@pytest.mark.parametrize("page", ["overview", "data_health"])
def test_a_home_without_data_says_how_to_get_some(see_page: Open, page: str) -> None:
    (info,) = see_page(page, "empty").info
    assert "permillion demo" in info.value
    assert "permillion import FILE" in info.value


@every_page
@pytest.mark.parametrize("state", UNREADABLE_STATES)
def test_data_that_cannot_be_read_are_an_error_with_a_remedy(see_page: Open, page: str, state: str) -> None:
    at = see_page(page, state)
    said = page_text(at)
    assert any("cannot be read" in error.value for error in at.error)
    assert "permillion-lost.duckdb" in said
    assert "start `permillion collect` or import a file" in said, "the remedy must survive a long path"


@every_page
@pytest.mark.parametrize("state", UNREADABLE_STATES)
def test_data_that_cannot_be_read_are_not_called_absent(see_page: Open, page: str, state: str) -> None:
    said = page_text(see_page(page, state))
    for absent in ("No data yet", "Nothing is stored yet", "No billing data yet"):
        assert absent not in said, "this home does hold data"


@pytest.mark.parametrize("page", ["what_if", "overview"])
def test_a_scenario_file_with_an_unknown_name_is_named_with_the_nearest_that_is_known(
    see_page: Open, page: str
) -> None:
    at = see_page(page, "unknown GPU")
    said = page_text(at)
    assert "scenario.toml is not used" in said
    assert "unknown GPU 'h100-sxn'" in said
    assert "Did you mean 'h100-sxm'?" in said
    assert at.metric, "the page goes on working"


def test_a_scenario_file_that_cannot_run_says_what_would(see_page: Open) -> None:
    at = see_page("what_if", "does not fit")
    said = page_text(at)
    assert "Llama 3.1 405B in bf16 does not fit 1 x NVIDIA H100 SXM" in said
    assert "use 16 of them or fewer bits per weight" in said
    assert at.selectbox(key="weight_precision.weights"), "the levers are there, one of which may make it fit"


@every_page
def test_the_snapshot_is_named_where_there_is_one(see_page: Open, page: str) -> None:
    assert "Snapshot 20261121T083000000000Z-" in page_text(see_page(page, "sample"))
    assert "Snapshot" not in page_text(see_page(page, "empty"))


def test_b26_the_download_that_tables_have_of_themselves_is_off_and_stays_off() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["client"]["disableDataExport"] is True
    assert config.get_option("client.disableDataExport") in (True, False), "a setting that this Streamlit knows"
    code = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "ui").glob("*.py")]
    assert [path.name for path in code if "set_option" in path.read_text(encoding="utf-8")] == []
