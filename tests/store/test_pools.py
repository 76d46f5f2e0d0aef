"""What pools did by the hour and cost by the day, by hand; of the sample's weeks: test_savings.py."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.pool_days import PoolHours
from store.pools import Pools, _hours, slowest_by_day

START = datetime(2026, 10, 5, tzinfo=UTC)
MONDAY, DAY = START.date(), timedelta(days=1)
COUNTERS = ("coverage_s", "busy_s", "computed_prompt_tokens", "cached_prompt_tokens", "generation_tokens",
            "requests_count", "requests_abort_count", "requests_error_count")  # fmt: skip


def row(hour: int, model: str = "qwen", gap_s: float | None = None, **told: float | None) -> dict[str, object]:
    return {"bin_start": START + timedelta(hours=hour), "model_key": model, "gap_s": gap_s,
            **dict.fromkeys(COUNTERS, 1.0), "coverage_s": 3600.0, **told}  # fmt: skip


def hours(*rows: dict[str, object], gpus_count: int = 1) -> PoolHours:
    return _hours(pd.DataFrame(rows), START, 4, gpus_count)


def days(*costs: str) -> dict[date, Decimal]:
    return {MONDAY + n * DAY: Decimal(cost) for n, cost in enumerate(costs)}


def pools(**costs: dict[date, Decimal]) -> Pools:
    none = hours(row(0))
    return Pools(start=START, end=START + 2 * DAY, hours=dict.fromkeys(costs, none), cost_by_day=costs,
                 currency="USD", measured_until=START, final_months=frozenset())  # fmt: skip


def test_a_replica_hour_is_as_many_gpu_hours_as_it_has_gpus() -> None:
    found = hours(row(0, coverage_s=7200.0, busy_s=1800.0), gpus_count=4)
    assert (found.gpu_hours[0], found.busy_gpu_hours[0]) == (8.0, 2.0)


def test_an_hour_without_a_row_is_unknown_and_one_with_zeros_is_zero() -> None:
    found = hours(row(1, generation_tokens=0.0), row(3))
    assert np.isnan(found.gpu_hours).tolist() == [True, False, True, False]
    assert found.output_tokens[1] == 0.0


def test_models_of_one_deployment_are_added_up_and_unknown_where_one_of_them_is() -> None:
    found = hours(
        row(0, "a", generation_tokens=5.0),
        row(0, "b", generation_tokens=7.0),
        row(1, "a", generation_tokens=None),
        row(1, "b"),
        row(2, "a"),
        row(2, "b", generation_tokens=None),
    )
    assert found.output_tokens[0] == 12.0
    assert np.isnan(found.output_tokens[1:]).all()
    assert found.computed_tokens[:3].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_hour_in_which_a_server_was_not_seen_is_unknown_whichever_model_told_of_it(order: tuple[int, int]) -> None:
    rows = [row(0, "a", gap_s=600.0), row(0, "b")]
    assert np.isnan(hours(*(rows[n] for n in order)).gpu_hours[0])


def test_failures_are_aborts_and_errors_and_unknown_only_where_neither_is_told() -> None:
    found = hours(
        row(0), row(1, requests_error_count=None), row(2, requests_abort_count=None, requests_error_count=None)
    )
    assert found.failed_count[:2].tolist() == [2.0, 1.0]
    assert np.isnan(found.failed_count[2])


def test_costs_of_two_pools_are_those_of_days_on_which_both_are_known() -> None:
    both = pools(a=days("1.10", "2.20"), b=days("0.30"))
    assert both.cost_of(["a", "b"]) == {MONDAY: Decimal("1.40")}
    assert both.cost_of(["a"]) == days("1.10", "2.20")
    assert both.cost_of(["a", "c"]) == Undefined(reason="no charge is known to be of c")


def test_a_pool_that_was_not_measured_is_named_beside_those_that_were() -> None:
    with pytest.raises(ConfigError, match="c was not measured in these weeks; deployments that were: a, b"):
        pools(a={}, b={}).hours_of(["a", "c"])
    with pytest.raises(ConfigError, match="deployments that were: none"):
        pools().hours_of(["c"])


def test_a_digest_is_the_same_however_a_cost_is_written_and_of_days_that_are_gone_of_no_hour() -> None:
    plain, longer = pools(a=days("1.1", "2")), pools(a=days("1.10", "2.000"))
    assert plain.digest(["a"], MONDAY, MONDAY + 2 * DAY) == longer.digest(["a"], MONDAY, MONDAY + 2 * DAY)
    gone = MONDAY - 9 * DAY, MONDAY - 2 * DAY
    other = Pools(start=START, end=START + 2 * DAY, hours={"a": hours(row(0), row(1))}, cost_by_day={"a": {}},
                  currency="USD", measured_until=START, final_months=frozenset())  # fmt: skip
    assert plain.digest(["a"], *gone) == other.digest(["a"], *gone)
    assert plain.digest(["a"], MONDAY, MONDAY + DAY) != other.digest(["a"], MONDAY, MONDAY + DAY)


def test_of_several_pools_the_slowest_counts_on_days_that_all_tell() -> None:
    first = {"ttft_p95_s": {MONDAY: 0.5, MONDAY + DAY: 0.9}}
    second = {"ttft_p95_s": {MONDAY: 0.7}}
    assert slowest_by_day([first, second]) == {"ttft_p95_s": {MONDAY: 0.7}}
    assert slowest_by_day([first, {}]) == {"ttft_p95_s": {}}
    assert slowest_by_day([first]) == first
