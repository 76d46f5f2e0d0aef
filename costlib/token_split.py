"""How the time in which a server worked divides into computed input, cached input and output: five methods.

GPU-seconds of a class are the time of its own work and its part of the common time. Its own work: computing prompt
tokens (input), reading the context and computing one token of each sequence (output), what prefix cache hits cost
(cached input). Common is what every step costs whoever is in it: reading the weights, launching, communicating.
`CommonCost` says how it is shared; by default in proportion to what each class would take alone, so that none pays more
than it would alone. Decode alone needs every step there was; prefill alone could fill each step to its limit of tokens.

Method: docs/method.md, "Splitting busy time".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from costlib.books import Bucket
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.serving import ServingConfig
from costlib.step_fit import CACHED_PRICE_RATIO, BusyWindows, StepFit, fit_steps
from costlib.step_model import RooflineCoefficients

# Price lists, mid-points of domain_math §3: output 3 to 5 times input, cached 0.1 to 0.5 of it.
LIST_OUTPUT_RATIO, LIST_CACHED_RATIO = 4.0, 0.3

SPLIT_BUCKETS = (Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT, Bucket.PREEMPTION, Bucket.REJECTED_DRAFT)


class SplitMethod(StrEnum):
    REGRESSION = "regression"  # A
    ROOFLINE = "roofline"  # B
    SLOT_TIME = "slot_time"  # C
    COUNTERS = "counters"  # D
    LIST_PRICE = "list_price"  # E


class CommonCost(StrEnum):
    """Who pays for what every step costs."""

    PROPORTIONAL = "proportional"  # to what each class would take alone
    SHAPLEY = "shapley"  # half and half where prefill and decode share a step
    BY_TOKENS = "by_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """What a model did in the whole period; None: not exported."""

    busy_s: float
    computed_tokens: float
    cached_tokens: float
    generated_tokens: float
    requests_count: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    estimated_flop: float | None = None
    estimated_bytes: float | None = None
    draft_tokens: float | None = None
    accepted_tokens: float | None = None
    preemptions_count: float | None = None
    roofline: RooflineCoefficients | None = None
    max_num_batched_tokens: int = ServingConfig().max_num_batched_tokens

    def __post_init__(self) -> None:
        for name in ("busy_s", "computed_tokens", "cached_tokens", "generated_tokens"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise DomainError(f"{name} must be 0 or more and finite, not {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSplit:
    """Shares of busy time by one method; empty, with the reason, where the method cannot be used."""

    method: SplitMethod
    shares: Mapping[Bucket, float] = field(default_factory=dict)  # over SPLIT_BUCKETS, sum 1
    basis: Basis = Basis.UNDEFINED
    quality: str = ""  # what it rests on, one sentence
    reason: str = ""  # why it cannot be used
    fit: StepFit | None = None

    @property
    def usable(self) -> bool:
        return bool(self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """A method's finding: seconds of each class' own work, common seconds, and those that prefill alone would need.

    Only ratios matter: methods that know no seconds give weights.
    """

    input_s: float
    cached_s: float
    output_s: float
    common_s: float = 0.0
    prefill_common_s: float = 0.0
    basis: Basis = Basis.ASSUMED
    quality: str
    fit: StepFit | None = None


class _CannotSplit(DomainError):
    """Why a method has no answer here."""


def splits(
    windows: BusyWindows, facts: SplitFacts, common: CommonCost = CommonCost.PROPORTIONAL
) -> tuple[TokenSplit, ...]:
    """All five methods, best first; those that cannot be used say why.

    Equation   step time = t0 + a n_p + b n_d + c K;  own input a I_c, own output b O + c K, own cached h I_h,
               common = busy time - own
               proportional: share = alone / sum of alone;  alone = own + t0 x steps the class needs alone
    Symbols    n_p, n_d prompt and output tokens of a step   K context read   I_c, I_h computed and cached prompt tokens
               O output tokens   a, b, c, h by A from the fit, by B from the engine model, by D from FLOP and bytes
    Returns    TokenSplits; C shares by slot time and E by price lists, which know of no common time
    Valid for  tokens and busy time of the same period and model
    Source     domain_math §3; docs/method.md
    Example    nothing but five prompt tokens for every output token: by price lists 5 to 4
    >>> counted = SplitFacts(busy_s=60.0, computed_tokens=500.0, cached_tokens=0.0, generated_tokens=100.0)
    >>> found = best(splits(BusyWindows.none(), counted))
    >>> found.method.value, round(found.shares[Bucket.INPUT], 4)
    ('list_price', 0.5556)
    """
    found = []
    for method, own_of in _METHODS.items():
        try:
            if not facts.computed_tokens + facts.cached_tokens + facts.generated_tokens:
                raise _CannotSplit("no tokens were measured.")
            own = own_of(windows, facts)
            split = TokenSplit(
                method=method, shares=_shares(own, facts, common), basis=own.basis, quality=own.quality, fit=own.fit
            )
        except _CannotSplit as reason:
            split = TokenSplit(method=method, reason=str(reason))
        found.append(split)
    return tuple(found)


def best(found: Iterable[TokenSplit]) -> TokenSplit:
    """The first that can be used, in the order of `splits`; the last, with its reason, when none can."""
    candidates = list(found)
    return next((split for split in candidates if split.usable), candidates[-1])


def band(found: Iterable[TokenSplit]) -> dict[Bucket, tuple[float, float]]:
    """Least and most share of each bucket over the methods that can be used; empty when none can."""
    usable = [split.shares for split in found if split.usable]
    return {
        bucket: (min(shares[bucket] for shares in usable), max(shares[bucket] for shares in usable))
        for bucket in SPLIT_BUCKETS
        if usable
    }


def naive_input_fraction(prefill_s: float, summed_time_per_token_s: float) -> float:
    """Input's share as it is often computed, to be shown beside: the second sum is not decode time.

    Equation   prefill / (prefill + sum of time per output token)
    Symbols    the sums of vLLM's request_prefill_time_seconds and request_time_per_output_token_seconds; a request adds
               one observation to the latter, its mean time per token, however many tokens it had
    Returns    [1]
    Raises     DomainError when both are 0
    Example    0.2 s of prefill and 400 tokens of 20 ms: 91 %, although by time of the request it is 2 %
    >>> round(naive_input_fraction(0.2, 0.020), 3), round(0.2 / (0.2 + 400 * 0.020), 3)
    (0.909, 0.024)
    """
    if not prefill_s + summed_time_per_token_s:
        raise DomainError("the naive share is undefined: no request finished.")
    return prefill_s / (prefill_s + summed_time_per_token_s)


def _regression(windows: BusyWindows, facts: SplitFacts) -> _Own:
    try:
        fit = fit_steps(windows)
    except DomainError as reason:
        raise _CannotSplit(str(reason)) from reason
    quality = (
        f"Fitted to {fit.windows_count:,} windows busy throughout: R² {fit.r2:.2f} on windows left out of the fit, "
        f"condition number {fit.condition_ratio:.0f}."
    )
    if not fit.knows_context:
        quality += " KV cache use is not known: reading long contexts may be counted as input."
    if facts.cached_tokens and not fit.knows_cached:
        quality += f" A cached token is taken as {CACHED_PRICE_RATIO:.1%} of a computed one (assumed)."
    return _with_rest_in_common(
        facts,
        input_s=fit.prompt_s_per_token * facts.computed_tokens,
        cached_s=fit.cached_s_per_token * facts.cached_tokens,
        output_s=fit.output_s_per_token * facts.generated_tokens,
        t0_s=fit.t0_s,
        basis=Basis.CALIBRATED,
        quality=quality,
        fit=fit,
    )


def _with_rest_in_common(
    facts: SplitFacts,
    *,
    input_s: float,
    cached_s: float,
    output_s: float,
    t0_s: float,
    basis: Basis,
    quality: str,
    fit: StepFit | None = None,
) -> _Own:
    return _Own(
        input_s=input_s,
        cached_s=cached_s,
        output_s=output_s,
        common_s=max(0.0, facts.busy_s - input_s - cached_s - output_s),
        prefill_common_s=t0_s * facts.computed_tokens / facts.max_num_batched_tokens,
        basis=basis,
        quality=quality,
        fit=fit,
    )


def _roofline(_windows: BusyWindows, facts: SplitFacts) -> _Own:
    model = facts.roofline
    if model is None:
        raise _CannotSplit("model and GPU are not known: no scenario describes this deployment.")
    return _with_rest_in_common(
        facts,
        input_s=model.prompt_s_per_token * facts.computed_tokens,
        cached_s=CACHED_PRICE_RATIO * model.prompt_s_per_token * facts.cached_tokens,
        output_s=(model.output_s_per_token + model.context_s_per_token * model.context_tokens) * facts.generated_tokens,
        t0_s=model.t0_s,
        basis=model.basis,
        quality="From the engine model of this model and GPU, whose efficiencies are "
        f"{'fitted to it' if model.basis is Basis.CALIBRATED else 'those of published measurements'}.",
    )


def _counters(_windows: BusyWindows, facts: SplitFacts) -> _Own:
    model = facts.roofline
    if not facts.estimated_flop or not facts.estimated_bytes:
        raise _CannotSplit("FLOP and bytes are not counted: vLLM does so from 0.17 on with --enable-mfu-metrics.")
    if model is None or not model.flop_per_s or not model.bytes_per_s:
        raise _CannotSplit("FLOP and bytes are counted, and the GPU's rates are not known: no scenario names it.")
    compute_s, memory_s = facts.estimated_flop / model.flop_per_s, facts.estimated_bytes / model.bytes_per_s
    computed = facts.computed_tokens + facts.generated_tokens
    input_s = compute_s * facts.computed_tokens / computed if computed else 0.0
    common = max(0.0, memory_s - model.context_s_per_token * model.context_tokens * facts.generated_tokens)
    return _Own(
        input_s=input_s,
        cached_s=CACHED_PRICE_RATIO * input_s * facts.cached_tokens / facts.computed_tokens
        if facts.computed_tokens
        else 0.0,
        output_s=max(memory_s, compute_s - input_s) - common,  # decode takes the longer of its two roofs
        common_s=common,
        prefill_common_s=model.t0_s * facts.computed_tokens / facts.max_num_batched_tokens,
        basis=model.basis,
        quality="From vLLM's own count of FLOP and bytes, at assumed efficiencies of the GPU.",
    )


def _list_price(_windows: BusyWindows, facts: SplitFacts) -> _Own:
    return _Own(
        input_s=facts.computed_tokens,
        cached_s=LIST_CACHED_RATIO * facts.cached_tokens,
        output_s=LIST_OUTPUT_RATIO * facts.generated_tokens,
        quality=f"By the ratios of price lists, output {LIST_OUTPUT_RATIO:g} and cached {LIST_CACHED_RATIO:g} times "
        "input: a convention, not a cost.",
    )


def _slot_time(_windows: BusyWindows, facts: SplitFacts) -> _Own:
    if not facts.prefill_s or not facts.decode_s:
        raise _CannotSplit("prefill and decode time of requests are not exported.")
    weight = facts.computed_tokens + CACHED_PRICE_RATIO * facts.cached_tokens
    per_token = facts.prefill_s / weight if weight else 0.0
    return _Own(
        input_s=per_token * facts.computed_tokens,
        cached_s=CACHED_PRICE_RATIO * per_token * facts.cached_tokens,
        output_s=facts.decode_s,
        quality="By the time requests spent in prefill and decode, which counts a step once for every request in it: "
        "output is overstated.",
    )


# Best first.
_METHODS = {
    SplitMethod.REGRESSION: _regression,
    SplitMethod.COUNTERS: _counters,
    SplitMethod.ROOFLINE: _roofline,
    SplitMethod.LIST_PRICE: _list_price,
    SplitMethod.SLOT_TIME: _slot_time,
}


def _shares(own: _Own, facts: SplitFacts, rule: CommonCost) -> dict[Bucket, float]:
    seconds = _class_seconds(own, facts, rule)
    redone, rejected = _redone_tokens(facts), max(0.0, (facts.draft_tokens or 0.0) - (facts.accepted_tokens or 0.0))
    if facts.computed_tokens:
        seconds[Bucket.PREEMPTION] = seconds[Bucket.INPUT] / facts.computed_tokens * redone
    if rejected and own.output_s:
        # Steps and weights would have been there without the draft.
        own_part = own.output_s / (own.output_s + own.common_s)
        wasted = seconds[Bucket.OUTPUT] * own_part * rejected / (facts.generated_tokens + rejected)
        seconds[Bucket.REJECTED_DRAFT] = wasted
        seconds[Bucket.OUTPUT] -= wasted
    total = sum(seconds.values())
    if not total:
        raise _CannotSplit("none of the tokens measured takes any time by this method.")
    return {bucket: seconds.get(bucket, 0.0) / total for bucket in SPLIT_BUCKETS}


def _class_seconds(own: _Own, facts: SplitFacts, rule: CommonCost) -> dict[Bucket, float]:
    """Own and common time of the three token classes, in proportion: the sum is not busy time for every rule."""
    mixed = min(own.common_s, own.prefill_common_s) if facts.generated_tokens else own.common_s
    decoding = own.common_s if facts.generated_tokens else 0.0
    match rule:
        case CommonCost.PROPORTIONAL:
            of_input, of_output = mixed, decoding
        case CommonCost.SHAPLEY:
            of_input, of_output = (mixed / 2, decoding - mixed / 2) if facts.generated_tokens else (mixed, 0.0)
        case CommonCost.BY_TOKENS:
            computed = facts.computed_tokens + facts.generated_tokens
            of_input = own.common_s * facts.computed_tokens / computed if computed else 0.0
            of_output = own.common_s - of_input
    return {
        Bucket.INPUT: own.input_s + of_input,
        Bucket.CACHED_INPUT: own.cached_s,
        Bucket.OUTPUT: own.output_s + of_output,
    }


def _redone_tokens(facts: SplitFacts) -> float:
    """Tokens computed twice: each preemption drops a prompt and half an answer, and finds none of it in the cache."""
    if not facts.preemptions_count or not facts.requests_count:
        return 0.0
    return (
        facts.preemptions_count
        * (facts.computed_tokens + facts.cached_tokens + facts.generated_tokens / 2)
        / facts.requests_count
    )
