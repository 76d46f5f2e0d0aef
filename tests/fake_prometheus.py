"""A stand-in for a Prometheus-compatible server: raw samples that a test makes up, over its real API, with faults.

It knows instant queries of a range selector, which is how raw samples are asked for, and the values of a label. Samples
come from `scraped`, which does to a metrics page what a scrape does: it adds the labels of the target.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
# What to answer instead: status, body and headers; None: what it would answer anyway.
Fault = Callable[[str, Mapping[str, str]], "tuple[int, bytes, Mapping[str, str]] | None"]

_SELECTOR = re.compile(r"(\{.*\})\[(\d+)s\]", re.DOTALL)
_MATCHER = re.compile(r'([a-zA-Z_]\w*)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


@dataclass
class Series:
    """Samples of one series; a value is kept as text, as the API gives it ("NaN", "+Inf")."""

    labels: dict[str, str]
    times_s: list[float] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


def series_of(labels: Labels, times_s: Sequence[float], values: Iterable[object]) -> Series:
    return Series(dict(labels), list(map(float, times_s)), [text_of(value) for value in values])


def text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    if np.isnan(number):
        return "NaN"
    return ("+Inf" if number > 0 else "-Inf") if np.isinf(number) else repr(number)


def scraped(pages: Iterable[tuple[float, str | None]], target: Labels) -> list[Series]:
    """What Prometheus keeps of pages, each with the time [unix s] at which it was scraped; None: the scrape failed."""
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    for at_s, page in pages:
        for family in text_string_to_metric_families(page) if page else ():
            for sample in family.samples:
                renamed = {(f"exported_{k}" if k in target else k): v for k, v in sample.labels.items()}
                labels = {"__name__": sample.name, **renamed, **target}
                series = found.setdefault(tuple(sorted(labels.items())), Series(labels))
                series.times_s.append(at_s)
                series.values.append(text_of(sample.value))
    return list(found.values())


class FakePrometheus:
    """`with FakePrometheus(series) as server: server.url`. `asked` are the requests: path and parameters."""

    def __init__(
        self, series: Iterable[Series] = (), *, fault: Fault | None = None, extra: Labels | None = None
    ) -> None:
        self.series = list(series)
        self.fault = fault
        self.extra: dict[str, Any] = dict(extra or {})  # beside the data of every answer: warnings, isPartial
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, params: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        if self.fault and (said := self.fault(path, params)) is not None:
            return said
        if path == "/api/v1/query" and (found := _SELECTOR.fullmatch(params["query"])):
            return success(self._matrix(found[1], float(params["time"]), float(found[2])), self.extra)
        if path == "/api/v1/query_range":
            return too_many_points()
        if path.startswith("/api/v1/label/"):
            begin_s, end_s = float(params["start"]), float(params["end"])
            name = path.split("/")[4]
            chosen = (series for series in self._chosen(params["match[]"]) if _rows(series, begin_s, end_s) != (0, 0))
            return success(sorted({series.labels[name] for series in chosen if name in series.labels}), self.extra)
        return 404, b"404 page not found", {}

    def _matrix(self, selector: str, end_s: float, range_s: float) -> dict[str, Any]:
        result = []
        for series in self._chosen(selector):
            begin, end = _rows(series, end_s - range_s, end_s)
            if begin < end:
                pairs = zip(series.times_s[begin:end], series.values[begin:end], strict=True)
                result.append({"metric": series.labels, "values": [list(pair) for pair in pairs]})
        return {"resultType": "matrix", "result": result}

    def _chosen(self, selector: str) -> list[Series]:
        matchers = [(name, op, json.loads(f'"{text}"')) for name, op, text in _MATCHER.findall(selector)]
        return [series for series in self.series if all(_matches(series.labels, *matcher) for matcher in matchers)]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # the answer in one piece: no waiting for the client's acknowledgement

            def do_GET(self) -> None:
                self._serve(urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

            def _serve(self, query: str) -> None:
                path = urlsplit(self.path).path
                params = {name: values[0] for name, values in parse_qs(query).items()}
                fake.asked.append((path, params))
                fake.headers.append(dict(self.headers))
                status, body, headers = fake.answer(path, params)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the client has gone
                    self.close_connection = True

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        return Handler


def success(data: object, extra: Mapping[str, Any] | None = None) -> tuple[int, bytes, Mapping[str, str]]:
    text = json.dumps({"status": "success", "data": data, **(extra or {})}, separators=(",", ":"))
    return 200, text.encode(), {"Content-Type": "application/json"}


def refusal(kind: str, said: str, status: int = 422, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
    """An error in the words of the API."""
    return status, json.dumps({"status": "error", "errorType": kind, "error": said}).encode(), headers


def too_many_points() -> tuple[int, bytes, Mapping[str, str]]:
    return refusal(
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        400,
    )


def too_many_samples() -> tuple[int, bytes, Mapping[str, str]]:
    return refusal("execution", "query processing would load too many samples into memory in query execution", 422)


def _rows(series: Series, begin_s: float, end_s: float) -> tuple[int, int]:
    """The rows in [begin_s, end_s]: closed at both ends, as Prometheus 2 has it; a client has to cope."""
    begin, end = np.searchsorted(series.times_s, begin_s), np.searchsorted(series.times_s, end_s, side="right")
    return (int(begin), int(end)) if begin < end else (0, 0)


def _matches(labels: Labels, name: str, op: str, text: str) -> bool:
    value = labels.get(name, "")
    found = value == text if op in ("=", "!=") else re.fullmatch(text, value) is not None
    return found == (op in ("=", "=~"))
