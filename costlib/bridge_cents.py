"""A table of changes in whole cents, whose rows and columns all sum to what stands beside and below them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TypeVar

from costlib.allocation import CENT, WIDE, in_cents
from costlib.billing import exact_sum
from costlib.lmdi import TermKind

Key = TypeVar("Key", bound=Hashable)
NOTHING = Decimal("0.00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group's change in whole cents: before + sum of terms = after."""

    before: Decimal
    after: Decimal
    terms: Mapping[TermKind, Decimal]

    @property
    def change(self) -> Decimal:
        return self.after - self.before


def in_cents_to(amounts: Sequence[Decimal], total: Decimal) -> list[Decimal]:
    """Amounts in whole cents that add up to `total`, which is their sum but for rounding; the largest takes that.

    >>> [str(cents) for cents in in_cents_to([Decimal("1.004"), Decimal("0.004")], Decimal("1.02"))]
    ['1.02', '0.00']
    """
    given = list(amounts)
    if not given:
        return []
    with localcontext(prec=WIDE):
        largest = max(range(len(given)), key=lambda n: abs(given[n]))
        given[largest] += total - exact_sum(given)
    return in_cents(given)


def rows_in_cents(
    effects: Mapping[Key, Mapping[TermKind, Decimal]],
    costs: Mapping[Key, tuple[Decimal, Decimal]],
    before: Decimal,
    after: Decimal,
    terms: Mapping[TermKind, Decimal],
) -> dict[Key, Row]:
    """The rows of a table by group, the dearest change first.

    Equation   sum of rows = before, after and `terms`, each to the cent; a row's terms = its after - its before.
               Largest remainder by row, then cents move within rows until the columns agree
    Returns    a row for each group; one may have a cent in a column where rounding leaves no other way
    """
    groups = list(costs)
    olds = in_cents_to([costs[group][0] for group in groups], before)
    news = in_cents_to([costs[group][1] for group in groups], after)
    table: dict[Key, dict[TermKind, Decimal]] = {}
    for group, old, new in zip(groups, olds, news, strict=True):
        mine = effects.get(group, {})
        kinds = [kind for kind in terms if kind in mine]
        if not kinds and new != old:
            kinds = list(terms)[:1]
        cents = in_cents_to([mine.get(kind, Decimal(0)) for kind in kinds], new - old)
        table[group] = dict(zip(kinds, cents, strict=True))
    _agree(table, terms)
    rows = {
        group: Row(before=old, after=new, terms={kind: table[group][kind] for kind in terms if kind in table[group]})
        for group, old, new in zip(groups, olds, news, strict=True)
    }
    return dict(sorted(rows.items(), key=lambda pair: -abs(pair[1].change)))


def _agree(table: dict[Key, dict[TermKind, Decimal]], terms: Mapping[TermKind, Decimal]) -> None:
    """Move single cents within rows until each column has the sum that `terms` says."""
    off = {
        kind: int((exact_sum(row.get(kind, NOTHING) for row in table.values()) - wanted) / CENT)
        for kind, wanted in terms.items()
    }
    # Where a cent is seen least: large cells of large rows first.
    by_size = sorted(table.values(), key=lambda row: -max(map(abs, row.values()), default=NOTHING))
    while any(off.values()):
        much, little = max(off, key=lambda kind: off[kind]), min(off, key=lambda kind: off[kind])
        amount = min(off[much], -off[little])
        both = [row for row in by_size if row.get(much) and row.get(little)]
        # Without a row that has both, any that has the one; there is one, as its column is off.
        row = (both or [row for row in by_size if much in row] or by_size)[0]
        row[much] = row.get(much, NOTHING) - amount * CENT
        row[little] = row.get(little, NOTHING) + amount * CENT
        off[much] -= amount
        off[little] += amount
