"""LiteLLM: who used what. Its money is an estimate, and its prompts and people are nobody's business."""

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.billing import format_of, formats
from collectors.billing.base import BillingSource, Delivery
from costlib.errors import BadRecord
from tests.collectors.billing.samples import read, rows_of, written

FOCUS_EXPORT = Path(__file__).with_name("api") / "litellm_focus_export.csv"

LOG = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0",
    "spend": 0.00125,
    "total_tokens": 1200,
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "startTime": "2026-10-05 12:34:56.789",
    "endTime": "2026-10-05 12:34:58.001",
    "model": "hosted_vllm/Qwen/Qwen3-8B",
    "model_group": "chat",
    "custom_llm_provider": "hosted_vllm",
    "user": "somebody@example.com",
    "end_user": "customer-7",
    "metadata": {"additional_usage_values": {"cache_read_input_tokens": 600}, "requester_ip_address": "10.0.0.7"},
    "team_id": "team-search",
    "messages": [{"role": "user", "content": "secret prompt"}],
    "response": {"choices": "secret answer"},
    "proxy_server_request": {"body": "secret body"},
}
DAILY = {
    "id": "1",
    "team_id": "team-search",
    "date": "2026-10-05",
    "api_key": "88dc28d0",
    "model": "claude-sonnet-4-6",
    "model_group": "sonnet",
    "custom_llm_provider": "anthropic",
    "prompt_tokens": 5_000_000_000,
    "completion_tokens": 30,
    "cache_read_input_tokens": 4_000_000_000,
    "spend": 1.25,
    "api_requests": 7,
    "successful_requests": 6,
    "failed_requests": 1,
}


def as_csv(*records: dict) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in record.items()}
        for record in records
    )
    return text.getvalue()


def as_lines(*records: dict) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def test_it_is_evidence_and_not_cost() -> None:
    assert formats()["litellm"].is_evidence
    assert formats()["litellm"].delivery is Delivery.DAYS


@pytest.mark.parametrize("form", [as_csv, as_lines, lambda *records: json.dumps(records, indent=1)])
def test_a_spend_log_says_team_model_and_tokens(tmp_path: Path, form) -> None:
    first, second = rows_of(written(tmp_path, "logs", form(LOG, {**LOG, "request_id": "chatcmpl-2"})), "litellm")
    assert first["BilledCost"] == Decimal("0.00125")
    assert first["x_Model"] == "Qwen/Qwen3-8B", "the provider's prefix is LiteLLM's, the rest is the server's own name"
    assert (first["x_InputTokens"], first["x_CachedInputTokens"], first["x_OutputTokens"]) == (400, 600, 200)
    assert first["x_RequestsCount"] == 1
    assert json.loads(first["Tags"])["team"] == "team-search"
    assert first["ChargePeriodStart"] == datetime(2026, 10, 5)  # noqa: DTZ001
    assert first["BillingPeriodStart"] == datetime(2026, 10, 1)  # noqa: DTZ001
    assert json.loads(second["extra"])["request_id"] == "chatcmpl-2"


@pytest.mark.parametrize("form", [as_csv, as_lines])
def test_prompts_answers_and_people_are_never_kept(tmp_path: Path, form) -> None:
    (row,) = rows_of(written(tmp_path, "logs", form({**LOG, "messages": "secret " * 60_000})))
    kept = json.dumps(row, default=str)
    assert not [word for word in ("secret", "somebody", "customer-7", "10.0.0.7") if word in kept]


@pytest.mark.parametrize("form", [as_csv, as_lines])
def test_a_daily_sum_is_a_row_of_its_day(tmp_path: Path, form) -> None:
    (row,) = rows_of(written(tmp_path, "daily", form(DAILY)))
    assert (row["BilledCost"], row["x_RequestsCount"]) == (Decimal("1.25"), 7)
    assert (row["x_InputTokens"], row["x_CachedInputTokens"]) == (1_000_000_000, 4_000_000_000)
    assert (row["ProviderName"], row["PublisherName"]) == ("LiteLLM", "anthropic")
    assert json.loads(row["Tags"]) == {"team": "team-search", "team_id": "team-search", "model_group": "sonnet"}


def test_prompt_tokens_below_their_cached_part_were_counted_without_it(tmp_path: Path) -> None:
    """As LiteLLM counted Anthropic's before it added the cached ones."""
    (row,) = rows_of(written(tmp_path, "a.jsonl", as_lines({**DAILY, "prompt_tokens": 10})))
    assert (row["x_InputTokens"], row["x_CachedInputTokens"]) == (10, 4_000_000_000)


def test_parquet_of_a_spend_table_is_read_too(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([DAILY]), tmp_path / "a.parquet")
    (row,) = rows_of(tmp_path / "a.parquet")
    assert (row["BilledCost"], row["x_RequestsCount"]) == (Decimal("1.25"), 7)


def test_the_focus_export_is_evidence_by_month_without_its_accounts() -> None:
    """Its billing periods are days, and its billing accounts are API keys."""
    rows, source = read(FOCUS_EXPORT)
    assert format_of(source).key == "litellm"
    assert set(rows["BillingPeriodStart"].to_pylist()) == {datetime(2026, 10, 1)}  # noqa: DTZ001
    assert rows["BillingAccountId"].null_count == 3
    first = rows.to_pylist()[0]
    assert (first["x_Model"], first["x_RequestsCount"]) == ("claude-sonnet-4-6", 212)
    assert json.loads(first["Tags"])["team"] == "Search"
    assert "user_id" not in json.loads(first["Tags"])


def test_the_focus_export_is_known_as_parquet_too(tmp_path: Path) -> None:
    names, *rows = csv.reader(io.StringIO(FOCUS_EXPORT.read_text()))
    pq.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), tmp_path / "a.parquet")
    assert format_of(BillingSource(path=tmp_path / "a.parquet")).key == "litellm"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (as_csv({**DAILY, "tag": "prod"}), "counts a request once for each of its tags"),
        (as_lines({**DAILY, "tag": "prod"}), "counts a request once for each of its tags"),
        (as_lines(LOG, {"request_id": "x"}), "record 1 at line 2 is neither a LiteLLM spend log nor a daily sum"),
        (as_lines({**LOG, "startTime": "yesterday"}), "'yesterday' is not an ISO 8601 time"),
        (as_csv({**LOG, "spend": "free"}), "column BilledCost: 'free' is not a number"),
    ],
)
def test_what_is_no_spend_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        read(written(tmp_path, "a", text))


def test_a_page_of_the_gateways_own_log_is_its_records(tmp_path: Path) -> None:
    page = {"data": [LOG, {**LOG, "request_id": "chatcmpl-2"}], "total": 2, "page": 1, "page_size": 50}
    rows, source = read(written(tmp_path, "whole.json", json.dumps({**page, "total_pages": 1})))
    assert rows["BilledCost"].to_pylist() == [Decimal("0.00125")] * 2
    assert source.notes.total() == 0
    _, source = read(written(tmp_path, "first.json", json.dumps({**page, "total_pages": 2})))
    assert source.notes["page of several; import the others too, all in one file"] == 1


def test_b14_a_double_of_a_csv_is_rounded_once(tmp_path: Path) -> None:
    """Databases write a double with 17 digits, so a request of little cost has more decimals than are kept."""
    record = {name: LOG[name] for name in ("request_id", "startTime", "model")}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*record, "spend"])
    writer.writeheader()
    writer.writerow({**record, "spend": "1.2345678901234567e-05"})
    assert rows_of(written(tmp_path, "a.csv", text.getvalue()))[0]["BilledCost"] == Decimal("0.000012345678901235")
