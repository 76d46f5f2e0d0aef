"""The Estimator page: the story's arithmetic, ranges that may be edited and taken away, and a budget that says stop."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import ConfigError
from costlib.estimate_file import estimator_from
from store.catalog_files import load_catalog, read_toml
from store.estimate_files import EXAMPLE_ESTIMATE, SAMPLE_ESTIMATE
from tests.pages.conftest import Open
from tests.pages.homes import NOW
from tests.pages.reading import card, chart, page_text, table, usd
from ui.estimator_file import MOST_BYTES, parsed, rows, toml_text, with_rows

OWN = {"preset": "Your file"}
BOTH = pytest.mark.parametrize("path", [SAMPLE_ESTIMATE, EXAMPLE_ESTIMATE], ids=["story", "agent"])


@pytest.fixture
def story(open_page: Open):
    return open_page("estimator", "empty")


def test_the_storys_steps_lead_from_60_to_544_dollars_a_day(story) -> None:
    bars = chart(story, "plan-bridge")["data"][0]
    assert [round(base + length) for base, length in zip(bars["base"], bars["x"], strict=True)] == [
        60, 78, 102, 544, 544,
    ]  # fmt: skip
    assert "Planned at $60.00 a day, $544 is likely" in page_text(story).replace("*", "")
    assert "$47,000, as in the story, after 86 days" in page_text(story)


def test_the_story_is_stopped_by_its_budget_with_p90_above_twice_the_mode(story) -> None:
    assert usd(card(story, "P90")) > 2 * 16_320
    assert card(story, "Above the budget") == "100.0%"
    assert "Stop: $1,800 a month is exceeded in 100% of the draws" in page_text(story).replace("*", "")


def test_api_and_own_gpus_stand_side_by_side_with_the_cheapest_named(story) -> None:
    options = table(story, "Bought as")
    assert list(options["How"]) == ["by the token", "by the token", "own GPUs"]
    assert options["Cheapest in"].sum() == pytest.approx(100)
    assert "Llama 3.3 70B by the token is cheapest in 100% of the draws" in page_text(story).replace("*", "")


def test_bars_of_the_spread_are_largest_first_and_named_in_the_title(story) -> None:
    alone = chart(story, "spread")["data"][0]
    assert alone["y"][0] == "Retries"
    assert alone["x"] == sorted(alone["x"], reverse=True)
    assert "61% of the spread comes from retries" in page_text(story)


def test_every_option_has_its_curve_and_the_budget_its_line(story) -> None:
    figure = chart(story, "chances")
    assert len(figure["data"]) == 3
    assert figure["layout"]["shapes"][0]["x0"] == 1800
    assert all(series["x"] == sorted(series["x"]) for series in figure["data"]), "P1 to P99"


def test_the_budget_and_the_estimate_are_in_the_address(open_page: Open) -> None:
    at = open_page("estimator", "empty", {"preset": "Support agent", "budget": "5000"})
    said = page_text(at).replace("*", "")
    assert "$5,000 a month is exceeded in" in said
    assert "Stop" in said
    assert not at.get("plotly_chart")[-1].proto.id.endswith("plan-bridge"), "nobody had planned this one"


def test_another_way_to_buy_it_has_cards_of_its_own(open_page: Open) -> None:
    at = open_page("estimator", "empty", {"option": "Llama 3.3 70B by the token"})
    assert usd(card(at, "P50")) == pytest.approx(500, abs=5)
    assert "Pass: " in page_text(at).replace("*", "")


def test_the_small_print_says_that_nothing_is_measured(story) -> None:
    said = page_text(story)
    assert "Nothing is measured: 5 factors are drawn from assumed ranges" in said
    assert "a month of 30 days" in said.lower()


def test_an_upload_is_priced(open_page: Open) -> None:
    at = open_page("estimator", "empty", OWN)
    assert "Choose a file" in page_text(at)
    own = SAMPLE_ESTIMATE.read_bytes().replace(b"mode = 500", b"mode = 450")
    at.file_uploader[0].set_value(("mine.toml", own, "application/toml")).run()
    assert not at.exception
    assert usd(card(at, "P50")) < 19_446


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "cannot be read as UTF-8 text"),
        (b"= 1", "is not valid TOML"),
        (b"[factors]\nuser_count = 1", "Did you mean 'users_count'?"),
        (b"[factors]\nusers_count = 5\nquestion_tokens = 9\noutput_tokens = 9", "needs something to price"),
        (SAMPLE_ESTIMATE.read_bytes().replace(b"low = 400", b"low = 4000"), "[factors] users_count"),
    ],
)
def test_a_bad_upload_says_what_is_wrong_and_where(open_page: Open, content: bytes, told: str) -> None:
    at = open_page("estimator", "empty", OWN)
    at.file_uploader[0].set_value(("mine.toml", content, "application/toml")).run()
    assert not at.exception
    (error,) = at.error
    assert "mine.toml" in page_text(at)
    assert told.replace("'", "") in page_text(at).replace("'", "").replace("\u2060", ""), error.value


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="at most"):
        parsed(b"#" * (MOST_BYTES + 1), "large.toml")


# The file and the table of factors.


@BOTH
def test_what_is_downloaded_reads_back_as_the_same(path) -> None:
    document = read_toml(path)
    assert tomllib.loads(toml_text(document)) == document


@BOTH
def test_a_table_that_nobody_touched_is_the_same_estimate(path) -> None:
    document = read_toml(path)
    again = with_rows(document, rows(document))
    before, after = (
        estimator_from(one, load_catalog(), path.name, NOW.date()) for one in (document, again)
    )  # fmt: skip
    assert before == after


def test_an_emptied_cell_is_missing_and_not_zero() -> None:
    document = read_toml(SAMPLE_ESTIMATE)
    table_ = rows(document)
    table_[0]["high"] = float("nan")
    with pytest.raises(ConfigError, match=r"users_count: high missing"):
        estimator_from(with_rows(document, table_), load_catalog(), "page", NOW.date())


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.one_of(st.text(max_size=20), st.integers(-(10**9), 10**9), st.booleans(), st.floats(-1e12, 1e12)),
        max_size=4,
    )
)
def test_any_texts_and_numbers_survive_the_way_through_a_file(body: dict) -> None:
    document = {"label": "x", "factors": body, "api": [body]} if body else {"label": "x"}
    assert tomllib.loads(toml_text(document)) == document


def test_reset_goes_back_to_the_file(open_page: Open) -> None:
    at = open_page("estimator", "empty")
    before = card(at, "P50")
    at = at.button(key="factors-reset").click().run()
    assert not at.exception
    assert card(at, "P50") == before
