"""What a charge is for, before anybody asks whose it is: exactly one bucket by what the bill says of it."""

import re
from decimal import Decimal

from costlib.books import Bucket, ChargeGroup, CostBasis, TokenClass
from costlib.units import KILO, TOKENS_PER_MTOK

_ROUNDING_AT_MOST = Decimal("0.01")  # a charge: more than a cent is an adjustment of something
_TOKEN_BUCKETS = {
    TokenClass.INPUT: Bucket.INPUT,
    "cache_write": Bucket.INPUT,  # prompt tokens that were computed, and kept
    TokenClass.CACHED_INPUT: Bucket.CACHED_INPUT,
    TokenClass.OUTPUT: Bucket.OUTPUT,
}
_OF_CATEGORY = {
    "networking": Bucket.NETWORK,
    "storage": Bucket.STORAGE,
    "databases": Bucket.OTHER_SERVICE,
    "analytics": Bucket.OTHER_SERVICE,
    "security": Bucket.OTHER_SERVICE,
    "management and governance": Bucket.OTHER_SERVICE,
}
_COMMITMENT = re.compile(r"reserv|savings? plan|commit|capacity block|prepa(?:id|y)|upfront", re.IGNORECASE)
_API = re.compile(
    r"bedrock|openai|anthropic|\bclaude\b|\bgemini\b|cognitive services|foundry models|generative ai|\btokens?\b",
    re.IGNORECASE,
)
_TOKEN_UNIT = re.compile(
    r"(?P<block>\d[\d,]*(?:\.\d+)?)?[\s_/]*(?P<times>[km]|million)?[\s_-]*(?:(?:input|output)[\s_-]*)?tokens?",
    re.IGNORECASE,
)
# In this order: a licence for a machine is no machine, and traffic of a disk is no disk.
_BY_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), bucket)
    for words, bucket in (
        (r"\bsupport\b|licen[cs]e|software ?usage|marketplace|subscription", Bucket.SUPPORT_AND_LICENCE),
        (
            r"data ?transfer|egress|ingress|bandwidth|traffic|nat ?gateway|load ?balanc|\bvpn|\bvpc|ip address|ipv4"
            r"|\bdns\b|network",
            Bucket.NETWORK,
        ),
        (r"\bebs\b|volume|snapshot|\bdisks?\b|storage|\bpd capacity|backup|file ?system", Bucket.STORAGE),
        (r"\binstances?\b|virtual machine|\bvms?\b|compute|\bv?cpus?\b|\bocpu\b|kubernetes|boxusage", Bucket.HOST),
    )
)


def bucket_of(group: ChargeGroup, basis: CostBasis, is_gpu: bool) -> Bucket:
    """Where a group's cost goes; UNALLOCATED_GPU for GPUs until somebody is found whose they are.

    >>> tax = ChargeGroup(currency="USD", billed=Decimal("8.75"), charge_category="Tax")
    >>> bucket_of(tax, CostBasis.BILLED, False)
    <Bucket.TAX: 'tax'>
    """
    text = "; ".join((group.sku_meter or group.description, group.service_name, group.resource_type))
    if group.charge_class.lower() == "correction":
        return Bucket.CORRECTION
    match group.charge_category.lower():
        case "tax":
            return Bucket.TAX
        case "credit":
            return Bucket.CREDIT
        case "adjustment":
            is_small = abs(group.billed) <= _ROUNDING_AT_MOST * group.rows_count
            says_so = re.search("round", f"{text}; {group.description}", re.IGNORECASE)
            return Bucket.ROUNDING if is_small or says_so else Bucket.CORRECTION
        case "purchase" if _is_commitment(group, text):
            return _bought_ahead(group, basis)
    # Google bills a commitment's fee as use.
    if re.match(r"commitment\b", text, re.IGNORECASE):
        return _bought_ahead(group, basis)
    if "unused" in (group.commitment_status.lower(), group.capacity_status.lower()):
        return Bucket.COMMITMENT_WASTE
    if basis is CostBasis.BILLED and group.billed and _is_taken_back(group):
        return Bucket.COMMITMENT_PURCHASE
    if group.model and group.token_class in _TOKEN_BUCKETS:
        return _TOKEN_BUCKETS[group.token_class]
    if is_gpu:
        return Bucket.UNALLOCATED_GPU
    units = f"{group.pricing_unit}; {group.consumed_unit}"
    if group.model or group.token_class or _API.search(f"{text}; {group.provider}; {units}"):
        return Bucket.API
    return _service_bucket(group, text)


def _is_commitment(group: ChargeGroup, text: str) -> bool:
    """Whether a purchase pays for use to come rather than for what it names."""
    return bool(
        group.commitment_id
        or group.commitment_type
        or group.effective == 0 != group.billed
        or _COMMITMENT.search(f"{text}; {group.description}")
    )


def _is_taken_back(group: ChargeGroup) -> bool:
    """Use under a savings plan that is invoiced, and taken back on a line of its own: no cost of the machine."""
    return group.commitment_status.lower() == "used" and group.commitment_type.lower() == "savings plan"


def _bought_ahead(group: ChargeGroup, basis: CostBasis) -> Bucket:
    """The invoice has the purchase. Spread over its use, what is left with the purchase is what was not used."""
    is_spread = group.effective != group.billed or group.commitment_status.lower() == "unused"
    return Bucket.COMMITMENT_WASTE if basis is CostBasis.EFFECTIVE and is_spread else Bucket.COMMITMENT_PURCHASE


def _service_bucket(group: ChargeGroup, text: str) -> Bucket:
    category = group.service_category.lower()
    if bucket := _OF_CATEGORY.get(category):
        return bucket
    # Providers bill the disks and the traffic of machines under Compute too.
    if bucket := next((bucket for words, bucket in _BY_WORDS if words.search(text)), None):
        return bucket
    return Bucket.HOST if category in ("compute", "containers") else Bucket.OTHER_SERVICE


def tokens_of(group: ChargeGroup) -> int | None:
    """Tokens that a charge pays for, or None when its quantity counts something else.

    >>> tokens_of(ChargeGroup(currency="USD", billed=Decimal(3), pricing_quantity=Decimal("1.5"),
    ...                       pricing_unit="1M tokens"))
    1500000
    """
    for quantity, unit in (
        (group.consumed_quantity, group.consumed_unit),
        (group.pricing_quantity, group.pricing_unit),
    ):
        found = _TOKEN_UNIT.fullmatch(unit.strip())
        if found and quantity is not None:
            block = Decimal(found["block"].replace(",", "") if found["block"] else 1)
            times = {"k": KILO, "m": TOKENS_PER_MTOK, "": 1}[(found["times"] or "").lower()[:1]]
            return int((quantity * block * Decimal(times)).to_integral_value())
    return None
