"""When a target is asked: on ticks of its own, after a back-off when it fails, by a clock that never goes back."""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from collectors.base import FetchFailed, Target
from collectors.watch import Ticks, Watch, first_scrape_after_s, phase_fraction, steady_clock
from tests.collectors.collector_support import NOON, FakeTime

EVERY_S = 15.0


class TestTicks:
    def ticks(self, key, now_unix_s, now_s=5.0):
        return Ticks.of(key, EVERY_S, now_s=now_s, now_unix_s=now_unix_s)

    def test_of_hundreds_of_targets_are_spread_over_the_interval(self):
        seconds = Counter(int(phase_fraction(f"gpu-{number}:8000") * EVERY_S) for number in range(500))
        assert len(seconds) == EVERY_S and max(seconds.values()) < 2.2 * 500 / EVERY_S

    @given(st.text(), st.integers(0, 10**9), st.floats(0, 1e6))
    def test_fall_at_the_same_time_of_day_whenever_the_loop_was_started(self, key, now_unix_s, now_s):
        ticks = self.ticks(key, float(now_unix_s), now_s)
        due_unix_s = now_unix_s + ticks.at_s(ticks.number_at(now_s) + 1) - now_s
        off_s = (due_unix_s - phase_fraction(key) * EVERY_S) % EVERY_S
        assert min(off_s, EVERY_S - off_s) < 1e-5
        assert now_unix_s < due_unix_s + 1e-5 <= now_unix_s + EVERY_S + 2e-5

    def test_the_first_round_is_soon_for_a_few_and_spread_for_many(self):
        keys = [f"gpu-{number}" for number in range(2000)]
        assert max(first_scrape_after_s(key, 2, EVERY_S) for key in keys) < 0.05
        many = sorted(first_scrape_after_s(key, 2000, EVERY_S) for key in keys)
        assert many[-1] < EVERY_S and abs(many[1000] - EVERY_S / 2) < 1


class TestBackOff:
    def after(self, failures_count, word="refused", retry_after_s=None, chance=1.0):
        failure = FetchFailed(word, "", retry_after_s)
        watch = Watch(Target(key="a", url="a"), failure=failure, failures_count=failures_count)
        return watch.back_off_s(chance)

    def test_doubles_from_a_second_to_five_minutes(self):
        assert [self.after(count) for count in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]

    def test_is_spread_over_its_second_half(self):
        assert self.after(3, chance=0.0) == 2 and self.after(3, chance=0.5) == 3

    def test_is_long_where_only_people_can_help(self):
        assert {self.after(1, word) for word in ("auth", "redirected", "blocked_address", "bad_url")} == {300}

    def test_is_what_the_server_asks_for(self):
        assert self.after(1, "http_503", retry_after_s=60.0) == 60


class TestClock:
    def test_never_goes_back_but_follows_ahead(self):
        wall, monotonic = FakeTime(), FakeTime()
        now = steady_clock(wall, lambda: monotonic.elapsed_s)
        seen = [now()]
        for wall_s, monotonic_s in ((10, 10), (-3600, 20), (-3590, 30), (7200, 40), (7210, 50)):
            wall.elapsed_s, monotonic.elapsed_s = wall_s, monotonic_s
            seen.append(now())
        assert [(at - NOON).total_seconds() for at in seen] == [0, 10, 20, 30, 7200, 7210]

    def test_is_the_time_of_day(self):
        assert abs((steady_clock()() - datetime.now(UTC)).total_seconds()) < 1
