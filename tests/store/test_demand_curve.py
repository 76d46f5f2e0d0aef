"""Hours of demand as the store has them: tokens counted as requests, gaps left open, nothing made up."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from collectors.demo import load_fleet
from collectors.sample import hourly_rates
from costlib.estimate import Basis
from costlib.replica_unit import replica_unit
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.demand_curve import hourly_load
from store.home import Home
from store.read import Snapshot, snapshot_of
from tests.store.builders import NOON, frozen


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    home = Home(tmp_path_factory.mktemp("demand") / "home")
    load_fleet(home, frozen())
    with snapshot_of(home) as snapshot:
        yield snapshot


def unit(place: int = 0):
    file = load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21))
    deployment = file.today.deployments[place]
    return deployment, replica_unit(deployment, file.today, file.catalog)


def test_the_sample_is_what_was_asked_of_it_hour_by_hour(sample: Snapshot) -> None:
    deployment, one = unit()
    found = hourly_load(sample, one, weeks=2)
    asked = hourly_rates(deployment, found.start, len(found.requests_per_s))
    assert found.basis is Basis.MEASURED
    assert found.coverage_fraction > 0.99
    known = np.isfinite(found.requests_per_s)
    assert found.requests_per_s[known] == pytest.approx(asked[known], rel=0.01)


def test_what_a_deployment_never_told_is_none(sample: Snapshot) -> None:
    assert hourly_load(sample, replace(unit()[1], deployment_key="nobody")) is None


def test_no_more_weeks_are_read_than_asked_for(sample: Snapshot) -> None:
    found = hourly_load(sample, unit()[1], weeks=1)
    assert len(found.requests_per_s) <= 168
    assert found.end <= NOON + timedelta(hours=1)
