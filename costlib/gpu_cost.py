"""What the GPUs of one deployment cost, divided by what they did, for which model and for whom."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from costlib.allocation import split, whole_split
from costlib.billing import exact_sum
from costlib.books import NO_TEAM, Bucket, ChargeGroup, Line, ServerUse
from costlib.estimate import Basis
from costlib.gpu_time import BilledTime, gpu_time
from costlib.team_share import TOKEN_BUCKETS, TeamWeights, tokens_of_servers
from costlib.token_split import TokenSplit
from costlib.units import SECONDS_PER_HOUR

Cell = tuple[str, str, str]  # bucket, model, team
_NOT_DIVIDED: Cell = (Bucket.UNMEASURED, "", NO_TEAM)


@dataclass(slots=True, kw_only=True)
class _Pool:
    """GPU charges from one provider whose tags or rule name one team."""

    amounts: list[Decimal] = field(default_factory=list)
    gpu_hours: list[Decimal] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class GpuCost:
    """The GPU charges of one deployment, collected one by one."""

    pools: dict[tuple[str, str], _Pool] = field(default_factory=lambda: defaultdict(_Pool))  # by provider and team
    starts: list[datetime] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)

    def add(self, group: ChargeGroup, cost: Decimal, team: str, gpu_hours: list[Decimal]) -> None:
        pool = self.pools[group.provider, team]
        pool.amounts.append(cost)
        pool.gpu_hours += gpu_hours
        self.starts += [group.first_start] if group.first_start else []
        self.ends += [group.last_end] if group.last_end else []

    def lines(
        self, key: str, servers: Sequence[ServerUse], weights: TeamWeights, split_of: Mapping[str, TokenSplit]
    ) -> list[Line]:
        """The whole cost on lines of the deployment `key`, which `servers` are of."""
        hours = {pool: exact_sum(charges.gpu_hours) for pool, charges in self.pools.items()}
        shares = gpu_time(servers, self._billed(exact_sum(hours.values())), split_of)
        tokens = {
            kind: whole_split(count, hours, fallback=min(hours)) for kind, count in tokens_of_servers(servers).items()
        }
        labels = {use.labels.get("team", NO_TEAM) for use in servers}
        label = labels.pop() if len(labels) == 1 else NO_TEAM
        found = []
        for pool, charges in self.pools.items():
            provider, billed_team = pool
            team = billed_team or label
            counts = {
                (str(bucket), model, asker): count
                for (model, bucket), by_pool in tokens.items()
                for asker, count in whole_split(by_pool[pool], weights.get((model, bucket), {}), fallback=team).items()
            }
            cells = _cells(shares, weights, team)
            paid = split(exact_sum(charges.amounts), cells, fallback=_NOT_DIVIDED)
            for cell in paid.keys() | counts.keys():
                bucket, model, asker = cell
                found.append(
                    Line(
                        bucket=Bucket(bucket),
                        amount=paid.get(cell, Decimal(0)),
                        basis=_basis(Bucket(bucket), split_of.get(model)),
                        deployment_key=key,
                        model_key=model,
                        team=asker,
                        provider=provider,
                        tokens=counts.get(cell),
                    )
                )
        return found

    def _billed(self, hours: Decimal) -> BilledTime:
        return BilledTime(
            gpu_s=float(hours) * SECONDS_PER_HOUR if hours > 0 else None,
            start=min(self.starts, default=None),
            end=max(self.ends, default=None),
        )


def _cells(shares: Mapping[tuple[Bucket, str], float], weights: TeamWeights, team: str) -> dict[Cell, float]:
    """Each share of a token class by who asked for its tokens; everything else is the deployment's own team's."""
    cells: dict[Cell, float] = defaultdict(float)
    for (bucket, model), share in shares.items():
        asked = weights.get((model, bucket), {}) if bucket in TOKEN_BUCKETS else {}
        total = sum(asked.values())
        for asker, tokens in asked.items() if total > 0 else [(team, 1)]:
            cells[str(bucket), model, asker] += share * tokens / (total or 1)
    return cells


def _basis(bucket: Bucket, token_split: TokenSplit | None) -> Basis:
    match bucket:
        case Bucket.WARM_IDLE:
            return Basis.MEASURED
        case Bucket.START_AND_DRAIN:
            return Basis.ASSUMED
        case Bucket.UNMEASURED:
            return Basis.UNDEFINED
    return token_split.basis if token_split else Basis.UNDEFINED
