"""budgets.toml: strict, and an error says what, where and what to do."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from costlib.budget import Phasing
from costlib.errors import ConfigError
from costlib.forecast import Driver
from store.budgets_file import (
    BUDGET_KEYS,
    STEP_KEYS,
    Planned,
    budgets_from,
    load_budgets,
    load_steps,
    planned,
    steps_from,
)
from store.home import Home

DEMO = Path(__file__).parents[2] / "data" / "demo" / "budgets.toml"
WHOLE = {"amount": '"10"', "currency": '"USD"', "from": '"2026-11"'}


def budgets(*blocks: dict[str, str]):
    text = "\n".join("[[budget]]\n" + "\n".join(f"{key} = {value}" for key, value in block.items()) for block in blocks)
    return budgets_from(tomllib.loads(text), "budgets.toml")


def test_a_home_without_the_file_has_no_budgets(tmp_path: Path):
    assert load_budgets(Home(tmp_path)) == ()


def test_beside_sample_data_the_samples_budgets_stand_until_there_is_a_file(tmp_path: Path):
    home = Home(tmp_path)
    assert planned(home, is_sample=False) == Planned()
    found = planned(home, is_sample=True)
    assert (found.is_sample, len(found.budgets), len(found.steps)) == (True, 5, 3)
    (tmp_path / "budgets.toml").write_text("", encoding="utf-8")
    assert planned(home, is_sample=True) == Planned()


@pytest.mark.parametrize("text", ["[[budget]]\namount = 5.5", "[[budget", "[[stop]]\nday = 1"])
def test_a_broken_file_is_no_budget_with_its_reason(tmp_path: Path, text: str):
    (tmp_path / "budgets.toml").write_text(text, encoding="utf-8")
    found = planned(Home(tmp_path), is_sample=True)
    assert (found.budgets, found.steps) == ((), ())
    assert found.problem.startswith("budgets.toml is not used: ")


def test_the_documented_file_is_read_whole_and_has_every_key(tmp_path: Path):
    (tmp_path / "budgets.toml").write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
    everything, copilot, search, both, documents = load_budgets(Home(tmp_path))
    assert (everything.scope, everything.amount, everything.last_month) == (("", ""), Decimal(75_000), "2035-12")
    assert (copilot.phasing, copilot.weekday_weights[5], copilot.last_month) == (Phasing.WEEKDAY, 0.4, None)
    assert (search.scope, len(search.listed), search.last_month) == (("", "search"), 30, "2026-11")
    assert both.scope == ("Search answers", "search")
    assert (documents.scope, documents.amount) == (("Document extraction", ""), 20_000)
    ends, cheaper, licence = load_steps(Home(tmp_path))
    assert (ends.key, ends.on, ends.amount, str(ends.until)) == ("Support copilot", Driver.COST, 250, "2027-03-01")
    assert (cheaper.on, cheaper.token_class, cheaper.times_ratio) == (Driver.PRICE, "output", 0.5)
    assert (licence.is_once, licence.amount) == (True, 4000)
    doc = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    for kind, keys in (("budget", BUDGET_KEYS), ("step", STEP_KEYS)):
        assert {key for block in doc[kind] for key in block} == keys
    assert set(doc) == {"budget", "step"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"amount": None}, r"budgets.toml \[\[budget\]\] 1: amount is missing"),
        ({"amount": '"-5"'}, r"\[\[budget\]\] 1: a budget is an amount above 0 in whole cents, not -5"),
        ({"amount": '"0"'}, "above 0"),
        ({"amount": "10.5"}, r'amount: digits in quotes, such as "10.5"'),
        ({"amount": '"1,5"'}, r"amount: '1,5' is not a number"),
        ({"amount": "true"}, "digits in quotes"),
        ({"amount": '"1.005"'}, "whole cents"),
        ({"currency": None}, "currency is missing"),
        ({"currency": '"Euro"'}, "ISO 4217"),
        ({"from": None}, 'say month = "2026-11", or from'),
        ({"month": '"2026-11"'}, "one of them"),
        ({"from": None, "month": '"2026-11"', "to": '"2026-12"'}, "`to` goes with `from`"),
        ({"from": '"2026-13"'}, r"from: '2026-13' is not a month; write for example"),
        ({"from": "2026-11-01"}, "from: expected a str"),
        ({"to": '"2026-10"'}, "ends in 2026-10, before it begins"),
        ({"produkt": '"x"'}, "Did you mean 'product'"),
        ({"product": '" "'}, "product is empty"),
        ({"phasing": '"weekly"'}, "Known: flat, listed, weekday"),
        ({"phasing": '"weekday"'}, "needs weekdays"),
        ({"phasing": '"listed"'}, "needs days"),
        ({"weekdays": "[1]"}, "phasing 'flat' does not use weekdays; say phasing = 'weekday'"),
        ({"phasing": '"weekday"', "weekdays": "[1, 1]"}, "seven numbers from 0 up"),
        ({"phasing": '"weekday"', "weekdays": '"all"'}, "weekdays: a list in square brackets"),
        ({"phasing": '"weekday"', "weekdays": '[1, 1, "x", 1, 1, 1, 1]'}, "weekdays 3: expected a finite number"),
        ({"phasing": '"listed"', "days": '["10"]'}, "of one month, one for each of its days"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(changed: dict[str, str | None], message: str):
    with pytest.raises(ConfigError, match=message):
        budgets({key: value for key, value in {**WHOLE, **changed}.items() if value is not None})


def test_two_budgets_for_one_month_say_what_to_do():
    with pytest.raises(
        ConfigError, match=r"budgets.toml: 'a' has two budgets that hold in 2026-11. Give each a `from`"
    ):
        budgets({**WHOLE, "product": '"a"'}, {**WHOLE, "product": '"a"'})


def test_no_table_is_no_list_of_budgets():
    with pytest.raises(ConfigError, match="expected a list of tables"):
        budgets_from(tomllib.loads('[budget]\namount = "1"'), "budgets.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day = 2026-12-01\ntimes = 2", r"budgets.toml \[\[step\]\] 1: what is missing"),
        ('what = "x"\ntimes = 2', "day is missing"),
        ('what = "x"\nday = "soon"\ntimes = 2', "day: expected a date"),
        ('what = "x"\nday = 2026-12-01', "`times`, or what comes on top, `amount`: say one of them"),
        ('what = "x"\nday = 2026-12-01\ntimes = 2\namount = "5"', "one of them"),
        ('what = "x"\nday = 2026-12-01\ntimes = -1', "a factor from 0 up"),
        ('what = "x"\nday = 2026-12-01\namount = 1.5', "amount: digits in quotes"),
        ('what = "x"\nday = 2026-12-01\namount = "5"\non = "price"', "an amount is added to cost"),
        ('what = "x"\nday = 2026-12-01\ntimes = 2\non = "request"', "Did you mean 'requests'"),
        ('what = "x"\nday = 2026-12-01\ntimes = 2\nclass = "outputs"', "Did you mean 'output'"),
        ('what = "x"\nday = 2026-12-01\ntimes = 2\nonce = "yes"', "once: true or false"),
        ('what = "x"\nday = 2026-12-01\ntimes = 2\nuntil = 2026-12-01', "before it begins"),
    ],
)
def test_a_step_that_is_wrong_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        steps_from(tomllib.loads(f"[[step]]\n{text}"), "budgets.toml")
