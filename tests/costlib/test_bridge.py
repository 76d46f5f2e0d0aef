"""Why a bill changed: terms that sum to the change, to the cent, whatever the periods hold."""

import os
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costlib.allocation import CENT
from costlib.billing import exact_sum
from costlib.books import Bucket, TokenClass
from costlib.bridge import cost_change
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.lmdi import Link, TermKind, chained, lmdi
from costlib.slices import Item, ItemKind, Slice

K = TermKind
CHAT = Item(kind=ItemKind.GPU, deployment_key="chat", model_key="m")


def gpu(item=CHAT, tokens=1_000_000, busy=50.0, billed=100.0, cost=200, listed=250, output=0, unmeasured=0.0, **said):
    """GPUs of one item: `tokens` of input, a cost spread evenly over its hours."""
    cost = Decimal(cost)
    work = (cost * Decimal(busy) / Decimal(billed)).quantize(CENT) if billed else Decimal(0)
    return Slice(
        **{
            "item": item,
            "amounts": {Bucket.INPUT: work, Bucket.WARM_IDLE: cost - work},
            "tokens": {TokenClass.INPUT: tokens, TokenClass.OUTPUT: output},
            "busy_gpu_hours": busy,
            "measured_gpu_hours": billed - unmeasured,
            "billed_gpu_hours": billed,
            "list_cost": None if listed is None else Decimal(listed),
        }
        | said
    )


def api(tokens=1_000_000, cost=10, output=0, **said):
    item = Item(kind=ItemKind.API, model_key="gpt", provider="OpenAI")
    counted = {TokenClass.INPUT: tokens, TokenClass.OUTPUT: output}
    return Slice(**{"item": item, "amounts": {Bucket.INPUT: Decimal(cost)}, "tokens": counted} | said)


def other(bucket, cost, kind=ItemKind.SHARED, **keys):
    return Slice(item=Item(kind=kind, bucket=str(bucket), **keys), amounts={bucket: Decimal(cost)})


def dollars(found):
    return {kind: amount for kind, amount in found.terms.items() if amount}


# Known answers --------------------------------------------------------------------------------------------------------


def test_known_answer_14_of_the_domain_mathematics():
    """p 3.5 -> 3.2, U .55 -> .65, X 1000 -> 1400 token/s, V 2.0 -> 2.4 G tokens."""
    before, after = ([p, 1 / (3600 * u), 1 / x, v] for p, u, x, v in ((3.5, 0.55, 1e3, 2e9), (3.2, 0.65, 1.4e3, 2.4e9)))
    price, use, efficiency, volume = lmdi(before, after)
    assert [round(effect, 2) for effect in (price, use, efficiency, volume)] == [-259.80, -484.32, -975.49, 528.58]
    assert price + use + efficiency + volume == pytest.approx(-1191.03, abs=0.01)


def test_vector_14_as_two_periods_of_one_deployment():
    """The same fleet through slices: hours = V / (X U), so the bill and each term come out the same."""

    def period(price, use, speed, tokens):
        busy = tokens / speed / 3600
        cost = Decimal(price * busy / use)
        return gpu(tokens=int(tokens), busy=busy, billed=busy / use, cost=cost, listed=cost)

    found = cost_change([period(3.5, 0.55, 1e3, 2e9)], [period(3.2, 0.65, 1.4e3, 2.4e9)])
    assert (found.before, found.after) == (Decimal("3535.35"), Decimal("2344.32"))
    assert dollars(found) == {
        K.VOLUME: Decimal("528.58"),
        K.PRICE: Decimal("-259.80"),
        K.EFFICIENCY: Decimal("-975.49"),
        K.IDLE: Decimal("-484.32"),
    }
    assert found.tokens_fraction() == pytest.approx(0.2)


def test_twice_the_tokens_on_twice_the_hours_is_volume():
    found = cost_change([gpu()], [gpu(tokens=2_000_000, busy=100.0, billed=200.0, cost=400, listed=500)])
    assert dollars(found) == {K.VOLUME: Decimal(200)}


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        pytest.param({"busy": 80.0, "billed": 160.0, "listed": 400}, K.EFFICIENCY, id="more hours for the tokens"),
        pytest.param({"billed": 160.0, "listed": 400}, K.IDLE, id="more hours for the busy ones"),
        pytest.param({"listed": 400}, K.PRICE, id="a dearer list"),
        pytest.param({}, K.PURCHASE_MIX, id="less of the list saved"),
        pytest.param({"billed": 160.0, "listed": 400, "unmeasured": 60.0}, K.NOT_MEASURED, id="hours nobody saw"),
    ],
)
def test_one_thing_that_changes_is_the_only_term(changed, kind):
    assert dollars(cost_change([gpu()], [gpu(cost=320, **changed)])) == {kind: Decimal(120)}


def test_a_shift_between_classes_is_mix():
    """Output costs five times input; as much of both, and then four in five of output."""
    work = {Bucket.INPUT: Decimal(10), Bucket.OUTPUT: Decimal(50)}
    old = api(tokens=500, output=500, amounts=work)
    new = api(tokens=200, output=800, amounts={Bucket.INPUT: Decimal(4), Bucket.OUTPUT: Decimal(80)})
    assert dollars(cost_change([old], [new])) == {K.TOKEN_MIX: Decimal(24)}


def test_an_api_that_asks_more_is_price():
    assert dollars(cost_change([api()], [api(cost=15)])) == {K.PRICE: Decimal(5)}


def test_one_product_grows_and_the_other_does_not():
    """Volume is of all tokens, mix is who has them: for each product they add up to what happened to it."""
    still = Item(kind=ItemKind.GPU, deployment_key="still", model_key="m")
    found = cost_change([gpu(), gpu(still)], [gpu(tokens=3_000_000, busy=150.0, billed=300.0, cost=600, listed=750),
                                             gpu(still)])  # fmt: skip
    assert found.change == 400
    assert found.by_product["still"].change == 0
    assert found.by_product["still"].terms[K.VOLUME] == -found.by_product["still"].terms[K.TOKEN_MIX] > 0
    assert set(dollars(found)) == {K.VOLUME, K.TOKEN_MIX}


def test_services_and_one_offs_are_their_own_terms():
    before = [other(Bucket.HOST, 10), other(Bucket.TAX, 5, ItemKind.ONE_OFF)]
    after = [other(Bucket.HOST, 12), other(Bucket.CREDIT, -100, ItemKind.ONE_OFF)]
    assert dollars(cost_change(before, after)) == {K.OTHER_SERVICES: Decimal(2), K.ONE_OFFS: Decimal(-105)}


# What is new, gone, unknown or nothing --------------------------------------------------------------------------------


def test_a_new_and_a_vanished_product_are_volume():
    gone = Item(kind=ItemKind.GPU, deployment_key="gone", model_key="m")
    found = cost_change([gpu(), gpu(gone, cost=70)], [gpu(), api(cost=30)])
    assert dollars(found) == {K.VOLUME: Decimal(-40)}
    assert found.tokens_fraction() == 0, "what is compared is what both periods have"


def test_a_new_deployment_that_served_nothing_is_idle_and_one_nobody_watched_is_not_measured():
    assert dollars(cost_change([], [gpu(tokens=0, busy=0.0)])) == {K.IDLE: Decimal(200)}
    unseen = Slice(item=CHAT, amounts={Bucket.UNMEASURED: Decimal(200)}, billed_gpu_hours=100.0)
    assert dollars(cost_change([], [unseen])) == {K.NOT_MEASURED: Decimal(200)}


def test_what_was_not_measured_before_is_never_called_volume_or_efficiency():
    unseen = Slice(item=CHAT, amounts={Bucket.UNMEASURED: Decimal(100)}, billed_gpu_hours=50.0, list_cost=Decimal(125))
    found = cost_change([unseen], [gpu()])
    assert dollars(found) == {K.NOT_MEASURED: Decimal(100)}
    assert isinstance(found.tokens_fraction(), Undefined)


def test_prices_are_still_told_apart_where_tokens_are_not():
    old = Slice(item=CHAT, amounts={Bucket.UNMEASURED: Decimal(100)}, billed_gpu_hours=50.0, list_cost=Decimal(100))
    new = Slice(item=CHAT, amounts={Bucket.UNMEASURED: Decimal(200)}, billed_gpu_hours=50.0, list_cost=Decimal(200))
    assert dollars(cost_change([old], [new])) == {K.PRICE: Decimal(100)}


def test_a_class_that_is_counted_in_one_period_only_makes_tokens_unknown():
    new = replace(gpu(cost=300), tokens={TokenClass.INPUT: 5})
    assert dollars(cost_change([gpu()], [new])) == {K.PURCHASE_MIX: Decimal(100)}


def test_a_bill_without_list_prices_has_what_is_paid_for_its_price():
    assert dollars(cost_change([gpu(listed=None)], [gpu(listed=None, cost=300)])) == {K.PRICE: Decimal(100)}
    one = cost_change([gpu(listed=None)], [gpu(cost=300)])
    assert dollars(one) == {K.NOT_MEASURED: Decimal(100)}, "price and discount are not told apart"


def test_a_deployment_that_stops_working_and_goes_on_costing():
    """Half of $200 was work: gone with its tokens. The hours stay, all of them idle."""
    found = cost_change([gpu()], [gpu(tokens=0, busy=0.0)])
    assert dollars(found) == {K.VOLUME: Decimal(-100), K.IDLE: Decimal(100)}
    assert found.change == 0


def test_an_idle_deployment_that_gets_bigger_is_idle():
    idle = [gpu(tokens=0, busy=0.0, billed=hours, cost=2 * hours, listed=2 * hours) for hours in (100, 150)]
    assert dollars(cost_change(idle[:1], idle[1:])) == {K.IDLE: Decimal(100)}


def test_hours_that_a_commitment_pays_for_are_purchase_mix():
    """As invoiced: billed at nothing, and then in full."""
    found = cost_change([gpu(cost=0)], [gpu(cost=250)])
    assert dollars(found) == {K.PURCHASE_MIX: Decimal(250)}


def test_a_refund_larger_than_the_cost_has_no_logarithm_and_still_closes():
    found = cost_change([gpu()], [gpu(cost=-50)])
    assert dollars(found) == {K.PURCHASE_MIX: Decimal(-250)}


def test_two_equal_periods_have_no_terms():
    found = cost_change([gpu(), api()], [gpu(), api()])
    assert (dollars(found), found.change) == ({}, 0)
    nothing = cost_change([], [])
    assert (nothing.before, nothing.after, dict(nothing.terms), nothing.by_item) == (0, 0, {}, {})


def test_teams_that_nobody_named_before_do_not_hide_why_the_deployment_changed():
    """The first week with a gateway's log: twice the tokens on twice the hours, now of two teams."""
    a, b = (replace(CHAT, team=team) for team in ("a", "b"))
    named = [gpu(item, tokens=1_000_000, busy=50.0, billed=100.0) for item in (a, b)]
    found = cost_change([gpu()], named)
    assert dollars(found) == {K.VOLUME: Decimal(200)}
    assert found.tokens_fraction() == 1
    assert found.by_team["a"].terms == {K.VOLUME: Decimal(100), K.NOT_MEASURED: Decimal(100)} | {
        kind: Decimal(0) for kind in found.by_team["a"].terms if kind not in (K.VOLUME, K.NOT_MEASURED)
    }
    assert found.by_team[""].terms[K.NOT_MEASURED] == -200
    assert_sums(found)


def test_an_item_given_twice_is_refused():
    with pytest.raises(DomainError, match="given twice"):
        cost_change([gpu(), gpu()], [])


def test_factors_without_a_logarithm_are_refused():
    with pytest.raises(DomainError, match="above 0"):
        lmdi([1.0, 0.0], [1.0, 1.0])


def test_a_chain_of_nothing_is_nothing():
    assert chained([Link(kind=K.PRICE, old=0.0, new=0.0)], Decimal(0), Decimal(0)) == {}


def test_tables_have_one_sum():
    """Thirds of a cent, on three products: rows and columns both add up to what stands at their ends."""
    items = [Item(kind=ItemKind.GPU, deployment_key=key, model_key="m", team=key.upper()) for key in "abc"]
    third = Decimal(100) / 3
    old = [gpu(item, cost=third, listed=third) for item in items]
    new = [gpu(item, tokens=3_100_000, busy=57.0, cost=third * 2, listed=third * n) for n, item in enumerate(items, 1)]
    assert_sums(cost_change(old, new))


# Any two periods ------------------------------------------------------------------------------------------------------


def assert_sums(found):
    assert found.before + exact_sum(found.terms.values()) == found.after
    for one in found.items:
        assert exact_sum((one.cost_before, *one.effects.values())) == one.cost_after
    for table in (found.by_item, found.by_product, found.by_model, found.by_team):
        rows = table.values()
        for row in rows:
            assert row.before + exact_sum(row.terms.values()) == row.after
            assert all(amount == amount.quantize(CENT) for amount in (row.before, row.after, *row.terms.values()))
        assert exact_sum(row.before for row in rows) == found.before
        assert exact_sum(row.after for row in rows) == found.after
        for kind, amount in found.terms.items():
            assert exact_sum(row.terms.get(kind, Decimal(0)) for row in rows) == amount


money = st.decimals(-(10**6), 10**9, places=18) | st.decimals(-10, 10, places=2) | st.just(Decimal(0))
hours = st.none() | st.floats(0, 1e6) | st.sampled_from([0.0, 5e-324, 1.0])
counts = st.integers(0, 10**13) | st.just(0)
items = st.builds(
    Item,
    kind=st.sampled_from(list(ItemKind)),
    deployment_key=st.sampled_from(["", "chat", "<b>=1+1"]),
    model_key=st.sampled_from(["", "m", "n"]),
    team=st.sampled_from(["", "a", "b"]),
)
slices = st.builds(
    Slice,
    item=items,
    amounts=st.dictionaries(
        st.sampled_from([Bucket.INPUT, Bucket.OUTPUT, Bucket.WARM_IDLE, Bucket.UNMEASURED]), money, min_size=1
    ),
    tokens=st.dictionaries(st.sampled_from(list(TokenClass)), counts),
    busy_gpu_hours=hours,
    measured_gpu_hours=hours,
    billed_gpu_hours=hours,
    list_cost=st.none() | money,
)
periods = st.lists(slices, max_size=6, unique_by=lambda one: one.item)
random_pairs = settings(
    max_examples=int(os.environ.get("PERMILLION_BRIDGES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@random_pairs
@given(periods, periods)
def test_the_terms_are_the_change_whatever_the_periods(before, after):
    assert_sums(cost_change(before, after))


@random_pairs
@given(periods, periods)
def test_the_way_back_is_the_way_there_with_the_other_sign(before, after):
    there, back = cost_change(before, after), cost_change(after, before)
    for kind in there.terms.keys() | back.terms.keys():
        both = there.terms.get(kind, Decimal(0)) + back.terms.get(kind, Decimal(0))
        scale = max(abs(there.before), abs(there.after), *map(abs, there.terms.values()), Decimal(1))
        assert abs(both) <= 4 * CENT + scale * Decimal("1e-12"), kind
