"""Published measurements: a CSV row as a model, a GPU and settings, the way `costlib` takes them, and as a load.

What a row does not say is read from `data/models.csv` and `data/gpu_specs.csv`, or guessed; each guess is counted.
"""

import csv
import gzip
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.serving import WEIGHT_BYTES_PER_PARAM, ServingConfig
from costlib.units import GIBI, GIGA, TERA

DATA = Path(__file__).parent / "data"
POINTS, PAIRS = DATA / "points.csv.gz", DATA / "whatif_pairs.csv.gz"
OUT_OF_GROUP = DATA / "out_of_group.csv.gz"  # log errors of fits that had not seen the row's model, GPU or version
SCHEMES = ("model", "gpu", "version")
FIRST_TOKEN = "ttft_ms"
Row = dict[str, str]
T = TypeVar("T")

# Layers that do not cache every token (models.csv, notes): share of layers, their window; layers without a cache.
WINDOWED = {"gpt-oss": (1 / 2, 128), "Llama-4": (3 / 4, 8192)}
LAYERS_WITH_STATE_ONLY = {"Qwen3.5": 45}
MLA_HEAD_DIM = 288  # how an MLA latent is entered: 1 head x 288 x 2 = 512 + 64
PCIE_4_BYTES_PER_S = 64 * GIGA
MEMORY_GIB = {"L40S": 45}  # left of 48 with error correction on
ARCHITECTURE = {"Ada": "Ada Lovelace"}  # as the catalogue calls it
DIES = {"MI250": 2}  # shown as two devices, each half of the sheet
OLD_VERSIONS = ("0.5.0", "0.6.1", "0.8.0", "0.9.0")  # TensorRT-LLM with static batches
# Limits on mean time per output token of MLPerf's latency-bound scenarios [s].
MLPERF_TPOT_S = {
    ("Llama-2-70B", "Server"): 0.2,
    ("Llama-2-70B", "Interactive"): 0.04,
    ("Mixtral-8x7B", "Server"): 0.2,
    ("Llama-3.1-405B", "Server"): 0.175,
    ("Llama-3.1-405B", "Interactive"): 0.08,
    ("DeepSeek-R1", "Server"): 0.08,
    ("Llama-3.1-8B", "Server"): 0.1,
    ("Llama-3.1-8B", "Interactive"): 0.03,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is served, on what and how. `computed_bits` is the format of matmuls, narrower or wider than the weights."""

    model: ModelSpec
    gpu: GpuSpec
    serving: ServingConfig
    engine: str
    computed_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement: a setup under a load, and what came of it."""

    row: Row
    setup: Setup
    load: str  # closed, static, open, offline, mlperf
    client: str  # who asked: sets what stands before the first token
    prompt_tokens: float
    output_tokens: float
    sequences: float  # NaN: as many as fit
    requests_per_s: float  # NaN: not a request rate
    tpot_limit_s: float  # inf: none
    replicas: float
    beams: float
    one_prompt: bool  # every sequence has the same prompt, so that few experts are touched
    is_latency_bound: bool
    value: float

    @property
    def row_id(self) -> str:
        return self.row["row_id"]

    @property
    def metric(self) -> str:
        return self.row["metric"]

    @property
    def gpus(self) -> int:
        return self.setup.serving.gpus_count

    @property
    def load_level(self) -> float:
        """Sequences or requests per second, whichever is stated; NaN: as many as can be."""
        return self.requests_per_s if math.isnan(self.sequences) else self.sequences

    @property
    def deployment(self) -> tuple[str, ...]:
        return tuple(self.row[name] for name in DEPLOYMENT)


DEPLOYMENT = (
    "source_id", "model", "weight_bits", "gpu", "gpu_count", "tp", "pp", "dp", "ep", "engine", "engine_version",
)  # fmt: skip


def group_of(point: Point, scheme: str) -> str:
    """What is left out together: a model's siblings of the same size too, for they are nearly the same model."""
    row = point.row
    if scheme == "model":
        return f"{float(row['params_b']):g} B"
    if scheme == "gpu":
        return row["gpu"]
    return f"{row['engine']} {row['engine_version'] or row['source_id']}"


def rows_of(path: Path) -> list[Row]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def points_of(rows: Iterable[Row]) -> tuple[list[Point], Counter[str]]:
    """The rows that can be read, and how many were guessed at or left out, by reason."""
    points, notes = [], Counter[str]()
    for row in rows:
        if row.get("quality_flag") == "doubtful_layout":
            notes["left out: the source's layout is doubtful (its own flag)"] += 1
            continue
        try:
            points.append(_point(row, notes))
        except (KeyError, ValueError) as error:
            notes[f"left out: not readable ({error})"] += 1
    return points, notes


def _point(row: Row, notes: Counter[str]) -> Point:
    load = _load(row["load_kind"])
    engine = _engine(row)
    at = row["concurrency_or_batch"]
    sequences = float(at) if re.fullmatch(r"[\d.]+", at) else math.nan
    if load in ("closed", "static") and not sequences > 0:
        raise ValueError(f"no number of sequences in {load} load")
    is_inferencex = row["source_id"] == "aic_silicon_inferencex"
    drawn = 0.9 if is_inferencex else 1.0  # it draws lengths evenly from 0.8 to 1 of the stated one
    prompt, output, value = (float(row[name]) for name in ("input_len", "output_len", "value"))
    if not min(prompt, output, value) > 0:
        raise ValueError("a length or the value is not above 0")
    setup, replicas = _setup(row, load, engine, notes)
    scenario = row["load_kind"].removeprefix("MLPerf ")
    is_latency_bound = load == "mlperf" and scenario != "Offline"
    limit = MLPERF_TPOT_S.get((row["model"], scenario), math.inf) if is_latency_bound else math.inf
    if is_latency_bound and limit == math.inf:
        notes[f"guessed: no limit on time per output token is known of MLPerf {scenario} {row['model']}"] += 1
    return Point(
        row=row,
        setup=setup,
        load=load,
        client=engine + "_nvidia" * (row["source_id"] == "aic_silicon_nvidia_auto" and engine == "tensorrt_llm"),
        prompt_tokens=drawn * prompt,
        output_tokens=drawn * output,
        sequences=sequences,
        requests_per_s=float(at.removeprefix("qps=")) if at.startswith("qps=") else math.nan,
        tpot_limit_s=limit,
        replicas=replicas,
        beams=4.0 if load == "mlperf" and row["model"] == "GPT-J-6B" else 1.0,  # MLPerf decodes it with a beam of 4
        one_prompt=row["source_id"].startswith("argonne")
        and engine == "tensorrt_llm_2024",  # TensorRT-LLM's C++ benchmark
        is_latency_bound=is_latency_bound,
        value=value,
    )


def _load(kind: str) -> str:
    if kind.startswith("MLPerf"):
        return "mlperf"
    return {"closed": "closed", "static": "static", "open": "open"}.get(re.split(r"[- ]", kind)[0], "offline")


def _engine(row: Row) -> str:
    if row.get("quality_flag") == "early_rocm_stack":
        return "rocm_2024"
    version = row["engine_version"]
    era = "_2024" if "2024" in version or version in OLD_VERSIONS else ""
    return {"vLLM": "vllm" + era, "SGLang": "sglang"}.get(row["engine"], "tensorrt_llm" + era)


def _setup(row: Row, load: str, engine: str, notes: Counter[str]) -> tuple[Setup, float]:
    gpu = _gpu(row["gpu"])
    if gpu.key != gpu.name:
        notes[f"guessed: GPU {row['gpu']} is in no table, taken for {gpu.key}"] += 1
    model = _model(*(row[name] for name in MODEL_COLUMNS))
    if model.name == GUESSED:
        notes[f"guessed: width, heads and experts of {row['model']}, in no table, from its parameters and layers"] += 1
    precision, computed_bits = _formats(row, load, gpu, notes)
    kv = row["kv_bits"]
    if not kv:
        notes["guessed: KV precision, 8 bit for TensorRT-LLM and Blackwell at 8 bit weights or fewer"] += 1
        narrow = precision is not Precision.BF16
        kv = "8" if narrow and (row["engine"] == "TensorRT-LLM" or gpu.architecture.startswith("Blackwell")) else "16"
    gpus, tensor, pipeline, data = _layout(row)
    weights = model.total_params_count * WEIGHT_BYTES_PER_PARAM[precision]
    fewest = min(2.0 ** math.ceil(math.log2(max(weights / (0.75 * gpu.hbm_bytes), 1.0))), gpus)
    if not tensor:
        notes["guessed: tensor parallelism, the least whose weights take three quarters of memory"] += 1
        tensor = fewest
    if spare := -model.heads_count % int(tensor):
        notes[f"guessed: heads of {row['model']} filled up to a multiple of tensor parallelism {tensor:g}"] += 1
        model = replace(model, heads_count=model.heads_count + spare)
    serving = ServingConfig(
        weight_precision=precision,
        kv_precision=Precision.FP8 if float(kv) <= 8 else Precision.BF16,
        tensor_parallel_count=int(tensor),
        pipeline_parallel_count=int(pipeline),
        data_parallel_attention_count=int(data),
    )
    setup = Setup(model=model, gpu=gpu, serving=serving, engine=engine, computed_bits=computed_bits)
    return setup, max(gpus / (fewest if load == "mlperf" else tensor * pipeline * data), 1.0)


def _formats(row: Row, load: str, gpu: GpuSpec, notes: Counter[str]) -> tuple[Precision, int]:
    """How weights are stored, and in how many bits matmuls are done."""
    narrowest = 4 if gpu.computes_in(Precision.FP4) else 8 if gpu.computes_in(Precision.FP8) else 16
    if not row["weight_bits"]:
        notes["guessed: weights, 16 bit where the source does not say"] += 1
    bits = float(row["weight_bits"] or 16)
    if load == "mlperf":  # declared is the checkpoint's type; submitters run the narrowest that passes
        bits = computed = min(bits, narrowest)
    elif row["model"].startswith("gpt-oss"):
        computed = 8 if narrowest == 4 else 16
    else:
        computed = float(row["act_bits"] or bits)
    if bits > 8:
        return Precision.BF16, 16
    if bits > 4:
        return Precision.FP8, 16 if computed > 8 or narrowest > 8 else 8
    stored = Precision.FP4 if narrowest == 4 else Precision.INT4
    return stored, 16 if computed > 8 or narrowest > 8 else 8 if computed > 4 or narrowest > 4 else 4


def _layout(row: Row) -> tuple[float, float, float, float]:
    """GPUs, tensor (0: not said), pipeline and attention data parallelism."""
    gpus, tensor, pipeline, data = (float(row[name] or least) for name, least in LAYOUT)
    named = re.search(r"_tp(\d+)_ep(\d+)_", row["source_ref"])
    if row["source_id"] == "aic_silicon_inferencex" and named:
        # tpN_epM are the same N GPUs; the columns multiply them.
        gpus = float(named[1])
        if data > 1 and tensor == 1:
            data = gpus
        else:
            tensor, data = gpus, 1.0
    return gpus, tensor, pipeline, data


LAYOUT = (("gpu_count", 1), ("tp", 0), ("pp", 1), ("dp", 1))
MODEL_COLUMNS = ("model", "params_b", "active_params_b", "n_layers", "n_kv_heads", "head_dim")
GUESSED = "guessed"


@cache
def _table(name: str, key: str) -> dict[str, Row]:
    return {row[key]: row for row in rows_of(DATA / name)}


@cache
def _model(name: str, params_b: str, active_b: str, layers: str, kv_heads: str, head_dim: str) -> ModelSpec:
    known = _table("models.csv", "model").get(name)
    total, active, layers_count, width = (float(text) for text in (params_b, active_b or params_b, layers, head_dim))
    experts, chosen, hidden, heads = (
        (int(known[column] or 0) for column in ("n_experts", "experts_per_token", "hidden_size", "n_heads"))
        if known
        else _guessed_shape(total * GIGA, active * GIGA, layers_count, width)
    )
    return ModelSpec(
        key=name,
        name=name if known else GUESSED,
        total_params_count=total * GIGA,
        active_params_count=active * GIGA,
        hidden_size_count=hidden,
        heads_count=heads,
        attention=tuple(_attention(name, int(layers_count), float(kv_heads), int(width))),
        max_context_tokens=1 << 20,
        native_precision=Precision.BF16,
        experts_count=experts,
        active_experts_count=chosen,
    )


def _guessed_shape(total: float, active: float, layers: float, head_dim: float) -> tuple[int, int, int, int]:
    """A dense layer has about 12 h^2 parameters; 8 experts a token are taken to be three quarters of what is active."""
    experts, chosen = (round(8 * total / (0.75 * active)), 8) if active < 0.95 * total else (0, 0)
    width = 128 if head_dim == MLA_HEAD_DIM else int(head_dim)
    heads = 8 * max(round(math.sqrt(active / (12 * layers)) / (8 * width)), 1)
    return experts, chosen, heads * width, heads


def _attention(name: str, layers: int, kv_heads: float, head_dim: int) -> Iterable[AttentionLayers]:
    if head_dim == MLA_HEAD_DIM:
        yield AttentionLayers(
            kind=AttentionKind.MLA, layers_count=layers, head_dim_count=128, latent_rank_count=512, rope_dim_count=64
        )
        return

    def group(kind: AttentionKind, count: int, heads: int, window: int = 0) -> AttentionLayers:
        return AttentionLayers(
            kind=kind, layers_count=count, kv_heads_count=heads, head_dim_count=head_dim, window_tokens=window
        )

    share, window = _quirk(WINDOWED, name, (0.0, 0))
    windowed = round(share * layers)
    if windowed:
        yield group(AttentionKind.SLIDING, windowed, round(kv_heads), window)
    fewer, more = math.floor(kv_heads), math.ceil(kv_heads)  # 2.09: most layers have 2, some 3
    with_more = round((kv_heads - fewer) * (layers - windowed))
    if with_more:
        yield group(AttentionKind.FULL, with_more, more)
    yield group(AttentionKind.FULL, layers - windowed - with_more, fewer)
    stateful = _quirk(LAYERS_WITH_STATE_ONLY, name, 0)
    if stateful:
        yield AttentionLayers(kind=AttentionKind.LINEAR, layers_count=stateful)


def _quirk(table: Mapping[str, T], name: str, otherwise: T) -> T:
    return next((value for start, value in table.items() if name.startswith(start)), otherwise)


@cache
def _gpu(name: str) -> GpuSpec:
    table = _table("gpu_specs.csv", "gpu")
    key = name if name in table else _nearest(name, table)
    sheet, dies = table[key], DIES.get(key, 1)
    peaks: dict[Precision, float] = {
        precision: float(sheet[column]) * TERA / dies
        for precision, column in (
            (Precision.BF16, "bf16_fp16_dense_tflops"),
            (Precision.FP8, "fp8_dense_tflops"),
            (Precision.FP4, "fp4_dense_tflops"),
        )
        if sheet[column]
    }
    return GpuSpec(
        key=key,
        name=name,
        vendor="AMD" if sheet["architecture"].startswith("CDNA") else "NVIDIA",
        architecture=ARCHITECTURE.get(sheet["architecture"], re.sub(r"CDNA(\d)", r"CDNA \1", sheet["architecture"])),
        hbm_bytes=MEMORY_GIB.get(key, float(sheet["memory_gb"])) * GIBI / dies,  # sheets say GB and mean GiB
        hbm_bytes_per_s=float(sheet["memory_tb_s"]) * TERA / dies,
        dense_flop_per_s=tuple(peaks.items()),
        link_bytes_per_s=float(sheet["link_gb_s_bidirectional_total"]) * GIGA,
        host_link_bytes_per_s=PCIE_4_BYTES_PER_S,
        board_w=float(sheet["tdp_w"]),
        trap=sheet["trap"],
    )


def _nearest(name: str, table: Iterable[str]) -> str:
    """The GPU whose name starts most alike; one that starts like none is taken for an H100."""

    def alike(known: str) -> int:
        letters = zip(*(re.sub(r"[^A-Z0-9]", "", text.upper()) for text in (known, name)), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))

    best = max(table, key=alike)
    return best if alike(best) >= 3 else "H100-SXM"


def model_named(name: str) -> ModelSpec:
    """A model of models.csv."""
    known = _table("models.csv", "model")[name]
    columns = ("params_b", "active_params_b", "layers_with_kv", "n_kv_heads", "head_dim")
    return _model(name, *(known[column] for column in columns))
