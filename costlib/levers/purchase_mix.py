"""Purchase mix: part of the GPU-hours reserved for a term, part on spot, the rest as today."""

from dataclasses import replace
from datetime import date

from costlib.catalog import Catalog
from costlib.lever import Effort, Lever, Monotone, Number, Refusal, Stage, Switch, Values
from costlib.pricing import PriceKind, PurchaseMix, price_at
from costlib.project import usd_per_gpu_hour
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.sources import Source
from costlib.spot import effective_usd_per_gpu_hour


def mixed_usd_per_gpu_hour(
    usd_per_gpu_hour: float,
    reserved_fraction: float,
    reserved_discount_fraction: float,
    spot_fraction: float,
    spot_discount_fraction: float,
    rework_fraction: float,
) -> float:
    """What a GPU-hour costs on the mean.

    Equation   p [(1 - c - s) + c (1 - d_c) + s (1 - d_s)/(1 - w)]
    Symbols    p today's price   c, s shares of GPU-hours reserved and on spot   d their discounts   w done again
    Returns    [USD per GPU-hour]
    Valid for  reserved GPUs that are all used
    Raises     DomainError where everything is done again
    Source     domain_math §8.2, §8.3
    Example    $3.50 with 70 % reserved at 40 % off: $2.52; with 10 % on spot at 70 % off beside it: $2.275
    >>> mixed = [mixed_usd_per_gpu_hour(3.50, 0.7, 0.4, share, 0.7, 0.0) for share in (0.0, 0.1)]
    >>> [round(price, 3) for price in mixed]
    [2.52, 2.275]
    """
    spot = effective_usd_per_gpu_hour(1 - spot_discount_fraction, 1 - rework_fraction) if spot_fraction else 0.0
    rest = 1 - reserved_fraction - spot_fraction
    return usd_per_gpu_hour * (rest + reserved_fraction * (1 - reserved_discount_fraction) + spot_fraction * spot)


def refuse(scenario: Scenario, values: Values, catalog: Catalog) -> Refusal | None:
    if not scenario.hosted:
        return Refusal(
            reason="no GPU is paid by the hour: everything is bought by the token",
            remedy="host a deployment to choose how its GPUs are bought",
        )
    if values["reserved_fraction"] + values["spot_fraction"] > 1:
        return Refusal(
            reason="what is reserved and what is on spot are more than all GPU-hours",
            remedy="lower one of the two shares until they add up to 100 % or less",
        )
    for hosted in scenario.hosted:
        for key, share in hosted.purchase.shares:
            kind = price_at(catalog.gpu_prices, key, scenario.as_of).kind
            if share and kind is not PriceKind.ON_DEMAND:
                return Refusal(
                    reason=f"part of the GPU-hours is bought at {key} already, which is no on-demand price",
                    remedy="state today's purchase on demand, and its commitments under [[commitments]]",
                )
    return None


def apply(scenario: Scenario, values: Values, catalog: Catalog) -> Scenario:
    def mixed(deployment: Deployment) -> Deployment:
        supply = deployment.supply
        if not isinstance(supply, SelfHosted):
            return deployment
        price = mixed_usd_per_gpu_hour(
            usd_per_gpu_hour(supply.purchase, scenario, catalog),
            values["reserved_fraction"],
            values["reserved_discount_fraction"],
            values["spot_fraction"],
            values["spot_discount_fraction"],
            values["rework_fraction"],
        )
        return replace(deployment, supply=replace(supply, purchase=PurchaseMix(stated_usd_per_gpu_hour=price)))

    return replace(scenario, deployments=tuple(mixed(deployment) for deployment in scenario.deployments))


LEVER = Lever(
    key="purchase_mix",
    stage=Stage.PURCHASE,
    label="Purchase mix",
    question="What if part of the GPU-hours were reserved, or ran on spot?",
    params=(
        Switch(
            key="enabled",
            label="Purchase mix",
            help="How much to reserve follows from the hours that need it, not from a rule: permillion capacity.",
        ),
        Number(
            key="reserved_fraction",
            label="Reserved",
            low=0.0,
            high=1.0,
            step=0.05,
            neutral=0.6,
            unit="of GPU-hours",
            help="Taken to be used in full: reserve only what is needed in more hours than the discounted price is of "
            "the on-demand one.",
        ),
        Number(
            key="reserved_discount_fraction",
            label="Discount of a term",
            low=0.0,
            high=0.9,
            step=0.01,
            neutral=0.37,
            unit="off today's price",
            usual=(0.25, 0.45),
            help="Assumed 37 % for a year; 55 % for three are usual. Yours is on the bill.",
        ),
        Number(
            key="spot_fraction",
            label="On spot",
            low=0.0,
            high=1.0,
            step=0.05,
            neutral=0.0,
            unit="of GPU-hours",
            help="Only what may be interrupted within 30 seconds to two minutes.",
        ),
        Number(
            key="spot_discount_fraction",
            label="Discount of spot",
            low=0.0,
            high=0.95,
            step=0.01,
            neutral=0.6,
            unit="off today's price",
            usual=(0.4, 0.75),
            help="Assumed 60 %. It differs by region and week.",
        ),
        Number(
            key="rework_fraction",
            label="Done again",
            low=0.0,
            high=0.9,
            step=0.01,
            neutral=0.05,
            unit="of spot hours",
            usual=(0.01, 0.2),
            help="Assumed 5 %: work that interruptions destroy, and starts of what takes their place.",
        ),
    ),
    refuse=refuse,
    apply=apply,
    expect=Monotone(param="reserved_fraction", values=(0.0, 0.3, 0.6, 1.0), step="usd_per_month", rises=False),
    effort=Effort.CONTRACT,
    changes_answers=False,
    risks="A term is paid to its end, whatever runs: a later saving of GPUs saves nothing before. Spot goes with 30 "
    "seconds to two minutes of notice, and may not be there at all.",
    rollback="Let the term end; until then it is paid. Spot can be left at any hour.",
    sources=(
        Source(
            title="AWS documentation, Spot Instance interruption notices",
            url="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html",
            retrieved_on=date(2026, 11, 21),
        ),
        Source(
            title="AWS documentation, Savings Plans",
            url="https://docs.aws.amazon.com/savingsplans/latest/userguide/what-is-savings-plans.html",
            retrieved_on=date(2026, 11, 21),
        ),
    ),
)
