"""An estimate as text for a terminal."""

from collections.abc import Iterator

from costlib.estimator import Estimated, PricedOption
from costlib.text_safety import plain
from costlib.units import MEGA

MOST_SHARES = 6
SMALLEST_SHARE_FRACTION = 0.01
MOST_CHARACTERS = 400


def estimate_text(found: Estimated) -> str:
    return "\n".join(_lines(found))


def _lines(found: Estimated) -> Iterator[str]:
    drawn = f"{found.draws_count:,} draws, seed {found.seed}"
    yield f"{plain(found.label)}: a month of {found.days_count:.4g} days, {drawn}"
    for name, middle, high in (
        ("requests", found.p50_requests_count, found.p90_requests_count),
        ("input", found.p50_input_tokens, found.p90_input_tokens),
        ("cached", found.p50_cached_tokens, found.p90_cached_tokens),
        ("output", found.p50_output_tokens, found.p90_output_tokens),
    ):
        if high:
            yield f"  {name:<10} P50 {_millions(middle)}, P90 {_millions(high)}"
    if found.plan_steps and found.planned_usd_per_month is not None and found.planned_day_usd is not None:
        yield ""
        yield f"planned   ${found.planned_day_usd:,.0f} a day, ${found.planned_usd_per_month:,.0f} a month"
        for step in found.plan_steps:
            yield (
                f"  {step.factor} {step.planned} -> {step.likely}: {step.added_usd_per_month:+,.0f} USD a month, "
                f"${step.day_usd:,.0f} a day"
            )
    for option in found.options:
        yield ""
        yield from _option_lines(option, found)


def _millions(count: float) -> str:
    millions = count / MEGA
    return f"{millions:,.0f} M" if millions >= 100 else f"{millions:,.3g} M"


def _option_lines(option: PricedOption, found: Estimated) -> Iterator[str]:
    yield plain(option.name)
    if option.p50_usd_per_month is None:
        yield f"  cannot be priced: {plain(option.why, MOST_CHARACTERS)}"
        return
    assert option.p90_usd_per_month is not None and option.p99_usd_per_month is not None
    if option.likely_usd_per_month is not None:
        yield f"  likely    ${option.likely_usd_per_month:,.0f} a month, ${option.likely_day_usd or 0:,.0f} a day"
    yield (
        f"  draws     P50 ${option.p50_usd_per_month:,.0f}, P90 ${option.p90_usd_per_month:,.0f}, "
        f"P99 ${option.p99_usd_per_month:,.0f}; cheapest in {option.cheapest_fraction:.0%}"
    )
    if option.p50_replicas_count is not None:
        yield f"  replicas  P50 {option.p50_replicas_count:,.0f}, P90 {option.p90_replicas_count or 0:,.0f}"
    if option.gate is not None and found.budget is not None:
        yield (
            f"  budget    {str(option.gate.verdict).upper()}: above ${found.budget.usd_per_month:,.0f} in "
            f"{option.gate.exceeds_fraction:.1%} of the draws"
        )
    told = [one for one in option.shares if one.total_fraction >= SMALLEST_SHARE_FRACTION][:MOST_SHARES]
    if told:
        yield "  spread    " + ", ".join(f"{one.factor} {one.total_fraction:.0%}" for one in told)
    if option.why:
        yield f"  note      {plain(option.why, MOST_CHARACTERS)}"
