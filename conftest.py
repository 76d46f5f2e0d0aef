"""Names every doctest may use: the shipped catalogue, and the sample's scenario."""

from datetime import date

import pytest

from store.catalog_files import SAMPLE_SCENARIO, load_catalog, load_scenario


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace["catalog"] = load_catalog()
    doctest_namespace["sample"] = load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21)).today
