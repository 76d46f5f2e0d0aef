"""Scenarios the cost library's tests share: what a test does not name is at its default."""

from dataclasses import replace
from datetime import date
from typing import Any

from costlib.engine import EngineConstants
from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.pricing import PurchaseMix
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.workload import Workload
from store.catalog_files import load_catalog

AS_OF = date(2026, 11, 21)

# The data sheet as it stands: full bandwidth and compute, no launch overhead. For arithmetic done by hand.
IDEAL = EngineConstants()

# Round figures: 20 GB of weights at 1 TB/s are read in 20 ms; one token takes 20 GFLOP, so 0.2 ms at 100 TFLOP/s.
TOY_MODEL = ModelSpec(
    key="toy-10b",
    name="Toy 10B",
    total_params_count=10e9,
    active_params_count=10e9,
    hidden_size_count=4096,
    heads_count=32,
    attention=(AttentionLayers(kind=AttentionKind.FULL, layers_count=25, kv_heads_count=8, head_dim_count=125),),
    max_context_tokens=131_072,
    native_precision=Precision.BF16,
)
TOY_GPU = GpuSpec(
    key="toy-gpu",
    name="Toy GPU",
    vendor="none",
    architecture="none",
    hbm_bytes=100e9,
    hbm_bytes_per_s=1e12,
    dense_flop_per_s=((Precision.BF16, 100e12), (Precision.FP8, 200e12)),
    link_bytes_per_s=400e9,
    host_link_bytes_per_s=64e9,
    board_w=400.0,
)
SHIPPED = load_catalog()
CATALOG = replace(SHIPPED, gpus=(*SHIPPED.gpus, TOY_GPU), models=(*SHIPPED.models, TOY_MODEL))


def work(requests_per_s: float = 5.0, prompt: float = 500.0, output: float = 200.0, **rest: Any) -> Workload:
    return Workload(requests_per_s=requests_per_s, mean_prompt_tokens=prompt, mean_output_tokens=output, **rest)


def hosted(
    model: str,
    gpu: str,
    workload: Workload | None = None,
    *,
    key: str = "chat",
    usd_per_gpu_hour: float = 3.50,
    stated_tokens_per_s: float | None = None,
    max_tpot_s: float | None = None,
    **serving: Any,
) -> Deployment:
    """A model on our GPUs; every further keyword is a setting of ServingConfig."""
    return Deployment(
        key=key,
        model_key=model,
        workload=workload or work(),
        supply=SelfHosted(
            gpu_key=gpu,
            serving=ServingConfig(**serving),
            purchase=PurchaseMix(stated_usd_per_gpu_hour=usd_per_gpu_hour),
            stated_tokens_per_s=stated_tokens_per_s,
        ),
        max_tpot_s=max_tpot_s,
    )


def bought(model: str, usd_per_mtok: float, workload: Workload | None = None, *, key: str = "api") -> Deployment:
    """A model bought by the token, input and output at one price."""
    supply = ApiTokens(usd_per_mtok_input=usd_per_mtok, usd_per_mtok_output=usd_per_mtok)
    return Deployment(key=key, model_key=model, workload=workload or work(), supply=supply)


def scenario(*deployments: Deployment, **rest: Any) -> Scenario:
    return Scenario(key="today", label="Today", as_of=AS_OF, deployments=deployments, **rest)
