"""Store the weights in fewer bits: fewer bytes to read, more room for KV cache, and on some GPUs faster arithmetic."""

from dataclasses import dataclass
from datetime import date

from costlib.catalog import Catalog
from costlib.hardware import GpuSpec, Precision
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.sources import Source

NVIDIA = "NVIDIA"
_NO_INT8_KERNEL = ("Blackwell", "Blackwell Ultra")  # compute capability 10 and later


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to store weights: in what, and vLLM's name of the method. What it computes in is the GPU's matter."""

    label: str
    precision: Precision
    quantization: str
    is_nvidia_only: bool = False  # vLLM has no kernels for other GPUs


FORMATS = {
    "bf16": Format(label="BF16", precision=Precision.BF16, quantization=""),
    "fp8": Format(label="FP8", precision=Precision.FP8, quantization="fp8"),
    "int8": Format(label="INT8", precision=Precision.INT8, quantization="compressed-tensors", is_nvidia_only=True),
    "int4": Format(label="INT4", precision=Precision.INT4, quantization="compressed-tensors"),
    "fp4": Format(label="FP4", precision=Precision.FP4, quantization="modelopt_fp4"),
    "awq_int4": Format(label="INT4 AWQ", precision=Precision.INT4, quantization="awq", is_nvidia_only=True),
    "gptq_int4": Format(label="INT4 GPTQ", precision=Precision.INT4, quantization="gptq", is_nvidia_only=True),
    "bnb_int8": Format(label="INT8 bnb", precision=Precision.INT8, quantization="bitsandbytes", is_nvidia_only=True),
    "bnb_nf4": Format(label="NF4 bnb", precision=Precision.INT4, quantization="bitsandbytes", is_nvidia_only=True),
}


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    offered = (
        Option(value=key, label=one.label, blocked=_blocked(scenario, one, catalog)) for key, one in FORMATS.items()
    )
    return (KEEP, *offered)


def _lacks(gpu: GpuSpec, wanted: Format) -> str:
    if wanted.precision is Precision.FP4 and not gpu.computes_in(Precision.FP4):
        return "has no FP4 units"
    computes_in_int8 = wanted.precision is Precision.INT8 and wanted.quantization != "bitsandbytes"
    if (wanted.is_nvidia_only and gpu.vendor != NVIDIA) or (computes_in_int8 and gpu.architecture in _NO_INT8_KERNEL):
        return f"has no {wanted.label} kernels in vLLM"
    return ""


def lacks_kernels(gpu: GpuSpec, precision: Precision) -> str:
    """Why a GPU does not run the format of this precision that vLLM offers first; "" where it does."""
    return _lacks(gpu, next(one for one in FORMATS.values() if one.precision is precision))


def _blocked(scenario: Scenario, wanted: Format, catalog: Catalog) -> str:
    """One clause about the first GPU that lacks it: a panel has no room for more."""
    gpus = sorted({catalog.gpu(hosted.gpu_key) for hosted in scenario.hosted}, key=lambda gpu: gpu.name)
    return next((f"{gpu.name} {lacks}" for gpu in gpus if (lacks := _lacks(gpu, wanted))), "")


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to choose its weight format"):
        return refusal
    wanted = FORMATS[values["weights"]]
    reason = _blocked(scenario, wanted, catalog)
    if not reason:
        return None
    is_fp4 = wanted.precision is Precision.FP4
    return Refusal(
        reason=reason, remedy="choose FP8, INT8 or INT4, or a Blackwell or CDNA4 GPU" if is_fp4 else "choose FP8"
    )


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    wanted = FORMATS[values["weights"]]
    return scenario.with_serving(
        weight_precision=wanted.precision, quantization=wanted.quantization, stated_weights_bytes=None
    )


LEVER = Lever(
    key="weight_precision",
    stage=Stage.MODEL,
    label="Weight precision",
    question="What if the weights were stored in fewer bits?",
    params=(
        Choice(
            key="weights",
            label="Weights",
            options=_options,
            neutral=KEEP.value,
            help="FP8 and INT8 also compute in 8 bit where the GPU can. INT4, by AWQ, GPTQ or else, only stores in 4 "
            "bit: it reads less; at large batches saves little or costs. On A100 and T4, FP8 too is storage only. "
            "bitsandbytes (bnb) needs no calibration and saves memory, but unpacks weights in every step: slower than "
            "16 bit.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(
        param="weights", values=("bf16", "fp8", "int4", "awq_int4", "gptq_int4"), step="weights_bytes", rises=False
    ),
    effort=Effort.CHECKPOINT,
    changes_answers=True,
    risks="Answers change. Gate it on your own evaluation set; retries cost money too.",
    rollback="Serve the checkpoint of before; keep it where the servers can load it.",
    sources=(
        Source(
            title='Kurtic et al., "Give Me BF16 or Give Me Death?"',
            url="https://arxiv.org/abs/2411.02355",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="vLLM documentation, quantization and its supported hardware",
            url="https://docs.vllm.ai/en/v0.15.1/features/quantization/",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="vLLM documentation, FP8 W8A8 and INT8 W8A8",
            url="https://docs.vllm.ai/en/v0.32.0/features/quantization/llm_compressor/fp8/",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="premAI benchmarks of engines and formats on an A100",
            url="https://github.com/premAI-io/benchmarks",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
