"""Changes of the same pools at the same time: together they count for no more than what they did jointly."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from math import expm1, sqrt
from statistics import NormalDist

from costlib.estimate import Basis, Estimate, Undefined
from costlib.saving import Design, Entry, Overlap, Signed, Verdict
from costlib.text_safety import plain

Span = tuple[datetime, datetime]
Joints = Mapping[frozenset[str], tuple[float, float]]  # by entry ids: log effect of all of them, and its standard error
NO_JOINTS: Joints = {}
MOST_NAMED = 4
SAVED = (Verdict.VERIFIED, Verdict.PARTIAL, Verdict.PROBABLE)
SAME_DAYS = (Design.SPLIT, Design.SWITCHBACK)  # in these both sides see what else was changed
_Z95 = NormalDist().inv_cdf(0.975)


def grown(log_effect: float) -> float:
    """By what part a logarithm of cost grows the cost; one beyond e^50 has an error in it, and is no overflow.

    >>> round(grown(0.6931471805599453), 6)
    1.0
    """
    return expm1(min(log_effect, 50.0))


def live_spans(entry: Entry, now: datetime) -> tuple[Span, ...]:
    """When a change was on, up to `now`: of a switchback its periods, and from the last of them on, all of the time."""
    end = min(now, entry.ended_at or now)
    if entry.shipped_at is None:
        return ()
    tail = max((last for _, last in entry.periods), default=entry.shipped_at)
    spans = [(first, min(last, end)) for first, last in (*entry.periods, (tail, end))]
    return tuple((first, last) for first, last in spans if first < last)


def segments(
    entries: Iterable[Entry], start: datetime, end: datetime, now: datetime
) -> Iterator[tuple[Span, tuple[Entry, ...]]]:
    """Parts of `start` to `end` in which the same changes are live, and which; none where nothing is."""
    spans = {entry.id: (entry, live_spans(entry, now)) for entry in sorted(entries, key=lambda one: one.id)}
    edges = {edge for _, of in spans.values() for span in of for edge in span if start < edge < end}
    steps = sorted({start, end} | edges)
    for first, last in pairwise(steps):
        live = tuple(entry for entry, of in spans.values() if any(a <= first and last <= b for a, b in of))
        if live:
            yield (first, last), live


def avoided(cost: float, log_effects: Mapping[str, float], joint_log_effect: float | None = None) -> dict[str, float]:
    """What each of the changes that are live avoids, of a pool on one day [unit of cost].

    Equation   all = C (e^-D - 1),  D = sum d;  each = all d / D, which is -d C where D is 0
               with a joint effect J: what is above 0 is scaled so that all <= C (e^-J - 1), though never below 0
    Symbols    C cost of the day as it is, with all of them   d log effects, below 0 for a saving
    Returns    one amount for each change, of the sign of its saving: what one adds to the cost, others do not hide.
               A joint effect of one change alone says nothing new
    Valid for  effects that act on the same work, each on what the others leave
    Raises     nothing
    Source     the logarithmic mean divides a joint change without a remainder: Ang 2004; domain_math §12.8
    Example    halved twice: $25 a day are left of $100
    >>> halved = -0.6931471805599453
    >>> {key: round(amount, 2) for key, amount in avoided(25.0, {"fp8": halved, "cache": halved}).items()}
    {'fp8': 37.5, 'cache': 37.5}
    """
    total = sum(log_effects[key] for key in sorted(log_effects))
    slope = grown(-total) / -total if total else 1.0
    each = {key: -effect * cost * slope for key, effect in log_effects.items()}
    if joint_log_effect is None or len(each) < 2:
        return each
    part = _part(each.values(), cost * grown(-joint_log_effect))
    return {key: amount * part if amount > 0 else amount for key, amount in each.items()}


def _part(amounts: Iterable[float], most: float) -> float:
    """By what the savings among `amounts` are multiplied so that all of them sum to at most `most`; within 0 to 1."""
    ordered = sorted(amounts)
    saved, lost = sum(one for one in ordered if one > 0), sum(one for one in ordered if one < 0)
    return min(1.0, max(0.0, most - lost) / saved) if saved else 1.0


def counted(live: Sequence[Entry], joints: Joints = NO_JOINTS) -> dict[str, float]:
    """What counts of each signed saving while these changes are live: its ratio, within 0 to 1.

    Where they meet on a pool, the least that these leave of it:

    - Those whose joint effect is in `joints` save together at most e^-J - 1 of the cost as it is.
    - Of those that were compared with days on which another one began, each may hold the other's effect. Where no
      joint effect is of both, only as much counts of all their savings as the largest of them.
    - Others were measured one after another, each on what was left by those before it: all of them count.

    One that cost more counts whole, and no other's saving is cut for it. A change of several pools counts the mean of
    what it counts on each: nobody measured them apart. One change alone counts whole.
    """
    pools = sorted({pool for entry in live if entry.plan for pool in entry.plan.pool_keys})
    by_pool = {pool: _counted_on(_on(pool, live), joints) for pool in pools}
    found = {}
    for entry in live:
        own = [by_pool[pool][entry.id] for pool in sorted(set(entry.plan.pool_keys))] if entry.plan else []
        found[entry.id] = sum(own) / len(own) if own else 1.0
    return found


def _on(pool: str, live: Iterable[Entry]) -> list[Entry]:
    return sorted((one for one in live if one.plan and pool in one.plan.pool_keys), key=lambda one: one.id)


def _counted_on(live: Sequence[Entry], joints: Joints) -> dict[str, float]:
    """As `counted`, of changes of one pool: the least of what each rule leaves of it."""
    found = {one.id: 1.0 for one in live}
    for ids in joints:
        if len(ids) > 1 and ids <= found.keys():
            told = [one.signed for one in live if one.signed and one.id in ids]
            amounts = [grown(-one.log_effect) for one in told if one.verdict in (*SAVED, Verdict.ROSE)]
            _lower(found, ids, _part(amounts, grown(-joints[ids][0])))
    for group in _mixed(live, joints):
        cash = sorted(signed.cash_usd_per_month.mid for one in group if (signed := _saving(one)))
        if len(cash) > 1:
            _lower(found, [one.id for one in group], cash[-1] / sum(cash))
    return {one.id: found[one.id] if _saving(one) else 1.0 for one in live}


def _lower(found: dict[str, float], ids: Iterable[str], part: float) -> None:
    for key in ids:
        found[key] = min(found[key], part)


def _saving(entry: Entry) -> Signed | None:
    """What was signed as saved, where cash is saved."""
    signed = entry.signed
    return signed if signed and signed.verdict in SAVED and signed.cash_usd_per_month.mid > 0 else None


def _mixed(live: Sequence[Entry], joints: Joints) -> Iterator[list[Entry]]:
    """Groups of those whose days hold one another's beginnings, and that no joint effect tells apart."""
    left = {one.id: one for one in live}
    while left:
        group = [left.pop(min(left))]
        for one in group:  # grows while it is walked
            group += [left.pop(key) for key in sorted(left) if _are_mixed(one, left[key], joints)]
        if len(group) > 1:
            yield group


def _are_mixed(one: Entry, other: Entry, joints: Joints) -> bool:
    is_joint = any({one.id, other.id} <= ids for ids in joints)
    return not is_joint and (_may_hold(one, other) or _may_hold(other, one))


def _may_hold(one: Entry, other: Entry) -> bool:
    """Whether the days that `one` was compared on hold the beginning of `other`."""
    if one.plan is None or one.shipped_at is None or other.shipped_at is None or one.plan.design in SAME_DAYS:
        return False
    before, after = timedelta(days=one.plan.before_days), timedelta(days=one.plan.after_days)
    return one.shipped_at - before < other.shipped_at < one.shipped_at + after


def live_together(entries: Iterable[Entry], now: datetime) -> tuple[frozenset[str], ...]:
    """Ids of changes that were live on one pool at the same time, for all such times: for each set a joint effect is
    worth estimating, as what two did matters for the days before a third came."""
    return tuple(frozenset(one.id for one in live) for live in _meetings(entries, now))


def _meetings(entries: Iterable[Entry], now: datetime) -> list[tuple[Entry, ...]]:
    shipped = [one for one in entries if one.plan and one.shipped_at and one.shipped_at < now]
    if not shipped:
        return []
    start = min(first for one in shipped for first, _ in ((one.shipped_at, now), *one.periods) if first)
    pools = sorted({pool for one in shipped if one.plan for pool in one.plan.pool_keys})
    found = {
        tuple(one.id for one in on): tuple(on)
        for _, live in segments(shipped, start, now, now)
        for pool in pools
        if len(on := _on(pool, live)) > 1
    }
    return [found[ids] for ids in sorted(found)]


def overlaps(entries: Iterable[Entry], now: datetime, joints: Joints = NO_JOINTS) -> tuple[Overlap, ...]:
    """Where changes meet: what they did jointly, and what counts of the sum of their savings. Of sets that grew, the
    largest."""
    met = _meetings(entries, now)
    sets = [frozenset(one.id for one in live) for live in met]
    largest = [live for live, ids in zip(met, sets, strict=True) if not any(ids < other for other in sets)]
    return tuple(_overlap(live, joints) for live in largest)


def _overlap(live: Sequence[Entry], joints: Joints) -> Overlap:
    ids = tuple(one.id for one in live)
    parts = counted(live, joints)
    cash = {one.id: signed.cash_usd_per_month.mid for one in live if (signed := _saving(one))}
    total = sum(cash.values())
    ratio = sum(parts[key] * amount for key, amount in cash.items()) / total if total else 1.0
    return Overlap(
        entry_ids=ids,
        joint_fraction=_joint_fraction(live, joints),
        counted_ratio=min(1.0, ratio),
        sentence=_sentence(live, cash, ratio, joints.get(frozenset(ids)) is not None),
    )


def _joint_fraction(live: Sequence[Entry], joints: Joints) -> Estimate | Undefined:
    """With 95 % confidence, where they were measured jointly or one after another."""
    joint, basis = joints.get(frozenset(one.id for one in live)), Basis.MEASURED
    if joint is None:
        signed = [one.signed for one in live if one.signed and one.signed.verdict is not Verdict.CANNOT_TELL]
        if len(signed) < len(live):
            return Undefined(reason="not all of them are signed with a measured effect")
        if any(_mixed(live, NO_JOINTS)):
            return Undefined(reason="each was compared with days on which another one began")
        effects = sum(one.log_effect for one in signed), sqrt(sum(one.standard_error**2 for one in signed))
        joint, basis = effects, Basis.ASSUMED  # that neither changes what the other does
    low, mid, high = (-grown(joint[0] + z * joint[1]) for z in (_Z95, 0.0, -_Z95))
    return Estimate(low=low, mid=mid, high=high, basis=basis)


def _sentence(live: Sequence[Entry], cash: Mapping[str, float], ratio: float, is_joint: bool) -> str:
    names = [f"“{plain(one.title, 60)}”" for one in live]
    if len(names) > MOST_NAMED:
        names[MOST_NAMED - 1 :] = [f"{len(names) - MOST_NAMED + 1} others"]
    *most, last = names
    met = f"{', '.join(most)} and {last} changed the same deployments in the same days"
    if len(cash) < 2:
        return f"{met}; no more than one of them has a signed saving, so nothing is counted twice."
    if ratio > 1 - 1e-9:
        how = "measured jointly, they saved as much" if is_joint else "each was measured on what the others left"
        return f"{met}; {how}, so the sum of their savings counts whole."
    how = "that is what they saved jointly" if is_joint else "what each holds of the others cannot be told apart"
    return f"{met}: {ratio:.0%} of the sum of their savings counts, as {how}."
