"""What one replica carries, for very many mixes of prompt, answer and cache at once: solved at some, read off between.

`project()` takes a millisecond for a mix, and an estimate draws a hundred thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.replica import solve_replica
from costlib.roofline import Floats
from costlib.scenario import Deployment, SelfHosted

# Denser where most draws are; the ends hold the rare ones, so that one that cannot run takes few others with it.
_QUANTILES = {
    "prompt": (0.0, 0.03, 0.25, 0.6, 0.92, 0.995, 1.0),
    "output": (0.0, 0.1, 0.5, 0.95, 1.0),
    "cached": (0.0, 0.2, 0.8, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CapacityCurve:
    """Requests per second of a replica on a grid; its axes are log prompt, log output and share cached."""

    axes: tuple[Floats, Floats, Floats]
    log_requests_per_s: Floats

    def requests_per_s(self, prompt_tokens: Floats, output_tokens: Floats, cached_fraction: Floats) -> Floats:
        """
        Equation   linear in log prompt, log output and cached share, of the log of the rate
        Returns    [request/s], one per mix; NaN where a corner around it cannot run
        Valid for  mixes within the axes; beyond, the edge is taken
        Raises     nothing
        Source     within 1 % of `replica.solve_replica`, tests/costlib/test_estimator.py
        """
        at = (np.log(np.maximum(prompt_tokens, 1.0)), np.log(output_tokens), np.asarray(cached_fraction))
        places, weights = zip(*(_between(axis, value) for axis, value in zip(self.axes, at, strict=True)), strict=True)
        found = np.zeros(np.broadcast_shapes(*(np.shape(value) for value in at)))
        for corner in product((0, 1), repeat=3):
            share = np.ones_like(found)
            index = []
            for axis, side in enumerate(corner):
                share = share * (weights[axis] if side else 1 - weights[axis])
                index.append(np.minimum(places[axis] + side, len(self.axes[axis]) - 1))
            value = self.log_requests_per_s[tuple(index)]
            # A corner that does not count must not make the sum undefined.
            found = found + np.where(share > 0, share * value, 0.0)
        return np.asarray(np.exp(found))


def _between(axis: Floats, value: Floats) -> tuple[np.ndarray, Floats]:
    """The place of the node below each value, and how far it is on the way to the next."""
    if len(axis) == 1:
        return np.zeros(np.shape(value), dtype=int), np.zeros(np.shape(value))
    place = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, len(axis) - 2)
    return place, np.clip((value - axis[place]) / (axis[place + 1] - axis[place]), 0.0, 1.0)


def capacity_curve(
    deployment: Deployment, catalog: Catalog, prompt_tokens: Floats, output_tokens: Floats, cached_fraction: Floats
) -> CapacityCurve:
    """The curve over the range of these mixes.

    Returns    CapacityCurve
    Raises     DomainError for a deployment that is bought by the token, or that runs none of the mixes
    """
    hosted = deployment.supply
    if not isinstance(hosted, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: it has no replicas.")
    model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, hosted.serving, fitted=hosted.fitted)
    axes = (
        _nodes(np.log(np.maximum(prompt_tokens, 1.0)), _QUANTILES["prompt"]),
        _nodes(np.log(output_tokens), _QUANTILES["output"]),
        _nodes(cached_fraction, _QUANTILES["cached"]),
    )
    refusals: list[str] = []

    def rate(prompt: float, output: float, cached: float) -> float:
        work = replace(
            deployment.workload, mean_prompt_tokens=float(np.exp(prompt)), mean_output_tokens=float(np.exp(output))
        )
        serving = replace(hosted.serving, prefix_hit_fraction=float(cached))
        try:
            replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
        except DomainError as error:
            refusals.append(str(error))
            return np.nan
        return float(np.log(replica.capacity_requests_per_s))

    solved = np.array([rate(*mix) for mix in product(*axes)]).reshape([len(axis) for axis in axes])
    if not np.isfinite(solved).any():
        raise DomainError(f"{deployment.key} runs none of the mixes: {refusals[0]}")
    return CapacityCurve(axes=axes, log_requests_per_s=solved)


def _nodes(values: Floats, quantiles: Sequence[float]) -> Floats:
    """Nodes between the least and the greatest value; one where they do not vary."""
    nodes = np.quantile(values, quantiles)
    apart = np.concatenate(([True], np.diff(nodes) > 1e-9 * max(1.0, float(np.abs(nodes).max()))))
    return np.asarray(nodes[apart])
