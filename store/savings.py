"""The ledger beside what was measured: each change that was shipped with its verdict, and what all add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from statistics import NormalDist

from costlib.cash_months import cash_months
from costlib.effect import LEVEL
from costlib.erosion import WINDOW_DAYS, erosion
from costlib.errors import ConfigError, DomainError
from costlib.estimate import Estimate, Undefined
from costlib.many_looks import holm
from costlib.overlap import live_together, overlaps
from costlib.pool_days import Window
from costlib.realisation import learnt
from costlib.saving import Distribution, Entry, Erosion, Learnt, Plan, Savings, Signed, State, Verdict, Verification
from costlib.verifiable import CannotTell, Change, Measured, step_between, window_of_entry
from costlib.verification import silent, verify
from store.books import usable_fleet
from store.detected import changes_of
from store.home import Home
from store.pools import Guarded, Pools, distributions, guarded_by_day, pools_between, slowest_by_day
from store.read import Snapshot
from store.savings_file import Ledger, ledger

MOST_WINDOWS = 13  # of 28 days, that a saving is watched for: a year
_NORMAL = NormalDist()


def savings(snapshot: Snapshot, home: Home, now: datetime, *, with_distributions: bool = True) -> Savings:
    """Every change with its verdict. Takes about half a second for each that was shipped.

    Raises    ConfigError for a file beside the store that cannot be read
    """
    found = ledger(home, snapshot.is_sample)
    verifier = Verifier(snapshot, home, found.entries, now, with_distributions=with_distributions)
    verified = verifier.all()
    sound = [_as_it_counts(one, verified.get(one.id)) for one in found.entries]
    joints = verifier.joints(live_together(sound, now))
    return Savings(
        entries=found.entries,
        verifications=verified,
        months=cash_months(
            sound, _months(sound, now), now, final_months=verifier.final_months,
            broken_entries=found.broken_entries, joints=joints,
        ),
        erosions={one.id: verifier.erosion(one) for one in sound if one.state in (State.VERIFIED, State.PARTIAL)},
        overlaps=overlaps(sound, now, joints),
        learnt=learnt(sound),
        head=found.chain.head,
        lines_count=found.chain.lines_count,
        broken=found.broken,
        broken_entries=found.broken_entries,
        problems=found.problems,
        currency=verifier.currency,
        is_sample=snapshot.is_sample,
    )  # fmt: skip


def learnt_of(home: Home, is_sample: bool | None = None) -> Mapping[str, Learnt]:
    """What signed changes came to of what they promised, by lever; from the ledger alone, as `ledger` reads it."""
    found: Ledger = ledger(home, is_sample)
    return learnt(one for one in found.entries if one.id not in found.broken_entries)


def signed_from(verified: Verification, snapshot: Snapshot, by: str, now: datetime) -> Signed:
    """What a signature freezes. Raises ConfigError where there is no verdict to sign."""
    cash = verified.cash_usd_per_month
    if verified.verdict is Verdict.CANNOT_TELL or isinstance(verified.saved_fraction, Undefined):
        raise ConfigError(f"there is no verdict to sign: {verified.reason}. What would settle it: {verified.remedy}.")
    if isinstance(cash, Undefined):
        raise ConfigError(f"what it saves in money is not known: {cash.reason}. Import the bill, then sign.")
    assert verified.log_effect is not None and verified.standard_error is not None
    return Signed(
        at=now, by=by, verdict=verified.verdict, log_effect=verified.log_effect,
        standard_error=verified.standard_error, saved_fraction=verified.saved_fraction, cash_usd_per_month=cash,
        is_final=verified.is_final, data_digest=verified.data_digest, snapshot_id=snapshot.id,
    )  # fmt: skip


def _as_it_counts(entry: Entry, verified: Verification | None) -> Entry:
    """A signature counts while what it rests on is what it was."""
    return replace(entry, signed=None) if verified is not None and verified.is_restated else entry


def _months(entries: Sequence[Entry], now: datetime) -> list[str]:
    """From the first that was shipped until now."""
    shipped = [one.shipped_at for one in entries if one.shipped_at]
    if not shipped:
        return []
    first, months = min(shipped).astimezone(UTC), []
    year, month = first.year, first.month
    while (year, month) <= (now.year, now.month):
        months.append(f"{year}-{month:02d}")
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return months


class Verifier:
    """Verifies the changes of one home against one snapshot: what was measured is read once for all of them.

    `with_distributions`: quantiles of latency too, which take longest and no verdict hangs on. `pools`: what was read
    of these weeks already.
    """

    def __init__(
        self, snapshot: Snapshot, home: Home, entries: Sequence[Entry], now: datetime, *,
        with_distributions: bool = True, pools: Pools | None = None,
    ) -> None:  # fmt: skip
        self._snapshot, self._home, self._now, self._with_distributions = snapshot, home, now, with_distributions
        self._entries, self._given = {one.id: one for one in entries}, pools
        covered = snapshot.status()
        self.currency = covered.currencies[0] if len(covered.currencies) == 1 else "USD"

    @cached_property
    def _pools(self) -> Pools:
        """Raises ConfigError where nothing was measured."""
        if self._given is not None:
            return self._given
        covered = self._snapshot.status()
        if covered.usage_from is None or covered.usage_to is None:
            raise ConfigError("nothing was measured yet; start `permillion collect`.")
        firsts = [window_of_entry(one).before[0] for one in self._entries.values() if one.plan and one.shipped_at]
        first = max(covered.usage_from.date(), min(firsts, default=covered.usage_from.date()))
        end = covered.usage_to.date() + timedelta(days=1)
        if first >= end:
            raise ConfigError(f"nothing was measured since {first}; look at Data health.")
        (scenario, _), _ = usable_fleet(self._home, self._snapshot)
        return pools_between(self._snapshot, self._home, first, end, scenario, self.currency)

    @cached_property
    def _seen(self) -> list[Change]:
        found = changes_of(self._snapshot, self._pools.start, self._pools.end)
        return [Change(deployment_key=one.deployment_key, at=one.at, sentence=one.sentence) for one in found]

    @cached_property
    def _guarded(self) -> dict[str, Guarded]:
        return guarded_by_day(self._snapshot, self._pools.start, self._pools.end)

    @property
    def final_months(self) -> frozenset[str]:
        try:
            return self._pools.final_months
        except ConfigError:
            return frozenset()

    @property
    def _known_until(self) -> date:
        try:
            return self._pools.measured_until.date()
        except ConfigError:
            return date.min

    def all(self) -> dict[str, Verification]:
        """By entry, of those that were shipped; of changes tested together on a pool at Holm's levels."""
        return self.all_of(self._entries)

    def all_of(self, entries: Mapping[str, Entry]) -> dict[str, Verification]:
        shipped = [one for one in entries.values() if one.plan and one.shipped_at]
        found = {one.id: self.one(one) for one in shipped}
        for together in live_together(shipped, self._now):
            chances = {key: chance for key in together if (chance := _chance(found[key])) is not None}
            for key, level in holm(chances).items():
                if level < LEVEL:
                    found[key] = self.one(entries[key], level)
        return found

    def to_sign(self, entry: Entry) -> Verification:
        """The verdict as it is now, whatever was signed. Raises ConfigError for a change that was not shipped."""
        if not (entry.plan and entry.shipped_at):
            raise ConfigError(f"{entry.id} was not shipped; say since when it is on, then it can be verified.")
        return self.all_of({**self._entries, entry.id: replace(entry, signed=None)})[entry.id]

    def one(self, entry: Entry, level: float = LEVEL) -> Verification:
        """The verdict on one change; CANNOT_TELL too where its weeks are not what they were when it was signed."""
        try:
            measured = self._measured(entry)
        except (ConfigError, DomainError) as error:
            return silent(entry, str(error).rstrip("."), "collect and import these weeks, or correct the plan's pools")
        found = verify(entry, measured, level)
        if entry.signed is None or found.data_digest == entry.signed.data_digest:
            return found
        return replace(
            found,
            verdict=Verdict.CANNOT_TELL,
            is_restated=True,
            reason="the bill or the measurements of its weeks are not those that were signed: "
            f"{entry.signed.saved_fraction.mid:.1%} was signed, now {_now_of(found)}",
            remedy="look at what was restated on Reconciliation, and sign again",
        )

    def _measured(self, entry: Entry) -> Measured:
        plan, pools = entry.plan, self._pools
        if plan is None or entry.shipped_at is None:
            raise ConfigError("it was not shipped yet")
        window = window_of_entry(entry)
        end = min(window.end, pools.end.date())
        hours = pools.hours_of(plan.pool_keys)
        return Measured(
            pool=hours,
            control=pools.hours_of(plan.control_keys) if plan.control_keys else None,
            cost_by_day=pools.cost_of(plan.pool_keys),
            final_months=pools.final_months,
            guarded=slowest_by_day([self._guarded.get(key, {}) for key in plan.pool_keys]),
            distributions=self._distributions(plan, window),
            changes=(*self._noted(entry), *self._not_this(entry)),
            measured_until=pools.measured_until,
            data_digest=pools.digest((*plan.pool_keys, *plan.control_keys), window.before[0], end),
        )

    def _distributions(self, plan: Plan, window: Window) -> tuple[Distribution, ...]:
        if not self._with_distributions or window.after[0] >= min(window.after[1], self._pools.end.date()):
            return ()
        return distributions(self._snapshot, plan.pool_keys, window.before, window.after)

    def _noted(self, entry: Entry) -> list[Change]:
        """What the ledger says of other changes: when they began, and when they were taken back."""
        return [
            Change(deployment_key=pool, at=moment, sentence=said)
            for other in self._entries.values()
            if other.id != entry.id and other.plan and other.shipped_at
            for moment, said in ((other.shipped_at, other.title), (other.ended_at, f"{other.title} taken back"))
            if moment is not None
            for pool in other.plan.pool_keys
        ]

    def _not_this(self, entry: Entry) -> list[Change]:
        """What metrics told, but for that which is this change itself, or another that is noted."""
        noted = (*self._noted(entry), *_itself(entry))
        near = timedelta(days=1)
        return [
            one for one in self._seen
            if not any(one.deployment_key == other.deployment_key and abs(one.at - other.at) <= near for other in noted)
        ]  # fmt: skip

    # Afterwards

    def joints(self, sets: Sequence[frozenset[str]]) -> dict[frozenset[str], tuple[float, float]]:
        """What changes of one pool did jointly: the days before the first of them beside those after the last."""
        found = {}
        for ids in sets:
            of = sorted((self._entries[one] for one in ids), key=lambda one: one.shipped_at or self._now)
            first, last = window_of_entry(of[0]), window_of_entry(of[-1])
            window = Window(before=first.before, after=last.after)
            if (step := self._step(of[-1], window, set(ids))) is not None:
                found[ids] = step
        return found

    def erosion(self, entry: Entry) -> Erosion:
        """What each later window of 28 days still saves, beside the same days before the change."""
        window = window_of_entry(entry)
        ended = (entry.ended_at or self._now).astimezone(UTC).date()
        windows: list[tuple[date, tuple[float, float] | Undefined]] = []
        for n in range(MOST_WINDOWS):
            start = window.after[0] + timedelta(days=n * WINDOW_DAYS)
            end = start + timedelta(days=WINDOW_DAYS)
            if end > min(ended, self._known_until):
                break
            step = self._step(entry, Window(before=window.before, after=(start, end)), {entry.id})
            windows.append((start, step or Undefined(reason="it cannot be told for these days")))
        return erosion(entry, windows)

    def _step(self, entry: Entry, window: Window, ids: set[str]) -> tuple[float, float] | None:
        try:
            measured = self._measured(entry)
            others = tuple(one for one in measured.changes if one.at not in self._moments(ids))
            return step_between(entry, replace(measured, changes=others), window)
        except (ConfigError, DomainError, CannotTell):
            return None

    def _moments(self, ids: set[str]) -> set[datetime]:
        of = [self._entries[one] for one in ids]
        return {moment for one in of for moment in (one.shipped_at, one.ended_at) if moment is not None}


def _itself(entry: Entry) -> list[Change]:
    assert entry.plan is not None
    moments = (entry.shipped_at, entry.ended_at, *(edge for period in entry.periods for edge in period))
    return [
        Change(deployment_key=pool, at=moment, sentence=entry.title)
        for pool in entry.plan.pool_keys
        for moment in moments
        if moment is not None
    ]


def _chance(found: Verification) -> float | None:
    """Of an effect as far from zero where there is none."""
    if found.log_effect is None or not found.standard_error:
        return None
    return 2 * _NORMAL.cdf(-abs(found.log_effect) / found.standard_error)


def _now_of(found: Verification) -> str:
    saved = found.saved_fraction
    return (
        f"{saved.mid:.1%} ({saved.low:.1%} to {saved.high:.1%})"
        if isinstance(saved, Estimate)
        else "nothing can be told"
    )
