"""A change that is to save money, as plain data: what was promised before it, and what was measured after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from costlib.estimate import Estimate, Undefined
from costlib.lever import Work


class State(StrEnum):
    """How far a change is; the order of the board."""

    IDEA = "idea"
    PLANNED = "planned"  # what it promises is frozen
    SHIPPED = "shipped"
    VERIFIED = "verified"
    PARTIAL = "partial"  # it saved, but less than promised, or with nothing untouched to compare with
    NOT_SHOWN = "not_shown"
    REVERSED = "reversed"
    REJECTED = "rejected"


class Design(StrEnum):
    """What the time after a change is compared with; the one that proves most first (domain_math §12.3)."""

    SPLIT = "split"  # replicas with and without it, at the same time
    SWITCHBACK = "switchback"  # on and off by turns, drawn by lot
    DIFFERENCE = "difference"  # difference-in-differences with a pool that nobody touched
    BEFORE_AFTER = "before_after"


class Outcome(StrEnum):
    """What is divided by the work done."""

    GPU_HOURS = "gpu_hours"  # rented, at the frozen price: what prices did is no saving of an engineer's
    COST = "cost"  # as billed: of a change to what is paid for the same GPUs


class Verdict(StrEnum):
    VERIFIED = "verified"
    PARTIAL = "partial"  # less than was promised
    PROBABLE = "probable"  # saved, with nothing untouched to compare with
    NOT_SHOWN = "not_shown"  # what was promised would have been seen
    ROSE = "rose"  # costs more than before
    GUARD_BROKEN = "guard_broken"  # latency or failures went beyond their margin
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """GPU time of one token over that of a prompt token that is computed; frozen before the change."""

    cached_ratio: float
    output_ratio: float
    source: str  # by which method they were measured, or that they are assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What the model promised: of the cost of a unit of work of the pools, and of a month's bill of them."""

    saved_fraction: Estimate
    saved_usd_per_month: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What must not get worse by more than `margin_fraction`: `measure` is a name of GUARDED."""

    measure: str
    margin_fraction: float


GUARDED: Mapping[str, str] = {
    "ttft_p95_s": "TTFT, p95",
    "tpot_p95_s": "Time per output token, p95",
    "failed_fraction": "Requests aborted or failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What an evaluation before the change said of its answers: the share still accepted, of which it is 95 % sure."""

    least_accepted_fraction: float | None = None  # None: nobody evaluated them
    margin_fraction: float = 0.02  # how many may be lost

    @property
    def is_held(self) -> bool | None:
        least = self.least_accepted_fraction
        return None if least is None else least >= 1 - self.margin_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is frozen when somebody commits to a change; nothing of it can be edited: see `costlib.savings_ledger`.

    pool_keys       deployments that are changed
    control_keys    deployments that are not, and see the same days
    link            the scenario, as the query of the What-if page
    minimum_fraction  the smallest saving that this design sees four times out of five; None where nobody worked it out
    looks_count     how often somebody will look before the end: each look has its part of the 5 %
    """

    lever_keys: tuple[str, ...]
    pool_keys: tuple[str, ...]
    control_keys: tuple[str, ...] = ()
    design: Design = Design.BEFORE_AFTER
    work: Work = Work.TOKENS
    outcome: Outcome = Outcome.GPU_HOURS
    weights: Weights
    usd_per_gpu_hour: float
    projection: Projection
    before_days: int = 56
    after_days: int = 28
    minimum_fraction: float | None = None
    guards: tuple[Guard, ...] = ()
    quality: Quality | None = None  # of levers that change answers
    looks_count: int = 1
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What somebody signed: the verdict and the figures as they were measured that day."""

    at: datetime
    by: str
    verdict: Verdict
    log_effect: float  # of the cost of a unit of work: ln(after / before)
    standard_error: float
    saved_fraction: Estimate
    cash_usd_per_month: Estimate
    is_final: bool  # the bills it rests on were final
    data_digest: str  # of the measurements and bills it rests on
    snapshot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One line of the ledger, for people to read."""

    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change as it stands now. `periods` are when it was on, of a switchback or where it was taken back."""

    id: str
    title: str
    owner: str
    state: State
    noted_at: datetime
    plan: Plan | None = None
    committed_at: datetime | None = None
    shipped_at: datetime | None = None
    ended_at: datetime | None = None  # taken back
    periods: tuple[tuple[datetime, datetime], ...] = ()  # of a switchback: those in which it was on
    switched_every_hours: float | None = None  # of a switchback
    signed: Signed | None = None
    said: tuple[Said, ...] = ()
    evidence: str = ""  # link to an evaluation, a pull request, a dashboard
    is_sample: bool = False


# What was measured ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Another way to ask the same question: what it says was saved."""

    name: str
    saved_fraction: Estimate | Undefined
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """How a guarded measure changed: 0.1 is 10 % more. `is_broken` is None where that cannot be told."""

    guard: Guard
    before: float | Undefined
    after: float | Undefined
    change_fraction: Estimate | Undefined
    is_broken: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A measure before and after the change, by quantile; seconds, or a share of requests."""

    measure: str
    before: Mapping[float, float]
    after: Mapping[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One step from the spend before to the spend after [money per month]."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPoint:
    """Cost of a million units of work on one day at equal load, and what it would have been without the change."""

    on: date
    usd_per_mtok: float
    without_usd_per_mtok: float | None
    is_after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is to be said of one change, with everything that it rests on.

    reason, remedy  why the verdict is what it is, and what would settle it where it cannot be told
    saved_fraction  of the cost of a unit of work, at equal load, with 95 % confidence
    naive_fraction  what a before/after comparison of the bills would have claimed
    spend_before, spend_after  a month's cost of the pools in both windows; `bars` lead from one to the other, exactly
    cash_usd_per_month  what is not paid any more at the work of the window after
    capacity_gpu_hours_per_month  GPU time that is free and still paid
    realised_fraction  measured over promised
    """

    entry_id: str
    verdict: Verdict
    reason: str
    remedy: str = ""
    before: tuple[date, date] | None = None  # first day and the day after the last
    after: tuple[date, date] | None = None
    log_effect: float | None = None
    standard_error: float | None = None
    saved_fraction: Estimate | Undefined
    minimum_fraction: float | Undefined
    naive_fraction: float | Undefined
    placebo_fraction: float | Undefined  # share of other dates with as much of an effect
    realised_fraction: Estimate | Undefined
    bill_change_usd_per_month: Decimal | Undefined
    cash_usd_per_month: Estimate | Undefined
    capacity_gpu_hours_per_month: Estimate | Undefined
    is_final: bool
    spend_before: Decimal | Undefined
    spend_after: Decimal | Undefined
    bars: tuple[Bar, ...] = ()
    checks: tuple[Check, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    days: tuple[DayPoint, ...] = ()
    notes: tuple[str, ...] = ()
    data_digest: str = ""
    is_restated: bool = False  # what was signed rests on other bills or measurements


# Afterwards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CashMonth:
    """What changes were to save in one calendar month, and what of it counts [money]. The three are never added.

    claimed   as projected, of every change that was live, by the days it was
    verified  as signed, of changes that are verified or partial by a design that compares the same days
    probable  as signed, of those with nothing untouched to compare with
    """

    month: str  # YYYY-MM
    claimed: Decimal
    verified: Decimal
    probable: Decimal
    is_final: bool  # the bills of all of it are final


@dataclass(frozen=True, slots=True, kw_only=True)
class Erosion:
    """Whether a signed saving lasts: what each later window still saves. `is_eroded` is None where that is unknown."""

    entry_id: str
    windows: tuple[tuple[date, Estimate | Undefined], ...]  # the first day, and the saved fraction
    is_eroded: bool | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Changes of the same pools at the same time. Together they count for no more than what both did jointly."""

    entry_ids: tuple[str, ...]
    joint_fraction: Estimate | Undefined
    counted_ratio: float  # what counts of the sum of their savings: 1 where nothing is counted twice
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What changes with one lever came to of what was promised; the posterior's mean and standard deviation."""

    lever_key: str
    mean_ratio: float
    sd_ratio: float
    changes_count: int  # verified changes with this lever


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """The ledger and what is known of it: what the Savings page and the weekly pack are drawn from.

    verifications  by entry, of those that were shipped
    head, lines_count  digest of the last line of the ledger, and how many there are: noted in every pack
    broken         sentences, one for each line that was changed, moved or lost; entries they touch count for nothing
    """

    entries: tuple[Entry, ...]
    verifications: Mapping[str, Verification]
    months: tuple[CashMonth, ...] = ()
    erosions: Mapping[str, Erosion] = field(default_factory=dict)
    overlaps: tuple[Overlap, ...] = ()
    learnt: Mapping[str, Learnt] = field(default_factory=dict)
    head: str = ""
    lines_count: int = 0
    broken: tuple[str, ...] = ()
    broken_entries: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    currency: str = "USD"
    is_sample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a plan could show, said before anybody commits to it. `advice` is what would make it see more, best first.

    minimum_fraction  the smallest saving that it sees four times out of five
    """

    minimum_fraction: float | Undefined
    sentence: str
    advice: tuple[str, ...] = ()
