"""Where a calibration holds, and what an answer from elsewhere is called."""

from dataclasses import replace

import pytest

from costlib.estimate import Basis
from costlib.validity import Validity

SEEN = Validity(
    least_batch_count=8.0,
    most_batch_count=40.0,
    least_context_tokens=900.0,
    most_context_tokens=1500.0,
    least_input_per_output_ratio=4.0,
    most_input_per_output_ratio=5.0,
    observed_hours=48.0,
    requests_count=90_000.0,
)


@pytest.mark.parametrize(
    ("point", "basis"),
    [
        ({"batch_count": 8.0}, Basis.CALIBRATED),
        ({"batch_count": 60.0}, Basis.CALIBRATED),
        ({"batch_count": 60.1}, Basis.EXTRAPOLATED),
        ({"batch_count": 7.9}, Basis.EXTRAPOLATED),
        ({"context_tokens": 600.0}, Basis.CALIBRATED),
        ({"context_tokens": 599.0}, Basis.EXTRAPOLATED),
        ({"context_tokens": 2251.0}, Basis.EXTRAPOLATED),
        ({"input_per_output_ratio": 6.5}, Basis.CALIBRATED),
        ({"input_per_output_ratio": 6.6}, Basis.EXTRAPOLATED),
        ({"batch_count": 20.0, "context_tokens": float("nan")}, Basis.EXTRAPOLATED),
        ({}, Basis.CALIBRATED),
    ],
)
def test_beyond_what_was_observed_is_extrapolated(point: dict[str, float], basis: Basis) -> None:
    label = SEEN.label(**point)
    assert label.basis is basis
    assert bool(label.reason) == (basis is Basis.EXTRAPOLATED)


def test_every_range_that_is_left_is_named() -> None:
    reason = SEEN.label(batch_count=100.0, context_tokens=9000.0, input_per_output_ratio=0.1).reason
    assert "batch 100 is outside 8 to 40" in reason
    assert "context of 9,000 is outside 900 to 1,500" in reason
    assert "input per output of 0.1 is outside 4 to 5" in reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"observed_hours": 23.9}, "23.9 h were observed; 24 h show a whole day"),
        ({"requests_count": 1999.0}, "1,999 requests were seen, of the 2,000 needed"),
        ({"requests_count": None}, ""),
    ],
)
def test_little_data_are_a_hint_only(changed: dict[str, float | None], said: str) -> None:
    seen = replace(SEEN, **changed)
    assert seen.indicative == said
    label = seen.label(batch_count=20.0)
    assert label.basis is Basis.CALIBRATED
    assert label.reason == (f"indicative: {said}" if said else "")
