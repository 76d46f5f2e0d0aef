"""The accuracy harness: every row is predicted or named, and what it calls a score is one."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks._accuracy_model import measured, places, predicted_logs, roofline
from benchmarks._accuracy_rows import POINTS, Row, points_of, rows_of
from benchmarks._accuracy_score import (
    Residuals,
    Scored,
    anchored_logs,
    changes_of,
    directions,
    pairs_within,
    quantile,
    rank_correlation,
    rule_of_thumb,
    what_if,
)
from benchmarks.fit_constants import fit, rewritten
from store.catalog_files import ENGINE, load_catalog

ROOT = Path(__file__).resolve().parents[1]
TABLE = load_catalog().engine
ROWS = rows_of(POINTS)
READABLE = [row for row in ROWS if row["quality_flag"] != "doubtful_layout"]
EXCERPT = sorted(READABLE, key=lambda row: row["load_kind"])[::21][:200]
PLAIN = next(row for row in ROWS if row["metric"] == "tpot_ms" and row["model"] == "Llama-3.1-70B")


def scored_from(rows: list[Row]) -> Scored:
    found, _ = measured(points_of(rows)[0], TABLE)
    logs = predicted_logs(found, TABLE)
    return Scored(
        points=found.points,
        measured=found.logs,
        logs={"all seen": logs},
        baseline=predicted_logs(found, roofline(TABLE)),
        places=places(found, TABLE),
    )


def notes_of(*rows: Row) -> str:
    points, notes = points_of(rows)
    found, unmodelled = measured(points, TABLE)
    assert np.isfinite(predicted_logs(found, TABLE)).all()
    return " | ".join(notes + unmodelled)


def test_every_row_of_an_excerpt_is_predicted() -> None:
    """Every way of measuring is among them; roofline and slopes are finite too."""
    scored = scored_from(EXCERPT)
    assert len(scored.points) == len(EXCERPT) == 200
    assert {point.load for point in scored.points} == {"closed", "static", "open", "offline", "mlperf"}
    assert np.isfinite(scored.logs["all seen"]).all() and np.isfinite(scored.baseline).all()
    assert all(np.isfinite(slope).all() for slope in scored.places.slopes_ratio.values())


def test_predictions_are_of_the_right_size() -> None:
    """Fitted to these rows: half of them within 15 %, and none of the units mixed up."""
    scored = scored_from(EXCERPT)
    ratio = np.exp(np.abs(scored.logs["all seen"] - scored.measured))
    assert np.median(ratio) < 1.15
    assert np.quantile(ratio, 0.99) < 10


def test_a_doubtful_layout_is_left_out_and_counted() -> None:
    points, notes = points_of([PLAIN | {"quality_flag": "doubtful_layout"}, PLAIN])
    assert len(points) == 1
    assert sum(notes.values()) >= 1
    assert any("doubtful" in note for note in notes)


def test_an_unknown_model_is_guessed_from_its_row_and_counted() -> None:
    assert "guessed: width, heads and experts of Nova-70B" in notes_of(PLAIN | {"model": "Nova-70B"})
    sparse = {"model": "Nova-MoE", "params_b": "400", "active_params_b": "12"}
    assert "Nova-MoE" in notes_of(PLAIN | sparse)


def test_a_guess_of_a_known_shape_is_near_it() -> None:
    known, guessed = (scored_from([PLAIN | {"model": name}]).logs["all seen"][0] for name in ("Llama-3.1-70B", "Nova"))
    assert guessed == pytest.approx(known, abs=0.05)


@pytest.mark.parametrize(("name", "taken_for"), [("H200", "H200-SXM"), ("B200-SXM", "B200"), ("TPU-v5e", "H100-SXM")])
def test_an_unknown_gpu_is_taken_for_its_nearest_name_and_counted(name: str, taken_for: str) -> None:
    assert f"GPU {name} is in no table, taken for {taken_for}" in notes_of(PLAIN | {"gpu": name})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"value": ""}, "not readable"),
        ({"output_len": "0"}, "not above 0"),
        ({"concurrency_or_batch": "some"}, "no number of sequences"),
        ({"metric": "watts"}, "no way to model watts"),
        ({"kv_bits": "8", "tp": "-1", "source_id": "other"}, "not readable"),
        ({"tp": "3", "gpu_count": "3", "source_id": "other"}, "heads of Llama-3.1-70B filled up"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_cannot_be_used_as_they_are_are_named(changed: Row, why: str) -> None:
    assert why in notes_of(PLAIN | changed)


def test_a_held_out_kind_of_row_needs_no_change() -> None:
    """Engines, versions, GPUs and columns that our own rows do not have."""
    unseen = {"gpu": "B300", "engine": "SGLang", "engine_version": "0.5.9", "model": "GLM-5", "heldout_reason": "gpu"}
    sizes = {"params_b": "744", "active_params_b": "40", "n_layers": "78", "n_kv_heads": "1.0", "head_dim": "288"}
    assert "not readable" not in notes_of(PLAIN | unseen | sizes)


def test_the_same_row_twice_is_no_change() -> None:
    scored = scored_from(EXCERPT)
    same = [{"base_row": row["row_id"], "changed_row": row["row_id"], "knob": "gpu_type"} for row in EXCERPT]
    changes, missing = changes_of(same, scored)
    assert missing == 0
    assert what_if(scored, scored.logs["all seen"], changes) == pytest.approx(0.0)
    assert rule_of_thumb(changes, scored) == pytest.approx(0.0)


def test_a_pair_with_an_unknown_side_is_counted() -> None:
    pairs = [{"base_row": EXCERPT[0]["row_id"], "changed_row": "nowhere", "knob": "gpu_type"}]
    changes, missing = changes_of(pairs, scored_from(EXCERPT))
    assert (len(changes.rows), missing) == (0, 1)


def test_a_live_point_takes_away_an_error_all_points_share() -> None:
    """Every measurement of a deployment 15 % slower than it was: half of that is learnt from any one of them."""
    mine = [row for row in ROWS if all(row[k] == PLAIN[k] for k in ("model", "gpu", "tp", "weight_bits", "engine"))]
    scored = scored_from([row for row in mine if row["metric"] == "tpot_ms"])
    logs = scored.measured - np.log(1.15)
    wanted, known = pairs_within(scored)
    assert len(wanted) > 10
    predicted, log_sd = anchored_logs(scored, logs, wanted, known)
    left = np.abs(predicted - scored.measured[wanted])
    assert np.median(left) == pytest.approx(0.5 * np.log(1.15), rel=0.3)
    assert (left < np.log(1.15)).all()
    assert (log_sd > 0).all()


def test_scores_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0])
    assert quantile(values, 0.5) == 2.5
    assert quantile(values, 0.5, np.array([1.0, 1.0, 1.0, 9.0])) > 5
    assert rank_correlation(values, values**3) == pytest.approx(1.0)
    up, down, small = np.log(1.2), np.log(0.8), np.log(1.01)
    assert directions(np.array([0.1, 0.1, -1.0]), np.array([up, down, small])) == 0.5


def test_a_band_holds_four_fifths_and_never_judges_itself() -> None:
    values = np.concatenate([np.random.default_rng(7).normal(size=1000), np.full(500, 50.0)])
    residuals = Residuals(
        metrics=np.full(1500, "tpot_ms"),
        strata=np.full(1500, "tpot_ms|closed|now"),
        groups={"gpu": np.array(["A"] * 1000 + ["B"] * 500)},
        values=values,
        weights=np.ones(1500),
    )
    low, high = residuals.edges("tpot_ms", "tpot_ms|closed|now", without=("gpu", "B"))
    assert np.mean((values[:1000] >= low) & (values[:1000] <= high)) == pytest.approx(0.8, abs=0.01)
    assert residuals.edges("tpot_ms", "never seen", without=("gpu", "B")) == (low, high)  # borrows its metric's


def test_a_fit_finds_planted_constants() -> None:
    """Measurements made with a third less bandwidth: the fit, from its priors, puts most of it there."""
    slower = TABLE.with_values({("bandwidth_fraction", "all"): TABLE.fitted("bandwidth_fraction").value * 0.67})
    dense = [row for row in ROWS if row["metric"] == "tpot_ms" and float(row["params_b"]) < 100][::3]
    found, _ = measured(points_of(dense)[0], TABLE)
    planted = np.exp(predicted_logs(found, slower))
    made = [row | {"value": str(value)} for row, value in zip(dense, planted, strict=True)]
    remade, _ = measured(points_of(made)[0], TABLE)
    before = predicted_logs(remade, TABLE) - remade.logs
    fitted = fit(remade, TABLE, rounds=5, least_gain=1e-3)
    after = predicted_logs(remade, fitted) - remade.logs
    assert np.median(np.abs(after)) < 0.1 * np.median(np.abs(before))
    assert fitted.fitted("bandwidth_fraction").value < TABLE.fitted("bandwidth_fraction").value


def test_writing_the_constants_changes_their_numbers_only() -> None:
    text = ENGINE.read_text(encoding="utf-8")
    assert rewritten(text, TABLE) == text
    name = ("knee_ratio", "all")
    changed = rewritten(text, TABLE.with_values({name: 0.5}))
    differing = [new for old, new in zip(text.splitlines(), changed.splitlines(), strict=True) if old != new]
    assert len(differing) == 1
    assert differing[0].startswith("all = { value = 0.5,")


def test_other_files_are_scored_without_a_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of their own ids, one with a side of its pair among ours, and no record of fits that had not seen them."""
    held = [row | {"row_id": "h" + row["row_id"], "heldout_reason": "gpu"} for row in EXCERPT]
    pair = {
        "pair_id": "w1", "knob": "concurrency", "metric": held[0]["metric"], "roofline_ratio": "1.0",
        "base_row": EXCERPT[0]["row_id"], "changed_row": held[0]["row_id"],
    }  # fmt: skip
    for name, rows in (("points", held), ("pairs", [pair])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    accuracy.main(["--points", str(tmp_path / "points.csv"), "--pairs", str(tmp_path / "pairs.csv")])
    text = capsys.readouterr().out
    assert "time per output token, nothing known" in text
    assert "unseen" not in text
    assert Counter(text.split())["nan"] == 0


def test_the_published_page_cannot_be_written_from_other_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        accuracy.main(["--write", "--points", "elsewhere.csv"])
    assert "--write is for the published table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--write"], "options need one benchmark named before them"),
        (["accuracy", "fit", "--write"], "options need one benchmark named before them"),
        (["acuracy"], "no benchmark acuracy; there are: accuracy,"),
    ],
)
def test_a_wrong_command_says_what_to_write(words: list[str], why: str) -> None:
    ran = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert why in ran.stderr
