"""LiteLLM: rows of LiteLLM_SpendLogs that keep prompts, and the payload its logging callbacks are given."""

from typing import Any

from lab.readers.base import (
    Reader,
    Record,
    answered,
    count_of,
    feedback_of,
    first_text,
    listed,
    mapping,
    request_of,
    text_of,
    time_of,
)
from lab.record import Request

_MARKS = ("call_type", "startTime", "litellm_call_id")
_REDACTED = "redacted-by-litellm"


def _payload(record: Record) -> Record:
    """The payload itself, which callbacks wrap."""
    for path in (("standard_logging_object",), ("kwargs", "standard_logging_object")):
        found: Any = record
        for name in path:
            found = mapping(mapping(found).get(name))
        if found:
            return mapping(found)
    return record


def identify(record: Record) -> bool:
    payload = _payload(record)
    return any(name in payload for name in _MARKS) and _body(payload) is not None


def _body(payload: Record) -> Record | None:
    """The request as it was sent; None where it was not kept. Spend logs keep it as a text in one of two places."""
    sent = mapping(payload.get("proxy_server_request"))
    sent = mapping(sent.get("body")) or sent
    settings = mapping(payload.get("model_parameters"))
    messages = payload.get("messages")
    if isinstance(messages, dict) and "messages" in messages:
        messages = messages["messages"]
    if listed(messages):
        body: Record = {**settings, **sent, "messages": listed(messages)}
    elif text_of(messages).lstrip()[:1] not in ("", "{", "["):
        body = {**settings, **sent, "prompt": messages}
    elif any(sent.get(name) for name in ("messages", "prompt", "input")):
        body = {**settings, **sent}
    else:
        return None
    return None if _REDACTED in str(body.get("messages") or body.get("prompt"))[:200] else body


def parse(record: Record) -> Request | None:
    payload = _payload(record)
    body = _body(payload)
    request = request_of({**body, "model": payload.get("model") or body.get("model")}) if body else None
    if request is None:
        return None
    metadata = mapping(payload.get("metadata"))
    request.tenant = (
        first_text(payload, "team_id", "end_user", "user")
        or first_text(metadata, "user_api_key_team_id", "user_api_key_user_id")
    )  # fmt: skip
    request.conversation = first_text(payload, "session_id") or first_text(metadata, "session_id")
    request.started_s = time_of(payload.get("startTime"))
    response = payload.get("response")
    answered(request, response if _REDACTED not in str(response)[:200] else {})
    for name, field in (("prompt_tokens", "prompt_tokens"), ("completion_tokens", "output_tokens")):
        if count := count_of(payload.get(name)):
            setattr(request, field, count)
    request.is_unhappy = feedback_of({**metadata, **payload})
    return request


READER = Reader(key="litellm", label="LiteLLM spend logs or callback payloads", identify=identify, parse=parse)
