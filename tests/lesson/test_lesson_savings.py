"""The lesson's last rule: track tokens per dollar, and verify that each change moves it."""

from dataclasses import replace
from math import log

from benchmarks._planted_savings import World, measured, shipped
from costlib.estimate import Estimate
from costlib.realisation import learnt
from costlib.saving import Design, Signed, Verdict
from costlib.verification import verify

SAVED = 0.15


def test_s93_each_change_is_verified_by_the_cost_of_a_unit_of_work() -> None:
    entry = shipped(World(), Design.DIFFERENCE, promised=SAVED)
    real = verify(entry, measured(World(log_effect=log(1 - SAVED)), 1))
    none = verify(entry, measured(World(quiet_log_load=-0.25), 1))
    assert real.verdict is Verdict.VERIFIED
    assert none.verdict is Verdict.NOT_SHOWN
    assert isinstance(none.naive_fraction, float)
    assert none.naive_fraction > 0.1, "the bill of a quiet month looks like a saving"


def test_s126_what_a_change_came_to_makes_the_next_promise_of_its_lever() -> None:
    entry = shipped(World(), Design.DIFFERENCE, promised=2 * SAVED)
    found = verify(entry, measured(World(log_effect=log(1 - SAVED)), 1))
    assert found.log_effect is not None and found.standard_error is not None and entry.shipped_at is not None
    assert isinstance(found.saved_fraction, Estimate) and isinstance(found.cash_usd_per_month, Estimate)
    signed = Signed(
        at=entry.shipped_at, by="finance", verdict=found.verdict, log_effect=found.log_effect,
        standard_error=found.standard_error, saved_fraction=found.saved_fraction,
        cash_usd_per_month=found.cash_usd_per_month, is_final=True, data_digest="", snapshot_id="",
    )  # fmt: skip
    known = learnt([replace(entry, signed=signed)])["prefix_caching"]
    assert 0.5 < known.mean_ratio < 1, "half of the promise was kept: the next one is worth less"
