"""The Overview page: what was spent, to the cent, with what is known and what is not."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest

from store.read import open_snapshot
from tests.pages.conftest import Homes, Open
from tests.pages.homes import NOW
from tests.pages.reading import card, chart, page_text, usd
from tests.store.builders import ALWAYS
from ui.text import UNKNOWN

MIDNIGHT = NOW.replace(hour=0, minute=0)
PARTS = ("busy", "idle", "not measured", "not matched")
NAMES = "|".join(PARTS)
USD = r"-?\$[\d,]+\.\d\d"
SUM = re.compile(rf"(?P<parts>(?:{NAMES}) {USD}[^=]*?) = (?P<total>{USD})")


def exact(figure: str) -> Decimal:
    return Decimal(figure.replace("$", "").replace(",", ""))


def tied(at) -> tuple[dict[str, Decimal], Decimal]:
    """The sum in the small print: its parts by name (one that is nothing may be left out), and the total."""
    found = SUM.search(page_text(at))
    assert found, "the sum that must tie is not on the page"
    parts = {name: exact(amount) for name, amount in re.findall(rf"({NAMES}) ({USD})", found["parts"])}
    assert len(parts) == found["parts"].count(" + ") + 1, found[0]
    return dict.fromkeys(PARTS, Decimal(0)) | parts, exact(found["total"])


@pytest.mark.parametrize("days", [7, 28, 56])
@pytest.mark.parametrize(
    ("basis", "label"),
    [("effective", "Effective (amortised)"), ("billed", "Billed (invoice)")],
    ids=["effective", "billed"],
)
def test_the_parts_on_the_page_add_up_to_the_bill_to_the_cent(
    open_page: Open, all_homes: Homes, days: int, basis: str, label: str
) -> None:
    at = open_page("overview", "sample", {"days": f"{days} days", "basis": label})
    assert f"{basis.capitalize()} cost in USD" in page_text(at)
    parts, total = tied(at)
    assert sum(parts.values()) == total
    with open_snapshot(all_homes["sample"].home) as snapshot:
        billed = snapshot.spend_total(MIDNIGHT - timedelta(days=days), MIDNIGHT, basis)["USD"]
    assert total == round(billed, 2)
    assert usd(card(at, "Spend")) == pytest.approx(float(total), abs=1)


def test_the_table_and_the_chart_sum_to_the_spend(open_page: Open) -> None:
    at = open_page("overview", "sample")
    _, total = tied(at)
    table = at.dataframe[0].value
    assert list(table["Product"]) == ["Support copilot", "Document extraction", "Search answers", "Not matched"]
    assert table["Spend"].sum() == pytest.approx(float(total), abs=0.01)
    bars = chart(at, "daily-spend-bars")["data"]
    assert sum(sum(bar["y"]) for bar in bars) == pytest.approx(float(total), abs=0.01)
    assert {len(bar["x"]) for bar in bars} == {28}


def test_a_longer_period_shows_more_days(open_page: Open) -> None:
    at = open_page("overview", "sample")
    at.segmented_control(key="days").set_value(56).run()
    assert len(chart(at, "daily-unit-cost-line")["data"][0]["x"]) == 56


def test_an_earlier_period_is_compared_with_only_where_it_is_whole(open_page: Open) -> None:
    with_before, without = (open_page("overview", "sample", {"days": days}) for days in ("28 days", "56 days"))
    assert next(metric.delta for metric in with_before.metric if metric.label == "Spend")
    assert not next(metric.delta for metric in without.metric if metric.label == "Spend")


@pytest.mark.parametrize("query", [{"days": "13"}, {"days": "x"}, {"basis": "imaginary"}], ids=str)
def test_nonsense_in_the_address_leaves_the_defaults(open_page: Open, query: dict) -> None:
    at = open_page("overview", "sample", query)
    assert not at.exception
    assert (at.segmented_control(key="days").value, at.segmented_control(key="basis").value) == (28, "effective")


def test_a_bill_whose_servers_were_not_measured_is_shown_and_the_rest_is_unknown(open_page: Open) -> None:
    at = open_page("overview", "own scenario")
    parts, total = tied(at)
    assert parts == {"busy": 0, "idle": 0, "not measured": total, "not matched": 0}
    assert total == Decimal("259.14")
    assert card(at, "Cost per 1M tokens") == UNKNOWN


@pytest.mark.parametrize("label", ["Tokens", "Idle GPU cost"])
def test_what_was_not_measured_is_unknown_and_never_zero(open_page: Open, label: str) -> None:
    assert card(open_page("overview", "own scenario"), label) == UNKNOWN


def test_charges_without_a_deployment_are_a_line_of_their_own(open_page: Open, all_homes: Homes) -> None:
    at = open_page("overview", "real")
    parts, total = tied(at)
    with open_snapshot(all_homes["real"].home) as snapshot:
        assert parts["not matched"] == total == snapshot.spend_total(*ALWAYS)["USD"]
    assert usd(card(at, "Not matched")) == pytest.approx(float(total), abs=1)
