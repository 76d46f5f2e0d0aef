"""A deterministic OpenAI-compatible server for tests: it knows what it was asked and what it truly answered.

Tokens are counted by a rule of its own (`tokens_of`), so that a client that counts words or events is found out. Which
request fails, and how, is said by its number: warm-up and probes are requests too, unless a path is not a completion.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CHAT_OVERHEAD_TOKENS = 7
CHARACTERS_PER_TOKEN = 3
BLOCK_TOKENS = 16


def tokens_of(text: str) -> int:
    """One token for every three characters of a word, begun ones counting: some 1.9 tokens a word.

    >>> tokens_of("able history")
    5
    """
    return sum(-(-len(word) // CHARACTERS_PER_TOKEN) for word in text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One completion as the server knows it. `sent_tokens` were generated, whether or not the client got them."""

    path: str
    prompt: str
    body: dict[str, Any]
    input_tokens: int
    output_tokens: int
    fault: str | None


@dataclass(kw_only=True)
class FakeOpenAI:
    """The knobs, and in `seen` the truth.

    Faults: `http_NNN`; after the first chunk `error_event`, `cut` (connection dropped), `stall` (nothing
    more comes) and `garbage` (an event that is no JSON); `no_done`, `json` (no stream at all), `silent` (no output).
    """

    models: tuple[str, ...] = ("tiny",)
    lists_models: bool = True
    max_model_len: int | None = None
    version: str | None = "0.32.0"
    token: str | None = None
    first_token_s: float = 0.0
    chunk_s: float = 0.0
    tokens_per_chunk: int = 3
    eos_after_tokens: int = 5  # unless ignore_eos is given and taken
    gives_usage: bool = True
    gives_cached: bool = False
    refuses: tuple[str, ...] = ()  # body fields answered with HTTP 400
    ignores: tuple[str, ...] = ()  # body fields without effect
    fault_of: Callable[[int], str | None] = lambda number: None
    seen: list[Seen] = field(default_factory=list)
    most_in_flight: int = 0
    _in_flight: int = 0
    _cached: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        app = web.Application()
        if self.lists_models:
            app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/chat/completions", self._complete)
        if self.version is not None:
            app.router.add_get("/version", self._version)
        return app

    @property
    def measured(self) -> list[Seen]:
        """What was answered well."""
        return [item for item in self.seen if item.fault is None]

    async def _models(self, request: web.Request) -> web.Response:
        if refusal := self._refused_token(request):
            return refusal
        limit = {} if self.max_model_len is None else {"max_model_len": self.max_model_len}
        return web.json_response({"object": "list", "data": [{"id": name, **limit} for name in self.models]})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refused_token(request):
            return refusal
        body = await request.json()
        for name in self.refuses:
            if name in body:
                return web.json_response({"error": {"message": f"Unrecognized request argument: {name}"}}, status=400)
        if body["model"] not in self.models:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        is_chat = request.path.endswith("/chat/completions")
        prompt = "\n".join(item["content"] for item in body["messages"]) if is_chat else body["prompt"]
        input_tokens = tokens_of(prompt) + (CHAT_OVERHEAD_TOKENS if is_chat else 0)
        if self.max_model_len is not None and input_tokens + body["max_tokens"] > self.max_model_len:
            return web.json_response({"error": {"message": "maximum context length exceeded"}}, status=400)
        is_long = body.get("ignore_eos") and "ignore_eos" not in self.ignores
        output_tokens = body["max_tokens"] if is_long else min(body["max_tokens"], self.eos_after_tokens)
        fault = self.fault_of(len(self.seen))
        self.seen.append(
            Seen(
                path=request.path,
                prompt=prompt,
                body=body,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                fault=fault,
            )
        )
        if fault and fault.startswith("http_"):
            return web.json_response({"error": {"message": "as asked"}}, status=int(fault.removeprefix("http_")))
        if fault == "json":
            return web.json_response({"choices": [{"text": "all at once"}]})
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._stream(request, body, is_chat, prompt, input_tokens, output_tokens, fault)
        except ConnectionError:  # the client has gone
            return web.Response()
        finally:
            self._in_flight -= 1

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        is_chat: bool,
        prompt: str,
        input_tokens: int,
        output_tokens: int,
        fault: str | None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)

        async def say(event: object) -> None:
            text = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"data: {text}\n\n".encode())

        def choice(text: str, end: str | None = None) -> dict[str, Any]:
            piece = {"delta": {"content": text}} if is_chat else {"text": text}
            return {"choices": [{"index": 0, **piece, "finish_reason": end}]}

        await asyncio.sleep(self.first_token_s)
        if is_chat:
            await say({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        left = 0 if fault == "silent" else output_tokens
        while left > 0:
            step = min(self.tokens_per_chunk, left)
            left -= step
            await say(choice(" x" * step, None if left else "length"))
            if fault == "cut":
                assert request.transport
                request.transport.abort()
                return response
            if fault == "stall":
                await asyncio.sleep(60)
            if fault == "error_event":
                await say({"error": {"message": "engine died", "code": 500}})
                return response
            if fault == "garbage":
                await say("{not json")
                return response
            if left:
                await asyncio.sleep(self.chunk_s)
        if self.gives_usage and body.get("stream_options", {}).get("include_usage"):
            usage: dict[str, Any] = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
            if self.gives_cached:
                usage["prompt_tokens_details"] = {"cached_tokens": self._hits(prompt)}
            await say({"choices": [], "usage": usage})
        if fault != "no_done":
            await say("[DONE]")
        return response

    def _hits(self, prompt: str) -> int:
        """Words of the prompt whose whole prefix, in blocks, an earlier prompt had."""
        words, hits = prompt.split(), 0
        for end in range(BLOCK_TOKENS, len(words) + 1, BLOCK_TOKENS):
            prefix = " ".join(words[:end])
            if prefix in self._cached:
                hits = tokens_of(prefix)
            self._cached.add(prefix)
        return hits

    def _refused_token(self, request: web.Request) -> web.Response | None:
        if self.token is None or request.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        return web.json_response({"error": {"message": "secret reason"}}, status=401)


@asynccontextmanager
async def serving_openai(fake: FakeOpenAI) -> AsyncIterator[str]:
    """Serves `fake` on a free port of this machine, in the running loop; yields its base URL."""
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextmanager
def running_openai(fake: FakeOpenAI) -> Iterator[str]:
    """The same in a thread of its own, for tests of what runs its own loop."""
    started, stop, place = threading.Event(), threading.Event(), []

    async def main() -> None:
        async with serving_openai(fake) as url:
            place.append(url)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield place[0]
    finally:
        stop.set()
        thread.join(10)
