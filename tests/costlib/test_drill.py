"""From a product down to its machines: whatever the cents, each level makes the row above it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.allocation import CENT
from costlib.billing import exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis, ServerUse
from costlib.capacity import GpuCapacity, Purchase
from costlib.drill import LEVELS, NOT_NAMED, Part, drill, parts, walk
from costlib.ownership import Match
from costlib.slices import Item, ItemKind, Slice

NAMES = st.sampled_from(["a", "b", "c"])
AMOUNTS = st.decimals(-1000, 1000, places=6)
PARTS = st.lists(
    st.builds(Part, product=st.just("p"), model=NAMES, pool=NAMES, replica=NAMES, amount=AMOUNTS), min_size=1
)


def cents(made: list[Part]) -> Decimal:
    return exact_sum(part.amount for part in made).quantize(CENT)


def charge(cost: str, **more) -> ChargeGroup:
    return ChargeGroup(currency="USD", billed=Decimal(cost), **more)


def gpus(hours: str | None = "8", purchase: Purchase = Purchase.SPOT, key: str = "h100-sxm") -> GpuCapacity:
    return GpuCapacity(
        gpu_key=key, gpus_count=8.0, gpu_hours=None if hours is None else Decimal(hours), purchase=purchase,
        instance_type="p5.48xlarge",
    )  # fmt: skip


def worked(model: str, cost: str, deployment: str = "chat") -> Slice:
    item = Item(kind=ItemKind.GPU, deployment_key=deployment, model_key=model)
    return Slice(item=item, amounts={Bucket.OUTPUT: Decimal(cost)})


def made_of(groups, capacity, matches, servers=(), found=()) -> tuple[Part, ...]:
    return parts(CostBasis.BILLED, groups, capacity, matches, servers, found, str.title)


CHAT = Match(deployment_key="chat")


@given(PARTS, PARTS)
def test_each_level_makes_the_row_above_it_now_and_before(now: list[Part], before: list[Part]) -> None:
    def check(path: tuple[str, ...], cost: Decimal, old: Decimal) -> None:
        rows = drill(now, before, path, cost, old)
        if not rows:
            return
        assert exact_sum(row.cost for row in rows) == cost
        assert exact_sum(row.before for row in rows) == old
        assert all(row.is_leaf == (len(path) == len(LEVELS) - 1) for row in rows)
        if len(path) < len(LEVELS) - 1:
            for row in rows:
                check((*path, row.name), row.cost, row.before)

    check(("p",), cents(now), cents(before))


@given(st.lists(st.tuples(AMOUNTS, NAMES, st.booleans()), min_size=1), st.lists(AMOUNTS, min_size=1, max_size=3))
def test_parts_make_the_charges_to_the_last_digit(charged, shares) -> None:
    groups = [charge(str(amount), resource_name=name) for amount, name, _ in charged]
    capacity = [gpus() if is_gpu else None for _, _, is_gpu in charged]
    found = [worked(f"m{n}", str(share)) for n, share in enumerate(shares)]
    made = made_of(groups, capacity, [CHAT] * len(groups), found=found)
    assert exact_sum(part.amount for part in made) == exact_sum(amount for amount, _, _ in charged)


def test_a_pool_is_a_gpu_bought_in_one_way_in_one_place_and_has_its_price() -> None:
    groups = [charge("24", resource_name="n-1", region="eu"), charge("40", resource_id="x/i-2", region="eu")]
    made = made_of(groups, [gpus("8"), gpus("8", Purchase.ON_DEMAND)], [CHAT] * 2, found=[worked("m", "64")])
    path, rows = walk(made, None, ("Chat", "m"), Decimal("64.00"))
    assert path == ("Chat", "m")
    assert [(row.name, row.per_gpu_hour) for row in rows] == [
        ("h100-sxm, on demand, eu", Decimal(5)),
        ("h100-sxm, spot, eu", Decimal(3)),
    ]
    assert [row.name for row in walk(made, None, (*path, rows[0].name), Decimal("64.00"))[1]] == ["i-2"]


def test_what_is_for_no_model_is_named_by_what_it_is_for() -> None:
    groups = [charge("8", charge_category="Tax"), charge("5"), charge("2", service_category="Storage")]
    made = made_of(groups, [None, gpus(), None], [Match(), Match(), CHAT])
    assert {(part.product, part.model) for part in made} == {
        ("", "Tax"), ("", "Unallocated GPU"), ("Chat", "Storage"),
    }  # fmt: skip


@pytest.mark.parametrize(("servers_count", "name"), [(1, "t0"), (2, NOT_NAMED), (0, NOT_NAMED)])
def test_a_machine_without_a_name_is_the_only_server_that_it_can_be_or_is_not_named(
    servers_count: int, name: str
) -> None:
    servers = [ServerUse(target_key=f"t{n}", deployment_key="chat", model_key="m") for n in range(servers_count)]
    (part,) = made_of([charge("1")], [gpus()], [CHAT], servers, [worked("m", "1")])
    assert part.replica == name


def test_gpu_hours_are_told_only_where_every_part_tells_them() -> None:
    groups = [charge("1", resource_name="n"), charge("1", resource_name="n")]
    (part,) = made_of(groups, [gpus("8"), gpus(None)], [CHAT] * 2, found=[worked("m", "2")])
    assert part.gpu_hours is None
    assert drill([part], None, ("Chat",), Decimal(2))[0].per_gpu_hour is None


def test_work_that_nothing_was_billed_for_leaves_the_machine_with_a_model_that_is_not_known() -> None:
    (part,) = made_of([charge("3")], [gpus()], [CHAT])
    assert (part.model, part.amount) == ("no model measured", 3)


def test_a_path_that_leads_nowhere_ends_where_it_last_led() -> None:
    made = made_of([charge("3", resource_name="n")], [gpus()], [CHAT], found=[worked("m", "3")])
    assert walk(made, None, ("Chat", "gone", "x"), Decimal(3))[0] == ("Chat",)
    assert walk(made, None, ("Gone",), Decimal(3)) == (("Gone",), ())


def test_what_vanished_is_a_row_of_nothing_that_had_a_cost_before() -> None:
    old = Part(product="p", model="m", pool="x", replica="r", amount=Decimal(5))
    new = Part(product="p", model="n", pool="x", replica="r", amount=Decimal(2))
    rows = drill([new], [old], ("p",), Decimal(2), Decimal(5))
    assert [(row.name, row.cost, row.change) for row in rows] == [("n", 2, 2), ("m", 0, -5)]
