"""Cost APIs: their own totals, which money is whose, and answers that are not whole."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.billing import format_of, formats
from collectors.billing.base import BillingSource, Delivery
from collectors.billing.openai_costs import of_line_item
from costlib.billing import exact_sum
from costlib.errors import BadRecord
from tests.collectors.billing.samples import read, rows_of, written

API = Path(__file__).with_name("api")
DAY = 86_400
OCTOBER_1 = 1_790_812_800


def openai_page(*results: dict, start: int = OCTOBER_1, **changes) -> dict:
    bucket = {"object": "bucket", "start_time": start, "end_time": start + DAY, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None, **changes}


def openai_cost(value: object = 1.0, **changes) -> dict:
    amount = {"value": value, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": None, "project_id": None, **changes}


def anthropic_page(*results: dict, day: int = 1) -> dict:
    times = {"starting_at": f"2026-10-0{day}T00:00:00Z", "ending_at": f"2026-10-0{day + 1}T00:00:00Z"}
    return {"data": [{**times, "results": list(results)}], "has_more": False, "next_page": None}


def runpod_answer(*records: dict, **metadata) -> dict:
    return {"records": list(records), "metadata": metadata}


def runpod_record(total: float, **changes) -> dict:
    times = {"startTime": "2026-10-01T00:00:00Z", "endTime": "2026-10-02T00:00:00Z", "podId": "pod-1"}
    return {**times, "totalAmount": total, **changes}


def saved(tmp_path: Path, *documents: object) -> Path:
    return written(tmp_path, "answer.json", "\n".join(map(json.dumps, documents)))


def refusal(path: Path) -> str:
    source = BillingSource(path=path)
    with pytest.raises(BadRecord) as caught:
        list(format_of(source).parse(source))
    assert str(caught.value).startswith(path.name)
    return str(caught.value)


@pytest.mark.parametrize("key", ["openai_costs", "anthropic_costs", "runpod"])
def test_a_later_answer_replaces_the_days_it_has(key: str) -> None:
    assert formats()[key].delivery is Delivery.DAYS
    assert not formats()[key].is_evidence


# OpenAI ---------------------------------------------------------------------------------------------------------------


def test_an_openai_row_says_model_class_tokens_and_project() -> None:
    usage, credit = rows_of(API / "openai_costs.json")
    assert usage["BilledCost"] == Decimal("12.34567")
    assert (usage["x_Model"], usage["x_TokenClass"], usage["x_InputTokens"]) == ("gpt-5.6", "input", 3_086_417)
    assert (usage["ProviderName"], usage["SubAccountId"], usage["BillingCurrency"]) == ("OpenAI", "proj_search", "USD")
    assert usage["ChargePeriodStart"] == datetime(2026, 10, 1)  # noqa: DTZ001
    assert usage["BillingPeriodEnd"] == datetime(2026, 11, 1)  # noqa: DTZ001
    assert json.loads(usage["Tags"]) == {"project_id": "proj_search"}
    assert (credit["ChargeCategory"], credit["x_Model"], credit["Tags"]) == ("Credit", None, None)


@pytest.mark.parametrize(
    ("item", "model", "token_class"),
    [
        ("gpt-4o-2024-08-06, input", "gpt-4o-2024-08-06", "input"),
        ("gpt-4o-mini, cached input", "gpt-4o-mini", "cached_input"),
        ("gpt-4o, output", "gpt-4o", "output"),
        ("gpt-4o-realtime, audio input", "gpt-4o-realtime", "input"),
        ("gpt-5.6, cache write", "gpt-5.6", "cache_write"),
        ("web search tool calls", None, None),
        ("ft:gpt-4o, team:a, output", "ft:gpt-4o, team:a", "output"),
    ],
)
def test_a_line_item_names_a_model_and_a_token_class(item: str, model: str | None, token_class: str | None) -> None:
    assert of_line_item(item) == (model, token_class)


def test_openai_quantities_in_thousands_are_tokens(tmp_path: Path) -> None:
    cost = openai_cost(line_item="gpt-5.6, output", quantity=1.5, quantity_unit="1000_tokens")
    (row,) = rows_of(saved(tmp_path, openai_page(cost)))
    assert (row["x_OutputTokens"], row["PricingQuantity"], row["PricingUnit"]) == (1_500, Decimal("1.5"), "1000_tokens")


def test_json_numbers_never_pass_through_a_float(tmp_path: Path) -> None:
    text = json.dumps(openai_page(openai_cost(1))).replace(
        '"value": 1', '"value": 12345678901234567890.123456789012345678'
    )
    (row,) = rows_of(written(tmp_path, "a.json", text))
    assert row["BilledCost"] == Decimal("12345678901234567890.123456789012345678")


def test_b14_more_than_18_decimals_are_rounded_once_and_counted(tmp_path: Path) -> None:
    """What a program writes of 1.1e-5 has 21 decimals, of which the last are noise."""
    rows, source = read(saved(tmp_path, openai_page(openai_cost(1.2345678901234567e-05), openai_cost(2.5))))
    assert rows["BilledCost"].to_pylist() == [Decimal("0.000012345678901235"), Decimal("2.5")]
    assert source.notes["numbers with more than 18 decimals, rounded there"] == 1


def test_b14_an_amount_that_is_a_text_is_the_same_number(tmp_path: Path) -> None:
    rows, source = read(saved(tmp_path, openai_page(openai_cost("0.12345678901234567890"), openai_cost("2.50"))))
    assert rows["BilledCost"].to_pylist() == [Decimal("0.123456789012345679"), Decimal("2.5")]
    assert source.notes["numbers with more than 18 decimals, rounded there"] == 1


@pytest.mark.parametrize("as_one", [lambda pages: [json.dumps(pages)], lambda pages: map(json.dumps, pages)])
def test_pages_may_be_a_list_or_one_after_another(tmp_path: Path, as_one) -> None:
    pages = [openai_page(openai_cost(n), start=OCTOBER_1 + n * DAY) for n in range(3)]
    rows = rows_of(written(tmp_path, "a.json", "\n".join(as_one(pages))))
    assert exact_sum(row["BilledCost"] for row in rows) == 3


def test_a_page_that_is_saved_twice_is_refused(tmp_path: Path) -> None:
    page = openai_page(openai_cost())
    assert "a page is in the file twice" in refusal(saved(tmp_path, page, page))


def test_a_last_page_that_is_not_the_last_is_said(tmp_path: Path) -> None:
    _, source = read(saved(tmp_path, openai_page(openai_cost(), has_more=True)))
    assert source.notes["last page that says that there are more; import them too"] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps(openai_page({"object": "organization.usage.completions.result"})), "counts use and has no cost"),
        (json.dumps(openai_page(openai_cost()))[:-20], "line 1 is no JSON"),
        (json.dumps(openai_page(openai_cost()), indent=1)[:-20], "line 2[0-9] is no JSON"),
        (json.dumps(openai_page({**openai_cost(), "amount": None})), "amount is 'None'"),
        (json.dumps(openai_page(openai_cost("12 USD"))), "'12 USD' is not a number"),
        (json.dumps(openai_page(openai_cost(float("nan")))), "'NaN' is not a number"),
        (json.dumps(openai_page(openai_cost(), start=10**15)), "is no Unix time"),
        ('{"object": "page", "start_time": 1}', "data is missing"),
        ('{"object": "page", "start_time": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_an_openai_answer_that_is_not_whole_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        read(written(tmp_path, "a.json", text))


# Anthropic ------------------------------------------------------------------------------------------------------------


def test_anthropic_amounts_are_cents() -> None:
    tokens, search = rows_of(API / "anthropic_cost_report.json")
    assert (tokens["BilledCost"], search["BilledCost"]) == (Decimal("12.345678"), Decimal("0.987"))
    assert (tokens["x_Model"], tokens["x_TokenClass"]) == ("claude-sonnet-5-5", "input")
    assert (tokens["SubAccountId"], search["SubAccountId"]) == ("wrkspc_01", None)
    assert json.loads(tokens["extra"])["cost_type"] == "tokens"


@pytest.mark.parametrize(
    ("token_type", "token_class"),
    [
        ("uncached_input_tokens", "input"),
        ("cache_read_input_tokens", "cached_input"),
        ("cache_creation.ephemeral_1h_input_tokens", "cache_write"),
        ("output_tokens", "output"),
        (None, None),
    ],
)
def test_anthropic_token_types_have_a_class(tmp_path: Path, token_type: str | None, token_class: str | None) -> None:
    result = {"currency": "USD", "amount": "1", "token_type": token_type}
    assert rows_of(saved(tmp_path, anthropic_page(result)))[0]["x_TokenClass"] == token_class


def test_anthropic_cents_keep_every_digit(tmp_path: Path) -> None:
    result = {"currency": "USD", "amount": "-12345678901234567890.1234567890123456"}
    (row,) = rows_of(saved(tmp_path, anthropic_page(result)))
    assert row["BilledCost"] == Decimal("-123456789012345678.901234567890123456")
    assert row["ChargeCategory"] == "Credit"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"amount": "1,5", "currency": "USD"}, "result 1: amount '1,5' is not a number"),
        ({"currency": "USD"}, "amount is missing"),
        ({"uncached_input_tokens": 5}, "not usage_report"),
    ],
)
def test_an_anthropic_result_without_a_cost_is_refused(tmp_path: Path, result: dict, reason: str) -> None:
    assert reason in refusal(saved(tmp_path, anthropic_page(result)))


# RunPod ---------------------------------------------------------------------------------------------------------------


def test_runpod_parts_are_charges_of_one_pod() -> None:
    gpu, disk = rows_of(API / "runpod_v2_billing_pods.json")
    assert (gpu["BilledCost"], gpu["ServiceCategory"]) == (Decimal("57.36"), "Compute")
    assert (disk["BilledCost"], disk["ServiceCategory"]) == (Decimal("0.48"), "Storage")
    assert {gpu["ResourceId"], disk["ResourceId"]} == {"7h9k2m4n6p"}


@pytest.mark.parametrize(
    ("record", "amounts"),
    [
        (runpod_record(3.5, gpuAmount=3.0, feeAmount=0.25), {"gpu": "3", "fee": "0.25", "other": "0.25"}),
        (runpod_record(0.3, gpuAmount=0.1, diskAmount=0.20000000000000001), {"gpu": "0.1", "disk": "0.2"}),
        (
            runpod_record(0.30000000000000004, gpuAmount=0.1, diskAmount=0.2),
            {"gpu": "0.1", "disk": "0.20000000000000004"},
        ),
        (runpod_record(2.5), {"other": "2.5"}),
        (runpod_record(0), {"gpu": "0"}),
    ],
)
def test_the_parts_of_a_runpod_record_add_up_to_its_total(tmp_path: Path, record: dict, amounts: dict) -> None:
    rows = rows_of(saved(tmp_path, runpod_answer(record)))
    assert {row["SkuMeter"]: row["BilledCost"] for row in rows} == {
        name: Decimal(cost) for name, cost in amounts.items()
    }
    assert exact_sum(row["BilledCost"] for row in rows) == Decimal(str(record["totalAmount"]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (runpod_answer(runpod_record(1), recordCount=2), "is incomplete: 1 of 2 records"),
        (runpod_answer(runpod_record(1), totals={"totalAmount": 1.5}), "says 1.5 in all, but its records add up to 1"),
        (runpod_answer(runpod_record(1, endTime="2026-11-01T00:00:00Z")), "Ask for bucketSize day or hour"),
        (runpod_answer({"totalAmount": 1}), "startTime is missing"),
    ],
)
def test_a_runpod_answer_that_is_not_whole_is_refused(tmp_path: Path, answer: dict, reason: str) -> None:
    assert reason in refusal(saved(tmp_path, answer))
