"""Spend of the next 28 days, forecast again and again in the past: by drivers, directly, and by two naive ways.

Error: sum of |P50 - actual| over sum of actual. Inside: days, and sums of 28 days, between P10 and P90; 80 % should be.

A library was tried on the five recorded series in the same way, and is not used. statsforecast 2.1.1 (180 MB with scipy
and statsmodels), AutoETS and AutoTheta: errors beside ours, and days inside the 80 % interval:

                       ours            AutoETS         AutoTheta
  wikipedia-views      48.1 % 81.6 %   58.1 % 88.9 %   55.5 % 85.1 %
  bitcoin-payments      7.7 % 82.0 %    7.6 % 81.5 %    7.6 % 79.5 %
  road-minnesota        5.8 % 81.8 %    7.3 % 90.8 %    7.7 % 90.5 %
  electricity           5.8 % 79.9 %    6.3 % 83.6 %    6.6 % 78.8 %
  road-san-francisco   17.0 % 82.0 %   17.5 % 80.5 %   17.9 % 77.7 %

AutoARIMA took 0.2 to 0.9 s a fit and was better on none of the fifteen origins each that it was given. (Errors here are
of the mean day of each origin, over the mean of the series; the tables below sum first.)
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from benchmarks._sample_spend import sample_histories
from costlib.backtest import Method, Score, backtest
from costlib.forecast import History
from tests.costlib.daily_demand import WEEKS, recorded, shaped

DAYS, KNOWN_DAYS, AHEAD_DAYS = 560, 112, 28
SAMPLE_KNOWN_DAYS, SAMPLE_AHEAD_DAYS = 28, 14
SAMPLE_END = datetime(2026, 11, 16, tzinfo=UTC)
SEED = 20261121


def main() -> None:
    _header(f"{KNOWN_DAYS} days known, {AHEAD_DAYS} ahead, every week of {DAYS} days")
    _rows({name: shaped(name, DAYS, SEED) for name in WEEKS})
    _rows(recorded())
    _header(f"the sample fleet: {SAMPLE_KNOWN_DAYS} days and more known, {SAMPLE_AHEAD_DAYS} ahead, every day")
    for name, history in sample_histories(SAMPLE_END):
        _row(name, backtest(history, known_days=SAMPLE_KNOWN_DAYS, ahead_days=SAMPLE_AHEAD_DAYS, every_days=1))


def score(history: History) -> Score:
    return backtest(history, known_days=KNOWN_DAYS, ahead_days=AHEAD_DAYS, is_window=True)


def _header(text: str) -> None:
    print(
        f"\n{text}\n{'':<34}{'drivers':>9}{'direct':>9}{'seasonal':>10}{'naive':>9}{'inside':>9}{'of sums':>9}{'n':>5}"
    )


def _rows(histories: Mapping[str, History]) -> None:
    for name, history in histories.items():
        _row(name, score(history))


def _row(name: str, found: Score) -> None:
    errors = (f"{found.error_fraction[method]:>{9 + (method is Method.SEASONAL_NAIVE)}.2%}" for method in Method)
    inside = f"{found.inside_fraction:>9.1%}{found.total_inside_fraction:>9.1%}{found.origins_count:>5}"
    print(f"{name:<34}{''.join(errors)}{inside}")
