"""A client that knows what it asked for and notes what the server said it used: the truth that totals are held to."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

ANSWER_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. In the tiny model a letter is a token, and with `ignore_eos` an answer is as long as it may be."""

    prompt: str
    output_tokens: int
    is_streamed: bool = True
    hang_up_after_count: int | None = None  # chunks of the answer, after which the client goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Tokens and requests, as the usage of the answers has them."""

    prompt_tokens: int = 0
    output_tokens: int = 0
    requests_count: int = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            requests_count=self.requests_count + other.requests_count,
        )


def asked(asks: Sequence[Ask]) -> Used:
    """What these requests must use, worked out and not measured."""
    return Used(
        prompt_tokens=sum(len(ask.prompt) for ask in asks),
        output_tokens=sum(ask.output_tokens for ask in asks),
        requests_count=len(asks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    url: str
    model: str

    def send(self, asks: Sequence[Ask], at_once_count: int = 8) -> Used:
        """All requests, so many at once; the sum of what their answers say they used."""
        return asyncio.run(self._send(asks, at_once_count))

    async def _send(self, asks: Sequence[Ask], at_once_count: int) -> Used:
        places = asyncio.Semaphore(at_once_count)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:

            async def one(ask: Ask) -> Used:
                async with places:
                    return await (self._stream(session, ask) if ask.is_streamed else self._complete(session, ask))

            return sum(await asyncio.gather(*map(one, asks)), Used())

    async def _complete(self, session: aiohttp.ClientSession, ask: Ask) -> Used:
        body = self._body(ask) | {"prompt": ask.prompt}
        async with session.post(f"{self.url}/v1/completions", json=body) as answer:
            said = await answer.json()
            assert answer.status == 200, said
            return _used(said["usage"])

    async def _stream(self, session: aiohttp.ClientSession, ask: Ask) -> Used:
        body = self._body(ask) | {
            "messages": [{"role": "user", "content": ask.prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        used, chunks_count = Used(), 0
        async with session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                with suppress(ValueError):  # an empty line, or [DONE]
                    chunk = json.loads(line.removeprefix(b"data:"))
                    assert "error" not in chunk, chunk
                    used += _used(chunk["usage"]) if chunk.get("usage") else Used()
                    chunks_count += 1
                if ask.hang_up_after_count is not None and chunks_count >= ask.hang_up_after_count:
                    return used
        assert used.requests_count == 1, "the stream ended without its usage"
        return used

    def _body(self, ask: Ask) -> dict[str, object]:
        # No seed: with one, a prompt that is read in pieces ends vLLM 0.32 on a CPU ("does not use offset").
        return {"model": self.model, "max_tokens": ask.output_tokens, "ignore_eos": True, "temperature": 0}


def _used(usage: dict[str, int]) -> Used:
    return Used(prompt_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"], requests_count=1)
