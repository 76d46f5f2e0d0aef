"""Hysteresis: whatever a figure does, a rule fires and clears in turn, and each only beyond its own limit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.alerts import MOST_EVENTS, AlertState, EventKind, Rule, Signal, Watched, Way, judged, signals_of
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.review import Anomaly, Outlook, OutlookLine

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RULE = Rule(on=Watched.IDLE_SHARE, above_ratio=0.5, clear_below_ratio=0.3, to=(Way.PAGE,))


def after(values, rule=RULE) -> AlertState:
    state = AlertState()
    for n, value in enumerate(values):
        signal = Signal(on=Watched.IDLE_SHARE, scope="chat", value_ratio=value)
        state = judged([rule], [signal], state, NOW + timedelta(hours=n))
    return state


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=60))
def test_fired_and_cleared_take_turns_beyond_their_limits(values):
    state = after(values)
    kinds = [event.kind for event in state.events]
    assert kinds == [EventKind.CLEARED if n % 2 else EventKind.FIRED for n in range(len(kinds))]
    assert all(
        event.value_ratio > 0.5 if event.kind is EventKind.FIRED else event.value_ratio < 0.3 for event in state.events
    )
    assert bool(state.firing) == (len(kinds) % 2 == 1)
    assert len({event.id for event in state.events}) == len(kinds)


def test_at_the_limit_nothing_happens():
    assert not after([0.5, 0.5]).events
    assert len(after([0.6, 0.3, 0.3]).events) == 1


def test_a_changed_limit_does_not_fire_again_what_is_firing():
    state = after([0.6])
    stricter = Rule(on=Watched.IDLE_SHARE, above_ratio=0.4, clear_below_ratio=0.2, to=(Way.PAGE,))
    again = judged([stricter], [Signal(on=Watched.IDLE_SHARE, scope="chat", value_ratio=0.6)], state, NOW)
    assert len(again.events) == 1


def test_what_is_remembered_is_bounded_and_what_still_waits_is_kept():
    state = after([0.6, 0.1] * MOST_EVENTS)
    assert len(state.events) <= 2 * MOST_EVENTS


def test_pages_show_the_newest_first():
    assert [event.kind for event in after([0.6, 0.1]).on_page] == [EventKind.CLEARED, EventKind.FIRED]


@pytest.mark.parametrize(
    "values",
    [
        {"above_ratio": float("nan")},
        {"clear_below_ratio": 0.6},
        {"to": ()},
        {"to": (Way.WEBHOOK,)},
        {"url_variable": "HOOK"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(values):
    with pytest.raises(DomainError):
        Rule(**{"on": Watched.IDLE_SHARE, "above_ratio": 0.5, "clear_below_ratio": 0.3, "to": (Way.PAGE,), **values})


def test_an_outlook_and_its_anomalies_as_signals():
    lines = (
        OutlookLine(name="chat", budget=Decimal(200), actual=Decimal(150), breach_probability=0.9),
        OutlookLine(name="new", budget=Decimal(100), breach_probability=Undefined(reason="too few days")),
        OutlookLine(name="no budget", actual=Decimal(5)),
    )
    day = date(2026, 11, 20)
    anomalies = [
        Anomaly(on=day, measure="cost", scope="chat", impact=Decimal(amount), sentence=f"{amount} more")
        for amount in (30, 70, -10)
    ]
    found = signals_of(
        Outlook(month="2026-11", lines=lines), [*anomalies, Anomaly(on=day, measure="tokens", scope="x")]
    )
    assert [(one.on, one.scope, one.value_ratio) for one in found] == [
        (Watched.BREACH_PROBABILITY, "chat", 0.9),
        (Watched.SPEND_TO_BUDGET, "chat", 0.75),
        (Watched.BREACH_PROBABILITY, "new", None),
        (Watched.SPEND_TO_BUDGET, "new", 0.0),
        (Watched.ANOMALY, "chat", 70.0),
    ]
    assert found[-1].text == "70 more"
    assert signals_of(None, []) == ()
