"""Keep KV blocks that the GPU drops in host memory, and reload them instead of computing their tokens again."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.engine import engine_inputs, prefill_s
from costlib.kvcache import kv_bytes_per_sequence, reload_s
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values, Work, refuse_unmodelled
from costlib.models import AttentionKind
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.sources import Source
from costlib.units import GIBI, MS_PER_S

WHOLE = ({AttentionKind.FULL}, {AttentionKind.MLA})


def _offloaded(hosted: SelfHosted, values: Values) -> ServingConfig:
    return replace(
        hosted.serving,
        host_kv_bytes=values["host_gib_per_gpu"] * GIBI,
        host_hit_fraction=values["hit_fraction"],
    )


def reload_and_compute_s(
    deployment: Deployment, hosted: SelfHosted, serving: ServingConfig, catalog: Catalog
) -> tuple[float, float]:
    """What a prompt's hits in host memory take to reload, and what they would take to compute.

    Equation   s kv / BW_host  against  prefill of the same tokens, at the end of what the GPU's own cache held
    Returns    [s], [s]; offloading pays where the first is below the second
    Raises     DomainError when the deployment cannot be served at all
    Source     domain_math §6.5
    """
    model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
    inputs = engine_inputs(model, gpu, serving)
    prompt = deployment.workload.mean_prompt_tokens

    def computed_s(reused_fraction: float) -> float:
        cached = prompt * reused_fraction
        return float(constants.prefill_ratio * prefill_s(inputs, constants, prompt - cached, cached))

    saved_s = computed_s(serving.prefix_hit_fraction) - computed_s(serving.reused_fraction)
    return reload_s(model, gpu, serving, prompt), saved_s


def _why_not(deployment: Deployment, hosted: SelfHosted, values: Values, catalog: Catalog) -> Refusal | None:
    """Why this deployment gains nothing; None where it does."""
    model, serving = catalog.model(deployment.model_key), _offloaded(hosted, values)
    prompt = deployment.workload.mean_prompt_tokens
    if {layers.kind for layers in model.attention} not in WHOLE:
        return Refusal(
            reason=f"{model.name} mixes kinds of attention: blocks of all layers cannot be reloaded as one prefix",
            remedy="offload a model whose layers all see the whole context",
        )
    one = kv_bytes_per_sequence(model, prompt, serving.kv_precision, serving.tensor_parallel_count)
    if one / serving.pipeline_parallel_count > serving.host_kv_bytes:
        return Refusal(
            reason=f"a prompt of {prompt:,.0f} tokens needs {one / GIBI:,.1f} GiB per GPU, more than the host memory "
            "given",
            remedy="give each GPU more host memory",
        )
    reload, compute = reload_and_compute_s(deployment, hosted, serving, catalog)
    if reload > compute:
        return Refusal(
            reason=f"reloading takes {reload * MS_PER_S:,.1f} ms a prompt and computing the same tokens "
            f"{compute * MS_PER_S:,.1f} ms: the host link is too slow for {model.name}",
            remedy="FP8 KV cache halves what is reloaded; else a GPU with a faster host link",
        )
    return None


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if refusal := refuse_unmodelled(
        scenario, "use the provider's cached input price, or host one without stated_tokens_per_s"
    ):
        return refusal
    found = [
        _why_not(deployment, deployment.supply, values, catalog)
        for deployment in scenario.deployments
        if isinstance(deployment.supply, SelfHosted) and deployment.supply.stated_tokens_per_s is None
    ]
    return None if None in found else found[0]


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    def edit(deployment: Deployment, hosted: SelfHosted) -> SelfHosted:
        gains = _why_not(deployment, hosted, values, catalog) is None
        return replace(hosted, serving=_offloaded(hosted, values)) if gains else hosted

    return scenario.with_modelled(edit)


LEVER = Lever(
    key="kv_offload",
    stage=Stage.SERVING,
    label="KV offload to host memory",
    question="What if prompt beginnings that the GPU dropped came back from host memory?",
    params=(
        Switch(
            key="enabled",
            label="KV offload to host memory",
            help="A larger, slower second level of the prefix cache. It pays where blocks come back over the host "
            "link sooner than their tokens are computed; decoding is untouched.",
        ),
        Number(
            key="hit_fraction",
            label="Misses found in host memory",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.3,
            unit="of the GPU cache's misses",
            usual=(0.05, 0.6),
            help="Of prompt tokens that the GPU's own prefix cache does not hold. Assumed 30 %: it hangs on how long "
            "prompts take to come again, so measure it with the offload on.",
        ),
        Number(
            key="host_gib_per_gpu",
            label="Host memory",
            low=1,
            high=4096,
            step=1,
            neutral=128,
            unit="GiB per GPU",
            help="Taken as paid with the machine. It bounds what can be found, and is refused where it does not hold "
            "even one prompt.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="hit_fraction", values=(0.0, 0.2, 0.4, 0.6, 0.8), step="prefill_s", rises=False),
    effort=Effort.FLAG,
    changes_answers=False,
    saves_per=Work.ASKED_TOKENS,
    risks="Hits are taken as given. Host memory that other processes swap, or GPUs that share a host link, reload "
    "slower than modelled.",
    rollback="Restart without --kv-offloading-size.",
    sources=(
        Source(
            title="vLLM documentation, KV offloading",
            url="https://docs.vllm.ai/en/v0.21.0/api/vllm/v1/kv_offload/",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title='Wang et al., "KVCache in the Wild"',
            url="https://arxiv.org/abs/2506.02634",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
