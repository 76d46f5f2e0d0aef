"""The record of a review: what does not add up to the cent is refused, not shown."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costlib.books import Bucket, CostBasis
from costlib.errors import DomainError
from costlib.review import (
    Action,
    ActionState,
    Bridge,
    Day,
    DetailRow,
    Mover,
    Outlook,
    OutlookLine,
    Period,
    Review,
    StatementLine,
    Term,
)

WEEK = Period(start=date(2026, 11, 9), end=date(2026, 11, 16))
BEFORE = Period(start=date(2026, 11, 2), end=date(2026, 11, 9))
CHAT = DetailRow(product="chat", team="care", amount=Decimal("7.50"), bucket=Bucket.OUTPUT)
SEARCH = DetailRow(product="search", team="", amount=Decimal("2.50"), bucket=Bucket.WARM_IDLE)
REVIEW = Review(
    period=WEEK,
    before=BEFORE,
    currency="USD",
    basis=CostBasis.EFFECTIVE,
    snapshot_id="s",
    total=Decimal("10.00"),
    bridge=Bridge(before=Decimal("8.00"), after=Decimal("10.00"), terms=(Term(kind="volume", amount=Decimal("2.00")),)),
    movers=(Mover(product="chat", cost=Decimal("7.50")), Mover(product="search", cost=Decimal("2.50"))),
    daily=(Day(on=date(2026, 11, 9), by_product={"chat": Decimal("7.50"), "search": Decimal("2.50")}),),
    details=(CHAT, SEARCH),
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"details": (CHAT,)}, "the details make 7.50, not 10.00"),
        ({"details": (CHAT, replace(SEARCH, amount=Decimal("2.51")))}, "the details make 10.01"),
        ({"details": (CHAT, replace(SEARCH, amount=Decimal("2.500001")))}, "not in whole cents"),
        ({"details": (CHAT, replace(SEARCH, amount=Decimal("NaN")))}, "not in whole cents"),
        ({"details": (CHAT, replace(SEARCH, product="chat"))}, "the details of 'chat' make 10.00, not 7.50"),
        ({"details": (CHAT, replace(SEARCH, product="other"))}, "'other' has details or days"),
        ({"movers": REVIEW.movers[:1]}, "the products make 7.50"),
        ({"movers": (replace(REVIEW.movers[0], cost=Decimal("5.00")), *REVIEW.movers)}, "the products make 15.00"),
        ({"daily": (Day(on=date(2026, 11, 9), by_product={"chat": Decimal("7.50")}),)}, "the days make 7.50"),
        ({"before": None}, "a bridge needs a period before"),
        ({"total": Decimal("10.01")}, "not 10.01"),
        ({"bridge": Bridge(before=Decimal("8.00"), after=Decimal("8.00"), terms=())}, "the end of the bridge"),
    ],
)
def test_a_review_that_does_not_add_up_is_refused(change: dict, why: str) -> None:
    with pytest.raises(DomainError, match=why):
        replace(REVIEW, **change)


def test_two_products_of_one_name_are_refused() -> None:
    halves = [Mover(product="chat", cost=Decimal("5.00"))] * 2
    with pytest.raises(DomainError, match="listed twice"):
        replace(REVIEW, movers=tuple(halves))


def test_the_terms_of_a_bridge_make_its_change() -> None:
    with pytest.raises(DomainError, match=r"the bridge make 1\.00, not 2\.00"):
        Bridge(before=Decimal("8.00"), after=Decimal("10.00"), terms=(Term(kind="volume", amount=Decimal("1.00")),))


def test_the_parts_of_a_change_make_it_where_all_are_known() -> None:
    known = {"cost": Decimal("5.00"), "before": Decimal("4.00"), "from_volume": Decimal("0.50")}
    assert Mover(product="chat", **known).change == Decimal("1.00")
    with pytest.raises(DomainError, match="the change of 'chat'"):
        Mover(product="chat", **known, from_unit_cost=Decimal("0.25"), from_mix=Decimal("0.20"))


@pytest.mark.parametrize(("budget", "part"), [(None, None), ("0", None), ("-5", None), ("10", 0.5)])
def test_a_budget_of_nothing_has_no_share(budget: str | None, part: float | None) -> None:
    mover = Mover(product="chat", cost=Decimal("5.00"), budget=None if budget is None else Decimal(budget))
    assert mover.of_budget == part


def test_a_first_period_has_no_change() -> None:
    assert Mover(product="chat", cost=Decimal("5.00")).change is None


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        ((2026, 11, 9), (2026, 11, 16), "9–15 Nov 2026"),
        ((2026, 11, 30), (2026, 12, 7), "30 Nov – 6 Dec 2026"),
        ((2026, 12, 28), (2027, 1, 4), "28 Dec 2026 – 3 Jan 2027"),
        ((2026, 11, 9), (2026, 11, 10), "9 Nov 2026"),
    ],
)
def test_a_period_is_named_by_its_days(start: tuple, end: tuple, name: str) -> None:
    assert Period(start=date(*start), end=date(*end)).name == name
    assert Period(start=date(*start), end=date(*end), label="Week 46").name == "Week 46"


def test_a_period_ends_after_it_starts() -> None:
    with pytest.raises(DomainError, match="ends after it starts"):
        Period(start=WEEK.start, end=WEEK.start)


def test_teams_are_by_name_and_what_has_none_is_last() -> None:
    assert REVIEW.teams == ("care", "")
    assert REVIEW.of_team("") == (SEARCH,)


def test_an_action_is_late_after_its_day_while_it_is_open() -> None:
    act = Action(id="1", text="do", due=date(2026, 11, 13))
    assert act.is_late(date(2026, 11, 14))
    assert not act.is_late(date(2026, 11, 13))
    assert not replace(act, state=ActionState.DONE).is_late(date(2026, 11, 14))
    assert not replace(act, due=None).is_late(date(2026, 11, 14))


def test_without_an_invoice_there_is_no_difference() -> None:
    assert StatementLine(provider="AWS", billed=Decimal("10.00")).difference is None


def test_the_whole_is_found_among_the_lines_of_an_outlook() -> None:
    whole = OutlookLine(name="", kind="all")
    assert Outlook(month="2026-11", lines=(OutlookLine(name="chat"), whole)).in_all is whole
    assert Outlook(month="2026-11", lines=()).in_all is None
