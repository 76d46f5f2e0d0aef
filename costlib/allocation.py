"""Money, divided without loss: by any weights, and in whole cents that add up."""

import math
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any, TypeVar

from costlib.billing import MONEY_PRECISION, SMALLEST, exact_sum
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.units import TOKENS_PER_MTOK

CENT = Decimal("0.01")
WIDE = 2 * MONEY_PRECISION  # digits: a product of two amounts is exact before it is rounded


Key = TypeVar("Key", bound="str | tuple[str, ...]")
Weight = int | float | Decimal


def split(
    amount: Decimal, weights: Mapping[Key, Weight], fallback: Key, smallest: Decimal = SMALLEST
) -> dict[Key, Decimal]:
    """`amount` by `weights`, in whole multiples of `smallest`, by largest remainder.

    Equation   share_k = amount x weight_k / sum of weights, rounded so that the shares sum to the amount
    Returns    a share for every key; the order of the weights plays no part, and of two equal remainders the smaller
               key gets more. A negative amount is the negative of the positive one. Weights that say nothing (none,
               all zero, one negative, infinite or NaN) leave the whole amount with `fallback`
    Raises     DomainError when the amount is no multiple of `smallest`
    Example    one cent over three equal weights (domain_math §14, vector 35)
    >>> split(Decimal("0.01"), {"c": 1, "a": 1, "b": 1}, "rest", Decimal("0.01"))
    {'c': Decimal('0.00'), 'a': Decimal('0.01'), 'b': Decimal('0.00')}
    >>> split(Decimal("-7"), {"a": 0.0}, "rest", Decimal(1))
    {'rest': Decimal('-7'), 'a': Decimal('0')}
    """
    whole = _multiple(amount, smallest)
    counts = whole_split(abs(whole), weights, fallback)
    sign = -1 if whole < 0 else 1
    with localcontext(prec=WIDE):
        return {key: sign * count * smallest for key, count in counts.items()}


def whole_split(whole: int, weights: Mapping[Key, Weight], fallback: Key) -> dict[Key, int]:
    """As `split`, for `whole` >= 0 things that cannot be cut, such as tokens.

    >>> whole_split(10, {"a": 1, "b": 2}, "rest")
    {'a': 3, 'b': 7}
    """
    exact = _whole_weights(weights)
    total = sum(exact)
    if not total:
        return {fallback: whole, **{key: 0 for key in weights if key != fallback}}
    floors, rests = [], []
    for weight in exact:
        count, rest = divmod(whole * weight, total)
        floors.append(count)
        rests.append(rest)
    counts = dict(zip(weights, floors, strict=True))
    if missing := whole - sum(floors):
        least = sorted(rests, reverse=True)[missing - 1]
        above = [key for key, rest in zip(weights, rests, strict=True) if rest > least]
        ties = sorted(key for key, rest in zip(weights, rests, strict=True) if rest == least)
        for key in above + ties[: missing - len(above)]:
            counts[key] += 1
    return counts


def _multiple(amount: Decimal, smallest: Decimal) -> int:
    with localcontext(prec=WIDE):
        if amount.is_finite() and not amount % smallest:
            return int(amount / smallest)
    raise DomainError(f"{amount} is no multiple of {smallest}, so its shares could not add up; round it first.")


def _whole_weights(weights: Mapping[Any, Weight]) -> list[int]:
    """The weights as whole numbers in the same proportion, exactly; none when they say nothing."""
    if not all((isinstance(weight, int) or math.isfinite(weight)) and weight >= 0 for weight in weights.values()):
        return []
    ratios = [weight.as_integer_ratio() for weight in weights.values()]
    common = math.lcm(*{denominator for _, denominator in ratios})
    return [numerator * (common // denominator) for numerator, denominator in ratios]


def in_cents(amounts: list[Decimal]) -> list[Decimal]:
    """Amounts in whole cents that add up to the rounded total, by largest remainder; ties go to the earlier one.

    Example    one cent over three equal weights (domain_math §14, vector 35)
    >>> [str(cents) for cents in in_cents([Decimal("0.01") / 3] * 3)]
    ['0.01', '0.00', '0.00']
    """
    with localcontext(prec=WIDE):
        total = exact_sum(amounts).quantize(CENT)
        cents = [amount.quantize(CENT, ROUND_FLOOR) for amount in amounts]
        missing = int((total - exact_sum(cents)) / CENT)
        for n in sorted(range(len(amounts)), key=lambda n: cents[n] - amounts[n])[:missing]:
            cents[n] += CENT
    return cents


def usd_per_mtok_of(cost: Decimal, tokens: int | None) -> Decimal | Undefined:
    """Billed cost of a million tokens: all dollars over all tokens of the same window.

    >>> usd_per_mtok_of(Decimal("2520"), 2_592_000_000).quantize(Decimal("0.00001"))
    Decimal('0.97222')
    """
    if not tokens:
        return Undefined(reason="no tokens were measured in this window")
    return cost * Decimal(int(TOKENS_PER_MTOK)) / tokens


def share_of(part: Decimal, whole: Decimal) -> float | Undefined:
    return float(part / whole) if whole else Undefined(reason="nothing was spent in this window")
