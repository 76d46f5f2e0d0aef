"""The tables of a review as every file shows them: what is too long for a page is summed in one last row."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from costlib.allocation import share_of
from costlib.billing import exact_sum
from costlib.bucket_words import WORDS
from costlib.estimate import Undefined
from costlib.review import Bridge, DetailRow, Mover, Review, Term
from pack.style import NONE, Numbers, day_text

Cell = str | Decimal | float | int | date | Undefined | None
Item = TypeVar("Item")
_HYPHENED = {"one_offs": "one-offs", "over_long_output": "over-long output", "per_mtok": "cost per million tokens"}
NO_PRODUCT, NO_TEAM, EVERYTHING = "No product", "No team", "Everything"


class Kind(StrEnum):
    TEXT = "text"  # from outside, or ours
    LONG = "long"  # a sentence
    MONEY = "money"
    CHANGE = "change"  # money with its sign
    GROWTH = "growth"  # a share with its sign
    SHARE = "share"
    CHANCE = "chance"
    BAR = "bar"  # a share, drawn as one where that is possible
    PER_MTOK = "per_mtok"
    COUNT = "count"
    FIGURE = "figure"  # a number that is text already, because each row has another unit
    DAY = "day"

    @property
    def is_text(self) -> bool:
        return self in (Kind.TEXT, Kind.LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    title: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`total` is a last row that says what the others add up to. Without rows `note` says why."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None = None
    note: str = ""


def shown(cell: Cell, kind: Kind, numbers: Numbers) -> str:
    """A cell as text; not yet escaped for the file that it goes into."""
    if cell is None or isinstance(cell, Undefined):
        return NONE
    if isinstance(cell, str):
        return cell
    if isinstance(cell, date):
        return day_text(cell)
    match kind:
        case Kind.MONEY:
            return numbers.money(_money(cell))
        case Kind.CHANGE:
            return numbers.change(_money(cell))
        case Kind.PER_MTOK:
            return numbers.per_mtok(cell)
        case Kind.GROWTH:
            return f"{'+' if cell > 0 else ''}{numbers.share(cell)}"
        case Kind.SHARE:
            return numbers.share(cell)
        case Kind.CHANCE:
            return numbers.chance(float(cell))
        case Kind.BAR:
            return numbers.share(cell, 0)
    return numbers.count(float(cell))


def _money(cell: Decimal | float) -> Decimal:
    assert isinstance(cell, Decimal)
    return cell


def largest(items: Iterable[Item], most: int, size: Callable[[Item], Decimal], name: Callable[[Item], str]) \
        -> tuple[list[Item], list[Item]]:  # fmt: skip
    """The `most` largest by absolute size, largest first, and the rest; one left over is shown by itself.

    >>> largest([Decimal(1), Decimal(-3), Decimal(2), Decimal(0)], 2, lambda n: n, str)
    ([Decimal('-3'), Decimal('2')], [Decimal('1'), Decimal('0')])
    """
    ordered = sorted(items, key=lambda item: (-abs(size(item)), name(item)))
    cut = most if len(ordered) > most + 1 else len(ordered)
    return ordered[:cut], ordered[cut:]


def product_name(product: str) -> str:
    return product or NO_PRODUCT


def team_name(team: str) -> str:
    return team or NO_TEAM


def bridge_table(review: Review) -> Table:
    columns = (Column(title="Reason"), Column(title="Amount", kind=Kind.CHANGE), Column(title="Why", kind=Kind.LONG))
    bridge = review.bridge
    if bridge is None:
        return Table(title="What changed", columns=columns, rows=(), note=no_bridge(review))
    return Table(
        title="What changed",
        columns=columns,
        rows=tuple((term_name(term.kind), term.amount, _why(term)) for term in shown_terms(bridge)),
        total=("Change", bridge.after - bridge.before, "Sum of the reasons, to the cent."),
    )


def _why(term: Term) -> str:
    """The sentence without the name that stands beside it."""
    why = term.sentence.removeprefix(f"{term_name(term.kind)}: ")
    return why[:1].upper() + why[1:]


def no_bridge(review: Review) -> str:
    if review.before is None:
        return "There is no period before this one, so nothing can be said of a change."
    return f"The change since {review.before.name} could not be explained."


def shown_terms(bridge: Bridge) -> tuple[Term, ...]:
    """Terms that moved, in their order; nothing moved: none."""
    return tuple(term for term in bridge.terms if term.amount)


def term_name(kind: str) -> str:
    """
    >>> term_name("purchase_mix")
    'Purchase mix'
    """
    words = _HYPHENED.get(str(kind), str(kind).replace("_", " "))
    return words[:1].upper() + words[1:]


def product_table(review: Review, most: int) -> Table:
    """Products by what they changed, or by what they cost in a first period."""
    has_before = review.before is not None
    kept, rest = largest(
        review.movers, most, lambda mover: mover.cost if mover.change is None else mover.change, lambda m: m.product
    )
    rows = [_product_row(mover, product_name(mover.product)) for mover in kept]
    if rest:
        rows.append(_product_row(_together(rest), f"{len(rest)} others"))
    whole = _together(list(review.movers)) if review.movers else None
    return Table(
        title="Products by change" if has_before else "Products by cost",
        columns=(
            Column(title="Product"),
            Column(title="Spend", kind=Kind.MONEY),
            Column(title="Change", kind=Kind.CHANGE),
            Column(title="Change %", kind=Kind.GROWTH),
            Column(title="From volume", kind=Kind.CHANGE),
            Column(title="From unit cost", kind=Kind.CHANGE),
            Column(title="From mix", kind=Kind.CHANGE),
            Column(title="Per 1M tokens", kind=Kind.PER_MTOK),
            Column(title="Of budget", kind=Kind.BAR),
        ),
        rows=tuple(rows),
        total=None if whole is None else _product_row(whole, "Total"),
        note="" if review.movers else "Nothing was charged in this period.",
    )


def _product_row(mover: Mover, name: str) -> tuple[Cell, ...]:
    change = mover.change
    growth = None if change is None or mover.before is None or mover.before <= 0 else share_of(change, mover.before)
    parts = (mover.from_volume, mover.from_unit_cost, mover.from_mix)
    return (name, mover.cost, change, growth, *parts, mover.per_mtok, mover.of_budget)


def _together(movers: Sequence[Mover]) -> Mover:
    """Several products as one: what is not known of one of them is not known of all."""
    return Mover(
        product="",
        cost=exact_sum(mover.cost for mover in movers),
        before=sum_of([mover.before for mover in movers]),
        from_volume=sum_of([mover.from_volume for mover in movers]),
        from_unit_cost=sum_of([mover.from_unit_cost for mover in movers]),
        from_mix=sum_of([mover.from_mix for mover in movers]),
        per_mtok=movers[0].per_mtok if len(movers) == 1 else Undefined(reason="products differ"),
        budget=sum_of([mover.budget for mover in movers]),
    )


def sum_of(amounts: Sequence[Decimal | None]) -> Decimal | None:
    return None if None in amounts else exact_sum(amount for amount in amounts if amount is not None)


def team_table(review: Review, most: int) -> Table:
    sums = [(team, exact_sum(row.amount for row in review.of_team(team))) for team in review.teams]
    kept, rest = largest(sums, most, lambda pair: pair[1], lambda pair: pair[0])
    rows: list[tuple[Cell, ...]] = [(team_name(team), amount, share_of(amount, review.total)) for team, amount in kept]
    if rest:
        amount = exact_sum(part for _, part in rest)
        rows.append((f"{len(rest)} others", amount, share_of(amount, review.total)))
    return Table(
        title="Chargeback by team",
        columns=(
            Column(title="Team"), Column(title="Amount", kind=Kind.MONEY), Column(title="Share", kind=Kind.SHARE)
        ),
        rows=tuple(rows),
        total=("Total", review.total, None),
        note="" if rows else "Nothing was charged in this period.",
    )  # fmt: skip


def statement_table(rows: Iterable[DetailRow], most: int = 0) -> Table:
    """One team's rows, those of a product, model and bucket together; with `most`, the largest and the others' sum."""
    sums: dict[tuple[str, str, str], list[DetailRow]] = {}
    for row in rows:
        sums.setdefault((product_name(row.product), row.model, WORDS[row.bucket][0]), []).append(row)
    amounts = {key: exact_sum(row.amount for row in group) for key, group in sums.items()}
    tokens = {key: _tokens([row.tokens for row in group]) for key, group in sums.items()}
    kept, rest = largest(sums, most or len(sums), amounts.__getitem__, " ".join)
    lines: list[tuple[Cell, ...]] = [(*key, tokens[key], amounts[key]) for key in sorted(kept)]
    if rest:
        lines.append((f"{len(rest)} others", "", "", None, exact_sum(amounts[key] for key in rest)))
    return Table(
        title="What it is for",
        columns=(
            Column(title="Product"),
            Column(title="Model"),
            Column(title="For"),
            Column(title="Tokens", kind=Kind.COUNT),
            Column(title="Amount", kind=Kind.MONEY),
        ),
        rows=tuple(lines),
        total=("Total", "", "", None, exact_sum(amounts.values())),
    )


def _tokens(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count for count in counts if count is not None)
