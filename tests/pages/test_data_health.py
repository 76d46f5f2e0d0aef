"""The Data health page: which sources deliver, what was imported, how old the prices are."""

from tests.pages.conftest import Open
from tests.pages.reading import card, page_text


def test_each_source_has_a_row_and_says_when_it_last_delivered(open_page: Open) -> None:
    rows = open_page("data_health", "sample").dataframe[0].value
    assert list(rows["Source"]) == [
        "billing/focus", "vllm/doc-extraction", "vllm/search-answers", "vllm/support-copilot",
    ]  # fmt: skip
    assert set(rows["State"]) == {"ok"}
    assert list(rows["Last success"][1:]) == ["1 s ago"] * 3
    assert list(rows["Expected every"]) == ["once", "5 s", "5 s", "5 s"]


def test_a_collector_that_stopped_shows_in_the_sources(open_page: Open) -> None:
    at = open_page("data_health", "stale")
    assert card(at, "Sources delivering") == "1 of 4"
    assert "ok" not in set(at.dataframe[0].value["State"][1:])


def test_runs_are_read_only_when_asked_for(open_page: Open) -> None:
    at = open_page("data_health", "sample")
    assert len(at.dataframe) == 2
    at.session_state["runs"] = True
    rows = at.run().dataframe[1].value
    assert {"vllm/doc-extraction", "billing/focus"} <= set(rows["Source"])
    assert (rows["Took, s"] >= 0).all()


def test_imports_show_the_exact_amounts(open_page: Open) -> None:
    rows = open_page("data_health", "real").dataframe[1].value
    assert dict(zip(rows["Period"], rows["Billed"], strict=True)) == {"2026-10": "12.34", "2026-11": "246.80"}
    assert set(rows["File"]) == {"bill.csv"}


def test_the_catalogue_says_when_its_prices_were_checked(open_page: Open) -> None:
    assert "Last checked between" in page_text(open_page("data_health", "real"))


def test_what_is_missing_is_said_where_it_would_be(open_page: Open) -> None:
    at = open_page("data_health", "unbilled")
    assert any("No bill has been imported" in info.value for info in at.info)
    assert card(at, "Billed to") == "–"


class TestOpenAFigure:
    """Down to the metric, the windows, their samples and gaps."""

    def opened(self, open_page: Open, **chosen):
        at = open_page("data_health", "fleet")
        at.session_state["trace"] = True
        for key, value in chosen.items():
            at.session_state[f"trace-{key}"] = value
        return at.run()

    def test_it_is_read_only_when_asked_for(self, open_page: Open) -> None:
        assert not open_page("data_health", "fleet").selectbox

    def test_the_metric_is_named_as_the_server_exposes_it(self, open_page: Open) -> None:
        assert "`vllm:generation_tokens_total`" in page_text(self.opened(open_page, of="generation_tokens"))
        assert 'finished_reason="stop"' in page_text(self.opened(open_page, of="requests_stop_count"))
        assert "per_pos" in page_text(self.opened(open_page, of="accepted_at_03_tokens"))

    def test_its_windows_add_up_to_the_figure_above_them(self, open_page: Open) -> None:
        at = self.opened(open_page, of="prompt_tokens")
        rows = next(table.value for table in at.dataframe if "Increase" in table.value)
        total = int(rows["Increase"].sum())
        assert total > 0
        assert any(f"**{total:,} in " in item.value for item in at.markdown)
        assert set(rows["State"]) <= {"ok", "partial", "gap", "reset"}

    def test_a_counter_that_is_not_there_is_not_exported_and_has_no_total(self, open_page: Open) -> None:
        at = self.opened(open_page, of="drafts_count")
        rows = next(table.value for table in at.dataframe if "Increase" in table.value)
        assert rows["Increase"].isna().all()
        assert "not_exported" in set(rows["State"])
