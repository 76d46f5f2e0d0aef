"""How much of one prompt may ride in a step: `--long-prefill-token-threshold`."""

from datetime import date

from costlib.catalog import Catalog
from costlib.lever import KEEP, Choice, Effort, Lever, Monotone, Option, Refusal, Stage, Values, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.sources import Source

CHUNKS = (256, 512, 1024, 2048, 4096, 8192)


def _options(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    return (KEEP, *(Option(value=str(chunk), label=f"{chunk:,}") for chunk in CHUNKS))


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refuse_unmodelled(scenario, "host one without stated_tokens_per_s to set its chunks")


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(max_chunk_tokens=int(values["chunk"]))


LEVER = Lever(
    key="chunked_prefill",
    stage=Stage.SERVING,
    label="Prefill chunks",
    question="What if long prompts were computed in smaller pieces?",
    params=(
        Choice(
            key="chunk",
            label="Prompt tokens per step",
            options=_options,
            neutral=KEEP.value,
            ordered=True,
            help="vLLM chunks prompts by default, up to its tokens per step. This trades the longest pause between "
            "two tokens against the first token. Money hardly moves, but for prompts much longer than their answers; "
            "where they are shorter than a chunk, nothing changes.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="chunk", values=tuple(map(str, CHUNKS)), step="prefill_s", rises=False),
    effort=Effort.FLAG,
    changes_answers=False,
    risks="Small chunks read the weights again for every piece: the first token comes later.",
    rollback="Restart without the flag.",
    sources=(
        Source(
            title="Agrawal et al., Sarathi-Serve",
            url="https://arxiv.org/abs/2403.02310",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="vLLM documentation, scheduler configuration",
            url="https://docs.vllm.ai/en/stable/api/vllm/config/scheduler/",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
