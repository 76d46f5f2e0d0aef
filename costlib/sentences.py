"""A change of cost in words: one plain sentence for each term. Names are as given; who shows them escapes them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from costlib.billing import exact_sum
from costlib.bridge import CostChange, ItemChange, product_of_deployment
from costlib.bridge_cents import Row
from costlib.estimate import Undefined
from costlib.lmdi import TermKind
from costlib.review import Bridge, Term
from costlib.slices import Item, ItemKind, Slice

LABELS = {
    TermKind.VOLUME: "Volume",
    TermKind.TOKEN_MIX: "Token mix",
    TermKind.PRICE: "Price",
    TermKind.EFFICIENCY: "Efficiency",
    TermKind.IDLE: "Idle",
    TermKind.PURCHASE_MIX: "Purchase mix",
    TermKind.ONE_OFFS: "One-offs",
    TermKind.OTHER_SERVICES: "Other services",
    TermKind.NOT_MEASURED: "Not measured",
}
_BY_BUCKET = (TermKind.ONE_OFFS, TermKind.OTHER_SERVICES)
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
_NAMED_AT_MOST = 3
_MOST = 0.5  # of all that moved the same way: then it was mostly one
_SMALL = Decimal(100)  # below this, cents are shown
_NAMELESS = "what no product is known for"


def sentences(
    found: CostChange, currency: str, product_of: Callable[[Item], str] = product_of_deployment
) -> dict[TermKind, str]:
    """What each term of `found` says, in its order; `product_of` as `found` was made with.

    Example    a deployment with twice the tokens on twice the hours
    >>> from costlib.books import Bucket, TokenClass
    >>> from costlib.bridge import cost_change
    >>> item = Item(kind=ItemKind.GPU, deployment_key="support-copilot")
    >>> week, next_week = (Slice(item=item, amounts={Bucket.OUTPUT: Decimal(n)}, tokens={TokenClass.OUTPUT: n},
    ...                          busy_gpu_hours=n, measured_gpu_hours=n, billed_gpu_hours=n) for n in (1234, 2468))
    >>> print(sentences(cost_change([week], [next_week]), "USD")[TermKind.VOLUME])
    Volume: 100 % more tokens, mostly support-copilot, cost $1,234 more.
    """
    said = {}
    for kind, amount in found.terms.items():
        if not amount:
            said[kind] = f"{LABELS[kind]}: no change."
            continue
        reason = _reason(kind, amount > 0, found)
        names = _movers(kind, found, product_of)
        parts = [part for part in (reason, _named(names, amount), _new_and_gone(kind, found, product_of)) if part]
        result = f"{'cost' if amount > 0 else 'saved'} {money(amount, currency)}{' more' if amount > 0 else ''}"
        said[kind] = f"{LABELS[kind]}: {', '.join([*parts, result])}."
    return said


def money(amount: Decimal, currency: str) -> str:
    """An amount without its sign; whole from a hundred on.

    >>> money(Decimal("-1234.56"), "USD"), money(Decimal("9.5"), "CHF")
    ('$1,235', 'CHF 9.50')
    """
    size = abs(amount)
    number = f"{size:,.2f}" if size < _SMALL else f"{size:,.0f}"
    return f"{_SYMBOLS[currency]}{number}" if currency in _SYMBOLS else f"{currency} {number}"


def headline(found: CostChange, currency: str) -> str:
    """What came of it all.

    >>> from costlib.bridge import cost_change
    >>> headline(cost_change([], []), "USD")
    'As much as before: $0.00.'
    """
    change = found.change
    if not change:
        return f"As much as before: {money(found.after, currency)}."
    times = f" ({abs(change) / found.before:.1%})" if found.before > 0 else ""
    ends = f"{_signed(found.before, currency)} to {_signed(found.after, currency)}"
    return f"{money(change, currency)} {'more' if change > 0 else 'less'}{times}: from {ends}."


def _signed(amount: Decimal, currency: str) -> str:
    return f"{'-' if amount < 0 else ''}{money(amount, currency)}"


# Why ------------------------------------------------------------------------------------------------------------------


def _reason(kind: TermKind, is_more: bool, found: CostChange) -> str:
    match kind:
        case TermKind.VOLUME:
            return _volume(found)
        case TermKind.TOKEN_MIX:
            return f"{'dearer' if is_more else 'cheaper'} products, models or classes among the tokens"
        case TermKind.PRICE:
            return f"{'higher' if is_more else 'lower'} prices"
        case TermKind.EFFICIENCY:
            return f"{'more' if is_more else 'fewer'} busy GPU-hours for the same tokens"
        case TermKind.IDLE:
            return _from_to("idle share of GPU-hours", _idle_shares(found.items)) or (
                f"{'more' if is_more else 'fewer'} GPU-hours that did nothing"
            )
        case TermKind.PURCHASE_MIX:
            return _from_to("paid of the list price", _paid_shares(found.items)) or (
                f"{'less' if is_more else 'more'} saved on list prices"
            )
        case TermKind.NOT_MEASURED:
            return "tokens, hours or list prices are not known in both periods, so the reasons are not told apart"
        case _:
            return ""


def _volume(found: CostChange) -> str:
    fraction = found.tokens_fraction()
    if isinstance(fraction, Undefined):
        return ""
    if abs(fraction) < 0.0005:
        return "as many tokens as before"
    if fraction >= 2:
        return f"{fraction + 1:.1f} times the tokens"
    digits = 0 if abs(fraction) >= 0.1 else 1
    return f"{abs(fraction) * 100:.{digits}f} % {'more' if fraction > 0 else 'fewer'} tokens"


def _from_to(what: str, shares: Sequence[float | None]) -> str:
    old, new = shares
    if old is None or new is None or f"{old:.1%}" == f"{new:.1%}":
        return ""
    return f"{what} {old * 100:.1f} % to {new * 100:.1f} %"


def _idle_shares(items: Iterable[ItemChange]) -> list[float | None]:
    def share(slices: list[Slice]) -> float | None:
        known = [
            (one.busy_gpu_hours, one.measured_gpu_hours)
            for one in slices
            if one.busy_gpu_hours is not None and one.measured_gpu_hours is not None
        ]
        measured = sum(hours for _, hours in known)
        return 1 - sum(busy for busy, _ in known) / measured if measured else None

    return [share(slices) for slices in _of_both(items)]


def _paid_shares(items: Iterable[ItemChange]) -> list[float | None]:
    def share(slices: list[Slice]) -> float | None:
        listed = [one for one in slices if one.list_cost is not None]
        whole = exact_sum(one.list_cost or Decimal(0) for one in listed)
        return float(exact_sum(one.cost for one in listed) / whole) if whole > 0 else None

    return [share(slices) for slices in _of_both(items)]


def _of_both(items: Iterable[ItemChange]) -> tuple[list[Slice], list[Slice]]:
    """GPU items that both periods have, before and after."""
    both = [(one.before, one.after) for one in items if one.item.kind is ItemKind.GPU and one.before and one.after]
    return [old for old, _ in both], [new for _, new in both]


# Who ------------------------------------------------------------------------------------------------------------------


def _movers(kind: TermKind, found: CostChange, product_of: Callable[[Item], str]) -> Mapping[str, Decimal]:
    if kind is TermKind.VOLUME:
        return _own_volume(found, product_of)
    if kind not in _BY_BUCKET:
        return {name: row.terms.get(kind, Decimal(0)) for name, row in found.by_product.items()}
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for item, row in found.by_item.items():
        amounts[item.bucket.replace("_", " ")].append(row.terms.get(kind, Decimal(0)))
    return {name: exact_sum(parts) for name, parts in amounts.items()}


def _own_volume(found: CostChange, product_of: Callable[[Item], str]) -> Mapping[str, Decimal]:
    """What each product's own tokens moved, at what one cost in both periods together. Its part of the term would not
    tell: that is its part of the cost, as volume is the change of all tokens, and who changed more is mix."""
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for one in found.items:
        before, after = (sum(part.tokens.values()) if part else 0 for part in (one.before, one.after))
        if before + after:
            moved = Decimal(after - before) / (before + after)
            amounts[product_of(one.item)].append((one.cost_before + one.cost_after) * moved)
    return {name: exact_sum(parts) for name, parts in amounts.items()}


def _named(amounts: Mapping[str, Decimal], term: Decimal) -> str:
    """Who made most of a term; nobody where many did."""
    same_way = sorted((-abs(amount), name) for name, amount in amounts.items() if amount * term > 0)
    whole = exact_sum(amount for amount, _ in same_way)
    if not whole:
        return ""
    first = same_way[0][0]
    names = [name or _NAMELESS for _, name in same_way]
    if first / whole > _MOST:
        return f"mostly {names[0]}"
    return f"{names[0]} and {names[1]} most of all" if len(names) > 1 else ""


def _new_and_gone(kind: TermKind, found: CostChange, product_of: Callable[[Item], str]) -> str:
    if kind is not TermKind.VOLUME:
        return ""
    products: dict[str, list[ItemChange]] = defaultdict(list)
    for one in found.items:
        if one.item.kind in (ItemKind.GPU, ItemKind.API) and product_of(one.item):
            products[product_of(one.item)].append(one)
    new = [name for name, own in products.items() if all(one.before is None for one in own)]
    gone = [name for name, own in products.items() if all(one.after is None for one in own)]
    said = [f"{what} {_listed(names)}" for what, names in (("new:", new), ("gone:", gone)) if names]
    return ", ".join(said)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def row_text(name: str, row: Row, currency: str) -> str:
    """One product, model or team: what its change was mostly.

    >>> row = Row(before=Decimal(10), after=Decimal(15), terms={TermKind.VOLUME: Decimal(5)})
    >>> row_text("chat", row, "USD")
    'chat: $5.00 more, mostly volume'
    """
    if not row.change:
        return f"{name or _NAMELESS}: no change"
    kind = max(row.terms, key=lambda one: row.terms[one] * row.change)
    more = f"{money(row.change, currency)} {'more' if row.change > 0 else 'less'}"
    return f"{name or _NAMELESS}: {more}, mostly {LABELS[kind].lower()}"


def for_review(
    found: CostChange,
    currency: str,
    product_of: Callable[[Item], str] = product_of_deployment,
    evidence_of: Mapping[TermKind, str] | None = None,
) -> Bridge:
    """The change as the weekly review has it: terms with their sentences and links, and each product's terms.

    >>> from costlib.bridge import cost_change
    >>> for_review(cost_change([], []), "USD").terms
    ()
    """
    links, said = evidence_of or {}, sentences(found, currency, product_of)
    return Bridge(
        before=found.before,
        after=found.after,
        terms=tuple(
            Term(kind=kind, amount=amount, sentence=said[kind], evidence=links.get(kind, ""))
            for kind, amount in found.terms.items()
        ),
        by_item={
            name: tuple(Term(kind=kind, amount=amount) for kind, amount in row.terms.items())
            for name, row in found.by_product.items()
        },
    )
