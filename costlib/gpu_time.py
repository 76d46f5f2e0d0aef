"""What the GPUs of one deployment did in the time that was billed for them, as shares of that time."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from costlib.books import Bucket, ServerUse
from costlib.token_split import TokenSplit
from costlib.units import SECONDS_PER_HOUR

# Longest time before a server's first and after its last measurement that is taken for starting and draining.
EDGE_AT_MOST_S = 2 * SECONDS_PER_HOUR
NOTHING_KNOWN = {(Bucket.UNMEASURED, ""): 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledTime:
    """What a deployment's GPU charges say of time; None where they do not."""

    gpu_s: float | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def span_s(self) -> float | None:
        return (self.end - self.start).total_seconds() if self.start and self.end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engines:
    """One target: its engines together, all its models added up."""

    count: int
    gpus_count: int | None  # of one engine
    observed_s: float  # engine-seconds
    busy_s: Mapping[str, float]  # by model, at most observed_s together
    first_at: datetime | None
    last_at: datetime | None

    def edges_s(self, billed: BilledTime) -> float:
        """Billed seconds of one engine before its first and after its last measurement."""
        edges = [(billed.start, self.first_at), (self.last_at, billed.end)]
        return sum(
            min(max((end - start).total_seconds(), 0.0), EDGE_AT_MOST_S) for start, end in edges if start and end
        )


def gpu_time(
    servers: Iterable[ServerUse], billed: BilledTime, split_of: Mapping[str, TokenSplit]
) -> dict[tuple[Bucket, str], float]:
    """Shares of a deployment's billed GPU time by bucket and model; they sum to one.

    Equation   B billed, O = sum of observed_s x GPUs, seen = min(O, B), busy = seen x busy_s / observed_s
               warm idle = seen - busy;  start and drain = min(B - seen, edges);  unmeasured = the rest
               busy is divided by model in proportion to busy_s, then by the model's token split
    Returns    {(bucket, model): share}. All is unmeasured when no server was observed or a figure is no number; busy
               time of a model without a token split is unmeasured too
    Valid for  observed time that stands for the billed time of the same servers
    Example    billed two hours, watched one, busy for half of that
    >>> from types import SimpleNamespace
    >>> half = SimpleNamespace(shares={Bucket.INPUT: 0.5, Bucket.OUTPUT: 0.5})
    >>> use = ServerUse(target_key="t", deployment_key="d", model_key="m", gpus_count=1, observed_s=3600, busy_s=1800)
    >>> shares = gpu_time([use], BilledTime(gpu_s=7200.0), {"m": half})
    >>> {str(bucket): share for (bucket, _), share in shares.items()}
    {'input': 0.125, 'output': 0.125, 'warm_idle': 0.25, 'unmeasured': 0.5}
    """
    found = list(servers)
    if not all(math.isfinite(value) and value >= 0 for use in found for value in (use.observed_s, use.busy_s)):
        return NOTHING_KNOWN
    engines = _engines(found)
    gpus = _gpus_per_engine(engines, billed)
    observed = sum(one.observed_s * n for one, n in zip(engines, gpus, strict=True))
    if not observed:
        return NOTHING_KNOWN
    span_s = billed.span_s
    owned = billed.gpu_s or (span_s and span_s * sum(one.count * n for one, n in zip(engines, gpus, strict=True)))
    owned = owned if owned and owned > 0 else observed
    seen = min(observed, owned)
    edges = sum(one.edges_s(billed) * one.count * n for one, n in zip(engines, gpus, strict=True))
    busy: dict[str, float] = defaultdict(float)
    for one, n in zip(engines, gpus, strict=True):
        for model, busy_s in one.busy_s.items():
            busy[model] += seen / owned * (busy_s * n / observed)
    shares: dict[tuple[Bucket, str], float] = defaultdict(float)
    for model, share in sorted(busy.items()):
        for bucket, part in _parts(split_of.get(model)):
            shares[bucket, model] += share * part
    start_and_drain = min(owned - seen, edges) / owned
    shares[Bucket.WARM_IDLE, ""] += max(0.0, seen / owned - sum(busy.values()))
    shares[Bucket.START_AND_DRAIN, ""] += start_and_drain
    shares[Bucket.UNMEASURED, ""] += max(0.0, 1 - seen / owned - start_and_drain)
    return {key: share for key, share in shares.items() if share > 0}


def _engines(servers: Sequence[ServerUse]) -> list[_Engines]:
    by_target: dict[str, list[ServerUse]] = defaultdict(list)
    for use in servers:
        by_target[use.target_key].append(use)
    found = []
    for _, uses in sorted(by_target.items()):
        observed_s = max(use.observed_s for use in uses)
        busy_s = math.fsum(use.busy_s for use in uses)
        # Clocks disagree by a little: never busier than observed.
        within = min(1.0, observed_s / busy_s) if busy_s else 0.0
        busy: dict[str, float] = defaultdict(float)
        for use in sorted(uses, key=lambda use: (use.model_key, use.busy_s)):
            busy[use.model_key] += use.busy_s * within
        known = [use.gpus_count for use in uses if use.gpus_count]
        found.append(
            _Engines(
                count=max(use.engines_count for use in uses),
                gpus_count=max(known, default=None),
                observed_s=observed_s,
                busy_s=busy,
                first_at=min((use.first_at for use in uses if use.first_at), default=None),
                last_at=max((use.last_at for use in uses if use.last_at), default=None),
            )
        )
    return found


def _gpus_per_engine(engines: Sequence[_Engines], billed: BilledTime) -> list[float]:
    """As exported; else the GPUs that were billed at a time, shared by the engines that do not say."""
    span_s = billed.span_s
    at_once = billed.gpu_s / span_s if billed.gpu_s and span_s else None
    silent = sum(one.count for one in engines if not one.gpus_count)
    stated = sum(one.count * one.gpus_count for one in engines if one.gpus_count)
    guess = max(at_once - stated, 0.0) / silent if at_once and silent else 1.0
    return [float(one.gpus_count or guess or 1.0) for one in engines]


def _parts(split: TokenSplit | None) -> list[tuple[Bucket, float]]:
    """A split's shares, made to sum to one; without a usable one nothing is known of the time."""
    shares = sorted(split.shares.items()) if split else []
    total = math.fsum(share for _, share in shares)
    if not total > 0 or not math.isfinite(total) or any(share < 0 for _, share in shares):
        return [(Bucket.UNMEASURED, 1.0)]
    return [(bucket, share / total) for bucket, share in shares]
