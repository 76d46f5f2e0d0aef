"""Modelled against published measurements: with nothing known, from one live point, what-ifs and bands.

`--points FILE` and `--pairs FILE` score other files of the same columns; `--write` writes docs/accuracy.md.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._accuracy_rows import DATA, PAIRS, POINTS
from benchmarks._accuracy_study import study_of
from benchmarks._accuracy_tables import markdown, tables
from benchmarks.levers import lever_tables, section

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
PEER = DATA / "aiconfigurator.csv.gz"

INTRO = """# How accurate the model is

What `costlib`'s engine model says, against {points} published measurements of other people's deployments: vLLM,
TensorRT-LLM and SGLang on A100, H100, B200, GB200 and MI300X, 2023 to 2026. Where they come from, and under which
licences, is in [benchmarks/data/README.md](../benchmarks/data/README.md). Written on {today} by `./dev bench accuracy
--write`; everything below comes out of that run. `--points FILE --pairs FILE` scores other files of the same columns.

How to read it:

- Errors are |predicted / measured - 1|. "By deployment" counts each deployment once, not each of its rows.
- **all seen**: the constants were fitted to these very rows, so this column flatters. **model unseen**, **gpu
  unseen**, **version unseen**: predicted by a fit that had not seen the row's model (nor others of its size), GPU, or
  engine version. *model unseen* is the column to judge by. It flatters a little too: the structure of the model was
  chosen with these measurements in sight, and the spreads of `costlib/anchor.py` were tuned on this column.
- **one live point**: one measurement of the same deployment is known, at another batch or length; every ordered pair
  of points is tried. This is what `permillion calibrate` does with a live deployment, which has far more than one
  point.
- **what-if**: the ratio after changing one knob, its base measured. An engine's version is not modelled: calibrate
  again.
- **80 % band**: quantiles of the errors of unseen groups; a group never judges itself.
- **roofline**: three constants (share of peak, share of bandwidth, cost of a layer), everything else free; for
  what-ifs the ratio recorded in the dataset. **rule of thumb**: half the bits, twice the GPUs or twice the bandwidth
  are twice the speed, twice the requests twice the throughput. **AIConfigurator**: its recorded answers; its kernel
  data are newer than most of these measurements.

Where not to trust it: mixture-of-experts models it was not fitted to, which err either way (By model); ROCm of 2024
when no such row was seen; and time to first token without a live point, whose band (last tables) is too wide to be of
use. MLPerf rows are closed division v4.1; figures derived from them here are not official MLPerf results.

"""


def main(options: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="./dev bench accuracy", description=__doc__)
    parser.add_argument("--points", type=Path, help="measurements instead of those the constants were fitted to")
    parser.add_argument("--pairs", type=Path, help="pairs of them, or of them and ours, that differ in one knob")
    parser.add_argument("--peer", type=Path, help="recorded answers of AIConfigurator to them")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}; not with other files")
    asked = parser.parse_args(options)
    others = asked.points or asked.pairs or asked.peer
    if asked.write and others:
        parser.error("--write is for the published table; leave out --points, --pairs and --peer.")
    study = study_of(asked.points or POINTS, asked.pairs if others else PAIRS)
    report = "\n\n".join(markdown(table) for table in tables(study, asked.peer if others else PEER))
    print(report)
    if asked.write:
        today = datetime.now(UTC).date().isoformat()
        intro = INTRO.format(today=today, points=f"{len(study.scored.points):,}")
        PAGE.write_text(f"{intro}{report}\n\n{section(lever_tables())}", encoding="utf-8")
