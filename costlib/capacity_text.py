"""Demand, purchase and autoscaling of one pool or deployment as text for a terminal."""

from collections.abc import Iterator

from costlib.autoscale import AutoscalingReplay, Replay
from costlib.demand_curve import DemandCurve, duration_fraction
from costlib.estimate import Undefined
from costlib.purchase_mix import Choice, Mix, PurchasePlan
from costlib.text_safety import plain

_LEVELS = (0.99, 0.9, 0.5, 0.1, 0.01)  # shares of hours whose level is printed


def curve_text(curve: DemandCurve) -> str:
    return "\n".join(_curve_lines(curve))


def plan_text(plan: PurchasePlan) -> str:
    return "\n".join(_plan_lines(plan))


def replay_text(found: AutoscalingReplay) -> str:
    return "\n".join(_replay_lines(found))


def _curve_lines(curve: DemandCurve) -> Iterator[str]:
    hours = len(curve.needed_gpus_count)
    yield f"Demand of {plain(curve.label)} on {curve.gpu_key}, {hours:,} hours from {curve.start:%Y-%m-%d %H:%M} UTC"
    yield (
        f"  GPUs: mean {curve.mean_gpus_count:,.1f}, median {curve.median_gpus_count:,.0f}, "
        f"peak {curve.peak_gpus_count:,}  ({curve.basis})"
    )
    durations = duration_fraction(curve.needed_gpus_count)
    levels = [(share, int((durations >= share).sum())) for share in _LEVELS]
    yield "  needed in " + ", ".join(f"{share:.0%} of hours: {level:,}" for share, level in levels)


def _plan_lines(plan: PurchasePlan) -> Iterator[str]:
    yield f"Purchase of {plan.gpu_key}: ${plan.on_demand_usd_per_hour:,.2f} an hour all on demand  ({plan.basis})"
    if plan.owned_usd_per_hour:
        yield (
            f"  owned already: ${plan.owned_usd_per_hour:,.2f} an hour, "
            f"{plan.owned_unused_gpu_hours:,.0f} GPU-hours of it unused"
        )
    if not isinstance(plan.spot_usd_per_gpu_hour, Undefined):
        yield f"  spot: ${plan.spot_usd_per_gpu_hour:,.2f} an hour of work, with what is done again"
    for choice in plan.choices:
        yield from _choice_lines(choice)
    if plan.chosen:
        best = plan.chosen.best
        yield f"  best: {plan.chosen.offer.label}, {best.gpus_count:,} GPUs, {best.saved_fraction:.1%} saved"
    else:
        yield "  best: on demand; no commitment pays on this curve"
    yield from (f"  note: {plain(note, 300)}" for note in plan.notes)


def _choice_lines(choice: Choice) -> Iterator[str]:
    quantile = choice.quantile_fraction
    closed = f", the {quantile:.0%} quantile" if not isinstance(quantile, Undefined) else ""
    yield f"  {plain(choice.offer.label)} at ${choice.offer.usd_per_gpu_hour:,.2f}{closed}"
    yield "    level                               GPUs    $/h  saved  cover   used  regret at 70 %, 130 %"
    yield from (_mix_line(mix) for mix in (choice.best, *choice.rules))


def _mix_line(mix: Mix) -> str:
    return (
        f"    {mix.label:<34} {mix.gpus_count:>5,} {mix.usd_per_hour:>6,.2f} {mix.saved_fraction:>6.1%} "
        f"{_share(mix.coverage_fraction)} {_share(mix.utilisation_fraction)} "
        f"{mix.regret_low_fraction:>7.1%} {mix.regret_high_fraction:>7.1%}"
    )


def _replay_lines(found: AutoscalingReplay) -> Iterator[str]:
    yield f"Autoscaling of {plain(found.deployment_key)}, replayed over {found.hours:,} hours  ({found.basis})"
    yield "  policy                              replica-h   $/month  saved  missed  worst wait  starts  flaps"
    yield from (_policy_line(one, found.saved_fraction(one)) for one in found.all)
    yield from (f"  note: {plain(note, 300)}" for note in found.notes)


def _policy_line(one: Replay, saved: float) -> str:
    wait = "-" if isinstance(one.worst_wait_s, Undefined) else f"{one.worst_wait_s:,.0f} s"
    return (
        f"  {plain(one.label, 34):<34} {one.replica_hours:>10,.0f} {one.usd_per_month:>9,.0f} {saved:>6.1%} "
        f"{_share(one.missed_fraction, 2):>7} {wait:>11} {one.starts_count:>7,} {one.flaps_count:>6,}"
        + ("  for ever" if one.flaps_for_ever else "")
    )


def _share(value: float | Undefined, digits: int = 1) -> str:
    return f"{'-':>6}" if isinstance(value, Undefined) else f"{value:>6.{digits}%}"
