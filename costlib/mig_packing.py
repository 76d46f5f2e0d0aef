"""Models on MIG instances: how many each needs, by memory and by rate, and on how few GPUs they fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import inf

from costlib.breakeven import replicas_for
from costlib.catalog import Catalog
from costlib.errors import DoesNotFit, DomainError
from costlib.hardware import GpuSpec, MigProfile
from costlib.kvcache import reserve_bytes_per_gpu, sequence_bytes_per_gpu, usable_bytes_per_gpu, weight_bytes
from costlib.mig import MigLayout, MigTable, Part, as_gpu, dollars
from costlib.replica import resident_tokens, solve_replica
from costlib.scenario import Deployment, SelfHosted
from costlib.serving import ServingConfig
from costlib.units import GIBI, MS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFit:
    """One deployment on instances of one profile: how many it needs, or why it cannot, and what would do."""

    deployment_key: str
    profile_key: str
    instances_count: int  # 0: it cannot
    capacity_requests_per_s: float = 0.0
    tpot_s: float | None = None
    missing_bytes: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutGpu:
    """One GPU of a packing: its layout, filled up with what is free, whose each instance is, and what it costs.

    `tenants` go with the layout's instances; "" is free. `parts` are theirs, then what no instance can use.
    """

    layout: MigLayout
    tenants: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Every fit that was looked at, the one chosen for each deployment, and the GPUs. `why` says why there are none."""

    fits: tuple[SliceFit, ...]
    chosen: tuple[SliceFit, ...] = ()
    gpus: tuple[CutGpu, ...] = ()
    why: str = ""


def hosted_by(deployment: Deployment) -> SelfHosted:
    if not isinstance(deployment.supply, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: it has no GPU to share.")
    return deployment.supply


def one_gpu(serving: ServingConfig) -> ServingConfig:
    return replace(serving, tensor_parallel_count=1, pipeline_parallel_count=1, data_parallel_attention_count=1)


def slice_fit(deployment: Deployment, gpu: GpuSpec, profile: MigProfile, catalog: Catalog) -> SliceFit:
    """How many instances of a profile one deployment needs, by memory and by rate at its SLO.

    Equation   n = ceil(peak / (X U)), X of `replica.solve_replica` on `mig.as_gpu`
    Symbols    X requests per second of one instance at max_tpot_s   U target_busy_fraction
    Returns    SliceFit; 0 instances where weights, reserve and one sequence do not fit, or one sequence is too slow
    Valid for  one instance a replica: instances cannot be joined, so tensor parallelism is dropped. Every instance
               reads the weights for itself, with its own share of the bandwidth
    Raises     DomainError for a deployment that is bought by the token
    Source     domain_math §8.1
    """
    hosted = hosted_by(deployment)
    model, part = catalog.model(deployment.model_key), as_gpu(gpu, profile)
    serving = one_gpu(hosted.serving)
    work = deployment.workload
    found = SliceFit(deployment_key=deployment.key, profile_key=profile.key, instances_count=0)
    constants = catalog.engine.resolve(model, part, serving, fitted=hosted.fitted)
    try:
        replica = solve_replica(model, part, serving, work, constants, deployment.max_tpot_s)
    except DoesNotFit:
        needed = weight_bytes(model, serving) + sequence_bytes_per_gpu(model, serving, resident_tokens(work))
        lacks = needed - usable_bytes_per_gpu(model, part, serving)
        return replace(
            found,
            missing_bytes=lacks,
            why=f"weights, one sequence and {reserve_bytes_per_gpu(model, serving) / GIBI:.1f} GiB of reserve lack "
            f"{lacks / GIBI:.1f} GiB of memory: take more memory slices or fewer bits per weight",
        )
    if replica.misses_tpot:
        return replace(
            found,
            tpot_s=float(replica.interval_s[0]),
            why=f"one sequence alone takes {replica.interval_s[0] * MS_PER_S:.0f} ms per token, more than "
            f"{(deployment.max_tpot_s or 0) * MS_PER_S:.0f} ms: take an instance with more bandwidth",
        )
    peak = work.requests_per_s * work.peak_to_mean_ratio
    count = replicas_for(peak, replica.capacity_requests_per_s, serving.target_busy_fraction,
                         max(1, serving.min_replicas_count))  # fmt: skip
    return replace(
        found,
        instances_count=count,
        capacity_requests_per_s=replica.capacity_requests_per_s,
        tpot_s=replica.tpot_s(peak / count),
    )


def pack(
    deployments: Sequence[Deployment], gpu: GpuSpec, usd_per_gpu_hour: float, catalog: Catalog, table: MigTable
) -> Packing:
    """Deployments on instances of as few GPUs of one kind as first fit finds.

    Equation   for each deployment the profile with the least n (c/C + m/M); instances packed, largest first, each at
               the last free place of the first GPU that has one
    Symbols    n instances   c of C compute, m of M memory slices
    Returns    Packing
    Valid for  peaks that come at the same time; first fit is rarely one GPU above the least
    Raises     DomainError for a deployment that is bought by the token
    Source     domain_math §8.1
    """
    try:
        geometry = table.of(gpu)
    except DomainError as error:
        return Packing(fits=(), why=str(error))
    profiles = {profile.key: profile for profile in gpu.mig}
    rows = {key: geometry.of(profile) for key, profile in profiles.items()}

    def size(fit: SliceFit) -> float:
        row = rows[fit.profile_key]
        shares = row.compute_slices_count / geometry.compute_slices_count
        return fit.instances_count * (shares + row.memory_slices_count / geometry.memory_slices_count)

    fits: list[SliceFit] = []
    chosen: list[SliceFit] = []
    for deployment in deployments:
        mine = [slice_fit(deployment, gpu, profile, catalog) for profile in gpu.mig]
        fits += mine
        able = [fit for fit in mine if fit.instances_count]
        if not able:
            nearest = min(mine, key=lambda fit: (fit.missing_bytes, fit.tpot_s or inf))
            why = f"{deployment.key} runs on no instance: on {nearest.profile_key} {nearest.why}."
            return Packing(fits=tuple(fits), why=why)
        chosen.append(min(able, key=lambda fit: (size(fit), fit.instances_count)))
    # Of one size in memory, those with more compute have fewer places.
    wanted = sorted(
        ((fit.profile_key, fit.deployment_key) for fit in chosen for _ in range(fit.instances_count)),
        key=lambda one: (-rows[one[0]].memory_slices_count, -rows[one[0]].compute_slices_count),
    )
    empty = MigLayout(gpu=gpu, geometry=geometry, instances=())
    cut: list[MigLayout] = []
    owners: list[dict[int, str]] = []
    for key, owner in wanted:
        at = next((at for at, layout in enumerate(cut) if layout.able(profiles[key])), len(cut))
        if at == len(cut):
            cut.append(empty)
            owners.append({})
        place = cut[at].able(profiles[key])[-1]
        cut[at], owners[at][place.start] = cut[at].with_instance(place), owner
    price = Decimal(str(usd_per_gpu_hour))
    return Packing(
        fits=tuple(fits),
        chosen=tuple(chosen),
        gpus=tuple(_filled_up(layout, mine, price) for layout, mine in zip(cut, owners, strict=True)),
    )


def _filled_up(layout: MigLayout, owners: dict[int, str], usd_per_gpu_hour: Decimal) -> CutGpu:
    """The layout with the largest instances that are still free, none of them anybody's."""
    for profile in sorted(layout.gpu.mig, key=lambda one: (-one.hbm_bytes, -one.compute_fraction)):
        while places := layout.able(profile):
            layout = layout.with_instance(places[-1])
    return CutGpu(
        layout=layout,
        tenants=tuple(owners.get(one.start, "") for one in layout.instances),
        parts=dollars(layout, usd_per_gpu_hour),
    )
