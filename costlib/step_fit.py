"""What an engine step costs, from windows in which the engine never stood still: non-negative least squares."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from costlib.errors import DomainError

Floats = NDArray[np.float64]

# When a fit may be trusted (domain_math §3, method A).
LEAST_WINDOWS = 300
LEAST_R2 = 0.8
MOST_CONDITION = 30.0  # at LEAST_WINDOWS; errors shrink with the root of their number, so more windows bear more
LEAST_MIX_RATIO = 1.25  # 90th over 10th percentile of input per output
LEAST_BATCH = 4.0  # with Poisson arrivals an engine of 4 sequences is idle for 2 % of the time, unseen between samples

CACHED_PRICE_RATIO = 0.085  # assumed where no fit tells: a cached prompt token costs 2 to 15 % of a computed one
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BusyWindows:
    """Windows of at least 60 s in which every sample ran a request, of one model, in order of time; NaN: unknown.

    `context_tokens` is what decode read: steps x tokens held in the KV cache. Its scale does not matter, so steps x
    `kv_usage_fraction` will do. `requests_count`, those that finished, steady it. Without the context, reading long
    contexts is charged to the input that made them long.
    """

    window_s: Floats
    steps_count: Floats
    computed_tokens: Floats
    cached_tokens: Floats
    generated_tokens: Floats
    context_tokens: Floats | None = None
    requests_count: Floats | None = None

    def __post_init__(self) -> None:
        if len({len(column) for column in self._columns().values()}) != 1:
            raise DomainError("busy windows need columns of one length.")

    @classmethod
    def none(cls) -> "BusyWindows":
        """No window at all: of a server whose windows are not known."""
        return cls(**dict.fromkeys(_NEEDED, np.array([])))

    def _columns(self) -> dict[str, Floats]:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(column, dtype=float) for name, column in named.items() if column is not None}

    def usable(self) -> "BusyWindows":
        """The windows of which everything needed is known; what leaves too few of them is given up.

        Each is divided by the root of its length, as the error of its length grows: then all weigh what they should.
        """
        columns = self._columns()
        valid = {
            name: np.isfinite(column) & (column > 0 if name in _ABOVE_ZERO else column >= 0)
            for name, column in columns.items()
        }
        good = np.all([valid[name] for name in _NEEDED], axis=0)
        good &= columns["generated_tokens"] >= LEAST_BATCH * columns["steps_count"]
        kept = list(_NEEDED)
        for name in columns:
            if name not in _NEEDED and (good & valid[name]).sum() >= LEAST_WINDOWS:
                good &= valid[name]
                kept.append(name)
        root = np.sqrt(columns["window_s"][good])
        return BusyWindows(**{name: columns[name][good] / root for name in kept})


_NEEDED = ("window_s", "steps_count", "computed_tokens", "cached_tokens", "generated_tokens")
_ABOVE_ZERO = ("window_s", "steps_count", "requests_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFit:
    """Seconds of a step and of each token in it, and how far they can be trusted."""

    t0_s: float
    prompt_s_per_token: float
    cached_s_per_token: float
    output_s_per_token: float  # with the context it reads
    r2: float  # of the mean step time, on windows left out of the fit
    condition_ratio: float  # of the design with its columns at length 1: how far errors are magnified
    windows_count: int
    knows_context: bool = False
    knows_cached: bool = False  # else CACHED_PRICE_RATIO


def fit_steps(windows: BusyWindows) -> StepFit:
    """Seconds per step and per token that explain how long each window took.

    Equation   seconds = t0 steps + a I_c + h I_h + b O + c K, all coefficients >= 0, least squares
               R2 = 1 - sum((t - t')^2) / sum((t - mean t)^2),  t = seconds / steps
    Symbols    I_c, I_h computed and cached prompt tokens   O output tokens   K context read
               t' predicted from the other four fifths of the windows, cut in stretches of time (blocked folds):
               neighbours are alike, so a window would else be judged by its own twins
    Returns    a StepFit; R2 is of step time, because all windows take about as long as each other. The fullest design
               that is well conditioned; h is an assumed part of a where K is not known or windows are too alike
    Valid for  windows busy throughout; those of fewer than LEAST_BATCH sequences a step are left out
    Raises     DomainError with the reason when windows are too few, too alike or not explained by their tokens
    Source     domain_math §3 and §10.1; docs/method.md
    """
    if not np.isfinite(windows.steps_count).any():
        raise DomainError("engine steps are not exported, as by vLLM before 0.6.4: step time is not known.")
    used = windows.usable()
    count = len(used.window_s)
    if count < LEAST_WINDOWS:
        raise DomainError(
            f"{count} windows were busy throughout with {LEAST_BATCH:g} sequences or more; a fit needs {LEAST_WINDOWS}."
        )
    few, many = np.quantile(used.computed_tokens / used.generated_tokens, [0.1, 0.9])
    if many < LEAST_MIX_RATIO * few or not many:
        raise DomainError("input per output token hardly varies: a fit cannot tell one from the other.")
    most = MOST_CONDITION * float(np.sqrt(count / LEAST_WINDOWS))
    fits = [_fit(used, prompt, decode) for decode in _decode_columns(used) for prompt in _prompt_columns(used)]
    for fit in fits:
        is_noise = (
            fit.cached_s_per_token > fit.prompt_s_per_token
        )  # finding a cached token costs less than computing it
        if fit.condition_ratio <= most and fit.r2 >= LEAST_R2 and not is_noise:
            return fit
    simplest = fits[-1]
    raise DomainError(
        f"a fit to {count:,} busy windows is weak: R² {simplest.r2:.2f}, condition number "
        f"{simplest.condition_ratio:.0f}; needed are {LEAST_R2} or more and {most:.0f} or less."
    )


def _decode_columns(used: BusyWindows) -> list[dict[str, Floats]]:
    """What output may cost: for itself and for the context it reads, or, of windows too alike, for the latter alone."""
    output = {"output": used.generated_tokens}
    if used.context_tokens is None:
        return [output]
    context = {"context": _smoothed(used.context_tokens, used)}
    return [{**output, **context}, context]


def _prompt_columns(used: BusyWindows) -> list[dict[str, Floats]]:
    """Cached tokens on their own, where they need not stand in for the context; or at a part of computed ones."""
    assumed = {"input": used.computed_tokens + CACHED_PRICE_RATIO * used.cached_tokens}
    if used.context_tokens is None or not used.cached_tokens.any():
        return [assumed]
    return [{"input": used.computed_tokens, "cached": used.cached_tokens}, assumed]


def _smoothed(context: Floats, used: BusyWindows) -> Floats:
    """The part of the context that counters explain: the first of two stages of least squares.

    KV cache use is a gauge, seen at scrapes only, and the error of a regressor would move cost from output to input.
    Counters have no such error.
    """
    steps, output = used.steps_count, used.generated_tokens
    prompt = used.computed_tokens + used.cached_tokens
    counted = [steps, used.computed_tokens, used.cached_tokens, output]
    per = steps if used.requests_count is None else used.requests_count
    scaled, _ = _scaled(np.stack([*counted, prompt * output / per, output**2 / per], axis=1))
    return np.maximum(scaled @ np.linalg.lstsq(scaled, context, rcond=None)[0], 0.0).astype(np.float64)


def _fit(used: BusyWindows, prompt: Mapping[str, Floats], decode: Mapping[str, Floats]) -> StepFit:
    columns = {"step": used.steps_count, **prompt, **decode}
    design, lengths = _scaled(np.stack(list(columns.values()), axis=1))
    predicted = np.empty_like(used.window_s)
    for first, last in pairwise(np.linspace(0, len(predicted), FOLDS + 1).astype(int)):
        rest = np.r_[0:first, last : len(predicted)]
        predicted[first:last] = design[first:last] @ nonnegative_least_squares(design[rest], used.window_s[rest])
    step_s = used.window_s / used.steps_count
    spread = float(np.sum((step_s - step_s.mean()) ** 2))
    missed = float(np.sum((step_s - predicted / used.steps_count) ** 2))
    per = dict(zip(columns, nonnegative_least_squares(design, used.window_s) / lengths, strict=True))
    decode_s = sum(float(per[name] * column.sum()) for name, column in decode.items())
    return StepFit(
        t0_s=float(per["step"]),
        prompt_s_per_token=float(per["input"]),
        cached_s_per_token=float(per.get("cached", CACHED_PRICE_RATIO * per["input"])),
        output_s_per_token=decode_s / float(used.generated_tokens.sum()),
        r2=1 - missed / spread if spread else 0.0,
        condition_ratio=float(np.linalg.cond(design)),
        windows_count=len(predicted),
        knows_context="context" in decode,
        knows_cached="cached" in prompt,
    )


def _scaled(design: Floats) -> tuple[Floats, Floats]:
    lengths = np.linalg.norm(design, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return design / lengths, lengths


def nonnegative_least_squares(design: Floats, target: Floats) -> Floats:
    """The x >= 0 that brings design @ x closest to target.

    Equation   min |A x - b|, x >= 0, by the active-set method of Lawson and Hanson
    Returns    x, one element per column
    Valid for  columns of comparable length; dependent columns share their weight somehow
    Source     Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23
    Example    least squares would answer (2, -1)
    >>> nonnegative_least_squares(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([2.0, 1.0])).round(9).tolist()
    [1.5, 0.0]
    """
    count = design.shape[1]
    x = np.zeros(count)
    free = np.zeros(count, dtype=bool)
    smallest = 1e-12 * float(np.abs(design.T @ target).max(initial=0.0))
    for _ in range(3 * count):  # each pass frees the most promising column; more passes are rounding going in circles
        gradient = np.where(free, -np.inf, design.T @ (target - design @ x))
        if gradient.max() <= smallest:
            break
        free[gradient.argmax()] = True
        while free.any():
            wanted = np.zeros(count)
            wanted[free] = np.linalg.lstsq(design[:, free], target, rcond=None)[0]
            below = free & (wanted <= 0)
            if not below.any():
                x = wanted
                break
            # Go as far as the first element that reaches zero, and hold it there.
            x = x + np.min(x[below] / (x[below] - wanted[below])) * (wanted - x)
            free &= x > 1e-12 * np.abs(x).max()
            x[~free] = 0.0
    return x
