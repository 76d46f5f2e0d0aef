"""The Capacity page: what each hour needs, how to buy it, what a policy does to it, and which GPUs fit."""

from pathlib import Path
from urllib.parse import parse_qs

import pytest

from costlib.autoscale_policy import StaticPolicy
from costlib.autoscale_run import ReplaySettings
from tests.costlib.capacity_builders import load, unit
from tests.pages.conftest import Open
from tests.pages.homes import TOO_LARGE
from tests.pages.reading import badges, card, chart, page_text, table, texts, usd
from tests.pages.test_hostile_names import ACTIVE, CONTROL, ESCAPED
from ui import capacity_job
from ui.capacity_charts import Bill, Slice, cut_gpus, durations, hours, levels, week
from ui.capacity_job import Asked
from ui.jobs import Job
from ui.theme import LIGHT

DEMAND, BUYING, SCALING, FIT = ({"section": name} for name in ("Demand", "Buying", "Scaling", "Fit"))


def door(at, label: str) -> dict[str, list[str]]:
    """The levers that a way to What-if pulls."""
    (link,) = [one.proto for one in at.get("page_link") if label in one.proto.label]
    return parse_qs(link.query_string)


# Demand.


def test_the_busiest_hour_of_the_title_is_the_peak_of_the_chart(see_page: Open) -> None:
    at = see_page("capacity", "sample")
    _, low, need = (series["y"] for series in chart(at, "hours")["data"])
    peak = int(card(at, "GPUs, busiest hour"))
    assert max(value for value in need if value is not None) == peak
    assert f"{peak} NVIDIA H100 SXM in the busiest hour" in page_text(at).replace("*", "")
    assert all(a is None or a <= b for a, b in zip(low, need, strict=True)), "the model's range is around it"


def test_levels_that_are_needed_longer_are_lower(see_page: Open) -> None:
    line = chart(see_page("capacity", "sample"), "durations")["data"][0]
    assert line["x"] == sorted(line["x"])
    assert line["y"] == sorted(line["y"], reverse=True)


def test_one_deployment_of_a_pool_can_be_looked_at(open_page: Open) -> None:
    whole = int(card(open_page("capacity", "sample", DEMAND), "GPUs, busiest hour"))
    one = open_page("capacity", "sample", {**DEMAND, "member": "search-answers"})
    assert 0 < int(card(one, "GPUs, busiest hour")) < whole
    assert not len(one.dataframe), "the table of deployments is of a pool"


def test_without_history_hours_are_assumed_and_said_to_be(see_page: Open) -> None:
    at = see_page("capacity", "scenario only")
    assert not at.exception
    assert "No history: hours assumed from the scenario's mean and peak" in page_text(at)
    assert "every day is taken to be alike" in page_text(at)
    assert card(at, "Hours measured") == "0"
    assert card(at, "Growth") == "–", "a week of assumed days tells nothing"


def test_some_seconds_of_history_are_no_hour(see_page: Open) -> None:
    at = see_page("capacity", "own scenario")
    assert not at.exception
    assert "hours assumed" in page_text(at).lower()


def test_a_model_that_does_not_fit_says_what_would(see_page: Open) -> None:
    at = see_page("capacity", "does not fit")
    assert "llama-3.1-405b" in TOO_LARGE
    assert "Llama 3.1 405B in bf16 does not fit 1 x NVIDIA H100 SXM" in page_text(at)
    assert not at.get("plotly_chart")


def test_measurements_without_a_described_deployment_ask_for_one(see_page: Open) -> None:
    assert "Describe your deployments in" in page_text(see_page("capacity", "real"))


# Traffic of a file.


def hours_of(*deployments: str, days: int = 7) -> str:
    rows = [f"2026-11-{9 + n // 24:02}T{n % 24:02}:00,{5 + 40 * (n % 24 == 9)}" for n in range(24 * days)]
    if not deployments:
        return "\n".join(["hour,requests_per_s", *rows])
    return "\n".join(["hour,requests_per_s,deployment", *(f"{row},{key}" for key in deployments for row in rows)])


def give(at, content: str, name: str = "plan.csv"):
    at.file_uploader[0].set_value((name, content.encode(), "text/csv")).run()
    assert not at.exception
    return at


def test_a_file_is_traffic_where_there_is_no_history_and_says_so_on_every_section(open_page: Open) -> None:
    at = give(open_page("capacity", "scenario only"), hours_of())
    said = page_text(at).replace("\\", "")
    assert "Hours from plan.csv, assumed, " in said
    assert "no history" not in said.lower()
    assert "Monday 9 Nov 09:00 UTC" in said, "the busiest hour is the file's"
    assert any("Traffic from plan" in badge for badge in badges(at))
    for section in ("Buying", "Scaling"):
        at.segmented_control(key="section").set_value(section).run()
        assert "Hours from plan.csv, assumed, " in page_text(at).replace("\\", "")


def test_a_file_by_choice_takes_the_place_of_history_and_is_left_again(open_page: Open) -> None:
    at = open_page("capacity", "sample")
    before = card(at, "GPUs, busiest hour")
    at = give(at, hours_of("support-copilot", "doc-extraction", "search-answers"))
    assert card(at, "GPUs, busiest hour") != before
    assert set(table(at, "Deployment")["Hours"]) == {"from plan.csv, assumed"}
    at.button(key="traffic-leave").click().run()
    assert card(at, "GPUs, busiest hour") == before


def test_a_file_of_one_deployment_leaves_the_others_their_history(open_page: Open) -> None:
    at = give(open_page("capacity", "sample"), hours_of("doc-extraction"))
    hours = table(at, "Deployment").set_index("Deployment")["Hours"]
    assert hours["doc-extraction"] == "from plan.csv, assumed"
    assert hours["search-answers"] == "measured"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hour,requests_per_s\nyesterday,5", "plan.csv, line 2: 'yesterday' is no time; write 2026-11-21T14:00"),
        ("hour,rate\n", "plan.csv, line 1: the header lacks requests_per_s; it is hour,requests_per_s"),
        (hours_of(), "whose traffic is it? Add a column deployment"),
        (hours_of("chatt"), "unknown deployment 'chatt' in plan.csv"),
        ("\xff\x00", "header lacks"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_line_and_the_remedy(open_page: Open, content: str, said: str) -> None:
    at = give(open_page("capacity", "sample"), content)
    assert said in "".join(one.value for one in at.error).replace("\\", "")
    assert "Hours measured" in page_text(at), "history stays"


def test_a_file_that_leaves_nothing_to_draw_can_be_left(open_page: Open) -> None:
    at = give(open_page("capacity", "scenario only"), "hour,requests_per_s\n2026-11-16T00:00,1e9")
    assert "cannot be bought" in page_text(at)
    at.button(key="traffic-leave").click().run()
    assert at.get("plotly_chart")


def test_a_file_of_another_decade_is_not_used_beside_history(open_page: Open) -> None:
    at = give(open_page("capacity", "sample"), "hour,requests_per_s,deployment\n2001-01-01T00:00,5,doc-extraction")
    assert "plan.csv is not used: hours of these deployments lie from 2001-01-01" in page_text(at).replace("\\", "")
    assert "Hours measured" in page_text(at)


# Buying.


def test_the_optimum_is_the_lowest_point_of_the_curve(open_page: Open) -> None:
    at = open_page("capacity", "sample", BUYING)
    *_, bill, _, _, _, best = chart(at, "levels")["data"]
    assert best["name"] == "Optimum"
    assert best["y"][0] == pytest.approx(min(bill["y"]), abs=1e-3)
    assert card(at, "Commit to") == f"{best['x'][0]} GPUs"
    mixes = table(at, "Level").set_index("Level")
    assert mixes["USD per month"].min() == mixes.loc["Optimum", "USD per month"]
    assert usd(card(at, "Spend per month")) == pytest.approx(mixes.loc["Optimum", "USD per month"], abs=1)


def test_rules_of_thumb_stand_beside_the_optimum(open_page: Open) -> None:
    at = open_page("capacity", "sample", BUYING)
    assert {"70/30 rule", "P50 rule", "The peak", "Optimum"} <= {one["name"] for one in chart(at, "levels")["data"]}
    assert [card(at, name) != "–" for name in ("Coverage", "Utilisation", "Regret at ±30%")] == [True] * 3


def test_an_offer_of_ones_own_is_in_the_address(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**BUYING, "reserved1": "3.99"})
    assert "No commitment pays at $3.99 a GPU-hour" in page_text(at).replace("*", "")
    assert "it pays at no level" in page_text(at)


def test_spot_above_on_demand_is_not_used_and_said(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**BUYING, "spot": "30", "spotprice": "9"})
    assert "Spot is not used" in page_text(at)


def test_demand_above_what_can_be_had_is_a_warning(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**BUYING, "most": "1"})
    assert "Demand is above all that can be had in" in "".join(one.value for one in at.warning)


def test_the_mix_can_be_tried_in_what_if(open_page: Open) -> None:
    pulled = door(open_page("capacity", "sample", BUYING), "Try this mix")
    assert pulled["purchase_mix.enabled"] == ["true"]
    assert 0 < int(pulled["purchase_mix.reserved_fraction"][0]) <= 100


# Scaling.


@pytest.fixture
def replayed(open_page: Open):
    at = open_page("capacity", "sample", {**SCALING, "policy": "Schedule"})
    assert not at.get("plotly_chart"), "nothing is replayed before it is asked for"
    return at.button(key="replay").click().run()


def test_a_replay_stands_beside_static_and_foresight(replayed) -> None:
    assert not replayed.exception
    policies = table(replayed, "Policy").set_index("Policy")
    assert list(policies.index) == ["Static", "Schedule of the week", "Clairvoyant"]
    assert policies.loc["Static", "Saved"] == 0
    assert usd(card(replayed, "Spend per month")) == pytest.approx(
        policies.loc["Schedule of the week", "USD per month"], abs=1
    )
    assert {"Misses", "Cold starts", "Flaps"} <= {one.label for one in replayed.metric}
    assert len(chart(replayed, "replay-hours")["data"]) == 3


def test_a_replay_is_kept_until_its_policy_is_changed(replayed) -> None:
    again = replayed.run()
    assert again.get("plotly_chart")
    changed = again.number_input(key="spare").set_value(1).run()
    assert not changed.get("plotly_chart")
    assert "Changed since the last replay" in page_text(changed)


def test_a_replay_leads_to_the_lever(replayed) -> None:
    assert door(replayed, "Try autoscaling")["autoscaling.enabled"] == ["true"]


def test_a_policy_that_flaps_for_ever_is_called_so(open_page: Open) -> None:
    at = open_page(
        "capacity", "sample", {**SCALING, "policy": "The lesson's", "deployment": "doc-extraction · llama-3.3-70b"}
    )
    at = at.button(key="replay").click().run()
    assert "it flaps for ever" in "".join(one.value for one in at.warning)


def test_what_is_in_force_on_the_sample_is_offered_and_replayed(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**SCALING, "policy": "In force"})
    assert "2 to 12 replicas, each with running requests 44" in page_text(at)
    at = at.button(key="replay").click().run()
    assert "In force" in list(table(at, "Policy")["Policy"])


def test_a_policy_of_the_home_is_offered_and_a_broken_file_says_where(
    open_page: Open, all_homes, tmp_path: Path
) -> None:
    good = '[[policy]]\nkind = "static"\nlabel = "always five"\nreplicas_count = 5\n'
    ours = all_homes.changed("scenario only", tmp_path / "policies", "policies.toml", good)
    at = open_page("capacity", ours, {**SCALING, "policy": "In force"})
    assert "always as many replicas" in page_text(at)
    broken = all_homes.changed("scenario only", tmp_path / "bad-policies", "policies.toml", good.replace("5", '"5"'))
    at = open_page("capacity", broken, SCALING)
    assert "policies.toml, policy 1: replicas_count is a whole number" in page_text(at).replace("\\", "")
    assert at.button(key="replay"), "the others are still offered"


def test_bounds_that_cannot_be_say_so(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**SCALING, "least": "9", "most-replicas": "3"})
    assert "the smaller first" in page_text(at)
    assert not at.exception


def test_the_policy_can_be_copied_as_yaml(open_page: Open) -> None:
    at = open_page("capacity", "sample", SCALING)
    at.session_state["policy-yaml"] = True
    at = at.run()
    assert any("kind: " in code.value and "HorizontalPodAutoscaler" in code.value for code in at.code)


# Fit.


def test_layouts_are_ranked_by_the_cost_of_a_token_with_todays_marked(open_page: Open) -> None:
    at = open_page("capacity", "sample", FIT)
    layouts = table(at, "Layout")
    ranked = layouts[layouts["State"] != "today"]["USD per 1M"]
    assert list(ranked) == sorted(ranked)
    assert (layouts["State"] == "today").sum() == 1
    assert "The cheapest hour" in page_text(at)


def test_todays_weights_only_leaves_other_formats_out(open_page: Open) -> None:
    layouts = table(open_page("capacity", "sample", {**FIT, "same": "true"}), "Layout")
    assert not (layouts["State"] == "evaluate").any()


def test_layouts_that_cannot_run_have_their_reason(open_page: Open) -> None:
    at = open_page("capacity", "sample", FIT)
    at.session_state["unable"] = True
    reasons = table(at.run(), "Why")["Why"]
    assert reasons.str.contains("GiB short on each GPU").any()
    assert (reasons.str.len() > 0).all()


def test_slices_and_what_none_can_use_sum_to_the_gpu(open_page: Open) -> None:
    at = open_page("capacity", "sample", {**FIT, "example": "true"})
    slices = table(at, "Instance")
    parts, whole = slices[slices["Instance"] != "The GPU"], slices[slices["Instance"] == "The GPU"]
    for column in ("USD per hour", "USD per month", "Compute", "Memory"):
        assert parts[column].sum() == pytest.approx(whole[column].sum()), column
    assert "no instance can use" in list(parts["Instance"])


def test_slices_are_drawn_to_scale(open_page: Open) -> None:
    bars = chart(open_page("capacity", "sample", {**FIT, "example": "true"}), "mig")["data"][0]
    for row in set(bars["y"]):
        widths = [width for name, width in zip(bars["y"], bars["x"], strict=True) if name == row]
        assert sum(widths) == pytest.approx(1)


def test_ways_that_cannot_be_done_say_why(open_page: Open) -> None:
    ways = table(open_page("capacity", "sample", {**FIT, "example": "true"}), "Way").set_index("Way")
    assert "cannot: adapters share one base" in ways.loc["Adapters of one base", "What it asks for"]
    assert ways.loc["MIG instances", "GPUs"] == 1
    assert ways.loc["Whole GPUs", "GPUs"] == 5


def test_what_is_too_large_to_share_stays_apart_with_its_reason(open_page: Open) -> None:
    at = open_page("capacity", "sample", FIT)
    said = page_text(at)
    assert "there is nothing to share" in said
    assert "support-copilot: Llama 3.3 70B in bf16 does not fit" in said


@pytest.mark.parametrize("section", [DEMAND, BUYING, SCALING, FIT], ids=lambda one: one["section"])
def test_every_section_says_what_it_rests_on_and_whose_data_it_is(open_page: Open, section: dict) -> None:
    at = open_page("capacity", "sample", section)
    assert not at.exception
    assert "Sample data" in badges(at)
    assert "Prices in force on" in page_text(at)


@pytest.mark.parametrize("section", [BUYING, SCALING, FIT], ids=lambda one: one["section"])
def test_names_from_outside_stay_text_in_every_section(open_page: Open, section: dict) -> None:
    at = open_page("capacity", "hostile", section)
    assert not at.exception
    for text in texts(at):
        assert not ACTIVE.search(ESCAPED.sub("", text)), text
        assert not CONTROL.search(text), ascii(text)
    cells = [cell for frame in at.dataframe for cell in frame.value.to_numpy().ravel()]
    assert not [cell for cell in cells if isinstance(cell, str) and CONTROL.search(cell)]


# The replay goes on beside the page.


@pytest.fixture
def job() -> Job:
    policy = StaticPolicy(label="static", replicas_count=1)
    return capacity_job.job_of(
        Asked(
            load=load([9.0] * 336), unit=unit(), policy=policy, settings=ReplaySettings(), hours_per_month=730.0,
            key="a",
        )
    )  # fmt: skip


def test_a_replay_that_is_stopped_leaves_nothing(job: Job) -> None:
    job.stop.set()
    job.run()
    assert job.was_stopped and job.done.is_set()
    assert job.found is None and not job.problem


def test_a_replay_says_how_far_it_is(job: Job) -> None:
    job.run()
    assert job.found is not None
    assert 0.9 < job.fraction <= 1
    assert job.said.startswith("Replaying, ")


def test_a_fault_of_ours_in_a_replay_is_said(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(capacity_job, "replay", fails)
    at = open_page("capacity", "sample", {**SCALING, "policy": "Schedule"}).button(key="replay").click().run()
    assert "The replay failed (KeyError)" in page_text(at).replace("\\", "")
    assert not at.get("plotly_chart")
    assert at.button(key="replay"), "it can be tried again"


# Figures by themselves.


def test_an_hour_without_a_value_is_a_gap() -> None:
    figure = hours(["2026-11-16T00:00", "2026-11-16T01:00"], [1, None], [1, None], [2, None], 3, LIGHT)
    assert all(series["connectgaps"] is False for series in figure["data"])
    assert figure["layout"]["annotations"][0]["text"] == "3 owned"


def test_what_is_owned_lies_left_of_none() -> None:
    bill = Bill(name="a", usd_per_hour=[4.0, 3.0], best=(1, 3.0), rules=[("P50 rule", 1, 3.0)])
    (shape,) = levels(bill, {}, 8, LIGHT)["layout"]["shapes"]
    assert (shape["x0"], shape["x1"]) == (-8, 0)


def test_figures_of_nothing_are_empty_and_no_error() -> None:
    assert durations([], 0, LIGHT)["data"][0]["x"] == []
    assert week([None] * 168, LIGHT)["data"][0]["z"][6] == [None] * 24


def test_names_on_slices_are_escaped() -> None:
    one = Slice(row="GPU 1 memory", begin=0, width=1, tenant="<b>x</b>", words="<b>x</b>")
    (bars,) = cut_gpus([one], LIGHT)["data"]
    assert "<b>" not in bars["text"][0] + bars["customdata"][0]
