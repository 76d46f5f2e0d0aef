"""What is planted in the sample is there, of its size, and the review finds it: name, day, sign and amount."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from collectors.demo import sample_file
from collectors.sample import WEEKS, served, usage_hours
from collectors.sample_story import (
    DOCUMENTS,
    EVENTS,
    LIST_PRICE_BEFORE,
    SEARCH,
    SERVICE_CREDIT,
    SUPPORT,
    hour_of,
    newest_monday,
    story_hours,
)
from costlib.books import CostBasis
from costlib.lmdi import TermKind
from costlib.review import Review
from store.catalog_files import DATA
from store.read import open_snapshot
from store.reviews import newest_week, review
from tests.demo_home import demo_home

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
MONDAY = newest_monday(NOW)
FILE = sample_file(NOW)
FLEET = {one.key: one for one in FILE.today.deployments}
NAMES = FILE.today.product_names
HOURS = WEEKS * 7 * 24
START = NOW.replace(minute=0) - timedelta(hours=HOURS)
WHEN = story_hours(START, HOURS)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    home = demo_home(tmp_path_factory.mktemp("story") / "home", NOW)
    with open_snapshot(home) as snapshot:
        yield review(snapshot, home, newest_week(snapshot), CostBasis.EFFECTIVE, NOW)


def term(week: Review, kind: TermKind, product: str | None = None) -> float:
    terms = week.bridge.terms if product is None else week.bridge.by_item[product]
    return float(sum(one.amount for one in terms if one.kind == kind))


def changed(week: Review, product: str) -> float:
    return float(next(one.change for one in week.movers if one.product == product))


def first_cause(week: Review, product: str, measure: str) -> tuple[str, date, bool]:
    found = next(one for one in week.anomalies if (one.scope, one.measure) == (product, measure))
    return str(found.cause), found.on, found.impact > 0


def day(weekday: int) -> date:
    return (MONDAY + timedelta(days=weekday)).date()


def replicas(key: str) -> np.ndarray:
    """In every hour of the history."""
    found = np.zeros(HOURS)
    for part in served(FILE, FLEET[key], START, HOURS):
        found[part.hours] = part.replicas_count
    return found


def of_hours(values: np.ndarray, first: int, end: int) -> float:
    return float(values[(first <= WHEN) & (end > WHEN)].sum())


# The newest whole week, as the review tells it ------------------------------------------------------------------------


def test_no_two_weeks_cost_the_same_and_no_two_days_of_one(week: Review) -> None:
    assert week.period.start == MONDAY.date()
    assert week.total - week.bridge.before > 1000
    assert len({one.cost for one in week.daily}) == 7


def test_the_surge_is_more_volume_of_search_answers_from_tuesday_on(week: Review) -> None:
    product = NAMES[SEARCH]
    assert first_cause(week, product, "cost") == ("volume", day(1), True)
    grown = term(week, TermKind.VOLUME, product) + term(week, TermKind.TOKEN_MIX, product)
    three_days_of_seven = 0.6 * 3 / 7
    before = changed(week, product) * -1 + float(next(m.cost for m in week.movers if m.product == product))
    assert grown == pytest.approx(three_days_of_seven * before, rel=0.2)
    assert term(week, TermKind.VOLUME) > 0


def test_the_cache_collapse_is_fewer_cache_hits_of_support_copilot_from_tuesday_on(week: Review) -> None:
    product = NAMES[SUPPORT]
    assert first_cause(week, product, "cache_hit") == ("cache", day(1), True)
    assert first_cause(week, product, "cost") == ("cache", day(1), True)
    # The same requests: what is left of volume and mix is cached tokens that became computed ones.
    dearer = sum(term(week, kind, product) for kind in (TermKind.VOLUME, TermKind.TOKEN_MIX, TermKind.EFFICIENCY))
    assert term(week, TermKind.EFFICIENCY, product) > 200
    assert dearer == pytest.approx(changed(week, product), rel=0.25)
    assert term(week, TermKind.EFFICIENCY) > 0


def test_what_was_not_scaled_down_is_idle_of_document_extraction_from_friday_on(week: Review) -> None:
    product = NAMES[DOCUMENTS]
    assert first_cause(week, product, "cost") == ("idle", day(4), True)
    running = replicas(DOCUMENTS)
    more = of_hours(running, hour_of(0, 4, 18), hour_of(1, 0)) - of_hours(running, hour_of(-1, 4, 18), hour_of(0, 0))
    spot_usd_per_replica_hour = 4 * 3.99 / 2
    assert term(week, TermKind.IDLE, product) == pytest.approx(more * spot_usd_per_replica_hour, rel=0.1)
    assert term(week, TermKind.IDLE) == pytest.approx(term(week, TermKind.IDLE, product), rel=0.02)


def test_the_dearer_list_price_is_the_price_of_search_answers_alone(week: Review) -> None:
    product = NAMES[SEARCH]
    cost = float(next(one.cost for one in week.movers if one.product == product))
    assert term(week, TermKind.PRICE, product) == pytest.approx(cost * (1 - float(LIST_PRICE_BEFORE)), rel=0.15)
    assert term(week, TermKind.PRICE) == pytest.approx(term(week, TermKind.PRICE, product), abs=0.01)


def test_the_credit_is_a_one_off(week: Review) -> None:
    """Beside it: more tax on a dearer week, and less of the plan unused."""
    assert term(week, TermKind.ONE_OFFS) == pytest.approx(float(SERVICE_CREDIT), rel=0.15)


def test_a_few_percent_belong_to_nobody_and_tokens_cost_what_tokens_cost(week: Review) -> None:
    figures = {one.name: one.value for one in week.figures}
    assert 0.02 < figures["GPUs of no server"] < 0.06
    assert Decimal("0.1") < figures["Cost per 1M tokens"] < 3


def test_the_month_is_forecast_to_land_near_what_its_weeks_cost(week: Review) -> None:
    a_month = float(week.total) * 30 / 7
    assert 0.75 * a_month < float(week.outlook.in_all.p50) < 1.05 * a_month, "the newest week is a dear one"


# Whenever it is made --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", range(7))
def test_the_newest_whole_week_is_over_and_no_later_one_is(days: int) -> None:
    end = NOW + timedelta(days=days)
    monday = newest_monday(end)
    assert monday.weekday() == 0
    assert timedelta(days=7) <= end - monday < timedelta(days=14)


@pytest.mark.parametrize("end", [datetime(2026, 11, 23, 1, tzinfo=UTC), datetime(2027, 3, 7, 23, tzinfo=UTC)])
def test_sixteen_whole_weeks_are_there_on_any_weekday(end: datetime) -> None:
    hours = usage_hours(sample_file(end), end)
    oldest_monday = (newest_monday(end) - timedelta(weeks=15)).replace(tzinfo=None)
    assert min(hours["bin_start"].to_pylist()) <= oldest_monday


# Before it, for those who ask what a change saved ---------------------------------------------------------------------


def ratio_of_weeks(key: str, column: str, of_week: int, to_week: int) -> float:
    """A column over all prompt tokens, or itself, in one week against another."""
    rows = usage_hours(FILE, NOW.replace(minute=0)).to_pandas()
    mine = rows[rows["target_key"] == key].sort_values("bin_start")[column].to_numpy(dtype=float)
    one, other = (of_hours(mine, hour_of(week, 0), hour_of(week + 1, 0)) for week in (of_week, to_week))
    return one / other


def test_prefix_caching_saved_a_tenth_of_the_gpu_hours_for_the_same_tokens() -> None:
    hours = ratio_of_weeks(SEARCH, "coverage_s", -4, -6)
    tokens = ratio_of_weeks(SEARCH, "generation_tokens", -4, -6)
    assert 0.82 < hours / tokens < 0.93


def test_the_quiet_week_saved_nothing() -> None:
    """A quarter less traffic, and afterwards all is as it was."""
    assert ratio_of_weeks(DOCUMENTS, "generation_tokens", -3, -4) == pytest.approx(0.75, rel=0.06)
    hours, tokens = (ratio_of_weeks(DOCUMENTS, name, -2, -4) for name in ("coverage_s", "generation_tokens"))
    assert hours / tokens == pytest.approx(1, abs=0.04)


def test_smaller_batches_cost_a_third_more_until_they_were_taken_back() -> None:
    running = replicas(SUPPORT)
    before, during, after = (of_hours(running, hour_of(week, 1, 9), hour_of(week + 1, 1, 9)) for week in (-10, -9, -8))
    assert 1.2 < during / before < 1.6
    assert after == pytest.approx(before, rel=0.05)


def test_every_planted_cause_is_in_the_documented_table() -> None:
    text = (Path(DATA) / "demo" / "README.md").read_text(encoding="utf-8")
    assert [one.key for one in EVENTS if f"| {one.key} |" not in text] == []
