"""Scenario files are parsed strictly: every refusal names the place, the mistake and what is allowed."""

from copy import deepcopy
from datetime import date

import pytest

from costlib.compare import compare
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.scenario import ApiTokens
from costlib.scenario_file import check_expectations, scenario_file_from
from tests.costlib.scenario_builders import AS_OF, SHIPPED

DOC = {
    "label": "Two deployments",
    "deployments": [
        {
            "key": "chat",
            "model": "llama-3.1-8b",
            "gpu": "h100-sxm",
            "metrics_url": "http://node-1:8000/metrics",
            "max_tpot_s": 0.05,
            "workload": {"requests_per_s": 2, "mean_prompt_tokens": 500, "mean_output_tokens": 100},
            "serving": {"weight_precision": "fp8"},
            "purchase": {"usd_per_gpu_hour": 3.5},
        },
        {
            "key": "large",
            "model": "llama-3.3-70b",
            "product": "search",
            "workload": {"requests_per_s": 1, "mean_prompt_tokens": 500, "mean_output_tokens": 100},
            "api": {"usd_per_mtok_input": 0.8, "usd_per_mtok_output": 0.9},
        },
    ],
    "levers": {"weight_precision": {"weights": "int4"}},
}


def parse(doc):
    return scenario_file_from(doc, SHIPPED, "mine.toml", AS_OF)


def changed(**chat):
    """DOC with these keys of its first deployment set, or removed when None."""
    doc = deepcopy(DOC)
    row = doc["deployments"][0]
    row.update(chat)
    doc["deployments"][0] = {key: value for key, value in row.items() if value is not None}
    return doc


def test_a_file_becomes_a_scenario_levers_and_targets():
    file = parse(DOC)
    chat, large = file.today.deployments
    assert (file.today.label, file.today.as_of) == ("Two deployments", AS_OF)
    assert (chat.supply.gpu_key, chat.supply.serving.weight_precision, chat.max_tpot_s) == ("h100-sxm", "fp8", 0.05)
    assert (large.supply, large.product) == (ApiTokens(usd_per_mtok_input=0.8, usd_per_mtok_output=0.9), "search")
    assert file.levers == (("weight_precision", {"weights": "int4"}),)
    assert file.metrics_urls == (("chat", "http://node-1:8000/metrics"),)


def test_a_files_own_date_wins():
    assert parse({**DOC, "as_of": date(2026, 6, 1)}).today.as_of == date(2026, 6, 1)


def test_a_files_own_model_gpu_and_price_are_in_front():
    h100 = {
        "name": "Our H100", "vendor": "us", "architecture": "Hopper", "hbm_bytes": 80e9, "hbm_bytes_per_s": 3e12,
        "dense_flop_per_s": {"bf16": 900e12}, "link_bytes_per_s": 0.0, "host_link_bytes_per_s": 64e9, "board_w": 700.0,
    }  # fmt: skip
    price = {
        "key": "ours", "gpu_key": "h100-sxm", "region": "any", "kind": "on_demand", "usd_per_gpu_hour": 1.25,
        "valid_from": date(2026, 1, 1),
    }  # fmt: skip
    doc = {**changed(purchase={"shares": {"ours": 1.0}}), "gpus": {"h100-sxm": h100}}
    file = parse({**doc, "prices": {"us": {"gpu_hour": [price]}}})
    assert file.catalog.gpu("h100-sxm").name == "Our H100"
    assert file.catalog.gpu("a100-sxm-80gb") == SHIPPED.gpu("a100-sxm-80gb")
    assert compare(file.today, {}, file.catalog).today.step("usd_per_gpu_hour").value == 1.25


@pytest.mark.parametrize(
    ("doc", "kind", "message"),
    [
        pytest.param(
            {**DOC, "lever": {}}, UnknownKey, r"unknown key 'lever' in mine.toml. Did you mean 'levers'", id="top level"
        ),
        pytest.param(
            changed(modle="x"),
            UnknownKey,
            r"unknown key 'modle' in mine.toml deployment chat. Did you mean 'model'",
            id="deployment",
        ),
        pytest.param(
            changed(workload={"request_per_s": 1}),
            UnknownKey,
            r"'request_per_s' in mine.toml deployment chat workload. Did you mean 'requests_per_s'",
            id="workload key",
        ),
        pytest.param(
            changed(serving={"max_num_seq": 1}),
            UnknownKey,
            r"deployment chat serving. Did you mean 'max_num_seqs'",
            id="serving key",
        ),
        pytest.param(
            changed(serving={"weight_precision": "fp16"}),
            UnknownKey,
            r"unknown Precision 'fp16' in mine.toml deployment chat serving weight_precision.* Known: bf16, fp4",
            id="enum",
        ),
        pytest.param(
            changed(gpu="h100"), UnknownKey, r"unknown GPU 'h100'. Did you mean 'h100-\w+'", id="unknown GPU"
        ),
        pytest.param(
            changed(model="llama-3-8b"), UnknownKey, r"unknown model .* Did you mean 'llama-3.1-8b'", id="unknown model"
        ),
        pytest.param(
            changed(workload=None), ConfigError, r"mine.toml deployment chat: workload missing", id="missing workload"
        ),
        pytest.param(
            changed(workload={"requests_per_s": 1}),
            ConfigError,
            r"deployment chat workload: mean_output_tokens, mean_prompt_tokens missing",
            id="missing workload keys",
        ),
        pytest.param(changed(gpu=None), ConfigError, r"chat: give either `gpu` .* or an", id="neither GPU nor API"),
        pytest.param(
            changed(api={"usd_per_mtok_input": 1.0, "usd_per_mtok_output": 1.0}),
            ConfigError,
            r"chat: give either `gpu`",
            id="both GPU and API",
        ),
        pytest.param(
            changed(purchase={"shares": {"runpod-a100-sxm-80gb-on-demand": 1.0}}),
            ConfigError,
            r"price 'runpod-a100-sxm-80gb-on-demand' is for a100-sxm-80gb, and the deployment runs on h100-sxm",
            id="price of another GPU",
        ),
        pytest.param(
            changed(purchase={"shares": {"nowhere": 1.0}}), ConfigError, r"unknown price 'nowhere'", id="no price"
        ),
        pytest.param(
            changed(purchase={"shares": {"runpod-h100-sxm-on-demand": "half"}}),
            ConfigError,
            r"chat share runpod-h100-sxm-on-demand: expected a finite number, not 'half'",
            id="text for a number",
        ),
        pytest.param(
            changed(max_tpot_s=float("nan")), ConfigError, r"max_tpot_s: expected a finite number, not nan", id="nan"
        ),
        pytest.param(
            changed(serving={"max_num_seqs": 2.5}), ConfigError, r"expected a whole number, not 2.5", id="half a count"
        ),
        pytest.param(
            changed(serving={"max_num_seqs": True}), ConfigError, r"expected a finite number, not True", id="a truth"
        ),
        pytest.param(changed(key=3), ConfigError, r"key: expected a str, not 3", id="a number for a text"),
        pytest.param({"label": "empty"}, ConfigError, r"mine.toml: needs at least one \[\[deployments\]\]", id="empty"),
        pytest.param({**DOC, "expect": [{"of": "x"}]}, ConfigError, r"\[\[expect\]\]: value missing", id="expect"),
        pytest.param({**DOC, "hours_per_month": 800}, ConfigError, "mine.toml: .*not 800", id="a month too long"),
    ],
)  # fmt: skip
def test_refusals_name_the_place_and_the_remedy(doc, kind, message):
    with pytest.raises(kind, match=message):
        parse(doc)


def with_expectation(**expectation):
    file = parse({**DOC, "expect": [expectation]})
    return check_expectations(file, compare(file.today, {}, file.catalog))


def test_an_expectation_is_met_within_its_tolerance_only():
    """0.8 x 500 + 0.9 x 100 dollars per million requests, one a second: $0.00049 x 3,600 an hour."""
    wanted = {"of": "usd_per_hour", "scope": "large", "value": 1.764}
    assert with_expectation(**wanted)[0].is_met
    assert with_expectation(**{**wanted, "value": 1.764 * 1.004})[0].is_met
    (missed,) = with_expectation(**{**wanted, "value": 1.764 * 1.006})
    assert not missed.is_met
    assert missed.found == pytest.approx(1.764)
    assert with_expectation(**{**wanted, "value": 1.764 * 1.006, "tolerance_fraction": 0.01})[0].is_met


def test_an_expectation_of_what_nothing_computes_is_an_error():
    with pytest.raises(DomainError, match=r"no step 'usd_per_year'; this projection has:"):
        with_expectation(of="usd_per_year", value=1.0)


def test_a_price_of_another_model_is_refused():
    doc = deepcopy(DOC)
    doc["deployments"][1]["api"] = {"price": "together-llama-3.1-8b"}
    with pytest.raises(ConfigError, match=r"is for llama-3.1-8b"):
        parse(doc)


@pytest.mark.parametrize(
    "doc",
    [
        pytest.param({**DOC, "deployments": "chat"}, id="deployments is a text"),
        pytest.param({**DOC, "levers": 3}, id="levers is a number"),
        pytest.param({**DOC, "prices": {"us": 3}}, id="a price list is a number"),
        pytest.param(changed(purchase={"shares": 3}), id="shares is a number"),
    ],
)
def test_a_table_of_the_wrong_kind_is_refused(doc):
    with pytest.raises(ConfigError):
        parse(doc)


def test_a_file_may_say_that_a_deployment_drafts_today():
    drafting = parse(changed(serving={"speculation": {"draft_tokens": 3, "acceptance_fraction": 0.6}}))
    (chat,) = drafting.today.hosted
    assert chat.serving.speculation.step_tokens == pytest.approx(2.176)


def test_a_misspelt_draft_setting_is_refused():
    with pytest.raises(ConfigError, match=r"draft_token.*Did you mean 'draft_tokens'"):
        parse(changed(serving={"speculation": {"draft_token": 3}}))
