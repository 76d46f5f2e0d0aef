"""The savings ledger as text for a terminal."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from costlib.detected import Detected, Kind
from costlib.estimate import Undefined
from costlib.saving import Advice
from costlib.savings_text import board_text, detected_text, promise_text, turns_text, verification_text
from costlib.switchback import schedule
from tests import savings_builders as made

HOSTILE = ("<img src=x>", "\x1b[2Jgone", "a\nVERIFIED: 99 %", "\u202edecrob", "[red]x[/red]")
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def shown(key: str, **more: object) -> str:
    of = made.full()
    entry = next(one for one in of.entries if one.id == key)
    return verification_text(entry, replace(of.verifications[key], **more), "USD")


def test_the_board_has_each_change_with_promise_measurement_verdict_and_cash() -> None:
    text = board_text(made.full())
    assert re.search(
        r"fp8-weights-0a1b2c +verified +18\.0% +16\.2% \(12\.2% to 20\.2%\) +verified +9,127\.21\n"
        r"  FP8 weights for Support copilot, Ada, signed by Dana on 2026-11-09",
        text,
    )
    assert re.search(r"cascade-607182 +shipped .* cannot tell", text)
    assert re.search(r"speculation-5f6071 +taken back .* cost rose +-2,450\.00", text)
    assert re.search(r"mig-packing-8293a4 +idea +- +- +- +-\n", text)


def test_money_of_a_month_stands_in_three_columns_that_nobody_adds() -> None:
    text = board_text(made.full())
    assert "the three are never added" in text
    assert re.search(r"2026-10 +21,840\.00 +12,437\.61 +3,020\.00  final", text)
    assert re.search(r"2026-11 +16,020\.00 +9,210\.40 +2,114\.00  open", text)
    assert f"{Decimal('12437.61') + Decimal('3020'):,.2f}" not in text


def test_overlaps_erosion_what_was_learnt_and_the_head_of_the_chain_are_told() -> None:
    text = board_text(made.full())
    assert "overlap: Both are on support-copilot at the same time" in text
    assert f"later, {made.VERIFIED}: It still saves 14.9%" in text
    assert "learnt of weight_precision: 0.86 of its promise, give or take 0.14, from 3 changes" in text
    assert f"ledger: 31 lines, head {made.HEAD}" in text


def test_a_broken_ledger_says_so_first_and_nothing_of_what_it_touches_is_told() -> None:
    first, *lines = board_text(made.broken()).splitlines()
    assert first == "THE LEDGER IS BROKEN: 1 change not counted"
    assert "was changed after it was written" in lines[0]
    (row,) = [line for line in lines if line.startswith(made.VERIFIED)]
    assert row.split()[-3:] == ["-", "broken", "-"]


def test_an_empty_ledger_says_how_it_begins() -> None:
    assert "permillion savings note" in board_text(made.empty())


def test_a_verdict_stands_with_its_reason_and_what_was_promised_beside_what_was_measured() -> None:
    text = shown(made.VERIFIED)
    assert "VERIFIED: The cost of a unit fell" in text
    for line in (
        "measured                         16.2% (12.3% to 20.1%), measured",
        "promised                         18.0% (12.0% to 24.0%), assumed",
        "smallest saving that is visible  6.1%",
        "naive, bills before and after    9.2%",
        "other dates with as much effect  2.0%",
    ):
        assert line in text
    assert "2026-08-10 to 2026-10-04 beside 2026-10-06 to 2026-11-02" in text, "whole days, the last one included"


def test_bill_cash_and_capacity_are_lines_of_their_own_and_the_steps_add_up() -> None:
    text = shown(made.VERIFIED)
    assert re.search(r"bill change +-4,543\.23 USD\n", text)
    assert re.search(r"cash not paid any more +9,127\.21 USD \(", text)
    assert re.search(r"capacity freed, still paid +410 GPU-hours \(290 to 530\)", text)
    amounts = [Decimal(found.replace(",", "")) for found in re.findall(
        r"^  (?:before|Volume|Price|The change|Everything else|after) +([-+\d,.]+)$", text, re.M)]  # fmt: skip
    assert len(amounts) == 6
    assert sum(amounts[:-1]) == amounts[-1]


def test_guards_checks_notes_and_the_signature_are_told() -> None:
    text = shown(made.VERIFIED)
    assert "TTFT, p95                   kept: 0.84 before, 0.81 after; changed -3.6%" in text
    assert re.search(r"Replicas apart +not known: every replica was changed at once", text)
    assert "note: Two days with an outage were left out." in text
    assert "signed by Dana on 2026-11-09: verified, 16.2%" in text
    guard = made.full().verifications[made.VERIFIED].guards[0]
    assert "BROKEN" in shown(made.VERIFIED, guards=(replace(guard, is_broken=True),))
    assert "cannot tell: not known before" in shown(
        made.VERIFIED, guards=(replace(guard, is_broken=None, before=Undefined(reason="no requests")),)
    )


def test_what_cannot_be_told_has_a_remedy_and_no_figures() -> None:
    text = shown(made.SHIPPED_NOW)
    assert "CANNOT TELL: 4 of 28 days" in text
    assert "what would settle it: Look again on 15 Dec 2026." in text
    assert "measured  not known" in text
    assert "0.0%" not in text, "a missing figure is never zero"


def test_bills_that_are_missing_take_nothing_but_the_money() -> None:
    none = Undefined(reason="12 days are not billed yet")
    text = shown(made.VERIFIED, spend_before=none, spend_after=none, bill_change_usd_per_month=none)
    assert re.search(r"bill change +not known: 12 days are not billed yet", text)
    assert "From the spend" not in text
    assert "16.2%" in text


def test_no_name_draws_on_the_terminal_or_begins_a_line() -> None:
    of = made.hostile(HOSTILE)
    entry = next(one for one in of.entries if one.id == made.VERIFIED)
    plan = entry.plan
    assert plan is not None
    seen = Detected(deployment_key=HOSTILE[1], at=made.NOW, kind=Kind.SETTING, sentence=HOSTILE[2])
    told = [
        board_text(of),
        verification_text(entry, of.verifications[made.VERIFIED], HOSTILE[1]),
        promise_text(plan, Advice(minimum_fraction=0.1, sentence=HOSTILE[2], advice=HOSTILE), HOSTILE[1]),
        detected_text([seen]),
    ]
    assert not any(CONTROLS.search(text) for text in told)
    assert not any(line.startswith("VERIFIED: 99") for text in told for line in text.splitlines())


def test_a_plan_is_told_with_what_it_could_show() -> None:
    advice = Advice(minimum_fraction=0.06, sentence="It sees a saving from 6.0% on.", advice=("Seven days: 9 %.",))
    text = promise_text(made.plan(), advice, "USD")
    assert "promised for the same work: 18.0% (12.0% to 24.0%), assumed" in text
    assert "on support-copilot, beside search-answers" in text
    assert "guarded: TTFT, p95, +10% at most" in text
    assert text.endswith("It sees a saving from 6.0% on.\n  Seven days: 9 %.")


def test_turns_are_lines_with_on_and_off() -> None:
    lines = turns_text(schedule(datetime(2026, 11, 2, tzinfo=UTC), 2, 12, seed=3)).splitlines()
    assert lines[0] == "Mon 2026-11-02 00:00 to 12:00 UTC  on"
    assert [line.split()[-1] for line in lines] == ["on", "off", "off", "on"]
