"""Reuse the KV cache of prompt beginnings that repeat: their prefill is not computed again."""

from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work, refuse_unmodelled
from costlib.scenario import Scenario
from costlib.sources import Source


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    return refuse_unmodelled(scenario, "use the provider's cached input price, or host one without stated_tokens_per_s")


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    return scenario.with_serving(prefix_hit_fraction=values["hit_fraction"])


LEVER = Lever(
    key="prefix_caching",
    stage=Stage.SERVING,
    label="Prefix caching",
    question="What if this share of prompt tokens came from the prefix cache?",
    params=(
        Switch(
            key="enabled",
            label="Prefix caching",
            help="vLLM has it on by default: then today's hit rate already counts it, and this asks what another hit "
            "rate would cost. Only prefill is saved; decoding is untouched.",
        ),
        Number(
            key="hit_fraction",
            label="Prompt tokens reused",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.45,
            unit="of prompt tokens reused",
            usual=(0.1, 0.65),
            help="Assumed 45 % until measured. Two production traces reach 54 % and 62 % at best; API traffic less.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="hit_fraction", values=(0.0, 0.2, 0.4, 0.6, 0.8), step="prefill_s", rises=False),
    effort=Effort.FLAG,
    changes_answers=False,
    saves_per=Work.ASKED_TOKENS,
    risks="Hits fall when one conversation lands on several replicas, or when prompts begin with what varies.",
    rollback="Restart with --no-enable-prefix-caching; prompts need not change back.",
    sources=(
        Source(
            title='Wang et al., "KVCache in the Wild"',
            url="https://arxiv.org/abs/2506.02634",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
