"""Which deployments of a scenario could share GPUs, and how; the others with the reason."""

from dataclasses import dataclass

from costlib.catalog import Catalog
from costlib.consolidation import Consolidation, consolidate, on_one_gpu
from costlib.errors import DomainError
from costlib.floor import least_price
from costlib.mig import MigTable
from costlib.project import usd_per_gpu_hour
from costlib.scenario import Deployment, Scenario, SelfHosted


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A deployment that needs a whole GPU or more, or has none."""

    deployment_key: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSharing:
    """Those that need less than one GPU, in every way of sharing; None where there are none. `apart` are the others."""

    found: Consolidation | None
    apart: tuple[Apart, ...]


def share(scenario: Scenario, gpu_key: str, catalog: Catalog, table: MigTable) -> FleetSharing:
    """
    Equation   those with peak / (X U) < 1 on one whole GPU share, at `consolidation.consolidate`
    Symbols    X requests per second of one GPU   U target_busy_fraction
    Returns    FleetSharing, at what the scenario pays for this GPU, else at the least listed price
    Valid for  deployments whose capacity is modelled; commitments and other kinds of GPU stay as they are
    Raises     DomainError where the GPU has no price; UnknownKey for an unknown one
    Source     domain_math §8.1
    """
    gpu = catalog.gpu(gpu_key)
    able: list[Deployment] = []
    apart: list[Apart] = []
    for deployment in scenario.deployments:
        why = _why_apart(deployment, gpu_key, catalog)
        if why:
            apart.append(Apart(deployment_key=deployment.key, why=why))
        else:
            able.append(deployment)
    if not able:
        return FleetSharing(found=None, apart=tuple(apart))
    price = _price(scenario, gpu_key, catalog)
    return FleetSharing(found=consolidate(able, gpu, price, catalog, table), apart=tuple(apart))


def _why_apart(deployment: Deployment, gpu_key: str, catalog: Catalog) -> str:
    hosted, gpu = deployment.supply, catalog.gpu(gpu_key)
    if not isinstance(hosted, SelfHosted):
        return "bought by the token"
    if hosted.stated_tokens_per_s is not None:
        return "its throughput is stated, not modelled: what a part of a GPU serves is not known"
    alone = on_one_gpu(deployment, gpu, catalog)
    if isinstance(alone, str):
        return alone.removeprefix(f"{deployment.key}: ")
    if alone.load_ratio >= 1:
        return f"its peak takes {alone.load_ratio:.1f} whole GPUs: there is nothing to share"
    return ""


def _price(scenario: Scenario, gpu_key: str, catalog: Catalog) -> float:
    paid = [
        usd_per_gpu_hour(hosted.purchase, scenario, catalog) for hosted in scenario.hosted if hosted.gpu_key == gpu_key
    ]
    if paid:
        return min(paid)
    listed = least_price(catalog, gpu_key, scenario.as_of)
    if listed is None:
        raise DomainError(
            f"{catalog.gpu(gpu_key).name} has no listed price; state one in the scenario file's [prices]."
        )
    return listed.usd_per_gpu_hour
