"""The trial balance: nothing is lost, nothing is counted twice, and every dollar says what it was for."""

import os
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costlib.balance import WORK_BUCKETS, fully_loaded, in_buckets, spread_idle, trial_balance
from costlib.billing import SMALLEST
from costlib.books import Bucket, ChargeGroup, CostBasis, IdlePolicy, ServerUse, TeamUse
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.ownership import MonthlyCost, OwnerRule, Owners
from costlib.token_split import SplitMethod, TokenSplit
from tests.costlib.scenario_builders import SHIPPED

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
HALF = TokenSplit(
    method=SplitMethod.LIST_PRICE,
    shares={Bucket.INPUT: 0.25, Bucket.CACHED_INPUT: 0.25, Bucket.OUTPUT: 0.5},
    basis=Basis.ASSUMED,
    quality="by the price list",
)


def charge(**said):
    return ChargeGroup(**{"currency": "USD", "billed": Decimal(100), "provider": "AWS"} | said)


def gpu(gpu_hours=744, **said):
    """GPU-hours of a machine of one GPU, for the month."""
    given = {
        "service_category": "Compute",
        "sku_meter": "BoxUsage:p5.4xlarge",
        "pricing_quantity": Decimal(gpu_hours),
        "pricing_unit": "Hours",
        "tags": {"deployment": "chat"},
        "first_start": START,
        "last_end": END,
    }
    return charge(**given | said)


def use(deployment="chat", model="m", hours=744, busy_hours=372, **said):
    return ServerUse(
        **{
            "target_key": deployment,
            "deployment_key": deployment,
            "model_key": model,
            "gpus_count": 1,
            "observed_s": hours * 3600.0,
            "busy_s": busy_hours * 3600.0,
        }
        | said
    )


def balance(groups, servers=(), teams=(), owners=None, splits=None, basis=CostBasis.BILLED, currency="USD"):
    split_of = {"m": HALF, "n": HALF} if splits is None else splits
    return trial_balance(
        "2026-10", basis, currency, groups, list(servers), list(teams), owners or Owners(), SHIPPED.instances, split_of
    )


def sums(made):
    return {bucket: amount.normalize() + 0 for bucket, amount in in_buckets(made).items()}


def total_of(lines):
    with localcontext(prec=60):
        return sum((line.amount for line in lines), start=Decimal(0))


# Random bills, use and rules

KEYS = ["chat", "search", "docs"]
MODELS = ["m", "n", "unsplit"]
money = st.decimals(-(10**9), 10**12, places=18) | st.decimals(-10, 10, places=2) | st.just(Decimal(0))
words = st.sampled_from(
    ["", "BoxUsage:p5.48xlarge", "BoxUsage:m6i.large", "DataTransfer-Out-Bytes", "EBS:VolumeUsage.gp3",
     "Nvidia H100 80GB GPU running in Americas", "A3 Instance Core running in Americas", "gpu", "Support", "Tokens"]
)  # fmt: skip
charges = st.builds(
    charge,
    billed=money,
    effective=money,
    currency=st.sampled_from(["USD", "USD", "USD", "EUR"]),
    provider=st.sampled_from(["AWS", "Google", ""]),
    rows_count=st.integers(1, 1000),
    charge_category=st.sampled_from(["Usage", "Usage", "Usage", "Purchase", "Tax", "Credit", "Adjustment", "?"]),
    charge_class=st.sampled_from(["", "", "", "Correction"]),
    commitment_status=st.sampled_from(["", "", "Used", "Unused"]),
    commitment_type=st.sampled_from(["", "", "Savings Plan"]),
    service_category=st.sampled_from(["Compute", "Compute", "", "Storage", "Networking", "AI and Machine Learning"]),
    sku_meter=words,
    resource_id=st.sampled_from(["", "i-0abc", "i-0def"]),
    tags=st.dictionaries(st.sampled_from(["deployment", "team", "model"]), st.sampled_from([*KEYS, *MODELS])),
    pricing_quantity=st.none() | st.decimals(-(10**6), 10**6, places=6),
    pricing_unit=st.sampled_from(["Hours", "seconds", "100 Hours", "GPU-Hours", "Quantity", ""]),
    model=st.sampled_from(["", "", "", "gpt"]),
    token_class=st.sampled_from(["", "input", "cached_input", "output", "cache_write"]),
    first_start=st.none() | st.just(START),
    last_end=st.none() | st.just(END),
)
seconds = st.floats(0, 1e8) | st.just(0.0) | st.sampled_from([float("nan"), -1.0, float("inf"), 5e-324])
counts = st.none() | st.integers(0, 10**14)
moments = st.none() | st.integers(-2000, 2000).map(lambda hours: START + timedelta(hours=hours))
servers = st.builds(
    ServerUse,
    target_key=st.sampled_from(["t1", "t2", "t3"]),
    deployment_key=st.sampled_from(KEYS),
    model_key=st.sampled_from(MODELS),
    labels=st.dictionaries(st.sampled_from(["team", "instance"]), st.sampled_from([*KEYS, "i-0abc:8000"])),
    gpus_count=st.none() | st.integers(0, 8),
    engines_count=st.integers(1, 4),
    observed_s=seconds,
    busy_s=seconds,
    first_at=moments,
    last_at=moments,
    computed_prompt_tokens=counts,
    cached_prompt_tokens=counts,
    generation_tokens=counts,
    peak_fraction=st.none() | st.floats(0, 1),
)
tokens = st.integers(0, 10**12)
teams = st.builds(
    TeamUse,
    model_key=st.sampled_from(MODELS),
    team=st.sampled_from(["", "red", "blue", "green"]),
    input_tokens=tokens,
    cached_input_tokens=tokens,
    output_tokens=tokens,
)
shares = st.floats(0, 1) | st.sampled_from([0.0, float("nan"), -1.0])
splits = st.dictionaries(
    st.sampled_from(MODELS),
    st.builds(
        lambda shares: replace(HALF, shares=shares), st.dictionaries(st.sampled_from(WORK_BUCKETS), shares, max_size=5)
    ),
)
rules = st.builds(
    OwnerRule,
    deployment=st.sampled_from(["", *KEYS]),
    team=st.sampled_from(["", "red"]),
    resource=st.sampled_from(["", "i-*", "i-0abc"]),
    provider=st.sampled_from(["", "AWS", "*"]),
)
owners = st.builds(
    Owners,
    rules=st.lists(rules, max_size=3).map(tuple),
    reserved=st.dictionaries(st.sampled_from(KEYS), st.floats(0, 0.3)),
)
bills = st.lists(charges, max_size=10)
uses = st.lists(servers, max_size=5)
asked = st.lists(teams, max_size=5)
bases = st.sampled_from(list(CostBasis))
histories = settings(
    max_examples=int(os.environ.get("PERMILLION_BALANCES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@histories
@given(bills, uses, asked, owners, splits, bases)
def test_i01_the_lines_are_the_bill_to_the_last_digit(groups, servers, teams, owners, splits, basis):
    made = balance(groups, servers, teams, owners, splits, basis)
    with localcontext(prec=60):
        billed = sum((group.cost(basis) for group in groups if group.currency == "USD"), start=Decimal(0))
    assert made.total == total_of(made.lines) == total_of_buckets(made) == billed
    assert made.residual == 0
    for policy in IdlePolicy:
        spread = spread_idle(made, policy, owners, servers)
        assert total_of(spread) == billed
        assert in_buckets(replace(made, lines=spread)) == {
            bucket: amount for bucket, amount in in_buckets(made).items() if amount or bucket is not Bucket.WARM_IDLE
        }


def total_of_buckets(made):
    with localcontext(prec=60):
        return sum(in_buckets(made).values(), start=Decimal(0))


@given(bills, uses, asked, owners, splits, st.randoms(use_true_random=False))
def test_i02_the_order_of_rows_servers_and_teams_plays_no_part(groups, servers, teams, owners, splits, random):
    made = balance(groups, servers, teams, owners, splits)
    for rows in (groups, servers, teams):
        random.shuffle(rows)
    assert balance(groups, servers, teams, owners, splits) == made


@given(bills, uses, asked, splits, st.integers(2, 1000))
def test_i10_prices_times_c_make_every_line_times_c(groups, servers, teams, splits, times):
    # A cent more or less decides whether an adjustment is rounding.
    groups = [group for group in groups if group.charge_category != "Adjustment"]
    with localcontext(prec=60):
        dearer = [replace(group, billed=group.billed * times, effective=group.effective * times) for group in groups]
    made, scaled = (by_owner(balance(rows, servers, teams, splits=splits).lines) for rows in (groups, dearer))
    with localcontext(prec=60):
        for owner in made.keys() | scaled.keys():
            assert abs(scaled[owner] - made[owner] * times) <= 100 * times * SMALLEST, owner


def by_owner(lines):
    amounts = defaultdict(Decimal)
    with localcontext(prec=60):
        for line in lines:
            amounts[line.bucket, line.deployment_key, line.model_key, line.team, line.provider] += line.amount
    return amounts


@given(bills, uses, asked, splits)
def test_i10_c_minus_one_turns_every_line_round(groups, servers, teams, splits):
    groups = [replace(group, pricing_quantity=None) for group in groups]
    credited = [replace(group, billed=-group.billed, effective=-group.effective) for group in groups]
    made, turned = (balance(rows, servers, teams, splits=splits) for rows in (groups, credited))
    assert by_owner(turned.lines) == {owner: -amount for owner, amount in by_owner(made.lines).items()}


@given(bills, uses, asked, st.sampled_from(["bucket", "deployment_key", "model_key", "team", "provider", "basis"]))
def test_i13_a_roll_up_over_any_dimension_is_the_total(groups, servers, teams, dimension):
    made = balance(groups, servers, teams)
    rolled = defaultdict(list)
    for line in made.lines:
        rolled[getattr(line, dimension)].append(line)
    with localcontext(prec=60):
        assert sum((total_of(lines) for lines in rolled.values()), start=Decimal(0)) == made.total


@given(uses, asked)
def test_tokens_on_the_lines_are_those_that_the_servers_counted(servers, teams):
    made = balance([gpu(tags={"deployment": key}) for key in KEYS], servers, teams)
    counted = [
        (server.computed_prompt_tokens or 0) + (server.cached_prompt_tokens or 0) + (server.generation_tokens or 0)
        for server in servers
    ]
    assert sum(line.tokens or 0 for line in made.lines) == sum(counted)


# What a charge is for


@pytest.mark.parametrize(
    ("said", "bucket"),
    [
        ({"charge_category": "Tax"}, Bucket.TAX),
        ({"charge_category": "Credit"}, Bucket.CREDIT),
        ({"charge_class": "Correction", "sku_meter": "BoxUsage:p5.48xlarge"}, Bucket.CORRECTION),
        ({"charge_category": "Adjustment", "billed": Decimal("0.0031")}, Bucket.ROUNDING),
        ({"charge_category": "Adjustment", "description": "Rounding error"}, Bucket.ROUNDING),
        ({"charge_category": "Adjustment", "billed": Decimal("-12.00")}, Bucket.CORRECTION),
        ({"charge_category": "Purchase", "commitment_id": "plan-1"}, Bucket.COMMITMENT_PURCHASE),
        ({"charge_category": "Purchase", "description": "Reserved VM instance, 1 year"}, Bucket.COMMITMENT_PURCHASE),
        ({"charge_category": "Purchase", "effective": Decimal(0)}, Bucket.COMMITMENT_PURCHASE),
        ({"sku_meter": "Commitment v1: Nvidia H100 80GB GPU running in Iowa"}, Bucket.COMMITMENT_PURCHASE),
        ({"charge_category": "Purchase", "description": "Business support"}, Bucket.SUPPORT_AND_LICENCE),
        ({"commitment_status": "Unused"}, Bucket.COMMITMENT_WASTE),
        # AWS invoices use under a savings plan at the list price, and takes it back as SavingsPlanNegation.
        ({"commitment_status": "Used", "commitment_type": "Savings Plan"}, Bucket.COMMITMENT_PURCHASE),
        ({"capacity_status": "Unused", "sku_meter": "UnusedBox:p5.48xlarge"}, Bucket.COMMITMENT_WASTE),
        ({"model": "gpt", "token_class": "input"}, Bucket.INPUT),
        ({"model": "gpt", "token_class": "cache_write"}, Bucket.INPUT),
        ({"model": "gpt", "token_class": "cached_input"}, Bucket.CACHED_INPUT),
        ({"model": "gpt", "token_class": "output"}, Bucket.OUTPUT),
        ({"model": "gpt"}, Bucket.API),
        ({"service_name": "Amazon Bedrock", "sku_meter": "USE1-Claude-provisioned-hours"}, Bucket.API),
        ({"pricing_unit": "1K tokens", "service_name": "Cognitive Services"}, Bucket.API),
        ({"sku_meter": "BoxUsage:p5.48xlarge", "service_category": "Compute"}, Bucket.UNALLOCATED_GPU),
        ({"sku_meter": "BoxUsage:m6i.large", "service_category": "Compute"}, Bucket.HOST),
        ({"sku_meter": "A3 Instance Core running in Americas", "service_category": "Compute"}, Bucket.HOST),
        ({"service_category": "Networking"}, Bucket.NETWORK),
        ({"sku_meter": "USE1-DataTransfer-Out-Bytes", "service_category": "Compute"}, Bucket.NETWORK),
        ({"service_category": "Storage"}, Bucket.STORAGE),
        ({"sku_meter": "EBS:VolumeUsage.gp3", "service_category": "Compute"}, Bucket.STORAGE),
        ({"sku_meter": "SoftwareUsage:p5.48xlarge", "service_category": "Compute"}, Bucket.SUPPORT_AND_LICENCE),
        ({"service_name": "Support", "service_category": "Other"}, Bucket.SUPPORT_AND_LICENCE),
        ({"service_category": "Databases", "sku_meter": "InstanceUsage:db.r6g"}, Bucket.OTHER_SERVICE),
        ({}, Bucket.OTHER_SERVICE),
    ],
    ids=str,
)  # fmt: skip
def test_a_charge_is_of_one_bucket(said, bucket):
    (line,) = balance([charge(**said)]).lines
    assert line.bucket is bucket


def test_b20_billed_and_effective_are_two_balances_that_both_reconcile():
    """A plan is bought for 70 and used for 60: the invoice has the purchase, effective cost the use and the waste."""
    plan = {"commitment_id": "plan-1", "commitment_type": "Savings Plan"}
    groups = [
        charge(charge_category="Purchase", billed=Decimal(70), effective=Decimal(0), **plan),
        gpu(billed=Decimal(0), effective=Decimal(60), commitment_status="Used", **plan),
        charge(billed=Decimal(0), effective=Decimal(10), commitment_status="Unused", **plan),
    ]
    assert sums(balance(groups)) == {Bucket.COMMITMENT_PURCHASE: 70}
    effective = balance(groups, basis=CostBasis.EFFECTIVE)
    assert sums(effective) == {Bucket.UNALLOCATED_GPU: 60, Bucket.COMMITMENT_WASTE: 10}
    assert balance(groups).residual == effective.residual == 0
    assert "what a commitment covers is billed at nothing" in balance(groups).notes[-1]
    assert not any("commitment" in note for note in effective.notes)


def test_b20_a_charge_without_effective_cost_is_not_filled_in_from_its_billed_cost():
    with pytest.raises(DomainError, match=r"2026-10: 1 of 2 groups of charges have no effective cost"):
        balance([charge(effective=Decimal(1)), charge()], basis=CostBasis.EFFECTIVE)


def test_currencies_are_balances_of_their_own():
    groups = [charge(billed=Decimal(1)), charge(billed=Decimal(2), currency="EUR")]
    assert (balance(groups).total, balance(groups, currency="EUR").total) == (1, 2)


# What the GPUs did


def test_a_month_half_busy_is_half_idle_and_busy_time_is_split_by_class():
    made = balance([gpu(billed=Decimal(800))], [use(computed_prompt_tokens=10, generation_tokens=5)])
    assert sums(made) == {Bucket.INPUT: 100, Bucket.CACHED_INPUT: 100, Bucket.OUTPUT: 200, Bucket.WARM_IDLE: 400}
    assert {line.bucket: line.tokens for line in made.lines if line.tokens} == {Bucket.INPUT: 10, Bucket.OUTPUT: 5}
    assert {line.basis for line in made.lines} == {Basis.ASSUMED, Basis.MEASURED}
    assert (made.gpu_hours, made.matched_gpu_hours) == (744, 744)
    assert made.method == "list_price: by the price list"


def test_i15_input_cached_output_and_idle_are_the_gpus():
    made = sums(balance([gpu(billed=Decimal("1234.567"))], [use()]))
    assert sum(made.values()) == Decimal("1234.567")
    assert made.keys() == {Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT, Bucket.WARM_IDLE}


def test_what_was_not_watched_is_starting_and_draining_at_the_edges_and_unmeasured_between():
    """A hundred hours billed from 00:00; watched from 01:00, until 5 h before the end, with 14 h missing in all."""
    server = use(
        hours=86, busy_hours=43, first_at=START + timedelta(hours=1), last_at=START + timedelta(hours=95),
        computed_prompt_tokens=1,
    )  # fmt: skip
    bill = gpu(100, billed=Decimal(100), last_end=START + timedelta(hours=100))
    made = sums(balance([bill], [server]))
    assert made[Bucket.START_AND_DRAIN] == pytest.approx(3)  # one hour, and of five at most two
    assert made[Bucket.UNMEASURED] == pytest.approx(11)
    assert made[Bucket.WARM_IDLE] == pytest.approx(43)


def test_more_observed_than_billed_is_all_observed():
    made = sums(balance([gpu(100, billed=Decimal(100))], [use(hours=120, busy_hours=60)]))
    assert made.keys() & {Bucket.UNMEASURED, Bucket.START_AND_DRAIN} == set()
    assert made[Bucket.WARM_IDLE] == 50


def test_a_server_that_does_not_say_its_gpus_has_those_that_were_billed():
    servers = [use(gpus_count=None, target_key=key) for key in ("a", "b")]
    eight = gpu(744, billed=Decimal(80), sku_meter="BoxUsage:p5.48xlarge")
    assert sums(balance([eight], servers))[Bucket.WARM_IDLE] == 40


def test_two_models_of_one_deployment_pay_for_their_own_time():
    servers = [use(model="m", busy_hours=186), use(model="n", busy_hours=558, target_key="other", deployment="chat")]
    made = balance([gpu(1488, billed=Decimal(1488))], servers)
    cost = {model: total_of(line for line in made.lines if line.model_key == model) for model in ("m", "n", "")}
    assert {model: amount.normalize() + 0 for model, amount in cost.items()} == {"m": 186, "n": 558, "": 744}


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param([], id="no server"),
        pytest.param([use(hours=0, busy_hours=0)], id="nothing observed"),
        pytest.param([use(busy_s=float("nan"))], id="b22: not a number"),
        pytest.param([use(observed_s=-1.0)], id="b22: negative"),
        pytest.param([use(), use(target_key="other", observed_s=float("inf"))], id="b22: one of two is infinite"),
    ],
)
def test_without_measurement_the_whole_is_unmeasured(servers):
    rule = Owners(rules=(OwnerRule(deployment="chat", provider="AWS"),))
    made = balance([gpu(billed=Decimal(100))], servers, owners=rule)
    assert sums(made) == {Bucket.UNMEASURED: 100}
    assert {line.deployment_key for line in made.lines} == {"chat"}


@pytest.mark.parametrize(
    "shares", [{}, {Bucket.INPUT: 0.0}, {Bucket.INPUT: float("nan")}, {Bucket.INPUT: 2.0, Bucket.OUTPUT: -1.0}], ids=str
)
def test_b22_a_split_that_says_nothing_leaves_busy_time_unmeasured(shares):
    made = balance([gpu(billed=Decimal(100))], [use()], splits={"m": replace(HALF, shares=shares)})
    assert sums(made) == {Bucket.UNMEASURED: 50, Bucket.WARM_IDLE: 50}


def test_b21_a_month_of_more_refund_than_spend_is_divided_by_use():
    groups = [gpu(billed=Decimal(100)), gpu(-10, billed=Decimal(-300))]
    made = balance(groups, [use(busy_hours=744)])
    assert made.total == -200
    assert sums(made)[Bucket.OUTPUT] < -90
    assert made.residual == 0


def test_gpus_that_nobody_is_matched_to_have_a_bucket_and_a_reason():
    other = [use("a", labels={"team": "ml"}), use("b", labels={"team": "ml"})]
    made = balance([gpu(tags={"team": "ml"})], other)
    (line,) = made.lines
    assert (line.bucket, line.team, made.matched_gpu_hours) == (Bucket.UNALLOCATED_GPU, "ml", 0)
    assert "could be a, b" in line.note


def test_what_is_missing_is_said():
    groups = [gpu(billed=Decimal(1)), gpu(tags={"deployment": "docs"}), gpu(1, pricing_unit="Quantity")]
    notes = balance(groups, [use("docs", hours=0), use("search"), use(model="unsplit")]).notes
    assert notes == (
        "1 GPU charges: 'Quantity' is no unit of time that is known here: no GPU-hours",
        "docs: GPUs are billed, and no server of it was measured",
        "search: servers were measured, and no GPU charge is matched to it",
        "unsplit: how its busy time divides into tokens is not known, so it counts as not measured",
        "no gateway log names a team: tokens belong to the team of their server's labels or bill, or to none",
    )


# Whose tokens


def test_teams_pay_for_the_tokens_that_the_gateway_counted_and_nobody_for_the_rest():
    teams = [
        TeamUse(model_key="m", team="red", output_tokens=30, input_tokens=100),
        TeamUse(model_key="m", team="blue", output_tokens=10),
    ]
    server = use(busy_hours=744, generation_tokens=80, computed_prompt_tokens=100)
    made = balance([gpu(billed=Decimal(800))], [server], teams)
    output = {line.team: (line.amount, line.tokens) for line in made.lines if line.bucket is Bucket.OUTPUT}
    assert output == {"red": (150, 30), "blue": (50, 10), "": (200, 40)}
    assert {line.team: line.tokens for line in made.lines if line.bucket is Bucket.INPUT} == {"red": 100}


def test_without_a_gateway_the_team_is_that_of_the_server():
    made = balance([gpu()], [use(labels={"team": "support"})])
    assert {line.team for line in made.lines} == {"support"}


def test_b23_one_cent_over_three_teams():
    teams = [TeamUse(model_key="m", team=team, output_tokens=1) for team in "cab"]
    all_output = {"m": replace(HALF, shares={Bucket.OUTPUT: 1.0})}
    made = balance([gpu(billed=Decimal("0.01"))], [use(busy_hours=744)], teams, splits=all_output)
    assert [(line.team, str(line.amount)) for line in made.lines] == [
        ("a", "0.003333333333333334"),
        ("b", "0.003333333333333333"),
        ("c", "0.003333333333333333"),
    ]


def test_b23_one_cent_over_a_hundred_thousand_teams():
    teams = [TeamUse(model_key="m", team=f"{n:06}", output_tokens=1 + n % 3) for n in range(100_000)]
    all_output = {"m": replace(HALF, shares={Bucket.OUTPUT: 1.0})}
    made = balance([gpu(billed=Decimal("0.01"))], [use(busy_hours=744)], teams, splits=all_output)
    assert (len(made.lines), made.residual, total_of(made.lines)) == (100_000, 0, Decimal("0.01"))


def test_tokens_of_an_api_have_a_provider_and_no_deployment():
    bought = charge(
        provider="OpenAI", model="gpt", token_class="output", tags={"deployment": "chat", "team": "red"},
        consumed_quantity=Decimal(2), consumed_unit="1M tokens",
    )  # fmt: skip
    (line,) = balance([bought], [use()]).lines
    assert (line.provider, line.model_key, line.deployment_key, line.team) == ("OpenAI", "gpt", "", "red")
    assert line.tokens == 2_000_000


# Idle, people and licences


@pytest.fixture
def idle():
    """Two deployments, both half idle: chat at 100 with one busy part in four, search at 300 with three."""
    servers = [
        use(busy_hours=186, peak_fraction=1.0),
        use("search", "n", busy_hours=558, peak_fraction=0.5, gpus_count=1),
    ]
    groups = [gpu(billed=Decimal(400)), gpu(billed=Decimal(400), tags={"deployment": "search"})]
    return balance(groups, servers), servers


@pytest.mark.parametrize(
    ("policy", "chat", "search", "itself"),
    [
        (IdlePolicy.OWN_LINE, 300, 100, 0),
        (IdlePolicy.PROPORTIONAL, 100, 300, 0),  # work cost 100 and 300
        (IdlePolicy.PEAK_SHARE, Decimal("266.666666666666666666"), Decimal("133.333333333333333334"), 0),
        (IdlePolicy.RESERVED_SHARE, 40 + 180, 120 + 60, 0),  # a tenth and three; the rest stays where it was
    ],
)
def test_idle_is_shown_to_whom_the_policy_names(idle, policy, chat, search, itself):
    made, servers = idle
    owners = Owners(reserved={"chat": 0.1, "search": 0.3})
    spread = [line for line in spread_idle(made, policy, owners, servers) if line.bucket is Bucket.WARM_IDLE]
    shown = {key: total_of(line for line in spread if line.deployment_key == key) for key in ("chat", "search", "")}
    assert {key: abs(shown[key] - given) < Decimal("1e-12") for key, given in
            (("chat", chat), ("search", search), ("", itself))} == dict.fromkeys(shown, True)  # fmt: skip
    assert total_of(spread) == 400


@pytest.mark.parametrize("policy", list(IdlePolicy))
def test_idle_without_anybody_to_show_it_to_stays(policy):
    made = balance([gpu(billed=Decimal(100))], [use(busy_hours=0)])
    assert spread_idle(made, policy, Owners()) == made.lines


def test_people_and_licences_are_beside_the_invoice_and_never_in_it():
    people = MonthlyCost(what="on call", usd=Decimal("5000.00"), kind="people", first=date(2026, 1, 1))
    past = replace(people, what="old", until=date(2026, 9, 30))
    owners = Owners(monthly=(people, past))
    made = balance([charge(billed=Decimal("12.34"))], owners=owners)
    loaded = fully_loaded(made, owners)
    assert (made.total, loaded.invoice, loaded.total) == (Decimal("12.34"), Decimal("12.34"), Decimal("5012.34"))
    assert loaded.beside == (people,)


def test_people_paid_in_dollars_are_not_added_to_euros():
    people = MonthlyCost(what="on call", usd=Decimal(1), kind="people", first=date(2026, 1, 1))
    made = balance([charge(currency="EUR")], currency="EUR")
    loaded = fully_loaded(made, Owners(monthly=(people,)))
    assert (loaded.beside, loaded.total) == ((), 100)
    assert "left out of a sum in EUR" in loaded.note
