"""Prices: dated, sourced, append-only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from math import inf
from typing import TypeVar

from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.sources import Source


class PriceKind(StrEnum):
    ON_DEMAND = "on_demand"
    RESERVED = "reserved"
    SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPrice:
    """What one GPU costs for one hour, host included, from `valid_from` until a newer entry of the same key."""

    key: str
    provider: str
    gpu_key: str
    region: str
    kind: PriceKind
    usd_per_gpu_hour: float
    valid_from: date
    instance_type: str = ""
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What an API charges per million tokens of a model, base tier."""

    key: str
    provider: str
    model_key: str
    usd_per_mtok_input: float
    usd_per_mtok_cached_input: float
    usd_per_mtok_output: float
    valid_from: date
    sources: tuple[Source, ...] = ()


Price = TypeVar("Price", GpuPrice, TokenPrice)


def price_at(prices: Iterable[Price], key: str, on: date) -> Price:
    """The entry of `key` in force on day `on`: the latest with valid_from <= on.

    Raises ConfigError when the first price of `key` starts after `on`, or two start on the day that counts;
           UnknownKey when there is none.
    """
    known = tuple(prices)
    entries = sorted((p for p in known if p.key == key), key=lambda p: p.valid_from)
    if not entries:
        raise UnknownKey("price", key, {p.key for p in known})
    in_force = [p for p in entries if p.valid_from <= on]
    if not in_force:
        first = entries[0].valid_from
        raise ConfigError(f"price {key!r} is not known on {on}: its first entry starts {first}. Choose a later as_of.")
    latest = in_force[-1]
    if sum(p.valid_from == latest.valid_from for p in in_force) > 1:
        raise ConfigError(f"price {key!r} has two entries from {latest.valid_from}; delete one of them.")
    return latest


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseMix:
    """How GPU-hours are bought: shares of catalogue prices, or one price stated by the user, USD per GPU-hour."""

    shares: tuple[tuple[str, float], ...] = ()
    stated_usd_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        if (self.stated_usd_per_gpu_hour is None) == (not self.shares):
            raise DomainError("a purchase is either `shares` of catalogue prices or one `stated_usd_per_gpu_hour`.")
        if self.stated_usd_per_gpu_hour is not None and not 0 <= self.stated_usd_per_gpu_hour < inf:
            raise DomainError(f"stated_usd_per_gpu_hour must be 0 or more, not {self.stated_usd_per_gpu_hour}.")
        total = sum(share for _, share in self.shares)
        if self.shares and not (abs(total - 1) <= 1e-9 and all(share >= 0 for _, share in self.shares)):
            raise DomainError(f"purchase shares must be 0 or more and add up to 1, not {total:g}.")
