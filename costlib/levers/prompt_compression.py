"""Send fewer prompt tokens: rewrite what is fixed once, or compress every prompt with a small model."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.estimate import Basis
from costlib.lever import Choice, Effort, Lever, Monotone, Number, Option, Refusal, Stage, Switch, Values, Work
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.sources import Source
from costlib.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK

REWRITTEN, EACH = "rewritten", "each"


def _methods(scenario: Scenario, catalog: Catalog) -> tuple[Option, ...]:
    return (
        Option(value=REWRITTEN, label="Rewritten once"),
        Option(value=EACH, label="Each prompt by a small model"),
    )


def hit_fraction_after(hit_fraction: float, share_fraction: float, cut_fraction: float, method: str) -> float:
    """Share of the shorter prompt that the prefix cache still finds.

    Equation   rewritten once: (h - s c)+ / (1 - s c);   each prompt: min(h, 1 - s) / (1 - s c)
    Symbols    h hits today   s share of the prompt that is compressed   c what is cut of it, 1 - 1/rho
    Returns    [1]
    Valid for  what is fixed comes first and is what the cache finds; compressing each prompt begins at its end, and
               text that is compressed for each request anew is never found
    Raises     nothing
    Source     domain_math §7.4
    Example    60 % found, half of the prompt compressed to half: 35 of 75 tokens, or 50 of 75
    >>> [round(hit_fraction_after(0.6, 0.5, 0.5, method), 3) for method in (REWRITTEN, EACH)]
    [0.467, 0.667]
    """
    left = 1 - share_fraction * cut_fraction
    if method == REWRITTEN:
        return max(0.0, hit_fraction - share_fraction * cut_fraction) / left
    return min(hit_fraction, 1 - share_fraction) / left


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if any(d.workload.requests_per_s * d.workload.mean_prompt_tokens > 0 for d in scenario.deployments):
        return None
    return Refusal(
        reason="no deployment receives prompt tokens",
        remedy="state or measure requests_per_s and mean_prompt_tokens first",
    )


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    method, share, cut = values["method"], values["share_fraction"], 1 - 1 / values["compression_ratio"]

    def compressed(deployment: Deployment) -> Deployment:
        work, supply, beside = deployment.workload, deployment.supply, deployment.beside
        if isinstance(supply, SelfHosted):
            hits = hit_fraction_after(supply.serving.prefix_hit_fraction, share, cut, method)
            supply = replace(supply, serving=replace(supply.serving, prefix_hit_fraction=hits))
        if method == EACH:
            read_tokens_per_s = work.requests_per_s * work.mean_prompt_tokens * share
            usd_per_s = read_tokens_per_s / TOKENS_PER_MTOK * values["compressor_usd_per_mtok"]
            beside = replace(beside, services_usd_per_hour=beside.services_usd_per_hour + usd_per_s * SECONDS_PER_HOUR)
        prompt = work.mean_prompt_tokens * (1 - share * cut)
        return replace(
            deployment,
            workload=replace(work, mean_prompt_tokens=prompt, basis=Basis.ASSUMED),
            supply=supply,
            beside=beside,
        )

    return replace(scenario, deployments=tuple(compressed(deployment) for deployment in scenario.deployments))


LEVER = Lever(
    key="prompt_compression",
    # After the caches and the prefix hit rate, before routing: what is compressed is what then is sent.
    stage=Stage.SERVING,
    label="Prompt compression",
    question="What if prompts said the same in fewer tokens?",
    params=(
        Switch(
            key="enabled",
            label="Prompt compression",
            help="Only input is saved, and of cached input only what caching leaves of it.",
        ),
        Choice(
            key="method",
            label="Method",
            options=_methods,
            neutral=REWRITTEN,
            help="Rewriting fixed text once is free and keeps the prefix cache. Compressing each prompt costs a model "
            "run, and what it changes is never found in the prefix cache.",
        ),
        Number(
            key="share_fraction",
            label="Prompt tokens that can be compressed",
            low=0.0,
            high=1.0,
            step=0.01,
            neutral=0.5,
            unit="of prompt tokens",
            help="Assumed 50 %: retrieved text, examples and instructions, not the question.",
        ),
        Number(
            key="compression_ratio",
            label="Compression",
            low=1.0,
            high=20.0,
            step=0.1,
            neutral=2.5,
            unit="tokens to one",
            usual=(1.5, 5.0),
            help="Assumed 2.5. From 2 to 5 mostly keeps answers; 20 is a headline.",
        ),
        Number(
            key="compressor_usd_per_mtok",
            label="Compressing model",
            low=0.0,
            high=5.0,
            step=0.01,
            neutral=0.02,
            unit="USD per M tokens it reads",
            help="Assumed. Only where each prompt is compressed.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="compression_ratio", values=(1.0, 1.5, 2.0, 5.0, 20.0), step="usd_per_month", rises=False),
    effort=Effort.CLIENT,
    changes_answers=True,
    saves_per=Work.REQUESTS,
    risks="Answers change where a needed word is cut: evaluate. Compressing each prompt delays its first token.",
    rollback="Send the prompts of before.",
    sources=(
        Source(
            title="Kummer et al., Prompt Compression in the Wild",
            url="https://arxiv.org/abs/2604.02985",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
