"""owners.toml and rates.toml: strict, and an error says where and what is near."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from costlib.errors import ConfigError, UnknownKey
from costlib.ownership import OwnerRule
from store.home import Home
from store.owners_file import MONTHLY_KEYS, RATE_KEYS, RULE_KEYS, load_owners, load_rates, owners_from

DEMO = Path(__file__).parents[2] / "data" / "demo" / "owners.toml"


def owners(text: str):
    return owners_from(tomllib.loads(text), "owners.toml")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_home_without_the_files_has_no_owners_and_no_rates(home: Home) -> None:
    assert (load_owners(home).rules, load_owners(home).monthly, load_rates(home)) == ((), (), ())


def test_the_documented_file_is_read_whole_and_has_every_key(home: Home) -> None:
    (home.path / "owners.toml").write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
    found = load_owners(home)
    assert found.rules[0] == OwnerRule(deployment="support-copilot", team="support", resource="i-0abc*")
    assert found.rules[1].tag == {"team": "search", "env": "prod"}
    assert found.reserved == {"support-copilot": 0.5, "search-answers": 0.2}
    assert [(cost.what, cost.usd, cost.kind, cost.first, cost.until) for cost in found.monthly] == [
        ("on-call engineer", Decimal(5000), "people", date(2026, 1, 1), date(2026, 12, 31)),
        ("vector database", Decimal(800), "licence", date(2026, 3, 1), None),
    ]
    (rate,) = load_rates(home)
    assert rate.text == "1 EUR = 1.0812 USD, ECB, 2026-10-01"
    doc = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    for kind, keys in (("rule", RULE_KEYS), ("monthly", MONTHLY_KEYS), ("rate", RATE_KEYS)):
        assert {key for block in doc[kind] for key in block} == keys
    assert set(doc) == {"rule", "reserved", "monthly", "rate"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rules]]", r"unknown key 'rules' in owners.toml. Did you mean 'rule'"),
        ('[[rule]]\ndeploymnt = "x"', r"owners.toml \[\[rule\]\] 1. Did you mean 'deployment'"),
        ('[[rule]]\nservice = "EC2"', r"\[\[rule\]\] 1: says of nobody"),
        ('[[rule]]\nteam = "x"', r"fits no charge; say which by tag, resource"),
        ('[[rule]]\nteam = "x"\ntag = { env = 1 }', r"tag: 'env' must be a text"),
        ('[[rule]]\nteam = "x"\ntag = "env"', r"tag: expected a table"),
        ('[[rule]]\nteam = 3\nservice = "x"', r"team: expected a str, not 3"),
        ('[[rule]]\nteam = " "\nservice = "x"', r"team is empty"),
        ('[rule]\nteam = "x"', r"expected a list of tables"),
        ('[[reserved]]\ndeployment = "a"\nshare = 1.2', r"from 0 to 1, not 1.2"),
        ('[[reserved]]\ndeployment = "a"', r"\[\[reserved\]\] 1: share is missing"),
        ('[[reserved]]\ndeployment = "a"\nshare = 0.1\n' * 2, r"'a' is reserved twice"),
        ('[[reserved]]\ndeployment = "a"\nshare = 0.6\n[[reserved]]\ndeployment = "b"\nshare = 0.6', r"add up to 1.2"),
        ('[[monthly]]\nwhat = "a"\nkind = "peple"\nusd = "1"\nfrom = 2026-01-01', r"Did you mean 'people'"),
        ('[[monthly]]\nwhat = "a"\nkind = "people"\nusd = 1.5\nfrom = 2026-01-01', r'digits in quotes, such as "1.5"'),
        ('[[monthly]]\nwhat = "a"\nkind = "people"\nusd = "1,5"\nfrom = 2026-01-01', r"usd: '1,5' is not a number"),
        ('[[monthly]]\nwhat = "a"\nkind = "people"\nusd = "1"\nfrom = "2026"', r"from: expected a date"),
        (
            '[[monthly]]\nwhat = "a"\nkind = "people"\nusd = "1"\nfrom = 2026-02-01\nto = 2026-01-01',
            r"ends on 2026-01-01, before",
        ),
        ('[[rate]]\nfrom = "Euro"\nto = "USD"\non = 2026-01-01\nrate = "1"\nsource = "x"', r"ISO 4217"),
        ('[[rate]]\nfrom = "EUR"\nto = "USD"\non = 2026-01-01\nrate = "0"\nsource = "x"', r"a rate above 0"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        owners(text)


def test_tenths_add_up_to_one() -> None:
    blocks = "".join(f'[[reserved]]\ndeployment = "{name}"\nshare = 0.1\n' for name in range(10))
    assert len(owners(blocks).reserved) == 10


def test_b13_rates_of_both_files_count_and_two_that_disagree_are_refused(home: Home) -> None:
    block = '[[rate]]\nfrom = "EUR"\nto = "USD"\non = 2026-{}-01\nrate = "{}"\nsource = "ECB"\n'
    (home.path / "owners.toml").write_text(block.format("09", "1.07"), encoding="utf-8")
    (home.path / "rates.toml").write_text(block.format("10", "1.08"), encoding="utf-8")
    assert [rate.rate for rate in load_rates(home)] == [Decimal("1.07"), Decimal("1.08")]
    (home.path / "rates.toml").write_text(block.format("09", "1.08"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"two rates from EUR to USD on 2026-09-01: 1.07 \(ECB\) and 1.08"):
        load_rates(home)


def test_rates_toml_has_nothing_but_rates(home: Home) -> None:
    (home.path / "rates.toml").write_text('[[rule]]\nteam = "x"', encoding="utf-8")
    with pytest.raises(UnknownKey, match=r"unknown key 'rule' in rates.toml"):
        load_rates(home)
