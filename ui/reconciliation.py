"""The parts of Reconciliation: the trial balance, the bridge to the invoice, and what people say about both."""

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.balance import fully_loaded
from costlib.billing import exact_sum, exact_text
from costlib.books import Bucket, ChargeGroup, TrialBalance
from costlib.ownership import is_use
from costlib.units import SECONDS_PER_DAY
from store.books import Books, Statement
from store.records import LedgerKind
from ui import books as words
from ui import cards, charts, data, text
from ui.money_charts import Bar, Step, cascade
from ui.theme import palette

MONEY = st.column_config.TextColumn(alignment="right")


def figures(found: Books, balance: TrialBalance) -> None:
    invoice, billed = found.invoice_of(balance.currency), _billed(found, balance.currency)
    difference = None if invoice is None else exact_sum((invoice, billed.copy_negate()))
    mine = statements_in(found, balance.currency)
    matched = (
        balance.matched_gpu_hours / balance.gpu_hours
        if balance.gpu_hours and balance.matched_gpu_hours is not None
        else None
    )
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.noted(
            "Our total",
            text.money(balance.total, balance.currency),
            f"{balance.basis} cost",
            help="Every charge of the billing month, once.",
        )
        cards.noted(
            "Residual",
            text.cents(balance.residual, balance.currency),
            "every dollar on one line" if balance.residual == 0 else "does not add up",
            help="Our total less the sum of the lines below, to the last digit.",
        )
        cards.noted(
            "Invoice total",
            text.money(invoice, balance.currency),
            "typed in" if invoice is not None else "not given",
            help="What the providers' invoices say. Type it in below.",
        )
        cards.noted(
            "Open difference",
            text.UNKNOWN if difference is None else text.cents(difference, balance.currency),
            _verdict(mine),
            help="Invoice total less billed total. Effective cost need not match any invoice, billed cost must.",
        )
        cards.noted(
            "GPU hours matched",
            text.percent(matched),
            f"of {text.compact(balance.gpu_hours)} billed" if balance.gpu_hours else "no GPU on the bill",
            help="Billed GPU hours of machines that a measured server is matched to.",
        )
        cards.noted(
            "Month",
            _state(mine).capitalize(),
            balance.month,
            help="Open: still being delivered. Final: it is over and every row is invoiced. Locked: later deliveries "
            "wait until someone accepts them.",
        )


def statements_in(found: Books, currency: str) -> list[Statement]:
    return [statement for statement in found.statements if statement.currency == currency]


def _billed(found: Books, currency: str) -> Decimal:
    return exact_sum(statement.billed for statement in statements_in(found, currency))


def _state(statements: Sequence[Statement]) -> str:
    states = {statement.state for statement in statements}
    return states.pop() if len(states) == 1 else "mixed"


def _verdict(statements: Sequence[Statement]) -> str:
    ties = [statement.ties for statement in statements]
    if None in ties or not ties:
        return "no invoice total"
    if not all(ties):
        return "does not reconcile"
    exact = all(statement.difference == 0 for statement in statements)
    return "ties to the cent" if exact else "within rounding"


def trial_balance(balance: TrialBalance) -> None:
    rows = words.bucket_rows(balance)
    shown = pd.DataFrame(
        {
            "Line": [*(row.name for row in rows), "Total"],
            f"{balance.currency}": [
                *(text.cents(row.amount, balance.currency) for row in rows),
                text.cents(exact_sum(row.amount for row in rows), balance.currency),
            ],
            "Share": [*(text.percent(row.share, 1) for row in rows), text.percent(1.0, 1)],
            "Known by": [*(row.known_by for row in rows), ""],
            "What it is": [*(row.what for row in rows), f"the {balance.month} bill"],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        key="trial-balance",
        height="content",
        column_config={balance.currency: MONEY, "Share": MONEY},
    )


def lines(balance: TrialBalance) -> None:
    """Every line by its owner, drawn only when someone asks."""
    with st.expander("Every line, by owner", icon=":material/list:", key="lines", on_change="rerun") as opened:
        if not opened.open:
            return
        shown = pd.DataFrame(
            {
                "Line": [words.WORDS[line.bucket][0] for line in balance.lines],
                "Owner": [words.owner_of(line) for line in balance.lines],
                "Amount": [exact(line.amount) for line in balance.lines],
                "Tokens": [None if line.tokens is None else line.tokens for line in balance.lines],
                "Known by": [str(line.basis) for line in balance.lines],
                "Note": [text.plain(line.note, 300) for line in balance.lines],
            }
        )
        st.dataframe(shown, hide_index=True, key="balance-lines", column_config={"Amount": MONEY})


def where_it_went(balance: TrialBalance) -> None:
    """The bill as a cascade from its total down to the tokens."""
    rows = {bucket: Decimal(0) for bucket in Bucket}
    for line in balance.lines:
        rows[line.bucket] = exact_sum((rows[line.bucket], line.amount))
    tokens = (Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT)
    parts = sorted((b for b in rows if rows[b] and b not in tokens), key=lambda b: -rows[b])
    bars = [Bar(name="Bill", amount=float(balance.total), step=Step.TOTAL)]
    for bucket in (*parts, *(b for b in tokens if rows[b])):
        amount = rows[bucket]
        step = Step.TOKENS if bucket in tokens else Step.PART if amount >= 0 else Step.MORE
        bars.append(Bar(name=words.WORDS[bucket][0], amount=abs(float(amount)) if step is Step.MORE else float(amount),
                        step=step, shown=text.short_money(amount)))  # fmt: skip
    spent = float(exact_sum(rows[b] for b in tokens) / balance.total) if balance.total else None
    st.markdown(f"**{text.percent(spent)} of the bill became tokens**")
    charts.draw(cascade(bars, palette()), "balance-cascade", alt="The bill, by where each part of it ended")


def bridge(found: Books, balance: TrialBalance) -> None:
    """From billed to the invoice: what people wrote of the difference, and what is left of it."""
    notes = [e for e in found.ledger if e.kind is LedgerKind.NOTE and e.currency in (balance.currency, "")]
    rows: list[tuple[str, Decimal, str, str]] = []
    for statement in statements_in(found, balance.currency):
        rows.append((f"Billed by {account_name(statement)}", statement.billed, "", ""))
    rows += [
        (entry.text, entry.amount or Decimal(0), entry.owner, f"{entry.at:%Y-%m-%d}" if entry.at else "")
        for entry in notes
    ]
    invoice = found.invoice_of(balance.currency)
    if invoice is not None:
        explained = exact_sum(amount for _, amount, *_ in rows)
        rows.append(("Not explained", exact_sum((invoice, explained.copy_negate())), "", ""))
        rows.append(("Invoice total", invoice, "", ""))
    shown = pd.DataFrame(
        {
            "From the charges to the invoice": [text.plain(name, 200) for name, *_ in rows],
            "Amount": [exact(amount) for _, amount, *_ in rows],
            "Owner": [text.plain(owner) for *_, owner, _ in rows],
            "Noted": [at for *_, at in rows],
        }
    )
    st.dataframe(shown, hide_index=True, key="bridge", height="content", column_config={"Amount": MONEY})
    if invoice is None:
        st.caption("An account of this month has no invoice total yet, so nothing is called reconciled.")


def beside_the_bill(found: Books, balance: TrialBalance) -> None:
    """People and licences: what the month costs and no invoice has. Nothing is drawn where owners.toml names none."""
    loaded = fully_loaded(balance, found.owners)
    if loaded.note:
        st.caption(text.sentence(loaded.note))
    if not loaded.beside:
        return
    rows = [(text.plain(f"{cost.what}, {cost.kind}", 200), cost.usd) for cost in loaded.beside]
    rows = [("The bill", loaded.invoice), *rows, ("The bill, people and licences", loaded.total)]
    shown = pd.DataFrame(
        {"Beside the bill, from owners.toml": [name for name, _ in rows], "Amount": [exact(cost) for _, cost in rows]}
    )
    st.dataframe(shown, hide_index=True, key="beside", height="content", column_config={"Amount": MONEY})


def account_name(statement: Statement) -> str:
    return " ".join(part for part in (statement.provider, statement.billing_account) if part) or "an unnamed provider"


def restatements(found: data.Snapshot, month: str) -> None:
    rows = found.restatements(month)
    if rows.empty:
        st.caption("No delivery of this month was ever replaced by one that differs.")
        return
    shown = pd.DataFrame(
        {
            "Provider": [text.plain(name) for name in rows["provider"]],
            "Account": [text.plain(name) for name in rows["billing_account"]],
            "Service": [text.plain(name) for name in rows["service"]],
            "Before": [exact(cost) for cost in rows["before"]],
            "After": [exact(cost) for cost in rows["after"]],
            "Difference": [exact(cost) for cost in rows["difference"]],
            "Replaced": [f"{at:%Y-%m-%d %H:%M}" for at in rows["superseded_at"]],
        }
    )
    st.dataframe(shown, hide_index=True, key="restatements",
                 column_config={"Before": MONEY, "After": MONEY, "Difference": MONEY})  # fmt: skip


def unmatched(found: Books) -> None:
    """GPUs and other resources that belong to no deployment, the dearest first, and the rules that would match them."""
    groups = [g for g in found.matches.unmatched if is_use(g) and (g.resource_id or g.resource_name)]
    if not groups:
        st.caption("Every resource on the bill belongs to a deployment.")
        return
    dearest = sorted(groups, key=lambda group: -abs(group.billed))[:50]
    shown = pd.DataFrame(
        {
            "Resource": [text.plain(g.resource_name or g.resource_id or "–") for g in dearest],
            "Service": [text.plain(g.service_name) for g in dearest],
            "Tags": [text.plain(", ".join(f"{key}={value}" for key, value in sorted(g.tags.items()))) for g in dearest],
            "Billed": [exact(g.billed) for g in dearest],
            "Days": [_days(g) for g in dearest],
        }
    )
    st.dataframe(shown, hide_index=True, key="unmatched", column_config={"Billed": MONEY})
    if found.matches.suggested:
        st.caption(f"Rules that would match them. Check each, and put it into {text.label(data.home().owners)}.")
        st.code(found.matches.suggested, language="toml")


def _days(group: ChargeGroup) -> float | None:
    if group.first_start is None or group.last_end is None:
        return None
    return round((group.last_end - group.first_start).total_seconds() / SECONDS_PER_DAY, 1)


def exact(cost: Decimal | None) -> str:
    """All digits, at least cents: this is where finance ties out."""
    if cost is None or pd.isna(cost):
        return text.UNKNOWN
    whole, _, rest = exact_text(abs(cost)).partition(".")
    return f"{'-' if cost < 0 else ''}{int(whole):,}.{rest.ljust(2, '0')}"
