"""Let more sequences, and more tokens, into each step: `--max-num-seqs` and `--max-num-batched-tokens`."""

from datetime import date
from typing import Any

from costlib.catalog import Catalog
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.sources import Source

SEQUENCES = (8, 16, 32, 64, 128, 256, 512, 1024)
TOKENS = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def _options(values: tuple[int, ...]):  # type: ignore[no-untyped-def]
    offered = tuple(Option(value=str(value), label=f"{value:,}") for value in values)
    return lambda scenario, catalog: (KEEP, *offered)


def _edit(values: Values) -> dict[str, Any]:
    return {key: int(values[key]) for key in ("max_num_seqs", "max_num_batched_tokens") if values[key] != KEEP.value}


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to set its batch limits"):
        return refusal
    for hosted in apply(scenario, values, catalog).hosted:
        sequences, tokens = hosted.serving.max_num_seqs, hosted.serving.max_num_batched_tokens
        if tokens < sequences:
            return Refusal(
                reason=f"{sequences:,} sequences per step need as many tokens or more, and {tokens:,} are allowed",
                remedy="raise tokens per step or lower sequences; vLLM refuses to start otherwise",
            )
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(**_edit(values))


LEVER = Lever(
    key="batch_limits",
    stage=Stage.SERVING,
    label="Batch limits",
    question="What if each step carried more sequences?",
    params=(
        Choice(
            key="max_num_seqs",
            label="Sequences per step",
            options=_options(SEQUENCES),
            neutral=KEEP.value,
            ordered=True,
            help="Larger batches share one read of the weights. KV memory, and the slowest time per token allowed, may "
            "bind first; then nothing changes.",
        ),
        Choice(
            key="max_num_batched_tokens",
            label="Tokens per step",
            options=_options(TOKENS),
            neutral=KEEP.value,
            ordered=True,
            help="Bounds prompt chunks plus one token per sequence. More of it needs more activation memory.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="max_num_seqs", values=tuple(map(str, SEQUENCES)), step="capacity_tokens_per_s", rises=True),
    effort=Effort.FLAG,
    changes_answers=False,
    risks="Time per token rises with the batch; set max_tpot_s to keep it in bounds.",
    rollback="Restart with the limits of before.",
    sources=(
        Source(
            title="vLLM documentation, optimization and tuning",
            url="https://docs.vllm.ai/en/latest/configuration/optimization.html",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
