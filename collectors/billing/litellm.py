"""LiteLLM: request logs (LiteLLM_SpendLogs), daily sums (LiteLLM_Daily…Spend), and its FOCUS export; CSV or JSON.

All of it is evidence of who used what. What it says of money is the gateway's own estimate, and what somebody else
bills. Only the columns below are read: prompts, answers and the names of people are dropped before anything looks
at them.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from collectors.billing import _files
from collectors.billing._csv import csv_chunks, header_of
from collectors.billing._json import documents, is_json, number_text, object_text, text_of
from collectors.billing._parquet import parquet_chunks
from collectors.billing._periods import billing_month, iso
from collectors.billing._read import read_table
from collectors.billing._tables import Chunk, chunks_of
from collectors.billing._typed import charges_from, time_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.billing import decimal_from, exact_text
from costlib.errors import BadRecord

_LOG = frozenset(("request_id", "spend", "startTime", "model"))
_DAILY = frozenset(("date", "spend", "prompt_tokens", "completion_tokens", "model"))
_NUMBERS = {
    "spend": "BilledCost",
    "prompt_tokens": "x_InputTokens",
    "completion_tokens": "x_OutputTokens",
    "cache_read_input_tokens": "x_CachedInputTokens",
    "api_requests": "x_RequestsCount",
}
_TAGS = ("team_id", "team_alias", "organization_id", "model_group")
_KEPT = (
    "request_id",
    "call_type",
    "api_key",
    "model_id",
    "custom_llm_provider",
    "api_base",
    "cache_hit",
    "status",
    "endpoint",
    "successful_requests",
    "failed_requests",
    "cache_creation_input_tokens",
)
# Read for the cached tokens in it, and not kept: it quotes requests.
_METADATA = "metadata"
_READ = frozenset((*_NUMBERS, *_TAGS, *_KEPT, _METADATA, "model", "startTime", "date"))
# LiteLLM's FOCUS export has the columns in an order of its own, and these tags.
_FOCUS_ORDER = b"InvoiceIssuerName,InvoiceId,ListCost,ListUnitPrice,AvailabilityZone,PricingCurrency"
_FOCUS_TAG = b'""custom_llm_provider""'
_PER_TAG = "is LiteLLM_DailyTagSpend, which counts a request once for each of its tags; export LiteLLM_DailyTeamSpend"


def is_focus_export(head: bytes) -> bool:
    return b"BilledCost" in head and (_FOCUS_ORDER in head or _FOCUS_TAG in head)


def identify(head: bytes, name: str) -> bool:
    return is_focus_export(head) or any(needed <= _names(head) for needed in (_LOG, _DAILY))


def _names(head: bytes) -> set[str]:
    """The columns of a CSV, or the member names in the first part of a JSON text, wherever they are."""
    if is_json(head):
        return {name for name in _LOG | _DAILY if f'"{name}"'.encode() in head}
    return set(header_of(head))


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    head = source.head()
    if is_focus_export(head):
        return charges_from(_focus_chunk(chunk) for chunk in read_table(source))
    return charges_from(chunks_of(source, (_charge(source, where, record) for where, record in _records(source, head))))


def _records(source: BillingSource, head: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if is_json(head):
        for line, document in documents(source):
            for number, record in enumerate(_listed(source, document), start=1):
                yield f"{source.name}: record {number} at line {line}", record
        return
    if "tag" in header_of(head) and "request_id" not in header_of(head):
        raise BadRecord(f"{source.name} {_PER_TAG}")
    is_parquet = _files.is_parquet(source.path)
    for chunk in parquet_chunks(source) if is_parquet else csv_chunks(source, only=_READ):
        names = tuple(name for name in chunk.columns if name in _READ)
        for index, cells in enumerate(zip(*(chunk.columns[name] for name in names), strict=True)):
            yield chunk.place(index, names[0]).rpartition(",")[0], dict(zip(names, cells, strict=True))


def _listed(source: BillingSource, document: Any) -> list[Any]:
    """A list of records, one alone, or a page of them as the gateway's own pages ask for it."""
    if isinstance(document, Mapping) and isinstance(page := document.get("data"), list):
        if document.get("page") != document.get("total_pages"):
            source.notes["page of several; import the others too, all in one file"] += 1
        return page
    return document if isinstance(document, list) else [document]


def _charge(source: BillingSource, where: str, record: Any) -> dict[str, str | None]:
    if not isinstance(record, Mapping) or not (_names_of(record) >= _LOG or _names_of(record) >= _DAILY):
        raise BadRecord(f"{where} is neither a LiteLLM spend log nor a daily sum; export the table as it is")
    if "tag" in record and "request_id" not in record:
        raise BadRecord(f"{where} {_PER_TAG}")
    day = _day(record, where)
    cells = {name: number_text(record.get(name), source) for name in _NUMBERS}
    cells["cache_read_input_tokens"] = cells["cache_read_input_tokens"] or _cached(record.get(_METADATA))
    provider, model = text_of(record.get("custom_llm_provider")), text_of(record.get("model")) or ""
    numbers: dict[str, str | None] = {ours: cells[theirs] for theirs, ours in _NUMBERS.items()}
    return {
        **numbers,
        "x_InputTokens": _computed(cells, where),
        "x_RequestsCount": cells["api_requests"] or ("1" if "request_id" in record else None),
        "EffectiveCost": cells["spend"],
        "BillingCurrency": "USD",
        **_period(day),
        "x_Model": _model(model, provider),
        **_owner(provider),
        "ChargeDescription": model,
        "SubAccountId": text_of(record.get("team_id")),
        "SubAccountName": text_of(record.get("team_alias")),
        "Tags": object_text(_tags({name: text_of(record.get(name)) for name in _TAGS})),
        **{name: text_of(record.get(name)) for name in _KEPT},
    }


def _names_of(record: Mapping[str, Any]) -> set[str]:
    return {name for name, value in record.items() if value is not None}


def _day(record: Mapping[str, Any], where: str) -> date:
    text = text_of(record.get("date") or record.get("startTime")) or ""
    try:
        return time_from(text.strip()).date()
    except BadRecord as error:
        raise BadRecord(f"{where}: {error}") from None


def _computed(cells: Mapping[str, str | None], where: str) -> str | None:
    """LiteLLM counts cached tokens among the prompt's; a prompt smaller than its cached part was counted without."""
    prompt, cached = cells["prompt_tokens"], cells["cache_read_input_tokens"]
    if not prompt or not cached:
        return prompt
    try:
        computed = decimal_from(prompt) - decimal_from(cached)
    except BadRecord as error:
        raise BadRecord(f"{where}: prompt_tokens {error}") from None
    return prompt if computed < 0 else exact_text(computed)


def _cached(metadata: Any) -> str | None:
    """The prompt tokens found in a cache, which request logs have only inside their metadata."""
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata, parse_float=Decimal, parse_int=Decimal)
        except (ValueError, RecursionError):
            return None
    for path in (("additional_usage_values", "cache_read_input_tokens"), ("usage_object", "cache_read_input_tokens")):
        found = metadata
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Decimal):
            return exact_text(found)
    return None


def _period(day: date) -> dict[str, str]:
    midnight = datetime.combine(day, datetime.min.time(), UTC)
    return {
        **billing_month(day),
        "ChargePeriodStart": iso(midnight),
        "ChargePeriodEnd": iso(midnight + timedelta(days=1)),
    }


def _owner(provider: str | None) -> dict[str, str | None]:
    return {
        "ProviderName": "LiteLLM",
        "PublisherName": provider,
        "ChargeCategory": "Usage",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "LiteLLM gateway",
    }


def _model(model: str, provider: str | None) -> str:
    """hosted_vllm/qwen is what the server itself calls qwen."""
    return model.removeprefix(f"{provider}/") if provider else model


def _tags(tags: Mapping[str, str | None]) -> dict[str, str | None]:
    return {"team": tags.get("team_alias") or tags.get("team_id"), **tags}


def _focus_chunk(chunk: Chunk) -> Chunk:
    """Its billing periods of one day, and its accounts that are API keys, are neither: the gateway is one account."""
    count = chunk.rows_count
    empty: tuple[None, ...] = (None,) * count
    rows = zip(
        *(
            chunk.columns.get(name, empty)
            for name in ("ChargePeriodStart", "ProviderName", "ResourceId", "ConsumedUnit", "ConsumedQuantity", "Tags")
        ),
        strict=True,
    )
    columns: dict[str, list[str | None]] = {}
    for index, (start, provider, resource, unit, quantity, tags) in enumerate(rows):
        try:
            day = time_from((start or "").strip()).date()
        except BadRecord as error:
            raise BadRecord(f"{chunk.place(index, 'ChargePeriodStart')}: {error}") from None
        added = {
            **billing_month(day),
            **_owner(provider),
            "x_Model": _model(resource or "", provider),
            "x_RequestsCount": quantity if unit == "Requests" else None,
            "Tags": _focus_tags(tags),
        }
        for name, value in added.items():
            columns.setdefault(name, []).append(value)
    dropped = ("BillingAccountId", "BillingAccountName", "BillingAccountType")
    kept = {name: cells for name, cells in chunk.columns.items() if name not in dropped}
    return Chunk(
        source=chunk.source,
        columns={**kept, **columns, "api_key": chunk.columns.get("BillingAccountId", empty)},
        first_row=chunk.first_row,
        lines=chunk.lines,
        file_name=chunk.file_name,
    )


def _focus_tags(text: str | None) -> str | None:
    try:
        tags = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    return object_text(_tags({name: tags.get(name) for name in _TAGS})) if isinstance(tags, dict) else text


FORMAT = BillingFormat(
    key="litellm",
    label="LiteLLM spend logs, daily spend or FOCUS export",
    identify=identify,
    parse=parse,
    delivery=Delivery.DAYS,
    is_evidence=True,
)
