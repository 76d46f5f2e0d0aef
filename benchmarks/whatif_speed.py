"""A million ways to serve a model searched at once, beside one call each and project(), in CPU seconds."""

from datetime import UTC, datetime
from time import process_time

import numpy as np

from benchmarks._timing import timed_ms
from collectors.demo import sample_file
from costlib.engine import engine_inputs, kv_sequences, steady_tpot_s
from costlib.floor import least_price
from costlib.hardware import Precision
from costlib.project import project
from costlib.replica import resident_tokens
from costlib.search import BATCHES, Space, search
from costlib.serving import ServingConfig
from costlib.workload import Workload

MODELS = ("llama-3.3-70b", "llama-3.1-8b", "deepseek-v3")
# Median seconds of one answer, as published; 5.0 were measured on a loaded machine of two cores.
AICONFIGURATOR_S = 2.1
PROMPTS = tuple(float(tokens) for tokens in np.linspace(200, 12_000, 40))


def main() -> None:
    now = datetime.now(UTC)
    file = sample_file(now)
    catalog = file.catalog
    prices = {
        gpu.key: price.usd_per_gpu_hour
        for gpu in catalog.gpus
        if (price := least_price(catalog, gpu.key, now.date())) is not None
    }
    space = Space(
        usd_per_gpu_hour=prices,
        weight_precisions=(Precision.BF16, Precision.FP8, Precision.INT4, Precision.FP4),
        kv_precisions=(Precision.BF16, Precision.FP8),
        batches=BATCHES,
        prompts_tokens=PROMPTS,
    )
    work = Workload(requests_per_s=9.0, mean_prompt_tokens=2400.0, mean_output_tokens=320.0)

    def cpu_ms(call) -> float:
        return float(np.median(timed_ms(call, 7, clock=process_time)))

    one_ms = cpu_ms(lambda: [_one_call(catalog, work) for _ in range(50)]) / 50
    print(f"{'':<44}{'points':>11}{'fit':>7}{'CPU s':>8}{'ns each':>9}{'x one call':>12}")
    for key in MODELS:
        model = catalog.model(key)
        found = search(model, work, space, catalog, ServingConfig(), max_tpot_s=0.05)

        def answer(model=model):
            again = search(model, work, space, catalog, ServingConfig(), max_tpot_s=0.05)
            return [again.best(at) for at in range(len(PROMPTS)) if len(again.places(at))]

        spent = cpu_ms(answer)
        points = found.points_count
        fit = np.isfinite(found.interval_s).mean()
        each = spent / points
        print(
            f"{'search, best of each prompt: ' + key:<44}{points:>11,}{fit:>7.0%}{spent / 1e3:>8.3f}"
            f"{each * 1e6:>9.0f}{one_ms / each:>12,.0f}"
        )
    whole_ms = cpu_ms(lambda: project(file.today, catalog)) / len(file.today.deployments)
    rows = (
        ("the step model, one call each", one_ms),
        ("project(), per deployment", whole_ms),
        ("AIConfigurator 0.12.0, recorded, not run here", AICONFIGURATOR_S * 1e3),
    )
    for name, took in rows:
        print(f"{name:<44}{1:>11,}{'':>7}{took / 1e3:>8.4f}{'':>9}{one_ms / took:>12.4f}")


def _one_call(catalog, work: Workload) -> float:
    """One configuration, asked for by itself."""
    model, gpu = catalog.model("llama-3.3-70b"), catalog.gpu("h100-sxm")
    serving = ServingConfig(tensor_parallel_count=4)
    inputs, constants = engine_inputs(model, gpu, serving), catalog.engine.resolve(model, gpu, serving)
    context = resident_tokens(work)
    batch = min(64.0, float(kv_sequences(inputs, context)))
    return float(steady_tpot_s(inputs, constants, batch, context, work.mean_prompt_tokens, work.mean_output_tokens))
