"""GPUs that are owned and on no invoice, declared in TOML: one charge per month and host.

    first_month = "2026-01"            # the months to charge, both included
    last_month = "2026-10"
    currency = "USD"

    [[host]]
    name = "dgx-1"                     # as servers are called, so that they are matched
    instance_type = "dgx-h100"         # a type of the catalogue, which knows its GPUs; or gpus_count
    in_service = "2025-02"             # the first month of its life
    purchase_price = "310000.00"
    residual_price = "30000.00"
    life_years = 4
    watts = 9000                       # drawn on average
    pue = "1.3"
    price_per_kwh = "0.11"
    hosting_per_month = "950.00"
    tags = { team = "search" }

Months are whole. What the purchase loses is spread evenly over its life, in cents, so that the months of a life add
up to it exactly; electricity is for every hour of the month, and neither ends with the life.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from collectors.billing import _files
from collectors.billing._json import object_text
from collectors.billing._periods import billing_month, months_after
from collectors.billing._tables import chunks_of
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import exact_sum, exact_text
from costlib.errors import BadRecord, UnknownKey
from costlib.units import HOURS_PER_DAY, MEBI

PROVIDER = "Owned"
_MONTHS_PER_YEAR = 12
_W_PER_KW = 1000
_CENT = Decimal("0.01")
_MOST_MONTHS = 600
_KEYS = {"first_month", "last_month", "currency", "account", "host"}
_REQUIRED = ("name", "in_service", "purchase_price", "life_years")
_AMOUNTS = ("purchase_price", "residual_price", "life_years", "watts", "pue", "price_per_kwh", "hosting_per_month")
_TEXTS = ("name", "in_service", "instance_type", "region", "gpus_count", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedHost:
    """A machine that was bought. Prices are in the file's currency."""

    name: str
    in_service: date
    purchase_price: Decimal
    life_months: int
    residual_price: Decimal = Decimal(0)
    watts: Decimal = Decimal(0)
    pue: Decimal = Decimal(1)
    price_per_kwh: Decimal = Decimal(0)
    hosting_per_month: Decimal = Decimal(0)
    instance_type: str | None = None
    gpus_count: str | None = None
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def depreciation(self, month: date) -> Decimal:
        """What it loses in this month: an even share of price less residual, in whole cents.

        >>> host = OwnedHost(name="a", in_service=date(2026, 1, 1), purchase_price=Decimal(100), life_months=12)
        >>> host.depreciation(date(2026, 1, 1)), sum(host.depreciation(date(2026, m, 1)) for m in range(1, 13))
        (Decimal('8.33'), Decimal('100.00'))
        """
        return self._lost_by(self._age(month) + 1) - self._lost_by(self._age(month))

    def electricity(self, month: date) -> Decimal:
        """Watts x PUE x the hours of the month x the price of a kilowatt-hour.

        >>> OwnedHost(
        ...     name="a", in_service=date(2026, 1, 1), purchase_price=Decimal(1), life_months=12,
        ...     watts=Decimal(10_000), pue=Decimal("1.3"), price_per_kwh=Decimal("0.10"),
        ... ).electricity(date(2026, 11, 1))
        Decimal('936.000')
        """
        return self.watts * self.pue * hours_of(month) * self.price_per_kwh / _W_PER_KW

    def _lost_by(self, age: int) -> Decimal:
        """Lost in the first `age` months of its life."""
        loss = self.purchase_price - self.residual_price
        lived = max(0, min(age, self.life_months))
        return (loss * lived / self.life_months).quantize(_CENT, ROUND_HALF_EVEN)

    def _age(self, month: date) -> int:
        return (month.year - self.in_service.year) * _MONTHS_PER_YEAR + month.month - self.in_service.month


def hours_of(month: date) -> int:
    """The hours of a calendar month, in UTC.

    >>> hours_of(date(2026, 2, 1))
    672
    """
    return (months_after(month, 1) - months_after(month, 0)).days * HOURS_PER_DAY


def identify(head: bytes, name: str) -> bool:
    return b"[[host]]" in head and b"purchase_price" in head


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(chunks_of(source, _rows(source)))


def _rows(source: BillingSource) -> Iterator[dict[str, str | None]]:
    document = _document(source)
    for key in document:
        if key not in _KEYS:
            raise BadRecord(str(UnknownKey("key", key, _KEYS, source.name)))
    first, last = (_month(document.get(name), f"{source.name}: {name}") for name in ("first_month", "last_month"))
    months = [month for n in range(_MOST_MONTHS) if (month := months_after(first, n)) <= last]
    if not months or months[-1] != last:
        raise BadRecord(f"{source.name}: last_month is before first_month, or more than {_MOST_MONTHS} months after")
    hosts = [_host(member, f"{source.name}: [[host]] {n}") for n, member in enumerate(document.get("host", []), 1)]
    names = [host.name for host in hosts]
    if len(set(names)) < len(names):
        raise BadRecord(f"{source.name} has two hosts with one name, which would be one machine; give each its own")
    for month in months:
        for host in hosts:
            if host.in_service <= month:
                yield {
                    "BillingCurrency": document.get("currency", source.currency or "USD"),
                    "BillingAccountId": document.get("account", PROVIDER.lower()),
                    **_charge(host, month),
                }


def _charge(host: OwnedHost, month: date) -> dict[str, str | None]:
    parts = {
        "depreciation": host.depreciation(month),
        "electricity": host.electricity(month),
        "hosting": host.hosting_per_month,
    }
    cost = exact_text(exact_sum(parts.values()))
    period = billing_month(month)
    details = {"InstanceType": host.instance_type, "GpuCount": host.gpus_count}
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        **period,
        "ChargePeriodStart": period["BillingPeriodStart"],
        "ChargePeriodEnd": period["BillingPeriodEnd"],
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{host.name}: depreciation, electricity, hosting",
        "ProviderName": PROVIDER,
        "PublisherName": PROVIDER,
        "InvoiceIssuerName": PROVIDER,
        "ServiceCategory": "Compute",
        "ServiceName": "Owned hardware",
        "SkuMeter": "Host month",
        "SkuPriceDetails": object_text(details),
        "ResourceId": host.name,
        "ResourceName": host.name,
        "ResourceType": "Host",
        "RegionId": host.region,
        "PricingCategory": "Other",
        "PricingQuantity": str(hours_of(month)),
        "PricingUnit": "Hours",
        "ConsumedQuantity": str(hours_of(month)),
        "ConsumedUnit": "Hours",
        "Tags": object_text(host.tags),
        **{name: exact_text(part) for name, part in parts.items()},
    }


def _document(source: BillingSource) -> dict[str, Any]:
    with _files.open_bytes(source.path) as file:
        data = file.read(MEBI + 1)
    if len(data) > MEBI:
        raise BadRecord(f"{source.name} is larger than 1 MiB, which no list of hosts is")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadRecord(f"{source.name} is no TOML: {error}; mend it and import it again") from error


def _host(member: Any, where: str) -> OwnedHost:
    if not isinstance(member, dict):
        raise BadRecord(f"{where} is no table; begin it with a line [[host]]")
    where = f"{where} ({member.get('name')})"
    for key in member:
        if key not in (*_AMOUNTS, *_TEXTS):
            raise BadRecord(str(UnknownKey("key", key, (*_AMOUNTS, *_TEXTS), where)))
    missing = [name for name in _REQUIRED if name not in member]
    if missing:
        raise BadRecord(f"{where} lacks {', '.join(missing)}; add it")
    amounts = {name: _amount(member[name], f"{where}, {name}") for name in _AMOUNTS if name in member}
    life = amounts.pop("life_years") * _MONTHS_PER_YEAR
    if not life or life != int(life):
        raise BadRecord(f"{where}: life_years is no whole number of months; write such as 4 or 2.5")
    if amounts["purchase_price"] < amounts.get("residual_price", 0):
        raise BadRecord(f"{where}: residual_price is more than purchase_price; a machine does not gain value here")
    if amounts.get("pue", 1) < 1:
        raise BadRecord(f"{where}: pue is less than 1; it is all power over the machines' own, such as 1.3")
    return OwnedHost(
        **amounts,
        life_months=int(life),
        name=str(member["name"]),
        in_service=_month(member["in_service"], f"{where}, in_service"),
        gpus_count=str(member["gpus_count"]) if "gpus_count" in member else None,
        **{name: member[name] for name in ("instance_type", "region", "tags") if name in member},
    )


def _amount(value: Any, where: str) -> Decimal:
    """From a text or a whole number: a TOML float is binary, and 0.1 of it is not a tenth."""
    try:
        amount = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or amount < 0:
        raise BadRecord(f'{where} is {value!r}; write a number of 0 or more in quotes, such as "0.11"')
    return amount


def _month(value: Any, where: str) -> date:
    if isinstance(value, date):
        return value.replace(day=1) if not isinstance(value, datetime) else value.date().replace(day=1)
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value):
        raise BadRecord(f'{where} is {value!r}; write a month such as "2026-10"')
    return date.fromisoformat(f"{value}-01")


FORMAT = BillingFormat(key="owned", label="owned GPUs, declared in TOML", identify=identify, parse=parse)
