"""Calibrations on the pages: used and shown where they are of the fleet as it is, and said where they are not."""

from tests.pages.conftest import Open
from tests.pages.reading import card, chart, page_text, usd

SPEND = "Spend per month"


def test_a_calibrated_sample_shows_its_last_day_replayed_and_says_that_it_proves_nothing(see_page: Open) -> None:
    at = see_page("limits", "calibrated")
    assert not at.exception
    assert "on sample hours, which proves nothing" in page_text(at)
    assert chart(at, "back-test")["data"]


def test_beyond_the_batches_seen_a_projection_says_that_it_is_extrapolated(see_page: Open) -> None:
    at = see_page("what_if", "calibrated")
    assert not at.exception
    assert "where it was calibrated" in page_text(at)
    assert usd(card(at, SPEND)) > 0


def test_a_calibration_of_another_vllm_is_not_used_and_the_page_says_why(see_page: Open) -> None:
    at = see_page("what_if", "calibration stale")
    said = page_text(at)
    assert "is not used, because it is of something else: vllm was 0.10.0 to before 0.11.0 and is 0." in said
    assert "permillion calibrate --deployment search-answers" in said
    assert card(at, SPEND) == card(see_page("what_if", "sample"), SPEND)


def test_what_the_engine_model_rests_on_is_said_either_way(see_page: Open) -> None:
    assert "calibrated on 3 of 3 deployments" in page_text(see_page("what_if", "calibrated"))
    assert "not calibrated on this fleet" in page_text(see_page("what_if", "sample"))
