"""The Plan page: the steps are the library's, and each says what it takes, how it is known, and how to go back."""

import re
from urllib.parse import parse_qs

import pytest

from costlib.levers import LEVERS
from tests.pages.conftest import Open
from tests.pages.reading import badges, card, chart, page_text, usd
from ui.theme import palette

COPILOT = {"deployment": "support-copilot · llama-3.3-70b"}


@pytest.fixture
def planned(open_page: Open):
    return open_page("plan", "sample", {**COPILOT, "target": "0.4"})


def steps(at) -> list[str]:
    return re.findall(r"\*\*(\d+ · .*?)\*\*", "\n".join(element.value for element in at.markdown))


def test_a_target_is_reached_by_steps_that_hang_from_today_to_the_plan(planned) -> None:
    bars = chart(planned, "plan-cascade")["data"][0]
    assert (bars["y"][0], bars["y"][-1]) == ("Today", "Planned")
    assert bars["x"][-1] <= 0.4
    assert bars["marker"]["color"][0] == palette().idle
    assert bars["marker"]["color"][-1] == palette().accent, "what would be, as on What-if"
    assert bars["base"][-2] == pytest.approx(bars["x"][-1]), "the last step ends where the plan stands"
    assert usd(card(planned, "Cost per 1M tokens")) == pytest.approx(bars["x"][-1], abs=0.0006)
    assert len(steps(planned)) == len(bars["y"]) - 2
    assert "reach $0.400 per 1M: from $" in page_text(planned).replace("*", "")


def test_each_step_says_evidence_effort_risk_and_way_back(planned) -> None:
    count = len(steps(planned))
    said = page_text(planned)
    assert said.count("Risk: ") == said.count("Way back: ") == count
    evidence = [word for word in badges(planned) if word in ("Answers unchanged", "Evaluated", "Unproven")]
    assert len(evidence) == count
    assert "a month · $" in said.replace("*", "")


def test_the_commands_can_be_copied_for_a_shell_and_for_kubernetes(planned) -> None:
    codes = [block.value for block in planned.code]
    assert any(code.startswith("vllm serve ") for code in codes)
    assert any(code.startswith("containers:") for code in codes)


def test_the_way_to_what_if_has_the_plans_levers(planned) -> None:
    (link,) = [one.proto for one in planned.get("page_link") if "What-if" in one.proto.label]
    pulled = {name.partition(".")[0] for name in parse_qs(link.query_string)} & {lever.key for lever in LEVERS}
    assert len(pulled) == len(steps(planned))


def test_answers_may_be_asked_to_stay_as_they_are(open_page: Open) -> None:
    at = open_page("plan", "sample", {**COPILOT, "target": "0.1", "proven": "true"})
    assert "Unproven" not in badges(at)
    assert card(at, "Unproven") == "$0.00"


def test_a_lever_can_be_left_out(open_page: Open) -> None:
    at = open_page("plan", "sample", {**COPILOT, "target": "0.4", "without": "GPU"})
    assert not any(step.endswith("· GPU") for step in steps(at))
    assert "left out as asked" in page_text(at)


def test_a_target_out_of_reach_says_so_with_the_floor(open_page: Open) -> None:
    said = page_text(open_page("plan", "sample", {**COPILOT, "target": "0.001"})).replace("*", "")
    assert "$0.001 per 1M is unreachable by serving: the levers end at $0." in said
    assert "the floor of these models" in said


def test_a_target_that_is_met_needs_nothing(open_page: Open) -> None:
    at = open_page("plan", "sample", {**COPILOT, "target": "9"})
    assert "is met already" in page_text(at)
    assert not at.get("plotly_chart")


def test_options_are_checked_against_the_chosen_release(open_page: Open) -> None:
    at = open_page("plan", "sample", {**COPILOT, "target": "0.4", "vllm": "0.33.0"})
    assert "vLLM 0.33.0" in page_text(at)
    assert "the defaults of 0.33.0 are not known here" in page_text(at).replace("The defaults", "the defaults")


def test_without_a_target_half_of_todays_cost_is_planned(open_page: Open) -> None:
    at = open_page("plan", "scenario only")
    assert not at.exception
    assert "per 1M" in page_text(at)


def test_a_model_that_does_not_fit_says_what_would(see_page: Open) -> None:
    at = see_page("plan", "does not fit")
    assert "Llama 3.1 405B in bf16 does not fit 1 x NVIDIA H100 SXM" in page_text(at)
    assert not at.get("plotly_chart")


def test_measurements_without_a_described_deployment_ask_for_one(see_page: Open) -> None:
    assert "Describe your deployments in" in page_text(see_page("plan", "real"))
