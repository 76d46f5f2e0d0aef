"""An engine whose step times are known to the last coefficient: what the split has to find again.

A month of minutes. In each, requests of several kinds in drifting shares keep a batch running, so that every step
takes t0 + a n_p + b n_d + c K + h n_h, give or take noise. Where few requests run, the engine is idle in between; a
minute counts as busy when none of its four samples happened to see that, as a scraper would have it. KV cache use is a
gauge, so what is known of the context read is noisy too.
"""

from dataclasses import dataclass

import numpy as np

from costlib.books import Bucket
from costlib.token_split import BusyWindows, RooflineCoefficients, SplitFacts

MINUTE_S = 60.0
MINUTES_OF_A_MONTH = 43_200
SAMPLES = 4
MODEL_IS_SLOWER = 1.22  # measured over modelled step time is 0.82 at the median (docs/method.md)

Kinds = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Seconds of a step: for itself, per prompt token, output token, context token read, and cached prompt token."""

    t0: float
    a: float
    b: float
    c: float
    h: float = 0.0


# Of the order of an 8B and of a 70B model on current GPUs, and of one bound by compute.
SMALL = Steps(t0=9.7e-3, a=23.5e-6, b=6e-6, c=5.7e-8, h=1.2e-6)
LARGE = Steps(t0=24e-3, a=52e-6, b=90e-6, c=3.5e-8, h=4e-6)
COMPUTE_BOUND = Steps(t0=3e-3, a=60e-6, b=120e-6, c=2e-8)

# Prompt and output tokens of each kind of request.
CHAT: Kinds = ((400.0, 250.0), (900.0, 200.0), (1500.0, 400.0))
DOCUMENTS: Kinds = ((12_000.0, 300.0), (4000.0, 600.0), (20_000.0, 150.0))
CHAT_AND_DOCUMENTS: Kinds = ((500.0, 200.0), (3000.0, 300.0), (6000.0, 150.0), (800.0, 800.0))

# Least and most sequences running in a minute, on average.
SATURATED = (32.0, 256.0)
PARTLY_IDLE = (0.2, 64.0)

FLEETS = {
    "8B, chat, saturated": (SMALL, CHAT, SATURATED),
    "8B, chat and documents, saturated": (SMALL, CHAT_AND_DOCUMENTS, SATURATED),
    "8B, chat, partly idle": (SMALL, CHAT, PARTLY_IDLE),
    "8B, documents, partly idle": (SMALL, DOCUMENTS, PARTLY_IDLE),
    "70B, chat, saturated": (LARGE, CHAT, SATURATED),
    "70B, documents, saturated": (LARGE, DOCUMENTS, SATURATED),
    "70B, chat and documents, partly idle": (LARGE, CHAT_AND_DOCUMENTS, PARTLY_IDLE),
    "compute-bound, chat, saturated": (COMPUTE_BOUND, CHAT, SATURATED),
    "compute-bound, documents, partly idle": (COMPUTE_BOUND, DOCUMENTS, PARTLY_IDLE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    windows: BusyWindows
    facts: SplitFacts
    own_s: dict[Bucket, float]  # GPU-seconds of each class' own work
    common_s: float
    prefill_common_s: float  # of the steps that prefill alone would need
    summed_time_per_token_s: float  # over finished requests, as the naive split has it

    @property
    def busy_s(self) -> float:
        return sum(self.own_s.values()) + self.common_s

    def gpu_seconds(self) -> dict[Bucket, float]:
        """Of each class, common time in proportion to what the class would take alone."""
        alone = dict(self.own_s)
        alone[Bucket.INPUT] += self.prefill_common_s
        alone[Bucket.OUTPUT] += self.common_s
        scale = self.busy_s / sum(alone.values())
        return {bucket: seconds * scale for bucket, seconds in alone.items()}


def planted(
    steps: Steps,
    kinds: Kinds,
    load: tuple[float, float],
    *,
    minutes: int = MINUTES_OF_A_MONTH,
    noise: float = 0.03,
    gauge_noise: float = 0.1,
    seed: int = 0,
) -> Planted:
    """`noise` of a minute's mean step time, `gauge_noise` of what is known of the context; standard deviations."""
    chance = np.random.default_rng(seed)
    shares = chance.dirichlet(np.ones(len(kinds)), minutes)
    prompt, output = (shares @ np.array(column) for column in zip(*kinds, strict=True))
    context = shares @ np.array([tokens * (before + tokens / 2) for before, tokens in kinds]) / output
    hits = np.clip(chance.normal(0.3, 0.15, minutes), 0.0, 0.9)
    running = np.exp(chance.uniform(*np.log(load), minutes))
    idle = np.exp(-running)  # requests arrive by chance
    batch = running / (1 - idle)

    arriving = batch / output  # requests a step
    of_class_s = {
        Bucket.INPUT: steps.a * arriving * prompt * (1 - hits),
        Bucket.CACHED_INPUT: steps.h * arriving * prompt * hits,
        Bucket.OUTPUT: batch * (steps.b + steps.c * context),
    }
    expected_s = steps.t0 + sum(of_class_s.values())
    step_s = expected_s * (1 + noise * chance.standard_normal(minutes))
    count = MINUTE_S * (1 - idle) / step_s
    slowed_count = count * step_s / expected_s
    computed, cached = count * arriving * prompt * (1 - hits), count * arriving * prompt * hits
    generated, requests = count * batch, count * arriving

    idle_samples = chance.binomial(SAMPLES, idle)
    seen = idle_samples == 0
    gauge = count * batch * context * (1 + gauge_noise * chance.standard_normal(minutes))
    facts = SplitFacts(
        busy_s=float(np.sum(MINUTE_S * (1 - idle_samples / SAMPLES))),
        computed_tokens=float(computed.sum()),
        cached_tokens=float(cached.sum()),
        generated_tokens=float(generated.sum()),
        requests_count=float(requests.sum()),
        # A request waits for the step it is prefilled in, then takes one step a token.
        prefill_s=float(np.sum(requests * step_s)),
        decode_s=float(np.sum(generated * step_s)),
        roofline=RooflineCoefficients(
            t0_s=steps.t0 * MODEL_IS_SLOWER,
            prompt_s_per_token=steps.a * MODEL_IS_SLOWER,
            output_s_per_token=steps.b * MODEL_IS_SLOWER,
            context_s_per_token=steps.c * MODEL_IS_SLOWER,
            context_tokens=float(np.average(context, weights=generated)),
        ),
    )
    return Planted(
        windows=BusyWindows(
            window_s=np.full(int(seen.sum()), MINUTE_S),
            steps_count=count[seen],
            computed_tokens=computed[seen],
            cached_tokens=cached[seen],
            generated_tokens=generated[seen],
            context_tokens=gauge[seen],
            requests_count=chance.poisson(requests[seen]).astype(float),
        ),
        facts=facts,
        own_s={bucket: float(np.sum(slowed_count * seconds)) for bucket, seconds in of_class_s.items()},
        common_s=float(np.sum(slowed_count * steps.t0)),
        prefill_common_s=facts.computed_tokens / facts.max_num_batched_tokens * steps.t0,
        summed_time_per_token_s=float(np.sum(requests * step_s)),
    )
