"""MIG: how a GPU can be cut into instances, what each of them is, and what each of them costs.

A profile's size stands in its GPU's file; where it may begin stands in data/mig, and only that decides what is legal:
fractions that add up to one GPU need not be a layout.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from costlib.allocation import split
from costlib.catalog import build, check_keys, sourced, tables
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.hardware import GpuSpec, MigProfile
from costlib.sources import Source

SLACK = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an instance of this size may begin, in memory slices from 0."""

    compute_slices_count: int
    memory_slices_count: int
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How the GPUs of one kind are divided: slices of compute and of memory, and where instances may begin."""

    key: str
    compute_slices_count: int
    memory_slices_count: int
    gpu_keys: tuple[str, ...]
    placements: tuple[Placement, ...]
    sources: tuple[Source, ...] = ()

    def of(self, profile: MigProfile) -> Placement:
        """The row of a profile, by its shares. Raises ConfigError when the two files do not agree."""
        size = (
            round(profile.compute_fraction * self.compute_slices_count),
            round(profile.hbm_bandwidth_fraction * self.memory_slices_count),
        )
        for row in self.placements:
            if (row.compute_slices_count, row.memory_slices_count) == size:
                return row
        raise ConfigError(f"mig/{self.key}.toml: no placement of {size[0]} compute and {size[1]} memory slices, which "
                          f"the profile {profile.key} takes.")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MigTable:
    """What data/mig holds."""

    geometries: tuple[Geometry, ...] = ()

    def of(self, gpu: GpuSpec) -> Geometry:
        """Raises DomainError for a GPU that cannot be cut, with those that can."""
        for geometry in self.geometries:
            if gpu.key in geometry.gpu_keys:
                return geometry
        known = sorted(key for geometry in self.geometries for key in geometry.gpu_keys)
        raise DomainError(f"{gpu.name} has no MIG; these GPUs have: {', '.join(known)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigInstance:
    """One instance of a layout: a profile at a place."""

    profile: MigProfile
    start: int
    compute_slices_count: int
    memory_slices_count: int

    @property
    def taken(self) -> range:
        """The memory slices it holds."""
        return range(self.start, self.start + self.memory_slices_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigLayout:
    """Instances that do not overlap, by the place where they begin; what they leave is nobody's."""

    gpu: GpuSpec
    geometry: Geometry
    instances: tuple[MigInstance, ...]

    @property
    def profile_keys(self) -> tuple[str, ...]:
        return tuple(one.profile.key for one in self.instances)

    @property
    def unused_compute_fraction(self) -> float:
        used = sum(one.compute_slices_count for one in self.instances)
        return 1 - used / self.geometry.compute_slices_count

    @property
    def unused_memory_fraction(self) -> float:
        used = sum(one.memory_slices_count for one in self.instances)
        return 1 - used / self.geometry.memory_slices_count

    def able(self, profile: MigProfile) -> tuple[MigInstance, ...]:
        """Every place at which one more instance of this profile could be put."""
        row = self.geometry.of(profile)
        taken = {at for one in self.instances for at in one.taken}
        offered = (
            MigInstance(
                profile=profile,
                start=start,
                compute_slices_count=row.compute_slices_count,
                memory_slices_count=row.memory_slices_count,
            )
            for start in row.starts
        )
        return tuple(one for one in offered if taken.isdisjoint(one.taken))

    def with_instance(self, one: MigInstance) -> "MigLayout":
        return replace(self, instances=tuple(sorted((*self.instances, one), key=lambda each: each.start)))


def mig_table_from(docs: Mapping[str, Mapping[str, Any]]) -> MigTable:
    """The parsed files of data/mig, by stem. Raises ConfigError naming the place."""
    return MigTable(geometries=tuple(_geometry(key, doc) for key, doc in sorted(docs.items())))


def _geometry(key: str, doc: Mapping[str, Any]) -> Geometry:
    where = f"mig/{key}.toml"
    known = {"compute_slices_count", "memory_slices_count", "gpu_keys", "placements", "sources"}
    check_keys(doc, known, where)
    rows = tuple(
        build(Placement, {**row, "starts": _whole_numbers(row.get("starts", ()), where)}, f"{where} [[placements]]")
        for row in tables(doc.get("placements", ()), f"{where} placements")
    )
    body = {**doc, "placements": rows, "gpu_keys": tuple(doc.get("gpu_keys", ()))}
    found = sourced(Geometry, key, body, where)
    for row in rows:
        if not all(0 <= start <= found.memory_slices_count - row.memory_slices_count for start in row.starts):
            raise ConfigError(f"{where} [[placements]]: {row.memory_slices_count} memory slices from {row.starts} on "
                              f"do not lie within {found.memory_slices_count}.")  # fmt: skip
    return found


def _whole_numbers(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or not all(type(value) is int for value in values):
        raise ConfigError(f"{where} [[placements]] starts: a list of whole numbers, not {str(values)[:80]!r}.")
    return tuple(values)


def layouts(gpu: GpuSpec, table: MigTable) -> tuple[MigLayout, ...]:
    """Every maximal legal layout: nothing can be added to it.

    Returns    Layouts, each once; the same profiles at other places are another layout
    Valid for  compute instances as large as their GPU instance; profiles without media extensions
    Raises     DomainError for a GPU without MIG
    Source     NVIDIA Multi-Instance GPU User Guide, possible placements
    Example    without the profile of one compute and two memory slices, an A100 has the 19 that are often quoted
    >>> from store.mig_files import load_mig_table
    >>> of = layouts(catalog.gpu("a100-sxm-80gb"), load_mig_table())
    >>> len(of), sum("1g.20gb" not in one.profile_keys for one in of)
    (78, 19)
    """
    geometry = table.of(gpu)
    return tuple(_filled(MigLayout(gpu=gpu, geometry=geometry, instances=()), 0))


def _filled(layout: MigLayout, begin: int) -> Iterator[MigLayout]:
    """Layouts that add to this one at memory slices from `begin` on."""
    offered = [one for profile in layout.gpu.mig for one in layout.able(profile)]
    if not offered:
        yield layout
    for one in offered:
        if one.start >= begin:
            yield from _filled(layout.with_instance(one), one.start + 1)


def profile_of(gpu: GpuSpec, key: str) -> MigProfile:
    for profile in gpu.mig:
        if profile.key == key:
            return profile
    raise UnknownKey("MIG profile", key, (profile.key for profile in gpu.mig), gpu.name)


def as_gpu(gpu: GpuSpec, profile: MigProfile) -> GpuSpec:
    """An instance as a small GPU of its own.

    Equation   HBM and its rate by memory slices, FLOP/s and power by compute slices; no link to other instances
    Returns    GpuSpec
    Valid for  memory, cache and SMs, which are the instance's own. The host link is shared by all instances of a GPU
               and left whole, which flatters what copies from host memory; power limits are not modelled
    Raises     nothing
    Source     NVIDIA Multi-Instance GPU User Guide
    Example    a seventh of the arithmetic, an eighth of the bandwidth: more FLOPs for each byte, not fewer
    >>> h100 = catalog.gpu("h100-sxm")
    >>> small = as_gpu(h100, profile_of(h100, "1g.10gb"))
    >>> small.name, round(small.hbm_bytes_per_s / h100.hbm_bytes_per_s, 3)
    ('NVIDIA H100 SXM 1g.10gb', 0.125)
    """
    return replace(
        gpu,
        key=f"{gpu.key}/{profile.key}",
        name=f"{gpu.name} {profile.key}",
        hbm_bytes=profile.hbm_bytes,
        hbm_bytes_per_s=gpu.hbm_bytes_per_s * profile.hbm_bandwidth_fraction,
        dense_flop_per_s=tuple((one, rate * profile.compute_fraction) for one, rate in gpu.dense_flop_per_s),
        link_bytes_per_s=0.0,
        board_w=gpu.board_w * profile.compute_fraction,
        mig=(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one instance of a layout costs an hour, or what none of them can use (`SLACK`)."""

    name: str
    start: int | None
    compute_fraction: float
    memory_fraction: float
    usd_per_hour: Decimal


def dollars(layout: MigLayout, usd_per_gpu_hour: Decimal) -> tuple[Part, ...]:
    """The price of the GPU over its instances, and over what no instance can use.

    Equation   p (c/C + m/M)/2 for an instance, the rest for what is left
    Symbols    p USD per GPU-hour   c of C compute slices   m of M memory slices
    Returns    a Part for each instance, then the slack; they sum to the price to the last digit
    Valid for  sharing cost among tenants: no provider sells instances at these prices. Half the price for compute and
               half for memory is a convention: with either alone, what the other leaves unused would look free
    Raises     DomainError for a price with more digits than money keeps
    Source     domain_math §8.1
    Example    seven of the smallest leave an eighth of the memory, a sixteenth of the price
    >>> from store.mig_files import load_mig_table
    >>> seven = next(one for one in layouts(catalog.gpu("a100-sxm-80gb"), load_mig_table())
    ...              if one.profile_keys == ("1g.10gb",) * 7)
    >>> [str(part.usd_per_hour) for part in dollars(seven, Decimal("3.36"))][-2:]
    ['0.450000000000000000', '0.210000000000000000']
    """
    compute, memory = layout.geometry.compute_slices_count, layout.geometry.memory_slices_count
    weights = {
        f"{one.start:02}": one.compute_slices_count * memory + one.memory_slices_count * compute
        for one in layout.instances
    }
    shares = split(usd_per_gpu_hour, {**weights, SLACK: 2 * compute * memory - sum(weights.values())}, SLACK)
    return (
        *(
            Part(
                name=one.profile.key,
                start=one.start,
                compute_fraction=one.compute_slices_count / compute,
                memory_fraction=one.memory_slices_count / memory,
                usd_per_hour=shares[f"{one.start:02}"],
            )
            for one in layout.instances
        ),
        Part(
            name=SLACK,
            start=None,
            compute_fraction=layout.unused_compute_fraction,
            memory_fraction=layout.unused_memory_fraction,
            usd_per_hour=shares[SLACK],
        ),
    )


def commands(layout: MigLayout, gpu_index: int = 0) -> tuple[str, ...]:
    """How a layout is made with nvidia-smi, and how a process or a pod then asks for one of its instances.

    Returns    lines, the largest instances first: the driver refuses some orders; each at its place
    Valid for  an idle GPU. Instances are gone after a restart of the machine: make them again, or let mig-parted do it
    Raises     nothing
    Source     NVIDIA Multi-Instance GPU User Guide; `nvidia-smi mig --help`; NVIDIA device plugin for Kubernetes, mixed
               strategy. Devices are named by their MIG UUID since driver R470, not by GPU, instance and number
    Example
    >>> from store.mig_files import load_mig_table
    >>> two = next(one for one in layouts(catalog.gpu("h100-sxm"), load_mig_table())
    ...            if one.profile_keys == ("4g.40gb", "3g.40gb"))
    >>> commands(two)[1]
    'sudo nvidia-smi mig -i 0 -cgi 4g.40gb:0,3g.40gb:4 -C'
    """
    order = sorted(layout.instances, key=lambda one: (-one.memory_slices_count, -one.compute_slices_count, one.start))
    tuples = ",".join(f"{one.profile.key}:{one.start}" for one in order)
    kinds = dict.fromkeys(one.profile.key for one in order)
    return (
        f"sudo nvidia-smi -i {gpu_index} -mig 1",
        f"sudo nvidia-smi mig -i {gpu_index} -cgi {tuples} -C",
        "nvidia-smi -L  # lists each instance with its MIG UUID",
        "CUDA_VISIBLE_DEVICES=MIG-<UUID> vllm serve MODEL",
        *(f"resources: {{ limits: {{ nvidia.com/mig-{key}: 1 }} }}  # Kubernetes" for key in kinds),
    )


def like_for_like_ratio(
    sliced_tokens_per_s: float, whole_tokens_per_s: float, sliced_params_count: float, whole_params_count: float
) -> float:
    """What slices with a smaller model gain over the whole GPU with that same smaller model.

    Equation   X_slices / (X_whole P_whole / P_sliced)
    Symbols    X tokens per second of all slices together, and of the larger model on the whole GPU   P parameters
    Returns    [1]; below 1, slicing loses
    Valid for  a whole GPU bound by arithmetic, where time goes with parameters; bound by bandwidth it is the same
    Raises     DomainError where a figure is not above 0
    Source     the lesson, S77: 4 x 3B at 800 tok/s against a 7B at 1,000 is no factor of 3.2 but of at most 1.37
    Example
    >>> round(like_for_like_ratio(4 * 800, 1000, 3e9, 7e9), 2)
    1.37
    """
    if not min(sliced_tokens_per_s, whole_tokens_per_s, sliced_params_count, whole_params_count) > 0:
        raise DomainError("a comparison of slices with a whole GPU needs speeds and parameters above 0.")
    return sliced_tokens_per_s / (whole_tokens_per_s * whole_params_count / sliced_params_count)
