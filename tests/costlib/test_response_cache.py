"""When a cache of answers pays, by itself."""

import pytest

from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.response_cache import break_even_hit_fraction


def test_the_break_even_hit_rate():
    """Domain_math §14, vector 25: 5e-5 / (0.004 - 0.02 x 0.05)."""
    assert break_even_hit_fraction(0.004, 5e-5, 0.02, 0.05) == pytest.approx(1 / 60)


def test_without_wrong_hits_it_is_the_lookup_over_the_request():
    assert break_even_hit_fraction(0.004, 0.001) == 0.25


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        pytest.param((0.004, 0.0, 0.08, 0.05), "its wrong answers lose", id="f L = c_m"),
        pytest.param((0.004, 0.0, 0.5, 0.05), "its wrong answers lose", id="f L above c_m"),
        pytest.param((0.004, 0.005), "a lookup costs more than a hit saves", id="dear lookups"),
    ],
)
def test_where_no_hit_rate_pays(prices, reason):
    found = break_even_hit_fraction(*prices)
    assert isinstance(found, Undefined)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ((-1.0, 0.0), "model_usd_per_request must be 0 or more, not -1"),
        ((1.0, float("nan")), "lookup_usd_per_request must be 0 or more, not nan"),
        ((1.0, 0.0, 1.2), "wrong_fraction is a share from 0 to 1, not 1.2"),
    ],
)
def test_impossible_prices_are_refused(prices, message):
    with pytest.raises(DomainError, match=message):
        break_even_hit_fraction(*prices)
