"""From users to tokens: what a product that does not run yet would send and receive in a month."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

import numpy as np

from costlib.roofline import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorKind:
    """One factor of the estimate: `default`, `least` and `most` are in the unit of its name."""

    help: str
    default: float | None  # None: must be said
    least: float = 0.0
    most: float = inf


FACTORS: Mapping[str, FactorKind] = MappingProxyType(
    {
        "users_count": FactorKind(help="people who use it", default=None),
        "sessions_per_day_count": FactorKind(help="conversations of one user a day", default=1.0),
        "turns_count": FactorKind(help="questions in a conversation", default=1.0, least=1.0),
        "retries_ratio": FactorKind(help="further passes for each one: errors, regenerated, asked again",
                                    default=0.0),
        "agent_steps_count": FactorKind(help="calls for one question", default=1.0, least=1.0),
        "environments_ratio": FactorKind(help="all traffic over production's: staging, evaluation, development",
                                         default=1.0),
        "growth_ratio": FactorKind(help="the month that is estimated over today", default=1.0),
        "system_tokens": FactorKind(help="system prompt", default=0.0),
        "tools_tokens": FactorKind(help="descriptions of tools", default=0.0),
        "examples_tokens": FactorKind(help="few-shot examples", default=0.0),
        "retrieved_tokens": FactorKind(help="documents retrieved for a question, not kept for the next",
                                       default=0.0),
        "question_tokens": FactorKind(help="what the user writes or pastes", default=None),
        "tool_result_tokens": FactorKind(help="what a tool answers between two calls", default=0.0),
        "output_tokens": FactorKind(help="an answer", default=None),
        "reasoning_tokens": FactorKind(help="hidden reasoning of a call: billed as output, not sent again",
                                       default=0.0),
        "cache_hit_fraction": FactorKind(help="share found in the prefix cache, of the tokens that were sent before",
                                         default=0.0, most=1.0),
        "batch_fraction": FactorKind(help="share of the calls that can wait for a batch", default=0.0,
                                     most=1.0),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """A month, one value for each draw. Cached tokens are part of the input."""

    requests_count: Floats
    input_tokens: Floats
    cached_tokens: Floats
    output_tokens: Floats


def volume(of: Mapping[str, Floats], days_count: float) -> Volume:
    """Requests and tokens of a month.

    Equation   sessions = users x sessions x days x growth x environments
               P = k [n (F + r) + q n (n + 1)/2 + a n (n - 1)/2] + n (a + t) k (k - 1)/2
               input = (1 + w) P,  output = (1 + w) n k (a + h),  requests = (1 + w) n k, each x sessions
               cached = c (input - N),  N = n (q + r) + (n - 1) a + n (k - 1)(a + t) for each session
    Symbols    n turns   k calls for a turn   w retries for each call   F system, tools and examples   r retrieved
               q question   a answer   t tool result   h hidden reasoning [token]   N tokens sent for the first time
               c cache_hit_fraction
    Returns    Volume
    Valid for  histories that are sent whole, with the answers and without what was retrieved; within a turn each call
               sees what the calls before it wrote and got. Means: numbers need not be whole
    Raises     KeyError for a factor that is missing
    Source     domain_math §6.7, §11
    Example    six turns of 150 and 400 tokens over a system prompt of 1,200 (domain_math §14, vector 26)
    >>> six = {"users_count": 1.0, "turns_count": 6.0, "question_tokens": 150.0, "output_tokens": 400.0,
    ...        "system_tokens": 1200.0}
    >>> month = volume({**{key: kind.default for key, kind in FACTORS.items()}, **six}, 1)
    >>> float(month.input_tokens), float(month.output_tokens)
    (16350.0, 2400.0)
    """
    sessions = of["users_count"] * of["sessions_per_day_count"] * days_count
    sessions = sessions * of["growth_ratio"] * of["environments_ratio"]
    turns, calls, passes = of["turns_count"], of["agent_steps_count"], 1 + of["retries_ratio"]
    fixed = of["system_tokens"] + of["tools_tokens"] + of["examples_tokens"]
    retrieved, question, answer = of["retrieved_tokens"], of["question_tokens"], of["output_tokens"]
    between = answer + of["tool_result_tokens"]
    first_calls = turns * (fixed + retrieved) + question * turns * (turns + 1) / 2 + answer * turns * (turns - 1) / 2
    sent = passes * (calls * first_calls + turns * between * calls * (calls - 1) / 2)
    new = turns * (question + retrieved) + (turns - 1) * answer + turns * (calls - 1) * between
    requests = passes * turns * calls
    return Volume(
        requests_count=np.asarray(sessions * requests),
        input_tokens=np.asarray(sessions * sent),
        cached_tokens=np.asarray(sessions * of["cache_hit_fraction"] * np.maximum(sent - new, 0.0)),
        output_tokens=np.asarray(sessions * requests * (answer + of["reasoning_tokens"])),
    )
