"""A period's books as items: every cent of the balance in one of them, with the tokens and hours it stands for."""

from decimal import Decimal

import pytest
from hypothesis import given

from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, TeamUse, TokenClass
from costlib.capacity import gpu_capacity
from costlib.ownership import Owners, match
from costlib.slices import Item, ItemKind, slices
from tests.costlib.scenario_builders import SHIPPED
from tests.costlib.test_balance import HALF, asked, balance, bases, bills, charge, gpu, owners, splits, uses
from tests.costlib.test_balance import use as served


def sliced(groups, servers=(), teams=(), owners=None, splits=None, basis=CostBasis.BILLED):
    made = balance(groups, servers, teams, owners, splits, basis)
    found = match(groups, list(servers), owners or Owners())
    return made, slices(
        made, groups, [gpu_capacity(group, SHIPPED.instances) for group in groups], found.by_group, servers
    )


def of(found, **keys):
    (only,) = [one for one in found if all(getattr(one.item, name) == value for name, value in keys.items())]
    return only


WORKED = {"computed_prompt_tokens": 500, "cached_prompt_tokens": 300, "generation_tokens": 200}


def test_a_deployment_half_busy():
    """744 billed hours of one GPU, all observed, busy for half: $100 at $250 list."""
    _, found = sliced([gpu(list_cost=Decimal(250))], [served(**WORKED)])
    only = of(found, kind=ItemKind.GPU)
    assert only.item == Item(kind=ItemKind.GPU, deployment_key="chat", model_key="m")
    assert (only.cost, only.work_cost, only.amounts[Bucket.WARM_IDLE]) == (100, 50, 50)
    assert only.busy_gpu_hours == pytest.approx(372)
    assert (only.measured_gpu_hours, only.billed_gpu_hours, only.list_cost) == (744, 744, 250)
    assert only.tokens == {TokenClass.INPUT: 500, TokenClass.CACHED_INPUT: 300, TokenClass.OUTPUT: 200}
    assert only.tokens_count == 1000


def test_hours_that_nobody_watched_are_billed_and_not_measured():
    _, found = sliced([gpu()], [served(hours=372, busy_hours=186, **WORKED)])
    only = of(found, kind=ItemKind.GPU)
    assert only.billed_gpu_hours == 744
    assert only.measured_gpu_hours == pytest.approx(372)
    assert only.busy_gpu_hours == pytest.approx(186)


def test_teams_share_idle_hours_and_list_price_by_what_their_work_cost():
    teams = [TeamUse(model_key="m", team="a", output_tokens=150), TeamUse(model_key="m", team="b", output_tokens=50)]
    split = {"m": HALF.__class__(method=HALF.method, shares={Bucket.OUTPUT: 1.0}, basis=HALF.basis, quality="")}
    _, found = sliced([gpu(list_cost=Decimal(400))], [served(generation_tokens=200)], teams, splits=split)
    a, b = of(found, team="a"), of(found, team="b")
    assert (a.cost, b.cost, a.list_cost, b.list_cost) == (75, 25, 300, 100)
    assert (a.billed_gpu_hours, b.billed_gpu_hours) == (558, 186)
    assert (a.tokens, b.tokens) == ({TokenClass.OUTPUT: 150}, {TokenClass.OUTPUT: 50})


def test_work_that_is_billed_at_nothing_is_still_somebodys():
    _, found = sliced([gpu(billed=Decimal(0))], [served(**WORKED)])
    only = of(found, kind=ItemKind.GPU)
    assert (only.item.model_key, only.cost, only.tokens_count) == ("m", 0, 1000)
    assert only.busy_gpu_hours is None, "cost cannot tell how hours divide"


def test_a_class_that_is_not_exported_is_absent_and_one_of_which_there_was_none_is_0():
    _, found = sliced([gpu()], [served(computed_prompt_tokens=5, generation_tokens=0)])
    assert of(found, kind=ItemKind.GPU).tokens == {TokenClass.INPUT: 5, TokenClass.OUTPUT: 0}


def test_gpus_of_nobody_have_hours_and_no_tokens():
    _, found = sliced([gpu(tags={}, list_cost=Decimal(120))])
    only = of(found, kind=ItemKind.GPU)
    assert (only.item.deployment_key, only.cost, only.billed_gpu_hours, only.list_cost) == ("", 100, 744, 120)
    assert (only.tokens_count, only.busy_gpu_hours) == (None, None)


def test_a_charge_without_list_price_leaves_the_deployment_without_one():
    _, found = sliced([gpu(list_cost=Decimal(250)), gpu()], [served(**WORKED)])
    assert of(found, kind=ItemKind.GPU).list_cost is None


def test_an_api_counts_what_its_bill_says():
    tokens = {"model": "gpt", "pricing_quantity": Decimal(2), "pricing_unit": "1M tokens", "provider": "OpenAI"}
    _, found = sliced([charge(token_class="input", **tokens), charge(token_class="output", **tokens)])
    only = of(found, kind=ItemKind.API)
    assert (only.item.provider, only.item.model_key, only.cost) == ("OpenAI", "gpt", 200)
    assert only.tokens == {
        TokenClass.INPUT: 2_000_000, TokenClass.CACHED_INPUT: 0, TokenClass.OUTPUT: 2_000_000,
    }  # fmt: skip
    _, found = sliced([charge(token_class="input", **tokens), charge(model="gpt", provider="OpenAI")])
    assert of(found, kind=ItemKind.API).tokens == {}, "part of the tokens makes no price"


def test_services_and_one_offs_are_items_by_what_they_are():
    _, found = sliced([charge(charge_category="Tax"), charge(service_category="Storage")])
    assert {(one.item.kind, one.item.bucket) for one in found} == {
        (ItemKind.ONE_OFF, "tax"), (ItemKind.SHARED, "storage"),
    }  # fmt: skip


@given(bills, uses, asked, owners, splits, bases)
def test_slices_are_the_balance_to_the_last_digit(groups, servers, teams, owners, splits, basis):
    made, found = sliced(groups, servers, teams, owners, splits, basis)
    assert exact_sum(one.cost for one in found) == made.total
    assert len({one.item for one in found}) == len(found)
    assert all(one.list_cost is None or one.list_cost.is_finite() for one in found)
