"""Static batching: a batch starts together and runs until its longest answer ends."""

from math import gamma, lgamma, log1p
from typing import Any

import numpy as np

from costlib.engine import EngineConstants, EngineInputs, prefill_s, step_s
from costlib.roofline import Floats

_HALVINGS = 60
_MOST_SPREAD = 10.0  # a coefficient of variation above 400
_POINTS = 1000
_BEYOND = 40.0  # past ln B + this, no answer of the batch is left


def longest_output_ratio(batch: Any, output_cv_ratio: float) -> Floats:
    """The longest of a batch's answers over the mean answer: what its slots wait for.

    Equation   E[max of B] / E[O] = integral of 1 - (1 - e^-t)^B d(t^s) / Gamma(1 + s)
    Symbols    s 1 / Weibull shape, from  cv^2 = Gamma(1 + 2s) / Gamma(1 + s)^2 - 1;  1 is exponential, 0 all alike
    Returns    [1], shape of `batch`; its inverse is the share of slots at work
    Valid for  Weibull answer lengths, independent; lognormal ones of cv 1.5 differ by up to 7 %
    Raises     nothing
    Source     domain_math §6.1; exponential: harmonic numbers, `queueing.static_slot_use_fraction`
    Example    exponential answers: 8 slots are at work 36.8 % of the time (domain_math §14, vector 12)
    >>> round(1 / float(longest_output_ratio(8, 1.0)), 3)
    0.368
    """
    count = np.asarray(batch, dtype=float)[..., None]
    spread = _spread(output_cv_ratio)
    if not spread:
        return np.ones(count.shape[:-1])
    t = np.linspace(0.0, np.log(np.max(count)) + _BEYOND, _POINTS)
    length = t**spread / gamma(1 + spread)
    unfinished = 1 - (-np.expm1(-t)) ** count
    longest = np.sum((unfinished[..., 1:] + unfinished[..., :-1]) / 2 * np.diff(length), axis=-1)
    return np.asarray(np.maximum(longest, 1.0))


def _spread(cv_ratio: float) -> float:
    low, high = 0.0, _MOST_SPREAD
    wanted = log1p(cv_ratio**2)
    for _ in range(_HALVINGS if cv_ratio else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if lgamma(1 + 2 * middle) - 2 * lgamma(1 + middle) < wanted else (low, middle)
    return low


def static_step_s(
    inputs: EngineInputs,
    constants: EngineConstants,
    batch: Any,
    context_tokens: float,
    prompt_tokens: float,
    output_tokens: float,
    output_cv_ratio: float,
    cached_tokens: float = 0.0,
) -> Floats:
    """GPU time of a static batch, spread over its mean answer, so that B / (O x step) is its rate.

    Equation   step = E[max]/E[O] step(B) + B S / O
    Symbols    B sequences   O mean output tokens   S prefill of one prompt   step(B) decoding alone
    Returns    [s], two rows: what the GPU spends on a step, and the interval between tokens. Slots whose answer has
               ended are still computed; no prompt comes between two tokens
    Valid for  full batches, prompts alike (padding to the longest is not counted)
    Raises     nothing
    Source     domain_math §6.1; Yu et al., Orca, OSDI 2022
    """
    interval_s = step_s(inputs, constants, batch, context_tokens) / inputs.step_tokens
    prompts_s = np.asarray(batch) * prefill_s(inputs, constants, prompt_tokens, cached_tokens) / output_tokens
    return np.stack((interval_s * longest_output_ratio(batch, output_cv_ratio) + prompts_s, interval_s))
