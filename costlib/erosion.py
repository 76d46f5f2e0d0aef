"""Whether a saving lasts after it was signed."""

from collections.abc import Sequence
from datetime import date
from statistics import NormalDist

import numpy as np

from costlib.estimate import Basis, Estimate, Undefined
from costlib.overlap import SAVED, grown
from costlib.saving import Entry, Erosion

LEAST_WINDOWS = 2  # the first is about what was signed; whether it lasts is said by those after it
LEAST_TREND_WINDOWS = 3
WINDOW_DAYS = 28
_HALF = 0.5
_Z95 = NormalDist().inv_cdf(0.975)
Window = tuple[date, tuple[float, float] | Undefined]


def erosion(entry: Entry, windows: Sequence[Window]) -> Erosion:
    """Whether a signed saving lasts.

    Equation   saved = 1 - e^d, with 95 % between d + 1.96 se and d - 1.96 se
               slope = sum w (t - t_w) d / sum w (t - t_w)^2,  its se = (sum w (t - t_w)^2)^-1/2,  w = 1/se^2
    Symbols    windows  first day, and the log effect d on the cost of a unit of work with its standard error, of the
               successive windows of 28 days since the change was shipped, in any order; t in windows
    Returns    an Erosion: eroded where all of the newest window's interval lies below half of what was signed, or the
               saving falls from window to window by more than chance would (slope > 1.96 se, from three windows on).
               `is_eroded` is None where fewer than two windows are known, or the newest of them lies below half but not
               surely. Windows that cannot be told, or are not over, are passed over
    Valid for  windows that are compared with the same days before the change: what they share makes the trend surer
               than it is said to be. Of savings that last, chance gives an alarm in about 1 of 40 looks
    Raises     nothing
    Source     weighted least squares with known errors, Aitken 1935
    """
    ordered = sorted(windows, key=lambda window: window[0])
    shown = tuple((on, found if isinstance(found, Undefined) else _saved(*found)) for on, found in ordered)
    is_eroded, sentence = _judged(entry, ordered, shown)
    return Erosion(entry_id=entry.id, windows=shown, is_eroded=is_eroded, sentence=sentence)


def _saved(log_effect: float, standard_error: float) -> Estimate:
    low, mid, high = (-grown(log_effect + z * standard_error) for z in (_Z95, 0.0, -_Z95))
    return Estimate(low=low, mid=mid, high=high, basis=Basis.MEASURED)


def _judged(
    entry: Entry, windows: Sequence[Window], shown: tuple[tuple[date, Estimate | Undefined], ...]
) -> tuple[bool | None, str]:
    signed = entry.signed
    if signed is None or signed.verdict not in SAVED or signed.saved_fraction.mid <= 0:
        return None, "No saving is signed that could be lost."
    known = [(on, found) for on, found in shown if isinstance(found, Estimate)]
    if len(known) < LEAST_WINDOWS:
        count = f"{len(known)} window{'s' * (len(known) != 1)} of {WINDOW_DAYS} days"
        return None, f"Whether it lasts cannot be told yet: {count} since it was shipped can be measured, 2 are needed."
    was, first, (on, newest) = signed.saved_fraction.mid, known[0][1], known[-1]
    between = f"{newest.low:.1%} to {newest.high:.1%}"
    now = f"In the {WINDOW_DAYS} days from {on} it saved {newest.mid:.1%} ({between}); {was:.1%} was signed"
    if newest.high < was * _HALF:
        return True, f"It has worn off. {now}: less than half is left."
    if _falls(windows):
        fell = f"from {first.mid:.1%} to {newest.mid:.1%} over {len(known)} windows"
        return True, f"It is wearing off, {fell}, by more than chance. {now}."
    if newest.mid < was * _HALF:
        return None, f"It may be wearing off: the middle is below half, but not surely. {now}."
    return False, f"It lasts. {now}."


def _falls(windows: Sequence[Window]) -> bool:
    """Whether the effect on cost rises from window to window by more than chance."""
    first = windows[0][0]
    found = [((on - first).days / WINDOW_DAYS, *of) for on, of in windows if not isinstance(of, Undefined)]
    if len(found) < LEAST_TREND_WINDOWS:
        return False
    at, effects, errors = np.array(found).T
    weights = 1 / np.maximum(errors, 1e-4) ** 2
    apart = at - weights @ at / weights.sum()
    precision = float(weights @ apart**2)
    return precision > 0 and float(weights @ (apart * effects)) > _Z95 * precision**0.5
