"""How long prompts and answers are asked to be, and when requests arrive: pure, seeded, reproducible."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import floor, isfinite, pi, sin, sqrt
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any

from costlib.errors import ConfigError, UnknownKey
from store.catalog_files import DATA, read_toml

WORKLOADS = DATA / "workloads"
MOST_TOKENS = 10_000_000  # of one prompt: longer is a slip of the pen
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """A distribution of lengths by its inverse CDF: `points` are (probability, tokens), straight lines between them.

    Outside the first and last point the curve is flat: what lies beyond p99 of a trace is not made up.
    """

    label: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        probabilities, tokens = zip(*self.points, strict=True) if self.points else ((), ())
        if not self.points or not all(0 <= p <= 1 for p in probabilities) or not all(map(isfinite, tokens)):
            raise ConfigError(f"{self.label}: lengths need quantiles from p0 to p100 with finite tokens.")
        if not all(a < b for a, b in pairwise(probabilities)) or not all(a <= b for a, b in pairwise(tokens)):
            raise ConfigError(f"{self.label}: quantiles must rise with their probability.")
        if not 0 < tokens[0] <= tokens[-1] <= MOST_TOKENS:
            raise ConfigError(f"{self.label}: a length is from 1 to {MOST_TOKENS:,} tokens.")

    def at(self, probability: float) -> int:
        """Tokens that a share of `probability` of all requests do not exceed; at least 1.

        >>> Lengths(label="", points=((0.5, 100.0), (0.9, 300.0))).at(0.7)
        200
        """
        above = bisect_right(self.points, probability, key=lambda point: point[0])
        low, high = self.points[max(above - 1, 0)], self.points[min(above, len(self.points) - 1)]
        step = high[0] - low[0]
        part = min(max((probability - low[0]) / step, 0.0), 1.0) if step else 0.0
        return max(1, floor(low[1] + part * (high[1] - low[1]) + 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is known of one public trace: its lengths, not its rows."""

    key: str
    label: str
    licence: str
    rank_correlation: float
    input_tokens: Lengths
    output_tokens: Lengths
    mean_input_tokens: float
    mean_output_tokens: float


def lengths_from(text: str, what: str) -> Lengths:
    """`512` for a fixed length, `200-800` for lengths that are all as likely. Raises ConfigError naming `what`.

    >>> lengths_from("512", "--input").at(0.3), lengths_from("200-800", "--input").at(0.5)
    (512, 500)
    """
    found = _RANGE.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"{what} {text[:40]!r} is not a length in tokens; write for example 512 or 200-800.")
    low, high = int(found[1]), int(found[2] or found[1])
    if not 1 <= low <= high <= MOST_TOKENS:
        raise ConfigError(f"{what} {text[:40]!r}: lengths go from 1 to {MOST_TOKENS:,} tokens, the shorter one first.")
    points = ((0.0, float(low)),) if low == high else ((0.0, float(low)), (1.0, float(high)))
    return Lengths(label=f"{low}" if low == high else f"{low}-{high}, uniform", points=points)


def trace_keys(folder: Path = WORKLOADS) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_trace(key: str, folder: Path = WORKLOADS) -> Trace:
    """The trace of data/workloads/KEY.toml. Raises UnknownKey, or ConfigError naming the file and field.

    >>> load_trace("azure-2023-conversation").output_tokens.at(0.5)
    129
    """
    known = trace_keys(folder)
    if key not in known:
        raise UnknownKey("trace", key, known)
    path = folder / f"{key}.toml"
    document = read_toml(path)
    try:
        return Trace(
            key=key,
            label=str(document["label"]),
            licence=str(document["licence"]),
            rank_correlation=checked_correlation(float(document["rank_correlation"])),
            input_tokens=_curve(f"{key}, input", document["input_tokens"]),
            output_tokens=_curve(f"{key}, output", document["output_tokens"]),
            mean_input_tokens=float(document["input_tokens"]["mean"]),
            mean_output_tokens=float(document["output_tokens"]["mean"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path.name}: {error!r}; a trace has label, licence, lengths and their quantiles.") from None


def checked_correlation(rank_correlation: float) -> float:
    """Raises ConfigError for what is no correlation."""
    if not -1 <= rank_correlation <= 1:
        raise ConfigError(f"a rank correlation goes from -1 to 1, not {rank_correlation}.")
    return rank_correlation


def correlated_pair(rng: Random, rank_correlation: float) -> tuple[float, float]:
    """Two probabilities, each uniform from 0 to 1, whose ranks correlate as asked (Spearman).

    Equation   two standard normals with correlation 2 sin(pi rho / 6), each through the normal CDF (Gaussian copula)
    Example    ranks that correlate fully are the same
    >>> first, second = correlated_pair(Random(1), 1.0)
    >>> abs(first - second) < 1e-6
    True
    """
    linear = min(1.0, max(-1.0, 2 * sin(pi * rank_correlation / 6)))
    first, noise = rng.gauss(), rng.gauss()
    second = linear * first + sqrt(1 - linear * linear) * noise
    normal = NormalDist()
    return normal.cdf(first), normal.cdf(second)


def poisson_offsets_s(requests_per_s: float, seed: str) -> Iterator[float]:
    """Arrival times of a Poisson process, in seconds from its start, without end; the same seed, the same times.

    >>> from itertools import islice
    >>> times = list(islice(poisson_offsets_s(10.0, "7"), 5000))
    >>> round(5000 / times[-1]), times == sorted(times)
    (10, True)
    """
    rng, at_s = Random(seed), 0.0
    while True:
        at_s += rng.expovariate(requests_per_s)
        yield at_s


def _curve(label: str, table: Mapping[str, Any]) -> Lengths:
    points = sorted((float(name.removeprefix("p")) / 100, float(value)) for name, value in table["quantiles"].items())
    return Lengths(label=label, points=tuple(points))
