"""Prices that multiply back to the bill, and the bridge from list price to tokens."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.billing import exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis, Line, TokenClass, TrialBalance
from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from costlib.unit_cost import STEP_OF, BridgeStep, bridge, class_bands, measured_fraction, unit_costs

M = 1_000_000


def line(bucket, amount, **owner):
    return Line(bucket=bucket, amount=Decimal(amount), **owner)


def balance(*lines, **changes):
    return replace(
        TrialBalance(
            month="2026-10",
            currency="USD",
            basis=CostBasis.BILLED,
            total=exact_sum(item.amount for item in lines),
            lines=lines,
            residual=Decimal(0),
        ),
        **changes,
    )


def of(deployment, model, **tokens_and_cost):
    """Lines of a model's token classes: (dollars, tokens) by bucket."""
    return [
        line(Bucket(bucket), cost, deployment_key=deployment, model_key=model, tokens=tokens)
        for bucket, (cost, tokens) in tokens_and_cost.items()
    ]


CHAT = of("chat", "m", input=("30", 60 * M), cached_input=("2", 40 * M), output=("40", 10 * M))
AROUND = [
    line(Bucket.WARM_IDLE, "20", deployment_key="chat"),
    line(Bucket.UNALLOCATED_GPU, "8"),
    line(Bucket.HOST, "5"),
    line(Bucket.COMMITMENT_WASTE, "3"),
    line(Bucket.OTHER_SERVICE, "2"),
]
MONTH = balance(*CHAT, *AROUND, gpu_hours=40.0)


def test_a_price_is_known_as_well_as_the_weakest_of_its_lines():
    guessed = replace(CHAT[0], basis=Basis.ASSUMED)
    classes = unit_costs(balance(guessed, CHAT[0], CHAT[2]), {}).in_all.classes
    assert [classes[item].basis for item in TokenClass] == [Basis.ASSUMED, Basis.UNDEFINED, Basis.MEASURED]


def test_the_band_of_a_price_is_the_least_and_most_share_of_all_work_over_its_tokens():
    """$72 of work: input takes a quarter to a half of it, for 60 million tokens."""
    found = class_bands(replace(MONTH, bands={"input": (0.25, 0.5), "output": (0.5, 0.75)}))
    assert found == {
        TokenClass.INPUT: (Decimal("0.3"), Decimal("0.6")),
        TokenClass.OUTPUT: (Decimal("3.6"), Decimal("5.4")),
    }
    assert class_bands(MONTH) == {}


def test_what_is_bought_from_an_api_is_in_no_band():
    bought = line(Bucket.INPUT, "1000", provider="OpenAI", model_key="gpt", tokens=M)
    assert class_bands(balance(*CHAT, bought, bands={"input": (0.5, 0.5)}))[TokenClass.INPUT] == (Decimal("0.6"),) * 2


def test_a_month_without_matched_gpus_has_no_coverage():
    assert isinstance(measured_fraction(balance(line(Bucket.TAX, "1"))), Undefined)


def test_each_class_over_its_own_tokens():
    classes = unit_costs(MONTH, {}).in_all.classes
    assert [classes[item].per_mtok for item in TokenClass] == [Decimal("0.5"), Decimal("0.05"), Decimal("4")]


def test_loaded_prices_times_tokens_are_the_whole_bill():
    found = unit_costs(MONTH, {}).in_all
    assert found.cost == 110
    whole = sum(item.loaded_per_mtok * item.tokens / M for item in found.classes.values())
    assert whole == pytest.approx(Decimal(110))
    assert found.blended_per_mtok == 1  # $110 for 110 M tokens
    assert found.tokens_per_unit == M


def test_a_model_is_charged_what_names_it_until_idle_is_spread():
    assert unit_costs(MONTH, {}).by_model[0].cost == 72
    spread = [replace(item, model_key="m") if item.bucket is Bucket.WARM_IDLE else item for item in MONTH.lines]
    assert unit_costs(MONTH, {}, spread).by_model[0].cost == 92


def test_requests():
    found = unit_costs(MONTH, {"m": 1000})
    assert found.in_all.per_request == Decimal("0.11")
    assert found.by_model[0].per_request == Decimal("0.072")


def test_requests_of_one_model_do_not_stand_for_all():
    two = balance(*CHAT, *of("search", "n", output=("1", M)))
    found = unit_costs(two, {"m": 1000, "n": None})
    assert isinstance(found.in_all.per_request, Undefined)
    assert not isinstance(found.by_model[0].per_request, Undefined)


def test_gpu_hours_alone_and_with_what_they_cannot_run_without():
    """$72 + $20 + $8 over 40 h; with $5 of hosts and $3 of commitments not used; other services are neither."""
    found = unit_costs(MONTH, {})
    assert found.per_gpu_hour == Decimal("2.5")
    assert found.all_in_per_gpu_hour == Decimal("2.7")


def test_tokens_of_an_api_are_no_gpu_time():
    api = line(Bucket.OUTPUT, "1000", model_key="gpt", provider="p", tokens=M)
    found = unit_costs(balance(*CHAT, api, gpu_hours=36.0), {})
    assert found.per_gpu_hour == 2
    assert found.by_model[0].model_key == "gpt"
    assert found.by_model[0].blended_per_mtok == 1000


def test_a_ratio_of_nothing_is_undefined_and_says_why():
    found = unit_costs(balance(line(Bucket.TAX, "5")), {})
    assert found.by_model == ()
    for price in (found.per_gpu_hour, found.in_all.blended_per_mtok, found.in_all.per_request):
        assert isinstance(price, Undefined)
        assert price.reason
    assert all(isinstance(item.loaded_per_mtok, Undefined) for item in found.in_all.classes.values())


def test_tokens_that_some_charges_do_not_tell_make_no_price():
    """Their dollars over the others' tokens would be a price too high."""
    untold = line(Bucket.OUTPUT, "9", model_key="m", provider="p")
    found = unit_costs(balance(*CHAT, untold), {}).in_all
    assert "do not say how many tokens" in found.classes[TokenClass.OUTPUT].per_mtok.reason
    assert found.classes[TokenClass.INPUT].per_mtok == Decimal("0.5")
    assert isinstance(found.blended_per_mtok, Undefined)


# The bridge.


def group(billed, **rest):
    money = {name: Decimal(rest.pop(name)) for name in ("list_cost", "contracted", "effective") if name in rest}
    return ChargeGroup(currency=rest.pop("currency", "USD"), billed=Decimal(billed), **money, **rest)


def amounts(made):
    return {str(step): amount for step, amount in made.steps.items() if amount}


def test_every_step_of_a_bridge_by_hand():
    """$200 of use at list price."""
    groups = [
        group("60", list_cost="100", contracted="90", pricing_category="Committed", commitment_id="sp"),
        group("20", list_cost="60", contracted="60", pricing_category="Dynamic"),
        group("30", list_cost="40", contracted="30"),
        group("12", commitment_id="sp", commitment_status="Unused", list_cost="15", contracted="12"),
        group("7", charge_category="Tax"),
    ]
    lines = (
        *of("d", "m", input=("40", M), cached_input=("5", M), output=("30", M)),
        line(Bucket.REJECTED_DRAFT, "1"),
        line(Bucket.WARM_IDLE, "34"),
        line(Bucket.COMMITMENT_WASTE, "12"),
        line(Bucket.TAX, "7"),
    )
    made = bridge(balance(*lines), groups)
    assert made.list_price == 207  # tax has no other price than its own
    assert made.paid == 129
    assert amounts(made) == {
        "negotiated_discount": 20,  # 10 + 10
        "commitment_and_spot": 58,  # 30 + 40, less the 12 for nothing
        "commitment_waste": 12,
        "non_gpu": 7,
        "idle": 34,
        "waste": 1,
        "input": 40,
        "cached_input": 5,
        "output": 30,
    }


@pytest.mark.parametrize(
    ("charge", "discount", "saving"),
    [
        pytest.param(group("6"), 0, 0, id="no list price: no saving claimed"),
        pytest.param(group("6", contracted="8"), 0, 2, id="no list price: from the contract on"),
        pytest.param(group("6", list_cost="9"), 3, 0, id="no contract and no commitment: a discount"),
        pytest.param(group("6", list_cost="9", pricing_category="Dynamic"), 0, 3, id="no contract: spot"),
        pytest.param(group("6", list_cost="9", commitment_id="c"), 0, 3, id="no contract: a commitment"),
        pytest.param(group("-6", list_cost="-9", contracted="-8"), -1, -2, id="taken back, at its own prices"),
        pytest.param(
            group("6", charge_category="Purchase", commitment_id="c", list_cost="9"), 0, -6, id="a commitment bought"
        ),
        pytest.param(group("-6", charge_category="Credit", list_cost="0"), 0, 0, id="a credit"),
    ],
)
def test_what_a_charge_saved(charge, discount, saving):
    made = bridge(balance(line(Bucket.OTHER_SERVICE, charge.billed)), [charge])
    assert made.steps[BridgeStep.NEGOTIATED_DISCOUNT] == discount
    assert made.steps[BridgeStep.COMMITMENT_AND_SPOT] == saving


def test_a_commitment_bought_lessens_what_its_use_saved():
    """$100 of use for nothing, and $70 for the commitment: $30 saved, $70 paid."""
    groups = [
        group("0", list_cost="100", contracted="100", commitment_id="c", commitment_status="Used"),
        group("70", list_cost="70", contracted="70", commitment_id="c", charge_category="Purchase"),
    ]
    made = bridge(balance(line(Bucket.COMMITMENT_PURCHASE, "70")), groups)
    assert made.list_price == 100
    assert amounts(made) == {"commitment_and_spot": 30, "commitment_waste": 70}


def test_the_basis_decides_which_cost_is_bridged():
    charge = group("0", effective="70", list_cost="100", contracted="100", commitment_id="c")
    made = bridge(balance(line(Bucket.WARM_IDLE, "70"), basis=CostBasis.EFFECTIVE), [charge])
    assert made.paid == 70


def test_charges_of_another_currency_are_another_bridge():
    groups = [group("6"), group("1000", currency="EUR")]
    assert bridge(balance(line(Bucket.HOST, "6")), groups).list_price == 6


def test_charges_that_are_not_the_balances_are_refused():
    with pytest.raises(DomainError, match="charges of 5 USD do not make the balance of 6"):
        bridge(balance(line(Bucket.HOST, "6")), [group("5")])


def test_every_bucket_has_its_step():
    assert set(STEP_OF) == set(Bucket)
    assert set(STEP_OF.values()) == set(BridgeStep) - {
        BridgeStep.NEGOTIATED_DISCOUNT,
        BridgeStep.COMMITMENT_AND_SPOT,
    }


money = st.decimals(-(10**9), 10**9, places=18, allow_nan=False, allow_infinity=False)


@given(
    charges=st.lists(
        st.tuples(
            money,
            st.none() | money,
            st.none() | money,
            st.sampled_from(["Usage", "Purchase", "Tax", "Credit"]),
            st.sampled_from(["", "Standard", "Dynamic", "Committed"]),
            st.sampled_from(["", "c"]),
            st.sampled_from(["", "Used", "Unused"]),
            st.sampled_from(Bucket),
        ),
        max_size=8,
    )
)
def test_the_steps_add_up_to_the_list_price_to_the_last_digit(charges):
    groups, lines = [], []
    for billed, at_list, contracted, category, pricing, commitment, status, bucket in charges:
        groups.append(
            ChargeGroup(
                currency="USD",
                billed=billed,
                list_cost=at_list,
                contracted=contracted,
                charge_category=category,
                pricing_category=pricing,
                commitment_id=commitment,
                commitment_status=status,
            )
        )
        lines.append(line(bucket, billed))
    made = bridge(balance(*lines), groups)
    assert exact_sum(made.steps.values()) == made.list_price
    assert made.paid == exact_sum(group.billed for group in groups)
    assert exact_sum([made.paid, made.steps[BridgeStep.NEGOTIATED_DISCOUNT],
                      made.steps[BridgeStep.COMMITMENT_AND_SPOT]]) == made.list_price  # fmt: skip


@given(
    costs=st.tuples(*[st.decimals("0.01", 10**6, places=2)] * 3),
    tokens=st.tuples(*[st.integers(1, 10**12)] * 3),
    rest=st.decimals(0, 10**6, places=2),
)
def test_loaded_costs_tie_to_the_bill(costs, tokens, rest):
    lines = of(
        "d", "m", **{item.value: pair for item, pair in zip(TokenClass, zip(costs, tokens, strict=True), strict=True)}
    )
    found = unit_costs(balance(*lines, line(Bucket.WARM_IDLE, rest)), {}).in_all
    whole = sum(item.loaded_per_mtok * item.tokens / M for item in found.classes.values())
    assert abs(whole - found.cost) <= found.cost * Decimal("1e-20")
    assert abs(found.blended_per_mtok * sum(tokens) / M - found.cost) <= found.cost * Decimal("1e-20")
