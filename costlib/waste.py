"""Money that bought nothing, by why; and the rest. Together they are the bill: no dollar is wasted twice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from enum import StrEnum

from costlib.allocation import WIDE, in_cents, share_of
from costlib.billing import SMALLEST, exact_sum
from costlib.books import Bucket, Line, ServerUse, TrialBalance
from costlib.estimate import Basis, Undefined, weakest
from costlib.review import WasteLine
from costlib.team_share import TOKEN_BUCKETS


class WasteKind(StrEnum):
    WARM_IDLE = "warm_idle"
    UNALLOCATED = "unallocated"
    START_AND_DRAIN = "start_and_drain"
    PREEMPTION = "preemption"
    REJECTED_DRAFT = "rejected_draft"
    FAILED_REQUESTS = "failed_requests"
    ABORTED_REQUESTS = "aborted_requests"
    OVER_LONG_OUTPUT = "over_long_output"
    COMMITMENT_WASTE = "commitment_waste"


LABELS = {
    WasteKind.WARM_IDLE: "Warm and idle",
    WasteKind.UNALLOCATED: "GPUs nobody is matched to",
    WasteKind.START_AND_DRAIN: "Starting and draining",
    WasteKind.PREEMPTION: "Preempted and computed again",
    WasteKind.REJECTED_DRAFT: "Rejected drafts",
    WasteKind.FAILED_REQUESTS: "Failed requests",
    WasteKind.ABORTED_REQUESTS: "Aborted requests",
    WasteKind.OVER_LONG_OUTPUT: "Answers cut off at their limit",
    WasteKind.COMMITMENT_WASTE: "Commitments not used",
}
_OUTCOME_OF = {
    WasteKind.FAILED_REQUESTS: "requests_error_count",
    WasteKind.ABORTED_REQUESTS: "requests_abort_count",
    WasteKind.OVER_LONG_OUTPUT: "requests_length_count",
}
_FINISHED = ("requests_stop_count", *_OUTCOME_OF.values())
_SAYS = {
    WasteKind.FAILED_REQUESTS: "finished with an error; each taken for a mean request",
    WasteKind.ABORTED_REQUESTS: "were aborted; each taken for a mean request",
    WasteKind.OVER_LONG_OUTPUT: "reached their limit of tokens; each taken for a mean answer",
}
_LINES = frozenset(WasteKind) - _OUTCOME_OF.keys() - {WasteKind.PREEMPTION, WasteKind.REJECTED_DRAFT}
Pair = tuple[str, str]  # deployment, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """useful + sum of the lines whose amount is known = total."""

    total: Decimal
    lines: tuple[WasteLine, ...]  # one of each kind
    useful: Decimal
    by_deployment: Mapping[WasteKind, Mapping[str, Decimal]]  # the known amounts; "": nobody's

    @property
    def known(self) -> Decimal:
        return exact_sum(line.amount for line in self.lines if isinstance(line.amount, Decimal))

    def in_cents(self) -> "Waste":
        """The same in whole cents, which add up to the total in cents."""
        counted = [line.amount for line in self.lines if isinstance(line.amount, Decimal)]
        *amounts, useful = in_cents([*counted, self.useful])
        left = iter(amounts)
        lines = (replace(line, amount=next(left)) if isinstance(line.amount, Decimal) else line for line in self.lines)
        return replace(self, lines=tuple(lines), useful=useful, total=exact_sum((*amounts, useful)))


@dataclass(slots=True, kw_only=True)
class _Part:
    """What one deployment and model adds to one kind; the amount is None where it is not known, and `why` says so."""

    owner: str
    amount: Decimal | None
    basis: Basis = Basis.MEASURED
    why: str = ""


def waste(balance: TrialBalance, servers: Iterable[ServerUse]) -> Waste:
    """What of a period's cost bought nothing.

    Equation   idle, start and drain, preemption, drafts, GPUs without an owner, commitments: the balance's buckets.
               Drafts without a bucket: output cost x rejected / (generated + rejected tokens)
               failed, aborted: cost of the work on tokens x their part of finished requests
               over-long: cost of the work on output x part of requests that ended at their limit of tokens
    Returns    a line for each kind: 0 where its counter is 0, Undefined where no server exports it; where some do not,
               what the others had, and the evidence says who is missing. What comes of counters is cut out of the cost
               of tokens, and a request ends in one way only, so nothing is in two lines
    Valid for  requests that fail, are aborted or reach their limit as long as the mean one (assumed). Own servers:
               APIs do not tell
    Example    ten dollars of output, one request in ten aborted, and five dollars idle
    >>> from costlib.books import CostBasis
    >>> lines = (Line(bucket=Bucket.OUTPUT, amount=Decimal(10), deployment_key="d", model_key="m"),
    ...          Line(bucket=Bucket.WARM_IDLE, amount=Decimal(5), deployment_key="d"))
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(15), lines=lines,
    ...                     residual=Decimal(0))
    >>> use = ServerUse(target_key="t", deployment_key="d", model_key="m", observed_s=9, requests_stop_count=9,
    ...                 requests_abort_count=1)
    >>> found = waste(made, [use])
    >>> {str(line.kind): int(line.amount) for line in found.lines if isinstance(line.amount, Decimal)}, found.useful
    ({'warm_idle': 5, 'unallocated': 0, 'start_and_drain': 0, 'aborted_requests': 1, 'commitment_waste': 0}, \
Decimal('9.000000000000000000'))
    """
    uses: dict[Pair, list[ServerUse]] = defaultdict(list)
    for use in servers:
        uses[use.deployment_key, use.model_key].append(use)
    costs = _costs(balance.lines)
    pairs = sorted(uses.keys() | costs.keys())
    is_observed = any(use.observed_s for own in uses.values() for use in own)
    parts = {
        WasteKind.WARM_IDLE: _bucket(balance.lines, Bucket.WARM_IDLE, is_observed),
        WasteKind.UNALLOCATED: _bucket(balance.lines, Bucket.UNALLOCATED_GPU, True),
        WasteKind.START_AND_DRAIN: _bucket(balance.lines, Bucket.START_AND_DRAIN, is_observed),
        WasteKind.PREEMPTION: [_preempted(pair, uses[pair], costs[pair], balance.lines) for pair in pairs],
        WasteKind.REJECTED_DRAFT: [_rejected(pair, uses[pair], costs[pair], balance.lines) for pair in pairs],
        WasteKind.COMMITMENT_WASTE: _bucket(balance.lines, Bucket.COMMITMENT_WASTE, True),
    }
    for pair, part in zip(pairs, parts[WasteKind.REJECTED_DRAFT], strict=True):
        if part.amount and part.basis is Basis.ASSUMED and not _priced(pair, Bucket.REJECTED_DRAFT, balance.lines):
            costs[pair][Bucket.OUTPUT] = exact_sum((costs[pair][Bucket.OUTPUT], part.amount.copy_negate()))
    for kind in _OUTCOME_OF:
        parts[kind] = [_ended(kind, pair, uses[pair], costs[pair]) for pair in pairs]
    with localcontext(prec=WIDE):
        lines = tuple(_line(kind, parts[kind], balance.total) for kind in WasteKind)
        known = exact_sum(line.amount for line in lines if isinstance(line.amount, Decimal))
        useful = balance.total - known
    return Waste(
        total=balance.total,
        lines=lines,
        useful=useful,
        by_deployment={kind: _by_owner(parts[kind]) for kind in WasteKind},
    )


def _costs(lines: Iterable[Line]) -> dict[Pair, dict[Bucket, Decimal]]:
    """What the work on each class of tokens cost, on own GPUs."""
    amounts: dict[Pair, dict[Bucket, Decimal]] = defaultdict(lambda: dict.fromkeys(TOKEN_BUCKETS, Decimal(0)))
    for line in lines:
        if line.deployment_key and line.bucket in TOKEN_BUCKETS:
            mine = amounts[line.deployment_key, line.model_key]
            mine[line.bucket] = exact_sum((mine[line.bucket], line.amount))
    return amounts


def _bucket(lines: Iterable[Line], bucket: Bucket, is_known: bool) -> list[_Part]:
    mine = [line for line in lines if line.bucket is bucket]
    if not mine:
        return [_Part(owner="", amount=Decimal(0) if is_known else None, why="no server was measured")]
    return [_Part(owner=line.deployment_key, amount=line.amount, basis=line.basis) for line in mine]


def _preempted(pair: Pair, own: Sequence[ServerUse], costs: Mapping[Bucket, Decimal], lines: Iterable[Line]) -> _Part:
    count = _sum(own, "preemptions_count")
    if count is None:
        return _unknown(pair, "preemptions are not exported")
    if not count:
        return _Part(owner=pair[0], amount=Decimal(0))
    if priced := _priced(pair, Bucket.PREEMPTION, lines):
        basis = weakest(*(line.basis for line in priced))
        said = f"{count:,} preemptions"
        return _Part(owner=pair[0], amount=exact_sum(line.amount for line in priced), basis=basis, why=said)
    if not any(costs.values()):
        return _unknown(pair, "what its work cost is not known")
    return _unknown(pair, f"{count:,} preemptions, and how long a request is is not known")


def _rejected(pair: Pair, own: Sequence[ServerUse], costs: Mapping[Bucket, Decimal], lines: Iterable[Line]) -> _Part:
    drafted, accepted = _sum(own, "draft_tokens"), _sum(own, "accepted_tokens")
    if drafted is None or accepted is None:
        return _unknown(pair, "drafts are not exported, or there is no speculation")
    rejected = max(0, drafted - accepted)
    if not rejected:
        return _Part(owner=pair[0], amount=Decimal(0))
    said = f"{rejected:,} of {drafted:,} drafted tokens"
    if priced := _priced(pair, Bucket.REJECTED_DRAFT, lines):
        basis = weakest(*(line.basis for line in priced))
        return _Part(owner=pair[0], amount=exact_sum(line.amount for line in priced), basis=basis, why=said)
    generated = _sum(own, "generation_tokens")
    if generated is None or not any(costs.values()):
        return _unknown(pair, "what its work cost is not known")
    amount = _share(costs[Bucket.OUTPUT], rejected, generated + rejected)
    return _Part(owner=pair[0], amount=amount, basis=Basis.ASSUMED, why=f"{said} at the cost of output")


def _ended(kind: WasteKind, pair: Pair, own: Sequence[ServerUse], costs: Mapping[Bucket, Decimal]) -> _Part:
    count = _sum(own, _OUTCOME_OF[kind])
    if count is None:
        return _unknown(pair, "how requests finish is not exported")
    if not count:
        return _Part(owner=pair[0], amount=Decimal(0))
    if not any(costs.values()):
        return _unknown(pair, "what its work cost is not known")
    finished = max(sum(_sum(own, name) or 0 for name in _FINISHED), _sum(own, "requests_count") or 0)
    buckets = (Bucket.OUTPUT,) if kind is WasteKind.OVER_LONG_OUTPUT else TOKEN_BUCKETS
    amount = exact_sum(_share(costs[bucket], count, finished) for bucket in buckets)
    said = f"{count:,} of {finished:,} requests {_SAYS[kind]}"
    return _Part(owner=pair[0], amount=amount, basis=Basis.ASSUMED, why=said)


def _priced(pair: Pair, bucket: Bucket, lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.bucket is bucket and (line.deployment_key, line.model_key) == pair]


def _share(amount: Decimal, part: int, whole: int) -> Decimal:
    with localcontext(prec=WIDE):
        return (amount * part / whole).quantize(SMALLEST)


def _sum(own: Iterable[ServerUse], name: str) -> int | None:
    """The counter over all servers that export it; None where none does."""
    known = [value for use in own if (value := getattr(use, name)) is not None]
    return sum(known) if known else None


def _unknown(pair: Pair, why: str) -> _Part:
    return _Part(owner=pair[0], amount=None, basis=Basis.UNDEFINED, why=why)


def _line(kind: WasteKind, parts: Sequence[_Part], total: Decimal) -> WasteLine:
    known = [part for part in parts if part.amount is not None]
    missing = [part for part in parts if part.amount is None]
    said = [f"{part.owner}: {part.why}" for part in known if part.why and part.amount]
    if kind in _LINES and any(part.amount for part in known):
        said = [*said, "a line of the trial balance"]
    if not known:
        reason = "; ".join(dict.fromkeys(part.why for part in missing)) or "no server was measured"
        unknown = Undefined(reason=reason)
        return WasteLine(kind=kind, amount=unknown, share_fraction=unknown, basis=Basis.UNDEFINED, evidence=reason)
    said += [f"not told by {part.owner}: {part.why}" for part in missing]
    amount = exact_sum(part.amount for part in known if part.amount is not None)
    basis = weakest(*(part.basis for part in known))
    return WasteLine(
        kind=kind, amount=amount, share_fraction=share_of(amount, total), evidence="; ".join(said), basis=basis
    )


def _by_owner(parts: Iterable[_Part]) -> dict[str, Decimal]:
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for part in parts:
        if part.amount:
            amounts[part.owner].append(part.amount)
    return {owner: exact_sum(mine) for owner, mine in sorted(amounts.items())}
