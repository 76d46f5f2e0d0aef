"""What the formats share: the contract, and how values of any shape become text, numbers and times."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from costlib.units import GIGA, MS_PER_S
from lab.record import Request

Record = Mapping[str, Any]

# Settings of a request that change its answer, and so belong into the key of a cache of answers.
_SETTINGS = (
    "temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "logit_bias", "response_format", "tool_choice", "reasoning_effort", "max_tokens",
    "max_completion_tokens", "max_output_tokens", "guided_json", "structured_outputs",
)  # fmt: skip
_CAPS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_EPOCH_MS = 1e11  # a time above it is in milliseconds: as seconds it would be the year 5138


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A format. `identify` says whether a record is of it and has a prompt; `parse` raises ValueError for one that is
    broken, with a reason that quotes nothing, and gives None for one without a prompt."""

    key: str
    label: str
    identify: Callable[[Record], bool]
    parse: Callable[[Record], Request | None]


def mapping(value: Any) -> Record:
    """A JSON object, or a text of one; {} for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """A JSON list, or a text of one; [] for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int | None:
    """A number of tokens; None for what is no whole number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < GIGA or value != int(value):
        return None
    return int(value)


def time_of(value: Any) -> float | None:
    """Unix seconds, of seconds, milliseconds or an ISO text; a time without a zone is taken as UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / MS_PER_S if value > _EPOCH_MS else float(value)
        return seconds if math.isfinite(seconds) and seconds > 0 else None
    try:
        moment = datetime.fromisoformat(text_of(value).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def messages_of(value: Any) -> tuple[list[tuple[str, str]], str]:
    """(role, text) of chat messages, and a key of all pictures and sounds among them."""
    found: list[tuple[str, str]] = []
    others: list[str] = []
    for message in listed(value):
        if not isinstance(message, Mapping):
            raise ValueError("a message is no object")
        parts = list(_texts(message.get("content"), others))
        parts += [json.dumps(calls, sort_keys=True) for calls in (message.get("tool_calls"),) if calls]
        found.append((text_of(message.get("role")) or "user", "".join(parts)))
    return found, key_of(*others) if others else ""


def _texts(content: Any, others: list[str]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for part in listed(content):
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            if isinstance(text := part.get("text"), str):
                yield text
            else:
                others.append(json.dumps(part, sort_keys=True))


def request_of(body: Record) -> Request | None:
    """What an OpenAI-style request body asks for; None where it holds no prompt."""
    messages, pictures = messages_of(body.get("messages"))
    prompt = body.get("prompt") if body.get("prompt") is not None else body.get("input")
    token_ids: list[int] = []
    if not messages and isinstance(prompt, list):
        if prompt and all(isinstance(item, int) for item in prompt):
            token_ids = prompt
        elif len(prompt) == 1 and isinstance(prompt[0], str):
            prompt = prompt[0]
        else:
            messages, pictures = messages_of([item for item in prompt if isinstance(item, Mapping)])
    if not messages and isinstance(prompt, str):
        messages = [("", prompt)]
    if isinstance(instructions := body.get("instructions"), str):
        messages = [("system", instructions), *((role or "user", text) for role, text in messages)]
    if messages and body.get("tools"):
        messages = [("tools", json.dumps(body["tools"], sort_keys=True)), *messages]
    found = Request(
        model=text_of(body.get("model")),
        messages=messages,
        token_ids=token_ids,
        extra_key=key_of(*extra) if any(extra := (text_of(body.get("cache_salt")), pictures)) else "",
        parameters=json.dumps({name: body[name] for name in _SETTINGS if body.get(name) is not None}, sort_keys=True),
        max_output_tokens=next((cap for name in _CAPS if (cap := count_of(body.get(name))) is not None), None),
    )
    return None if found.is_empty else found


def answered(request: Request, response: Any) -> Request:
    """`request` with what an OpenAI-style response adds: text, tokens used, and why it ended."""
    body = mapping(response)
    if isinstance(response, str) and not body:
        request.output = response
        return request
    choice = next((item for item in listed(body.get("choices")) if isinstance(item, Mapping)), {})
    message = mapping(choice.get("message"))
    texts = message.get("content") if message else choice.get("text", body.get("output_text"))
    if texts is not None:
        request.output = "".join(_texts(texts, []))
    request.finish_reason = text_of(choice.get("finish_reason")) or request.finish_reason
    used(request, mapping(body.get("usage")))
    request.model = request.model or text_of(body.get("model"))
    return request


def used(request: Request, usage: Record) -> None:
    for names, field in (
        (("prompt_tokens", "input_tokens"), "prompt_tokens"),
        (("completion_tokens", "output_tokens"), "output_tokens"),
    ):
        counts = (count_of(usage.get(name)) for name in names)
        if (found := next((count for count in counts if count is not None), None)) is not None:
            setattr(request, field, found)


def first_text(record: Record, *names: str) -> str:
    """The first of these members that is a text or a number."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def feedback_of(record: Record) -> bool | None:
    """Whether the log says that the answer would not do: escalated, a thumb down, or a low mark."""
    for name in ("escalated", "is_escalated", "fallback"):
        if isinstance(value := record.get(name), bool):
            return value
    for name in ("feedback", "rating", "thumbs", "user_feedback"):
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip().lower() in ("down", "thumbs_down", "negative", "bad", "dislike", "-1")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value <= 0
    return None


def key_of(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
