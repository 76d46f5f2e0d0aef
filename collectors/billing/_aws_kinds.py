"""What kind of charge a line of an AWS report is.

AWS bills a commitment in parts. A Savings Plan's covered usage stands at its on-demand price, an equal negation takes
that back, and the plan's own fee is paid instead; a reservation's usage is free, and its fee is paid. Billed cost keeps
each of these as the invoice has it. Effective cost puts the fee where it was used, and what nobody used on the fee.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from collectors.billing._aws_services import service_category


class Effective(Enum):
    """Where a line's amortised cost is found."""

    AS_BILLED = auto()
    NOTHING = auto()  # paid for something that other lines say the use of
    PLAN_USED = auto()
    PLAN_UNUSED = auto()
    RESERVATION_USED = auto()
    RESERVATION_UNUSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """All that follows from a line's type and what it is a line of. Names and values are those of FOCUS."""

    category: str
    charge_class: str | None = None
    frequency: str = "Usage-Based"
    pricing: str | None = None
    commitment: str | None = None  # Savings Plan, Reservation
    commitment_status: str | None = None
    capacity_status: str | None = None
    machine: str | None = None  # the instance type that the line names
    instance_type: str | None = None  # of an instance that ran, or was kept free, for the line's amount of hours
    unit: str | None = None
    is_use: bool = False  # its amount is of something used once, so it counts
    is_discount: bool = False
    is_known: bool = True
    service_category: str
    effective: Effective = Effective.AS_BILLED


_PLAN, _RESERVATION = "Savings Plan", "Reservation"
# Category, frequency, commitment, commitment status and where the effective cost is, by the line item's type.
_LINES: dict[str, tuple[str, str, str | None, str | None, Effective]] = {
    "Usage": ("Usage", "Usage-Based", None, None, Effective.AS_BILLED),
    "SavingsPlanCoveredUsage": ("Usage", "Usage-Based", _PLAN, "Used", Effective.PLAN_USED),
    "DiscountedUsage": ("Usage", "Usage-Based", _RESERVATION, "Used", Effective.RESERVATION_USED),
    # Part of how the plan is paid for, so it is beside the fee: as usage it would count the covered hours twice.
    "SavingsPlanNegation": ("Purchase", "Usage-Based", _PLAN, None, Effective.NOTHING),
    "SavingsPlanRecurringFee": ("Purchase", "Recurring", _PLAN, None, Effective.PLAN_UNUSED),
    "SavingsPlanUpfrontFee": ("Purchase", "One-Time", _PLAN, None, Effective.NOTHING),
    "RIFee": ("Purchase", "Recurring", _RESERVATION, None, Effective.RESERVATION_UNUSED),
    "Fee": ("Purchase", "One-Time", None, None, Effective.AS_BILLED),
    "Tax": ("Tax", "One-Time", None, None, Effective.AS_BILLED),
    "Credit": ("Credit", "One-Time", None, None, Effective.AS_BILLED),
    "Refund": ("Usage", "One-Time", None, None, Effective.AS_BILLED),
}
_UNKNOWN = _LINES["Usage"]
_DISCOUNT = "Discount"  # EdpDiscount, PrivateRateDiscount, BundledDiscount and others end so
_HOURS = {"hrs", "hr", "hour", "hours", "hourly", "instance-hours", "instance-hrs"}
# EC2 names the machine in the usage type. Other services' fees on a machine do so too, and are not the machine.
_EC2 = re.compile(
    r"(?:^|-)(BoxUsage|SpotUsage|HeavyUsage|DedicatedUsage|HostBoxUsage|UnusedBox|UnusedDed|Reservation|DedicatedRes)"
    r":([a-z][a-z0-9-]*\.[a-z0-9-]+)$"
)
_SAGEMAKER = re.compile(r":(ml\.[a-z0-9-]+\.[a-z0-9-]+)")
# What a capacity reservation holds in all, at no cost; the instances in it and the unused rest have lines of their own.
_HELD = {"Reservation", "DedicatedRes"}
_UNUSED_CAPACITY = {"UnusedBox", "UnusedDed"}


@lru_cache(maxsize=65_536)
def kind_of(
    line_type: str,
    usage_type: str,
    product_code: str,
    bill_type: str,
    term: str,
    unit: str,
    capacity: str,
    has_tax_type: bool,
    is_reserved: bool,
    is_split: bool,
) -> Kind:
    """The kind of a line.

    capacity       status of the capacity reservation, where the report has it
    is_reserved    it names a reservation
    is_split       it is a container's share of another line, which stays: it carries no cost and no hours of its own
    """
    category, frequency, commitment, status, effective = _LINES.get(line_type, _UNKNOWN)
    is_discount = line_type.endswith(_DISCOUNT)
    is_correction = line_type == "Refund" or bill_type == "Refund"
    if is_discount:
        category, frequency = "Credit", "One-Time"
    if line_type == "Refund" and has_tax_type:
        category = "Tax"
    if line_type == "Fee" and is_reserved:
        commitment, effective = _RESERVATION, Effective.NOTHING
    if is_split:
        commitment, status, effective = None, None, Effective.AS_BILLED
    word, machine = _machine(product_code, usage_type)
    is_use = line_type in _LINES and category == "Usage" and not (is_correction or is_split or word in _HELD)
    pricing = None
    if category in ("Usage", "Purchase"):
        is_spot = word == "SpotUsage" or term == "Spot"
        pricing = "Dynamic" if is_spot else "Committed" if commitment else "Standard"
    return Kind(
        category=category,
        charge_class="Correction" if is_correction else None,
        frequency=frequency,
        pricing=pricing,
        commitment=commitment,
        commitment_status=status,
        capacity_status=_capacity_status(word, capacity),
        machine=machine,
        instance_type=machine if is_use else None,
        unit=("Hours" if unit.lower() in _HOURS or (machine and not unit) else unit or None) if is_use else None,
        is_use=is_use,
        is_discount=is_discount,
        is_known=line_type in _LINES or is_discount,
        service_category=service_category(product_code, usage_type),
        effective=effective,
    )


def _machine(product_code: str, usage_type: str) -> tuple[str, str | None]:
    """What is done with an instance, and its type."""
    if product_code == "AmazonEC2" and (found := _EC2.search(usage_type)):
        return found[1], found[2]
    if product_code == "AmazonSageMaker" and (found := _SAGEMAKER.search(usage_type)):
        return "", found[1]
    return "", None


def _capacity_status(word: str, given: str) -> str | None:
    if word in _UNUSED_CAPACITY:
        return "Unused"
    return given if given in ("Used", "Unused") else None
