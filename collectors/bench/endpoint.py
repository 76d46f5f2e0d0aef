"""An OpenAI-compatible server: which model it has, which fields it takes, how it counts our words."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import ceil
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from collectors.addresses import shown
from collectors.base import ScrapeFailure, excerpt
from collectors.bench.figures import total
from collectors.bench.prompts import WORDS, Ask, Calibration, calibration
from collectors.bench.report import Everything
from collectors.bench.request import Api, BenchRequest, base_url
from collectors.bench.stream import Answer, RequestFailed, explained, refuse_bad_answer, stream_answer
from collectors.http import GuardedResolver
from costlib.errors import ConfigError, UnknownKey
from costlib.estimate import Undefined
from costlib.units import KIBI, MEBI

CONNECT_S = 10.0
# vLLM closes connections that were idle for 5 s; one that is just being closed would fail a request that is none.
KEEP_ALIVE_S = 2.0
PROBE_BYTES = 4 * MEBI
PROBE_TOKENS = 4
# The longer probe must fit the context: no tokenizer takes so many tokens for a word, and hardly a server holds fewer.
TOKENS_PER_WORD_LIMIT, ASSUMED_CONTEXT_TOKENS = 6, 4096
NAME_CHARS = 300
# What a request can do without, in the order in which it is left out when a server refuses it without naming a field.
OPTIONAL_FIELDS = ("ignore_eos", "stream_options", "temperature")
REFUSED = ("http_400", "http_422")
NO_SUCH_PATH = ("http_404", "http_405", "http_501")
LOST = ("dns", "refused", "tls", "unreachable", "blocked_address", "timeout", "dropped", "bad_http")


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """`async with Endpoint(...) as endpoint: await endpoint.meet()`, then `send` requests."""

    request: BenchRequest
    bearer_token: str | None = field(repr=False)
    token_name: str
    base: URL
    model: str = ""
    server_version: str | None = None
    most_context_tokens: int | None = None
    calibrated: Calibration | Undefined = field(default_factory=lambda: Undefined(reason="nothing was asked yet"))
    counts_tokens: bool = False
    fields_left_out: list[str] = field(default_factory=list)
    sent_count: int = 0
    answers: list[tuple[int | None, int | None]] = field(default_factory=list)  # input and output tokens of each
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Accept-Encoding": "identity", "User-Agent": "permillion"}
        if self.bearer_token:
            headers["Authorization"] = f"Bearer {self.bearer_token}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=GuardedResolver(), limit=0, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=64 * KIBI,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def meet(self, seed: int) -> None:
        """Finds model, version and limits, learns which fields are refused and how words are counted.

        Raises ConfigError with one sentence on what to mend when the server cannot be measured.
        """
        try:
            self._choose_model(await self._get("/v1/models"))
        except RequestFailed as error:
            if error.kind not in NO_SUCH_PATH or not self.request.model:
                raise ConfigError(self._why_not(error, self._address("/v1/models"))) from None
            self.model = self.request.model  # a gateway that lists nothing
        with suppress(RequestFailed):
            version = (await self._get("/version")).get("version")
            self.server_version = version[:NAME_CHARS] if isinstance(version, str) else None
        probe = Ask(key="probe", prompt=WORDS[seed % len(WORDS)], input_tokens=1, output_tokens=PROBE_TOKENS)
        answer = await self._accepted(probe)
        self.counts_tokens = answer.output_tokens is not None
        if answer.input_tokens is None:
            self.calibrated = Undefined(reason="the server's streams carry no usage.prompt_tokens")
            return
        most_words = min(len(WORDS), (self.most_context_tokens or ASSUMED_CONTEXT_TOKENS) // TOKENS_PER_WORD_LIMIT)
        words = WORDS[:: ceil(len(WORDS) / max(2, most_words))]  # from all over: the first ones are short
        try:
            longer = await self.send(replace(probe, prompt=" ".join(words)))
        except RequestFailed as error:
            self.calibrated = Undefined(reason=f"a prompt of {len(words)} words was not answered ({error.kind})")
            return
        if longer.input_tokens is not None:
            self.calibrated = calibration((1, len(words)), (answer.input_tokens, longer.input_tokens))

    async def send(self, ask: Ask) -> Answer:
        """One request, streamed and timed. Raises RequestFailed."""
        clock = asyncio.get_running_loop().time
        self.sent_count += 1
        answer = await stream_answer(self._open_session, self._url, self._body(ask), self.request.timeout_s, clock)
        self.answers.append((answer.input_tokens, answer.output_tokens))
        return answer

    @property
    def everything(self) -> Everything:
        """What the server was asked and what it answered so far, probes and warm-up included."""
        return Everything(
            sent_count=self.sent_count,
            done_count=len(self.answers),
            input_tokens=total([tokens for tokens, _ in self.answers]),
            output_tokens=total([tokens for _, tokens in self.answers]),
        )

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Endpoint is used within `async with`")
        return self._session

    @property
    def _url(self) -> str:
        return self._address("/v1/chat/completions" if self.request.api == Api.CHAT else "/v1/completions")

    def _address(self, path: str) -> str:
        return str(self.base).rstrip("/") + path

    def _body(self, ask: Ask) -> dict[str, Any]:
        optional: Mapping[str, Any] = {
            "temperature": 0,
            "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }
        is_chat = self.request.api == Api.CHAT
        prompt = {"messages": [{"role": "user", "content": ask.prompt}]} if is_chat else {"prompt": ask.prompt}
        kept = {name: value for name, value in optional.items() if name not in self.fields_left_out}
        return {"model": self.model, "stream": True, "max_tokens": ask.output_tokens, **prompt, **kept}

    async def _accepted(self, ask: Ask) -> Answer:
        """The answer to a probe, leaving out one optional field after another while the server refuses the body."""
        while True:
            try:
                return await self.send(ask)
            except RequestFailed as error:
                left = [name for name in OPTIONAL_FIELDS if name not in self.fields_left_out]
                if error.kind not in REFUSED or not left:
                    raise ConfigError(self._why_not(error, self._url)) from None
                self.fields_left_out.append(next((name for name in left if name in str(error)), left[0]))

    async def _get(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`. Raises RequestFailed."""
        try:
            async with asyncio.timeout(CONNECT_S):
                async with self._open_session.get(self._address(path), allow_redirects=False) as response:
                    await refuse_bad_answer(response, wanted="application/json")
                    content = bytearray()
                    async for piece in response.content.iter_any():
                        content += piece
                        if len(content) > PROBE_BYTES:
                            raise RequestFailed("not_json", "the answer is too large")
        except (aiohttp.ClientError, OSError, ScrapeFailure) as error:
            raise RequestFailed(*explained(error, False, CONNECT_S)) from None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RequestFailed("not_json", f"no JSON object: {excerpt(bytes(content))}")
        return document

    def _choose_model(self, document: Mapping[str, Any]) -> None:
        listed = document.get("data")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        models = {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), str)}
        if not models:
            raise ConfigError(
                f"{self._address('/v1/models')} lists no model. Is it OpenAI-compatible, with a model loaded?"
            )
        wanted = self.request.model
        if wanted and wanted not in models:
            raise UnknownKey("model", wanted, [name[:NAME_CHARS] for name in models], f"the list of {shown(self.base)}")
        if not wanted and len(models) > 1:
            names = ", ".join(excerpt(name) for name in sorted(models)[:10])
            raise ConfigError(f"{shown(self.base)} serves {len(models)} models ({names}): name one with --model.")
        self.model = wanted or next(iter(models))
        limit = models[self.model].get("max_model_len")
        self.most_context_tokens = (
            limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 1 else None
        )

    def _why_not(self, error: RequestFailed, url: str) -> str:
        """What the user can do about a server that gave no answer to the first question."""
        match error.kind:
            case "http_401" | "http_403":
                return (
                    f"{url}: the server wants credentials ({error}). Put a bearer token into the environment variable "
                    f"{self.token_name}."
                )
            case kind if kind in NO_SUCH_PATH:
                other = "completions" if self.request.api == Api.CHAT else "chat"
                return (
                    f"{url}: no such path ({error}). Give the server's base address, for example http://gpu-1:8000, "
                    f"or try --api {other}."
                )
            case kind if kind in LOST:
                return f"{url}: {error}. Is the server up, and the address right?"
            case "not_a_stream" | "not_json":
                return f"{url}: {error}. Is this an OpenAI-compatible server that can stream?"
            case _:
                return f"{url}: the first request failed ({error.kind}): {error}."


def endpoint_for(request: BenchRequest, bearer_token: str | None, token_name: str) -> Endpoint:
    return Endpoint(request=request, bearer_token=bearer_token, token_name=token_name, base=base_url(request.url))
