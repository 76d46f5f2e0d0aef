"""What the loop remembers of one target: how it fares, and when its turn is. And the clock it goes by.

Every target has a tick of its own. Where in the interval it falls is a hash of the target's key: hundreds of targets
are spread evenly, and a collector that is started again asks each at the same second of the minute as before.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collectors.base import ScrapeFailure, Target

BACK_OFF_FIRST_S, BACK_OFF_CAP_S = 1.0, 300.0
# Failures that waiting does not mend: somebody has to change something.
SLOW_WORDS = frozenset({"auth", "bad_url", "blocked_address", "redirected"})
# The first round is spread over a second for this many targets: fast for a few, no burst for hundreds.
FIRST_SCRAPES_PER_S = 64.0
# Wall time ahead of the monotonic clock by more than this is followed: the machine slept, or its clock was put right.
CLOCK_FOLLOWS_AFTER_S = 2.0

Clock = Callable[[], datetime]


def steady_clock(wall: Clock = lambda: datetime.now(UTC), monotonic_s: Callable[[], float] = time.monotonic) -> Clock:
    """The time of day, except that it never goes back: a clock that is set back would give negative intervals."""
    anchor, anchored_s = wall(), monotonic_s()

    def now() -> datetime:
        nonlocal anchor, anchored_s
        at, elapsed_s = wall(), monotonic_s() - anchored_s
        steady = anchor + timedelta(seconds=elapsed_s)
        if (at - steady).total_seconds() > CLOCK_FOLLOWS_AFTER_S:
            anchor, anchored_s = at, anchored_s + elapsed_s
            return at
        return steady

    return now


@dataclass(slots=True, eq=False)
class Watch:
    """One target as the loop sees it."""

    target: Target
    memo: dict[str, object] = field(default_factory=dict)
    since: datetime | None = None  # the newest that is stored of it
    failure: ScrapeFailure | None = None  # of the last scrape
    failures_count: int = 0  # in a row
    skipped_ticks_count: int = 0  # ever
    skipped_now_count: int = 0  # since the last run that said so
    is_scraping: bool = False

    def back_off_s(self, chance: float) -> float:
        """How long a failing target is left alone: 1 s, doubling to 5 min, spread so that not all return at once."""
        if self.failure and self.failure.retry_after_s is not None:
            return self.failure.retry_after_s
        if self.failure and self.failure.word in SLOW_WORDS:
            return BACK_OFF_CAP_S
        doubled_s = BACK_OFF_FIRST_S * 2.0 ** min(self.failures_count - 1, 16)
        return min(BACK_OFF_CAP_S, doubled_s) * (0.5 + chance / 2)

    def skip(self, ticks_count: int) -> None:
        self.skipped_ticks_count += ticks_count
        self.skipped_now_count += ticks_count

    def said_of_skipped(self) -> list[str]:
        """For the run log, once: how many ticks were skipped since it was last said."""
        count, self.skipped_now_count = self.skipped_now_count, 0
        ticks = "tick was" if count == 1 else "ticks were"
        return [f"{count} {ticks} skipped before this one, because the scrape took too long"] if count else []


def phase_fraction(key: str) -> float:
    """Where in the interval the tick of the target called `key` falls, from 0 to below 1; the same on every machine.

    >>> 0.0 <= phase_fraction("gpu-1:8000") < 1.0
    True
    """
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """The ticks of one target in seconds of the event loop's clock, which never jumps: one every `every_s`."""

    first_s: float  # of any tick; before it there are ticks as well
    every_s: float

    @classmethod
    def of(cls, key: str, every_s: float, *, now_s: float, now_unix_s: float) -> "Ticks":
        """Ticks at the same phase of the time of day whenever the loop was started."""
        return cls(first_s=now_s - now_unix_s % every_s + phase_fraction(key) * every_s, every_s=every_s)

    def number_at(self, now_s: float) -> int:
        """The tick that `now_s` lies in or on."""
        return int((now_s - self.first_s) // self.every_s)

    def at_s(self, number: int) -> float:
        return self.first_s + number * self.every_s


def first_scrape_after_s(key: str, targets_count: int, every_s: float) -> float:
    """How long after the start a target is asked first [s]: soon, and not all at once."""
    return phase_fraction(key) * min(every_s, targets_count / FIRST_SCRAPES_PER_S)
