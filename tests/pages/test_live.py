"""The Live page: the fleet now, each model by itself, and what is not known said as that."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import fleet_home
from tests.pages.conftest import Open
from tests.pages.reading import badges, card, chart, page_text, texts

LARGE, SMALL, LAB = fleet_home.LARGE, fleet_home.SMALL, "mistralai/Mistral-Small"


@pytest.fixture
def at(open_page: Open, read_once: dict[str, AppTest]) -> AppTest:
    """The page over the fleet, opened once for all tests that only read it."""
    if "fleet" not in read_once:
        read_once["fleet"] = open_page("live", "fleet")
    return read_once["fleet"]


@pytest.fixture(scope="module")
def read_once() -> dict[str, AppTest]:
    return {}


def cards(at: AppTest, name: str) -> list[str]:
    """The figures on the cards of this name, one per section, in the page's order."""
    return [metric.value for metric in at.metric if metric.label == name]


def links(at: AppTest) -> list[tuple[str, str]]:
    return [(link.proto.page, link.proto.query_string) for link in at.get("page_link")]


# States


def test_a_home_that_was_never_connected_says_how_to_connect(open_page: Open) -> None:
    (info,) = open_page("live", "empty").info
    assert "permillion up --metrics-url http://host:8000/metrics" in info.value
    assert "permillion up --demo" in info.value


def test_a_fleet_that_is_read_is_live_and_says_when(at: AppTest) -> None:
    assert "Live" in badges(at)
    assert "3 models on 6 servers, read 1 s ago" in page_text(at)


def test_when_nobody_collects_it_says_since_when_and_keeps_the_last_figures(open_page: Open) -> None:
    at = open_page("live", "fleet stopped")
    said = page_text(at)
    assert "Nobody collects" in badges(at)
    assert "Live" not in badges(at)
    assert "Nobody has collected since 08:30:00 UTC on 21 Nov 2026 (1 h ago)" in said
    assert "Start `permillion collect`" in said
    assert cards(at, "Tokens per second") == cards(open_page("live", "fleet"), "Tokens per second"), "never blank"


def test_a_tail_that_cannot_be_read_is_an_error_with_a_remedy(open_page: Open) -> None:
    at = open_page("live", "tail lost")
    (error,) = at.error
    assert "The last minutes cannot be read" in page_text(at)
    assert "tail\\-lost" in error.value
    assert not at.metric


def test_servers_that_fail_are_named_with_their_error_and_the_others_go_on(at: AppTest) -> None:
    (warning,) = at.warning
    said = page_text(at)
    assert "2 of 6 servers tell nothing now" in warning.value
    assert "chat-3, last good never: 10.0.0.9:8000 refused the connection" in said.replace("**", "")
    assert "quiet, last good 2 s ago: it answers without engine metrics" in said.replace("**", "")
    assert "--disable-log-stats" in said
    assert len(cards(at, "Tokens per second")) == 3


def test_an_exporter_of_gpus_is_no_server_without_engines(at: AppTest) -> None:
    assert "gpu-node-1" not in page_text(at)


# Sections


def test_each_model_has_a_section_of_its_own_in_a_place_that_it_keeps(at: AppTest) -> None:
    heads = [head.value.replace("\\", "") for head in at.subheader]
    assert heads == [LARGE, SMALL, LAB, "Replicas"]
    assert cards(at, "Tokens per second") == ["4.3k", "7.22k", "671"]


def test_cost_is_what_the_engines_gpus_cost_over_what_they_do_now(at: AppTest) -> None:
    """chat: two engines that answer, on four GPUs each, at $2.50; a million tokens take 10^6 / rate seconds of them."""
    rows = at.dataframe[0].value.set_index("Replica")
    rate = rows.loc["chat-1", "Tokens/s"] + rows.loc["chat-2", "Tokens/s"]
    assert cards(at, "Cost per hour now")[:2] == ["$20.00", "$2.50"]
    assert cards(at, "Cost per 1M tokens now")[0] == f"${2 * 4 * 2.5 / 3600 * 1e6 / rate:.3f}"


def test_without_a_deployment_of_that_key_cost_is_unknown_and_the_line_to_write_is_shown(at: AppTest) -> None:
    assert cards(at, "Cost per hour now")[2] == cards(at, "Cost per 1M tokens now")[2] == "–"
    said = page_text(at)
    assert "scenario.toml has no deployment with key = 'lab'" in said
    assert 'write: key = "lab"' in said


def test_prices_of_the_sample_are_not_put_on_a_real_fleet(open_page: Open) -> None:
    at = open_page("live", "real")
    assert cards(at, "Cost per hour now") == ["–"]
    assert 'key = "chat"' in page_text(at)


def test_running_requests_stand_beside_littles_law(at: AppTest) -> None:
    (large,) = [m for m in at.metric if m.label == "Requests running"][:1]
    assert large.value == "22.8"
    assert large.delta == "4 waiting"
    assert large.proto.delta_description == "22.6 by Little"


def test_what_is_not_exported_is_not_zero(at: AppTest) -> None:
    large, small, lab = [metric for metric in at.metric if metric.label == "MFU"]
    assert small.value == "12%"
    assert (large.value, large.delta) == (lab.value, lab.delta) == ("–", "not exported")
    assert "estimated" in large.help


def test_what_nothing_happened_for_is_undefined(at: AppTest) -> None:
    rows = at.dataframe[0].value.set_index("Replica")
    assert rows.loc["chat-2", "Tokens/s"] == 0
    assert rows["TTFT p95, ms"].isna()["chat-2"], "no request, so no time to a first token"


# Targets


def test_targets_come_from_the_address_and_draw_their_lines(open_page: Open) -> None:
    at = open_page("live", "fleet", {"ttft_ms": "900", "tpot_ms": "30"})
    shapes = chart(at, "live-0-latency")["layout"]["shapes"]
    assert [shape["y0"] for shape in shapes] == [900, 30]
    assert "First token is over its target" in page_text(at)
    assert "over target" in page_text(at)


def test_without_a_target_the_scenario_states_the_slowest_token_and_nothing_the_first(at: AppTest) -> None:
    assert [shape["y0"] for shape in chart(at, "live-0-latency")["layout"]["shapes"]] == [50], "max_tpot_s of chat"
    assert "shapes" not in chart(at, "live-1-latency")["layout"], "code states none"
    assert "First token is over its target" not in page_text(at)


# Charts


def test_tokens_are_stacked_by_class_and_a_minute_nobody_measured_is_a_gap(at: AppTest) -> None:
    figure = chart(at, "live-0-tokens")
    assert [bar["name"] for bar in figure["data"]] == ["Computed input", "Cached input", "Output"]
    assert figure["layout"]["barmode"] == "stack"
    holes = [n for n, value in enumerate(figure["data"][0]["y"]) if value is None]
    assert holes == [16, 17, 18], "chat-1 was not scraped in the 14th to the 12th minute before the end"
    assert all(bar["y"][holes[0]] is None for bar in figure["data"]), "the idle replica's zero is not the deployment's"


@pytest.mark.parametrize("name", ["tokens", "latency", "load"])
def test_charts_are_thirty_minutes_and_few_points(at: AppTest, name: str) -> None:
    for section in range(3):
        figure = chart(at, f"live-{section}-{name}")
        assert all(len(trace["x"]) == 30 for trace in figure["data"])
        assert sum(len(trace["x"]) for trace in figure["data"]) <= 1500


def test_utilisation_stands_beside_mfu_and_says_why_they_differ(at: AppTest) -> None:
    bars, words = chart(at, "live-1-ways")["data"]
    shown = dict(zip(bars["y"], words["text"], strict=True))
    assert shown["GPU utilisation"].strip() == "91%"
    assert shown["MFU"].strip() == "12%"
    said = page_text(at)
    assert "91% utilised, 12% of its arithmetic used" in said
    assert "the share of time in which any kernel ran" in said


def test_acceptance_is_shown_place_by_place_where_there_is_speculation(at: AppTest) -> None:
    bars, _ = chart(at, "live-1-drafts")["data"]
    assert bars["y"] == ["Place 1", "Place 2", "Place 3"]
    assert not [c for c in at.get("plotly_chart") if c.proto.id.endswith("live-0-drafts")]


# Findings


def test_findings_have_evidence_and_lead_to_the_lever_that_answers_them(at: AppTest) -> None:
    said = page_text(at)
    for title in (
        "GPU utilisation is high, and little is done", "Speculation costs more than it brings",
        "A queue stands although the KV cache has room", "1 of 3 replicas stand idle", "They cost $10.00 an hour",
        "Requests are preempted and computed again", "The KV cache is at its limit", "Prefix caching is off",
        "1 of 3 replicas are not measured",
    ):  # fmt: skip
        assert title in said, title
    queries = [query for _, query in links(at)]
    assert "v=2&batch_limits.max_num_seqs=512" in queries
    assert "v=2&prefix_caching.enabled=true" in queries
    assert "v=2&weight_precision.weights=FP8" in queries


@pytest.mark.parametrize(
    "query",
    [{"batch_limits.max_num_seqs": "512"}, {"prefix_caching.enabled": "true"}, {"weight_precision.weights": "FP8"}],
    ids=lambda query: next(iter(query)),
)
def test_the_what_if_page_knows_what_a_finding_links_to(open_page: Open, query: dict[str, str]) -> None:
    at = open_page("what_if", "fleet", query)
    assert not any("is ignored" in warning.value for warning in at.warning)
    assert "Nothing changes yet" not in page_text(at)


def test_what_the_detectors_were_not_told_is_said(at: AppTest) -> None:
    assert "Not looked at, because not exported: MFU and MBU, GPU utilisation." in page_text(at)


# Replicas


def test_every_replica_has_a_row_with_its_state_and_why(at: AppTest) -> None:
    rows = at.dataframe[0].value.set_index("Replica")
    assert list(rows.index) == ["chat-1", "chat-2", "code-1", "lab", "chat-3", "quiet"]
    assert dict(rows["State"]) == {
        "chat-1": "ok", "chat-2": "ok", "code-1": "ok", "lab": "ok", "chat-3": "gap", "quiet": "not exported",
    }  # fmt: skip
    assert "refused the connection" in rows.loc["chat-3", "Why"]
    assert rows.loc["quiet", "Why"] == "the server answers without engine metrics"
    assert rows.loc["chat-1", "vLLM"] == "0.17 to below 0.21"
    assert rows.loc["quiet", "vLLM"] == "not told"


def test_replicas_are_chosen_by_the_labels_that_exist_and_the_address_keeps_them(open_page: Open) -> None:
    at = open_page("live", "fleet", {"team": "platform"})
    assert {box.key: list(box.options) for box in at.multiselect}["gpu"] == ["A100", "H100", "(none)"]
    assert list(at.dataframe[0].value["Replica"]) == ["code-1"]
    at.multiselect(key="team").set_value([]).run()
    assert len(at.dataframe[0].value) == 6


def test_without_labels_there_is_nothing_to_choose_by(open_page: Open) -> None:
    assert not open_page("live", "real").multiselect


# The sample, and hostile names


def test_the_sample_fleet_is_replayed_and_priced(open_page: Open) -> None:
    at = open_page("live", "sample")
    assert "sample replay, 2 models on 3 servers" in page_text(at)
    assert len(cards(at, "Cost per hour now")) == 3
    assert "–" not in cards(at, "Cost per hour now")


def test_two_dollar_signs_never_meet_as_a_formula(at: AppTest) -> None:
    figures = {part for metric in at.metric for part in (metric.value, metric.delta)}
    for text in texts(at):
        if text not in figures:
            assert text.replace("\\$", "").count("$") < 2, text


def test_the_what_if_page_reads_the_same_tail(open_page: Open) -> None:
    assert card(open_page("what_if", "fleet"), "KV cache in use") != "–"
    assert "No live fleet" in page_text(open_page("what_if", "tail lost"))
