"""The way to a Prometheus-compatible API: prometheus-api-client, over a session that keeps this project's rules.

The library builds the calls. The session under it asks only addresses that may be asked, follows no redirect and no
proxy of the environment, never asks twice by itself, reads no more and no longer than allowed, keeps the warnings that
the library drops, and says in words what went wrong. It blocks: call it in a thread.
"""

import errno
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from collectors.addresses import checked_url, refuse_address, shown, target_key, token_variable
from collectors.base import FetchFailed, PageRefused, ScrapeFailure, Target, TargetRefused, excerpt
from collectors.http import HTTP_OK, RETRY_AFTER_CAP_S
from collectors.prometheus.json import read_answer
from costlib.units import KIBI, MEBI

# Who, of several on one Prometheus-compatible server, is asked for (Mimir, Cortex).
TENANT_HEADER = "X-Scope-OrgID"
# The word of an answer that a shorter question would not have got.
TOO_MUCH = "too_many_samples"
_TOO_MUCH = re.compile(
    r"too many (samples|points|chunks|series)|maximum resolution|cannot exceed|exceed\w*.{0,80}(limit|maximum)"
    r"|limit.{0,40}exceed|err-mimir-max",
    re.IGNORECASE,
)
_PIECE_BYTES = 256 * KIBI


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusLimits:
    connect_s: float = 2.0
    idle_s: float = 30.0  # a query is silent until it is done
    total_s: float = 60.0  # by wall clock, from the first byte of the answer on
    body_bytes: int = 256 * MEBI  # after decompression: about ten million samples


class PrometheusClient:
    """One server's API. `warnings` are what it said beside its answers since they were last taken."""

    def __init__(self, target: Target, *, tenant: str | None = None, limits: PrometheusLimits | None = None) -> None:
        """Raises TargetRefused for a URL that may not be asked."""
        address = checked_url(target.url)
        if address.query_string or address.fragment:
            raise TargetRefused(
                "bad_url",
                f"the URL of {shown(address)} has a query or a fragment; give it as far as its path prefix, for "
                "example http://prometheus:9090 or http://mimir:8080/prometheus.",
            )
        url = str(address).rstrip("/")
        headers = {"Authorization": f"Bearer {target.bearer_token}"} if target.bearer_token else {}
        if tenant is not None:
            headers[TENANT_HEADER] = tenant
        self.session = _Session(limits or PrometheusLimits())
        self._api = PrometheusConnect(url=url, headers=headers, session=self.session, retry=Retry(0), method="POST")

    def samples(self, selector: str, start_s: float, end_s: float) -> list[Mapping[str, Any]]:
        """The raw samples in (start_s, end_s] of the series that `selector` picks: "metric" and "values" (n, 2).

        A range selector in an instant query gives samples as they were scraped; a range query would give the last one
        at every step. Raises ScrapeFailure.
        """
        range_s = max(1, int(-((start_s - end_s) // 1)))
        found = self._api.custom_query(f"{selector}[{range_s}s]", params={"time": f"{end_s:.3f}"})
        if not isinstance(found, list) or not all(isinstance(series, dict) for series in found):
            raise self.session.not_prometheus(b"", "the result is no list of series")
        return found

    def label_values(self, label: str, selector: str, start_s: float, end_s: float) -> list[str]:
        """The values that `label` has in the series that `selector` picks. Raises ScrapeFailure."""
        params = {"match[]": selector, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}"}
        return [str(value) for value in self._api.get_label_values(label, params)]

    def taken_warnings(self) -> list[str]:
        warnings, self.session.warnings = self.session.warnings, []
        return list(dict.fromkeys(warnings))

    def close(self) -> None:
        self.session.close()


class _Answer:
    """What the library wants of a response."""

    status_code = HTTP_OK

    def __init__(self, content: bytes, document: Any) -> None:
        self.content = content
        self._document = document

    def json(self) -> Any:
        return self._document


class _Session(requests.Session):
    def __init__(self, limits: PrometheusLimits) -> None:
        super().__init__()
        self.limits = limits
        self.warnings: list[str] = []
        self.trust_env = False  # no proxy, and no password of a .netrc
        self.verify = ssl.get_default_verify_paths().cafile or True  # SSL_CERT_FILE, as for every other request
        self._adapter = _GuardedAdapter(max_retries=Retry(0))
        self._where = ""

    def get_adapter(self, url: str) -> HTTPAdapter:
        """Whatever is mounted, by the library too."""
        return self._adapter

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _Answer:
        """Only what the library asks of a session. A POST carries its parameters as a form: they outgrow a URL."""
        self._where = shown(checked_url(url))
        where = {"data": params} if method == "POST" else {"params": params}
        limits = self.limits
        try:
            response = super().request(
                method,
                url,
                headers=dict(headers or {}),
                timeout=(limits.connect_s, limits.idle_s),
                allow_redirects=False,
                stream=True,
                **where,  # type: ignore[arg-type]
            )
            with response:
                body = self._body(response)
        except ScrapeFailure:
            raise
        except (requests.RequestException, HTTPError, OSError) as error:
            word, message = _explain(error, limits)
            raise FetchFailed(word, f"{self._where}: {message}") from error
        if response.status_code != HTTP_OK:
            raise self._refusal(response, body)
        return _Answer(body, self._document(body))

    def not_prometheus(self, body: bytes, why: str) -> PageRefused:
        return PageRefused(
            "not_prometheus",
            f"{self._where}: the answer is not that of a Prometheus API ({why}): {excerpt(body)}. Is there a login in "
            "front of it, or does the URL miss its path prefix (http://host:port/prefix, without /api/v1)?",
        )

    def _body(self, response: requests.Response, clock: Callable[[], float] = time.monotonic) -> bytes:
        limits = self.limits
        until_s = clock() + limits.total_s
        pieces, size = [], 0
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > limits.body_bytes:
                raise FetchFailed(
                    TOO_MUCH,
                    f"{self._where}: the answer is over {limits.body_bytes / MEBI:g} MiB. Narrow it with `matchers`.",
                )
            if clock() > until_s:
                raise FetchFailed(
                    "timeout", f"{self._where}: no whole answer within {limits.total_s:g} s. Is it overloaded?"
                )
        return b"".join(pieces)

    def _document(self, body: bytes) -> Any:
        try:
            document = read_answer(body)
        except (ValueError, RecursionError) as error:
            kind = "a web page" if body.lstrip()[:1] == b"<" else f"no JSON: {excerpt(str(error))}"
            raise self.not_prometheus(body, kind) from None
        if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
            raise self.not_prometheus(body, "it has no status")
        if document["status"] == "error":
            raise self._said(document, HTTP_OK)
        data = document.get("data")
        if not (isinstance(data, list) or (isinstance(data, dict) and "result" in data)):
            raise self.not_prometheus(body, "it has no data")
        for kind in ("warnings", "infos"):
            said = document.get(kind)
            self.warnings += [f"{self._where}: {kind[:-1]} {excerpt(str(text))}" for text in _listed(said)]
        if document.get("isPartial"):  # VictoriaMetrics, when a storage node did not answer
            self.warnings.append(f"{self._where}: the answer is partial: a part of its storage did not answer")
        return document

    def _said(self, document: Mapping[str, Any], status: int) -> ScrapeFailure:
        """The error that a Prometheus API tells in its own words."""
        kind, said = excerpt(str(document.get("errorType", ""))), str(document.get("error", ""))
        told = f"{self._where}: refused the query (HTTP {status}, {kind}): {excerpt(said)}."
        if _TOO_MUCH.search(said):
            return FetchFailed(TOO_MUCH, f"{told} Narrow it with `matchers`, or raise the limit there.")
        if document.get("errorType") in ("timeout", "canceled"):
            return FetchFailed("timeout", f"{told} Narrow it with `matchers`, or give the server more time.")
        if document.get("errorType") in ("internal", "unavailable"):
            return FetchFailed("query_failed", f"{told} See that server's own log.")
        return PageRefused("query_refused", f"{told} Look at the `matchers` of this source.")

    def _refusal(self, response: requests.Response, body: bytes) -> ScrapeFailure:
        """What an answer other than 200 means. Nothing is quoted of an answer about credentials."""
        status, where = response.status_code, self._where
        if status in (401, 403):
            variable = token_variable(target_key(checked_url(str(response.url)).origin()))
            return FetchFailed(
                "auth",
                f"{where}: the server wants credentials (HTTP {status}). Put a bearer token into the environment "
                f"variable {variable} and, where there are tenants, name yours with `tenant`.",
            )
        if 300 <= status < 400:
            location = excerpt(response.headers.get("Location", ""))
            return FetchFailed(
                "redirected", f"{where}: sends us on to {location} (HTTP {status}), which is not followed. Name it."
            )
        with suppress(ValueError, RecursionError):
            document = read_answer(body)
            if isinstance(document, dict) and document.get("status") == "error":
                failure = self._said(document, status)
                failure.retry_after_s = _retry_after_s(response)
                return failure
        if status == 404:
            return FetchFailed(
                "not_found", f"{where}: no such API (HTTP 404: {excerpt(body)}). Does the URL miss its path prefix?"
            )
        if _TOO_MUCH.search(body[:_PIECE_BYTES].decode("utf-8", "replace")):
            return FetchFailed(TOO_MUCH, f"{where}: HTTP {status}: {excerpt(body)}. Narrow it with `matchers`.")
        return FetchFailed(f"http_{status}", f"{where}: answered HTTP {status}: {excerpt(body)}.",
                           retry_after_s=_retry_after_s(response))  # fmt: skip


class _Guarded:
    """A connection goes to an address that may be asked, or nowhere."""

    host: str
    port: int
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        with suppress(socket.gaierror):  # is told below
            for found in socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM):
                refuse_address(str(found[4][0]), self.host)
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        try:  # the name may have changed its meaning since
            refuse_address(connected.getpeername()[0], self.host)
        except TargetRefused:
            connected.close()
            raise
        return connected


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = type("_Http", (_Guarded, HTTPConnection), {})


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = type("_Https", (_Guarded, HTTPSConnection), {})


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else [said] if said else []


def _retry_after_s(response: requests.Response) -> float | None:
    asked = response.headers.get("Retry-After", "").strip()
    return min(float(asked), RETRY_AFTER_CAP_S) if asked.isascii() and asked.isdigit() else None


def _explain(error: Exception, limits: PrometheusLimits) -> tuple[str, str]:
    """The word and the sentence for what the network did. In this order: the errors derive from each other."""
    reason = excerpt(str(error) or type(error).__name__)
    text = repr(error)
    match error:
        case requests.ConnectTimeout():
            return "timeout", f"no connection within {limits.connect_s:g} s. Is the host up, and its port open to us?"
        case requests.Timeout() | ReadTimeoutError() | TimeoutError():
            return "timeout", f"no answer for {limits.idle_s:g} s. Is the query too wide, or the server overloaded?"
        case requests.exceptions.SSLError():
            return "tls", f"no trusted TLS connection: {reason}. Add its CA with SSL_CERT_FILE, or look at the port."
        case requests.exceptions.ContentDecodingError() | DecodeError():
            return "bad_encoding", "the answer says it is compressed and is not."
        case requests.ConnectionError() if "NameResolutionError" in text:
            return "dns", "the host name does not resolve. Is it spelled right, and known to this machine's DNS?"
        case requests.ConnectionError() if "NewConnectionError" in text and f"[Errno {errno.ECONNREFUSED}]" in text:
            return "refused", "nothing listens there. Is Prometheus running, and is the port right?"
        case requests.ConnectionError() if "NewConnectionError" in text:
            return "unreachable", f"no connection: {reason}."
        case _:
            return "dropped", f"the connection broke before the end of the answer: {reason}."
