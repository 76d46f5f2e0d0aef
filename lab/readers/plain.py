"""Plain JSON lines: {"prompt" or "messages", and if known "model", "tenant", "timestamp", "output", "usage"}."""

from lab.readers.base import Reader, Record, answered, feedback_of, first_text, mapping, request_of, time_of, used
from lab.record import Request

_PROMPTS = ("messages", "prompt", "input")
_OTHERS = ("call_type", "startTime", "litellm_call_id", "standard_logging_object", "custom_id", "body", "request")


def identify(record: Record) -> bool:
    return any(record.get(name) for name in _PROMPTS) and not any(name in record for name in _OTHERS)


def parse(record: Record) -> Request | None:
    request = request_of(record)
    if request is None:
        return None
    request.tenant = first_text(record, "tenant", "tenant_id", "team", "organization", "user", "user_id")
    request.conversation = first_text(record, "conversation_id", "session_id", "conversation", "session", "thread_id")
    request.started_s = next(
        (at for name in ("timestamp", "ts", "time", "created_at", "created") if (at := time_of(record.get(name)))), None
    )
    answered(request, record.get("response"))
    for name in ("output", "completion", "answer"):
        if isinstance(text := record.get(name), str):
            request.output = text
    used(request, record)
    used(request, mapping(record.get("usage")))
    request.finish_reason = first_text(record, "finish_reason") or request.finish_reason
    request.is_unhappy = feedback_of(record)
    return request


READER = Reader(key="plain", label="JSON lines with a prompt or messages each", identify=identify, parse=parse)
