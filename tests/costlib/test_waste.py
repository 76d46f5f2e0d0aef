"""Waste: each kind zero when its counter is, unknown when it is missing, and no dollar in two of them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, Line, ServerUse, TrialBalance
from costlib.estimate import Basis, Undefined
from costlib.waste import LABELS, WasteKind, waste

K = WasteKind
SERVED = ServerUse(
    target_key="t", deployment_key="chat", model_key="m", observed_s=3600.0, busy_s=1800.0, generation_tokens=900,
    requests_count=100, requests_stop_count=100, requests_length_count=0, requests_abort_count=0,
    requests_error_count=0, preemptions_count=0, draft_tokens=0, accepted_tokens=0,
)  # fmt: skip


def line(bucket, amount, deployment="chat", model="m", **said):
    return Line(bucket=bucket, amount=Decimal(amount), deployment_key=deployment, model_key=model, **said)


WORK = (line(Bucket.INPUT, 30), line(Bucket.CACHED_INPUT, 10), line(Bucket.OUTPUT, 60))


def balance(*lines):
    total = exact_sum(one.amount for one in lines)
    return TrialBalance(
        month="2026-10", currency="USD", basis=CostBasis.BILLED, total=total, lines=lines, residual=Decimal(0)
    )


def amounts(found):
    return {line.kind: line.amount for line in found.lines if isinstance(line.amount, Decimal) and line.amount}


def of(found, kind):
    return next(line for line in found.lines if line.kind is kind)


def test_a_fleet_that_wastes_nothing_says_so_line_by_line():
    found = waste(balance(*WORK), [SERVED])
    assert {line.kind: line.amount for line in found.lines} == dict.fromkeys(K, Decimal(0))
    assert found.useful == found.total == 100
    assert set(LABELS) == set(K)


def test_what_the_balance_has_a_bucket_for_is_that_bucket():
    lines = (
        line(Bucket.WARM_IDLE, 7, model=""), line(Bucket.START_AND_DRAIN, 2, model="", basis=Basis.ASSUMED),
        line(Bucket.UNALLOCATED_GPU, 5, "", ""), line(Bucket.COMMITMENT_WASTE, 3, "", ""),
    )  # fmt: skip
    found = waste(balance(*WORK, *lines), [SERVED])
    assert amounts(found) == {K.WARM_IDLE: 7, K.START_AND_DRAIN: 2, K.UNALLOCATED: 5, K.COMMITMENT_WASTE: 3}
    assert of(found, K.START_AND_DRAIN).basis is Basis.ASSUMED
    assert "trial balance" in of(found, K.WARM_IDLE).evidence
    assert found.useful == 100
    assert found.by_deployment[K.UNALLOCATED] == {"": 5}


@pytest.mark.parametrize(
    ("counter", "kind", "amount"),
    [
        pytest.param("requests_error_count", K.FAILED_REQUESTS, 10, id="a tenth of all work"),
        pytest.param("requests_abort_count", K.ABORTED_REQUESTS, 10, id="aborted"),
        pytest.param("requests_length_count", K.OVER_LONG_OUTPUT, 6, id="a tenth of output only"),
    ],
)
def test_requests_that_end_badly_take_their_part_of_the_tokens(counter, kind, amount):
    found = waste(balance(*WORK), [replace(SERVED, requests_stop_count=90, **{counter: 10})])
    assert amounts(found) == {kind: amount}
    assert of(found, kind).basis is Basis.ASSUMED
    assert "chat: 10 of 100 requests" in of(found, kind).evidence
    assert found.useful == 100 - amount


def test_preempted_and_drafted_work_is_what_the_split_says():
    served = replace(SERVED, preemptions_count=4, draft_tokens=50, accepted_tokens=20)
    lines = (line(Bucket.PREEMPTION, 4, basis=Basis.CALIBRATED), line(Bucket.REJECTED_DRAFT, 5))
    found = waste(balance(*WORK, *lines), [served])
    assert amounts(found) == {K.PREEMPTION: 4, K.REJECTED_DRAFT: 5}
    assert of(found, K.PREEMPTION).basis is Basis.CALIBRATED
    assert of(found, K.REJECTED_DRAFT).evidence == "chat: 30 of 50 drafted tokens"


def test_drafts_without_a_bucket_are_priced_as_output_and_cut_out_of_it():
    """100 rejected beside 900 generated: a tenth of $60. Half of the rest was for requests that failed."""
    served = replace(SERVED, draft_tokens=100, accepted_tokens=0, requests_stop_count=50, requests_error_count=50)
    found = waste(balance(*WORK), [served])
    assert amounts(found) == {K.REJECTED_DRAFT: 6, K.FAILED_REQUESTS: 47}
    assert of(found, K.REJECTED_DRAFT).basis is Basis.ASSUMED
    assert found.useful == 47


@pytest.mark.parametrize(
    ("counter", "kind"),
    [
        ("requests_error_count", K.FAILED_REQUESTS),
        ("requests_abort_count", K.ABORTED_REQUESTS),
        ("requests_length_count", K.OVER_LONG_OUTPUT),
        ("preemptions_count", K.PREEMPTION),
        ("draft_tokens", K.REJECTED_DRAFT),
    ],
)
def test_a_counter_that_is_not_exported_is_unknown_and_not_zero(counter, kind):
    found = waste(balance(*WORK), [replace(SERVED, **{counter: None})])
    assert isinstance(of(found, kind).amount, Undefined)
    assert of(found, kind).basis is Basis.UNDEFINED
    assert all(line.amount == 0 for line in found.lines if line.kind is not kind)


def test_what_some_deployments_do_not_tell_is_said_beside_what_the_others_had():
    silent = replace(SERVED, target_key="u", deployment_key="search", requests_error_count=None)
    failing = replace(SERVED, requests_stop_count=90, requests_error_count=10)
    found = of(waste(balance(*WORK, line(Bucket.OUTPUT, 9, "search")), [failing, silent]), K.FAILED_REQUESTS)
    assert found.amount == 10
    assert "not told by search: how requests finish is not exported" in found.evidence


def test_idle_is_unknown_where_no_server_was_measured():
    found = waste(balance(line(Bucket.UNMEASURED, 100, model="")), [])
    assert isinstance(of(found, K.WARM_IDLE).amount, Undefined)
    assert of(found, K.UNALLOCATED).amount == 0, "the bill always tells"
    assert found.useful == 100


def test_work_that_no_method_splits_has_no_price_to_waste():
    failing = replace(SERVED, requests_error_count=10, preemptions_count=1, draft_tokens=9)
    found = waste(balance(line(Bucket.UNMEASURED, 100, model="")), [failing])
    for kind in (K.FAILED_REQUESTS, K.PREEMPTION, K.REJECTED_DRAFT):
        assert isinstance(of(found, kind).amount, Undefined)


counts = st.none() | st.integers(0, 10**9)
money = st.decimals(0, 10**9, places=18)


@given(
    st.lists(st.tuples(st.sampled_from(list(Bucket)), money, st.sampled_from(["", "chat", "docs"])), max_size=12),
    st.lists(
        st.builds(
            replace, st.just(SERVED), deployment_key=st.sampled_from(["chat", "docs"]), requests_error_count=counts,
            requests_abort_count=counts, requests_length_count=counts, requests_stop_count=counts,
            requests_count=counts, draft_tokens=counts, accepted_tokens=counts, preemptions_count=counts,
            generation_tokens=counts,
        ),
        max_size=4,
    ),
)  # fmt: skip
def test_waste_and_the_rest_are_the_bill(lines, servers):
    found = waste(balance(*(line(bucket, amount, owner) for bucket, amount, owner in lines)), servers)
    assert found.useful + found.known == found.total
    assert found.useful >= -len(lines) * Decimal("1e-17"), "nothing is wasted twice"
    assert all(not isinstance(line.amount, Decimal) or line.amount >= 0 for line in found.lines)
    shown = found.in_cents()
    assert shown.useful + shown.known == shown.total == found.total.quantize(Decimal("0.01"))
