"""What a person says of a month: an invoice's total, a difference with its owner, a lock. Written through the store."""

import pandas as pd
import streamlit as st

from costlib.billing import decimal_from
from costlib.books import TrialBalance
from costlib.errors import BadRecord, PermillionError
from store.books import Books, Statement
from store.ledger import write
from store.records import LedgerEntry, LedgerKind
from ui import data, text
from ui.reconciliation import account_name, statements_in

WRITTEN = "reconciliation-written"


def writing(found: Books, balance: TrialBalance, known: pd.DataFrame) -> None:
    """What a person says of the month: an invoice's total, a difference with its owner, a lock.

    known    all months, as Snapshot.months() has them
    """
    if message := st.session_state.pop(WRITTEN, None):
        st.success(message, icon=":material/check_circle:")
    mine = statements_in(found, balance.currency)
    chosen = mine[0]
    if len(mine) > 1:
        chosen = st.selectbox("Account", mine, format_func=lambda one: text.plain(account_name(one)), key="account")
    left, right = st.columns(2, gap="medium")
    with left, st.form("invoice", clear_on_submit=True):
        st.markdown("**Invoice total**")
        total = st.text_input(
            f"Total in {text.label(balance.currency)}", key="invoice-amount", placeholder="12345.67", max_chars=40
        )
        st.text_input("Document", key="invoice-text", placeholder="invoice number", max_chars=300)
        st.text_input("Entered by", key="invoice-owner", max_chars=80)
        if st.form_submit_button("Save the total", key="invoice-save"):
            _submit("invoice", LedgerKind.INVOICE, balance.month, chosen, total)
    with right, st.form("note", clear_on_submit=True):
        st.markdown("**Explain a difference**")
        amount = st.text_input(
            "Amount, negative when the invoice is lower", key="note-amount", placeholder="-12.50", max_chars=40
        )
        st.text_input("Why", key="note-text", placeholder="credit booked in the next month", max_chars=300)
        st.text_input("Owner", key="note-owner", max_chars=80)
        if st.form_submit_button("Save the difference", key="note-save"):
            _submit("note", LedgerKind.NOTE, balance.month, chosen, amount)
    is_locked = chosen.state == "locked"
    if _waits(known, balance.month, chosen):
        st.warning("A later delivery of this month differs and waits, because the month is locked.")
        if st.button("Accept what waits", icon=":material/done_all:", key="accept"):
            _submit("lock", LedgerKind.ACCEPT, balance.month, chosen, None)
    if st.button(
        "Unlock the month" if is_locked else "Lock the month",
        icon=":material/lock_open:" if is_locked else ":material/lock:",
        key="lock",
        help="A locked month keeps its figures: a later delivery that differs waits until someone accepts it.",
    ):
        _submit("lock", LedgerKind.UNLOCK if is_locked else LedgerKind.LOCK, balance.month, chosen, None)


def _waits(known: pd.DataFrame, month: str, account: Statement) -> bool:
    of_month = known[(known["month"] == month) & (known["pending_count"] > 0)]
    keys = zip(of_month["provider"], of_month["billing_account"], strict=True)
    wanted = (account.provider, account.billing_account)
    return any(all(not mine or mine == theirs for mine, theirs in zip(wanted, key, strict=True)) for key in keys)


def _submit(form: str, kind: LedgerKind, month: str, account: Statement, amount: str | None) -> None:
    try:
        entry = LedgerEntry(
            kind=kind,
            month=month,
            provider=account.provider,
            billing_account=account.billing_account,
            currency=account.currency if amount is not None else "",
            amount=None if amount is None else decimal_from(amount.strip()),
            text=st.session_state.get(f"{form}-text", "").strip(),
            owner=st.session_state.get(f"{form}-owner", "").strip(),
        )
        if kind is LedgerKind.NOTE and not entry.text:
            raise BadRecord("a difference needs a reason, so that the next person need not ask")
        write(data.home(), [entry])
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    st.session_state[WRITTEN] = "Saved, with the time. What is written here is never removed."
    st.rerun()
