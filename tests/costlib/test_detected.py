"""Changes that nobody noted are found when they were made, said once, and never where nothing changed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.detected import Detected, EngineSeen, FactChange, HourlyUse, Kind, detected, rolled_out
from costlib.levers import lever
from costlib.shifts import shifts

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
WEEKS = 4
HOURS = WEEKS * 168


def at(hours: float) -> datetime:
    return MONDAY + timedelta(hours=hours)


def told(found: tuple[Detected, ...]) -> list[tuple[datetime, str, str | None]]:
    return [(one.at, one.sentence, one.lever_key) for one in found]


# What engines say ----------------------------------------------------------------------------------------------------


def change(hours: float, fact: str, before: str | None, after: str | None, engine: str = "0") -> FactChange:
    return FactChange(deployment_key="chat", engine=(engine,), at=at(hours), fact=fact, before=before, after=after)


def upgrade(hours: float, engine: str = "0") -> list[FactChange]:
    return [
        change(hours, "vllm_at_least", "0.31.0", "0.32.0", engine),
        change(hours, "vllm_below", "0.32.0", None, engine),
    ]


def test_another_release_of_vllm_is_one_event_of_all_its_replicas() -> None:
    changes = [one for n in range(8) for one in upgrade(10 + n / 8, str(n))]
    assert told(detected(changes, [], [])) == [(at(10), "vLLM 0.31.0 or newer → 0.32.0 or newer, on 8 engines", None)]


def test_the_same_a_day_later_is_another_event() -> None:
    changes = [*upgrade(10), *upgrade(34, "1")]
    assert [one.at for one in detected(changes, [], [])] == [at(10), at(34)]


def test_an_older_release_is_said_to_be_one() -> None:
    changes = [change(1, "vllm_at_least", "0.32.0", "0.17.0"), change(1, "vllm_below", None, "0.21.0")]
    assert [one.sentence for one in detected(changes, [], [])] == ["vLLM 0.32.0 or newer → one before 0.21.0"]


@pytest.mark.parametrize(
    "changes",
    [
        [change(1, "vllm_below", None, "0.34.0")],  # a newer Permillion knows a newer release
        [change(1, "vllm_at_least", "0.17.0", "0.17.1")],
        [change(1, "vllm_at_least", "0.13.0", "0.16.0"), change(1, "vllm_below", "0.17.1", "0.21.0")],
        [change(1, "vllm_at_least", None, "0.17.0")],
        [change(1, "vllm_at_least", "?", "x"), change(1, "vllm_below", "y", "z")],
    ],
    ids=["other table", "narrower", "overlap", "not said before", "nonsense"],
)
def test_ranges_that_share_a_release_are_no_other_version(changes: list[FactChange]) -> None:
    assert detected(changes, [], []) == ()


@pytest.mark.parametrize(
    ("fact", "before", "after", "sentence", "lever_key"),
    [
        ("enable_prefix_caching", "False", "True", "prefix caching switched on", "prefix_caching"),
        ("enable_prefix_caching", "True", "False", "prefix caching switched off", "prefix_caching"),
        ("cache_dtype", "auto", "fp8", "KV cache in fp8, auto before", "kv_precision"),
        ("features", None, "speculative decoding", "speculative decoding switched on", "speculative_decoding"),
        ("features", "LoRA, speculative decoding", "LoRA", "speculative decoding switched off", "speculative_decoding"),
        ("features", "LoRA", "KV offloading, LoRA", "KV offloading switched on", "kv_offload"),
        ("gpu_memory_utilization", "0.9", "0.95", "gpu_memory_utilization 0.9 → 0.95", None),
    ],
)
def test_a_setting_is_said_in_words_with_its_lever(fact, before, after, sentence, lever_key) -> None:
    assert told(detected([change(3, fact, before, after)], [], [])) == [(at(3), sentence, lever_key)]
    if lever_key:
        assert lever(lever_key)


@pytest.mark.parametrize(
    ("fact", "before", "after"),
    [
        ("num_gpu_blocks", "27000", "26998"),  # each start measures its memory anew
        ("kv_cache_size_tokens", "432000", "431968"),
        ("enable_prefix_caching", None, "True"),  # labels come with releases
        ("cache_dtype", "auto", None),
        ("features", "LoRA", "LoRA, tool calls"),
    ],
)
def test_what_no_hand_changed_is_no_event(fact, before, after) -> None:
    assert detected([change(3, fact, before, after)], [], []) == ()


def test_there_and_back_again_within_the_hours_is_no_event() -> None:
    """A rollout that fails and is taken back, or a restart loop between two configurations."""
    loop = [change(n / 4, "cache_dtype", *(("auto", "fp8"), ("fp8", "auto"))[n % 2]) for n in range(40)]
    assert detected(loop, [], []) == ()


# New engines for old -------------------------------------------------------------------------------------------------


def pod(name: str, started: float, seen: float, **facts: str) -> EngineSeen:
    return EngineSeen(
        deployment_key="chat", engine=(name,), started_at=at(started), seen_at=at(seen), facts={"x": "1", **facts}
    )


def test_a_rollout_that_brings_new_pods_is_one_event() -> None:
    old = [pod(f"old-{n}", 0, 100 + n / 10, cache_dtype="auto") for n in range(3)]
    new = [pod(f"new-{n}", 100 + n / 10, 300, cache_dtype="fp8") for n in range(3)]
    assert told(detected([], [*new, *old], [])) == [
        (at(100), "KV cache in fp8, auto before, on 3 engines", "kv_precision")
    ]


def test_taking_a_rollout_back_is_another() -> None:
    kinds = ("auto", "fp8", "auto")
    pods = [pod(f"pod-{n}", 100 * n, 100 * (n + 1) + 0.1, cache_dtype=kind) for n, kind in enumerate(kinds)]
    assert [one.at for one in detected([], pods, [])] == [at(100), at(200)]


@pytest.mark.parametrize(
    "engines",
    [
        [pod("old", 0, 300, cache_dtype="auto"), pod("new", 100, 300, cache_dtype="fp8")],
        [pod("old", 0, 50, cache_dtype="auto"), pod("new", 100, 300, cache_dtype="fp8")],
        [pod("old", 0, 100, cache_dtype="auto"), pod("new", 100, 300, cache_dtype="auto")],
        [
            pod("a", 0, 100, cache_dtype="auto"),
            pod("b", 0, 100, cache_dtype="fp8"),
            pod("c", 100, 300, cache_dtype="fp8"),
        ],
        [pod("new", 100, 300, cache_dtype="fp8")],
    ],
    ids=["a canary beside it", "after days of none", "the same", "some had it before", "the first"],
)
def test_new_engines_beside_old_ones_or_after_a_pause_are_no_change(engines: list[EngineSeen]) -> None:
    assert rolled_out(engines) == []


def test_what_a_new_engine_says_later_is_its_own_change() -> None:
    engines = [pod("old", 0, 100, cache_dtype="auto"), pod("new", 100, 300, cache_dtype="fp8")]
    changes = [change(200, "cache_dtype", "auto", "fp8", "new")]
    assert [one.at for one in detected(changes, engines, [])] == [at(200)]


# What engines did ----------------------------------------------------------------------------------------------------


def traffic(rng: np.random.Generator) -> np.ndarray:
    """Tokens of each hour: a day's wave, a weekend, noise."""
    hour = np.arange(HOURS)
    wave = 1 + 0.8 * np.sin(2 * np.pi * (hour % 24) / 24)
    return np.rint(2e6 * wave * np.where(hour // 24 % 7 >= 5, 0.3, 1.0) * rng.lognormal(0, 0.2, HOURS))


def use(
    cached_fraction=0.3, tokens: np.ndarray | None = None, drafts=np.nan, model_key: str = "m", **changes
) -> HourlyUse:
    prompt = traffic(np.random.default_rng(1)) if tokens is None else tokens
    values = {
        "deployment_key": "chat",
        "model_key": model_key,
        "times_s": MONDAY.timestamp() + 3600.0 * np.arange(len(prompt)),
        "prompt_tokens": prompt,
        "cached_prompt_tokens": np.rint(prompt * cached_fraction),
        "generation_tokens": prompt / 10,
        "draft_tokens": np.zeros(len(prompt)) + drafts,
    }
    return HourlyUse(**{**values, **changes})


def noisy(levels: np.ndarray, sd: float = 0.1, seed: int = 2) -> np.ndarray:
    return np.clip(levels * np.random.default_rng(seed).lognormal(0, sd, len(levels)), 0, 1)


def test_prefix_caching_switched_on_is_found_to_the_hour() -> None:
    levels = np.where(np.arange(HOURS) < 300, 0.0, 0.22)
    (found,) = detected([], [], [use(noisy(levels))])
    assert (found.at, found.kind, found.lever_key) == (at(300), Kind.PREFIX_CACHING, "prefix_caching")
    assert found.sentence == "prefix caching switched on: 0 % → 22 % of prompt tokens cached"


def test_so_is_switched_off() -> None:
    (found,) = detected([], [], [use(noisy(np.where(np.arange(HOURS) < 300, 0.4, 0.0)))])
    assert (found.at, found.sentence.split(":")[0]) == (at(300), "prefix caching switched off")


def test_a_fact_that_says_so_too_is_told_once_with_its_own_time() -> None:
    changes = [change(299.7, "enable_prefix_caching", "False", "True")]
    levels = np.where(np.arange(HOURS) < 300, 0.0, 0.22)
    assert told(detected(changes, [], [use(levels)])) == [(at(299.7), "prefix caching switched on", "prefix_caching")]


def test_a_collapse_for_days_is_two_events_and_nobody_is_said_to_have_switched_anything() -> None:
    hour = np.arange(HOURS)
    levels = noisy(np.where((hour >= 300) & (hour < 380), 0.03, 0.35), 0.02)
    assert told(detected([], [], [use(levels)])) == [
        (at(300), "fewer prompt tokens were cached: 35 % → 3 %", None),
        (at(380), "more prompt tokens were cached: 3 % → 35 %", None),
    ]


@pytest.mark.parametrize(
    "levels",
    [
        np.where(np.arange(HOURS) % 24 < 8, 0.02, 0.4),
        np.where(np.arange(HOURS) // 24 % 7 >= 5, 0.0, 0.4),
        np.where((np.arange(HOURS) >= 300) & (np.arange(HOURS) < 310), 0.0, 0.4),
        np.linspace(0.1, 0.4, HOURS),
        np.where(np.arange(HOURS) < 300, 0.30, 0.35),
        np.where(np.arange(HOURS) < 300, 0.02, 0.05),
    ],
    ids=["at night", "at weekends", "for ten hours", "slowly", "a little", "of little"],
)
def test_a_rhythm_a_moment_or_a_drift_is_no_event(levels: np.ndarray) -> None:
    assert detected([], [], [use(noisy(levels, 0.02))]) == ()


def test_hours_with_little_traffic_make_no_event() -> None:
    """A service of office hours, whose few prompts at night are all new."""
    hour = np.arange(HOURS)
    is_open = (hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5)
    tokens = np.where(is_open, 3e6, 40_000.0)
    assert detected([], [], [use(np.where(is_open, 0.3, 0.0), tokens)]) == ()
    switched = np.where(is_open & (hour >= 200), 0.3, 0.0)
    (found,) = detected([], [], [use(switched, tokens)])
    assert found.at == at(200), "Tuesday 08:00 of the second week, an hour of traffic"


def test_a_measure_that_begins_to_be_exported_is_no_change() -> None:
    cached = np.where(np.arange(HOURS) < 300, np.nan, 5e5)
    assert detected([], [], [use(cached_prompt_tokens=cached)]) == ()


def test_speculation_is_seen_by_its_drafts() -> None:
    drafts = np.where(np.arange(HOURS) < 300, np.nan, 9e5)
    (found,) = detected([], [], [use(drafts=drafts)])
    assert told((found,)) == [(at(300), "speculative decoding switched on", "speculative_decoding")]
    (found,) = detected([], [], [use(drafts=drafts[::-1])])
    assert found.sentence == "speculative decoding switched off"


@pytest.mark.parametrize(
    ("before", "after", "sentence", "lever_key"),
    [
        ("meta/Llama-70B", "org/Llama-70B-FP8-dynamic", ": the same model in FP8", "weight_precision"),
        ("llama-70b-w4a16", "llama-70b", ": the same model, no more in W4A16", "weight_precision"),
        ("llama-70b", "llama-8b-awq", "", None),
        ("llama-70b", "qwen3-8b", "", None),
    ],
)
def test_another_checkpoint_that_takes_over_is_named_with_what_its_name_tells(
    before, after, sentence, lever_key
) -> None:
    hour, tokens = np.arange(HOURS), traffic(np.random.default_rng(3))
    share = np.clip((hour - 297) / 6, 0, 1)  # a rollout of six hours
    both = [use(tokens=tokens * (1 - share), model_key=before), use(tokens=tokens * share, model_key=after)]
    (found,) = detected([], [], both)
    assert (found.sentence, found.lever_key) == (f"{after} took over from {before}{sentence}", lever_key)
    assert at(297) <= found.at <= at(303)


def test_a_model_that_came_beside_another_took_nothing_over() -> None:
    tokens, share = traffic(np.random.default_rng(3)), np.where(np.arange(HOURS) < 300, 0.0, 0.3)
    both = [use(tokens=tokens * (1 - share), model_key="a"), use(tokens=tokens * share, model_key="b")]
    assert detected([], [], both) == ()


@given(
    level=st.floats(0, 1),
    sd=st.floats(0, 0.5),
    seed=st.integers(0, 2**32),
    gaps=st.floats(0, 0.5),
)
def test_noise_about_a_level_is_never_an_event(level: float, sd: float, seed: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    one = use(np.clip(level * rng.lognormal(0, sd, HOURS), 0, 1), traffic(rng))
    kept = rng.random(HOURS) >= gaps
    names = ("times_s", "prompt_tokens", "cached_prompt_tokens", "generation_tokens", "draft_tokens")
    some = HourlyUse(deployment_key="chat", model_key="m", **{name: getattr(one, name)[kept] for name in names})
    assert detected([], [], [some]) == ()


def test_a_level_that_wanders_is_no_event_unless_it_does_what_it_never_does() -> None:
    """Noise that remembers: 0.9 of an hour's is in the next. In four weeks, hardly one such series has an event."""
    found = 0
    for seed in range(60):
        rng, noise = np.random.default_rng(seed), np.zeros(HOURS)
        for hour in range(1, HOURS):
            noise[hour] = 0.9 * noise[hour - 1] + rng.normal(0, 0.15)
        found += bool(shifts(3600.0 * np.arange(HOURS), 0.3 * np.exp(noise)))
    assert found <= 3


@given(place=st.integers(30, HOURS - 30), low=st.floats(0, 0.1), high=st.floats(0.3, 0.9), seed=st.integers(0, 2**32))
def test_one_lasting_shift_is_one_event_at_its_hour(place: int, low: float, high: float, seed: int) -> None:
    levels = np.where(np.arange(HOURS) < place, low, high) * np.random.default_rng(seed).uniform(0.9, 1.1, HOURS)
    times_s = 3600.0 * np.arange(HOURS)
    assert [shift.index for shift in shifts(times_s, levels)] == [place]
    assert [shift.index for shift in shifts(times_s, levels[::-1])] == [HOURS - place], (
        "and there is no direction in it"
    )


@pytest.mark.parametrize("count", [0, 1, 30])
def test_too_little_to_tell_is_no_event(count: int) -> None:
    assert shifts(3600.0 * np.arange(count), np.linspace(0, 1, count)) == []
    assert detected([], [], [use(tokens=np.zeros(count)), use(tokens=np.zeros(count), model_key="b")]) == ()
