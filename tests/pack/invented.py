"""Reviews for the tests of the pack. Every number is invented; each follows from the seed, so a review is always the
same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from costlib.allocation import in_cents, share_of
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis
from costlib.estimate import Basis, Undefined
from costlib.review import (
    Action,
    ActionState,
    Anomaly,
    Bridge,
    Day,
    DetailRow,
    Figure,
    FigureUnit,
    Mover,
    Outlook,
    OutlookDay,
    OutlookLine,
    Period,
    Proposal,
    Review,
    StatementLine,
    Term,
    WasteLine,
)
from tests import savings_builders

PRODUCTS = ("Support copilot", "Search answers", "Doc extraction", "Code assist", "Batch evals", "")
TEAMS = ("Customer care", "Search", "Platform", "Research", "")
WEEK = Period(start=date(2026, 11, 9), end=date(2026, 11, 16))
WEEK_BEFORE = Period(start=date(2026, 11, 2), end=date(2026, 11, 9))
_BUCKETS = (
    (Bucket.INPUT, 22),
    (Bucket.CACHED_INPUT, 4),
    (Bucket.OUTPUT, 41),
    (Bucket.PREEMPTION, 2),
    (Bucket.REJECTED_DRAFT, 3),
    (Bucket.WARM_IDLE, 21),
    (Bucket.HOST, 7),
)
_WITH_TOKENS = (Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT)
_DAY_WEIGHTS = (16, 16, 16, 17, 17, 9, 9)


def parted(amount: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """An amount in cents, by weights, in cents."""
    whole = sum(weights)
    return in_cents([amount * weight / whole for weight in weights])


def review_of(
    products: Sequence[str] = PRODUCTS,
    teams: Sequence[str] = TEAMS,
    seed: int = 7,
    scale: int = 1,
    is_bare: bool = False,
) -> Review:
    """A week of these products; a bare one has no period before, no budgets, no forecast and nothing proposed."""
    random = Random(seed)
    costs = [Decimal(random.randrange(200_000, 3_000_000) * scale) / 100 for _ in products]
    before = [cost - Decimal(random.randrange(-200_000, 320_000) * scale) / 100 for cost in costs]
    details, movers = [], []
    for name, cost, earlier in zip(products, costs, before, strict=True):
        team = teams[random.randrange(len(teams))]
        for (bucket, _), amount in zip(_BUCKETS, parted(cost, [weight for _, weight in _BUCKETS]), strict=True):
            tokens = int(abs(amount) * 700_000) if bucket in _WITH_TOKENS else None
            details.append(
                DetailRow(product=name, model="llama-3.3-70b", team=team, bucket=bucket, amount=amount, tokens=tokens)
            )
        volume, unit_cost, mix = parted(cost - earlier, (7, 2, 1))
        movers.append(
            Mover(
                product=name,
                cost=cost,
                before=None if is_bare else earlier,
                from_volume=None if is_bare else volume,
                from_unit_cost=None if is_bare else unit_cost,
                from_mix=None if is_bare else mix,
                per_mtok=Decimal(random.randrange(900, 1500)) / 1000,
                budget=None if is_bare or not name else (cost * random.randrange(88, 116) / 100).quantize(Decimal(1)),
            )
        )
    total = exact_sum(costs)
    daily = _days(products, costs)
    if is_bare:
        return Review(
            period=WEEK,
            before=None,
            currency="USD",
            basis=CostBasis.EFFECTIVE,
            snapshot_id="2026-11-16T06-00-00Z-9c41",
            total=total,
            figures=(Figure(name="Spend", value=total),),
            movers=tuple(movers),
            daily=daily,
            details=tuple(details),
        )
    earlier_total = exact_sum(before)
    return Review(
        period=WEEK,
        before=WEEK_BEFORE,
        currency="USD",
        basis=CostBasis.EFFECTIVE,
        snapshot_id="2026-11-16T06-00-00Z-9c41",
        total=total,
        is_sample=True,
        made_from=(
            "Idle cost is a line of its own and is not spread over products.",
            "Busy GPU time is split into token classes by the step model, calibrated on 3 November.",
            "Budgets are those of the FY26 plan, version 3, phased by weekday.",
            "GPUs of the evaluation pool have no counters: they are taken as not measured.",
        ),
        figures=(
            Figure(name="Spend", value=total, before=earlier_total),
            Figure(
                name="Cost per 1M tokens",
                value=Decimal("1.178"),
                before=Decimal("1.204"),
                unit=FigureUnit.PER_MTOK,
                note="all cost over all tokens",
            ),
            Figure(
                name="Idle GPU cost",
                value=exact_sum(row.amount for row in details if row.bucket is Bucket.WARM_IDLE),
                before=(total * Decimal("0.23")).quantize(Decimal("0.01")),
                note="21% of spend",
            ),
            Figure(name="GPUs of no server", value=0.052, before=0.054, unit=FigureUnit.SHARE, note="target under 5%"),
            Figure(
                name="Forecast against budget",
                value=Decimal("20918.40"),
                before=Decimal("11840.00"),
                basis=Basis.EXTRAPOLATED,
                note="November, 63% sure to be over",
            ),
        ),
        bridge=_bridge(earlier_total, total),
        movers=tuple(movers),
        daily=daily,
        outlook=_outlook(),
        anomalies=(
            Anomaly(
                on=date(2026, 11, 11),
                measure="cost",
                scope="Doc extraction",
                impact=Decimal("4180.22"),
                cause="volume",
                sentence="A batch of 1.9 M pages ran on 11 to 13 November: volume explains 96% of it.",
                evidence="/overview?product=doc-extraction",
            ),
            Anomaly(
                on=date(2026, 11, 14),
                measure="cache_hit",
                scope="Support copilot",
                impact=Decimal("612.05"),
                cause="cache hit share",
                sentence="The cache hit share fell from 61% to 48% after the prompt template changed.",
            ),
        ),
        waste=_waste(details, total),
        proposals=(
            Proposal(
                title="Scale Search answers to zero at night",
                saved_low=Decimal(5200),
                saved=Decimal(7400),
                saved_high=Decimal(8100),
                effort="a day",
                is_proven=True,
                link="/what-if?scale.night=1",
            ),
            Proposal(
                title="FP8 weights for Code assist",
                saved_low=Decimal(2900),
                saved=Decimal(4100),
                saved_high=Decimal(5600),
                effort="a week",
                link="/what-if?precision.weights=fp8",
            ),
            Proposal(
                title="Longer prefix cache for Support copilot",
                saved_low=Decimal(900),
                saved=Decimal(1750),
                saved_high=Decimal(2400),
                effort="an hour",
            ),
        ),
        risks=(
            "The reservation of 16 H100 expires on 30 November; on demand the same GPUs cost 62% more.",
            "Support copilot is at 88% of its KV cache at the daily peak.",
        ),
        actions=(
            Action(
                id="a1", text="Renew or drop the H100 reservation", owner="Dana", due=date(2026, 11, 24),
                said_on=date(2026, 11, 16),
            ),
            Action(id="a2", text="Roll back the prompt template of Support", owner="Ivo", due=date(2026, 11, 18)),
        ),
        last_actions=(
            Action(id="a0", text="Tag the test pool", owner="Mei", due=date(2026, 11, 13), state=ActionState.DONE),
            Action(id="b0", text="Ask for the October credit note", owner="Dana", due=date(2026, 11, 12)),
        ),
        statements=(
            StatementLine(
                provider="CoreWeave", billed=Decimal("61204.11"), invoice=Decimal("61204.11"), note="October, INV-20931"
            ),
            StatementLine(
                provider="AWS", billed=Decimal("18420.50"), invoice=Decimal("18433.02"), note="support not yet split"
            ),
            StatementLine(provider="OpenAI", billed=Decimal("2140.07"), note="invoice due 3 December"),
        ),
        details=tuple(details),
    )  # fmt: skip


def _days(products: Sequence[str], costs: Sequence[Decimal]) -> tuple[Day, ...]:
    parts = [parted(cost, _DAY_WEIGHTS) for cost in costs]
    return tuple(
        Day(
            on=WEEK.start + timedelta(days=n),
            by_product={name: part[n] for name, part in zip(products, parts, strict=True)},
            is_partial=n == len(_DAY_WEIGHTS) - 1,
        )
        for n in range(len(_DAY_WEIGHTS))
    )


def _bridge(before: Decimal, after: Decimal) -> Bridge:
    weights = {
        "volume": (120, "Support copilot served 11% more requests."),
        "token_mix": (-18, "Prompts grew longer, answers shorter: output fell from 31% to 29% of tokens."),
        "price": (6, "The spot price of H100 in us-east rose 2%."),
        "efficiency": (-35, "Batches were fuller: 8% more tokens per busy GPU-second."),
        "idle": (21, "Two replicas of Search answers stayed up over the weekend."),
        "purchase_mix": (-9, "More hours ran on the reservation."),
        "one_offs": (15, "A migration ran twice."),
    }
    change = after - before
    moved = [change * weight / 100 for weight, _ in weights.values()]
    return Bridge(
        before=before,
        after=after,
        terms=tuple(
            Term(kind=kind, amount=amount, sentence=sentence, evidence=f"/overview?reason={kind}")
            for (kind, (_, sentence)), amount in zip(weights.items(), in_cents(moved), strict=True)
        ),
    )


def _outlook() -> Outlook:
    path, actual, middle = [], Decimal(0), Decimal(0)
    for n in range(30):
        on = date(2026, 11, 1) + timedelta(days=n)
        daily = Decimal(14_400 if on.weekday() >= 5 else 18_900) + 40 * n
        if n < 15:
            actual += daily
            path.append(OutlookDay(on=on, actual=actual))
            middle = actual
        else:
            middle += daily
            spread = Decimal((n - 14) * 2100)
            path.append(OutlookDay(on=on, p10=middle - spread, p50=middle, p90=middle + spread * Decimal("1.2")))
    end = path[-1]
    lines = [
        OutlookLine(
            name="", kind="all", budget=Decimal(525_000), actual=actual, p10=end.p10, p50=end.p50, p90=end.p90,
            breach_probability=0.63, breach_on=date(2026, 11, 29),
        ),
        OutlookLine(
            name="Support copilot", budget=Decimal(170_000), actual=Decimal("98211.40"), p10=Decimal(181_000),
            p50=Decimal(190_400), p90=Decimal(204_000), breach_probability=0.97, breach_on=date(2026, 11, 26),
        ),
        OutlookLine(
            name="Search answers", budget=Decimal(110_000), actual=Decimal("53110.02"), p10=Decimal(98_000),
            p50=Decimal(104_000), p90=Decimal(111_500), breach_probability=0.14,
        ),
        OutlookLine(name="Batch evals", actual=Decimal("22010.77"), p50=Decimal(44_100)),
        OutlookLine(
            name="Research", kind="team", budget=Decimal(60_000), actual=Decimal("22010.77"), p10=Decimal(41_000),
            p50=Decimal(44_100), p90=Decimal(49_000), breach_probability=0.002,
        ),
    ]  # fmt: skip
    return Outlook(
        month="2026-11", lines=tuple(lines), path=tuple(path), method="By drivers, 80% band, back-tested on 12 weeks."
    )


def _waste(details: Sequence[DetailRow], total: Decimal) -> tuple[WasteLine, ...]:
    lines = []
    for bucket in (Bucket.WARM_IDLE, Bucket.REJECTED_DRAFT, Bucket.PREEMPTION):
        amount = exact_sum(row.amount for row in details if row.bucket is bucket)
        lines.append(WasteLine(kind=str(bucket), amount=amount, share_fraction=share_of(amount, total)))
    return (
        *lines,
        WasteLine(kind="start_up", amount=Decimal("318.40"), share_fraction=share_of(Decimal("318.40"), total)),
        WasteLine(kind="aborted_requests", amount=Undefined(reason="this vLLM does not count them")),
    )


def full() -> Review:
    return review_of()


def first_week() -> Review:
    return review_of(is_bare=True)


def one_product() -> Review:
    return review_of(products=("Chat",), teams=("Care",))


def many_products() -> Review:
    return review_of(products=[f"Product {n:03}" for n in range(500)], teams=[f"Team {n:02}" for n in range(40)])


def open_month() -> Review:
    review = review_of()
    return replace(review, period=replace(review.period, is_open=True))


def negative() -> Review:
    """A credit larger than the use."""
    review = review_of(scale=-1)
    return replace(review, figures=review.figures[:1])


def empty() -> Review:
    return Review(
        period=WEEK, before=None, currency="USD", basis=CostBasis.BILLED, snapshot_id="none", total=Decimal("0.00")
    )


HOSTILE = (
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "<b>bold</b><script>alert(1)</script>",
    "+cmd|' /C calc'!A0",
    "a*",
    "| a | b |\n# heading ![x](http://evil.example/p.png)",
    "A*",
    "\u202egnp.exe & <font size=99>",
    "<para",
    "{\\rtf1} &amp; ]]>",
    "名前 Łódź Ωμέγα Привет",
    "x" * 400,
    ">0",
)  # fmt: skip


def hostile() -> Review:
    review = review_of(products=HOSTILE, teams=HOSTILE)
    bad = HOSTILE[1]
    return replace(
        review,
        snapshot_id=HOSTILE[0][:60],
        made_from=HOSTILE,
        risks=HOSTILE[:6],
        actions=tuple(Action(id=str(n), text=text, owner=text) for n, text in enumerate(HOSTILE)),
        proposals=tuple(
            Proposal(
                title=text, saved_low=Decimal(1), saved=Decimal(2), saved_high=Decimal(3), link="javascript:alert(1)"
            )
            for text in HOSTILE
        ),
        statements=tuple(StatementLine(provider=text, billed=Decimal(1), note=text) for text in HOSTILE),
        figures=tuple(replace(figure, name=f"{bad} {figure.name}", note=bad) for figure in review.figures),
        anomalies=tuple(Anomaly(on=WEEK.start, measure=text, scope=text, sentence=text) for text in HOSTILE),
    )


def crowded() -> Review:
    """More of everything than fits, in sentences that do not end."""
    review = review_of(
        products=[f"{n:03} {'a product with a long name ' * 3}" for n in range(60)],
        teams=[f"{n:02} {'a team with a long name ' * 3}" for n in range(30)],
        scale=9_000_000,
    )
    long = "A sentence that goes on and on about what happened. " * 12
    assert review.bridge is not None
    assert review.outlook is not None
    return replace(
        review,
        made_from=(long,) * 30,
        risks=(long,) * 30,
        bridge=replace(review.bridge, terms=tuple(replace(term, sentence=long) for term in review.bridge.terms)),
        outlook=replace(review.outlook, lines=review.outlook.lines * 9, method=long),
        anomalies=tuple(Anomaly(on=WEEK.start, measure="cost", scope=long, sentence=long) for _ in range(30)),
        waste=tuple(WasteLine(kind=f"waste_{n}", amount=Undefined(reason=long)) for n in range(30)),
        proposals=tuple(
            Proposal(title=long, saved_low=Decimal(1), saved=Decimal(2), saved_high=Decimal(3), effort=long)
            for _ in range(9)
        ),
        actions=tuple(Action(id=str(n), text=long, owner=long) for n in range(30)),
        last_actions=tuple(Action(id=str(n), text=long, owner=long) for n in range(30)),
        statements=tuple(StatementLine(provider=f"{n} {long}", billed=Decimal(n), note=long) for n in range(30)),
    )


def with_savings() -> Review:
    return replace(review_of(), savings=savings_builders.full())


def broken_savings() -> Review:
    """A ledger that was changed after it was written, and names in it that try to be more than text."""
    made = savings_builders.hostile(HOSTILE)
    return replace(review_of(), savings=made)


CASES = {
    "with savings": with_savings,
    "broken savings": broken_savings,
    "crowded": crowded,
    "full": full,
    "first week": first_week,
    "one product": one_product,
    "many products": many_products,
    "open month": open_month,
    "negative": negative,
    "empty": empty,
    "hostile": hostile,
}
