"""Every indicator of one period beside the one before, as a review keeps them."""

from costlib.kpis import KPIS, Facts
from costlib.review import Indicator


def indicators(facts: Facts, before: Facts | None = None) -> tuple[Indicator, ...]:
    """All of KPIS in their order, with those of the period before.

    >>> from decimal import Decimal
    >>> from costlib.books import CostBasis, TrialBalance
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.EFFECTIVE, total=Decimal(8), lines=(),
    ...     residual=Decimal(8))
    >>> found = indicators(Facts(balance=made))
    >>> len(found) == len(KPIS), found[0].label, found[-1].value.reason
    (True, 'Cost per million tokens', 'how many GPUs a server has is not known')
    """
    return tuple(
        Indicator(
            name=name,
            number_count=one.number_count,
            label=one.label,
            unit=one.unit,
            formula=one.formula,
            value=one.of(facts),
            before=None if before is None else one.of(before),
        )
        for name, one in KPIS.items()
    )
