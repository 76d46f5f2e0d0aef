"""GPUs: what the sheet says, dense figures only."""

from dataclasses import dataclass
from enum import StrEnum

from costlib.errors import DomainError
from costlib.sources import Source


class Precision(StrEnum):
    """Number formats. As a weight format, int4 is weight-only (group 128): it computes at the bf16 rate."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    FP4 = "fp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigProfile:
    """One way to slice a GPU: shares of its compute and memory, and how many fit at most."""

    key: str
    compute_fraction: float
    hbm_bytes: float
    hbm_bandwidth_fraction: float
    max_instances_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """One accelerator. FLOP/s are dense peaks, never the vendor's sparse headline.

    `link_bytes_per_s` is GPU to GPU, both directions together (0: none), `host_link_bytes_per_s` likewise for PCIe.
    """

    key: str
    name: str
    vendor: str
    architecture: str
    hbm_bytes: float
    hbm_bytes_per_s: float
    dense_flop_per_s: tuple[tuple[Precision, float], ...]
    link_bytes_per_s: float
    host_link_bytes_per_s: float
    board_w: float
    mig: tuple[MigProfile, ...] = ()
    trap: str = ""
    sources: tuple[Source, ...] = ()

    def peak_flop_per_s(self, precision: Precision) -> float:
        """Dense matmul peak when weights are stored in `precision`, FLOP/s.

        Formats without their own matmul units (int4 everywhere, fp8 on Ampere) compute at the bf16 rate:
        they save bytes, not FLOPs.
        """
        peaks = dict(self.dense_flop_per_s)
        if precision in peaks:
            return peaks[precision]
        if precision is Precision.FP4:
            raise DomainError(
                f"{self.name} has no FP4 units; use fp8, int8 or int4 weights, or a Blackwell or CDNA4 GPU."
            )
        return peaks[Precision.BF16]

    def computes_in(self, precision: Precision) -> bool:
        """True when the GPU has matmul units for `precision` (else it is a weight-only format there)."""
        return precision in dict(self.dense_flop_per_s)
