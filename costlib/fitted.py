"""What was found of one deployment, as ratios to the published constants: so that it goes along into a what-if."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from costlib.engine import Amount, EngineConstants
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.hardware import GpuSpec
from costlib.models import ModelSpec
from costlib.serving import ServingConfig
from costlib.validity import Validity


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What step times hang on, beside load: where it changes, a fit is no measurement of the new one."""

    model: str
    gpu: str
    weight_precision: str
    kv_precision: str
    layout: str  # tensor x pipeline x data parallel

    @classmethod
    def of(cls, model_key: str, gpu_key: str, serving: ServingConfig) -> "Setup":
        counts = (
            serving.tensor_parallel_count,
            serving.pipeline_parallel_count,
            serving.data_parallel_attention_count,
        )
        return cls(
            model=model_key,
            gpu=gpu_key,
            weight_precision=str(serving.weight_precision)
            + (f" {serving.quantization}" if serving.weight_traffic_ratio != 1 else ""),
            kv_precision=str(serving.kv_precision),
            layout="x".join(map(str, counts)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRatio:
    """A group of constants, as `anchor` names them, over the published ones."""

    group: str
    ratio: float

    def __post_init__(self) -> None:
        if not 0 < self.ratio < inf:
            raise DomainError(f"the ratio of {self.group} must be above 0, not {self.ratio}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What calibration found: constants over published ones, the band of the held-out windows, and where it holds."""

    setup: Setup
    ratios: tuple[GroupRatio, ...]
    step_low_ratio: float
    step_high_ratio: float
    validity: Validity

    def __post_init__(self) -> None:
        if not 0 < self.step_low_ratio <= self.step_high_ratio < inf:
            raise DomainError(
                f"step_low_ratio and step_high_ratio are a band above 0, not {self.step_low_ratio} to "
                f"{self.step_high_ratio}."
            )

    def applied_to(
        self, published: EngineConstants, model: ModelSpec, gpu: GpuSpec, serving: ServingConfig
    ) -> EngineConstants:
        """Constants of the deployment, or of what it would be on other hardware or in other formats.

        Equation   published constant x fitted / published of the deployment as it was calibrated
        Returns    EngineConstants: calibrated, with the band of the held-out windows, for the setup as it was;
                   for another the published basis and band: how a deployment differs is what it keeps
        Source     costlib.anchor; docs/accuracy.md has what-ifs from a live base beside those without
        """
        constants = with_ratios(published, {one.group: one.ratio for one in self.ratios})
        if Setup.of(model.key, gpu.key, serving) != self.setup:
            return constants
        return replace(
            constants,
            step_low_ratio=self.step_low_ratio,
            step_high_ratio=self.step_high_ratio,
            basis=Basis.CALIBRATED,
        )


def with_ratios(constants: EngineConstants, ratios: Mapping[str, float]) -> EngineConstants:
    """Constants with groups of them so many times what they are; `scale` slows everything alike."""
    scale = ratios.get("scale", 1.0)
    compute, memory = ratios.get("compute", 1.0) / scale, ratios.get("memory", 1.0) / scale
    overhead = ratios.get("overhead", 1.0) * scale
    return replace(
        constants,
        dense_compute_fraction=_share(constants.dense_compute_fraction, compute),
        expert_compute_fraction=_share(constants.expert_compute_fraction, compute),
        attention_compute_fraction=_share(constants.attention_compute_fraction, compute),
        bandwidth_fraction=_share(constants.bandwidth_fraction, memory),
        layer_s=constants.layer_s * overhead,
        step_s=constants.step_s * overhead,
        sequence_s=constants.sequence_s * overhead,
        link_cost_ratio=constants.link_cost_ratio * ratios.get("collectives", 1.0) * scale,
        kv_read_ratio=constants.kv_read_ratio * ratios.get("kv_reads", 1.0),
        expert_read_ratio=constants.expert_read_ratio * ratios.get("experts", 1.0),
    )


def _share(fraction: Amount, ratio: float) -> Amount:
    """No more than all of the sheet's peak."""
    return np.minimum(fraction * ratio, 1.0)
