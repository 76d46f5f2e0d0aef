"""Names from outside stay text: in Markdown they are escaped, in tables and charts they are literal."""

import re

import pytest

from tests.pages.conftest import Open
from tests.pages.homes import HOSTILE
from tests.pages.reading import chart, page_text, texts
from tests.pages.test_every_page import PAGES

ACTIVE = re.compile(r"\]\(|!\[|<img|<script|<b>|\$\$|https?://|:red\[|:material/delete|\*\*bold|`code`", re.IGNORECASE)
ESCAPED = re.compile(r"\\[\W_]")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
REACHED = {"target": "1000"}  # what every fleet costs less than: no search, and every name is there
OUR_EXAMPLES = "http://host:8000/metrics"


@pytest.mark.parametrize("page", PAGES)
def test_no_name_is_markup(see_page: Open, page: str) -> None:
    for text in texts(see_page(page, "hostile", REACHED if page == "plan" else None)):
        acting = ESCAPED.sub("", text).replace(OUR_EXAMPLES, "")
        assert not ACTIVE.search(acting), text
        assert not CONTROL.search(acting), ascii(text)


@pytest.mark.parametrize("page", PAGES)
def test_tables_have_no_control_or_direction_characters(see_page: Open, page: str) -> None:
    for table in see_page(page, "hostile", REACHED if page == "plan" else None).dataframe:
        for cell in table.value.to_numpy().ravel():
            assert not isinstance(cell, str) or not CONTROL.search(cell), ascii(cell)


def test_names_are_shown_as_they_are_written(see_page: Open) -> None:
    overview = see_page("overview", "hostile")
    products = list(overview.dataframe[0].value["Product"])
    for name in HOSTILE[:8]:
        assert name in products
    assert HOSTILE[0] in page_text(overview)


def test_charts_escape_the_tags_that_plotly_would_draw(see_page: Open) -> None:
    names = [bar["name"] for bar in chart(see_page("overview", "hostile"), "daily-spend-bars")["data"]]
    assert "&lt;img src=x onerror=alert(1)&gt;" in names
    assert not any("<" in name for name in names)


def test_data_health_shows_the_file_and_the_servers_literally(see_page: Open) -> None:
    sources, imports = see_page("data_health", "hostile").dataframe
    assert f"vllm/{HOSTILE[2]}" in list(sources.value["Source"])
    assert imports.value["File"].str.startswith("![x](https:evil.example) <b>bold<b> \ufffdfdp.csv").all()
    assert HOSTILE[0] in list(imports.value["Provider"])
