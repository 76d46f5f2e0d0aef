"""Published speed-ups of speculative decoding, and what `costlib` makes of them.

No source states the chance that a drafted token is accepted. It is set by one row of each method (the smallest batch,
or one request per second); every other batch and load is then predicted. P-EAGLE's rows state the tokens of a step, so
nothing is set there. Each engine has its own constants, as in the accuracy tables.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks._accuracy_rows import DATA, Row, rows_of
from benchmarks._lever_rows import LeverRow, LeverTable, setting
from costlib.catalog import Catalog
from costlib.engine import EngineInputs, engine_inputs, steady_tpot_s
from costlib.hardware import GpuSpec, Precision
from costlib.levers.speculative_decoding import drafted_by
from costlib.models import ModelSpec
from costlib.roofline import Floats
from costlib.serving import WEIGHT_BYTES_PER_PARAM, ServingConfig
from costlib.speculation import DRAFT_BYTES_PER_PARAM, Speculation, acceptance_of, accepted_length_tokens

SPEED_UPS = DATA / "speculative_decoding.csv.gz"
PAPER, POST, PARALLEL = "EAGLE-3 paper table 3", "vLLM blog 2024-10-17 spec decode", "vLLM blog 2026-03-13 P-EAGLE"
PAPER_DRAFTS, POST_DRAFTS = 3, 5  # the paper's chain; the post's examples draft 5
MT_BENCH_TOKENS = 400.0  # context, assumed
BUSY_SEQUENCES = 256.0  # "high QPS", assumed: vLLM 0.6 ran no more than its max_num_seqs of 256
P_EAGLE_LAYERS, P_EAGLE_DRAFTS = 4, 7  # its post: four layers, and best at 7 drafts at every concurrency
EAGLE_DRAFTS = (3, 7)  # whichever is faster, as in that post; no length of 5 is published here
# Qwama-0.5B has the layers of Qwen2-0.5B: 24, with 2 KV heads of 64. Turns of ShareGPT are short; articles of
# CNN/DailyMail are ten times as long as their summaries.
POSTED = {
    "draft model": (
        Speculation(draft_params_count=0.5e9, draft_layers_count=24, draft_kv_bytes_per_token=12_288),
        220.0,
        190.0,
    ),
    "n-gram": (Speculation(), 1000.0, 100.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model without drafts: what a speed-up is of."""

    model: ModelSpec
    gpu: GpuSpec
    serving: ServingConfig
    engine: str
    context_tokens: float
    prompt_tokens: float = 0.0
    output_tokens: float = 1.0

    def inputs(self, speculation: Speculation) -> EngineInputs:
        return engine_inputs(self.model, self.gpu, replace(self.serving, speculation=speculation))

    def tpot_s(self, inputs: EngineInputs, sequences: float | Floats, catalog: Catalog) -> Floats:
        constants = catalog.engine.resolve(self.model, self.gpu, self.serving, self.engine)
        lengths = (self.context_tokens, self.prompt_tokens, self.output_tokens)
        return steady_tpot_s(inputs, constants, sequences, *lengths)

    def speed_up(self, speculation: Speculation, sequences: float, catalog: Catalog) -> float:
        plain, drafting = (self.tpot_s(self.inputs(s), sequences, catalog) for s in (Speculation(), speculation))
        return float(plain / drafting)

    def bytes_ratio(self, drafter: Speculation) -> float:
        """c: what one pass of the drafter reads over what one of the model does, one sequence."""
        read = self.model.active_params_count * WEIGHT_BYTES_PER_PARAM[self.serving.weight_precision]
        return drafter.draft_params_count * DRAFT_BYTES_PER_PARAM / read


def bandwidth_only(step_tokens: float, passes: float, bytes_ratio: float) -> float:
    """E / (1 + k c): drafts verified for nothing, and never too many of them."""
    return step_tokens / (1 + passes * bytes_ratio)


def speed_ups(catalog: Catalog) -> LeverTable:
    rows = [row for row in rows_of(SPEED_UPS) if row["metric"].startswith("speedup") and row["batch_or_concurrency"]]
    left_out = Counter(
        {
            "Kimi-K2.5 on MI355X: neither batch nor acceptance is stated": sum(
                "Kimi" in r["target_model"] for r in rows
            ),
            "SGLang's documentation: trees of drafts; a chain is modelled": sum(
                r["source"] == "SGLang documentation" for r in rows_of(SPEED_UPS)
            ),
            "tokens of a step on AMD: nothing to predict them from": sum(
                "on AMD" in r["source"] and r["metric"] == "acceptance_length" for r in rows_of(SPEED_UPS)
            ),
        }
    )
    found = [row for method in ("EAGLE", "EAGLE-3") for row in _by_batch(rows, method, catalog)]
    found += [row for method in POSTED for row in _at_load(rows, method, catalog)]
    found += [row for dataset in ("MT-Bench", "SPEED-Bench code") for row in _parallel(rows, dataset, catalog)]
    return LeverTable(title="Speculative decoding", yardstick="E / (1 + k c)", rows=found, left_out=left_out)


def _by_batch(rows: list[Row], method: str, catalog: Catalog) -> list[LeverRow]:
    """EAGLE-3's table 3: an 8B on an H100 under SGLang, at nine batches."""
    mine = [row for row in rows if row["source"] == PAPER and row["method"] == method]
    mine.sort(key=lambda row: float(row["batch_or_concurrency"]))
    served = Served(
        model=catalog.model("llama-3.1-8b"),
        gpu=catalog.gpu("h100-sxm"),
        serving=ServingConfig(),
        engine="sglang",
        context_tokens=MT_BENCH_TOKENS,
    )
    drafter = replace(drafted_by("eagle", served.model, 0.0, catalog), draft_tokens=PAPER_DRAFTS)
    return _predicted(
        served, drafter, f"{method}, batch", [(float(r["batch_or_concurrency"]), r) for r in mine], catalog
    )


def _at_load(rows: list[Row], method: str, catalog: Catalog) -> list[LeverRow]:
    """vLLM 0.6, a 70B on four H100: quiet and busy."""
    drafter, prompt, output = POSTED[method]
    mine = [row for row in rows if row["source"] == POST and row["method"].startswith(method)]
    served = Served(
        model=catalog.model("llama-3.3-70b"),
        gpu=catalog.gpu("h100-sxm"),
        serving=ServingConfig(tensor_parallel_count=4),
        engine="vllm_2024",
        context_tokens=prompt + output,
        prompt_tokens=prompt,
        output_tokens=output,
    )
    loads = [(1.0 if row["batch_or_concurrency"] == "qps=1" else BUSY_SEQUENCES, row) for row in mine]
    drafting = replace(drafter, draft_tokens=POST_DRAFTS)
    return _predicted(served, drafting, f"{method}, sequences", sorted(loads, key=lambda load: load[0]), catalog)


def _predicted(
    served: Served, drafter: Speculation, what: str, loads: list[tuple[float, Row]], catalog: Catalog
) -> list[LeverRow]:
    """The first load sets the acceptance, for the model and for its yardstick; the others are predicted."""
    bytes_ratio, first = served.bytes_ratio(drafter), float(loads[0][1]["value"])

    def modelled(sequences: float) -> Callable[[float], float]:
        return lambda a: served.speed_up(replace(drafter, acceptance_fraction=a), sequences, catalog)

    def simple(acceptance_fraction: float) -> float:
        step_tokens = accepted_length_tokens(acceptance_fraction, drafter.draft_tokens)
        return bandwidth_only(step_tokens, drafter.draft_tokens, bytes_ratio)

    acceptance, simply = setting(first, modelled(loads[0][0])), simple(setting(first, simple))
    return [
        LeverRow(
            what=f"{what} {sequences:g}",
            measured_ratio=float(row["value"]),
            predicted_ratio=modelled(sequences)(acceptance),
            yardstick_ratio=simply,
            is_known=index == 0,
        )
        for index, (sequences, row) in enumerate(loads)
    ]


def _parallel(rows: list[Row], dataset: str, catalog: Catalog) -> list[LeverRow]:
    """P-EAGLE, which drafts all its tokens in one pass, over EAGLE-3: tokens of a step are stated, nothing is set."""
    stated = {
        row["method"]: float(row["value"])
        for row in rows_of(SPEED_UPS)
        if row["metric"] == "acceptance_length" and row["dataset"] == dataset
    }
    served = Served(
        model=catalog.model("gpt-oss-20b"),
        gpu=catalog.gpu("b200"),
        serving=ServingConfig(weight_precision=Precision.FP4, kv_precision=Precision.FP8),
        engine="vllm",
        context_tokens=MT_BENCH_TOKENS,
    )
    one = drafted_by("eagle", served.model, 0.0, catalog)
    layer = served.model.active_params_count / served.model.layers_count
    four = replace(
        one,
        draft_params_count=one.draft_params_count + (P_EAGLE_LAYERS - 1) * layer,
        draft_layers_count=P_EAGLE_LAYERS,
        draft_kv_bytes_per_token=P_EAGLE_LAYERS * one.draft_kv_bytes_per_token,
    )

    def steps(drafter: Speculation, drafts: int, name: str) -> tuple[EngineInputs, float]:
        acceptance = acceptance_of(stated[f"{name} K={drafts}"], drafts)
        return served.inputs(replace(drafter, draft_tokens=drafts, acceptance_fraction=acceptance)), float(drafts)

    parallel, passes = steps(four, P_EAGLE_DRAFTS, "P-EAGLE")
    parallel = replace(  # in one pass: read once, not once a draft
        parallel,
        draft_bytes=parallel.draft_bytes / passes,
        draft_layers_count=parallel.draft_layers_count / passes,
        draft_kv_bytes_per_token=parallel.draft_kv_bytes_per_token / passes,
    )
    in_turn = [steps(one, drafts, "EAGLE-3") for drafts in EAGLE_DRAFTS]
    best = max(bandwidth_only(float(inputs.step_tokens), drafts, served.bytes_ratio(one)) for inputs, drafts in in_turn)
    simply = bandwidth_only(float(parallel.step_tokens), 1.0, served.bytes_ratio(four)) / best
    found = []
    for row in rows:
        if row["source"] != PARALLEL or row["dataset"] != dataset:
            continue
        sequences = float(row["batch_or_concurrency"])
        slower_s = min(float(served.tpot_s(inputs, sequences, catalog)) for inputs, _ in in_turn)
        found.append(
            LeverRow(
                what=f"P-EAGLE over EAGLE-3, {dataset}, {sequences:g} at once",
                measured_ratio=float(row["value"]),
                predicted_ratio=slower_s / float(served.tpot_s(parallel, sequences, catalog)),
                yardstick_ratio=simply,
            )
        )
    return found


def step_lengths() -> LeverTable:
    """Tokens that a step yields at 7 drafts, from those at 3. Not a speed-up, but what one rests on."""
    stated = {
        (row["method"], row["dataset"]): float(row["value"])
        for row in rows_of(SPEED_UPS)
        if row["metric"] == "acceptance_length"
    }
    found = []
    for method in ("EAGLE-3", "P-EAGLE"):
        for dataset in ("MT-Bench", "SPEED-Bench code"):
            three = stated[f"{method} K=3", dataset]
            found.append(
                LeverRow(
                    what=f"{method}, {dataset}, 7 drafts",
                    measured_ratio=stated[f"{method} K=7", dataset],
                    predicted_ratio=accepted_length_tokens(acceptance_of(three, 3), 7),
                    yardstick_ratio=1 + (three - 1) / 3 * 7,
                )
            )
    return LeverTable(title="Tokens of a step, 7 drafts from 3", yardstick="in proportion to drafts", rows=found)


def losing_from(table: LeverTable, method: str) -> tuple[float, float]:
    """The smallest batch at which drafts were measured to lose, and that at which they are predicted to; inf: none."""
    batches = [(float(row.what.split()[-1]), row) for row in table.rows if row.what.startswith(f"{method}, batch")]
    measured = [batch for batch, row in batches if row.measured_ratio < 1]
    modelled = [batch for batch, row in batches if row.predicted_ratio < 1]
    return min(measured, default=np.inf), min(modelled, default=np.inf)
