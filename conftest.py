"""Names every doctest may use: the shipped catalogue."""

import pytest

from store.catalog_files import load_catalog


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace["catalog"] = load_catalog()
