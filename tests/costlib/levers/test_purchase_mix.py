"""Purchase mix: the lesson's prices, and what may not be mixed."""

import pytest

from costlib.compare import compare
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

FLEET = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40), usd_per_gpu_hour=3.50))


def pulled(today=FLEET, **values):
    return compare(today, {"purchase_mix": {"enabled": True, **values}}, CATALOG)


@pytest.mark.parametrize(
    ("values", "usd"),
    [
        pytest.param({"reserved_fraction": 0.7, "reserved_discount_fraction": 0.4}, 2.52, id="70/30"),
        pytest.param(
            {"reserved_fraction": 0.7, "reserved_discount_fraction": 0.4, "spot_fraction": 0.1,
             "spot_discount_fraction": 0.7, "rework_fraction": 0.0}, 2.275, id="70/20/10 with spot",
        ),
        pytest.param(
            {"reserved_fraction": 0.0, "spot_fraction": 1.0, "spot_discount_fraction": 0.7, "rework_fraction": 0.1},
            1.05 / 0.9, id="spot with a tenth done again",
        ),
    ],
)  # fmt: skip
def test_a_gpu_hour_costs_its_shares(values, usd):
    result = pulled(**values)
    assert result.scenario.step("usd_per_gpu_hour", "chat").value == pytest.approx(usd)
    assert result.saved_fraction == pytest.approx(1 - usd / 3.50)


def test_buying_otherwise_frees_no_gpu():
    result = pulled()
    assert result.capacity_freed_fraction == pytest.approx(0)
    assert result.scenario.gpus_count == result.today.gpus_count


def test_more_than_everything_is_refused():
    ((_, refusal),) = pulled(reserved_fraction=0.8, spot_fraction=0.3).refusals
    assert "more than all GPU-hours" in refusal.reason


def test_what_is_bought_by_the_token_is_refused():
    ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.88))).refusals
    assert "by the token" in refusal.reason
