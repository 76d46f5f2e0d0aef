"""One request of a benchmark: sent, read as its stream arrives, and timed. What goes wrong has a name and a sentence.

A chunk is what arrived together, however many events and tokens it holds: a gap between chunks is a time in which the
client really had nothing new. Tokens come from the server's `usage` alone.
"""

import asyncio
import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from collectors.base import ScrapeFailure, excerpt
from collectors.http import ERROR_BODY_BYTES, HTTP_OK
from costlib.units import MEBI

STREAM_BYTES = 64 * MEBI  # of one answer
EVENT_BYTES = MEBI
TEXT_FIELDS = ("content", "reasoning_content", "reasoning", "tool_calls")


class RequestFailed(Exception):
    """Why a request gave no whole answer: one `kind` to count by, and a sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True, kw_only=True)
class Answer:
    """What one stream said and when, in seconds since the request was sent."""

    first_s: float | None = None
    last_s: float | None = None
    e2e_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    chunks_count: int = 0
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    is_done: bool = False

    def take(self, choices_at: Mapping[str, bool], at_s: float) -> None:
        """One chunk: whether it holds output, whether it holds the end of it."""
        if choices_at["output"]:
            if self.chunks_count and self.last_s is not None:
                self.gaps_s.append(at_s - self.last_s)
            self.chunks_count += 1
        if choices_at["output"] or choices_at["end"]:
            self.first_s = at_s if self.first_s is None else self.first_s
            self.last_s = at_s


async def stream_answer(
    session: aiohttp.ClientSession,
    url: str,
    body: Mapping[str, Any],
    timeout_s: float,
    clock: Callable[[], float],
) -> Answer:
    """The whole answer to `body`, timed from before the connection is made. Raises RequestFailed."""
    sent_s = clock()
    has_begun = False
    try:
        async with asyncio.timeout(timeout_s):
            async with session.post(url, json=body, allow_redirects=False) as response:
                has_begun = True
                await refuse_bad_answer(response)
                return await _read(response, sent_s, clock)
    except (aiohttp.ClientError, OSError, ScrapeFailure) as error:
        kind, message = explained(error, has_begun, timeout_s)
        raise RequestFailed(kind, message) from error


async def refuse_bad_answer(response: aiohttp.ClientResponse, wanted: str = "text/event-stream") -> None:
    """Raises RequestFailed for any status but 200, and for an answer that is plainly no stream."""
    if response.status != HTTP_OK:
        said = "" if response.status in (401, 403) else excerpt(await response.content.read(ERROR_BODY_BYTES))
        raise RequestFailed(f"http_{response.status}", f"HTTP {response.status}{': ' if said else ''}{said}")
    if response.content_type in ("application/json", "text/html") and response.content_type != wanted:
        said = excerpt(await response.content.read(ERROR_BODY_BYTES))
        raise RequestFailed("not_a_stream", f"answered {response.content_type} where {wanted} was asked: {said}")


async def _read(response: aiohttp.ClientResponse, sent_s: float, clock: Callable[[], float]) -> Answer:
    answer = Answer()
    buffer, size = bytearray(), 0
    async for piece in response.content.iter_any():
        at_s = clock() - sent_s
        size += len(piece)
        buffer += piece
        *lines, rest = buffer.split(b"\n")
        buffer = bytearray(rest)
        if len(buffer) > EVENT_BYTES or size > STREAM_BYTES:
            raise RequestFailed("bad_stream", "an event or the whole answer is too large to be one")
        seen = {"output": False, "end": False}
        for line in lines:
            _take_line(bytes(line).strip(), answer, seen)
        answer.take(seen, at_s)
        if answer.is_done:
            answer.e2e_s = at_s
    if not answer.is_done:
        raise RequestFailed("broken_stream", "the stream ended without [DONE]")
    if answer.first_s is None:
        raise RequestFailed("empty_answer", "the stream ended without any output")
    return answer


def _take_line(line: bytes, answer: Answer, seen: dict[str, bool]) -> None:
    """One line of a server-sent event stream; comments, names and empty lines say nothing to us."""
    name, _, value = line.partition(b":")
    if name != b"data" or answer.is_done:
        return
    value = value.strip()
    if value == b"[DONE]":
        answer.is_done = True
        return
    try:
        event = json.loads(value)
    except ValueError:
        raise RequestFailed("bad_stream", f"an event is no JSON: {excerpt(value)}") from None
    if not isinstance(event, dict):
        raise RequestFailed("bad_stream", f"an event is no object: {excerpt(value)}")
    if event.get("error"):
        raise RequestFailed("error_event", f"an error inside the stream: {excerpt(json.dumps(event['error']))}")
    usage = event.get("usage")
    if isinstance(usage, dict):
        answer.input_tokens, answer.cached_input_tokens, answer.output_tokens = usage_of(usage)
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            seen["output"] |= has_output(choice)
            seen["end"] |= choice.get("finish_reason") is not None


def has_output(choice: Mapping[str, Any]) -> bool:
    """Whether a piece of a choice stands for generated tokens.

    Text does. Empty text does too, unless it opens (`role`) or closes (`finish_reason`) the answer: half a character
    is a token that cannot be shown yet.

    >>> has_output({"delta": {"role": "assistant", "content": ""}}), has_output({"text": "", "finish_reason": None})
    (False, True)
    """
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return bool(choice.get("text")) or ("text" in choice and choice.get("finish_reason") is None)
    if any(delta.get(name) for name in TEXT_FIELDS):
        return True
    return delta.get("content") == "" and "role" not in delta and choice.get("finish_reason") is None


def usage_of(usage: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    """Input, cached input and output tokens as the server counts them; None for what it leaves out.

    >>> usage_of({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}})
    (9, 4, 2)
    >>> usage_of({"prompt_tokens": "9", "completion_tokens": -1})
    (None, None, None)
    """
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return _count(usage.get("prompt_tokens")), _count(cached), _count(usage.get("completion_tokens"))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def explained(error: Exception, has_begun: bool, timeout_s: float) -> tuple[str, str]:
    """The kind and the sentence for what the network did. In this order: aiohttp's errors derive from each other."""
    reason = excerpt(str(error) or type(error).__name__)
    match error:
        case ScrapeFailure():  # the name leads to an address that may not be asked
            return error.word, str(error)
        case TimeoutError():
            return "timeout", f"no whole answer within {timeout_s:g} s"
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return "client_limit", "this machine has no more files for connections; raise `ulimit -n`"
        case aiohttp.ClientConnectorDNSError():
            return "dns", "the host name does not resolve"
        case aiohttp.ClientSSLError():
            return "tls", f"no TLS connection: {reason}"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.ECONNREFUSED)):
            return "refused", "nothing listens there"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.EMFILE | errno.ENFILE)):
            return "client_limit", "this machine has no more files for connections; raise `ulimit -n`"
        case aiohttp.ClientConnectorError():
            return "unreachable", f"no connection: {reason}"
        case aiohttp.ClientResponseError():
            return "bad_http", f"the answer is not HTTP as we accept it: {reason}"
        case _ if has_begun:
            return "broken_stream", f"the connection broke within the answer: {reason}"
        case _:
            return "dropped", f"the server closed the connection without an answer: {reason}"
