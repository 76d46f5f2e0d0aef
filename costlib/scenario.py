"""A scenario: which deployments serve which work on what hardware. `project()` prices it; levers edit it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from math import inf
from typing import Any

from costlib.commitment import Commitment
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.fitted import Fitted
from costlib.pricing import PurchaseMix
from costlib.serving import ServingConfig
from costlib.units import HOURS_PER_MONTH
from costlib.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHosted:
    """A model on GPUs we pay by the hour. A `stated_tokens_per_s` (input + output, one replica, fully used) replaces
    the engine model's capacity: a figure the user has measured or been promised. `fitted` is what calibration found
    of this deployment; without it the published constants are taken."""

    gpu_key: str
    serving: ServingConfig
    purchase: PurchaseMix
    stated_tokens_per_s: float | None = None
    fitted: Fitted | None = None

    def __post_init__(self) -> None:
        if self.stated_tokens_per_s is not None and not 0 < self.stated_tokens_per_s < inf:
            raise DomainError(f"stated_tokens_per_s must be above 0, not {self.stated_tokens_per_s}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTokens:
    """A model bought by the token."""

    usd_per_mtok_input: float
    usd_per_mtok_output: float

    def __post_init__(self) -> None:
        if not (0 <= self.usd_per_mtok_input < inf and 0 <= self.usd_per_mtok_output < inf):
            raise DomainError("API prices must be 0 or more USD per million tokens.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside the model: requests answered before they reach it, and money that it does not take.

    `cached_requests_per_s` are answered by a cache of whole answers and are not in the workload. Services are billed;
    `wrong_answers_usd_per_hour` is what wrong answers are expected to lose, and no bill shows it.
    """

    cached_requests_per_s: float = 0.0
    services_usd_per_hour: float = 0.0
    wrong_answers_usd_per_hour: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cached_requests_per_s", "services_usd_per_hour", "wrong_answers_usd_per_hour"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 or more, not {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One model served one way to one stream of requests.

    `max_tpot_s` is the slowest time per output token users accept; it caps the batch.
    """

    key: str
    model_key: str
    workload: Workload
    supply: SelfHosted | ApiTokens
    product: str = ""
    max_tpot_s: float | None = None
    beside: Beside = Beside()

    def __post_init__(self) -> None:
        if self.max_tpot_s is not None and not 0 < self.max_tpot_s < inf:
            raise DomainError(f"{self.key}: max_tpot_s must be above 0, not {self.max_tpot_s}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Deployments side by side, and GPUs committed to for all of them. `target_usd_per_mtok` is a price to beat, such
    as an API's."""

    key: str
    label: str
    as_of: date
    deployments: tuple[Deployment, ...]
    hours_per_month: float = HOURS_PER_MONTH
    target_usd_per_mtok: float | None = None
    commitments: tuple[Commitment, ...] = ()

    def __post_init__(self) -> None:
        keys = [deployment.key for deployment in self.deployments]
        if not keys:
            raise DomainError("a scenario needs at least one deployment.")
        if len(set(keys)) != len(keys):
            raise DomainError(f"deployment keys must differ: {', '.join(keys)}.")
        if not 0 < self.hours_per_month <= 744:
            raise DomainError(f"hours_per_month must be above 0 and at most 744, not {self.hours_per_month}.")
        if self.target_usd_per_mtok is not None and not 0 < self.target_usd_per_mtok < inf:
            raise DomainError(f"target_usd_per_mtok must be above 0, not {self.target_usd_per_mtok}.")

    @property
    def product_names(self) -> dict[str, str]:
        """What each deployment is called: its product, and its key as well where several share one."""
        shared = Counter(d.product for d in self.deployments)
        return {
            d.key: d.key if not d.product else d.product if shared[d.product] == 1 else f"{d.product} ({d.key})"
            for d in self.deployments
        }

    @property
    def hosted(self) -> tuple[SelfHosted, ...]:
        return tuple(d.supply for d in self.deployments if isinstance(d.supply, SelfHosted))

    @property
    def modelled(self) -> tuple[SelfHosted, ...]:
        """Self-hosted deployments whose capacity the engine model computes: the ones that serving levers act on."""
        return tuple(hosted for hosted in self.hosted if hosted.stated_tokens_per_s is None)

    def with_serving(self, **changes: Any) -> "Scenario":
        """This scenario with the same serving settings changed on every self-hosted deployment."""
        return replace(
            self,
            deployments=tuple(
                replace(d, supply=_served(d.supply, tuple(changes.items()))) if isinstance(d.supply, SelfHosted) else d
                for d in self.deployments
            ),
        )

    def with_modelled(self, edit: Callable[[Deployment, SelfHosted], SelfHosted]) -> "Scenario":
        """This scenario with what runs each modelled deployment edited: other hardware changes no stated throughput."""
        return replace(
            self,
            deployments=tuple(
                replace(d, supply=edit(d, d.supply))
                if isinstance(d.supply, SelfHosted) and d.supply.stated_tokens_per_s is None
                else d
                for d in self.deployments
            ),
        )

    @property
    def demand_basis(self) -> Basis:
        measured = all(d.workload.basis is Basis.MEASURED for d in self.deployments)
        return Basis.MEASURED if measured else Basis.ASSUMED


@lru_cache(maxsize=1024)  # hundreds of draws change the same few
def _served(hosted: SelfHosted, changes: tuple[tuple[str, Any], ...]) -> SelfHosted:
    return replace(hosted, serving=replace(hosted.serving, **dict(changes)))
