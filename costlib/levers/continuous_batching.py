"""From static batches and reserved KV memory to continuous batching and paging: what vLLM does since its beginning."""

from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Refusal, Stage, Switch, Values, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.serving import Batching
from costlib.sources import Source

ENGINE = {"batching": Batching.CONTINUOUS, "kv_used_fraction": 1.0}


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(scenario, "host one without stated_tokens_per_s to change how it batches"):
        return refusal
    if apply(scenario, values, catalog) == scenario:
        return Refusal(
            reason="every deployment already batches continuously and pages its KV cache, as vLLM always does: there "
            "is nothing left to save",
            remedy="if an older engine runs today, say so in its serving settings: batching static, and "
            "kv_used_fraction below 1 where each sequence reserves its longest",
        )
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(**ENGINE)


LEVER = Lever(
    key="continuous_batching",
    stage=Stage.SERVING,
    label="Continuous batching and paging",
    question="What if an answer that ends made room for the next at once?",
    params=(
        Switch(
            key="enabled",
            label="Continuous batching and paging",
            help="Pays only where today's engine has static batches or reserves KV memory. The gain grows with the "
            "batch and with how unequal answers are; at low load it is latency, not money.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    # Not the capacity: under a limit on time per token, prompts between two tokens may take what idle slots gave.
    expect=Monotone(param="enabled", values=(False, True), step="batch_by_kv_memory_count", rises=True),
    effort=Effort.FLEET,
    changes_answers=False,
    risks="Prompts of others come between two tokens, so time per token varies more. Another engine is a migration.",
    rollback="Keep the old engine deployed beside until the new one has carried a peak.",
    sources=(
        Source(
            title="Yu et al., Orca, OSDI 2022",
            url="https://www.usenix.org/conference/osdi22/presentation/yu",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Kwon et al., PagedAttention",
            url="https://arxiv.org/abs/2309.06180",
            retrieved_on=date(2026, 11, 21),
            note="contiguous allocation holds tokens in 20 to 38 % of KV memory",
        ),
    ),
)
