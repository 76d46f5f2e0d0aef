"""The sample's savings ledger: what people decided on the sample fleet, around the changes of `sample_story.py`.

Promises are made up; what was saved is measured by the same code as anybody's, on the sample's own weeks. One change
saved, one only met a quiet week, and one made things worse and was taken back.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from collectors.sample_story import DOCUMENTS, SEARCH, SUPPORT, hour_of, newest_monday
from costlib.estimate import Basis, Estimate, Undefined
from costlib.levers import lever as lever_of
from costlib.minimum_effect import smallest
from costlib.pool_days import by_day
from costlib.saving import Design, Guard, Plan, Projection, Verdict
from store.books import Books
from store.home import Home
from store.pools import Pools
from store.read import Snapshot
from store.savings import Verifier, signed_from
from store.savings_file import commit, ledger, note_idea, reject, say, set_aside_sample, ship, sign, take_back
from store.savings_plan import measured_pools, newest_books, price_of, weights_of

FINANCE = "Noor (finance)"
DRAWS = 60  # fewer than for a plan of one's own: the sample is made anew each time it is loaded
GUARDS = (Guard(measure="ttft_p95_s", margin_fraction=0.1), Guard(measure="tpot_p95_s", margin_fraction=0.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A change of the story. Hours count from the Monday of the newest whole week; promised are fractions."""

    title: str
    owner: str
    lever_key: str
    pool_key: str
    control_key: str
    promised: tuple[float, float, float]
    committed_hour: int
    before_days: int = 42
    after_days: int = 28
    shipped_hour: int | None = None
    taken_back_hour: int | None = None
    signed_hour: int = 0


CHANGES = (
    _Planned(
        title="Smaller batches for a steadier answer", owner="Ada (support)", lever_key="batch_limits",
        pool_key=SUPPORT, control_key=DOCUMENTS, promised=(0.0, 0.04, 0.08), committed_hour=hour_of(-10, 4, 15),
        shipped_hour=hour_of(-9, 1, 9), taken_back_hour=hour_of(-8, 1, 9), after_days=14,
        signed_hour=hour_of(-6, 2, 15),
    ),
    _Planned(
        title="Prefix caching on", owner="Mei (search)", lever_key="prefix_caching", pool_key=SEARCH,
        control_key=DOCUMENTS, promised=(0.08, 0.12, 0.16), committed_hour=hour_of(-6, 3, 14),
        shipped_hour=hour_of(-5, 1, 10), signed_hour=hour_of(0, 0, 15),
    ),
    _Planned(
        title="Larger prefill chunks", owner="Tom (documents)", lever_key="chunked_prefill", pool_key=DOCUMENTS,
        control_key=SEARCH, promised=(0.1, 0.15, 0.2), committed_hour=hour_of(-4, 3, 11), after_days=7,
        shipped_hour=hour_of(-3, 0), signed_hour=hour_of(-1, 0, 15),
    ),
    _Planned(
        title="FP8 weights", owner="Mei (search)", lever_key="weight_precision", pool_key=SEARCH,
        control_key=DOCUMENTS, promised=(0.15, 0.25, 0.35), committed_hour=hour_of(0, 4, 10),
    ),
)  # fmt: skip


def write_sample_ledger(home: Home, snapshot: Snapshot, end: datetime) -> None:
    """Write the ledger, unless the one that is there tells of the same weeks, or is of real changes.

    One of the sample's earlier weeks is set aside: what it tells of is no longer in the data.
    """
    monday, found = newest_monday(end), ledger(home)
    first = _at(monday, CHANGES[0].shipped_hour or 0)
    if found.entries and (not found.is_sample or any(one.shipped_at == first for one in found.entries)):
        return
    set_aside_sample(home)
    pools = measured_pools(snapshot, home)
    books = newest_books(snapshot, home, pools)
    ids = {_write(home, _plan(pools, books, one, monday), one, monday): one for one in CHANGES}
    idea = note_idea(home, "Answer cache for repeated questions", "Ada (support)", _at(monday, hour_of(-1, 2, 9)),
                     is_sample=True)  # fmt: skip
    say(home, idea, "First a day of requests through permillion lab: how many are asked again?", "Ada (support)",
        _at(monday, hour_of(-1, 2, 10)))  # fmt: skip
    gone = note_idea(home, "INT4 weights", "Tom (documents)", _at(monday, hour_of(-7, 0, 9)), is_sample=True)
    reject(home, gone, "Extraction lost 4 points of accuracy in our evaluation", "Tom (documents)",
           _at(monday, hour_of(-6, 0, 16)))  # fmt: skip
    verifier = Verifier(snapshot, home, ledger(home).entries, end, with_distributions=False, pools=pools)
    for key, verified in verifier.all().items():
        if key in ids and verified.verdict is not Verdict.CANNOT_TELL:
            at = min(end, _at(monday, ids[key].signed_hour))
            sign(home, key, signed_from(verified, snapshot, FINANCE, at), FINANCE, at)


def _write(home: Home, plan: Plan, one: _Planned, monday: datetime) -> str:
    """Note, commit, ship and take back, as far as the change got; returns its id."""
    committed = _at(monday, one.committed_hour)
    key = note_idea(home, one.title, one.owner, committed - timedelta(days=3), is_sample=True)
    commit(home, key, plan, one.owner, committed)
    if one.shipped_hour is not None:
        shipped = _at(monday, one.shipped_hour)
        ship(home, key, shipped, one.owner, shipped + timedelta(minutes=20))
    if one.taken_back_hour is not None:
        back = _at(monday, one.taken_back_hour)
        take_back(home, key, back, one.owner, back + timedelta(minutes=20), text="It takes half as many GPUs again")
    return key


def _plan(pools: Pools, books: Books | None, one: _Planned, monday: datetime) -> Plan:
    price, month = price_of(pools, [one.pool_key])
    low, mid, high = one.promised
    plan = Plan(
        lever_keys=(one.lever_key,),
        pool_keys=(one.pool_key,),
        control_keys=(one.control_key,),
        design=Design.DIFFERENCE,
        work=lever_of(one.lever_key).saves_per,
        weights=weights_of(books, [one.pool_key]),
        usd_per_gpu_hour=price,
        projection=Projection(
            saved_fraction=Estimate(low=low, mid=mid, high=high, basis=Basis.ASSUMED),
            saved_usd_per_month=Estimate(low=low * month, mid=mid * month, high=high * month, basis=Basis.ASSUMED),
        ),
        before_days=one.before_days,
        after_days=one.after_days,
        guards=GUARDS,
    )
    return replace(plan, minimum_fraction=_visible(pools, plan, _at(monday, one.committed_hour).date()))


def _visible(pools: Pools, plan: Plan, on: date) -> float | None:
    """The smallest saving that could be seen, from what was known on the day of the commitment."""
    pool, control = (
        by_day(pools.hours_of(keys), plan.work, plan.weights) for keys in (plan.pool_keys, plan.control_keys)
    )
    pool, control = (one.on([day for day in one.days if day < on]) for one in (pool, control))
    seen = smallest(pool, plan.design, plan.before_days, plan.after_days, control, draws=DRAWS)
    return None if isinstance(seen, Undefined) else seen.fraction


def _at(monday: datetime, hour: int) -> datetime:
    return monday + timedelta(hours=hour)
