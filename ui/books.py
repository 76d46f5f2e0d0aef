"""The books of one month, read once per snapshot, month, basis and state of the files beside the store."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.allocation import in_cents
from costlib.balance import usd_per_month_of
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, Line, TrialBalance
from costlib.bucket_words import WORDS
from costlib.errors import PermillionError
from costlib.estimate import Undefined, weakest
from costlib.unit_cost import measured_fraction
from store.books import Books, books, books_between
from store.home import Home
from ui import data, text

BILLED_DAYS = 28
BASES = {"effective": "Effective (amortised)", "billed": "Billed (invoice)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRow:
    """One bucket's sum in whole cents; the cents of all rows add up to those of the total."""

    name: str
    what: str
    amount: Decimal
    share: float | None
    known_by: str


@st.cache_resource(max_entries=8, show_spinner="Adding up the month…")
def _books(
    snapshot_id: str, month: str, basis: str, files: tuple[int, ...], _found: data.Snapshot, _home: Home
) -> Books:
    return books(_found, _home, month, CostBasis(basis))


def read(found: data.Snapshot, month: str, basis: str) -> tuple[Books | None, str]:
    """The books, or why there are none: a rule file that cannot be read, a month without charges."""
    home = data.home()
    try:
        return _books(found.id, month, basis, _states(home), found, home), ""
    except PermillionError as error:
        return None, str(error)


@st.cache_data(max_entries=4, show_spinner=False)
def _billed(
    snapshot_id: str, keys: tuple[str, ...], hours_per_month: float, files: tuple[int, ...], _found: data.Snapshot,
    _home: Home,
) -> float | None:  # fmt: skip
    until = data.status(_found).charges_to
    if until is None:
        return None
    start, end = until.date() - timedelta(days=BILLED_DAYS), until.date()
    try:
        balances = books_between(_found, _home, start, end, CostBasis.EFFECTIVE).balances
    except PermillionError:
        return None
    return usd_per_month_of(balances[0], keys, BILLED_DAYS, hours_per_month)


def billed_usd_per_month(found: data.Snapshot, keys: tuple[str, ...], hours_per_month: float) -> float | None:
    """Effective cost of deployments in the newest `BILLED_DAYS`, as a month of that; None unless each was billed."""
    return _billed(found.id, keys, hours_per_month, _states(data.home()), found, data.home())


def _states(home: Home) -> tuple[int, ...]:
    """When what lies beside the store was last changed: it is read with the snapshot, and not in it."""
    beside = (home.owners, home.scenario, home.rates, home.calibrations)
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in beside)


@st.cache_data(max_entries=4, show_spinner=False)
def _months(snapshot_id: str, _found: data.Snapshot) -> pd.DataFrame:
    return _found.months()


def months(found: data.Snapshot) -> pd.DataFrame:
    return _months(found.id, found)


def choices(found: data.Snapshot, key: str) -> tuple[str, str] | None:
    """The month and the basis a person chose, kept in the address; None when nothing was ever billed."""
    known = months(found)
    if known.empty:
        return None
    names = sorted(set(known["month"]), reverse=True)
    whole = [name for name in names if (known[known["month"] == name]["state"] != "open").all()]
    with st.container(horizontal=True, vertical_alignment="center", key=f"{key}-controls"):
        month = st.selectbox(
            "Month", names, index=names.index(whole[0]) if whole else 0, key="month", bind="query-params",
            label_visibility="collapsed", width=140,
        )  # fmt: skip
        basis = st.segmented_control(
            "Cost basis", list(BASES), default="effective", required=True, key="basis", format_func=BASES.get,
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
    return month, basis


def balance_of(found: Books) -> TrialBalance:
    """The balance to show: of the currency with the most money; others are chosen beside it, and never added."""
    balances = {balance.currency: balance for balance in found.balances}
    largest = max(balances.values(), key=lambda balance: abs(balance.total))
    if len(balances) == 1:
        return largest
    names = list(balances)
    chosen = st.segmented_control(
        "Currency", names, default=largest.currency, required=True, key="currency", label_visibility="collapsed"
    )
    return balances[chosen]


def bucket_rows(balance: TrialBalance) -> list[BucketRow]:
    """Every bucket that has a line, in the order of the trial balance, in cents that add up."""
    sums = [
        (bucket, [line for line in balance.lines if line.bucket is bucket])
        for bucket in Bucket
        if any(line.bucket is bucket for line in balance.lines)
    ]
    amounts = in_cents([exact_sum(line.amount for line in lines) for _, lines in sums])
    return [
        BucketRow(
            name=WORDS[bucket][0],
            what=WORDS[bucket][1],
            amount=amount,
            share=float(amount / balance.total) if balance.total else None,
            known_by=str(weakest(*(line.basis for line in lines))),
        )
        for (bucket, lines), amount in zip(sums, amounts, strict=True)
    ]


def owner_of(line: Line) -> str:
    """Whose line it is, in words."""
    parts = [line.deployment_key or line.provider, line.model_key, line.team and f"team {line.team}"]
    return text.plain(" · ".join(part for part in parts if part)) or "nobody"


def _watched(balance: TrialBalance) -> str:
    """The coverage of the month."""
    watched = measured_fraction(balance)
    if isinstance(watched, Undefined):
        return "no GPU of the bill belongs to a measured server"
    return f"servers were measured in {text.percent(watched)} of the GPU time matched to them, by cost"


def small_print(balance: TrialBalance) -> list[str]:
    """What the figures rest on: the basis, the split of busy cost, and what the balance itself remarks."""
    spent = "amortised over what it was used for" if balance.basis is CostBasis.EFFECTIVE else "as invoiced"
    said = [
        f"{balance.month}, {spent}, by billing period, in {balance.currency}.",
        _watched(balance),
        balance.method and f"How busy GPU time became tokens: {balance.method}",
        *balance.notes,
    ]
    return [text.sentence(line) for line in said if line]
