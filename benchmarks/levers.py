"""Levers against what was published of them: speculative decoding, fewer bits, prefix hits.

`--write` puts the summary into docs/accuracy.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks._lever_prefix import hit_rates
from benchmarks._lever_quantization import fewer_bits
from benchmarks._lever_rows import LeverTable, grouped, predicted, yardstick
from benchmarks._lever_speculation import losing_from, speed_ups, step_lengths
from store.catalog_files import load_catalog

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
HEADING = "## Levers"

INTRO = f"""{HEADING}

What levers were published to do, as speed-ups (above 1 a gain, below 1 a loss), beside what the model says. `./dev
bench levers` prints each row with its error, `--write` writes this section. No constant was fitted to the rows scored
here; each engine has its own constants, as above.

- **Speculative decoding**: no source states how likely a drafted token is accepted. The first row of each method sets
  it, for the model and for the yardstick, and is not scored. P-EAGLE's rows state the tokens of a step: nothing is set.
  "High QPS" is taken for 256 sequences, the most that vLLM 0.6 ran. The losses are of SGLang 0.4.4 and vLLM 0.6; the
  dashboard answers for today's vLLM, of which no row here compares drafting with plain decoding at a large batch.
  That each verified token costs t_s, as a sequence's own does, was chosen with these rows in sight. It has no constant
  of its own, and is checked against times of verification that vLLM published apart (pull request 5691).
- **Fewer bits**: weights (TensorRT-LLM 0.5, vLLM of 2024) and KV cache (vLLM 0.19). bitsandbytes is left out of the
  score: its constant is from those rows.
- **Prefix hit rates**: only seven figures, and no source states all lengths. PegaFlow's is a hit rate of requests, ours
  of tokens; the agents of Mooncake's post wait between turns, so that a faster server may not be asked for more. At
  hit rates near 1 take the gain for an upper bound.
- **Yardsticks**: E / (1 + k c), which reads the drafter k times and verifies for nothing; drafts in proportion; bytes
  before over bytes after; (1 - hits before) / (1 - hits after).
- **Direction**: gains called gains and losses losses, of changes above 5 %. **Losses**: foretold, of those measured.
"""


def lever_tables() -> list[LeverTable]:
    catalog = load_catalog()
    return [speed_ups(catalog), step_lengths(), fewer_bits(catalog), hit_rates(catalog)]


def section(tables: Sequence[LeverTable]) -> str:
    """What docs/accuracy.md says of them."""
    head = ["lever", "n", "median error", "yardstick", "error", "direction", "of yardstick", "losses", "of yardstick"]
    lines = [head, ["---"] * len(head)]
    for table in tables:
        counts = [_of(count(of)) for count in (table.directions, table.losses) for of in (predicted, yardstick)]
        errors = [f"{table.median_error(of) * 100:.1f} %" for of in (predicted, yardstick)]
        lines.append([table.title, f"{len(table.scored)}", errors[0], table.yardstick, errors[1], *counts])
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    turns = "\n".join(f"- {method}: {_turn(*losing_from(tables[0], method))}" for method in ("EAGLE", "EAGLE-3"))
    left = "\n".join(f"- {what}: {times} rows" for table in tables for what, times in table.left_out.items() if times)
    return f"{INTRO}\n{shown}\n\nAn 8B on an H100 loses by drafting:\n\n{turns}\n\nLeft out:\n\n{left}\n"


def _of(counts: tuple[int, int]) -> str:
    right, asked = counts
    return f"{right} of {asked}" if asked else ""


def _turn(measured: float, modelled: float) -> str:
    """The batches from which drafts lose."""
    shown = [f"from batch {batch:g}" if np.isfinite(batch) else "not up to batch 64" for batch in (measured, modelled)]
    return f"measured {shown[0]}, modelled {shown[1]}"


def main(options: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="./dev bench levers", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the section of docs/{PAGE.name}")
    asked = parser.parse_args(options)
    tables = lever_tables()
    for table in tables:
        width = max(len(row.what) for row in table.rows)
        print(f"\n{table.title}\n{'':{width}}  measured  modelled   error  {table.yardstick}")
        for row in table.rows:
            error = row.predicted_ratio / row.measured_ratio - 1
            said = " known" if row.is_known else f"{error:+6.0%}"
            print(
                f"{row.what:{width}}  {grouped(row.measured_ratio):>8}  {grouped(row.predicted_ratio):>8}  {said}  "
                f"{grouped(row.yardstick_ratio)} ({row.yardstick_ratio / row.measured_ratio - 1:+.0%})"
            )
    found = section(tables)
    print(f"\n{found}")
    if asked.write:
        page = PAGE.read_text(encoding="utf-8").split(HEADING)[0].rstrip()
        PAGE.write_text(f"{page}\n\n{found}", encoding="utf-8")
