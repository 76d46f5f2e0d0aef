"""The engine model held to what one deployment did: constants that fit its busy windows, or the fact that is wrong.

The published constants are the prior. Windows in which the engine never stood still move them as far as they can tell;
the last day is kept out, replayed, and decides how wide the band is. docs/method.md, "Calibration".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from costlib.anchor import NOISE_LOG_SD, Places, anchored_log_sd, constant_ratios, covariance
from costlib.bands import Bands, conformal_margin_log, predictive_bands
from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.fitted import Fitted, GroupRatio, Setup
from costlib.load_windows import Floats, LoadWindows, Rows
from costlib.map_fit import LEAST_NOISE, LogFit, slopes_of
from costlib.step_fit import LEAST_BATCH, StepFit, fit_steps
from costlib.suspects import (
    LEAST_REACHED,
    MOST_REACHED,
    TABLE_LOG_SD,
    Stated,
    Suspect,
    fit,
    log_model,
    prior_log_sd,
    suspects,
)
from costlib.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from costlib.validity import Validity

LEAST_FOR_A_FIT = 30  # busy windows; fewer are taken as one measured point
LEAST_FOR_COVERAGE = 30
HELD_OUT_S = SECONDS_PER_DAY
HELD_OUT_FRACTION = 0.2  # where the last day is more than half of all
MEDIAN_ERROR_RATIO, P95_ERROR_RATIO = 0.10, 0.25  # allowed, of a window's busy time (domain_math §10.1, step 6)
UNUSUAL_LOG_SDS = 3.0  # a constant so far from the published one is worth a look at the facts
P90_LOG_SDS = 1.2816  # of a normal, from the middle to P90


class How(StrEnum):
    FITTED = "fitted"  # to windows that tell prompt from output and load from load
    PRIOR_LED = "prior_led"  # to windows too few or too alike for that: the prior decides between constants
    ANCHORED = "anchored"  # to a handful of windows, taken as one measured point


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A group of constants over the published ones, with P10 and P90. Above 1 a rate is faster, an overhead slower."""

    group: str
    ratio: float
    low_ratio: float
    high_ratio: float
    reached_fraction: float | None = None  # of the sheet's peak, for compute and memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The busy windows of one hour that the fit has not seen: what they took, and what it says they take."""

    start_s: float
    busy_s: float
    predicted_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTest:
    """The fit against the windows kept out of it. Coverage is that of every second hour by a band set on the others;
    None of too few windows to tell."""

    windows_count: int
    median_error_ratio: float
    p95_error_ratio: float
    coverage_fraction: float | None
    hours: tuple[Replayed, ...]

    @property
    def passes(self) -> bool:
        return self.median_error_ratio <= MEDIAN_ERROR_RATIO and self.p95_error_ratio <= P95_ERROR_RATIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Constants of one deployment, how they were found, where they hold, and how well they did."""

    how: How
    why: str  # it is no better than `how`; "" for a fit
    fitted: Fitted
    found: tuple[Constant, ...]
    windows_count: int
    back_test: BackTest | None = None
    step_fit: StepFit | None = None
    notes: tuple[str, ...] = ()


class WrongFact(DomainError):
    """The windows cannot be of what the deployment is said to be."""

    def __init__(self, message: str, found: tuple[Suspect, ...]) -> None:
        super().__init__(message)
        self.suspects = found


def calibrate(load: LoadWindows, stated: Stated, catalog: Catalog) -> Calibration:
    """Constants of one deployment from its busy windows.

    Equation   most probable x of  log(seconds / steps) = log step(constants x e^x) + noise,  x normal around 0;
               reached = published fraction x e^x must lie in [0.2, 0.95] of the sheet's peak
    Symbols    x log ratio of each group of constants to the published ones
    Returns    a Calibration; its band is posterior times left-out residuals, corrected to cover 80 % of held-out
               windows
    Valid for  the ranges in `validity`
    Raises     DomainError when nothing was busy; WrongFact, naming the fact, when no possible share of the sheet's
               peaks explains the windows
    Source     domain_math §10.1; docs/method.md, "Calibration"
    """
    rows = load.usable()
    if not len(rows):
        raise DomainError(_nothing_busy(load))
    validity = _validity(load, rows, stated)
    if len(rows) < LEAST_FOR_A_FIT:
        return _anchored(load, rows, stated, validity, catalog)
    train, held_out = _apart(load, rows)
    found = fit(load, train, stated)
    constants = _found(found, stated)
    for constant in constants:
        _check(constant, load, train, stated, catalog)
    try:
        step_fit, how, why = fit_steps(load.busy), How.FITTED, ""
    except DomainError as reason:
        step_fit, how, why = None, How.PRIOR_LED, str(reason)
    back_test, (low, high) = _replay(found, load, held_out, stated)
    return Calibration(
        how=how,
        why=why,
        fitted=_fitted(stated, {one.group: one.ratio for one in constants}, low, high, validity),
        found=constants,
        windows_count=len(train),
        back_test=back_test,
        step_fit=step_fit,
        notes=tuple(_notes(constants, validity, back_test, load, train, stated, catalog)),
    )


def _nothing_busy(load: LoadWindows) -> str:
    steps = load.busy.steps_count
    if len(steps) and not np.isfinite(steps).any():
        return "engine steps are not exported, as by vLLM before 0.6.4: step time is not known."
    return (
        f"no window ran {LEAST_BATCH:g} sequences or more throughout: {load.observed_s / SECONDS_PER_HOUR:.1f} h were "
        f"observed, {load.busy_fraction:.0%} of them busy. An idle engine tells nothing of its speed; calibrate after "
        "some load."
    )


def _apart(load: LoadWindows, rows: Rows) -> tuple[Rows, Rows]:
    """What is fitted to, and what is kept out: the last day, or the last fifth where that is most of it."""
    start = load.start_s[rows]
    is_last = start >= start[-1] + load.busy.window_s[rows[-1]] - HELD_OUT_S
    if is_last.mean() > 0.5:
        is_last = np.arange(len(rows)) >= (1 - HELD_OUT_FRACTION) * len(rows)
    return rows[~is_last], rows[is_last]


def _validity(load: LoadWindows, rows: Rows, stated: Stated) -> Validity:
    def ends(values: Floats) -> tuple[float, float]:
        low, high = np.quantile(values, [0.01, 0.99])
        return float(low), float(high)

    engines = stated.serving.pipeline_parallel_count * stated.serving.data_parallel_attention_count
    batch, context, mix = (
        ends(load.batch_count(rows, engines)),
        ends(load.context_tokens(rows)),
        ends(load.input_per_output(rows)),
    )
    return Validity(
        least_batch_count=batch[0],
        most_batch_count=batch[1],
        least_context_tokens=context[0],
        most_context_tokens=context[1],
        least_input_per_output_ratio=mix[0],
        most_input_per_output_ratio=mix[1],
        observed_hours=load.observed_s / SECONDS_PER_HOUR,
        requests_count=load.requests_count,
    )


def _found(of: LogFit, stated: Stated) -> tuple[Constant, ...]:
    lows, highs = np.quantile(of.drawn_log_ratio, [0.1, 0.9], axis=0)
    return tuple(
        Constant(
            group=group,
            ratio=float(np.exp(x)),
            low_ratio=float(np.exp(min(x, low))),
            high_ratio=float(np.exp(max(x, high))),
            reached_fraction=stated.reached_fraction(group, float(np.exp(x))),
        )
        for group, x, low, high in zip(stated.groups, of.log_ratio, lows, highs, strict=True)
    )


def _check(constant: Constant, load: LoadWindows, rows: Rows, stated: Stated, catalog: Catalog) -> None:
    """A share of the peak that no engine reaches, whatever the windows leave open, is a wrong peak or a wrong model."""
    low, high = (stated.reached_fraction(constant.group, edge) for edge in (constant.low_ratio, constant.high_ratio))
    if low is None or high is None or (high >= LEAST_REACHED and low <= MOST_REACHED):
        return
    raise WrongFact(
        f"{_named(stated)} would reach {constant.reached_fraction:.0%} of the sheet's {constant.group} peak; engines "
        f"reach {LEAST_REACHED:.0%} to {MOST_REACHED:.0%}. {_who(found := suspects(load, rows, stated, catalog))}",
        found,
    )


def _named(stated: Stated) -> str:
    return f"{stated.model.name} in {stated.serving.weight_precision} on {stated.gpu.name}"


def _who(found: tuple[Suspect, ...]) -> str:
    if not found:
        return "GPU, precision or model is not what is stated, and nothing in the catalogue explains it."
    first, *others = found
    text = (
        f"The {first.fact} is most likely not {first.stated}: {first.fits} would reach {first.compute_fraction:.0%} of "
        f"compute and {first.memory_fraction:.0%} of memory."
    )
    return text + "".join(f" Or the {one.fact}: {one.fits} for {one.stated}." for one in others)


def _fitted(stated: Stated, ratios: Mapping[str, float], low: float, high: float, validity: Validity) -> Fitted:
    return Fitted(
        setup=Setup.of(stated.model.key, stated.gpu.key, stated.serving),
        ratios=tuple(GroupRatio(group=group, ratio=ratio) for group, ratio in ratios.items()),
        step_low_ratio=low,
        step_high_ratio=high,
        validity=validity,
    )


# Held out -------------------------------------------------------------------------------------------------------------


def _replay(of: LogFit, load: LoadWindows, rows: Rows, stated: Stated) -> tuple[BackTest, tuple[float, float]]:
    """How the fit did on windows that it has not seen, and the band, corrected by them."""
    model = log_model(load, rows, stated)
    predicted_s = np.exp(model(of.log_ratio)) * load.busy.steps_count[rows]
    happened_s = load.busy.window_s[rows]
    ratio = happened_s / predicted_s
    bands = predictive_bands(
        slopes_of(model, of.log_ratio), of.drawn_log_ratio - of.log_ratio, of.left_out_log_ratio
    )  # fmt: skip
    whole = bands.widened(conformal_margin_log(bands, ratio))
    hours, hour = np.unique(load.start_s[rows] // SECONDS_PER_HOUR, return_inverse=True)
    coverage, tested = None, hour % 2 == 1
    if min(tested.sum(), (~tested).sum()) >= LEAST_FOR_COVERAGE:
        margin = conformal_margin_log(bands.at(~tested), ratio[~tested])
        coverage = bands.at(tested).widened(margin).coverage(ratio[tested])
    errors = np.abs(1 / ratio - 1)

    columns = (happened_s, predicted_s, predicted_s * whole.low_ratio, predicted_s * whole.high_ratio)
    replayed = zip(
        (hours * SECONDS_PER_HOUR).tolist(),
        *(np.bincount(hour, weights=column).tolist() for column in columns),
        strict=True,
    )
    names = ("start_s", "busy_s", "predicted_s", "low_s", "high_s")
    back_test = BackTest(
        windows_count=len(rows),
        median_error_ratio=float(np.median(errors)),
        p95_error_ratio=float(np.quantile(errors, 0.95)),
        coverage_fraction=coverage,
        hours=tuple(Replayed(**dict(zip(names, row, strict=True))) for row in replayed),
    )
    return back_test, _edges(whole)


def _edges(bands: Bands) -> tuple[float, float]:
    """One band for all: the median one, and no narrower than a window can be timed."""
    least = float(np.exp(P90_LOG_SDS * LEAST_NOISE))
    return min(1 / least, float(np.median(bands.low_ratio))), max(least, float(np.median(bands.high_ratio)))


def _notes(
    found: tuple[Constant, ...],
    validity: Validity,
    back_test: BackTest,
    load: LoadWindows,
    rows: Rows,
    stated: Stated,
    catalog: Catalog,
) -> Iterator[str]:
    if validity.indicative:
        yield f"indicative: {validity.indicative}."
    if not back_test.passes:
        yield (
            f"not valid for planning: the busy time of held-out windows is off by {back_test.median_error_ratio:.0%} "
            f"at the median and {back_test.p95_error_ratio:.0%} at the 95th percentile; allowed are "
            f"{MEDIAN_ERROR_RATIO:.0%} and {P95_ERROR_RATIO:.0%}."
        )
    sds = prior_log_sd(stated.groups)
    unusual = [one for one, sd in zip(found, sds, strict=True) if abs(np.log(one.ratio)) > UNUSUAL_LOG_SDS * sd]
    if unusual:
        what = ", ".join(f"{one.group} {one.ratio:.2f} x the published" for one in unusual)
        yield f"unusual: {what}. {_who(suspects(load, rows, stated, catalog))}"


# One measured point ---------------------------------------------------------------------------------------------------


def _anchored(load: LoadWindows, rows: Rows, stated: Stated, validity: Validity, catalog: Catalog) -> Calibration:
    """A handful of windows, taken together as one measured point (costlib.anchor)."""
    model = log_model(load, rows, stated)
    at = np.zeros(len(stated.groups))
    weight = np.exp(model(at)) * load.busy.steps_count[rows]
    error = float(load.busy.window_s[rows].sum() / weight.sum())
    slopes = weight @ slopes_of(model, at) / weight.sum()
    place = Places(
        slopes_ratio={group: np.array([slope]) for group, slope in zip(stated.groups, slopes, strict=True)},
        octaves_count=np.zeros((1, 1)),
    )
    own = covariance(place, place)
    prior_sd = float(np.sqrt(own[0] + NOISE_LOG_SD**2 + TABLE_LOG_SD**2))
    if abs(np.log(error)) > UNUSUAL_LOG_SDS * prior_sd:
        found = suspects(load, rows, stated, catalog)
        raise WrongFact(
            f"{_named(stated)} takes {error:.2f} times the published step time, which no deployment measured does. "
            f"{_who(found)}",
            found,
        )
    ratios = constant_ratios(place, error)
    spread = float(np.exp(P90_LOG_SDS * anchored_log_sd(own, own, own)[0]))
    return Calibration(
        how=How.ANCHORED,
        why=f"{len(rows)} busy windows, taken as one measured point; a fit needs {LEAST_FOR_A_FIT}.",
        fitted=_fitted(stated, ratios, 1 / spread, spread, validity),
        found=tuple(
            Constant(
                group=group,
                ratio=ratio,
                low_ratio=ratio / spread,
                high_ratio=ratio * spread,
                reached_fraction=stated.reached_fraction(group, ratio / ratios["scale"]),
            )
            for group, ratio in ratios.items()
        ),
        windows_count=len(rows),
        notes=(f"indicative: {validity.indicative}.",) if validity.indicative else (),
    )
