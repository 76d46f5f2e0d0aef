"""What a change of cost says in words: who, which way, how much; names as they are."""

from decimal import Decimal

from costlib.books import Bucket
from costlib.bridge import cost_change
from costlib.lmdi import TermKind
from costlib.sentences import headline, money, sentences
from costlib.slices import Item, ItemKind
from tests.costlib.test_bridge import CHAT, api, gpu, other

K = TermKind
HOSTILE = "<b>=HYPERLINK(1)|*x*"


def said(before, after, currency="USD", **more):
    return sentences(cost_change(before, after, **more), currency, **more)


def test_volume_says_how_many_tokens_whose_and_what_they_cost():
    found = said([gpu()], [gpu(tokens=1_120_000, busy=56.0, billed=112.0, cost=224, listed=280)])
    assert found[K.VOLUME] == "Volume: 12 % more tokens, mostly chat, cost $24.00 more."


def test_volume_names_whose_own_tokens_moved_and_not_whose_bill_is_large():
    """Its term is the change of all tokens, by cost: most of it falls to the large one, which stood still."""
    large = Item(kind=ItemKind.GPU, deployment_key="large", model_key="m")
    before = [gpu(), gpu(large, tokens=9_000_000, cost=1800)]
    after = [gpu(tokens=3_000_000, cost=600), gpu(large, tokens=9_000_000, cost=1800)]
    assert "20 % more tokens, mostly chat," in said(before, after)[K.VOLUME]


def test_fewer_tokens_save():
    found = said([gpu(cost=2000, listed=2000)], [gpu(tokens=500_000, busy=25.0, billed=50.0, cost=1000, listed=1000)])
    assert found[K.VOLUME] == "Volume: 50 % fewer tokens, mostly chat, saved $1,000."


def test_new_and_gone_products_are_named():
    gone = Item(kind=ItemKind.GPU, deployment_key="old-bot", model_key="m")
    new = [Item(kind=ItemKind.GPU, deployment_key=f"new-{n}", model_key="m") for n in range(5)]
    found = said([gpu(), gpu(gone)], [gpu(), *(gpu(item) for item in new)])
    assert "new: new-0, new-1, new-2 and 2 more, gone: old-bot, cost $800 more." in found[K.VOLUME]


def test_idle_and_purchase_name_both_shares():
    assert (
        "idle share of GPU-hours 50.0 % to 68.8 %" in said([gpu()], [gpu(billed=160.0, cost=320, listed=400)])[K.IDLE]
    )
    assert "paid of the list price 80.0 % to 100.0 %" in said([gpu()], [gpu(cost=250)])[K.PURCHASE_MIX]


def test_one_offs_and_services_are_named_by_what_they_are():
    before, after = (
        [other(Bucket.HOST, 1)],
        [other(Bucket.HOST, 5), other(Bucket.COMMITMENT_WASTE, 9, ItemKind.ONE_OFF)],
    )
    found = said(before, after)
    assert found[K.ONE_OFFS] == "One-offs: mostly commitment waste, cost $9.00 more."
    assert found[K.OTHER_SERVICES] == "Other services: mostly host, cost $4.00 more."


def test_what_is_not_known_says_so():
    found = said([gpu(listed=None)], [gpu(cost=300)])
    assert "not known in both periods, so the reasons are not told apart" in found[K.NOT_MEASURED]


def test_a_term_of_nothing_is_no_change():
    assert said([gpu()], [gpu()])[K.PRICE] == "Price: no change."


def test_names_pass_through_untouched():
    found = said([gpu()], [gpu(cost=250)], product_of=lambda item: HOSTILE)
    assert f"mostly {HOSTILE}," in found[K.PURCHASE_MIX]


def test_tokens_of_no_product_have_a_name_too():
    assert "mostly what no product is known for" in said([api()], [api(cost=15)])[K.PRICE]


def test_the_headline_has_both_ends():
    assert (
        headline(cost_change([gpu(cost=2000)], [gpu(cost=3000)]), "USD")
        == "$1,000 more (50.0%): from $2,000 to $3,000."
    )
    assert headline(cost_change([], [gpu(CHAT, cost=5)]), "EUR") == "€5.00 more: from €0.00 to €5.00."
    assert (
        headline(cost_change([gpu(cost=10)], [gpu(cost=-5)]), "USD") == "$15.00 less (150.0%): from $10.00 to -$5.00."
    )


def test_money_is_whole_from_a_hundred_on():
    assert [money(Decimal(n), "USD") for n in ("99.994", "100.4", "-1e6")] == ["$99.99", "$100", "$1,000,000"]
