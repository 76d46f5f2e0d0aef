"""Compute prompts in one pool of replicas and tokens in another: neither waits for the other, and both are whole."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values
from costlib.scenario import Beside, Deployment, Scenario, SelfHosted
from costlib.serving import Batching, Role
from costlib.sources import Source
from costlib.speculation import Speculation
from costlib.units import GIGA

SUFFIX = "-prefill"


def pools_of(
    deployment: Deployment, hosted: SelfHosted, kv_transfer_bytes_per_s: float
) -> tuple[Deployment, Deployment]:
    """This deployment in two: the pool that computes prompts, and the one that writes answers, which keeps its key.

    Equation   prefill: the same prompts, one token each, answered by the other;  decode: every prompt token cached
    Returns    two Deployments. The first token comes from the prefill pool: its time to the first token is the
               request's, with the KV cache's way to the decode pool in it
    Valid for  prompts that both pools hold whole; a decode pool that computes no prompt
    Raises     nothing
    Source     domain_math §8.5; vLLM documentation, disaggregated prefilling
    """
    work, serving = deployment.workload, hosted.serving
    prompts = replace(
        deployment,
        key=deployment.key + SUFFIX,
        workload=replace(work, mean_output_tokens=1.0, output_cv_ratio=0.0, answered_fraction=0.0),
        supply=replace(
            hosted,
            serving=replace(
                serving,
                role=Role.PREFILL,
                kv_transfer_bytes_per_s=kv_transfer_bytes_per_s,
                speculation=Speculation(),
            ),
        ),
        max_tpot_s=None,
        beside=Beside(),
    )
    answers = replace(
        deployment,
        supply=replace(
            hosted,
            serving=replace(
                serving, role=Role.DECODE, prefix_hit_fraction=1.0, host_hit_fraction=0.0, host_kv_bytes=0.0
            ),
        ),
    )
    return prompts, answers


def _split(deployment: Deployment) -> SelfHosted | None:
    """What runs a deployment that can be taken apart."""
    hosted = deployment.supply
    if not isinstance(hosted, SelfHosted) or hosted.stated_tokens_per_s is not None:
        return None
    whole = hosted.serving.role == Role.BOTH and hosted.serving.batching == Batching.CONTINUOUS
    return hosted if whole and deployment.workload.mean_prompt_tokens > 0 else None


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    split = [deployment for deployment in scenario.deployments if _split(deployment)]
    if not split:
        return Refusal(
            reason="no deployment can be taken apart: none is hosted, batches continuously and reads prompts",
            remedy="host one without stated_tokens_per_s, and pull continuous batching first",
        )
    keys = {deployment.key for deployment in scenario.deployments}
    for deployment in split:
        if deployment.key + SUFFIX in keys:
            return Refusal(reason=f"a deployment is already called {deployment.key}{SUFFIX}", remedy="rename it")
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    pools: list[Deployment] = []
    for deployment in scenario.deployments:
        hosted = _split(deployment)
        pools += pools_of(deployment, hosted, _bytes_per_s(values)) if hosted else (deployment,)
    return replace(scenario, deployments=tuple(pools))


def _bytes_per_s(values: Values) -> float:
    return float(values["link_gb_per_s"]) * GIGA


LEVER = Lever(
    key="disaggregated_prefill",
    stage=Stage.HARDWARE,
    label="Disaggregated prefill",
    question="What if prompts and answers were computed on GPUs of their own?",
    params=(
        Switch(
            key="enabled",
            label="Disaggregated prefill",
            help="Tokens then come evenly, because no prompt comes between. Work is not saved: two pools are rounded "
            "up to whole replicas each, so a small fleet pays more.",
        ),
        Number(
            key="link_gb_per_s",
            label="Link between the pools",
            low=1.0,
            high=900.0,
            step=1.0,
            neutral=50.0,
            unit="GB/s for each GPU",
            help="A prompt's KV cache crosses it before the second token. 400 Gbit/s a GPU is 50; assumed.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="link_gb_per_s", values=(1.0, 10.0, 50.0, 400.0), step="ttft_s", rises=False),
    effort=Effort.SERVICE,
    changes_answers=False,
    risks="A changed mix of prompts and answers leaves one pool idle while the other queues. A lost transfer computes "
    "the prompt again.",
    rollback="Restart all replicas without --kv-transfer-config behind the old load balancer.",
    sources=(
        Source(
            title="vLLM documentation, disaggregated prefilling",
            url="https://docs.vllm.ai/en/latest/features/disagg_prefill/",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="Zhong et al., DistServe",
            url="https://arxiv.org/abs/2401.09670",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
