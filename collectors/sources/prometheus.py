"""Any server with the API of Prometheus that scrapes vLLM: Prometheus, VictoriaMetrics, Thanos, Mimir.

Read are raw samples, each at the time it was scraped: `rate` and `increase` extrapolate, and what they add up to is
not what was counted. A tick reads what is new and a little before it, for samples that come late and for gaps that the
other member of a pair can fill; what is stored already is left out by the run loop.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from collectors.base import CollectContext, Collector, FetchFailed, PageRefused, Readings, Target, excerpt
from collectors.prometheus.http import PrometheusClient, PrometheusLimits
from collectors.prometheus.query import PrometheusOptions
from collectors.prometheus.series import SERIES_COUNT_LIMIT, found_in, servers_in
from collectors.vllm.aliases import load_aliases
from costlib.units import SECONDS_PER_HOUR

ALIASES = load_aliases()
# After a long absence this much is read in one tick, and the rest in those that follow.
CATCH_UP_S = 6 * SECONDS_PER_HOUR
LIVE_LIMITS = PrometheusLimits(idle_s=10.0, total_s=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The raw samples in (start_s, end_s] [unix s], as the server's API tells them; `starts` of the processes."""

    start_s: float
    end_s: float
    engines: Sequence[Mapping[str, Any]]
    starts: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()

    @property
    def newest_s(self) -> float:
        return max((float(one["values"][-1, 0]) for one in self.engines if len(one.get("values", ()))), default=0.0)


def options_of(target: Target) -> PrometheusOptions:
    """Raises ConfigError naming the target and what is allowed."""
    return PrometheusOptions.of(target.options, f"the options of {target.key}")


def client_of(target: Target, limits: PrometheusLimits | None = None) -> PrometheusClient:
    """Raises TargetRefused for a URL that may not be asked."""
    return PrometheusClient(target, tenant=options_of(target).tenant, limits=limits)


def read(client: PrometheusClient, options: PrometheusOptions, start_s: float, end_s: float) -> Answer:
    """Asks for everything in (start_s, end_s]. Blocks; raises ScrapeFailure."""
    client.taken_warnings()
    engines = client.samples(options.engine_selector(ALIASES), start_s, end_s)
    if len(engines) > SERIES_COUNT_LIMIT:
        raise PageRefused(
            "too_many_series",
            f"{len(engines):,} series of vLLM, and {SERIES_COUNT_LIMIT:,} are read at a time. Narrow each source with "
            "`matchers`, for example to one namespace, and name several sources.",
        )
    servers = servers_in(engines, options)
    starts = client.samples(options.start_selector(servers), start_s, end_s) if servers else []
    return Answer(start_s=start_s, end_s=end_s, engines=engines, starts=starts, warnings=tuple(client.taken_warnings()))


async def fetch(ctx: CollectContext) -> Answer:
    limits = LIVE_LIMITS
    try:
        async with asyncio.timeout(limits.connect_s + limits.idle_s + limits.total_s):
            return await asyncio.to_thread(_fetch, ctx, limits)
    except TimeoutError:
        ctx.memo.pop("client", None)  # its connection is still busy
        raise FetchFailed("timeout", f"{ctx.target.key}: no whole answer in time. Is the server overloaded?") from None


def parse(answer: Answer, ctx: CollectContext) -> Readings:
    """The engines in an answer, all or none. Raises PageRefused naming the target and what to do."""
    try:
        if not answer.engines:
            raise _nothing(answer, options_of(ctx.target))
        found = found_in(answer.engines, answer.starts, ALIASES, options_of(ctx.target))
    except PageRefused as refusal:
        raise PageRefused(refusal.word, f"{ctx.target.key}: {refusal}") from None
    return Readings(histories=found.histories, labels=found.labels, remarks=(*answer.warnings, *found.remarks))


COLLECTOR = Collector(key="prometheus", label="Prometheus", fetch=fetch, parse=parse)


def _fetch(ctx: CollectContext, limits: PrometheusLimits) -> Answer:
    options = options_of(ctx.target)
    client = ctx.memo.get("client")
    if not isinstance(client, PrometheusClient):
        client = ctx.memo["client"] = client_of(ctx.target, limits)
    now_s = ctx.scraped_at.timestamp()
    since_s = ctx.since.timestamp() if ctx.since else now_s
    start_s, span_s = min(since_s, now_s) - options.lookback_s, CATCH_UP_S
    while True:
        answer = read(client, options, start_s, min(now_s, start_s + span_s))
        if answer.newest_s > since_s or answer.end_s >= now_s:
            return answer
        # Nothing new in a stretch that lies back: Prometheus itself was away. Look further, in wider steps.
        start_s, span_s = answer.end_s - options.lookback_s, 2 * span_s


def _nothing(answer: Answer, options: PrometheusOptions) -> PageRefused:
    begin, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (answer.start_s, answer.end_s))
    matchers = f" with {excerpt(options.matchers)}" if options.matchers else ""
    return PageRefused(
        "no_engine_metrics",
        f"it has no series of a vLLM engine{matchers} from {begin:%Y-%m-%d %H:%M} to {end:%H:%M} UTC. See that it "
        'scrapes vLLM: count({__name__=~"vllm:.+"}) in its own page, and the state of the target there. vLLM that runs '
        "with --disable-log-stats exposes none. Is `matchers` too narrow?",
    )
