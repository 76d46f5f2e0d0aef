"""The policies that the sample fleet says it is scaled by give the GPU-hours of its bill when they are replayed."""

import csv
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest

from collectors.sample import HOURS_PER_WEEK, WEEKS, hourly_rates
from collectors.sample_bill import bill_csv
from collectors.sample_story import newest_monday
from costlib.autoscale import replay
from costlib.autoscale_file import policies_from
from costlib.demand_curve import HourlyLoad
from costlib.estimate import Basis
from costlib.replica_unit import replica_unit
from costlib.units import HOURS_PER_DAY
from store.catalog_files import DATA, SAMPLE_SCENARIO, load_scenario, read_toml

POLICIES = DATA / "demo" / "policies.toml"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
QUIET = newest_monday(NOW) - timedelta(weeks=1)  # a week in which nothing was planted


def test_the_policies_in_force_reproduce_the_gpu_hours_of_the_sample_bill():
    file = load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21))
    days = {(QUIET + timedelta(days=n)).date().isoformat() for n in range(7)}
    billed: dict[str, float] = defaultdict(float)
    for row in csv.DictReader(StringIO(bill_csv(file, NOW, weeks=4))):
        deployment = json.loads(row["Tags"] or "{}").get("deployment")
        if deployment and row["SkuPriceDetails"] and row["ChargePeriodStart"][:10] in days:
            billed[deployment] += float(row["PricingQuantity"]) * json.loads(row["SkuPriceDetails"])["GpuCount"]
    first = NOW - timedelta(weeks=WEEKS)
    week = slice(skipped := (QUIET - first).days * HOURS_PER_DAY, skipped + HOURS_PER_WEEK)
    for key, policy in policies_from(read_toml(POLICIES), POLICIES.name):
        deployment = next(one for one in file.today.deployments if one.key == key)
        rates = hourly_rates(deployment, first, WEEKS * HOURS_PER_WEEK).clip(0)[week]
        load = HourlyLoad(deployment_key=key, start=QUIET, requests_per_s=rates, basis=Basis.MEASURED)
        found = replay(load, replica_unit(deployment, file.today, file.catalog), [policy]).replays[0]
        assert found.gpu_hours == pytest.approx(billed[key], rel=0.05), key
