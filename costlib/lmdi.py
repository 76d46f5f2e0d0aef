"""The change of a product, cut exactly into what each of its factors did (logarithmic mean Divisia index)."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum

from costlib.allocation import WIDE
from costlib.billing import SMALLEST, exact_sum
from costlib.errors import DomainError

_BEYOND_MONEY = 1e20  # what only quantities that are next to nothing make of a bill


class TermKind(StrEnum):
    """Why a bill changed, in the order in which it is shown."""

    VOLUME = "volume"  # more or fewer tokens
    TOKEN_MIX = "token_mix"  # other products, models, teams or classes among them
    PRICE = "price"  # list price of a GPU-hour, or what an API asks for its tokens
    EFFICIENCY = "efficiency"  # busy GPU-hours for the same tokens
    IDLE = "idle"  # owned GPU-hours for the same busy ones
    PURCHASE_MIX = "purchase_mix"  # what is paid of the list price
    ONE_OFFS = "one_offs"
    OTHER_SERVICES = "other_services"
    NOT_MEASURED = "not_measured"  # several of the above, which the data do not tell apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One quantity of the chain from tokens to money, in both periods, and what a change of it over the one before it
    is called. None: not known."""

    kind: TermKind
    old: float | None  # in the unit of the quantity, as is the next
    new: float | None


def lmdi(before: Sequence[float], after: Sequence[float]) -> tuple[float, ...]:
    """What each factor did to the product of all (domain_math §12.8).

    Equation   V = x_1 x_2 ... x_n;  effect_k = L(V1, V0) ln(x_k1 / x_k0),  L(a, b) = (a - b) / ln(a / b), L(a, a) = a
    Returns    effects in the unit of the product; they sum to its change
    Raises     DomainError unless every factor is more than 0
    Source     Ang, The LMDI approach to decomposition analysis (2005)
    Example    twice as many at half as much more: of the change from 1 to 3
    >>> [round(effect, 3) for effect in lmdi([1.0, 1.0], [2.0, 1.5])]
    [1.262, 0.738]
    """
    if not all(0 < value < math.inf for value in (*before, *after)):
        raise DomainError(f"logarithms need factors above 0, not {list(before)} and {list(after)}")
    logs = [math.log(new) - math.log(old) for old, new in zip(before, after, strict=True)]
    return _effects(math.prod(before), math.prod(after), logs)


def _effects(start: float, end: float, logs: Sequence[float]) -> tuple[float, ...]:
    """`logs` sum to ln(end / start)."""
    total = math.fsum(logs)
    near = math.expm1(total) / total if 0 < abs(total) <= 1 else 1.0
    mean = start * near if abs(total) <= 1 else (end - start) / total
    return tuple(mean * log for log in logs)


def chained(links: Sequence[Link], before: Decimal, after: Decimal) -> dict[TermKind, Decimal]:
    """The change of a cost by the links of its chain, the last of which is the cost itself; sums to it exactly.

    Equation   factor_k = quantity_k / quantity_(k-1), then `lmdi`
    Returns    effects by kind. A quantity unknown in one of the periods is left out, and what it would have told
               apart is NOT_MEASURED; one that is 0 in both is left out without that. From the first quantity on that
               is 0 or negative in one period, logarithms do not reach: with Q the last before it and r = cost / Q,
               mean r x the effects on Q, and mean Q x change of r of the one link that is left, else NOT_MEASURED
    Example    the same tokens for twice the money
    >>> chain = [Link(kind=TermKind.VOLUME, old=5.0, new=5.0),
    ...          Link(kind=TermKind.PRICE, old=1.0, new=2.0)]
    >>> {str(kind): int(amount) for kind, amount in chained(chain, Decimal(1), Decimal(2)).items()}
    {'volume': 0, 'price': 1}
    """
    if not before and not after:
        return {}
    known = _known(links)
    reach = next((n for n, (_, old, new) in enumerate(known) if not (old > 0 and new > 0)), len(known))
    kinds = [kind for kind, _, _ in known[:reach]]
    olds, news = [old for _, old, _ in known[:reach]], [new for _, _, new in known[:reach]]
    effects: dict[TermKind, float] = defaultdict(float)
    if reach:
        grown = [math.log(new) - math.log(old) for old, new in zip(olds, news, strict=True)]
        first = _effects(olds[-1], news[-1], [log - last for log, last in zip(grown, [0.0, *grown], strict=False)])
        rates = (1.0, 1.0) if reach == len(known) else (float(before) / olds[-1], float(after) / news[-1])
        for kind, effect in zip(kinds, first, strict=True):
            effects[kind] += effect * (rates[0] + rates[1]) / 2
    if reach == len(known):
        return closed(effects, before, after)
    is_one = reach and reach == len(known) - 1
    return closed(effects, before, after, known[reach][0] if is_one else TermKind.NOT_MEASURED)


def closed(
    effects: dict[TermKind, float], before: Decimal, after: Decimal, rest: TermKind | None = None
) -> dict[TermKind, Decimal]:
    """Effects as money that sums to the change to the last digit: `rest`, else the largest, takes what is left.

    >>> {str(kind): str(amount) for kind, amount in closed({TermKind.PRICE: 2.0}, Decimal(1), Decimal("3.1")).items()}
    {'price': '2.100000000000000000'}
    """
    with localcontext(prec=WIDE):
        change = after - before
        if not all(abs(value) < _BEYOND_MONEY for value in effects.values()):
            return {TermKind.NOT_MEASURED: change}
        amounts = {kind: Decimal(value).quantize(SMALLEST) for kind, value in effects.items()}
        taker = rest or max(amounts, key=lambda kind: abs(amounts[kind]), default=TermKind.NOT_MEASURED)
        amounts[taker] = amounts.get(taker, Decimal(0)) + change - exact_sum(amounts.values())
    return amounts


def _known(links: Sequence[Link]) -> list[tuple[TermKind, float, float]]:
    found, is_blurred = [], False
    for link in links:
        old, new = link.old, link.new
        if old is None or new is None or not (math.isfinite(old) and math.isfinite(new)):
            is_blurred = True
        elif old or new:
            found.append((TermKind.NOT_MEASURED if is_blurred else link.kind, old, new))
            is_blurred = False
    return found
