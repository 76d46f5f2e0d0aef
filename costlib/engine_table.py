"""The engine's constants by stratum (engine, GPU generation, number format), and the ones a deployment gets.

`data/engine/constants.toml` holds them with standard errors, priors and the number of measurements behind each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costlib.engine import Amount, EngineConstants
from costlib.errors import UnknownKey
from costlib.estimate import Basis
from costlib.fitted import Fitted
from costlib.hardware import GpuSpec, Precision
from costlib.kvcache import dense_precision
from costlib.models import ModelSpec
from costlib.serving import ServingConfig

ENGINE = "vllm"  # today's; the others are there for the accuracy table
ALL, OTHER = "all", "other"
MOST_BANDWIDTH_FRACTION = 0.97

Names = str | NDArray[Any]
Flags = bool | NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedConstant:
    """One constant in the unit its name says. `points_count` measurements move it; 0: the value is the prior."""

    value: float
    log_sd: float
    points_count: int
    prior: float
    prior_log_sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBand:
    """Measured over modelled step time: the bounds of 80 % of measurements."""

    low_ratio: float
    high_ratio: float


NO_BAND = StepBand(low_ratio=1.0, high_ratio=1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strata:
    """Which constants apply: names and flags, of one deployment or of each of many rows.

    Formats are those multiplied in: `16bit`, `8bit` or `4bit`. `link` is `link`, `pcie` or `bridged_pcie`.
    `client` is the stratum of time to the first token, where it is not the engine's.
    """

    engine: Names
    generation: Names
    dense_format: Names
    expert_format: Names
    link: Names
    is_moe: Flags
    has_8bit_experts: Flags
    has_4bit_dense: Flags
    power_ratio: Amount = 1.0  # board power per FLOP/s over that of the generation's module, at most 1
    client: Names | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTable:
    """All constants, by name and stratum."""

    constants: Mapping[str, Mapping[str, FittedConstant]] = field(default_factory=dict)
    generations: Mapping[str, str] = field(default_factory=dict)  # by architecture
    measured_architectures: frozenset[str] = frozenset()
    measured_gpus: frozenset[str] = frozenset()
    module_j_per_flop: Mapping[str, float] = field(default_factory=dict)  # by generation
    step_band: Mapping[str, StepBand] = field(default_factory=dict)  # `measured`, `unmeasured`

    def fitted(self, name: str, stratum: str = ALL) -> FittedConstant:
        """The constant `name` in `stratum`, or in `other` where that stratum has none of its own."""
        try:
            strata = self.constants[name]
        except KeyError:
            raise UnknownKey("engine constant", name, self.constants) from None
        found = strata.get(stratum) or strata.get(OTHER)
        if found is None:
            raise UnknownKey(f"stratum of {name}", stratum, strata)
        return found

    def value(self, name: str, stratum: Names = ALL) -> Amount:
        """Its value, for one stratum or for an array of them."""
        if isinstance(stratum, str):
            return self.fitted(name, stratum).value
        known, which = np.unique(stratum, return_inverse=True)
        return np.array([self.fitted(name, str(one)).value for one in known])[which]

    def with_values(self, values: Mapping[tuple[str, str], float]) -> "EngineTable":
        """This table with other values, by (name, stratum)."""
        constants = {name: dict(strata) for name, strata in self.constants.items()}
        for (name, stratum), value in values.items():
            constants[name][stratum] = replace(constants[name][stratum], value=value)
        return replace(self, constants=constants)

    def resolve(
        self,
        model: ModelSpec,
        gpu: GpuSpec,
        serving: ServingConfig,
        engine: str = ENGINE,
        fitted: Fitted | None = None,
    ) -> EngineConstants:
        """The constants of one deployment, with what calibration found of it where it was calibrated.

        Returns    EngineConstants; extrapolated on an architecture that was not measured, and with the wider band on a
                   GPU that was not
        Raises     DomainError when the GPU cannot compute in the weight format; UnknownKey for an unknown engine
        """
        dense = dense_precision(model, serving)
        generation = self.generations.get(gpu.architecture, OTHER)
        module = self.module_j_per_flop.get(generation)
        power = gpu.board_w / gpu.peak_flop_per_s(Precision.BF16) / module if module else 1.0
        strata = Strata(
            engine=engine,
            generation=generation,
            dense_format=compute_format(gpu, dense),
            expert_format=compute_format(gpu, serving.weight_precision),
            link="link" if gpu.link_bytes_per_s else "pcie",
            is_moe=model.is_moe,
            has_8bit_experts=serving.weight_precision in (Precision.FP8, Precision.INT8),
            has_4bit_dense=dense in (Precision.INT4, Precision.FP4),
            power_ratio=min(1.0, power),
        )
        band = self.step_band["measured" if gpu.key in self.measured_gpus else "unmeasured"]
        basis = Basis.ASSUMED if gpu.architecture in self.measured_architectures else Basis.EXTRAPOLATED
        published = self.constants_of(strata, band, basis)
        traffic = serving.weight_traffic_ratio
        if traffic != 1:
            # What is unpacked first is read as 16 bit, not by the fast kernels that the 4-bit constant is of.
            unpacked = dense == serving.weight_precision
            published = replace(
                published,
                dense_read_ratio=1 / traffic if unpacked else published.dense_read_ratio,
                expert_read_ratio=published.expert_read_ratio / traffic,
            )
        return published if fitted is None else fitted.applied_to(published, model, gpu, serving)

    def constants_of(self, strata: Strata, band: StepBand = NO_BAND, basis: Basis = Basis.ASSUMED) -> EngineConstants:
        """The constants of these strata, one value each or one per row."""
        value, generation = self.value, strata.generation
        client = strata.engine if strata.client is None else strata.client
        reached = value("generation_compute_ratio", generation) * strata.power_ratio ** value("power_exponent_ratio")
        bandwidth = value("bandwidth_fraction") * value("generation_bandwidth_ratio", generation)
        experts = value("compute_fraction", strata.expert_format) * value("expert_compute_ratio")
        # Flags are 0 or 1, so that a constant is there or not: per row, and without a branch.
        return EngineConstants(
            dense_compute_fraction=_share(value("compute_fraction", strata.dense_format) * reached),
            expert_compute_fraction=_share(experts * reached),
            attention_compute_fraction=_share(value("attention_compute_fraction") * reached),
            bandwidth_fraction=_share(bandwidth, MOST_BANDWIDTH_FRACTION),
            dense_read_ratio=value("dense_4bit_read_ratio") ** strata.has_4bit_dense,
            expert_read_ratio=value("expert_read_ratio") * value("expert_8bit_read_ratio") ** strata.has_8bit_experts,
            kv_read_ratio=value("kv_read_ratio") * value("generation_kv_read_ratio", generation),
            crowded_kv_read_ratio=value("crowded_kv_read_ratio", generation),
            knee_ratio=value("knee_ratio"),
            link_fraction=value("link_fraction", strata.link),
            link_cost_ratio=value("link_cost_ratio", generation),
            link_group_exponent_ratio=value("pcie_group_exponent_ratio") * (strata.link != "link"),
            all_reduce_s=value("all_reduce_s"),
            all_reduce_sqrt_s=value("all_reduce_sqrt_s"),
            layer_s=value("layer_s", strata.engine)
            + value("expert_layer_s") * strata.is_moe
            + value("quantise_layer_s") * (strata.expert_format == "4bit"),
            step_s=value("step_s", strata.engine),
            sequence_s=value("sequence_s", strata.engine),
            front_s=value("front_s", client),
            prefill_ratio=value("prefill_ratio", client),
            buffered_tokens=value("buffered_tokens", client),
            burst_ratio=value("burst_ratio"),
            waited_steps_ratio=value("waited_steps_ratio"),
            step_low_ratio=band.low_ratio,
            step_high_ratio=band.high_ratio,
            basis=basis,
        )


def compute_format(gpu: GpuSpec, precision: Precision) -> str:
    """The format that weights stored in `precision` are multiplied in on this GPU: `16bit`, `8bit` or `4bit`."""
    if precision is Precision.BF16 or not gpu.computes_in(precision):
        return "16bit"
    return "8bit" if precision in (Precision.FP8, Precision.INT8) else "4bit"


def _share(amount: Amount, most: float = 1.0) -> Amount:
    return min(amount, most) if isinstance(amount, float) else np.minimum(amount, most)
