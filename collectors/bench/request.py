"""What a benchmark is asked to do, checked before anything is sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from yarl import URL

from collectors.addresses import checked_url, target_key, token_variable
from collectors.base import excerpt
from collectors.bench.figures import Targets
from collectors.bench.lengths import MOST_TOKENS, Lengths, checked_correlation, lengths_from, load_trace
from costlib.errors import ConfigError, UnknownKey
from costlib.units import MEGA, SECONDS_PER_DAY

MOST_CONCURRENCY = 10_000
MOST_RATE = 10_000.0
MOST_STAGES = 50
MOST_REQUESTS = int(MEGA)
_ENDPOINT_PATH = re.compile(r"(/v1)?(/(chat/)?completions|/models|/metrics)?/*$")


class Api(StrEnum):
    CHAT = "chat"
    COMPLETIONS = "completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """One benchmark: an endpoint, a stage of load per concurrency or rate, and the shape of its requests.

    A stage ends after `requests_count` requests or `duration_s` seconds of sending, whichever is first; without either,
    after DEFAULT_DURATION_S. Requests under way are then waited for, up to `timeout_s` each.
    """

    url: str
    api: str = Api.CHAT
    model: str = ""  # empty: the only model the server lists
    concurrencies: tuple[int, ...] = ()  # closed loop: so many requests at any time
    rates: tuple[float, ...] = ()  # open loop: Poisson arrivals in requests/s that wait for no answer
    requests_count: int | None = None
    duration_s: float | None = None
    warmup_count: int = 4  # before each stage, left out of every figure
    timeout_s: float = 300.0
    deadline_s: float | None = None  # for the whole run
    input_tokens: str = "512"
    output_tokens: str = "128"
    trace: str = ""  # draws both lengths instead
    rank_correlation: float | None = None  # of input and output length; None: the trace's, else 0
    shared_prefix_tokens: int = 0  # the same words before every prompt, on top of its length
    seed: int | None = None  # None: from the clock, and recorded
    targets: Targets = field(default_factory=Targets)
    usd_per_hour: float | None = None  # of all the endpoint's GPUs together
    target_usd_per_mtok: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # what no endpoint tells: GPU, count, dtype, flags
    keep_rows: bool = False

    def __post_init__(self) -> None:
        if self.api not in list(Api):
            raise UnknownKey("API", self.api, list(Api))
        if not 1 <= len(self.concurrencies) + len(self.rates) <= MOST_STAGES:
            raise ConfigError(f"name 1 to {MOST_STAGES} concurrencies or rates in all; each is one stage.")
        for count in self.concurrencies:
            _within("a concurrency", count, 1, MOST_CONCURRENCY)
        for rate in self.rates:
            _within("a rate in requests/s", rate, 0.001, MOST_RATE)
        _within("the number of requests per stage", self.requests_count, 1, MOST_REQUESTS)
        _within("the number of warm-up requests", self.warmup_count, 0, MOST_REQUESTS)
        _within("the shared prefix in tokens", self.shared_prefix_tokens, 0, MOST_TOKENS)
        for what, seconds in (
            ("the duration of a stage", self.duration_s),
            ("the time-out of a request", self.timeout_s),
            ("the deadline of the run", self.deadline_s),
            ("the TTFT target", self.targets.ttft_s),
            ("the TPOT target", self.targets.tpot_s),
            ("the e2e target", self.targets.e2e_s),
        ):
            _within(f"{what} in seconds", seconds, 0.0001, SECONDS_PER_DAY)
        _within("the price in $ per hour", self.usd_per_hour, 0.0001, MEGA)
        _within("the target in $ per million tokens", self.target_usd_per_mtok, 0.0001, MEGA)
        if self.target_usd_per_mtok is not None and self.usd_per_hour is None:
            raise ConfigError("a target in $ per million tokens needs the price: give --usd-per-hour as well.")
        self.lengths()
        base_url(self.url)

    def lengths(self) -> tuple[Lengths, Lengths, float]:
        """Input and output lengths and how their ranks correlate. Raises ConfigError or UnknownKey."""
        asked = 0.0 if self.rank_correlation is None else checked_correlation(self.rank_correlation)
        if not self.trace:
            given = lengths_from(self.input_tokens, "--input"), lengths_from(self.output_tokens, "--output")
            return (*given, asked)
        trace = load_trace(self.trace)
        correlation = trace.rank_correlation if self.rank_correlation is None else asked
        return trace.input_tokens, trace.output_tokens, correlation


def base_url(url: str) -> URL:
    """The server's address before /v1, however much of an endpoint's path was given. Raises ConfigError.

    >>> str(base_url("http://gpu-1:8000/v1/chat/completions"))
    'http://gpu-1:8000'
    """
    address = checked_url(url)
    if address.query_string or address.fragment:
        raise ConfigError(f"{excerpt(url)}: leave out what follows the path, for example http://gpu-1:8000.")
    return address.with_path(_ENDPOINT_PATH.sub("", address.path))


def token_of(url: str, env: Mapping[str, str]) -> tuple[str, str | None]:
    """The environment variable that holds the server's bearer token, and the token when it is set."""
    name = token_variable(target_key(base_url(url)))
    return name, env.get(name, "").strip() or None


def _within(what: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not (isfinite(value) and least <= value <= most):
        raise ConfigError(f"{what} goes from {least:g} to {most:,.0f}, not {value}.")
