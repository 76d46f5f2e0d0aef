"""The one way out to the network: a GET, or the POST of an alert, to addresses that may be asked, limited in all.

Targets are named by the user, so loopback and private addresses are allowed. Link-local ones are not, because behind
them a cloud hands out credentials (`addresses.py`). Redirects are reported and not followed for the same reason.
"""

import asyncio
import errno
import socket
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from collectors.addresses import checked_url, refuse_address, shown, target_key, token_variable
from collectors.base import FetchFailed, ScrapeFailure, TargetRefused, excerpt
from costlib.units import KIBI, MEBI

HTTP_OK = 200
# What a server that asks us to wait is granted at most.
RETRY_AFTER_CAP_S = 600.0
# Error pages are read only as far as they are quoted.
ERROR_BODY_BYTES = 4 * KIBI


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    connect_s: float = 2.0
    idle_s: float = 3.0  # between two pieces of the answer
    total_s: float = 8.0  # by wall clock, however slowly the bytes drip
    wire_bytes: int = 4 * MEBI
    body_bytes: int = 16 * MEBI  # after decompression
    expansion_ratio: float = 200.0
    header_bytes: int = 8 * KIBI  # each
    headers_count: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    body: bytes  # decompressed
    wire_bytes: int
    content_type: str


class HttpClient:
    """`async with HttpClient() as http: await http.get_bytes(url)`. Safe to share between tasks of one event loop."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self.limits
        # No limit on connections here: waiting for one would count as connecting. `run.py` bounds the concurrency.
        connector = aiohttp.TCPConnector(resolver=GuardedResolver(), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_s, sock_read=limits.idle_s),
            headers={"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "gzip", "User-Agent": "permillion"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers_count,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get_bytes(self, url: str, *, bearer_token: str | None = None, tls_verify: bool = True) -> HttpResponse:
        """The whole body behind `url`. Raises TargetRefused for a URL that may not be asked, else FetchFailed.

        A connection that the server closed between two scrapes is opened again, once (aiohttp does it for a GET): vLLM
        drops idle connections after 5 s, and about one scrape in forty meets one that is just being closed.
        """
        if self._session is None:
            raise RuntimeError("HttpClient is used within `async with`")
        address = checked_url(url)
        headers = {"Authorization": f"Bearer {bearer_token}"} if bearer_token else {}
        try:
            async with asyncio.timeout(self.limits.total_s):
                async with self._session.get(
                    address, headers=headers, allow_redirects=False, ssl=tls_verify
                ) as response:
                    if response.status != HTTP_OK:
                        raise await _refusal(response, shown(address), bearer_token)
                    body, wire_bytes = await _read(response, self.limits)
                    return HttpResponse(body=body, wire_bytes=wire_bytes, content_type=response.content_type)
        except ScrapeFailure:
            raise
        except (aiohttp.ClientError, OSError, zlib.error) as error:
            word, message = _explain(error, self.limits)
            raise FetchFailed(word, f"{shown(address)}: {message}") from error

    async def post_json(self, address: URL, body: bytes) -> None:
        """Hand `body` to a webhook that `checked_webhook` let through. Raises FetchFailed unless it says 2xx.

        Path and query are secrets: no message has them, nor what a redirect or an answer quotes of them.
        """
        if self._session is None:
            raise RuntimeError("HttpClient is used within `async with`")
        host = excerpt(address.host_port_subcomponent or "")
        try:
            async with asyncio.timeout(self.limits.total_s):
                async with self._session.post(
                    address, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
                ) as response:
                    if 300 <= response.status < 400:
                        raise FetchFailed("redirected", f"{host} sends us on elsewhere, which is not followed.")
                    if not 200 <= response.status < 300:
                        raise FetchFailed(f"http_{response.status}", f"{host} answered HTTP {response.status}.")
        except ScrapeFailure:
            raise
        except (aiohttp.ClientError, OSError) as error:
            word, _ = _explain(error, self.limits)
            raise FetchFailed(word, f"{host} took no message ({word}).") from None


def checked_webhook(url: str, variable: str) -> URL:
    """`url` as an address that messages may be sent to; raises TargetRefused naming the variable it is from.

    Its path and query may be secret, unlike those of what is scraped, as they are shown nowhere.
    """
    try:
        address = URL(url)
        plain = checked_url(str(address.origin())) if address.raw_user is None else None
    except (ValueError, TargetRefused):
        plain = None
    if plain is None:
        raise TargetRefused(
            "bad_url",
            f"the address in {variable} is refused: an http or https URL without a user name, of a host that is not"
            " link-local, is needed.",
        )
    return address


class Unverified:
    """The same way out, for a target whose owner gave up on checking its certificate (`tls_verify = false`)."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> HttpResponse:
        return await self._http.get_bytes(url, bearer_token=bearer_token, tls_verify=False)


class GuardedResolver(AbstractResolver):
    """Resolves a name once and hands out only addresses that may be asked, so the connection goes where was checked."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            refuse_address(result["host"], host)
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def _read(response: aiohttp.ClientResponse, limits: HttpLimits) -> tuple[bytes, int]:
    """The body and its size on the wire, decompressed as it comes, so that nothing over a limit is ever held."""

    def failed(word: str, said: str) -> FetchFailed:
        return FetchFailed(word, f"{shown(response.url)}: {said}")

    def too_large() -> FetchFailed:
        return failed(
            "body_too_large",
            f"the answer is too large: over {limits.wire_bytes / MEBI:g} MiB sent, "
            f"{limits.body_bytes / MEBI:g} MiB unpacked or {limits.expansion_ratio:g} times its packed size. "
            "Is it a metrics page?",
        )

    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise failed("bad_encoding", f"encoded as {excerpt(encoding)}; only gzip and identity are read.")
    if (response.content_length or 0) > limits.wire_bytes:
        raise too_large()
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    body, wire_bytes = bytearray(), 0
    async for chunk in response.content.iter_any():
        wire_bytes += len(chunk)
        body += inflate.decompress(chunk, limits.body_bytes + 1 - len(body)) if inflate else chunk
        if wire_bytes > limits.wire_bytes or len(body) > min(limits.body_bytes, limits.expansion_ratio * wire_bytes):
            raise too_large()
    if inflate and not inflate.eof:
        raise failed("truncated", f"the compressed answer was cut after {wire_bytes:,} bytes.")
    if inflate and inflate.unused_data:
        raise failed("bad_encoding", "the compressed answer is followed by something else.")
    return bytes(body), wire_bytes


async def _refusal(response: aiohttp.ClientResponse, where: str, secret: str | None) -> FetchFailed:
    """What an answer other than 200 means. Nothing is quoted of an answer about credentials, and never a `secret`."""

    def quoted(text: str) -> str:
        return excerpt(text.replace(secret, "[token]") if secret else text)

    status = response.status
    if status in (401, 403):
        return FetchFailed(
            "auth",
            f"{where}: the server wants credentials (HTTP {status}). Put a bearer token into the environment variable "
            f"{token_variable(target_key(response.url))}, or let this machine read the page without one.",
        )
    if 300 <= status < 400:
        location = quoted(response.headers.get("Location", ""))
        return FetchFailed(
            "redirected",
            f"{where}: sends us on to {location} (HTTP {status}), which is not followed. If you trust that address, "
            "name it as the target yourself.",
        )
    said = quoted((await response.content.read(ERROR_BODY_BYTES)).decode("utf-8", "replace"))
    if status == 404:
        return FetchFailed(
            "not_found", f"{where}: no such page (HTTP 404: {said}). vLLM serves its metrics at /metrics."
        )
    return FetchFailed(
        f"http_{status}", f"{where}: answered HTTP {status}: {said}.", retry_after_s=_retry_after_s(response)
    )


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """The wait a busy server asks for in seconds, capped; None when it asks for none or names a date."""
    asked = response.headers.get("Retry-After", "").strip()
    return min(float(asked), RETRY_AFTER_CAP_S) if asked.isascii() and asked.isdigit() else None


def _explain(error: Exception, limits: HttpLimits) -> tuple[str, str]:
    """The word and the sentence for what the network did. In this order: aiohttp's errors derive from each other."""
    reason = excerpt(str(error) or type(error).__name__)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "timeout", f"no connection within {limits.connect_s:g} s. Is the host up, and its port open to us?"
        case aiohttp.SocketTimeoutError():
            return "timeout", f"the answer stalled for {limits.idle_s:g} s. Is the server overloaded?"
        case TimeoutError():
            return "timeout", f"no whole answer within {limits.total_s:g} s. Is the server overloaded?"
        case aiohttp.ClientConnectorDNSError():
            return "dns", "the host name does not resolve. Is it spelled right, and known to this machine's DNS?"
        case aiohttp.ClientConnectorCertificateError():
            found = error.certificate_error
            reason = excerpt(getattr(found, "verify_message", "") or str(found))
            why = f"the server's certificate is not trusted: {reason}."
            return "tls", f"{why} Add its CA with SSL_CERT_FILE; see also tls_verify in permillion.toml."
        case aiohttp.ClientSSLError():
            return "tls", f"no TLS connection: {reason}. Does the server speak https on this port?"
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return "refused", "nothing listens there. Is vLLM running, and is the port right?"
        case aiohttp.ClientConnectorError():
            return "unreachable", f"no connection: {reason}."
        case aiohttp.ServerDisconnectedError():
            return "dropped", "the server closed the connection without an answer, twice. Is it shutting down?"
        case aiohttp.ClientPayloadError():
            return "truncated", "the answer was cut before its end; nothing of it is used."
        case zlib.error():
            return "bad_encoding", "the answer says it is gzip and is not."
        case aiohttp.ClientResponseError():
            return "bad_http", f"the answer is not HTTP as we accept it: {reason}."
        case _:
            return "dropped", f"the connection broke: {reason}."
