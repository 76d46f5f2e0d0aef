"""A savings ledger by hand, with a change in every state. Every number is invented; what must add up does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import log, sin

from costlib.estimate import Basis, Estimate, Undefined
from costlib.lever import Work
from costlib.saving import (
    Bar,
    CashMonth,
    Check,
    DayPoint,
    Design,
    Distribution,
    Entry,
    Erosion,
    Guard,
    GuardResult,
    Learnt,
    Outcome,
    Overlap,
    Plan,
    Projection,
    Said,
    Savings,
    Signed,
    State,
    Verdict,
    Verification,
    Weights,
)

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
SHIPPED = datetime(2026, 10, 5, 9, tzinfo=UTC)
BEFORE_DAYS, AFTER_DAYS = 56, 28
HEAD = "3f9ac1d27be0458f9d6c2e71a04b8f5d6e3c9a17b2f04d58e6a9c3b7d1f20e48"
GUARDS = (Guard(measure="ttft_p95_s", margin_fraction=0.1), Guard(measure="tpot_p95_s", margin_fraction=0.1))
HELD = Undefined(reason="no time after the change was measured yet")


def around(mid: float, half: float, basis: Basis = Basis.MEASURED) -> Estimate:
    return Estimate(low=mid - abs(half), mid=mid, high=mid + abs(half), basis=basis)


def plan(saved_fraction: float = 0.18, usd_per_month: float = 12_400.0, **more: object) -> Plan:
    """What promises `saved_fraction` of the cost of a unit of work, a third more or less."""
    made = Plan(
        lever_keys=("weight_precision",),
        pool_keys=("support-copilot",),
        control_keys=("search-answers",),
        design=Design.DIFFERENCE,
        work=Work.TOKENS,
        outcome=Outcome.GPU_HOURS,
        weights=Weights(cached_ratio=0.06, output_ratio=4.2, source="calibrated on 1 Oct 2026"),
        usd_per_gpu_hour=2.49,
        projection=Projection(
            saved_fraction=around(saved_fraction, saved_fraction / 3, Basis.ASSUMED),
            saved_usd_per_month=around(usd_per_month, usd_per_month / 3, Basis.ASSUMED),
        ),
        before_days=BEFORE_DAYS,
        after_days=AFTER_DAYS,
        minimum_fraction=0.06,
        guards=GUARDS,
        link="/?v=2&weight_precision.weights=FP8",
    )
    return replace(made, **more)


def entry(key: str, title: str, state: State, made: Plan | None = None, **more: object) -> Entry:
    shipped = SHIPPED if state not in (State.IDEA, State.PLANNED, State.REJECTED) else None
    said = [Said(at=SHIPPED - timedelta(days=30), by="Ada", text=f"Noted: {title}")]
    if made:
        said.append(Said(at=SHIPPED - timedelta(days=10), by="Ada", text="Committed to what it promises"))
    if shipped:
        said.append(Said(at=shipped, by="Ben", text="Shipped"))
    base = Entry(
        id=key,
        title=title,
        owner="Ada",
        state=state,
        noted_at=SHIPPED - timedelta(days=30),
        plan=made,
        committed_at=SHIPPED - timedelta(days=10) if made else None,
        shipped_at=shipped,
        said=tuple(said),
        evidence="https://git.example/changes/214",
    )
    return replace(base, **more)


def signed(verdict: Verdict, saved_fraction: float, cash: float, is_final: bool = True) -> Signed:
    return Signed(
        at=NOW - timedelta(days=12),
        by="Dana",
        verdict=verdict,
        log_effect=log(1 - saved_fraction),
        standard_error=0.021,
        saved_fraction=around(saved_fraction, 0.04),
        cash_usd_per_month=around(cash, cash / 4),
        is_final=is_final,
        data_digest="9c41d2b07f",
        snapshot_id="2026-11-09T06-00-00Z-9c41",
    )


def verification(
    entry_id: str,
    verdict: Verdict,
    reason: str,
    saved_fraction: float = 0.162,
    promised_fraction: float = 0.18,
    minimum_fraction: float = 0.061,
    half: float = 0.039,
    **more: object,
) -> Verification:
    """What is measured of a change that saves `saved_fraction`, give or take `half`; volume rose meanwhile."""
    before, price, volume, rest = (Decimal(amount) for amount in ("61240.00", "-1830.50", "7420.25", "-212.10"))
    change = Decimal(str(round(-61240.0 * saved_fraction, 2)))
    after = before + price + volume + change + rest
    cash = -float(change) * 0.92
    made = Verification(
        entry_id=entry_id,
        verdict=verdict,
        reason=reason,
        before=(SHIPPED.date() - timedelta(days=BEFORE_DAYS), SHIPPED.date()),
        after=(SHIPPED.date() + timedelta(days=1), SHIPPED.date() + timedelta(days=1 + AFTER_DAYS)),
        log_effect=log(1 - saved_fraction),
        standard_error=half / 1.96,
        saved_fraction=around(saved_fraction, half),
        minimum_fraction=minimum_fraction,
        naive_fraction=saved_fraction - 0.07,
        placebo_fraction=0.02 if saved_fraction > minimum_fraction else 0.44,
        realised_fraction=around(saved_fraction / promised_fraction, half / promised_fraction),
        bill_change_usd_per_month=after - before,
        cash_usd_per_month=around(cash, abs(cash) / 4),
        capacity_gpu_hours_per_month=around(410.0, 120.0),
        is_final=True,
        spend_before=before,
        spend_after=after,
        bars=(
            Bar(name="Volume", amount=volume),
            Bar(name="Price", amount=price),
            Bar(name="The change", amount=change),
            Bar(name="Everything else", amount=rest),
        ),
        checks=(
            Check(
                name="Before and after, at equal load",
                saved_fraction=around(saved_fraction - 0.012, 0.05),
                note="regression on load and hour of week",
            ),
            Check(
                name="Synthetic control",
                saved_fraction=around(saved_fraction + 0.004, 0.045),
                note="three pools, weighted",
            ),
            Check(
                name="Replicas apart",
                saved_fraction=Undefined(reason="every replica was changed at once"),
                note="",
            ),
        ),
        guards=(
            GuardResult(
                guard=GUARDS[0],
                before=0.84,
                after=0.81,
                change_fraction=around(-0.036, 0.03),
                is_broken=False,
            ),
            GuardResult(
                guard=GUARDS[1],
                before=0.031,
                after=0.033,
                change_fraction=around(0.062, 0.025),
                is_broken=False,
            ),
        ),
        distributions=(
            Distribution(
                measure="ttft_s",
                before={0.5: 0.31, 0.9: 0.66, 0.95: 0.84, 0.99: 1.52},
                after={0.5: 0.29, 0.9: 0.63, 0.95: 0.81, 0.99: 1.61},
            ),
            Distribution(
                measure="tpot_s",
                before={0.5: 0.021, 0.9: 0.027, 0.95: 0.031, 0.99: 0.044},
                after={0.5: 0.022, 0.9: 0.029, 0.95: 0.033, 0.99: 0.046},
            ),
            Distribution(
                measure="failed_fraction",
                before={0.5: 0.001, 0.9: 0.003, 0.95: 0.004, 0.99: 0.011},
                after={0.5: 0.001, 0.9: 0.003, 0.95: 0.005, 0.99: 0.010},
            ),
        ),
        days=days(saved_fraction),
        notes=("Two days with an outage were left out.",),
        data_digest="9c41d2b07f",
    )
    return replace(made, **more)


def too_early(entry_id: str) -> Verification:
    """Shipped four days ago: nothing is known yet."""
    return Verification(
        entry_id=entry_id,
        verdict=Verdict.CANNOT_TELL,
        reason="4 of 28 days after the change were measured: what it saves cannot be told yet.",
        remedy="Look again on 15 Dec 2026.",
        is_final=False,
        **dict.fromkeys(
            (
                "saved_fraction", "minimum_fraction", "naive_fraction", "placebo_fraction", "realised_fraction",
                "bill_change_usd_per_month", "cash_usd_per_month", "capacity_gpu_hours_per_month", "spend_before",
                "spend_after",
            ),
            HELD,
        ),
    )  # fmt: skip


def days(saved_fraction: float) -> tuple[DayPoint, ...]:
    """A cost of a unit that goes up and down with the week, and falls by `saved_fraction` with the change."""
    start = SHIPPED.date() - timedelta(days=BEFORE_DAYS)
    points = []
    for n in range(BEFORE_DAYS + 1 + AFTER_DAYS):
        on = start + timedelta(days=n)
        without = 1.18 + 0.05 * sin(n * 0.897) + (0.09 if on.weekday() >= 5 else 0.0) + 0.012 * sin(n * 5.3)
        is_after = on > SHIPPED.date()
        points.append(
            DayPoint(
                on=on,
                usd_per_mtok=without * (1 - saved_fraction) + 0.01 * sin(n * 3.1) if is_after else without,
                without_usd_per_mtok=without - 0.008 * sin(n * 2.2) if is_after else None,
                is_after=is_after,
            )
        )
    return tuple(points)


VERIFIED, PROBABLE, PARTIAL, SHIPPED_NOW = (
    "fp8-weights-0a1b2c",
    "prefix-cache-1b2c3d",
    "night-scaling-2c3d4e",
    "kv-offload-3d4e5f",
)
NOT_SHOWN, ROSE, CANNOT_TELL = "long-prefill-4e5f60", "speculation-5f6071", "cascade-607182"
PLANNED, IDEA, REJECTED = "output-limits-718293", "mig-packing-8293a4", "int4-weights-93a4b5"


def entries() -> tuple[Entry, ...]:
    return (
        entry(IDEA, "Pack three small models on one GPU", State.IDEA, owner="Ivo", evidence=""),
        entry(
            PLANNED,
            "Shorter answers for Support",
            State.PLANNED,
            plan(0.09, 5_200.0, minimum_fraction=0.12, work=Work.REQUESTS),
        ),
        entry(
            VERIFIED,
            "FP8 weights for Support copilot",
            State.VERIFIED,
            plan(),
            signed=signed(Verdict.VERIFIED, 0.162, 9_127.21),
        ),
        entry(
            PARTIAL,
            "Scale Search answers to zero at night",
            State.PARTIAL,
            plan(0.24, 7_400.0, pool_keys=("search-answers",), control_keys=("code-assist",), outcome=Outcome.COST),
            owner="Mei",
            signed=signed(Verdict.PARTIAL, 0.11, 3_310.40, is_final=False),
        ),
        entry(
            PROBABLE,
            "Longer prefix cache for Code assist",
            State.PARTIAL,
            plan(0.12, 3_900.0, pool_keys=("code-assist",), control_keys=(), design=Design.BEFORE_AFTER),
            owner="Ben",
            signed=signed(Verdict.PROBABLE, 0.104, 3_020.00),
        ),
        entry(
            SHIPPED_NOW,
            "KV offload for Doc extraction",
            State.SHIPPED,
            plan(0.07, 2_100.0, pool_keys=("doc-extraction",), control_keys=()),
            shipped_at=NOW - timedelta(days=4),
        ),
        entry(
            CANNOT_TELL,
            "Cascade before Code assist",
            State.SHIPPED,
            plan(0.05, 1_800.0, work=Work.OUTSIDE),
            owner="Ivo",
        ),
        entry(
            NOT_SHOWN,
            "Chunked prefill of 8k tokens",
            State.NOT_SHOWN,
            plan(0.10, 2_900.0),
            signed=signed(Verdict.NOT_SHOWN, 0.012, 310.0),
        ),
        entry(
            ROSE,
            "Speculation on Search answers",
            State.REVERSED,
            plan(0.15, 6_100.0, lever_keys=("speculative_decoding",)),
            owner="Mei",
            signed=signed(Verdict.ROSE, -0.08, -2_450.0),
            ended_at=SHIPPED + timedelta(days=35),
        ),
        entry(
            REJECTED,
            "INT4 weights for Support copilot",
            State.REJECTED,
            plan(0.31, 17_900.0),
            evidence="javascript:alert(1)",
        ),
    )


def verifications() -> Mapping[str, Verification]:
    made = (
        verification(
            VERIFIED,
            Verdict.VERIFIED,
            "The cost of a unit fell, and that of search-answers, which nobody touched, did not.",
        ),
        verification(
            PARTIAL,
            Verdict.PARTIAL,
            "It saved, but less than half of what was promised.",
            0.11,
            0.24,
            is_final=False,
        ),
        verification(
            PROBABLE,
            Verdict.PROBABLE,
            "It saved, with nothing untouched to compare with.",
            0.104,
            0.12,
            remedy="Give a deployment that is not changed as control, or ship it by turns.",
        ),
        too_early(SHIPPED_NOW),
        verification(
            CANNOT_TELL,
            Verdict.CANNOT_TELL,
            "The smallest saving that can be seen is 9.4%, more than the 5.0% that was promised.",
            0.021,
            0.05,
            0.094,
            0.066,
            remedy="Measure eight weeks after it, or change half of the replicas.",
        ),
        verification(
            NOT_SHOWN,
            Verdict.NOT_SHOWN,
            "What was promised would have been seen, and was not.",
            0.012,
            0.10,
        ),
        verification(ROSE, Verdict.ROSE, "A unit of work costs more than before.", -0.08, 0.15),
    )
    return {one.entry_id: one for one in made}


def months() -> tuple[CashMonth, ...]:
    rows = (
        ("2026-08", "2100.00", "1810.20", "0.00", True),
        ("2026-09", "8300.00", "6120.75", "1200.00", True),
        ("2026-10", "21840.00", "12437.61", "3020.00", True),
        ("2026-11", "16020.00", "9210.40", "2114.00", False),
    )
    return tuple(
        CashMonth(month=month, claimed=Decimal(a), verified=Decimal(b), probable=Decimal(c), is_final=is_final)
        for month, a, b, c, is_final in rows
    )


def full() -> Savings:
    """Every state there is."""
    return Savings(
        entries=entries(),
        verifications=verifications(),
        months=months(),
        erosions={
            VERIFIED: Erosion(
                entry_id=VERIFIED,
                windows=(
                    (date(2026, 10, 6), around(0.162, 0.039)),
                    (date(2026, 11, 3), around(0.149, 0.051)),
                    (date(2026, 12, 1), Undefined(reason="not over yet")),
                ),
                is_eroded=False,
                sentence="It still saves 14.9%, which is no less than what was signed but for chance.",
            )
        },
        overlaps=(
            Overlap(
                entry_ids=(VERIFIED, NOT_SHOWN),
                joint_fraction=around(0.168, 0.04),
                counted_ratio=0.965,
                sentence="Both are on support-copilot at the same time; together they save 16.8%.",
            ),
        ),
        learnt={
            "weight_precision": Learnt(lever_key="weight_precision", mean_ratio=0.86, sd_ratio=0.14, changes_count=3),
            "prefix_caching": Learnt(lever_key="prefix_caching", mean_ratio=0.93, sd_ratio=0.22, changes_count=1),
        },
        head=HEAD,
        lines_count=31,
        is_sample=True,
    )


def broken() -> Savings:
    """Somebody edited the line in which the first change was signed."""
    return replace(
        full(),
        broken=(f"line 14 ({VERIFIED}) was changed after it was written",),
        broken_entries=frozenset({VERIFIED}),
        problems=("savings.jsonl line 20 is not read: it is no object of JSON.",),
    )


def empty() -> Savings:
    return Savings(entries=(), verifications={})


def hostile(names: tuple[str, ...]) -> Savings:
    """Names that try to be markup, wherever somebody outside may write."""
    made = full()
    count = len(names)

    def one(n: int, of: Entry) -> Entry:
        bad = names[n % count]
        return replace(
            of,
            title=bad,
            owner=bad,
            evidence=bad,
            plan=of.plan
            and replace(
                of.plan,
                pool_keys=names,
                control_keys=names,
                link=bad,
                lever_keys=(bad,),
            ),
            said=tuple(Said(at=NOW, by=name, text=name) for name in names),
        )

    bad = names[0]
    return replace(
        made,
        entries=tuple(one(n, of) for n, of in enumerate(made.entries)),
        verifications={
            key: replace(
                of,
                reason=bad,
                remedy=bad,
                notes=names,
                data_digest=bad,
                checks=tuple(
                    replace(check, name=name, note=name) for check, name in zip(of.checks, names, strict=False)
                ),
                bars=tuple(replace(bar, name=name) for bar, name in zip(of.bars, names, strict=False)),
            )
            for key, of in made.verifications.items()
        },
        erosions={VERIFIED: replace(made.erosions[VERIFIED], sentence=bad)},
        overlaps=tuple(replace(of, sentence=bad) for of in made.overlaps),
        broken=names,
        problems=names,
        currency="USD",
    )


CASES = {"full": full, "broken": broken, "empty": empty}
