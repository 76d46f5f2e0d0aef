"""Which factor the spread comes from: shares of variance by Sobol' indices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from costlib.errors import DomainError
from costlib.roofline import Floats

Factors = Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceShare:
    """Of one factor: the share of variance that it makes alone, and the share that it has any part in.

    Both are estimates from draws: a share of nothing can come out a little below or above 0.
    """

    factor: str
    first_order_fraction: float
    total_fraction: float


def variance_shares(
    model: Callable[[Factors], Floats], one: Factors, other: Factors, names: Sequence[str]
) -> tuple[VarianceShare, ...]:
    """First-order and total Sobol' indices of a model's output.

    Equation   S_i = 1 - E[(f(B) - f(A with column i of B))^2] / 2V,   T_i = E[(f(A) - f(A with column i of B))^2] / 2V
    Symbols    A, B two independent samples   f the model   V variance of f over both samples
    Returns    a VarianceShare for each name, largest total first
    Valid for  independent factors. Where f is a sum of functions of one factor each, S = T and they sum to 1: so it is
               for the log of a product. Standard error about 1/sqrt(draws), larger for heavy tails
               Draws without an output (NaN) are left out
    Raises     DomainError when the output does not vary
    Source     Jansen, Computer Physics Communications 117 (1999); Saltelli et al., ibid. 181 (2010)
    Example    y = 2 a + b of unit variances: 4/5 and 1/5
    >>> chance = np.random.default_rng(0)
    >>> a, b = ({"a": chance.standard_normal(40_000), "b": chance.standard_normal(40_000)} for _ in range(2))
    >>> [(s.factor, round(s.first_order_fraction, 1), round(s.total_fraction, 1))
    ...  for s in variance_shares(lambda x: 2 * x["a"] + x["b"], a, b, ["b", "a"])]
    [('a', 0.8, 0.8), ('b', 0.2, 0.2)]
    """
    of_one, of_other = model(one), model(other)
    variance = float(np.nanvar(np.concatenate((of_one, of_other))))
    if not variance > 0:
        raise DomainError("nothing varies: no factor has a range, so there is no spread to share.")
    found = []
    for name in names:
        mixed = model({**one, name: other[name]})
        found.append(
            VarianceShare(
                factor=name,
                first_order_fraction=float(1 - np.nanmean((of_other - mixed) ** 2) / (2 * variance)),
                total_fraction=float(np.nanmean((of_one - mixed) ** 2) / (2 * variance)),
            )
        )
    return tuple(sorted(found, key=lambda share: -share.total_fraction))
