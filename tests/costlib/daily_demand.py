"""Daily series to try forecasts on: six in the shapes of public LLM traces, five recorded of other public demand.

The traces (data/workloads, each with its source and licence) are of an hour at most, or lengths only. Theirs are the
rate, how bursty it is, lengths, their spread and the share that a prefix cache finds. Weekdays, holidays, growth and
shifts of level are ours. The recorded ones (benchmarks/data/README.md) are as they came.
"""

import gzip
import tomllib
from collections import defaultdict
from datetime import date
from decimal import Decimal
from math import log
from pathlib import Path

import numpy as np

from costlib.books import TokenClass
from costlib.forecast import History
from costlib.units import SECONDS_PER_DAY, TOKENS_PER_MTOK

ROOT = Path(__file__).resolve().parents[2]
START = date(2025, 1, 6)
# Monday to Sunday, of a workday.
OFFICE, PRIVATE, ALWAYS = (1, 1, 1, 1, 0.9, 0.35, 0.3), (1, 1, 1, 1, 1.05, 1.15, 1.1), (1, 1, 1, 1, 1, 0.85, 0.85)
WEEKS = {
    "azure-2023-code": OFFICE,
    "azure-2023-conversation": ALWAYS,
    "mooncake-conversation": PRIVATE,
    "mooncake-synthetic": ALWAYS,
    "arxiv-summarization": OFFICE,
    "sharegpt-300": PRIVATE,
}
PER_MTOK = {TokenClass.INPUT: 0.60, TokenClass.CACHED_INPUT: 0.12, TokenClass.OUTPUT: 2.40}
SHIFT_CHANCE, HOLIDAY_CHANCE, NEW_PRICE_CHANCE = 1 / 90, 10 / 365, 1 / 400  # of a day


def shaped(workload: str, days: int, seed: int) -> History:
    """Spend on one workload, by class of token."""
    facts = tomllib.loads((ROOT / "data" / "workloads" / f"{workload}.toml").read_text(encoding="utf-8"))
    rng = np.random.default_rng((seed, sum(workload.encode())))
    arrivals = facts.get("arrivals", {})
    bursts = 0.03 + 0.02 * log(1 + arrivals.get("interarrival_cv_ratio", 1.0))
    rate = arrivals.get("requests_per_s", 2.0) * SECONDS_PER_DAY
    level = np.cumsum(rng.normal(0.0004, 0.004, days)) + np.cumsum(
        np.where(rng.random(days) < SHIFT_CHANCE, rng.choice([-1, 1], days) * rng.uniform(0.1, 0.3, days), 0.0)
    )
    holiday = np.where(rng.random(days) < HOLIDAY_CHANCE, 0.55, 1.0)
    week = np.resize(np.array(WEEKS[workload]), days)
    requests = np.maximum(1, np.round(rate * week * holiday * np.exp(level + _lasting(rng, bursts, days))))
    lengths = {}
    for kind in ("input_tokens", "output_tokens"):
        spread = log(facts[kind]["quantiles"]["p75"] / facts[kind]["quantiles"]["p25"]) / 1.35
        drift = np.cumsum(rng.normal(0, 0.003, days)) + _lasting(rng, 0.03 * spread, days)
        lengths[kind] = np.round(requests * facts[kind]["mean"] * np.exp(drift))
    hit = facts.get("prefix_hit_fraction", 0.2) * np.exp(_lasting(rng, 0.03, days))
    cached = np.round(lengths["input_tokens"] * hit)
    tokens = {
        TokenClass.INPUT: lengths["input_tokens"] - cached,
        TokenClass.CACHED_INPUT: cached,
        TokenClass.OUTPUT: lengths["output_tokens"],
    }
    price = np.cumprod(np.where(rng.random(days) < NEW_PRICE_CHANCE, 0.85, 1.0))
    cost_of = {name: counts * PER_MTOK[name] * price / TOKENS_PER_MTOK for name, counts in tokens.items()}
    return History(
        key=workload,
        first=START,
        cost=_money(np.sum(list(cost_of.values()), axis=0)),
        requests=[int(n) for n in requests],
        tokens={name: [int(n) for n in counts] for name, counts in tokens.items()},
        cost_of={name: _money(amounts) for name, amounts in cost_of.items()},
    )


def recorded() -> dict[str, History]:
    """The series of benchmarks/data/daily_demand.csv.gz, a cent each."""
    found: dict[str, list[tuple[date, Decimal | None]]] = defaultdict(list)
    text = gzip.decompress((ROOT / "benchmarks" / "data" / "daily_demand.csv.gz").read_bytes()).decode()
    for line in text.splitlines()[1:]:
        name, day, count = line.split(",")
        found[name].append((date.fromisoformat(day), Decimal(count) / 100 if count else None))
    return {
        name: History(key=name, first=rows[0][0], cost=[amount for _, amount in rows]) for name, rows in found.items()
    }


def _lasting(rng: np.random.Generator, size: float, days: int, memory: float = 0.4) -> np.ndarray:
    """Noise that fades over days: AR(1) with standard deviation `size`."""
    found, shocks = np.zeros(days), rng.normal(0, size * np.sqrt(1 - memory**2), days)
    for day in range(1, days):
        found[day] = memory * found[day - 1] + shocks[day]
    return found


def _money(amounts: np.ndarray) -> list[Decimal]:
    return [Decimal(str(round(float(amount), 6))) for amount in amounts]
