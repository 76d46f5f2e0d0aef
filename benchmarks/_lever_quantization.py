"""Published speed-ups of fewer bits, in weights and in the KV cache, and what `costlib` makes of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks._accuracy_rows import DATA, Row, model_named, rows_of
from benchmarks._lever_rows import LeverRow, LeverTable
from costlib.catalog import Catalog
from costlib.engine import EngineConstants, EngineInputs, engine_inputs, prefill_s, steady_tpot_s, step_s
from costlib.hardware import GpuSpec, Precision
from costlib.levers.weight_precision import FORMATS
from costlib.models import ModelSpec
from costlib.serving import KV_BYTES_PER_ELEMENT, WEIGHT_BYTES_PER_PARAM, ServingConfig

TABLES = DATA / "quantization_small_tables.csv"
TENSORRT, KV_CACHE, PREM = "TensorRT-LLM blog", "vLLM blog 2026-04-22 FP8 KV cache", "premAI benchmarks"
BLOG_TOKENS = (1024.0, 128.0)  # prompt and output of TensorRT-LLM's table, from the page it stands on
PREM_CONTEXT_TOKENS = 256.0  # a short prompt and half of the 512 tokens written
# What each table calls a format, as our lever calls it.
LEVER_FORMAT = {"FP8 W8A8": "fp8", "INT8 SmoothQuant W8A8": "int8", "INT8": "int8", "INT4": "awq_int4"}
UNPACKED = {"INT8": "bnb_int8", "INT4": "bnb_nf4"}  # Transformers quantises with bitsandbytes
STRATUM = {"TensorRT-LLM": "tensorrt_llm_2024", "vLLM": "vllm_2024", "transformers": "vllm_2024"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A model in one format, ready to be timed."""

    inputs: EngineInputs
    constants: EngineConstants

    def step_s(self, sequences: float, context_tokens: float) -> float:
        return float(step_s(self.inputs, self.constants, sequences, context_tokens))

    def prompts_s(self, tokens: float) -> float:
        return float(prefill_s(self.inputs, self.constants, tokens))


def stored(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, engine: str, catalog: Catalog) -> Stored:
    return Stored(
        inputs=engine_inputs(model, gpu, serving), constants=catalog.engine.resolve(model, gpu, serving, engine)
    )


def fewer_bits(catalog: Catalog) -> LeverTable:
    rows = rows_of(TABLES)
    found = [_small_batch(row, catalog) for row in rows if row["source"].startswith(TENSORRT)]
    found += _one_sequence([row for row in rows if row["source"].startswith(PREM)], catalog)
    found += _kv_cache([row for row in rows if row["source"] == KV_CACHE], catalog)
    left_out = Counter(
        {
            "ExLlamaV2 and AutoAWQ: nothing in 16 bit to compare with": sum(
                row["engine"] in ("exllamav2", "AutoAWQ") for row in rows
            ),
            "Marlin: one layer at its ideal, and a best of several GPUs": sum(
                "Marlin" in row["source"] for row in rows
            ),
        }
    )
    return LeverTable(title="Fewer bits", yardstick="bytes before / bytes after", rows=found, left_out=left_out)


def _small_batch(row: Row, catalog: Catalog) -> LeverRow:
    """TensorRT-LLM 0.5: a batch whose prompts are computed together, then its tokens."""
    wanted, batch = FORMATS[LEVER_FORMAT[row["changed_setting"]]], float(row["batch_or_concurrency"])
    prompt, output = BLOG_TOKENS

    def batch_s(serving: ServingConfig) -> float:
        one = stored(model_named(row["model"]), catalog.gpu("h100-sxm"), serving, "tensorrt_llm_2024", catalog)
        return one.prompts_s(batch * prompt) + output * one.step_s(batch, prompt + output / 2)

    plain = ServingConfig()
    fewer = replace(plain, weight_precision=wanted.precision, quantization=wanted.quantization)
    return LeverRow(
        what=f"{row['model']}, TensorRT-LLM 0.5, {wanted.label}, batch {batch:g}",
        measured_ratio=float(row["value"]),
        predicted_ratio=batch_s(plain) / batch_s(fewer),
        yardstick_ratio=_bytes_ratio(wanted.precision),
    )


def _bytes_ratio(precision: Precision) -> float:
    return WEIGHT_BYTES_PER_PARAM[Precision.BF16] / WEIGHT_BYTES_PER_PARAM[precision]


def _one_sequence(rows: list[Row], catalog: Catalog) -> list[LeverRow]:
    """premAI: one sequence on an A100; each engine against itself in 16 bit."""
    plain = {(row["model"], row["engine"]): float(row["value"]) for row in rows if row["setting"] == "FP16"}
    found = []
    for row in rows:
        key = (row["model"], row["engine"])
        if row["setting"] == "FP16" or key not in plain:
            continue
        is_unpacked = row["engine"] == "transformers"
        wanted = FORMATS[(UNPACKED if is_unpacked else LEVER_FORMAT)[row["setting"]]]
        today = ServingConfig()
        fewer = replace(today, weight_precision=wanted.precision, quantization=wanted.quantization)
        before, after = (
            stored(model_named(row["model"]), catalog.gpu("a100-sxm-80gb"), one, STRATUM[row["engine"]], catalog)
            for one in (today, fewer)
        )
        found.append(
            LeverRow(
                what=f"{row['model']}, {row['engine']}, {wanted.label}, one sequence",
                measured_ratio=float(row["value"]) / plain[key],
                predicted_ratio=before.step_s(1, PREM_CONTEXT_TOKENS) / after.step_s(1, PREM_CONTEXT_TOKENS),
                yardstick_ratio=_bytes_ratio(wanted.precision),
                is_known=is_unpacked,  # `serving.WEIGHT_TRAFFIC_RATIO` is from these very rows
            )
        )
    return found


def _kv_cache(rows: list[Row], catalog: Catalog) -> list[LeverRow]:
    """vLLM 0.19 on an H100: eight long requests at once, and one of growing context."""
    served = {
        "Llama-3.1-8B": (catalog.model("llama-3.1-8b"), ServingConfig()),
        # Four-bit weights that an H100 unpacks: stored as INT4, as in the accuracy tables.
        "gpt-oss-20b": (catalog.model("gpt-oss-20b"), ServingConfig(weight_precision=Precision.INT4)),
    }
    wide = {(row["model"], row["metric"]): float(row["value"]) for row in rows if row["setting"] == "KV BF16"}
    found = []
    for row in rows:
        if row["setting"] == "KV BF16":
            continue
        model, today = served[row["model"]]
        narrow = replace(today, kv_precision=Precision.FP8)
        before, after = (
            _kv_metrics(stored(model, catalog.gpu("h100-sxm"), one, "vllm", catalog), row) for one in (today, narrow)
        )
        metric, reads = row["metric"], KV_BYTES_PER_ELEMENT
        ratio = float(row["value"]) / wide[row["model"], metric]
        is_cached = "ttft" not in metric and "intercept" not in metric  # neither reads the cache
        found.append(
            LeverRow(
                what=f"{row['model']}, {row['setting']}, {metric}",
                measured_ratio=ratio if metric == "output_tok_s" else 1 / ratio,
                predicted_ratio=before[metric] / after[metric],
                yardstick_ratio=reads[Precision.BF16] / reads[Precision.FP8] if is_cached else 1.0,
            )
        )
    return found


def _kv_metrics(one: Stored, row: Row) -> Mapping[str, float]:
    """Times behind what the page states; of tokens per second, what one takes."""
    if row["batch_or_concurrency"] == "1":
        shortest, longest = (float(text) for text in row["input_len"].split("-"))
        slope_s = (one.step_s(1, longest) - one.step_s(1, shortest)) / (longest - shortest)
        return {"itl_slope_ms_per_context_token": slope_s, "itl_intercept_ms": one.step_s(1, 0)}
    clients, prompt, output = (float(row[name]) for name in ("batch_or_concurrency", "input_len", "output_len"))
    context = prompt + output / 2
    shared_s = steady_tpot_s(one.inputs, one.constants, clients, context, prompt, output, own_prompts=0.0)
    return {
        "median_ttft_ms": one.prompts_s(prompt),
        "median_itl_ms": one.step_s(clients, context),
        "output_tok_s": float(shared_s),
    }
