"""OpenAI-style logs: {"request": body, "response": body} a line, and batch files {"custom_id", "body"}."""

from lab.readers.base import Reader, Record, answered, feedback_of, first_text, mapping, request_of, time_of
from lab.record import Request

_BODIES = ("body", "request", "request_body")


def identify(record: Record) -> bool:
    return any(mapping(record.get(name)) for name in _BODIES) and "call_type" not in record


def parse(record: Record) -> Request | None:
    asked = next((body for name in _BODIES if (body := mapping(record.get(name)))), None)
    if asked is None:
        if "response" in record:
            return None  # a batch's output file: answers without their prompts
        raise ValueError("has neither body nor request")
    request = request_of(mapping(asked.get("body")) or asked)
    if request is None:
        return None
    metadata = mapping(asked.get("metadata"))
    request.tenant = first_text(record, "tenant", "organization", "user") or first_text(asked, "user")
    request.conversation = first_text({**metadata, **record}, "conversation_id", "session_id", "thread_id")
    response = mapping(record.get("response") or record.get("response_body"))
    answered(request, mapping(response.get("body")) or response)
    times = (record.get("timestamp"), record.get("created_at"), response.get("created"))
    request.started_s = next((at for value in times if (at := time_of(value))), None)
    request.is_unhappy = feedback_of(record)
    return request


READER = Reader(
    key="openai", label="OpenAI requests with their responses, or a batch input file", identify=identify, parse=parse
)
