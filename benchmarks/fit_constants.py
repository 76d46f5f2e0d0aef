"""Refits data/engine/constants.toml to the published measurements, and predicts each group by a fit without it.

`./dev bench fit` prints what would change; `--write` writes the constants, and the errors of leaving out each model,
GPU and engine version (some minutes), from which `accuracy` has its honest columns and its bands.
"""

import argparse
import gzip
import io
import re
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks._accuracy_model import Measured, measured, predicted_logs, select
from benchmarks._accuracy_rows import FIRST_TOKEN, OUT_OF_GROUP, POINTS, SCHEMES, group_of, points_of, rows_of
from benchmarks._accuracy_score import Floats, quantile, shares_of
from costlib.engine_table import EngineTable
from store.catalog_files import ENGINE, load_catalog

Keys = Sequence[tuple[str, str]]

# Before the first token only: fitted second, to times to the first token, with the step model as it then is.
BEFORE_FIRST_TOKEN = (
    "front_s", "prefill_ratio", "buffered_tokens", "burst_ratio", "waited_steps_ratio", "slot_wait_ratio",
)  # fmt: skip
SPREAD = {False: 0.12, True: 0.25}  # of a log residual that is not an outlier: steps, first tokens
NUDGE = 1e-3
LONGEST_STEP = 0.5  # of a log constant in one iteration


def main(options: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="./dev bench fit", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the constants and the errors out of group")
    write = parser.parse_args(options).write
    table = load_catalog().engine
    found, _ = measured(points_of(rows_of(POINTS))[0], table)
    fitted = fit(found, _at_priors(table), rounds=60, least_gain=1e-5)
    _print_changes(table, fitted)
    if write:
        ENGINE.write_text(rewritten(ENGINE.read_text(encoding="utf-8"), fitted), encoding="utf-8")
        _write_out_of_group(found, fitted)


def _at_priors(table: EngineTable) -> EngineTable:
    """Where a fit starts, so that the same measurements give the same constants whatever the file says."""
    return table.with_values(
        {(name, stratum): of.prior for name, strata in table.constants.items() for stratum, of in strata.items()}
    )


def fit(found: Measured, table: EngineTable, rounds: int, least_gain: float) -> EngineTable:
    """The table whose constants are most likely, given the measurements and the priors.

    Minimised is, from where `table` stands and by Gauss-Newton,
    sum_i w_i huber(log residual / spread) + sum_c (log(c / prior) / prior_log_sd)^2.  w is one over the root of the
    rows of a deployment, between counting rows and counting deployments.
    """
    for first_token in (False, True):
        rows = np.flatnonzero([(point.metric == FIRST_TOKEN) == first_token for point in found.points])
        if len(rows):
            part = select(found, rows)
            table = _gauss_newton(part, table, _free(table, first_token), SPREAD[first_token], rounds, least_gain)
    return table


def _free(table: EngineTable, first_token: bool) -> Keys:
    return [
        (name, stratum)
        for name, strata in table.constants.items()
        for stratum, constant in strata.items()
        if constant.prior_log_sd > 0 and (name in BEFORE_FIRST_TOKEN) == first_token
    ]


def _gauss_newton(
    found: Measured, table: EngineTable, keys: Keys, spread: float, rounds: int, least_gain: float
) -> EngineTable:
    constants = [table.fitted(*key) for key in keys]
    prior = np.log([constant.prior for constant in constants])
    precision = np.array([constant.prior_log_sd for constant in constants]) ** -2.0
    weights = np.sqrt(shares_of([point.deployment for point in found.points]))
    weights /= weights.mean()
    logs = found.logs

    def at(x: Floats) -> EngineTable:
        return table.with_values({key: float(value) for key, value in zip(keys, np.exp(x), strict=True)})

    def cost(x: Floats) -> tuple[float, Floats]:
        residual = predicted_logs(found, at(x)) - logs
        size = np.abs(residual)
        huber = np.where(size < spread, size**2, 2 * spread * size - spread**2)
        return float((weights * huber).sum() / spread**2 + (precision * (x - prior) ** 2).sum()), residual

    x = np.log([constant.value for constant in constants])
    damping, (now, residual) = 1e-2, cost(x)
    slopes = np.empty((len(logs), len(keys)))
    hessian = np.diag(precision)
    for _ in range(rounds):
        for column in range(len(keys)):
            nudged = x.copy()
            nudged[column] += NUDGE
            slopes[:, column] = (predicted_logs(found, at(nudged)) - logs - residual) / NUDGE
        pull = weights * np.minimum(1.0, spread / np.maximum(np.abs(residual), 1e-9)) / spread**2
        hessian = slopes.T @ (slopes * pull[:, None]) + np.diag(precision)
        gradient = slopes.T @ (pull * residual) + precision * (x - prior)
        for _ in range(5):
            step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), -gradient)
            tried = x + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
            then, residual_then = cost(tried)
            if then < now:
                break
            damping *= 5
        if then >= now:
            break
        gained = now - then
        x, now, residual, damping = tried, then, residual_then, damping / 4
        if gained < least_gain * now:
            break
    return _with_errors(at(x), keys, np.sqrt(np.diag(np.linalg.inv(hessian))), (np.abs(slopes) > 0.01).sum(axis=0))


def _with_errors(table: EngineTable, keys: Keys, log_sds: Floats, counts: NDArray[np.int_]) -> EngineTable:
    constants = {name: dict(strata) for name, strata in table.constants.items()}
    for (name, stratum), log_sd, count in zip(keys, log_sds, counts, strict=True):
        constants[name][stratum] = replace(constants[name][stratum], log_sd=float(log_sd), points_count=int(count))
    return replace(table, constants=constants)


def rewritten(text: str, table: EngineTable) -> str:
    """constants.toml with these values, standard errors and counts; priors, names and comments stay."""
    name, lines = "", []
    for line in text.splitlines():
        if section := re.match(r"\[constants\.(\w+)\]", line):
            name = section[1]
        elif (row := re.match(r'"?(\w+)"? = \{ value = [^,]+, log_sd = [^,]+, points_count = \d+(,.*)', line)) and name:
            of = table.fitted(name, row[1])
            stratum = line.split(" = ")[0]
            numbers = f"value = {of.value:.4g}, log_sd = {of.log_sd:.3g}, points_count = {of.points_count}"
            line = f"{stratum} = {{ {numbers}{row[2]}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _print_changes(before: EngineTable, after: EngineTable) -> None:
    print(f"{'constant':<28}{'stratum':<22}{'in the file':>14}{'refitted':>14}{'log sd':>9}{'points':>8}")
    for name, strata in after.constants.items():
        for stratum, of in strata.items():
            was = before.fitted(name, stratum).value
            print(f"{name:<28}{stratum:<22}{was:>14.4g}{of.value:>14.4g}{of.log_sd:>9.3g}{of.points_count:>8}")


# ---- leaving out groups


def left_out(found: Measured, table: EngineTable, scheme: str) -> Floats:
    """Log prediction of each point by a fit that saw none of its group. It starts at the full fit: few rounds do."""
    logs = np.full(len(found.points), np.nan)
    groups = np.array([group_of(point, scheme) for point in found.points])
    for group in np.unique(groups):
        rest = fit(select(found, np.flatnonzero(groups != group)), table, rounds=5, least_gain=2e-3)
        mine = np.flatnonzero(groups == group)
        logs[mine] = predicted_logs(select(found, mine), rest)
    return logs


def _write_out_of_group(found: Measured, table: EngineTable) -> None:
    began = time.perf_counter()
    logs = {}
    for scheme in SCHEMES:
        logs[scheme] = left_out(found, table, scheme)
        error = np.abs(np.exp(logs[scheme] - found.logs) - 1)
        print(f"left out by {scheme}: median error {quantile(error, 0.5):.1%}, {time.perf_counter() - began:.0f} s")
    lines = io.StringIO()
    lines.write(",".join(("row_id", *SCHEMES)) + "\n")
    for index, point in enumerate(found.points):
        values = (f"{logs[scheme][index] - found.logs[index]:.4f}" for scheme in SCHEMES)
        lines.write(",".join((point.row_id, *values)) + "\n")
    OUT_OF_GROUP.write_bytes(gzip.compress(lines.getvalue().encode(), mtime=0))
    print(f"written: {OUT_OF_GROUP.name}, errors of {len(found.points):,} points")
