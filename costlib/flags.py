"""The `vllm serve` command line of a deployment, what differs from today's, and the same as a container's arguments.

Only what differs from vLLM's defaults is written, and only what the release has: the rest is said beside it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from costlib.catalog import Catalog
from costlib.flag_table import Release, Standing, Verdict
from costlib.hardware import GpuSpec, Precision
from costlib.models import ModelSpec
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.serving import Batching, Role, ServingConfig
from costlib.units import GIBI

MODEL = "model"
PLACE = "PATH_TO"  # stands in a command for what only the user can name
PROMPT_LOOKUP_TOKENS = 4  # the n-gram that vLLM's own example looks up
# Methods that make their weights of the original checkpoint while loading it.
ONLINE = ("fp8", "bitsandbytes", "experts_int8", "int8_per_channel_weight_only", "mxfp8", "online")
_HUB = re.compile(r"huggingface\.co/([\w.-]{1,80}/[\w.-]{1,80})")
_UNSAFE = re.compile(r"[^\w./:+-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One option; a switch has no value."""

    name: str
    value: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, self.value) if self.value else (self.name,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one replica is started. `notes` say what a command cannot; `missing` what the release has not."""

    deployment_key: str
    release: str
    model: str
    flags: tuple[Flag, ...]
    gpus_count: int
    gpu_vendor: str
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return ("vllm", "serve", self.model, *(word for flag in self.flags for word in flag.words))

    @property
    def line(self) -> str:
        """For a shell, an option to a line."""
        parts = (("vllm", "serve", self.model), *(flag.words for flag in self.flags))
        return " \\\n  ".join(" ".join(map(quote, words)) for words in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChange:
    """One option that differs; None where it was not there, or no longer is."""

    name: str
    was: str | None
    becomes: str | None

    @property
    def text(self) -> str:
        if self.was is None:
            return f"+ {self.name} {self.becomes}".rstrip()
        if self.becomes is None:
            return f"- {self.name} {self.was}".rstrip()
        return f"~ {self.name} {self.was} -> {self.becomes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One deployment today and in the scenario; None where it is not there, bought by the token, or not vLLM's work."""

    deployment_key: str
    today: Command | None
    scenario: Command | None
    changes: tuple[FlagChange, ...]
    why: str = ""


def commands(today: Scenario, scenario: Scenario, catalog: Catalog, release: Release) -> tuple[Served, ...]:
    """Every deployment's command before and after, today's order first."""
    before = {deployment.key: deployment for deployment in today.deployments}
    after = {deployment.key: deployment for deployment in scenario.deployments}
    return tuple(_served(key, before.get(key), after.get(key), catalog, release) for key in {**before, **after})


def _served(key: str, was: Deployment | None, becomes: Deployment | None, catalog: Catalog, release: Release) -> Served:
    first, then = (None if one is None else command(one, catalog, release) for one in (was, becomes))
    return Served(
        deployment_key=key,
        today=first,
        scenario=then,
        changes=changes(first, then),
        why="; ".join(dict.fromkeys(filter(None, (_why_none(was, "today"), _why_none(becomes, "in the scenario"))))),
    )


def _why_none(deployment: Deployment | None, when: str) -> str:
    if deployment is None:
        return f"not there {when}"
    if not isinstance(deployment.supply, SelfHosted):
        return "bought by the token: the provider sets the options"
    if deployment.supply.serving.batching == Batching.STATIC:
        return f"batches statically {when}, which vLLM never does"
    return ""


def changes(was: Command | None, becomes: Command | None) -> tuple[FlagChange, ...]:
    """What was added, changed and removed; nothing where no command is left."""
    if becomes is None:
        return ()
    before, after = ({} if one is None else _by_name(one) for one in (was, becomes))
    return tuple(
        FlagChange(name=name, was=before.get(name), becomes=after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    )


def _by_name(one: Command) -> dict[str, str]:
    return {MODEL: one.model} | {flag.name: flag.value for flag in one.flags}


def command(deployment: Deployment, catalog: Catalog, release: Release) -> Command | None:
    """None for what is bought by the token, and for an engine that batches statically."""
    hosted = deployment.supply
    if not isinstance(hosted, SelfHosted) or hosted.serving.batching == Batching.STATIC:
        return None
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    flags: list[Flag] = []
    missing: list[str] = []
    notes: list[str] = []
    for flag, of_value in _wanted(model, gpu, serving, catalog, release):
        verdicts = [(flag.name, release.flag(flag.name))]
        if of_value is not None:
            verdicts.append((" ".join(flag.words), of_value))
        lacking = [
            f"{what} is left out: {verdict.why}." for what, verdict in verdicts if verdict.standing is Standing.ABSENT
        ]
        if lacking:
            missing += lacking
            continue
        notes += [f"{what} is not checked: {verdict.why}." for what, verdict in verdicts if verdict.why]
        flags.append(flag)
    notes = [*_remarks(model, serving, release, {flag.name for flag in flags}), *notes]
    return Command(
        deployment_key=deployment.key,
        release=release.name,
        model=_name_of(model, serving),
        flags=tuple(flags),
        gpus_count=serving.gpus_count,
        gpu_vendor=gpu.vendor,
        notes=tuple(notes),
        missing=tuple(missing),
    )


def _wanted(
    model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, catalog: Catalog, release: Release
) -> Iterator[tuple[Flag, Verdict | None]]:
    """What differs from the defaults, with what is known of its value where values are in the table."""
    for name, count in (
        ("--tensor-parallel-size", serving.tensor_parallel_count),
        ("--pipeline-parallel-size", serving.pipeline_parallel_count),
        ("--data-parallel-size", serving.data_parallel_attention_count),
    ):
        if count > 1:
            yield Flag(name=name, value=str(count)), None
    if serving.data_parallel_attention_count > 1 and model.is_moe:
        yield Flag(name="--enable-expert-parallel"), None
    method = _method(model, serving)
    if method:
        yield Flag(name="--quantization", value=method), release.quantization(method)
    if serving.kv_precision == Precision.FP8:
        yield Flag(name="--kv-cache-dtype", value="fp8"), release.kv_cache_dtype("fp8")
    default = release.batch_default(gpu)
    for name, count, usual in (
        ("--max-num-seqs", serving.max_num_seqs, default and default.max_num_seqs),
        ("--max-num-batched-tokens", serving.max_num_batched_tokens, default and default.max_num_batched_tokens),
    ):
        if count != usual:
            yield Flag(name=name, value=str(count)), None
    share, usual_share = serving.gpu_memory_utilization, release.table.default_gpu_memory_utilization
    if share != usual_share or not release.has_known_defaults:
        yield Flag(name="--gpu-memory-utilization", value=f"{share:g}"), None
    if serving.max_chunk_tokens:
        yield Flag(name="--long-prefill-token-threshold", value=str(serving.max_chunk_tokens)), None
    if not release.is_on_by_default("--enable-chunked-prefill"):
        yield Flag(name="--enable-chunked-prefill"), None
    if serving.prefix_hit_fraction and not release.is_on_by_default("--enable-prefix-caching"):
        yield Flag(name="--enable-prefix-caching"), None
    if serving.host_kv_bytes:
        size_gib = serving.host_kv_bytes * serving.gpus_count / GIBI
        yield Flag(name="--kv-offloading-size", value=f"{size_gib:g}"), None
    if serving.role != Role.BOTH:
        yield _json("--kv-transfer-config", {"kv_connector": "NixlConnector", "kv_role": "kv_both"}), None
    if serving.speculation.draft_tokens:
        yield _json("--speculative-config", _drafting(model, serving, catalog)), None


def _json(name: str, value: Mapping[str, Any]) -> Flag:
    return Flag(name=name, value=json.dumps(value, separators=(",", ":")))


def _method(model: ModelSpec, serving: ServingConfig) -> str:
    """The quantization to ask for; a checkpoint that is quantized already says it by itself."""
    if serving.quantization:
        return serving.quantization
    return "fp8" if serving.weight_precision == Precision.FP8 != model.native_precision else ""


def _drafting(model: ModelSpec, serving: ServingConfig, catalog: Catalog) -> dict[str, Any]:
    """What drafts is told by its size, which is all the engine model knows of it."""
    drafts = serving.speculation
    count = {"num_speculative_tokens": int(drafts.draft_tokens)}
    if not drafts.draft_params_count:
        return {"method": "ngram", **count, "prompt_lookup_max": PROMPT_LOOKUP_TOKENS}
    drafter = _drafter(serving, catalog)
    if drafter is not None:
        return {"method": "draft_model", "model": hub_name(drafter), **count}
    return {"method": "eagle3", "model": f"{PLACE}/EAGLE3-head-of-{_last(hub_name(model))}", **count}


def _drafter(serving: ServingConfig, catalog: Catalog) -> ModelSpec | None:
    drafts = serving.speculation
    return next(
        (
            one
            for one in catalog.models
            if one.total_params_count == drafts.draft_params_count and one.layers_count == drafts.draft_layers_count
        ),
        None,
    )


def _remarks(model: ModelSpec, serving: ServingConfig, release: Release, written: set[str]) -> Iterator[str]:
    if not release.has_known_defaults:
        yield (
            f"the defaults of {release.name} are not known here, those of {release.table.defaults_release} are: "
            "every limit is written out."
        )
    if _needs_checkpoint(model, serving):
        yield (
            f"{_name_of(model, serving)} stands for a checkpoint of {model.name} in {_format(serving)}; vLLM reads "
            "the format from it."
        )
    is_head = serving.speculation.draft_params_count and serving.speculation.draft_layers_count == 1
    if is_head and "--speculative-config" in written:
        yield f"the model of --speculative-config stands for an EAGLE head trained for {model.name}."
    if "--kv-transfer-config" in written:
        yield (
            f"this pool does the {serving.role} half; a router in front sends each prompt to one pool and its answer "
            "to the other, and both need the connector's library."
        )
    if serving.kv_used_fraction < 1:
        yield "KV memory is reserved by sequence here; vLLM pages it, whatever its options."


def _needs_checkpoint(model: ModelSpec, serving: ServingConfig) -> bool:
    if serving.quantization:
        return serving.quantization not in ONLINE
    return serving.weight_precision not in (model.native_precision, Precision.FP8)


def _format(serving: ServingConfig) -> str:
    return f"{serving.quantization} ({serving.weight_precision})" if serving.quantization else serving.weight_precision


def _name_of(model: ModelSpec, serving: ServingConfig) -> str:
    name = hub_name(model)
    if not _needs_checkpoint(model, serving):
        return name
    return "-".join(filter(None, (f"{PLACE}/{_last(name)}", serving.weight_precision, serving.quantization)))


def hub_name(model: ModelSpec) -> str:
    """The repository that the catalogue's source names, else the model's key: what `vllm serve` is given."""
    for source in model.sources:
        if found := _HUB.search(source.url):
            return found[1]
    return f"{PLACE}/{_UNSAFE.sub('-', model.key)[:80]}"


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def container_yaml(one: Command) -> str:
    """The container of a Kubernetes pod that runs this command; every text is quoted as JSON, which YAML reads."""
    resource = "amd.com/gpu" if one.gpu_vendor.lower() == "amd" else "nvidia.com/gpu"
    image = "vllm/vllm-openai-rocm" if resource.startswith("amd") else "vllm/vllm-openai"
    return "\n".join(
        (
            "containers:",
            "  - name: vllm",
            f"    image: {image}:v{one.release}",
            f"    command: {json.dumps(one.words[:2])}",
            "    args:",
            *(f"      - {json.dumps(word)}" for word in one.words[2:]),
            "    resources:",
            "      limits:",
            f"        {resource}: {one.gpus_count}",
        )
    )
