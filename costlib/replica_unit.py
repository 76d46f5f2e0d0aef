"""One replica as capacity is bought and scaled: what it takes, and what it carries within its SLO."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from costlib.breakeven import ROUNDING
from costlib.catalog import Catalog
from costlib.engine import EngineConstants
from costlib.errors import DomainError
from costlib.estimate import Basis, weakest
from costlib.kvcache import kv_pool_bytes_per_gpu, sequence_bytes_per_gpu
from costlib.project import usd_per_gpu_hour
from costlib.replica import resident_tokens, solve_replica
from costlib.roofline import Floats
from costlib.scenario import Deployment, Scenario, SelfHosted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaUnit:
    """One replica of a deployment, as capacity is bought: what it takes, and what it carries within its SLO.

    `answered_requests_per_s` is how fast it answers with 0, 1, 2… sequences running, up to its largest batch;
    `kv_per_sequence_fraction` the share of the KV cache that one of them holds. `prefill_share_fraction` is the share
    of its time that prompts take at capacity, requests having the means named.
    """

    deployment_key: str
    gpu_key: str
    gpus_count: int
    capacity_requests_per_s: float
    target_busy_fraction: float
    min_replicas_count: int
    usd_per_gpu_hour: float
    answered_requests_per_s: Floats
    kv_per_sequence_fraction: float
    prefill_share_fraction: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    basis: Basis

    @property
    def batch_count(self) -> int:
        return len(self.answered_requests_per_s) - 1

    @property
    def mean_request_s(self) -> float:
        """How long a request runs at the largest batch (Little's law)."""
        return self.batch_count / self.capacity_requests_per_s

    def running_at_count(self, busy_fraction: float) -> float:
        """Sequences running at this share of the capacity: a target for an autoscaler."""
        rate = busy_fraction * self.capacity_requests_per_s
        return float(np.interp(rate, self.answered_requests_per_s, np.arange(self.batch_count + 1.0)))

    def mean_requests_per_s(self, prompt_tokens_per_s: Any, output_tokens_per_s: Any) -> Floats:
        """How many mean requests these tokens are, by the time that they take of a replica.

        Equation   φ I/I_0 + (1 - φ) O/O_0
        Symbols    I, O prompt and output tokens a second   I_0, O_0 of a mean request   φ prefill_share_fraction
        """
        share = self.prefill_share_fraction if self.mean_prompt_tokens else 0.0
        prompts = np.asarray(prompt_tokens_per_s, dtype=float) / max(1.0, self.mean_prompt_tokens)
        return np.asarray(share * prompts + (1 - share) * np.asarray(output_tokens_per_s) / self.mean_output_tokens)

    def needed_replicas_count(self, requests_per_s: Floats) -> Floats:
        """Whole replicas for these rates, NaN where a rate is not known; see `breakeven.replicas_for`.

        Equation   max(minimum, ceil(rate / (X U)))
        """
        exact = requests_per_s / (self.capacity_requests_per_s * self.target_busy_fraction)
        return np.asarray(np.maximum(np.ceil(exact - ROUNDING), float(self.min_replicas_count)))


def replica_unit(
    deployment: Deployment, scenario: Scenario, catalog: Catalog, constants: EngineConstants | None = None
) -> ReplicaUnit:
    """What one replica of `deployment` carries at its SLO: the capacity that `project` sizes the fleet by.

    Equation   X = B / (O x step(B)), B the largest batch that keeps max_tpot_s (`replica.solve_replica`)
    Returns    a ReplicaUnit, basis that of the engine's constants; calibrated where the deployment is
    Valid for  the deployment's own mix of prompt and output tokens
    Raises     DomainError for one that is bought by the token; DoesNotFit
    Source     docs/method.md
    """
    hosted, work = deployment.supply, deployment.workload
    if not isinstance(hosted, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: it needs no GPUs.")
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    constants = constants or catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
    replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
    stated = hosted.stated_tokens_per_s
    own = replica.capacity_requests_per_s
    capacity = stated / work.tokens_per_request if stated else own
    held = sequence_bytes_per_gpu(model, serving, resident_tokens(work)) / kv_pool_bytes_per_gpu(model, gpu, serving)
    return ReplicaUnit(
        deployment_key=deployment.key,
        gpu_key=gpu.key,
        gpus_count=serving.gpus_count,
        capacity_requests_per_s=capacity,
        target_busy_fraction=serving.target_busy_fraction,
        min_replicas_count=serving.min_replicas_count,
        usd_per_gpu_hour=usd_per_gpu_hour(hosted.purchase, scenario, catalog),
        answered_requests_per_s=np.concatenate(([0.0], replica.requests_per_s)) * capacity / own,
        kv_per_sequence_fraction=min(1.0, held / serving.data_parallel_attention_count),
        prefill_share_fraction=replica.prefill_share_fraction,
        mean_prompt_tokens=work.mean_prompt_tokens,
        mean_output_tokens=work.mean_output_tokens,
        basis=weakest(constants.basis, Basis.ASSUMED) if stated else constants.basis,
    )
