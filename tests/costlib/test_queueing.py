"""Waiting for prompts, for slots and for the longest answer: known answers, and what has none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import DomainError
from costlib.queueing import (
    closed_loop_response_s,
    erlang_c_fraction,
    open_loop_response_s,
    padding_fraction,
    static_slot_use_fraction,
    ttft_s,
)
from tests.costlib.scenario_builders import IDEAL


@pytest.mark.parametrize(
    ("clients", "seconds"),
    [
        pytest.param(1, 1.0, id="one client: its own prefill"),
        pytest.param(2, (85**0.5 - 7) / 2, id="two: R^2 + 7 R - 9 = 0"),
    ],
)
def test_clients_wait_for_each_others_prompts(clients, seconds):
    """Prefill 1 s, decode 9 s: R = 1 + (B - 1) R / (R + 9)."""
    found = float(closed_loop_response_s(IDEAL, 1.0, 9.0, clients))
    assert found == pytest.approx(1 + (clients - 1) * found / (found + 9))
    assert found == pytest.approx(seconds)


def test_clients_that_start_together_wait_for_half_of_all():
    burst = replace(IDEAL, burst_ratio=1.0)
    alone, steady = (float(closed_loop_response_s(constants, 1.0, 1e9, 9)) for constants in (burst, IDEAL))
    assert alone == pytest.approx(0.5 * steady + 0.5 * 5.0)


@pytest.mark.parametrize("load", [1.0, 1.5, -0.1, float("nan")])
def test_a_queue_at_full_load_has_no_steady_state(load):
    """X11: no number where there is none."""
    with pytest.raises(DomainError, match="unstable: prompts arrive faster than they are computed"):
        open_loop_response_s(1.0, load)


def test_waiting_rises_with_load():
    loads = np.linspace(0, 0.99, 50)
    assert np.all(np.diff(open_loop_response_s(1.0, loads)) > 0)


def test_the_first_token_adds_up():
    constants = replace(IDEAL, front_s=0.02, waited_steps_ratio=2.0, buffered_tokens=3.0)
    assert ttft_s(constants, 0.5, 0.01, 0.012, slot_wait_s=1.0) == pytest.approx(0.02 + 1.0 + 0.5 + 0.02 + 0.036)


def test_erlang_c():
    """Domain_math §14, vector 15: 8 offered to 10; the mean wait is 0.20459 service times."""
    waits = erlang_c_fraction(8.0, 10)
    assert waits == pytest.approx(0.40918, rel=1e-4)
    assert waits / (10 - 8) == pytest.approx(0.20459, rel=1e-4)


def test_one_server_is_busy_for_its_load():
    assert erlang_c_fraction(0.3, 1) == pytest.approx(0.3)
    assert erlang_c_fraction(0.0, 4) == 0


@given(st.integers(1, 3000), st.lists(st.floats(0.001, 0.999), min_size=2, max_size=2).map(sorted))
def test_waiting_is_a_share_and_rises_with_load_however_many_servers(servers, loads):
    less, more = (erlang_c_fraction(load * servers, servers) for load in loads)
    assert 0 <= less <= more + 1e-12
    assert more <= 1


@pytest.mark.parametrize("offered", [10.0, 11.0, -1.0, float("nan"), float("inf")])
def test_a_full_house_has_no_erlang_value(offered):
    """X11 and X05."""
    with pytest.raises(DomainError, match="on 10 servers is unstable: it must be from 0 to below 10"):
        erlang_c_fraction(offered, 10)


@pytest.mark.parametrize(("batch", "use"), [(1, 1.0), (8, 0.36794), (32, 0.24640)])
def test_slots_at_work_in_a_static_batch(batch, use):
    """Domain_math §14, vector 12."""
    assert static_slot_use_fraction(batch) == pytest.approx(use, rel=1e-4)


def test_slots_at_work_as_a_simulation_has_it():
    lengths = np.random.default_rng(7).exponential(200.0, (40_000, 8))
    assert static_slot_use_fraction(8) == pytest.approx(lengths.mean() / lengths.max(axis=1).mean(), rel=0.01)


def test_padding_to_the_longest_prompt():
    """Domain_math §14, vector 13."""
    assert padding_fraction([50, 150, 200, 500]) == pytest.approx(0.55)
    assert padding_fraction([300, 300]) == 0


@pytest.mark.parametrize("bad", [[], [0, 0], [-1, 5], [float("nan"), 5], [float("inf"), 5]])
def test_lengths_that_cannot_be_are_refused(bad):
    with pytest.raises(DomainError, match="tokens must be the prompt lengths"):
        padding_fraction(bad)


@pytest.mark.parametrize("bad", [0, -3, float("nan")])
def test_no_batch_is_refused(bad):
    with pytest.raises(DomainError, match="batch_count must be 1 or more"):
        static_slot_use_fraction(bad)
