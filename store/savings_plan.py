"""What is frozen when somebody commits to a change: what the model promises, what tokens weigh, what can be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.compare import Comparison, compare
from costlib.effect import LEVEL
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.estimate import Basis, Estimate, Undefined
from costlib.evidence import accepted_of_all, least_accepted_fraction
from costlib.lever import Stage, Values, Work
from costlib.levers import lever as lever_of
from costlib.many_looks import level_of_look
from costlib.minimum_effect import LENGTHS_DAYS, Smallest, best_length, smallest, smallest_by_turns
from costlib.pool_days import PoolDays, by_day
from costlib.projection import DeploymentProjection
from costlib.projection import Projection as FleetProjection
from costlib.realisation import learnt
from costlib.saving import Advice, Design, Guard, Outcome, Plan, Projection, Quality, Weights
from costlib.savings_money import DAYS_PER_MONTH
from costlib.token_split import best
from costlib.uncertainty import Spread, uncertainty
from costlib.unit_cost import CLASS_BUCKETS
from store.books import Books, books_between, usable_fleet
from store.detected import changes_of
from store.home import Home
from store.pools import Pools, pools_between
from store.read import Snapshot
from store.savings_file import ledger

PRICE_DAYS = 28
HISTORY = timedelta(days=119)
TURN = timedelta(hours=12)  # of a switchback that is not drawn yet
TURNS_BACK_DAYS = 56
NOT_MEASURED = Weights(cached_ratio=0.1, output_ratio=4.0, source="assumed: nothing was measured that divides GPU time")
USUAL_GUARDS = tuple(Guard(measure=name, margin_fraction=0.1) for name in ("ttft_p95_s", "tpot_p95_s"))
_COUNTED = (Work.OUTSIDE, Work.REQUESTS, Work.ASKED_TOKENS, Work.TOKENS)  # the first that any of the levers asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody chose for a plan; `settings` are those of the What-if page, by lever."""

    settings: Mapping[str, Values]
    pool_keys: tuple[str, ...] = ()  # those that the model says change, where it is left out
    control_keys: tuple[str, ...] = ()
    design: Design | None = None  # difference with a control, else before and after
    before_days: int = 56
    after_days: int = 28
    guards: tuple[Guard, ...] = USUAL_GUARDS
    looks_count: int = 1
    link: str = ""


def plan_of(snapshot: Snapshot, home: Home, wanted: Wanted) -> Plan:
    """The plan as it would be frozen now: the model's promise, weights and price of the last four weeks, and the
    smallest saving that the design can see.

    Raises    ConfigError where there is no scenario, nothing would change, a pool is unknown or is compared with
              itself, or nothing was measured or billed of it
    """
    (scenario, catalog), problem = usable_fleet(home, snapshot)
    if scenario is None:
        raise ConfigError(problem or "there is no scenario.toml to promise anything from; write one, see the README.")
    comparison = compare(scenario, dict(wanted.settings), catalog)
    if not comparison.changes:
        raise ConfigError("these settings change nothing; move a lever on What-if first.")
    levers = tuple(key for key, _ in comparison.changes)
    then = {one.key: one for one in comparison.scenario.deployments}
    changed = tuple(one.key for one in comparison.today.deployments if _differs(one, then.get(one.key)))
    controls = wanted.control_keys
    pools = wanted.pool_keys or tuple(key for key in changed if key not in controls)  # one after the other is wise
    known = {one.key for one in comparison.today.deployments}
    for key in (*pools, *controls):
        if key not in known:
            raise UnknownKey("deployment", key, known, "the scenario")
    if both := set(pools) & set(controls):
        raise ConfigError(f"{sorted(both)[0]} cannot be compared with itself: it is changed, and named as untouched.")
    if not pools:
        raise ConfigError("no pool is left to be changed: all that these settings change are named as untouched.")
    sure = uncertainty(
        scenario, wanted.settings, comparison, catalog, learnt=learnt(ledger(home, snapshot.is_sample).entries)
    ).saved
    promised = _promised(comparison, sure, pools)
    design = wanted.design or (Design.DIFFERENCE if controls else Design.BEFORE_AFTER)
    found = measured_pools(snapshot, home)
    price, month = price_of(found, pools)
    plan = Plan(
        lever_keys=levers,
        pool_keys=pools,
        control_keys=controls,
        design=design,
        work=next(work for work in _COUNTED if work in {lever_of(key).saves_per for key in levers}),
        outcome=_outcome(levers),
        weights=weights_of(newest_books(snapshot, home, found), pools),
        usd_per_gpu_hour=price,
        projection=Projection(
            saved_fraction=promised,
            saved_usd_per_month=Estimate(
                low=promised.low * month, mid=promised.mid * month, high=promised.high * month, basis=Basis.ASSUMED
            ),
        ),
        before_days=wanted.before_days,
        after_days=wanted.after_days,
        guards=wanted.guards,
        quality=_quality(comparison),
        looks_count=wanted.looks_count,
        link=wanted.link,
    )
    if plan.work is Work.OUTSIDE:
        return plan
    seen = visible(
        plan, found, plan.design, plan.before_days, plan.after_days, known_steps(snapshot, home, found, plan)
    )
    return replace(plan, minimum_fraction=None if isinstance(seen, Undefined) else seen.fraction)


def _quality(comparison: Comparison) -> Quality | None:
    """What is known of the answers; None where no lever changes them."""
    if not comparison.evaluations:
        return None
    if comparison.unproven:
        return Quality()
    sure = (least_accepted_fraction(one.accepted_fraction, one.evaluated_count) for _, one in comparison.evaluations)
    return Quality(least_accepted_fraction=accepted_of_all(sure))


def _promised(comparison: Comparison, sure: Spread, pools: Sequence[str]) -> Estimate:
    """The part of these pools' cost that the model saves.

    Deployments count by the GPUs they need before rounding to whole replicas, as a fleet that follows its demand has
    them; new ones that take over work count against it. The band is as wide as that of the whole scenario's bill.
    """
    before, after = (_cost_by_key(one) for one in (comparison.today, comparison.scenario))
    spent = sum(before[key] for key in pools)
    if spent <= 0:
        raise ConfigError("the model has no cost for these pools, so there is no part of it to promise.")
    added = sum(cost for key, cost in after.items() if key not in before)
    saved = (spent - sum(after.get(key, 0.0) for key in pools) - added) / spent
    whole = comparison.today.usd_per_month.mid
    below, above = (
        max(0.0, (comparison.saved_usd_per_month - sure.p10_usd_per_month) / whole),
        max(0.0, (sure.p90_usd_per_month - comparison.saved_usd_per_month) / whole),
    )
    return Estimate(low=saved - below, mid=saved, high=saved + above, basis=Basis.ASSUMED)


def _cost_by_key(of: FleetProjection) -> dict[str, float]:
    return {
        one.key: one.usd_per_hour * (one.needed_gpus_ratio / one.gpus_count if one.gpus_count else 1.0)
        for one in of.deployments
    }


def _differs(one: DeploymentProjection, other: DeploymentProjection | None) -> bool:
    """Whether a change reaches it: in GPUs before they are rounded up, or in money."""
    if other is None:
        return True
    pairs = ((one.needed_gpus_ratio, other.needed_gpus_ratio), (one.usd_per_hour, other.usd_per_hour))
    return any(abs(a - b) > 1e-9 * max(abs(a), abs(b)) for a, b in pairs)


def _outcome(levers: Sequence[str]) -> Outcome:
    """What is bought otherwise, on the same GPUs, is seen in the bill alone."""
    is_bought = any(lever_of(key).stage is Stage.PURCHASE for key in levers)
    return Outcome.COST if is_bought else Outcome.GPU_HOURS


# What was measured so far ---------------------------------------------------------------------------------------------


def measured_pools(snapshot: Snapshot, home: Home) -> Pools:
    covered = snapshot.status()
    if covered.usage_from is None or covered.usage_to is None:
        raise ConfigError("nothing was measured yet: no saving could ever be shown. Start `permillion collect` first.")
    first = max(covered.usage_from, covered.usage_to - HISTORY).date()
    (scenario, _), _ = usable_fleet(home, snapshot)
    currency = covered.currencies[0] if len(covered.currencies) == 1 else "USD"
    return pools_between(snapshot, home, first, covered.usage_to.date() + timedelta(days=1), scenario, currency)


def price_of(found: Pools, keys: Sequence[str]) -> tuple[float, float]:
    """What a GPU-hour of these pools costs, and what a month of them does, in the newest days that are billed."""
    costs, hours = found.cost_of(keys), found.hours_of(keys)
    if isinstance(costs, Undefined) or not costs:
        why = costs.reason if isinstance(costs, Undefined) else "no day is billed"
        raise ConfigError(f"what {', '.join(keys)} cost is not known: {why}. Import the bill, or name owners first.")
    rented = by_day(hours, Work.REQUESTS, NOT_MEASURED)
    days = [day for day in rented.days if day in costs][-PRICE_DAYS:]
    if not days:
        raise ConfigError(f"no day of {', '.join(keys)} is both measured and billed; import the bill of these weeks.")
    cost = float(exact_sum(costs[day] for day in days))
    return cost / float(rented.on(days).gpu_hours.sum()), cost / len(days) * DAYS_PER_MONTH


def newest_books(snapshot: Snapshot, home: Home, found: Pools) -> Books | None:
    """The books of the newest four weeks that are billed; None where none are."""
    until = max((max(days) for days in found.cost_by_day.values() if days), default=None)
    if until is None:
        return None
    end = until + timedelta(days=1)
    try:
        return books_between(snapshot, home, end - timedelta(days=PRICE_DAYS), end, CostBasis.EFFECTIVE)
    except (ConfigError, DomainError):
        return None


def weights_of(books: Books | None, keys: Sequence[str]) -> Weights:
    """GPU time of a cached and of an output token over that of a computed one."""
    if books is None:
        return NOT_MEASURED
    mine = [server for server in books.servers if server.deployment_key in keys]
    seconds = dict.fromkeys(CLASS_BUCKETS.values(), 0.0)
    methods = set()
    for server in mine:
        split = best(books.splits.get(server.model_key, ())) if books.splits.get(server.model_key) else None
        if split is None or not split.usable:
            return NOT_MEASURED
        methods.add(str(split.method))
        for bucket in seconds:
            seconds[bucket] += server.busy_s * split.shares.get(bucket, 0.0)
    names = ("computed_prompt_tokens", "cached_prompt_tokens", "generation_tokens")
    tokens = [sum(getattr(server, name) or 0 for server in mine) for name in names]
    each = [s / n if n else None for s, n in zip(seconds.values(), tokens, strict=True)]
    if not each[0] or not each[2]:
        return NOT_MEASURED
    cached = each[1] / each[0] if each[1] is not None else NOT_MEASURED.cached_ratio
    return Weights(
        cached_ratio=cached, output_ratio=each[2] / each[0], source=f"measured: {', '.join(sorted(methods))}"
    )


# What can be seen -----------------------------------------------------------------------------------------------------


def known_steps(snapshot: Snapshot, home: Home, found: Pools, plan: Plan) -> dict[str, date]:
    """What is known to have changed these pools before: steps, and no noise."""
    mine = {*plan.pool_keys, *plan.control_keys}
    told = [
        (one.sentence, one.at) for one in changes_of(snapshot, found.start, found.end) if one.deployment_key in mine
    ]
    for entry in ledger(home, snapshot.is_sample).entries:
        if entry.plan and mine & set(entry.plan.pool_keys):
            told += [(f"{entry.title} {at}", at) for at in (entry.shipped_at, entry.ended_at) if at]
    return {f"{sentence} {at}": at.astimezone(UTC).date() for sentence, at in told}


def visible(
    plan: Plan, found: Pools, design: Design, before_days: int, after_days: int, steps: Mapping[str, date]
) -> Smallest | Undefined:
    """The smallest saving that this plan could see, in another design or over other days."""
    if design is Design.SWITCHBACK:
        turns = [(start, start + TURN) for start in _turn_starts(found)]
        costs = found.hours_of(plan.pool_keys).log_cost_of(turns, plan.work, plan.weights)
        return smallest_by_turns(costs, timedelta(days=1) // TURN, after_days)
    pool = _days(found, plan.pool_keys, plan)
    control = _days(found, plan.control_keys, plan) if plan.control_keys and design is Design.DIFFERENCE else None
    level = level_of_look(1.0, plan.looks_count, LEVEL) or LEVEL
    try:
        return smallest(pool, design, before_days, after_days, control, level, other_steps=steps)
    except DomainError as error:
        return Undefined(reason=str(error).rstrip("."))


def _turn_starts(found: Pools) -> list[datetime]:
    """Those of the newest eight weeks."""
    first = max(found.start, found.end - timedelta(days=TURNS_BACK_DAYS))
    return [first + n * TURN for n in range((found.end - first) // TURN)]


def _days(found: Pools, keys: Sequence[str], plan: Plan) -> PoolDays:
    return by_day(found.hours_of(keys), plan.work, plan.weights)


def advice_on(snapshot: Snapshot, home: Home, plan: Plan) -> Advice:
    """What the plan could show before anybody commits to it, and what would let it show more."""
    if plan.work is Work.OUTSIDE:
        none = Undefined(reason="it keeps requests from the servers, whose metrics cannot show that")
        return Advice(minimum_fraction=none, sentence="Servers cannot show what this saves: they never see what it "
                      "keeps from them. Count requests at the gateway.")  # fmt: skip
    found, promised = measured_pools(snapshot, home), plan.projection.saved_fraction.mid
    steps = known_steps(snapshot, home, found, plan)
    now = visible(plan, found, plan.design, plan.before_days, plan.after_days, steps)
    if isinstance(now, Undefined):
        return Advice(minimum_fraction=now, sentence=f"It cannot be said what this would show: {now.reason}.")
    designs = [Design.BEFORE_AFTER, *([Design.DIFFERENCE] if plan.control_keys else [])]
    lengths = [days for days in LENGTHS_DAYS if days != plan.after_days]
    others = [visible(plan, found, design, plan.before_days, days, steps) for design in designs for days in lengths]
    known = [one for one in others if not isinstance(one, Undefined)]
    told = [f"{_named(one.design)}, {one.after_days} days: from {one.fraction:.1%} on." for one in known]
    if now.fraction <= promised:
        said = f"It sees a saving from {now.fraction:.1%} on, and {promised:.1%} is promised."
        return Advice(minimum_fraction=now.fraction, advice=tuple(told), sentence=said)
    better = best_length(
        [one for one in known if one.design is plan.design or one.design is Design.DIFFERENCE], promised
    )
    first = (
        f"{_named(better.design)} over {better.after_days} days would see it."
        if better
        else "None of these lengths would see it: switch it on and off by lot, or compare replicas side by side."
    )
    if not plan.control_keys:
        told.append("With a pool that nobody touches, what both have in common no longer counts as noise.")
    return Advice(minimum_fraction=now.fraction, advice=(first, *told), sentence=(
        f"It sees a saving from {now.fraction:.1%} on, and only {promised:.1%} is promised: most likely it will show "
        "nothing, whether it saves or not."))  # fmt: skip


def _named(design: Design) -> str:
    return {
        Design.SPLIT: "Replicas side by side",
        Design.SWITCHBACK: "On and off by turns",
        Design.DIFFERENCE: "Beside an untouched pool",
        Design.BEFORE_AFTER: "Before and after",
    }[design]
