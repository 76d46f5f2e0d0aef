"""Why a bill changed from one period to another: parts that sum to the change, in all and by item, product, team."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.books import Bucket
from costlib.bridge_cents import Key, Row, in_cents_to, rows_in_cents
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.lmdi import Link, TermKind, chained, closed
from costlib.slices import Item, ItemKind, Slice
from costlib.unit_cost import CLASS_BUCKETS

Effects = Mapping[TermKind, Decimal]
_WHOLE = {ItemKind.SHARED: TermKind.OTHER_SERVICES, ItemKind.ONE_OFF: TermKind.ONE_OFFS}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """One item in both periods, to the last digit. A slice is None in the period that has none of it."""

    item: Item
    before: Slice | None
    after: Slice | None
    effects: Effects

    @property
    def cost_before(self) -> Decimal:
        return self.before.cost if self.before else Decimal(0)

    @property
    def cost_after(self) -> Decimal:
        return self.after.cost if self.after else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """From the cost of one period to that of the next, in whole cents: before + sum of terms = after.

    Each table has the same sums: its rows make `before` and `after`, and each column of terms makes that of `terms`.
    """

    before: Decimal
    after: Decimal
    terms: Mapping[TermKind, Decimal]  # those that any item has a part of, in their order
    items: tuple[ItemChange, ...]  # exact
    before_tokens: int  # of what has tokens in both periods
    after_tokens: int
    by_item: Mapping[Item, Row]
    by_product: Mapping[str, Row]
    by_model: Mapping[str, Row]
    by_team: Mapping[str, Row]

    @property
    def change(self) -> Decimal:
        return self.after - self.before

    def tokens_fraction(self) -> float | Undefined:
        """How much more tokens there were: 0.12 is 12 % more; of items whose tokens are known in both periods."""
        if not self.before_tokens:
            return Undefined(reason="no tokens were measured in both periods")
        return self.after_tokens / self.before_tokens - 1


def product_of_deployment(item: Item) -> str:
    """Products where nobody names them: deployments, and "" for what belongs to none."""
    return item.deployment_key


def cost_change(
    before: Iterable[Slice], after: Iterable[Slice], product_of: Callable[[Item], str] = product_of_deployment
) -> CostChange:
    """The change between two periods, in one currency and on one basis, item by item.

    Equation   GPU items: cost = V (v/V) (w/v) (b/w) (m/b) (h/m) (L/h) (C/L); API items: cost = V (v/V) (w/v) (C/w);
               effects by `chained`, which is LMDI where every quantity is known and above 0
    Symbols    V tokens of all items known in both periods   v of the item   w tokens weighted by class, at what a token
               of it cost in both periods together   b busy, m measured, h billed GPU-hours   L list price   C cost
               Their changes are called volume, token mix (v/V and w/v), efficiency, idle, not measured, price and
               purchase mix
    Returns    a CostChange. An item of one period only is volume when it has tokens, idle when its servers counted
               none, else not measured. An item that worked in one period only: the cost of its work is volume, the
               rest goes by hours and rates. A bill without list prices in both periods has none: what is paid is the
               price. Where a deployment's teams are others than before, because nobody named them then, it is compared
               whole, and for each team the rest is not measured. Shared services and one-offs are their own terms
    Raises     DomainError when an item is given twice
    Valid for  the same cost basis and currency on both sides
    Example    a tax that was not there before
    >>> from costlib.books import Bucket
    >>> tax = Slice(item=Item(kind=ItemKind.ONE_OFF, bucket="tax"), amounts={Bucket.TAX: Decimal("1.234")})
    >>> found = cost_change([], [tax])
    >>> {str(kind): amount for kind, amount in found.terms.items()}, found.after
    ({'one_offs': Decimal('1.23')}, Decimal('1.23'))
    """
    old, new = _by_item(before), _by_item(after)
    pairs = [(item, old.get(item), new.get(item)) for item in sorted(old.keys() | new.keys())]
    unit_costs, moved = _unit_costs(pairs), _moved(pairs)
    volume = _volume([*(pair for pair in pairs if _server(pair[0]) not in moved), *moved.values()])
    whole = {server: _effects(*pair, volume, unit_costs) for server, pair in moved.items()}
    items = tuple(
        ItemChange(
            item=item,
            before=a,
            after=b,
            effects=_effects(item, a, b, volume, unit_costs)
            if _server(item) not in moved
            else _part_of_moved(a, b, moved[_server(item)], whole[_server(item)]),
        )
        for item, a, b in pairs
    )
    (start,) = in_cents([exact_sum(one.cost_before for one in items)])
    (end,) = in_cents([exact_sum(one.cost_after for one in items)])
    exact = _added(items, lambda _: "").get("", {})
    kinds = [kind for kind in TermKind if kind in exact]
    cents = in_cents_to([exact[kind] for kind in kinds], end - start)
    terms = dict(zip(kinds, cents, strict=True))

    def table(key: Callable[[Item], Key]) -> dict[Key, Row]:
        groups = _added(items, key)
        ends = _ends(items, key)
        return rows_in_cents(groups, ends, start, end, terms)

    return CostChange(
        before=start,
        after=end,
        terms=terms,
        items=items,
        before_tokens=volume[0],
        after_tokens=volume[1],
        by_item=table(lambda item: item),
        by_product=table(product_of),
        by_model=table(lambda item: item.model_key),
        by_team=table(lambda item: item.team),
    )


def _by_item(slices: Iterable[Slice]) -> dict[Item, Slice]:
    found: dict[Item, Slice] = {}
    for one in slices:
        if one.item in found:
            raise DomainError(f"{one.item} is given twice in one period; add its slices up first.")
        found[one.item] = one
    return found


def _added(items: Iterable[ItemChange], key: Callable[[Item], Key]) -> dict[Key, dict[TermKind, Decimal]]:
    parts: dict[Key, dict[TermKind, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for one in items:
        mine = parts[key(one.item)]
        for kind, amount in one.effects.items():
            mine[kind].append(amount)
    return {group: {kind: exact_sum(amounts) for kind, amounts in by.items()} for group, by in parts.items()}


def _ends(items: Iterable[ItemChange], key: Callable[[Item], Key]) -> dict[Key, tuple[Decimal, Decimal]]:
    costs: dict[Key, tuple[list[Decimal], list[Decimal]]] = defaultdict(lambda: ([], []))
    for one in items:
        costs[key(one.item)][0].append(one.cost_before)
        costs[key(one.item)][1].append(one.cost_after)
    return {group: (exact_sum(olds), exact_sum(news)) for group, (olds, news) in costs.items()}


# One item -------------------------------------------------------------------------------------------------------------

_Pair = tuple[Item, Slice | None, Slice | None]
_UnitCosts = Mapping[tuple[Item, str], float]


def _effects(
    item: Item, before: Slice | None, after: Slice | None, volume: tuple[int, int], unit_costs: _UnitCosts
) -> Effects:
    old, new = (one.cost if one else Decimal(0) for one in (before, after))
    if item.kind in _WHOLE:
        return _all_of(_WHOLE[item.kind], old, new)
    if before is None or after is None:
        return _all_of(_of_one_period(before or after), old, new)
    tokens = _tokens(before, after)
    works = [bool(count) for count in tokens] if tokens else []
    if any(works) and not all(works):
        if item.kind is ItemKind.API:
            return _all_of(TermKind.VOLUME, old, new)
        return _worked_once(before, after)
    weighted = _weighted(item, before, after, unit_costs) if any(works) else tokens
    total: tuple[float, float] | None = volume if tokens and all(works) else tokens
    links = [
        _link(TermKind.VOLUME, total),
        _link(TermKind.TOKEN_MIX, tokens),
        _link(TermKind.TOKEN_MIX, weighted),
    ]
    if item.kind is ItemKind.API:
        links.append(Link(kind=TermKind.PRICE, old=float(old), new=float(new)))
    else:
        links += [
            Link(kind=TermKind.EFFICIENCY, old=before.busy_gpu_hours, new=after.busy_gpu_hours),
            Link(kind=TermKind.IDLE, old=before.measured_gpu_hours, new=after.measured_gpu_hours),
            Link(kind=TermKind.NOT_MEASURED, old=before.billed_gpu_hours, new=after.billed_gpu_hours),
            *_rates(before, after),
        ]
    return chained(links, old, new)


def _all_of(kind: TermKind, old: Decimal, new: Decimal) -> Effects:
    found = closed({kind: 0.0}, old, new)
    return {kind: amount for kind, amount in found.items() if amount}


def _of_one_period(only: Slice | None) -> TermKind:
    """What the cost of an item that the other period has none of is called."""
    tokens = only.tokens_count if only else None
    if tokens is None:
        return TermKind.NOT_MEASURED
    return TermKind.VOLUME if tokens else TermKind.IDLE


def _tokens(before: Slice, after: Slice) -> tuple[int, int] | None:
    """Tokens of both periods; None where they count different classes, or none."""
    old, new = before.tokens_count, after.tokens_count
    if old is None or new is None or before.tokens.keys() != after.tokens.keys():
        return None
    return old, new


def _volume(pairs: Iterable[_Pair]) -> tuple[int, int]:
    """Tokens of the items that have some in both periods."""
    counts = [_tokens(before, after) for _, before, after in pairs if before and after]
    both = [pair for pair in counts if pair and all(pair)]
    return sum(old for old, _ in both), sum(new for _, new in both)


def _unit_costs(pairs: Sequence[_Pair]) -> dict[tuple[Item, str], float]:
    """What a token of each class cost in both periods together, by deployment or provider, and model."""
    costs: dict[tuple[Item, str], list[Decimal]] = defaultdict(list)
    tokens: dict[tuple[Item, str], int] = defaultdict(int)
    for item, before, after in pairs:
        for one in (before, after):
            for kind, count in (one.tokens if one else {}).items():
                key = (_server(item), str(kind))
                costs[key].append(one.amounts.get(CLASS_BUCKETS[kind], Decimal(0)) if one else Decimal(0))
                tokens[key] += count
    return {key: max(0.0, float(exact_sum(costs[key])) / count) if (count := tokens[key]) else 0.0 for key in costs}


def _server(item: Item) -> Item:
    """The item for all teams: what a token costs there is the same for each of them."""
    return Item(kind=item.kind, deployment_key=item.deployment_key, model_key=item.model_key, provider=item.provider)


def _moved(pairs: Iterable[_Pair]) -> dict[Item, _Pair]:
    """Deployments and providers, by model, none of whose teams is in both periods: all their teams added up."""
    by_server: dict[Item, tuple[list[Slice], list[Slice]]] = defaultdict(lambda: ([], []))
    stayed = set()
    for item, before, after in pairs:
        if item.kind in _WHOLE:
            continue
        olds, news = by_server[_server(item)]
        olds += [before] if before else []
        news += [after] if after else []
        if before and after:
            stayed.add(_server(item))
    return {
        server: (server, _together(server, olds), _together(server, news))
        for server, (olds, news) in by_server.items()
        if olds and news and server not in stayed
    }


def _together(server: Item, slices: Sequence[Slice]) -> Slice:
    amounts: dict[Bucket, Decimal] = defaultdict(Decimal)
    for one in slices:
        for bucket, amount in one.amounts.items():
            amounts[bucket] = exact_sum((amounts[bucket], amount))
    lists = [one.list_cost for one in slices if one.list_cost is not None]
    classes = set.intersection(*(set(one.tokens) for one in slices))
    return Slice(
        item=server,
        amounts=amounts,
        tokens={kind: sum(one.tokens[kind] for one in slices) for kind in slices[0].tokens if kind in classes},
        busy_gpu_hours=_hours(one.busy_gpu_hours for one in slices),
        measured_gpu_hours=_hours(one.measured_gpu_hours for one in slices),
        billed_gpu_hours=_hours(one.billed_gpu_hours for one in slices),
        list_cost=exact_sum(lists) if len(lists) == len(slices) else None,
    )


def _hours(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else math.fsum(hours for hours in known if hours is not None)


def _part_of_moved(before: Slice | None, after: Slice | None, whole: _Pair, effects: Effects) -> Effects:
    """A team's part of what happened to all, by cost; of those there are now, or of those before if now costs nothing.

    The rest of its change is that it was not named before, or is not now: over all teams that is nothing but rounding.
    """
    old, new = (one.cost if one else Decimal(0) for one in (before, after))
    old_total, new_total = (one.cost if one else Decimal(0) for one in whole[1:])
    mine, total = (new, new_total) if new_total else (old, old_total)
    share = float(mine / total) if total else 0.0
    parts = {kind: float(amount) * share for kind, amount in effects.items()}
    return closed(parts, old, new, TermKind.NOT_MEASURED)


def _weighted(item: Item, before: Slice, after: Slice, unit_costs: _UnitCosts) -> tuple[float, float] | None:
    found = [
        sum(count * unit_costs[_server(item), str(kind)] for kind, count in one.tokens.items())
        for one in (before, after)
    ]
    return (found[0], found[1]) if all(found) else None


def _rates(before: Slice, after: Slice, old_part: float = 1.0, new_part: float = 1.0) -> list[Link]:
    """List price and cost, or a part of them."""
    lists = [before.list_cost, after.list_cost]
    old, new = float(before.cost) * old_part, float(after.cost) * new_part
    if not any(lists):  # nothing to get a discount on
        return [Link(kind=TermKind.PRICE, old=old, new=new)]
    listed = [
        None if cost is None else float(cost) * part for cost, part in zip(lists, (old_part, new_part), strict=True)
    ]
    return [
        Link(kind=TermKind.PRICE, old=listed[0], new=listed[1]),
        Link(kind=TermKind.PURCHASE_MIX, old=old, new=new),
    ]


def _worked_once(before: Slice, after: Slice) -> Effects:
    """GPUs that worked in one of the periods: their work is volume; the rest is idle hours and their rates."""
    volume = closed({TermKind.VOLUME: 0.0}, before.work_cost, after.work_cost)
    rests = [exact_sum((one.cost, one.work_cost.copy_negate())) for one in (before, after)]
    parts = [float(rest / one.cost) if one.cost else 0.0 for rest, one in zip(rests, (before, after), strict=True)]
    idle, rest_hours = (
        [_less(hours, one.busy_gpu_hours) for one, hours in zip((before, after), pair, strict=True)]
        for pair in (
            (before.measured_gpu_hours, after.measured_gpu_hours),
            (before.billed_gpu_hours, after.billed_gpu_hours),
        )
    )
    rest = chained(
        [
            Link(kind=TermKind.IDLE, old=idle[0], new=idle[1]),
            Link(kind=TermKind.NOT_MEASURED, old=rest_hours[0], new=rest_hours[1]),
            *_rates(before, after, *parts),
        ],
        *rests,
    )
    kinds = [kind for kind in TermKind if kind in volume or kind in rest]
    return {kind: exact_sum((volume.get(kind, Decimal(0)), rest.get(kind, Decimal(0)))) for kind in kinds}


def _less(hours: float | None, busy: float | None) -> float | None:
    return None if hours is None or busy is None else max(0.0, hours - busy)


def _link(kind: TermKind, pair: tuple[float, float] | None) -> Link:
    return Link(kind=kind, old=None if pair is None else pair[0], new=None if pair is None else pair[1])
