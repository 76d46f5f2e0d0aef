"""Prices: dated, append-only, mixed by share."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.catalog import Catalog
from costlib.errors import ConfigError, DomainError
from costlib.pricing import GpuPrice, PriceKind, PurchaseMix, price_at
from costlib.project import usd_per_gpu_hour
from tests.costlib.scenario_builders import SHIPPED, bought, scenario

START = date(2026, 1, 1)


def price(usd, valid_from=START, key="mine", kind=PriceKind.ON_DEMAND):
    return GpuPrice(
        key=key,
        provider="me",
        gpu_key="h100-sxm",
        region="any",
        kind=kind,
        usd_per_gpu_hour=usd,
        valid_from=valid_from,
    )


HISTORY = (price(4.0), price(3.0, date(2026, 6, 1)), price(3.5, date(2026, 9, 1)))


@pytest.mark.parametrize(
    ("on", "usd"),
    [
        pytest.param(date(2026, 1, 1), 4.0, id="on its first day"),
        pytest.param(date(2026, 5, 31), 4.0, id="on the last day of the first"),
        pytest.param(date(2026, 6, 1), 3.0, id="on the day it changes"),
        pytest.param(date(2030, 1, 1), 3.5, id="long after: the newest"),
    ],
)
def test_the_price_in_force(on, usd):
    assert price_at(HISTORY, "mine", on).usd_per_gpu_hour == usd
    assert price_at(reversed(HISTORY), "mine", on).usd_per_gpu_hour == usd


def test_b36_two_prices_that_start_on_one_day_are_refused_by_name():
    rivals = (*HISTORY, price(2.5, date(2026, 9, 1)))
    with pytest.raises(ConfigError, match=r"price 'mine' has two entries from 2026-09-01; delete one of them"):
        price_at(rivals, "mine", date(2026, 10, 1))
    assert price_at(rivals, "mine", date(2026, 8, 31)).usd_per_gpu_hour == 3.0, "before them there is one"


def test_b36_before_the_first_price_and_of_another_key_there_is_none():
    with pytest.raises(ConfigError, match=r"'mine' is not known on 2025-12-31: its first entry starts 2026-01-01"):
        price_at(HISTORY, "mine", date(2025, 12, 31))
    with pytest.raises(ConfigError, match=r"unknown price 'other'\. Known: mine"):
        price_at(HISTORY, "other", date(2026, 6, 1))


days = st.integers(0, 3000).map(lambda n: START + timedelta(days=n))


@given(dates=st.lists(days, min_size=1, max_size=6, unique=True), on=days, later=st.integers(1, 1000))
def test_a_new_entry_never_changes_an_older_bill(dates, on, later):
    """Append-only: what a scenario dated `on` costs stays, whatever is appended after that day."""
    history = [price(float(i), START) if i == 0 else price(float(i), day) for i, day in enumerate(sorted(dates))]
    appended = [*history, price(99.0, on + timedelta(days=later))]
    assert price_at(appended, "mine", on) == price_at(history, "mine", on)


def test_shares_are_weighted():
    catalog = Catalog(gpu_prices=(price(1.0), price(0.6, key="reserved", kind=PriceKind.RESERVED)))
    mix = PurchaseMix(shares=(("mine", 0.25), ("reserved", 0.75)))
    today = scenario(bought("llama-3.1-8b", 1.0))
    assert usd_per_gpu_hour(mix, today, catalog) == pytest.approx(0.70)
    assert usd_per_gpu_hour(PurchaseMix(stated_usd_per_gpu_hour=2.0), today, catalog) == 2.0


@pytest.mark.parametrize(
    ("shares", "stated", "message"),
    [
        ((), None, "either `shares` .* or one `stated_usd_per_gpu_hour`"),
        ((("mine", 1.0),), 2.0, "either `shares` .* or one `stated_usd_per_gpu_hour`"),
        ((("mine", 0.5), ("other", 0.4)), None, "add up to 1, not 0.9"),
        ((("mine", 1.5), ("other", -0.5)), None, "must be 0 or more"),
        ((), -1.0, "must be 0 or more, not -1"),
    ],
)
def test_a_purchase_is_one_thing_or_the_other(shares, stated, message):
    with pytest.raises(DomainError, match=message):
        PurchaseMix(shares=shares, stated_usd_per_gpu_hour=stated)


def test_a_users_own_price_wins_over_the_shipped_one_of_the_same_key():
    shipped = SHIPPED.gpu_prices[0]
    own = Catalog(gpu_prices=(replace(shipped, provider="me", usd_per_gpu_hour=1.0),))
    found = price_at(SHIPPED.with_entries(own).gpu_prices, shipped.key, shipped.valid_from)
    assert found.usd_per_gpu_hour == 1.0
