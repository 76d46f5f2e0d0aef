"""What happened to the sample fleet: planted causes with known dates and sizes, for whoever wants to find them again.

Dates count from the Monday that begins the newest whole week, so that a first look always falls on them. What each is
there to show: data/demo/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import inf

import numpy as np

from costlib.scenario import Deployment, SelfHosted
from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR

HOURS_PER_WEEK = 7 * HOURS_PER_DAY
SUPPORT, DOCUMENTS, SEARCH = "support-copilot", "doc-extraction", "search-answers"
GROWTH_PER_WEEK = {SUPPORT: 0.005, DOCUMENTS: -0.008, SEARCH: 0.012}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One cause: from `first_hour` to before `end_hour` [h from the Monday] something of a deployment is different."""

    key: str
    deployment_key: str
    first_hour: float = -inf
    end_hour: float = inf
    demand_ratio: float = 1.0
    serving: Mapping[str, float] = field(default_factory=dict)  # settings that were others
    least_replicas_count: int = 0

    def holds(self, hours: np.ndarray) -> np.ndarray:
        return (self.first_hour <= hours) & (hours < self.end_hour)


def hour_of(week: int, weekday: int, hour: int = 0) -> int:
    """Hours from the Monday of the newest whole week; week 0 is that week, -1 the one before, weekday 0 its Monday.

    >>> hour_of(-1, 6, 23)
    -1
    """
    return week * HOURS_PER_WEEK + weekday * HOURS_PER_DAY + hour


EVENTS = (
    # In the newest whole week.
    Event(
        key="traffic surge",
        deployment_key=SEARCH,
        first_hour=hour_of(0, 1),
        end_hour=hour_of(0, 4),
        demand_ratio=1.6,
    ),
    Event(
        key="prefix cache collapse",
        deployment_key=SUPPORT,
        first_hour=hour_of(0, 1, 8),
        end_hour=hour_of(0, 6),
        serving={"prefix_hit_fraction": 0.03},
    ),
    Event(
        key="scaled up and not down",
        deployment_key=DOCUMENTS,
        first_hour=hour_of(0, 4, 18),
        least_replicas_count=4,
    ),
    # Before it: one change that saved, one that did not and looks as if it had, one that was taken back.
    Event(
        key="prefix caching switched on",
        deployment_key=SEARCH,
        end_hour=hour_of(-5, 1, 10),
        serving={"prefix_hit_fraction": 0.0},
    ),
    Event(
        key="quiet week",
        deployment_key=DOCUMENTS,
        first_hour=hour_of(-3, 0),
        end_hour=hour_of(-2, 0),
        demand_ratio=0.75,
    ),
    Event(
        key="smaller batches, taken back",
        deployment_key=SUPPORT,
        first_hour=hour_of(-9, 1, 9),
        end_hour=hour_of(-8, 1, 9),
        serving={"max_num_seqs": 24},
    ),
)

# On the bill.
LIST_PRICE_BEFORE = Decimal("0.96")  # of today's, until the newest whole week: GPUs of nodes with two
SERVICE_CREDIT, SERVICE_CREDIT_WEEKDAY = Decimal("-600.00"), 3  # in the newest whole week


def newest_monday(end: datetime) -> datetime:
    """The Monday 00:00 UTC that begins the newest whole week before `end` (aware UTC).

    >>> from datetime import UTC
    >>> newest_monday(datetime(2026, 11, 21, 8, tzinfo=UTC)).isoformat()
    '2026-11-09T00:00:00+00:00'
    """
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday() + 7)


def story_hours(start: datetime, hours: int) -> np.ndarray:
    """Each hour from `start` to its end in `hours`, counted from the Monday of the newest whole week before that."""
    monday = newest_monday(start + timedelta(hours=hours))
    return (start - monday).total_seconds() // SECONDS_PER_HOUR + np.arange(hours)


def demand_ratios(deployment: Deployment, hours: np.ndarray) -> np.ndarray:
    """What multiplies the usual demand in each hour; growth is 1 in the middle of the week after the newest whole."""
    growth = (1 + GROWTH_PER_WEEK[deployment.key]) ** (hours / HOURS_PER_WEEK - 1.5)
    return growth * np.prod(
        [np.where(event.holds(hours), event.demand_ratio, 1.0) for event in _of(deployment)], axis=0
    )


def least_replicas(deployment: Deployment, hours: np.ndarray) -> np.ndarray:
    """Replicas that the autoscaler keeps in each hour, whatever the demand."""
    return np.max([event.holds(hours) * event.least_replicas_count for event in _of(deployment)], axis=0)


def settings(deployment: Deployment, hours: np.ndarray) -> list[tuple[Deployment, np.ndarray]]:
    """The deployment as it was served, and the hours in which it was."""
    found, left = [], np.ones(len(hours), bool)
    for event in _of(deployment):
        if event.serving:
            hosted = deployment.supply
            assert isinstance(hosted, SelfHosted)
            other = replace(hosted, serving=replace(hosted.serving, **event.serving))
            found.append((replace(deployment, supply=other), event.holds(hours) & left))
            left = left & ~event.holds(hours)
    return [(deployment, left), *found]


def _of(deployment: Deployment) -> list[Event]:
    return [event for event in EVENTS if event.deployment_key == deployment.key]
