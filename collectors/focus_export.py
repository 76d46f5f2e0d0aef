"""The verb `export`: a month's trial balance as FOCUS 1.2 rows, for whoever charges teams by such files.

One row per line of the trial balance, idle rows included, so that the rows add up to the bill. Their provider is
Permillion: they are a view of other bills, and a column of their own, x_Bucket, keeps an import from adding them to
those. Text is neutralised (see `costlib.text_safety`), amounts stay numbers.
"""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Month, home
from costlib.billing import exact_sum, exact_text
from costlib.books import Bucket, CostBasis, IdlePolicy, Line, TokenClass
from costlib.errors import ConfigError
from costlib.text_safety import neutral
from store.books import Books, books, newest_full_month
from store.durable import write_text
from store.months import month_of
from store.read import snapshot_of

US = "Permillion"
COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName",
    "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "Tags",
)  # fmt: skip
OURS = (
    "x_Basis", "x_Bucket", "x_CostBasis", "x_Deployment", "x_Model", "x_Note", "x_SourceProvider", "x_Team",
    "x_TokenClass",
)  # fmt: skip

_TOKENS = ("AI and Machine Learning", "Generative AI", "LLM tokens")
_GPUS = ("Compute", "Virtual Machines", "GPUs")
_OTHER = ("Other", "Other (Other)")
# ServiceCategory, ServiceSubcategory and ServiceName of each bucket.
_SERVICE: dict[Bucket, tuple[str, str, str]] = dict.fromkeys(Bucket, _GPUS)
_SERVICE |= dict.fromkeys((Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT, Bucket.API), _TOKENS)
_SERVICE |= {
    Bucket.HOST: ("Compute", "Virtual Machines", "Hosts"),
    Bucket.NETWORK: ("Networking", "Other (Networking)", "Network"),
    Bucket.STORAGE: ("Storage", "Other (Storage)", "Storage"),
    Bucket.OTHER_SERVICE: (*_OTHER, "Other services"),
    Bucket.SUPPORT_AND_LICENCE: (*_OTHER, "Support and licences"),
    Bucket.CREDIT: (*_OTHER, "Credits"),
    Bucket.CORRECTION: (*_OTHER, "Corrections"),
    Bucket.TAX: (*_OTHER, "Tax"),
    Bucket.ROUNDING: (*_OTHER, "Rounding"),
}
_CATEGORY = {
    Bucket.COMMITMENT_PURCHASE: "Purchase",
    Bucket.TAX: "Tax",
    Bucket.CREDIT: "Credit",
    Bucket.CORRECTION: "Adjustment",
    Bucket.ROUNDING: "Adjustment",
}
_FREQUENCY = {"Usage": "Usage-Based", "Purchase": "Recurring"}
_TOKEN_CLASSES = frozenset(TokenClass)


def export(
    out: Annotated[Path, typer.Option(help="The CSV file to write; one that is there is replaced.")],
    month: Month = "",
    basis: Annotated[CostBasis, typer.Option(help="Which cost is allocated; the two never meet in one file.")] = (
        CostBasis.BILLED
    ),
    idle: Annotated[IdlePolicy, typer.Option(help="Who is shown idle cost.")] = IdlePolicy.OWN_LINE,
) -> None:
    """Write a month's allocated cost as FOCUS 1.2 rows, idle rows included. They sum to the bill."""
    with snapshot_of(home()) as snapshot:
        found = books(snapshot, home(), month or newest_full_month(snapshot), basis).with_idle(idle)
    text = focus_csv(found)
    try:
        write_text(out, text)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}; name a file in an existing folder.") from None
    for balance in found.balances:
        total = exact_text(exact_sum(line.amount for line in balance.lines))
        typer.echo(f"{out}: {len(balance.lines)} rows, {found.basis} cost {total} {balance.currency}, {found.month}")


def focus_csv(found: Books) -> str:
    """The file's content: a header, and one row per line of each trial balance."""
    text = StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *OURS), restval="", lineterminator="\r\n")  # RFC 4180; quotes both
    writer.writeheader()
    writer.writerows(focus_rows(found))
    return text.getvalue()


def focus_rows(found: Books) -> Iterator[dict[str, str]]:
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in month_of(found.month))
    for balance in found.balances:
        for line in balance.lines:
            category = _CATEGORY.get(line.bucket, "Usage")
            amount = exact_text(line.amount)
            texts = _texts(line) | {"x_CostBasis": str(found.basis)}
            yield {
                **{name: neutral(value) for name, value in texts.items()},
                **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), amount),
                "BillingAccountId": "allocation",
                "BillingAccountName": "Allocated cost",
                "BillingAccountType": "Allocation",
                "BillingCurrency": balance.currency,
                "ChargeCategory": category,
                "ChargeClass": "Correction" if line.bucket is Bucket.CORRECTION else "",
                "ChargeFrequency": _FREQUENCY.get(category, "One-Time"),
                **dict.fromkeys(("BillingPeriodStart", "ChargePeriodStart"), start),
                **dict.fromkeys(("BillingPeriodEnd", "ChargePeriodEnd"), end),
                **_quantities(line, category),
                **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), US),
            }


def _texts(line: Line) -> dict[str, str]:
    """The cells that hold what others wrote, or could."""
    category, subcategory, service = _SERVICE[line.bucket]
    owner = " of ".join(filter(None, (line.model_key, line.deployment_key or line.provider)))
    what = str(line.bucket).replace("_", " ")
    description = f"{what} for {owner}" if owner else what
    tags = {"deployment": line.deployment_key, "model": line.model_key, "team": line.team}
    return {
        "ChargeDescription": f"{description}, team {line.team}" if line.team else description,
        "ResourceId": "/".join(filter(None, (line.deployment_key, line.model_key))),
        "ResourceName": line.deployment_key or line.model_key,
        "ResourceType": "Deployment" if line.deployment_key else "Model" if line.model_key else "",
        "ServiceCategory": category,
        "ServiceName": service,
        "ServiceSubcategory": subcategory,
        "Tags": json.dumps({key: value for key, value in tags.items() if value}, ensure_ascii=False, sort_keys=True),
        "x_Basis": str(line.basis),
        "x_Bucket": str(line.bucket),
        "x_Deployment": line.deployment_key,
        "x_Model": line.model_key,
        "x_Note": line.note,
        "x_SourceProvider": line.provider,
        "x_Team": line.team,
        "x_TokenClass": str(line.bucket) if str(line.bucket) in _TOKEN_CLASSES else "",
    }


def _quantities(line: Line, category: str) -> dict[str, str]:
    """Tokens where the line paid for tokens, else the month it is for; nothing where there is no use to count."""
    if category not in ("Usage", "Purchase"):
        return {}
    quantity, unit = ("1", "Months") if line.tokens is None else (str(line.tokens), "Tokens")
    priced = {"PricingQuantity": quantity, "PricingUnit": unit}
    return priced | ({"ConsumedQuantity": quantity, "ConsumedUnit": unit} if category == "Usage" else {})
