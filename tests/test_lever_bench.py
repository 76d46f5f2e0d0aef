"""The published tables of levers: each row is predicted or named, and the page says what the command prints."""

from functools import cache

import pytest

from benchmarks import levers
from benchmarks._accuracy_rows import rows_of
from benchmarks._lever_prefix import HITS
from benchmarks._lever_quantization import TABLES
from benchmarks._lever_rows import LeverRow, LeverTable, predicted, setting, yardstick
from benchmarks._lever_speculation import SPEED_UPS, bandwidth_only, losing_from
from benchmarks.accuracy import PAGE
from costlib.speculation import accepted_length_tokens


@cache
def tables() -> list[LeverTable]:
    return levers.lever_tables()


def row(measured: float, said: float, **rest: bool) -> LeverRow:
    return LeverRow(what="by hand", measured_ratio=measured, predicted_ratio=said, yardstick_ratio=2.0, **rest)


def test_the_page_says_what_the_command_prints() -> None:
    """After a change of the engine's model: ./dev bench levers --write"""
    assert PAGE.read_text(encoding="utf-8").endswith(levers.section(tables()))


def test_every_published_row_is_predicted_or_named() -> None:
    drafts, lengths, bits, hits = tables()
    known = {len(drafts.rows) + 2 * len(lengths.rows) + drafts.left_out.total(): SPEED_UPS}
    bases = sum(one["setting"] in ("FP16", "KV BF16") and not one["changed_setting"] for one in rows_of(TABLES))
    known |= {len(bits.rows) + bases + bits.left_out.total(): TABLES, len(hits.rows): HITS}
    assert {count: len(rows_of(path)) for count, path in known.items()} == {63: 63, 52: 52, 7: 7}


def test_each_row_is_printed_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    levers.main()
    lines = capsys.readouterr().out.splitlines()
    for table in tables():
        for one in table.rows:
            (line,) = [line for line in lines if line.startswith(f"{one.what}  ")]
            assert "known" in line or f"{one.predicted_ratio / one.measured_ratio - 1:+.0%}" in line


def test_the_model_is_nearer_than_its_yardstick_in_every_table() -> None:
    for table in tables():
        assert table.median_error(predicted) < table.median_error(yardstick), table.title


def test_what_set_a_prediction_is_met_and_not_scored() -> None:
    drafts = tables()[0]
    known = [one for one in drafts.rows if one.is_known]
    assert [one.predicted_ratio for one in known] == pytest.approx([one.measured_ratio for one in known])
    assert len(known) == 4
    assert not set(known) & set(drafts.scored)


def test_scores_by_hand() -> None:
    """A loss of a tenth called a gain, a gain called one, a change of 2 % either way, and a row that set the others."""
    table = LeverTable(
        title="", yardstick="", rows=[row(0.9, 1.08), row(1.5, 1.2), row(0.98, 0.99), row(1.0, 5.0, is_known=True)]
    )
    assert table.median_error(predicted) == pytest.approx(0.2)
    assert table.directions(predicted) == (1, 2)
    assert table.losses(predicted) == (1, 2)
    assert table.losses(yardstick) == (0, 2)


def test_an_acceptance_is_found_from_what_it_yields() -> None:
    assert setting(2.94117, lambda a: accepted_length_tokens(a, 5)) == pytest.approx(0.7, abs=1e-4)


def test_the_yardstick_of_drafts_is_vector_10_of_domain_math() -> None:
    assert bandwidth_only(2.94117, 5, 0.05) == pytest.approx(2.353, rel=1e-3)


def test_where_drafts_begin_to_lose_is_read_from_the_rows() -> None:
    measured, _ = losing_from(tables()[0], "EAGLE")
    assert measured == 24
