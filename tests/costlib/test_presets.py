"""Presets: settings that every lever understands, and that do what their words say."""

import pytest

from costlib.compare import compare
from costlib.levers import lever as lever_of
from costlib.presets import PRESETS
from tests.costlib.scenario_builders import CATALOG, hosted, scenario, work

FLEET = scenario(
    hosted("llama-3.3-70b", "h100-sxm", work(400, 800, 200, peak_to_mean_ratio=2), tensor_parallel_count=4)
)
QUICK, AGGRESSIVE = PRESETS

every_preset = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


@every_preset
def test_it_is_applied_whole_and_saves(preset):
    result = compare(FLEET, preset.settings, CATALOG)
    assert not result.refusals
    assert result.saved_usd_per_month > 0
    assert {key for key, _ in result.changes} == set(preset.settings)


@every_preset
def test_it_says_what_it_is(preset):
    assert preset.name
    assert preset.help.endswith(".")


def test_quick_wins_change_no_answer():
    assert not [key for key in QUICK.settings if lever_of(key).changes_answers]


def test_the_aggressive_one_goes_further_and_its_saving_is_unproven():
    quick, aggressive = (compare(FLEET, preset.settings, CATALOG) for preset in (QUICK, AGGRESSIVE))
    assert aggressive.saved_usd_per_month > quick.saved_usd_per_month
    assert quick.unproven_usd_per_month == 0 < aggressive.unproven_usd_per_month
