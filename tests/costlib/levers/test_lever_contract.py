"""What every lever promises, whatever it does. A new file in costlib/levers is tested here without an edit."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise, product
from math import isfinite, prod
from pathlib import Path

import pytest

from costlib.compare import apply_levers, compare
from costlib.errors import MOST_LISTED, ConfigError, DoesNotFit, UnknownKey
from costlib.lever import Choice, Number, Switch
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from tests.costlib.scenario_builders import AS_OF, CATALOG, bought, hosted, scenario, work

MOST_COMBINED = 24
ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = {
    "dense on one GPU": scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(40))),
    "dense on four": scenario(hosted("llama-3.3-70b", "h100-sxm", work(60, 1500, 300), tensor_parallel_count=4)),
    "experts": scenario(hosted("qwen3-30b-a3b", "h100-sxm", work(80, 800, 400, peak_to_mean_ratio=2))),
    "experts, one latent": scenario(
        hosted("deepseek-v3", "h200-sxm", work(20), tensor_parallel_count=8, weight_precision="fp8")
    ),
    "bought by the token": scenario(bought("llama-3.3-70b", 0.88)),
    "hosted and bought": scenario(
        hosted("llama-3.3-70b", "b200", work(30, 4000, 50), max_tpot_s=0.06, prefix_hit_fraction=0.3),
        bought("deepseek-v3", 1.10),
    ),
    "batched statically": scenario(
        hosted("llama-3.1-8b", "a100-sxm-80gb", work(40), batching="static", kv_used_fraction=0.3, max_num_seqs=32)
    ),
    "hardly used": scenario(hosted("mixtral-8x7b", "h100-sxm", work(0.01), tensor_parallel_count=2)),
}

every_lever = pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.key)
every_scenario = pytest.mark.parametrize("today", SCENARIOS.values(), ids=SCENARIOS.keys())


def switched_on(lever):
    return {param.key: True for param in lever.params if isinstance(param, Switch)}


def ends(param, today):
    """The values at a parameter's ends: every option of a choice, both ends of a number, on."""
    if isinstance(param, Choice):
        return [option.value for option in param.options(today, CATALOG)]
    return [param.low, param.high] if isinstance(param, Number) else [True]


def extremes(lever, today) -> Iterator[dict]:
    """All combinations of ends; where those are too many, each option with all numbers low and high, and all ends of
    the numbers with the resting options."""
    keys = [param.key for param in lever.params]
    sides = [ends(param, today) for param in lever.params]
    if prod(map(len, sides)) <= MOST_COMBINED:
        found = set(product(*sides))
    else:
        rest = [[param.neutral] if isinstance(param, Choice) else side
                for param, side in zip(lever.params, sides, strict=True)]  # fmt: skip
        found = set(product(*rest))
        for at in (0, -1):
            flat = [side if isinstance(param, Choice) else [side[at]]
                    for param, side in zip(lever.params, sides, strict=True)]  # fmt: skip
            found |= set(product(*flat))
    for values in sorted(found, key=repr):
        yield dict(zip(keys, values, strict=True))


def outcome(today, lever, values):
    """The comparison with this lever alone pulled, or None when it is refused or does not fit."""
    try:
        result = compare(today, {lever.key: values}, CATALOG)
    except DoesNotFit as error:
        assert str(error)
        return None
    for key, refusal in result.refusals:
        assert (key, bool(refusal.reason), bool(refusal.remedy)) == (lever.key, True, True)
    return None if result.refusals else result


@every_lever
def test_it_says_what_it_is(lever):
    assert lever.label
    assert lever.question.endswith("?")
    assert lever.risks
    assert lever.rollback
    assert lever.sources
    assert all(source.title and source.url.startswith("https://") for source in lever.sources)
    assert all(source.retrieved_on <= AS_OF for source in lever.sources)
    assert all(param.label and param.help for param in lever.params)


@every_lever
def test_a_guess_about_the_world_lies_in_its_usual_range(lever):
    for param in lever.params:
        if isinstance(param, Number) and param.usual:
            assert param.low <= param.usual[0] < param.neutral < param.usual[1] <= param.high


@every_lever
def test_one_that_changes_answers_takes_its_evaluation(lever):
    evaluated = {"accepted_fraction": 0.98, "evaluated_count": 500}
    if lever.changes_answers:
        values = lever.check_values(evaluated, SCENARIOS["dense on one GPU"], CATALOG)
        assert {key: values[key] for key in evaluated} == evaluated
        assert lever.is_neutral(values), "an evaluation alone changes nothing"
    else:
        with pytest.raises(UnknownKey, match="accepted_fraction"):
            lever.check_values(evaluated, SCENARIOS["dense on one GPU"], CATALOG)


@every_lever
def test_its_parameters_can_be_named_in_a_file_and_a_link(lever):
    keys = [param.key for param in lever.params]
    assert len(set(keys)) == len(keys) > 0
    assert all(key.isidentifier() and key == key.lower() for key in (*keys, lever.key))


@every_lever
def test_it_is_found_by_its_key_tested_and_documented(lever):
    assert lever_of(lever.key) is lever
    assert (ROOT / "tests" / "costlib" / "levers" / f"test_{lever.key}.py").exists()
    assert f"`{lever.key}`" in (ROOT / "docs" / "levers.md").read_text(encoding="utf-8")


def test_an_unknown_lever_is_answered_with_the_nearest():
    with pytest.raises(UnknownKey, match=r"unknown lever 'batch_limit'.* Did you mean 'batch_limits'"):
        lever_of("batch_limit")


@every_lever
@every_scenario
def test_at_rest_the_scenario_is_the_same(lever, today):
    values = lever.check_values({}, today, CATALOG)
    assert values == lever.neutral_values
    assert lever.is_neutral(values)
    assert apply_levers(today, {lever.key: values}, CATALOG) == today


@every_lever
@every_scenario
def test_switched_off_it_does_nothing_whatever_its_other_values(lever, today):
    off = {param.key: False for param in lever.params if isinstance(param, Switch)}
    if not off:
        assert all(isinstance(param, Choice) for param in lever.params), "a number without a switch has no rest"
        return
    for values in extremes(lever, today):
        settings = {lever.key: {**values, **off}}
        assert apply_levers(today, settings, CATALOG) == today


@every_lever
@every_scenario
def test_extremes_cost_something_finite_or_are_refused(lever, today):
    for values in extremes(lever, today):
        if result := outcome(today, lever, values):
            after = result.scenario
            assert all(
                isfinite(cost) and cost >= 0
                for cost in (
                    after.usd_per_month.low,
                    after.usd_per_month.mid,
                    after.usd_per_month.high,
                    after.cost.prefill_usd_per_month,
                    after.cost.decode_usd_per_month,
                    after.cost.idle_usd_per_month,
                )
            )
            assert all(isfinite(step.value) for step in after.steps)


@every_lever
def test_some_extreme_of_some_scenario_changes_the_bill(lever):
    """Otherwise the tests above would pass for a lever that does nothing."""
    assert any(
        result.scenario.cost != result.today.cost
        for today in SCENARIOS.values()
        for values in extremes(lever, today)
        if (result := outcome(today, lever, values))
    )


@every_lever
@every_scenario
def test_applying_it_twice_gives_the_same_and_leaves_today_alone(lever, today):
    kept = deepcopy(today)
    for values in extremes(lever, today):
        checked = lever.check_values(values, today, CATALOG)
        if not lever.is_neutral(checked) and not lever.refuse(today, checked, CATALOG):
            assert lever.apply(today, checked, CATALOG) == lever.apply(today, checked, CATALOG)
    assert today == kept


@every_lever
def test_what_it_declares_monotone_is(lever):
    """Along the declared values the declared step only rises, or only falls; somewhere it moves."""
    moved = False
    for name, today in SCENARIOS.items():
        found = []
        for value in lever.expect.values:
            if result := outcome(today, lever, {**switched_on(lever), lever.expect.param: value}):
                # A model bought by the token has no such step.
                found += [step.value for step in result.scenario.steps if step.key == lever.expect.step][:1]
        for before, after in pairwise(found):
            low, high = (before, after) if lever.expect.rises else (after, before)
            assert low <= high * (1 + 1e-12), f"{name}: {found}"
            moved = moved or before != after
    assert moved


@every_lever
def test_what_it_declares_monotone_exists(lever):
    (param,) = [param for param in lever.params if param.key == lever.expect.param]
    for today in SCENARIOS.values():
        for value in lever.expect.values:
            assert param.checked(value, today, CATALOG, "here") == value


@every_lever
def test_a_value_out_of_range_is_refused_with_what_is_allowed(lever):
    today = SCENARIOS["dense on one GPU"]
    for param in lever.params:
        if isinstance(param, Number):
            wrong = [param.low - param.step, param.high + param.step, float("nan"), "much", True, None]
            allowed = [f"{param.low:g}", f"{param.high:g}"]
        elif isinstance(param, Switch):
            wrong, allowed = [1, "yes", None], ["true", "false"]
        else:
            wrong, allowed = ["no such option", 3, None], [option.value for option in param.options(today, CATALOG)]
            if len(allowed) > MOST_LISTED:
                allowed = [f"{len(allowed)} in all"]
        for value in wrong:
            with pytest.raises(ConfigError) as refusal:
                compare(today, {lever.key: {param.key: value}}, CATALOG)
            assert all(word in str(refusal.value) for word in (f"lever {lever.key}", param.key, *allowed))


@every_lever
def test_an_unknown_parameter_is_refused_with_the_known(lever):
    with pytest.raises(UnknownKey, match=rf"unknown parameter 'nonsense' in lever {lever.key}.* Known: .*") as refusal:
        compare(SCENARIOS["experts"], {lever.key: {"nonsense": 1}}, CATALOG)
    assert all(param.key in str(refusal.value) for param in lever.params)


@every_lever
@every_scenario
def test_its_choices_hold_their_resting_value_and_say_why_one_is_blocked(lever, today):
    for param in lever.params:
        if isinstance(param, Choice):
            options = param.options(today, CATALOG)
            values = [option.value for option in options]
            assert param.neutral in values
            assert len(set(values)) == len(values)
            for option in options:
                if option.blocked:
                    assert outcome(today, lever, {**switched_on(lever), param.key: option.value}) is None


@every_lever
@every_scenario
def test_why_an_option_is_blocked_fits_a_narrow_panel(lever, today):
    for param in lever.params:
        if isinstance(param, Choice):
            for option in param.options(today, CATALOG):
                assert len(option.blocked) < 90, option.blocked
                assert "\n" not in option.blocked


def test_levers_are_pulled_in_the_order_of_their_stages():
    assert [lever.stage for lever in LEVERS] == sorted(lever.stage for lever in LEVERS)
    assert len({lever.key for lever in LEVERS}) == len(LEVERS)
