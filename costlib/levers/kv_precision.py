"""Store the KV cache in eight bits: twice the sequences in the same memory, and half the bytes of context to read."""

from datetime import date

from costlib.catalog import Catalog
from costlib.hardware import Precision
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, Work, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.serving import KV_BYTES_PER_ELEMENT
from costlib.sources import Source


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    offered = (Option(value=precision, label=precision.upper()) for precision in KV_BYTES_PER_ELEMENT)
    return (KEEP, *offered)


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refuse_unmodelled(scenario, "host one without stated_tokens_per_s to choose the format of its KV cache")


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(kv_precision=Precision(values["kv"]))


LEVER = Lever(
    key="kv_precision",
    stage=Stage.SERVING,
    label="KV cache precision",
    question="What if the KV cache were stored in eight bits?",
    params=(
        Choice(
            key="kv",
            label="KV cache",
            options=_options,
            neutral=KEEP.value,
            help="FP8 holds twice the tokens. It pays where KV memory binds or contexts are long; where the batch "
            "limit or arithmetic binds and contexts are short, it saves next to nothing.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="kv", values=(Precision.BF16, Precision.FP8), step="kv_per_sequence_bytes", rises=False),
    effort=Effort.FLAG,
    changes_answers=True,
    saves_per=Work.ASKED_TOKENS,
    risks="Answers change, on long contexts first. Without an attention kernel that reads FP8, unpacking costs time "
    "that is not modelled.",
    rollback="Restart with --kv-cache-dtype auto.",
    sources=(
        Source(
            title="vLLM documentation, quantized KV cache",
            url="https://docs.vllm.ai/en/latest/features/quantization/quantized_kvcache/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
