"""Offers for a GPU: from the catalogue where its provider lists them, else assumed shares of the on-demand price."""

from datetime import date

from costlib.catalog import Catalog
from costlib.errors import ConfigError
from costlib.estimate import Basis
from costlib.pricing import GpuPrice, PriceKind, price_at
from costlib.purchase_terms import Market, Offer
from costlib.spot import NOTICE_S, Spot, lost_per_interruption_s

# Of the on-demand price, by years (domain_math §12a): the mode of 0.55 to 0.75, and of 0.35 to 0.60.
ASSUMED_RATIOS = {1.0: 0.63, 3.0: 0.45}
ASSUMED_SPOT_RATIO = 0.4  # of 0.25 to 0.60
LEAST_NOTICE_S = min(NOTICE_S.values())  # of the providers known


def offers_for(gpu_key: str, provider: str, usd_per_gpu_hour: float, catalog: Catalog, on: date) -> tuple[Offer, ...]:
    """Terms for a GPU. One that the provider lists without saying its term is taken for a year.

    Returns    Offers, the listed first; assumed where none is listed
    """
    listed = [price for price in _in_force(catalog, on) if _is(price, gpu_key, provider, PriceKind.RESERVED)]
    if listed:
        return tuple(
            Offer(label=f"{price.provider} {price.region} reserved, 1 year", usd_per_gpu_hour=price.usd_per_gpu_hour)
            for price in listed
        )
    return tuple(
        Offer(
            label=f"reserved, {years:g} year{'s' * (years > 1)} (assumed {ratio:.0%} of on demand)",
            usd_per_gpu_hour=ratio * usd_per_gpu_hour,
            years_ratio=years,
            basis=Basis.ASSUMED,
        )
        for years, ratio in ASSUMED_RATIOS.items()
    )


def market_for(
    gpu_key: str,
    provider: str,
    usd_per_gpu_hour: float,
    catalog: Catalog,
    on: date,
    *,
    spot_usd_per_gpu_hour: float | None = None,
    spot_share_fraction: float = 0.0,
    mean_request_s: float = 0.0,
    start_s: float = 180.0,
) -> Market:
    """On demand, and spot for the share of the load that may be interrupted: stated, listed or assumed prices."""
    listed = [price for price in _in_force(catalog, on) if _is(price, gpu_key, provider, PriceKind.SPOT)]
    price = spot_usd_per_gpu_hour
    if price is None:
        price = min((one.usd_per_gpu_hour for one in listed), default=ASSUMED_SPOT_RATIO * usd_per_gpu_hour)
    notice_s = NOTICE_S.get(provider, LEAST_NOTICE_S)
    spot = Spot(
        usd_per_gpu_hour=price,
        start_s=start_s,
        lost_s=lost_per_interruption_s(mean_request_s, notice_s),
        share_fraction=spot_share_fraction,
    )
    return Market(usd_per_gpu_hour=usd_per_gpu_hour, spot=spot if spot_share_fraction else None)


def _is(price: GpuPrice, gpu_key: str, provider: str, kind: PriceKind) -> bool:
    return (price.gpu_key, price.provider, price.kind) == (gpu_key, provider, kind)


def _in_force(catalog: Catalog, on: date) -> list[GpuPrice]:
    found = []
    for key in dict.fromkeys(price.key for price in catalog.gpu_prices):
        try:
            found.append(price_at(catalog.gpu_prices, key, on))
        except ConfigError:  # its first entry starts later
            continue
    return found
