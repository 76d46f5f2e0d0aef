"""Which deployments share: those that need less than a GPU, and every other one says why not."""

from dataclasses import replace
from datetime import date

import pytest

from costlib.consolidation import Way
from costlib.errors import DomainError, UnknownKey
from costlib.fleet_sharing import share
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.mig_files import SHARING_SCENARIO, load_mig_table
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

TABLE = load_mig_table()
SMALL = load_scenario(SHARING_SCENARIO, date(2026, 11, 21)).today


def test_the_five_small_models_of_the_demo_fit_one_gpu_of_five():
    fleet = share(SMALL, "h100-sxm", CATALOG, TABLE)
    assert fleet.apart == ()
    assert fleet.found is not None
    assert fleet.found.way(Way.WHOLE_GPUS).gpus_count == 5
    assert fleet.found.way(Way.MIG).gpus_count == 1
    assert fleet.found.usd_per_gpu_hour == 3.99
    limits = {one.key: one.max_tpot_s for one in SMALL.deployments}
    assert all(one.tpot_s <= limits[one.deployment_key] for one in fleet.found.way(Way.MIG).tenants)


def test_the_sample_fleet_has_nothing_to_share_and_says_why_of_each():
    sample = load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21)).today
    fleet = share(sample, "h100-sxm", CATALOG, TABLE)
    assert fleet.found is None
    told = {one.deployment_key: one.why for one in fleet.apart}
    assert "does not fit 1 x NVIDIA H100 SXM" in told["support-copilot"]
    assert "whole GPUs: there is nothing to share" in told["search-answers"]


def test_what_is_bought_or_stated_stays_apart():
    mixed = scenario(
        bought("llama-3.3-70b", 0.9, key="api"),
        hosted("llama-3.2-3b", "h100-sxm", work(0.5), key="stated", stated_tokens_per_s=5000),
        hosted("llama-3.2-3b", "h100-sxm", work(0.5), key="calm"),
    )
    fleet = share(mixed, "h100-sxm", CATALOG, TABLE)
    assert [(one.deployment_key, one.why.split(":")[0]) for one in fleet.apart] == [
        ("api", "bought by the token"),
        ("stated", "its throughput is stated, not modelled"),
    ]
    assert fleet.found is not None
    assert [one.deployment_key for one in fleet.found.way(Way.MIG).tenants] == ["calm"]


def test_another_gpu_is_taken_at_its_least_listed_price():
    fleet = share(SMALL, "a100-sxm-80gb", CATALOG, TABLE)
    assert fleet.found is not None
    assert fleet.found.usd_per_gpu_hour < 3
    with pytest.raises(DomainError, match="NVIDIA A30 has no listed price"):
        share(SMALL, "a30", replace(CATALOG, gpu_prices=()), TABLE)
    with pytest.raises(UnknownKey, match="unknown GPU 'h1000'"):
        share(SMALL, "h1000", CATALOG, TABLE)
