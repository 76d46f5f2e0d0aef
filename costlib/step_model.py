"""What the engine model says of one deployment's steps, as the coefficients that measurements are compared with."""

from dataclasses import dataclass

from costlib.breakeven import replicas_for
from costlib.catalog import Catalog
from costlib.engine import EngineConstants, engine_inputs, prefill_s, step_s
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.replica import resident_tokens, solve_replica
from costlib.scenario import Deployment, SelfHosted


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineCoefficients:
    """Step time = t0 + prompt tokens, output tokens and context tokens read, each times its seconds.

    `flop_per_s` and `bytes_per_s` are what one GPU is taken to reach; None where that is not known.
    """

    t0_s: float
    prompt_s_per_token: float
    output_s_per_token: float
    context_s_per_token: float
    context_tokens: float = 0.0  # mean context that one output token reads
    flop_per_s: float | None = None
    bytes_per_s: float | None = None
    basis: Basis = Basis.ASSUMED


def roofline_coefficients(
    deployment: Deployment, catalog: Catalog, constants: EngineConstants | None = None
) -> RooflineCoefficients:
    """The engine model around the batch that the deployment's mean rate keeps running.

    Equation   c = dt/ds / B,  b = dt/dB - c s,  t0 = t - b B - c B s,  a = prefill of one prompt / its uncached tokens
    Symbols    t decode step [s]   B batch of a replica at the mean rate   s mean context of a running sequence [token]
    Returns    RooflineCoefficients, basis of the constants
    Valid for  rates near the deployment's own: decode is bound by memory below a certain batch and by compute above
    Raises     DomainError for an API, or what the engine model cannot serve
    Source     docs/method.md
    """
    hosted, work = deployment.supply, deployment.workload
    if not isinstance(hosted, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: it has no steps of ours.")
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    constants = constants or catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
    inputs = engine_inputs(model, gpu, serving)
    replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
    peak = work.requests_per_s * work.peak_to_mean_ratio
    replicas = replicas_for(
        peak, replica.capacity_requests_per_s, serving.target_busy_fraction, max(1, serving.min_replicas_count)
    )
    batch = max(1.0, replica.running_count(work.requests_per_s / replicas))
    context = resident_tokens(work)

    def decode_s(sequences: float, tokens: float) -> float:
        return float(step_s(inputs, constants, sequences, tokens))

    per_context = (decode_s(batch, context * 1.01) - decode_s(batch, context * 0.99)) / (0.02 * context * batch)
    per_output = max(0.0, decode_s(batch + 0.5, context) - decode_s(batch - 0.5, context) - per_context * context)
    cached = work.mean_prompt_tokens * serving.reused_fraction
    computed = max(1.0, work.mean_prompt_tokens - cached)
    return RooflineCoefficients(
        t0_s=max(0.0, decode_s(batch, context) - batch * (per_output + per_context * context)),
        prompt_s_per_token=float(prefill_s(inputs, constants, computed, cached)) / computed,
        output_s_per_token=per_output,
        context_s_per_token=per_context,
        context_tokens=context,
        flop_per_s=float(inputs.dense_flop_per_s * constants.dense_compute_fraction),
        bytes_per_s=float(inputs.hbm_bytes_per_s * constants.bandwidth_fraction),
        basis=constants.basis,
    )
