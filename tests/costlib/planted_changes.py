"""Changes to simulated fleets that scale by whole replicas over a floor, and their verdicts."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from math import log

import numpy as np

from benchmarks._planted_savings import World, measured, shipped
from costlib.saving import Design, Entry, Verification
from costlib.units import HOURS_PER_DAY
from costlib.verifiable import Measured
from costlib.verification import verify

SAVED = 0.12
SAVING, NOTHING, QUIET, DEARER = (
    World(log_effect=log(1 - SAVED)),
    World(),
    World(quiet_log_load=-0.25),
    World(log_effect=0.12),
)
CHANGE = SAVING.window.after[0]


def moment(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


@cache
def measured_once(world: World, seed: int = 1) -> Measured:
    return measured(world, seed)


def entry_of(world: World, design: Design = Design.DIFFERENCE, promised: float = 0.1, **plan: object) -> Entry:
    made = shipped(world, design, promised)
    assert made.plan is not None
    return replace(made, plan=replace(made.plan, **plan))


def verified(world: World, design: Design = Design.DIFFERENCE, promised: float = 0.1, seed: int = 1) -> Verification:
    return verify(entry_of(world, design, promised), measured_once(world, seed))


def hours_after(found: Measured) -> np.ndarray:
    return np.arange(len(found.pool.gpu_hours)) >= SAVING.before_days * HOURS_PER_DAY


def amount(found: Verification, name: str) -> Decimal:
    return next(bar.amount for bar in found.bars if bar.name == name)
