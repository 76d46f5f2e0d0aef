"""The sample log is made up by a rule, small, and the same every time."""

from collectors.sample_requests import REQUESTS_COUNT, sample_log
from store.catalog_files import SAMPLE_REQUESTS


def test_the_file_is_what_the_generator_makes() -> None:
    assert SAMPLE_REQUESTS.read_text(encoding="utf-8") == sample_log(), "python -m collectors.sample_requests > FILE"


def test_it_has_400_requests_in_less_than_300_kb() -> None:
    assert len(sample_log().splitlines()) == REQUESTS_COUNT == 400
    assert SAMPLE_REQUESTS.stat().st_size < 300_000
