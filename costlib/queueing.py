"""Waiting: for the engine to take a prompt, for a slot, and of a static batch for its longest answer."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from costlib.engine import EngineConstants
from costlib.errors import DomainError
from costlib.roofline import Floats


def closed_loop_response_s(constants: EngineConstants, prefill_s: Any, decode_s: Any, sequences: Any) -> Floats:
    """Prefill and the wait for it, when `sequences` clients each send the next request once answered.

    Equation   R = S (1 + (B - 1) R/(R + D)) solved for R;  with odds b a burst instead: max(R, S (B + 1)/2)
    Symbols    S prefill of one prompt   D decoding of one answer   B sequences   b burst_ratio: clients start together
    Returns    [s], broadcast shape, S at one client
    Valid for  one prefill at a time
    Raises     nothing
    Source     Schweitzer's mean-value approximation; docs/method.md
    """
    own, decode, count = (np.asarray(value, dtype=float) for value in (prefill_s, decode_s, sequences))
    linear = decode - count * own
    steady = 0.5 * (-linear + np.sqrt(linear * linear + 4 * own * decode))
    chance = constants.burst_ratio / (1 + constants.burst_ratio)
    return np.asarray((1 - chance) * steady + chance * np.maximum(own * (count + 1) / 2, steady))


def open_loop_response_s(prefill_s: Any, load: Any) -> Floats:
    """Prefill and the wait for it, when requests arrive by chance.

    Equation   S + S r / (2 (1 - r))
    Symbols    S prefill of one prompt   r share of time that prompts keep the engine busy
    Returns    [s], broadcast shape
    Valid for  Poisson arrivals, prompts alike (M/D/1)
    Raises     DomainError at a load of 1 or more, where the queue has no steady state
    Source     docs/method.md
    Example    at half load a prompt waits half its own time
    >>> float(open_loop_response_s(1.0, 0.5))
    1.5
    """
    own, busy = np.asarray(prefill_s, dtype=float), np.asarray(load, dtype=float)
    if not np.all((busy >= 0) & (busy < 1)):
        raise DomainError(f"a load of {np.max(busy):g} is unstable: prompts arrive faster than they are computed.")
    return np.asarray(own * (1 + busy / (2 * (1 - busy))))


def ttft_s(
    constants: EngineConstants, response_s: Any, running_step_s: Any, tpot_s: Any, slot_wait_s: Any = 0
) -> Floats:
    """Time to the first token.

    Equation   front + w + R + a t_step + b t_tpot
    Symbols    front tokenising and routing   w wait for a free slot   R prefill and the wait for it
               a running steps waited for   b tokens held back before the first is sent
    Returns    [s], broadcast shape
    Valid for  network excluded
    Raises     nothing
    Source     docs/method.md
    """
    return np.asarray(
        constants.front_s
        + slot_wait_s
        + response_s
        + constants.waited_steps_ratio * running_step_s
        + constants.buffered_tokens * tpot_s
    )


def erlang_c_fraction(offered: float, servers_count: int) -> float:
    """Share of requests that find all servers busy.

    Equation   C = B_c / (1 - a/c (1 - B_c)),   B_k = a B_(k-1) / (k + a B_(k-1)),   B_0 = 1
    Symbols    a offered load: rate x mean service time [1]   c servers (slots of all replicas)   B_k Erlang B
    Returns    [1]; the mean wait is C / (c - a) service times
    Valid for  Poisson arrivals, exponential service (M/M/c); pessimistic for an engine, whose slots speed up when few
    Raises     DomainError at a >= c, where the queue has no steady state, and for a load below 0 or not a number
    Source     Erlang 1917; domain_math §8
    Example    8 of 10 servers busy on average (domain_math §14, vector 15)
    >>> waits = erlang_c_fraction(8.0, 10)
    >>> round(waits, 5), round(waits / (10 - 8.0), 5)
    (0.40918, 0.20459)
    """
    if not 0 <= offered < servers_count:
        raise DomainError(
            f"a load of {offered:g} on {servers_count} servers is unstable: it must be from 0 to below {servers_count}."
        )
    lost = 1.0  # Erlang B of 0, 1, 2... servers: no factorial overflows
    for count in range(1, servers_count + 1):
        lost = offered * lost / (count + offered * lost)
    return lost / (1 - offered / servers_count * (1 - lost))


def static_slot_use_fraction(batch_count: int) -> float:
    """Share of slots at work in a static batch, which runs until its longest answer ends.

    Equation   E[O] / E[max of B answers] = 1 / H_B,  H_B = 1 + 1/2 + ... + 1/B
    Returns    [1]; its inverse is the most that continuous batching gains, with a queue to refill slots from
    Valid for  exponential answer lengths; every engine since 2024 batches continuously
    Raises     DomainError for no batch
    Source     domain_math §6.1
    Example    domain_math §14, vector 12
    >>> [round(static_slot_use_fraction(batch), 5) for batch in (8, 32)]
    [0.36794, 0.2464]
    """
    if not batch_count >= 1:
        raise DomainError(f"batch_count must be 1 or more, not {batch_count}.")
    return 1 / sum(1 / k for k in range(1, int(batch_count) + 1))


def padding_fraction(tokens: ArrayLike) -> float:
    """Share of a static batch's prefill spent on padding every prompt to the longest: 1 - mean / longest [1].

    Example    prompts of 50, 150, 200 and 500 tokens (domain_math §14, vector 13)
    >>> round(padding_fraction([50, 150, 200, 500]), 2)
    0.55
    """
    lengths = np.asarray(tokens, dtype=float)
    if not (lengths.size and np.all(lengths >= 0) and 0 < lengths.max() < np.inf):
        raise DomainError("tokens must be the prompt lengths of a batch: 0 or more, finite, and not all 0.")
    return float(1 - lengths.mean() / lengths.max())
