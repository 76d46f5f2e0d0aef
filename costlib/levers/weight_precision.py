"""Store the weights in fewer bits: fewer bytes to read, more room for KV cache, and on some GPUs faster arithmetic."""

from datetime import date

from costlib.catalog import Catalog
from costlib.hardware import Precision
from costlib.lever import Choice, Lever, Monotone, Option, Refusal, Stage, Values
from costlib.scenario import Scenario
from costlib.sources import Source

KEEP = "keep"


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    offered = [
        Option(value=precision, label=precision.upper(), blocked=_blocked(scenario, precision, catalog))
        for precision in Precision
    ]
    return (Option(value=KEEP, label="Keep"), *offered)


def _blocked(scenario: Scenario, precision: Precision, catalog: Catalog) -> str:
    if precision is not Precision.FP4:
        return ""
    gpus = {catalog.gpu(hosted.gpu_key) for hosted in scenario.hosted}
    lacking = sorted(gpu.name for gpu in gpus if not gpu.computes_in(precision))
    return f"{', '.join(lacking)} has no FP4 units" if lacking else ""


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if not scenario.modelled:
        return Refusal(
            reason="no deployment has a modelled capacity: each is bought by the token or states its throughput",
            remedy="host one without stated_tokens_per_s to choose its weight format",
        )
    reason = _blocked(scenario, Precision(values["weights"]), catalog)
    return Refusal(reason=reason, remedy="choose FP8, INT8 or INT4, or a Blackwell or CDNA4 GPU") if reason else None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(weight_precision=Precision(values["weights"]), stated_weights_bytes=None)


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
            neutral=KEEP,
            help="FP8 and INT8 also compute in 8 bit where the GPU can. INT4 only stores in 4 bit: it reads less; at "
            "large batches saves little or costs. On A100 and T4, FP8 too is storage only.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(
        param="weights", values=(Precision.BF16, Precision.FP8, Precision.INT4), step="weights_bytes", rises=False
    ),
    risks="Answers change. Gate it on your own evaluation set; retries cost money too.",
    sources=(
        Source(
            title='Kurtic et al., "Give Me BF16 or Give Me Death?"',
            url="https://arxiv.org/abs/2411.02355",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
