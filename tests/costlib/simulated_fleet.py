"""A deployment whose every step follows the engine model with planted constants, seen through minutes of counters.

Each minute has a load, a mix of request lengths and a prefix hit rate of its own; days run a little faster or slower;
each minute's mean step has noise. Calibration sees what a scraper would: steps, tokens, a noisy gauge of the KV cache,
and mean lengths over the whole time.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np

from costlib.catalog import Catalog
from costlib.engine import EngineConstants, engine_inputs, steady_tpot_s, step_s
from costlib.fitted import with_ratios
from costlib.load_windows import LoadWindows, modelled_step_s
from costlib.serving import ServingConfig
from costlib.step_fit import BusyWindows
from costlib.suspects import Stated

MINUTE_S = 60.0
MINUTES_OF_A_DAY = 1440
BEGIN_S = datetime(2026, 11, 2, tzinfo=UTC).timestamp()


def stated(catalog: Catalog, model: str, gpu: str, **serving: object) -> Stated:
    """What somebody says a deployment is."""
    of_model, of_gpu, config = catalog.model(model), catalog.gpu(gpu), ServingConfig(**serving)
    constants = catalog.engine.resolve(of_model, of_gpu, config)
    return Stated(model=of_model, gpu=of_gpu, serving=config, constants=constants)


def simulated(
    truth: Stated,
    ratios: Mapping[str, float] | None = None,
    *,
    minutes: int = 3 * MINUTES_OF_A_DAY,
    batches: tuple[float, float] = (8.0, 96.0),
    prompts: tuple[float, float] = (500.0, 3000.0),
    noise: float = 0.03,
    day_noise: float = 0.01,
    seed: int = 0,
) -> LoadWindows:
    """Busy minutes of `truth` with these groups of constants so many times the published ones."""
    chance = np.random.default_rng(seed)
    load = (1 + np.sin(2 * np.pi * np.arange(minutes) / MINUTES_OF_A_DAY)) / 2  # of the time of day
    load = np.clip(load + 0.15 * chance.standard_normal(minutes), 0.0, 1.0)
    batch = np.exp(np.log(batches[0]) + load * np.log(batches[1] / batches[0]))
    prompt = np.exp(chance.uniform(*np.log(prompts), minutes))
    output = chance.uniform(120.0, 400.0, minutes)
    hits = np.clip(chance.normal(0.25, 0.1, minutes), 0.0, 0.8)
    computed = prompt * (1 - hits)
    context = prompt + output
    expected_s = steady_tpot_s(
        engine_inputs(truth.model, truth.gpu, truth.serving), with_ratios(truth.constants, ratios or {}),
        batch, context, computed, output, cached_tokens=prompt * hits, own_prompts=0.0,
    )  # fmt: skip
    day = np.arange(minutes) // MINUTES_OF_A_DAY
    drift = day_noise * chance.standard_normal(day.max() + 1)[day]
    step_s = expected_s * np.exp(drift + noise * chance.standard_normal(minutes))
    engines = truth.serving.data_parallel_attention_count  # each counts its own steps, as do stages of a pipeline
    steps = MINUTE_S / step_s * engines * truth.serving.pipeline_parallel_count
    requests = MINUTE_S / step_s * batch / output
    return LoadWindows(
        start_s=BEGIN_S + MINUTE_S * np.arange(minutes),
        busy=BusyWindows(
            window_s=np.full(minutes, MINUTE_S * engines),
            steps_count=steps,
            computed_tokens=requests * computed,
            cached_tokens=requests * prompt * hits,
            generated_tokens=requests * output,
            context_tokens=MINUTE_S / step_s * batch * context * (1 + 0.05 * chance.standard_normal(minutes)),
            requests_count=chance.poisson(requests).astype(float),
        ),
        mean_context_tokens=float(np.average(context, weights=batch / step_s)),
        mean_computed_tokens=float(np.average(computed, weights=requests)),
        mean_cached_tokens=float(np.average(prompt * hits, weights=requests)),
        observed_s=MINUTE_S * minutes,
        busy_fraction=1.0,
        requests_count=float(requests.sum()),
    )


def with_columns(load: LoadWindows, **columns: np.ndarray) -> LoadWindows:
    """The same windows with these columns of theirs instead."""
    return replace(load, busy=replace(load.busy, **columns))


def upto(load: LoadWindows, minutes: int) -> LoadWindows:
    """The first `minutes` of these windows."""
    columns = {field.name: getattr(load.busy, field.name)[:minutes] for field in fields(load.busy)}
    return replace(with_columns(load, **columns), start_s=load.start_s[:minutes])


def coefficients(of: Stated, constants: EngineConstants) -> dict[str, float]:
    """Seconds of a step of 32 sequences with 1,700 tokens each and 250 prompt tokens: for itself, per prompt token, per
    sequence and per token of context."""
    inputs = engine_inputs(of.model, of.gpu, of.serving)

    def step(batch: float = 32.0, context: float = 1700.0, prompt: float = 250.0) -> float:
        return float(step_s(inputs, constants, batch, context, prompt, 700.0))

    found = {
        "prompt": (step(prompt=300.0) - step(prompt=200.0)) / 100.0,
        "sequence": (step(batch=36.0) - step(batch=28.0)) / 8.0,
        "context": (step(context=1900.0) - step(context=1500.0)) / 400.0,
    }
    return {"itself": step() - 250.0 * found["prompt"] - 32.0 * found["sequence"], **found}


def covered_fraction(of: Stated, constants: EngineConstants, load: LoadWindows, since: int) -> float:
    """The share of minutes from `since` on whose step time is inside the band of `constants`."""
    rows = np.arange(since, len(load.start_s))
    ratio = load.step_s(rows) / modelled_step_s(engine_inputs(of.model, of.gpu, of.serving), constants, load, rows)
    return float(np.mean((constants.step_low_ratio <= ratio) & (ratio <= constants.step_high_ratio)))
