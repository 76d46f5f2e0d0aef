"""The verb `reconcile`: its options, and what it writes down of what a person says before it answers."""

from decimal import Decimal
from typing import Annotated

import typer

from collectors.reconciliation import reconciled, reconciliation_text
from collectors.terminal import Json, Month, home, show
from costlib.billing import decimal_from
from costlib.books import CostBasis, IdlePolicy
from costlib.errors import BadRecord, ConfigError, UnknownKey
from store.books import books, newest_full_month
from store.ledger import write
from store.months import month_of
from store.owners_file import load_rates
from store.read import Snapshot, snapshot_of
from store.records import LedgerEntry, LedgerKind


def reconcile(
    month: Month = "",
    basis: Annotated[CostBasis, typer.Option(help="Billed is the invoice; effective spreads commitments.")] = (
        CostBasis.BILLED
    ),
    idle: Annotated[IdlePolicy, typer.Option(help="Who is shown idle cost.")] = IdlePolicy.OWN_LINE,
    currency: Annotated[str, typer.Option(help="Only this one; all that were billed if left out.")] = "",
    show_in: Annotated[str, typer.Option(help="Totals in this currency too, by the rates of owners.toml.")] = "",
    provider: Annotated[str, typer.Option(help="Whose invoice, lock or acceptance it is; all if left out.")] = "",
    account: Annotated[str, typer.Option(help="Billing account that it is of; all if left out.")] = "",
    invoice: Annotated[str, typer.Option(help="Write down the invoice's total, such as 1234.56.")] = "",
    note: Annotated[str, typer.Option(help="Write down why the invoice differs; needs --owner.")] = "",
    explains: Annotated[str, typer.Option(help="What --note explains of the difference, such as -12.50.")] = "",
    owner: Annotated[str, typer.Option(help="Who says so.")] = "",
    lock: Annotated[bool, typer.Option("--lock", help="Later deliveries of the month wait.")] = False,
    unlock: Annotated[bool, typer.Option("--unlock", help="They no longer do.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="What waits takes the place of what is there.")] = False,
    as_json: Json = False,
) -> None:
    """The trial balance of a month: every dollar in one place. Exit code 1 when it does not tie."""
    if lock and unlock:
        raise ConfigError("--lock and --unlock exclude each other; give one of them.")
    if explains and not note:
        raise ConfigError("--explains needs a --note that says why.")
    with snapshot_of(home()) as snapshot:
        month = month or newest_full_month(snapshot)
        _check_billed(snapshot, month, provider, account)
        code = currency or (_only_currency(snapshot, month) if invoice or explains else "")
    kinds = [
        kind
        for kind, is_said in (
            (LedgerKind.INVOICE, invoice),
            (LedgerKind.NOTE, note and (explains or not invoice)),
            (LedgerKind.UNLOCK, unlock),
            (LedgerKind.ACCEPT, accept),
            (LedgerKind.LOCK, lock),
        )
        if is_said
    ]
    amounts = {LedgerKind.INVOICE: invoice, LedgerKind.NOTE: explains}
    said = [
        LedgerEntry(
            kind=kind,
            month=month,
            provider=provider,
            billing_account=account,
            currency=code,
            amount=_amount(kind, amounts.get(kind, "")),
            text=note,
            owner=owner,
        )
        for kind in kinds
    ]
    write(home(), said)
    with snapshot_of(home()) as snapshot:
        found = books(snapshot, home(), month, basis, currency or None).with_idle(idle)
        report = reconciled(found, idle, load_rates(home()), show_in, snapshot.is_sample)
    show(as_json, report, lambda: reconciliation_text(report))
    raise typer.Exit(int(not report.is_right))


def _check_billed(snapshot: Snapshot, month: str, provider: str, account: str) -> None:
    """What is written of a month, provider or account without a bill would speak of nothing, and nobody would know."""
    month_of(month)
    months = snapshot.months()
    if month not in set(months["month"]):
        raise UnknownKey("month", month, set(months["month"]), "the imported bills")
    billed = months[months["month"] == month]
    if provider:
        if provider not in set(billed["provider"]):
            raise UnknownKey("provider", provider, set(billed["provider"]), f"the bills of {month}")
        billed = billed[billed["provider"] == provider]
    if account and account not in set(billed["billing_account"]):
        raise UnknownKey("account", account, set(billed["billing_account"]), f"the bills of {month}")


def _only_currency(snapshot: Snapshot, month: str) -> str:
    months = snapshot.months()
    codes = sorted(set(months.loc[months["month"] == month, "currency"]))
    if len(codes) != 1:
        raise ConfigError(
            f"{month} was billed in {', '.join(codes) or 'no currency'}; say with --currency which one is meant."
        )
    return str(codes[0])


def _amount(kind: LedgerKind, text: str) -> Decimal | None:
    try:
        return decimal_from(text.strip()) if text else None
    except BadRecord as error:
        option = "--invoice" if kind is LedgerKind.INVOICE else "--explains"
        raise ConfigError(f"{option}: {error}.") from None
