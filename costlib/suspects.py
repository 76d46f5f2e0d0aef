"""Which stated fact must be wrong when a deployment does what it cannot do, and what it may be instead."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from costlib.anchor import LOG_SD
from costlib.catalog import Catalog
from costlib.engine import EngineConstants, EngineInputs, engine_inputs
from costlib.errors import DomainError
from costlib.fitted import with_ratios
from costlib.hardware import GpuSpec, Precision
from costlib.kvcache import kv_pool_bytes_per_gpu
from costlib.load_windows import LoadWindows, Rows, modelled_step_s, with_peaks
from costlib.map_fit import LogFit, LogModel, fit_log_ratios
from costlib.models import ModelSpec
from costlib.scenario import Deployment, SelfHosted
from costlib.serving import ServingConfig
from costlib.units import SECONDS_PER_HOUR

Floats = NDArray[np.float64]

# Constants that the steps of a busy engine speak of.
GROUPS = ("compute", "memory", "overhead", "collectives", "kv_reads", "experts")
# How well published constants are known themselves, beside how far a deployment is from them (anchor.LOG_SD).
TABLE_LOG_SD = 0.1
LEAST_REACHED, MOST_REACHED = 0.2, 0.95  # of the sheet's peak (domain_math §10.1, step 3)

_MOST_WINDOWS = 150  # that alternatives are compared on
_NOISE = 0.05  # of a window, in that comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a deployment is said to be, and the published constants of that."""

    model: ModelSpec
    gpu: GpuSpec
    serving: ServingConfig
    constants: EngineConstants

    @classmethod
    def of(cls, deployment: Deployment, catalog: Catalog) -> "Stated":
        """Raises DomainError for an API, and for what the GPU cannot do."""
        hosted = deployment.supply
        if not isinstance(hosted, SelfHosted):
            raise DomainError(f"{deployment.key} is bought by the token: it has no steps of ours.")
        model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
        constants = catalog.engine.resolve(model, gpu, hosted.serving)
        return cls(model=model, gpu=gpu, serving=hosted.serving, constants=constants)

    @property
    def inputs(self) -> EngineInputs:
        return engine_inputs(self.model, self.gpu, self.serving)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of constants that this engine has."""
        gpus = self.serving.tensor_parallel_count * self.serving.data_parallel_attention_count
        absent = {"collectives"} if gpus == 1 else set()
        return tuple(group for group in GROUPS if group not in absent | (set() if self.model.is_moe else {"experts"}))

    def reached_fraction(self, group: str, ratio: float) -> float | None:
        """The share of the sheet's peak that compute or memory reaches; None for other groups."""
        fractions = {"compute": self.constants.dense_compute_fraction, "memory": self.constants.bandwidth_fraction}
        return float(fractions[group]) * ratio if group in fractions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A stated fact, what would explain the windows in its place, and the shares of its peaks that this would reach."""

    fact: str  # "GPU", "precision" or "model"
    stated: str
    fits: str
    compute_fraction: float
    memory_fraction: float
    loss_ratio: float  # how badly it explains the windows; less is better


def prior_log_sd(groups: tuple[str, ...]) -> Floats:
    """How far the constants of one deployment usually are from the published ones."""
    return np.hypot([LOG_SD[group] for group in groups], TABLE_LOG_SD)


def log_model(load: LoadWindows, rows: Rows, stated: Stated) -> LogModel:
    """Log step time of each window, as a function of the log ratios of `stated.groups`."""
    inputs, groups = stated.inputs, stated.groups

    def log_step(x: Floats) -> Floats:
        ratios = dict(zip(groups, np.exp(x).tolist(), strict=True))
        peaks = with_peaks(inputs, ratios.pop("compute"), ratios.pop("memory"))
        return np.log(modelled_step_s(peaks, with_ratios(stated.constants, ratios), load, rows))

    return log_step


def fit(load: LoadWindows, rows: Rows, stated: Stated, noise: float | None = None) -> LogFit:
    """The log ratios of `stated.groups` that explain these windows best."""
    blocks = (load.start_s[rows] // SECONDS_PER_HOUR).astype(np.intp)
    measured = np.log(load.step_s(rows))
    return fit_log_ratios(log_model(load, rows, stated), measured, prior_log_sd(stated.groups), blocks, noise)


def suspects(load: LoadWindows, rows: Rows, stated: Stated, catalog: Catalog) -> tuple[Suspect, ...]:
    """Of each fact, the other value in the catalogue that explains the windows best; the likeliest first.

    Equation   least -2 log posterior of a fit with that fact changed and nothing else, at one noise for all
    Returns    Suspects whose compute and memory reach a possible share of their peaks; none where nothing explains them
    Valid for  one wrong fact at a time
    Source     domain_math §10.1, step 3
    """
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_WINDOWS)).astype(int)]
    best: dict[str, Suspect] = {}
    for fact, was, now, other in _alternatives(stated, catalog):
        found = fit(load, few, other, _NOISE)
        ratio = dict(zip(other.groups, np.exp(found.log_ratio).tolist(), strict=True))
        compute, memory = (other.reached_fraction(group, ratio[group]) or 0.0 for group in ("compute", "memory"))
        possible = all(LEAST_REACHED <= share <= MOST_REACHED for share in (compute, memory))
        if possible and (fact not in best or found.loss_ratio < best[fact].loss_ratio):
            best[fact] = Suspect(
                fact=fact,
                stated=was,
                fits=now,
                compute_fraction=compute,
                memory_fraction=memory,
                loss_ratio=found.loss_ratio,
            )
    return tuple(sorted(best.values(), key=lambda suspect: suspect.loss_ratio))


def _alternatives(stated: Stated, catalog: Catalog) -> Iterator[tuple[str, str, str, Stated]]:
    """Fact, stated value, other value, and the deployment with it; those that it cannot be are left out."""
    serving = stated.serving
    formats = [replace(serving, weight_precision=one, stated_weights_bytes=None) for one in Precision]
    others = [
        *(("GPU", stated.gpu.name, gpu.name, replace(stated, gpu=gpu)) for gpu in catalog.gpus),
        *(
            ("precision", serving.weight_precision.value, one.weight_precision.value, replace(stated, serving=one))
            for one in formats
        ),
        *(("model", stated.model.name, model.name, replace(stated, model=model)) for model in catalog.models),
    ]
    for fact, was, now, other in others:
        if was == now:
            continue
        try:
            kv_pool_bytes_per_gpu(other.model, other.gpu, other.serving)
            constants = catalog.engine.resolve(other.model, other.gpu, other.serving)
            engine_inputs(other.model, other.gpu, other.serving)
        except DomainError:
            continue
        yield fact, was, now, replace(other, constants=constants)
