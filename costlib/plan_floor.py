"""The least that today's work could cost on any GPU with a price, by the data sheets alone."""

from dataclasses import replace
from itertools import product

from costlib.catalog import Catalog
from costlib.errors import PermillionError
from costlib.floor import floor, least_price
from costlib.hardware import Precision
from costlib.project import usd_per_gpu_hour
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import KV_BYTES_PER_ELEMENT

GROUPS = (1, 2, 4, 8)


def lowest_floor(scenario: Scenario, catalog: Catalog, is_proven_only: bool = False) -> float | None:
    """
    Equation   sum of floor x tokens per second / sum of tokens per second,  over self-hosted deployments
    Returns    [USD/Mtok]; None where a deployment is bought by the token or fits no GPU
    Valid for  requests as they are: a cache or a smaller model can go below. Weights and KV cache in any format or,
               with `is_proven_only`, in today's
    Raises     nothing
    Source     costlib.floor
    """
    costs = [_of(deployment, scenario, catalog, is_proven_only) for deployment in scenario.deployments]
    tokens = [deployment.workload.total_tokens_per_s for deployment in scenario.deployments]
    if any(cost is None for cost in costs) or not sum(tokens):
        return None
    return sum((cost or 0.0) * weight for cost, weight in zip(costs, tokens, strict=True)) / sum(tokens)


def _of(deployment: Deployment, scenario: Scenario, catalog: Catalog, is_proven_only: bool) -> float | None:
    hosted = deployment.supply
    if not isinstance(hosted, SelfHosted):
        return None
    model, today = catalog.model(deployment.model_key), hosted.serving
    formats = (today.weight_precision,) if is_proven_only else tuple(Precision)
    # Fewer bytes are never more dear.
    kv = today.kv_precision if is_proven_only else min(KV_BYTES_PER_ELEMENT, key=KV_BYTES_PER_ELEMENT.__getitem__)
    listed = {gpu.key: least_price(catalog, gpu.key, scenario.as_of) for gpu in catalog.gpus}
    prices = {key: price.usd_per_gpu_hour for key, price in listed.items() if price is not None}
    paid = usd_per_gpu_hour(hosted.purchase, scenario, catalog)
    prices[hosted.gpu_key] = min(paid, prices.get(hosted.gpu_key, paid))
    found = []
    for (key, price), weights, group in product(prices.items(), formats, GROUPS):
        gpu = catalog.gpu(key)
        if weights is Precision.FP4 and not gpu.computes_in(Precision.FP4):
            continue
        serving = replace(
            today, weight_precision=weights, kv_precision=kv, tensor_parallel_count=group, stated_weights_bytes=None,
            quantization="",
        )  # fmt: skip
        try:
            constants = catalog.engine.resolve(model, gpu, serving)
            least = floor(model, gpu, serving, deployment.workload, constants, price, deployment.max_tpot_s)
            found.append(least.usd_per_mtok)
        except PermillionError:
            continue  # this GPU cannot
    return min(found, default=None)
