"""GPUs on a bill: which charges rent them, how many of which kind, for how many hours, and how they were bought."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from enum import StrEnum

from costlib.billing import MONEY_PRECISION, SMALLEST
from costlib.books import ChargeGroup
from costlib.errors import DomainError
from costlib.sources import Source
from costlib.units import (
    HOURS_PER_MONTH,
    KILO,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
)


class Purchase(StrEnum):
    """How capacity was bought."""

    ON_DEMAND = "on_demand"
    RESERVED = "reserved"
    SAVINGS_PLAN = "savings_plan"
    SPOT = "spot"
    OWNED = "owned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A machine as a provider rents it. `gpu_key` is "" for GPUs of which the catalogue has no sheet."""

    key: str
    provider: str
    gpu_key: str
    gpus_count: float  # less than one: a slice of a GPU
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCapacity:
    """The GPUs of one group of charges. None where the bill does not say; then `note` tells what is missing."""

    gpu_key: str
    gpus_count: float | None  # in one machine
    gpu_hours: Decimal | None
    purchase: Purchase
    instance_type: str
    note: str = ""


# Where GPUs are rented; anything else that names an instance only serves it.
_GPU_CATEGORIES = frozenset({"", "compute", "ai and machine learning", "containers", "other"})
# Parts of a machine that are billed beside its GPUs, and what is sold with an instance type in its name.
_NOT_GPU = re.compile(
    r"\b(?:instance|custom|predefined)\s+(?:core|ram|cpu|memory)\b|\b(?:ocpu|vcpu|gb|gib|memory)[\s-]*hours?\b"
    r"|software ?usage|marketplace|\blicen[cs]es?\b|ebs:|ebsoptimized|data ?transfer|cpucredits|snapshot",
    re.IGNORECASE,
)
# A SKU that counts GPUs rather than machines, as Google and Oracle sell them.
_PER_GPU_SKU = re.compile(r"\bGPUs? (?:running|attached|hours?\b|per hour)", re.IGNORECASE)
_GPU = re.compile(r"\bgpus?\b", re.IGNORECASE)
_GPU_WORD = re.compile(r"\bgpus?\b|nvidia|tesla|geforce|radeon|instinct", re.IGNORECASE)
# Names of GPUs in free text, the first that fits. "": a GPU, but of which form or memory is not said.
_GPU_NAMES = tuple(
    (re.compile(pattern, re.IGNORECASE), key)
    for pattern, key in (
        (r"\bGB300\b", ""),
        (r"\bGB200\b", "gb200"),
        (r"\bGH200\b", "gh200"),
        (r"\bB300\b", "b300"),
        (r"\bB200\b", "b200"),
        (r"\bH200\b.*\bNVL\b", ""),
        (r"\bH200\b", "h200-sxm"),
        (r"\bH100\b.*\bNVL\b", "h100-nvl"),
        (r"\bH100\b.*\bPCIe\b", "h100-pcie"),
        (r"\bH100\b.*(?:SXM|HBM3|HGX|80GB (?:\w+ )?GPU)|\bHGX H100\b", "h100-sxm"),
        (r"\bH100\b", ""),
        (r"\bA100\b.*80 ?GB.*PCIe|\bA100\b.*PCIe.*80 ?GB", "a100-pcie-80gb"),
        (r"\bA100\b.*SXM.*80 ?GB|\bA100\b.*80 ?GB.*SXM|\bTesla A100 80 ?GB\b", "a100-sxm-80gb"),
        (r"\bA100\b.*SXM.*40 ?GB|\bA100\b.*40 ?GB.*SXM|\bTesla A100 GPU\b", "a100-sxm-40gb"),
        (r"\bA100\b", ""),
        (r"\bMI355X\b", "mi355x"),
        (r"\bMI325X\b", "mi325x"),
        (r"\bMI300X\b", "mi300x"),
        (r"\bL40S\b", "l40s"),
        (r"\bRTX ?PRO 6000\b.*(?:server|\bSE\b)", "rtx-pro-6000-se"),
        (r"\bRTX[ -]?(?:PRO[ -]?)?[A-Z]?\d{4}\b", ""),
    )
)
# Names short enough to mean other things: only beside a word that says GPU.
_SHORT_GPU_NAMES = tuple(
    (re.compile(rf"\b{name}\b", re.IGNORECASE), key)
    for name, key in (
        ("A10G", "a10g"),
        ("L4", "l4"),
        ("T4", "t4"),
        ("A10", ""),
        ("L40", ""),
        ("V100", ""),
        ("P100", ""),
    )
)

_PER_UNIT_S = {
    "h": SECONDS_PER_HOUR, "hr": SECONDS_PER_HOUR, "hour": SECONDS_PER_HOUR,
    "s": 1.0, "sec": 1.0, "second": 1.0,
    "min": SECONDS_PER_MINUTE, "minute": SECONDS_PER_MINUTE,
    "day": SECONDS_PER_DAY,
}  # fmt: skip
_UNIT = re.compile(
    r"(?:(?P<block>\d+(?:\.\d+)?)\s*[/x]?\s*)?"
    r"(?:(?P<of>gpu|accelerator|instance|vm|virtual machine|node|pod|compute|machine|server|host)s?[\s_/-]*)?"
    r"(?:per[\s_-]*)?(?:(?P<time>hour|hr|h|second|sec|s|minute|min|day)s?|(?P<adverb>hour|dai)ly)",
    re.IGNORECASE,
)


def plain_name(instance_type: str) -> str:
    """An instance type as every spelling of it has it: letters and digits, in lower case.

    >>> plain_name("Standard_ND96isr_H100_v5") == plain_name("ND96isr H100 v5")
    True
    """
    return re.sub(r"[^a-z0-9]", "", instance_type.lower().removeprefix("standard").removeprefix("ml."))


def gpu_capacity(group: ChargeGroup, instances: Mapping[str, Instance]) -> GpuCapacity | None:
    """The GPUs that `group` rents, or None when it rents none; `instances` is `Catalog.instances`.

    Equation   GPU-hours = hours x GPUs of the machine, or the quantity itself where the SKU or unit counts GPUs.
               A negative charge for a positive quantity is a discount on hours that other charges count: 0 hours
    Example    three hours of a machine of eight GPUs
    >>> box = ChargeGroup(currency="USD", billed=Decimal("165.12"), service_category="Compute",
    ...                   sku_meter="BoxUsage:p5.48xlarge", pricing_quantity=Decimal(3), pricing_unit="Hrs")
    >>> found = gpu_capacity(box, catalog.instances)
    >>> found.gpu_key, found.gpu_hours
    ('h100-sxm', Decimal('24'))
    """
    meter = group.sku_meter or group.description
    text = f"{group.sku_meter}; {group.description}; {group.sku_id}"
    if (
        group.charge_category not in ("Usage", "")
        or group.service_category.lower() not in _GPU_CATEGORIES
        or _NOT_GPU.search(f"{meter}; {group.pricing_unit}; {group.consumed_unit}")
    ):
        return None
    stated = group.sku_price_details.get("InstanceType", "")
    instance = _instance((stated, group.resource_type, group.sku_meter, group.description, group.sku_id), instances)
    named = _named_gpu(f"{text}; {stated}; {group.sku_price_details.get('x_GpuModel', '')}")
    if named is None and _GPU.search(f"{meter}; {group.service_name}"):
        named = ""
    hours, is_per_gpu, note = _hours(group)
    is_per_gpu = is_per_gpu or (named is not None and _PER_GPU_SKU.search(text) is not None)
    count = _stated_count(group)
    if count is None and instance:
        count = instance.gpus_count
    if count == 0 or (count is None and named is None and not is_per_gpu):
        return None
    if is_per_gpu:
        gpu_hours = hours
    elif count is None:
        gpu_hours, note = None, note or "the bill does not say how many GPUs: no GPU-hours"
    else:
        gpu_hours = None if hours is None else (hours * Decimal(str(count))).quantize(SMALLEST).normalize() + 0
    return GpuCapacity(
        gpu_key=instance.gpu_key if instance else named or "",
        gpus_count=count,
        gpu_hours=gpu_hours,
        purchase=_purchase(group, text),
        instance_type=stated or (instance.key if instance else ""),
        note=note,
    )


def owned_usd_per_gpu_hour(
    *,
    price_usd: Decimal,
    years: Decimal,
    watts: Decimal,
    usd_per_kwh: Decimal,
    pue: Decimal = Decimal(1),
    residual_fraction: Decimal = Decimal(0),
    load_fraction: Decimal = Decimal(1),
    upkeep_fraction_per_year: Decimal = Decimal(0),
    hosting_usd_per_month: Decimal = Decimal(0),
) -> Decimal:
    """What an hour of one owned GPU costs, host, network and cooling included, running or not.

    Equation   price x (1 - residual) / (years x 8,760) + price x upkeep / 8,760
               + watts / 1,000 x load x PUE x price of a kWh + hosting / 730
    Units      price and watts per GPU, with its share of the machine around it; USD per GPU-hour, to 18 places
    Raises     DomainError for years or a PUE that cannot be, and for negative amounts
    Example    $35,040 over four years, a kilowatt at $0.10 and PUE 1.3: one dollar, and thirteen cents of power
    >>> owned_usd_per_gpu_hour(price_usd=Decimal(35040), years=Decimal(4), watts=Decimal(1000),
    ...                        usd_per_kwh=Decimal("0.10"), pue=Decimal("1.3")).normalize()
    Decimal('1.13')
    """
    given = (price_usd, watts, usd_per_kwh, residual_fraction, load_fraction, upkeep_fraction_per_year)
    if any(not value.is_finite() or value < 0 for value in (*given, hosting_usd_per_month)):
        raise DomainError("an owned GPU's price, power, shares and hosting must be 0 or more.")
    if not years > 0 or not pue >= 1 or residual_fraction > 1 or load_fraction > 1:
        raise DomainError("an owned GPU needs years > 0, a PUE of 1 or more, and shares of residual and load up to 1.")
    with localcontext(prec=MONEY_PRECISION):
        year_h = 12 * Decimal(HOURS_PER_MONTH)
        depreciation = price_usd * (1 - residual_fraction) / (years * year_h)
        upkeep = price_usd * upkeep_fraction_per_year / year_h
        power = watts / Decimal(KILO) * load_fraction * pue * usd_per_kwh
        return (depreciation + upkeep + power + hosting_usd_per_month / Decimal(HOURS_PER_MONTH)).quantize(SMALLEST)


def _instance(texts: tuple[str, ...], instances: Mapping[str, Instance]) -> Instance | None:
    """The instance type that the first telling text names: whole, in parts, or behind a prefix such as BoxUsage:."""
    for text in texts:
        whole = re.sub(r"\b(?:spot|low priority)\b", "", text, flags=re.IGNORECASE)
        for name in (whole, *re.findall(r"[A-Za-z0-9][\w.-]*", text), *text.split("/")):
            if found := instances.get(plain_name(name)):
                return found
    return None


def _named_gpu(text: str) -> str | None:
    """The catalogue key of the GPU that `text` names, "" when only its family is said, None when there is none."""
    names = _GPU_NAMES + (_SHORT_GPU_NAMES if _GPU_WORD.search(text) else ())
    return next((key for pattern, key in names if pattern.search(text)), None)


def _stated_count(group: ChargeGroup) -> float | None:
    try:
        count = Decimal(group.sku_price_details.get("GpuCount", ""))
    except InvalidOperation:
        return None
    return float(count) if count.is_finite() and count >= 0 else None


def _hours(group: ChargeGroup) -> tuple[Decimal | None, bool, str]:
    """Hours, whether they are hours of GPUs rather than of machines, and what is wrong with them."""
    quantity = group.consumed_quantity if group.pricing_quantity is None else group.pricing_quantity
    if group.billed < 0 < (quantity or 0) or (quantity is None and not group.billed and not group.effective):
        return Decimal(0), False, ""
    units = ((group.pricing_quantity, group.pricing_unit), (group.consumed_quantity, group.consumed_unit))
    for amount, unit in units:
        found = _UNIT.fullmatch(unit.strip())
        if amount is not None and found:
            per_unit_s = SECONDS_PER_DAY if found["adverb"] == "dai" else _PER_UNIT_S[_time(found)]
            with localcontext(prec=2 * MONEY_PRECISION):
                seconds = amount * Decimal(found["block"] or 1) * Decimal(per_unit_s)
                hours = (seconds / Decimal(SECONDS_PER_HOUR)).quantize(SMALLEST).normalize() + 0
            return hours, (found["of"] or "").lower() in ("gpu", "accelerator"), ""
    if quantity is None:
        return None, False, "the bill has no quantity: no GPU-hours"
    stated = " or ".join(sorted({repr(unit) for _, unit in units if unit})) or "no unit"
    return None, False, f"{stated} is no unit of time that is known here: no GPU-hours"


def _time(found: re.Match[str]) -> str:
    return (found["time"] or found["adverb"]).lower()


def _purchase(group: ChargeGroup, text: str) -> Purchase:
    kind = group.commitment_type.lower()
    if group.provider.lower() == "owned":
        return Purchase.OWNED
    if group.pricing_category == "Dynamic" or re.search(r"spot|preemptible|low priority", text, re.IGNORECASE):
        return Purchase.SPOT
    if "saving" in kind:
        return Purchase.SAVINGS_PLAN
    if kind or group.commitment_id or group.pricing_category == "Committed":
        return Purchase.RESERVED
    return Purchase.ON_DEMAND if group.pricing_category == "Standard" else Purchase.UNKNOWN
