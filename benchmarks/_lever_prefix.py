"""Published gains of a higher prefix hit rate, and what `costlib` makes of them.

The sources state hit rates and what came of them, hardly ever lengths. Where they do not, the prompt is as long as
makes the throughput before what was measured, and only the change is predicted. PegaFlow's outputs are one token:
requests per second times time to the first token are 63 to 65 before and after, in both of its tables, so by Little's
law hardly anything follows the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks._accuracy_rows import DATA, Row, model_named, rows_of
from benchmarks._lever_rows import LeverRow, LeverTable
from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.replica import solve_replica
from costlib.serving import Role, ServingConfig
from costlib.units import GIBI, GIGA
from costlib.workload import Workload

HITS = DATA / "prefix_cache_small_tables.csv"
POOLED_BYTES = 500 * GIBI  # host memory that a server's eight GPUs keep KV cache in
GPUS = 8
AGENT_PROMPT_TOKENS, AGENT_PROMPT_OVER_OUTPUT = 46_000.0, 131.0  # its post: contexts grow from 12K to 80K; 131:1
POOL_LINK_BYTES_PER_S = 50 * GIGA  # of KV cache to where tokens are written, 400 Gbit/s a GPU, assumed
QWEN3_8B = ModelSpec(
    key="qwen3-8b",
    name="Qwen3 8B",
    total_params_count=8.19 * GIGA,
    active_params_count=8.19 * GIGA,
    hidden_size_count=4096,
    heads_count=32,
    attention=(AttentionLayers(kind=AttentionKind.FULL, layers_count=36, kv_heads_count=8, head_dim_count=128),),
    max_context_tokens=131_072,
    native_precision=Precision.BF16,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a source changed the hit rate of. `replicas` of it were measured together."""

    name: str
    model: ModelSpec
    gpu: GpuSpec
    serving: ServingConfig
    replicas: int

    def requests_per_s(self, hit_fraction: float, prompt_tokens: float, catalog: Catalog) -> float:
        """Of all replicas, hits coming from host memory; 0 where such requests do not fit."""
        serving = replace(self.serving, host_hit_fraction=hit_fraction)
        constants = catalog.engine.resolve(self.model, self.gpu, serving)
        work = Workload(
            requests_per_s=1.0,
            mean_prompt_tokens=prompt_tokens,
            mean_output_tokens=1.0,
        )
        try:
            solved = solve_replica(self.model, self.gpu, serving, work, constants)
        except DomainError:
            return 0.0
        return float(self.replicas * solved.capacity_requests_per_s)

    def prompt_tokens(self, hit_fraction: float, requests_per_s: float, catalog: Catalog) -> float:
        """The length at which it answers this many requests."""
        low, high = 100.0, self.model.max_context_tokens - 1.0
        for _ in range(24):
            middle = (low * high) ** 0.5
            is_faster = self.requests_per_s(hit_fraction, middle, catalog) > requests_per_s
            low, high = (middle, high) if is_faster else (low, middle)
        return float((low * high) ** 0.5)


def hit_rates(catalog: Catalog) -> LeverTable:
    host = POOLED_BYTES / GPUS
    prompts = ServingConfig(role=Role.PREFILL, kv_transfer_bytes_per_s=POOL_LINK_BYTES_PER_S)
    shared = {
        "PegaFlow (shared pool)": Shared(
            name="Qwen3-8B on eight GPUs",
            model=QWEN3_8B,
            gpu=catalog.gpu(
                "h100-sxm"
            ),  # its source names none; its public benchmark ran on H800, which computes alike
            serving=replace(prompts, host_kv_bytes=host),
            replicas=GPUS,
        ),
        "PegaFlow (TP ranks)": Shared(
            name="DeepSeek-V3.2 over eight GPUs",
            model=catalog.model("deepseek-v3"),
            gpu=catalog.gpu("h200-sxm"),  # the least that holds it
            serving=replace(prompts, weight_precision=Precision.FP8, tensor_parallel_count=GPUS, host_kv_bytes=host),
            replicas=1,
        ),
    }
    rows, found = rows_of(HITS), []
    for source, deployment in shared.items():
        mine = [row for row in rows if row["source"].endswith(source)]
        found += _with_base(deployment, mine, catalog)
    found += _agents([row for row in rows if row["source"].endswith("Mooncake store")], catalog)
    return LeverTable(title="Prefix hit rates", yardstick="time falls by the hit rate", rows=found)


def _with_base(deployment: Shared, rows: Sequence[Row], catalog: Catalog) -> list[LeverRow]:
    base = next(row for row in rows if row["metric"] == "req_s")
    before, after = float(base["hit_rate_before"]), float(base["hit_rate_after"])
    prompt = deployment.prompt_tokens(before, float(base["value_before"]), catalog)
    answered = [deployment.requests_per_s(hit, prompt, catalog) for hit in (before, after)]
    name = f"{deployment.name} (prompts of {prompt:,.0f})"
    return [_row(name, row, answered[1] / answered[0]) for row in rows]


def _row(name: str, row: Row, answered_ratio: float) -> LeverRow:
    """Of a full server, waiting falls as requests per second rise: Little's law."""
    before, after = float(row["hit_rate_before"]), float(row["hit_rate_after"])
    ratio = float(row["value_after"]) / float(row["value_before"])
    is_rate = row["metric"] in ("req_s", "throughput_ratio")
    return LeverRow(
        what=f"{name}, hits {before:.0%} to {after:.0%}, {row['metric']}",
        measured_ratio=ratio if is_rate else 1 / ratio,
        predicted_ratio=answered_ratio,
        yardstick_ratio=(1 - before) / (1 - after),
    )


def _agents(rows: Sequence[Row], catalog: Catalog) -> list[LeverRow]:
    """Kimi-K2.5 on twelve GB200: prompts on four of them, tokens on eight. The slower half decides."""
    model, gpu = model_named("Kimi-K2.5"), catalog.gpu("gb200")
    common = ServingConfig(weight_precision=Precision.FP4, kv_precision=Precision.FP8)
    work = Workload(
        requests_per_s=1.0,
        mean_prompt_tokens=AGENT_PROMPT_TOKENS,
        mean_output_tokens=AGENT_PROMPT_TOKENS / AGENT_PROMPT_OVER_OUTPUT,
    )
    constants = catalog.engine.resolve(model, gpu, common)

    def pool(serving: ServingConfig, asked: Workload) -> float:
        return solve_replica(model, gpu, serving, asked, constants).capacity_requests_per_s

    def answered(hit_fraction: float) -> float:
        prompts = replace(
            common,
            tensor_parallel_count=4,
            role=Role.PREFILL,
            kv_transfer_bytes_per_s=POOL_LINK_BYTES_PER_S,
            prefix_hit_fraction=hit_fraction,
        )
        tokens = replace(common, data_parallel_attention_count=8, role=Role.DECODE, prefix_hit_fraction=1.0)
        return min(pool(prompts, replace(work, mean_output_tokens=1.0)), pool(tokens, work))

    before, after = (float(rows[0][name]) for name in ("hit_rate_before", "hit_rate_after"))
    return [_row("Kimi-K2.5, prompts on four GB200", row, answered(after) / answered(before)) for row in rows]
