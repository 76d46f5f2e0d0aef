"""AWS column names: a legacy report's `lineItem/UsageType` is `line_item_usage_type` in Athena and CUR 2.0."""

import re
from collections.abc import Iterable

_BEFORE_CAPITAL = re.compile(r"(?<=.)(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")

TYPE = "line_item_line_item_type"
UNBLENDED, NET = "line_item_unblended_cost", "line_item_net_unblended_cost"
AMOUNT = "line_item_usage_amount"
DESCRIPTION = "line_item_line_item_description"
SPLIT_OF = "split_line_item_parent_resource_id"
# Without these a row has no price, no kind or no place in time. By the legacy spelling, for messages.
REQUIRED = {
    UNBLENDED: "lineItem/UnblendedCost",
    TYPE: "lineItem/LineItemType",
    "bill_billing_period_start_date": "bill/BillingPeriodStartDate",
    "bill_billing_period_end_date": "bill/BillingPeriodEndDate",
    "line_item_usage_start_date": "lineItem/UsageStartDate",
    "line_item_usage_end_date": "lineItem/UsageEndDate",
    "line_item_currency_code": "lineItem/CurrencyCode",
}
_TELLING = {UNBLENDED, TYPE, "bill_payer_account_id", "line_item_usage_account_id", "identity_time_interval"}
_TELLING_COUNT = 2

# CUR 2.0 has one column where legacy reports have one for each tag, product attribute or cost category in use.
_MAPS = {"product", "resource_tags", "cost_category", "discount", "tags"}
_LEGACY_COLUMNS = {"product_product_name", "product_region", "product_servicename", "year", "month"}
_LEGACY_PREFIXES = ("resource_tags_", "cost_category_")


def canonical(name: str) -> str:
    """The one spelling by which a column is known here.

    >>> canonical("lineItem/UsageType"), canonical("savingsPlan/SavingsPlanARN")
    ('line_item_usage_type', 'savings_plan_savings_plan_arn')
    >>> canonical("savings_plan_savings_plan_a_r_n")
    'savings_plan_savings_plan_arn'
    """
    category, slash, rest = name.partition("/")
    words = f"{_snake(category)}_{_snake(rest)}" if slash else name.lower()
    return words.replace("_a_r_n", "_arn")


def _snake(text: str) -> str:
    return _NO_WORD.sub("_", _BEFORE_CAPITAL.sub("_", text).lower()).strip("_")


def is_legacy(names: Iterable[str]) -> bool:
    """Whether a header is of a legacy report, under its own names or as Athena and Parquet have them."""
    given = set(names)
    if not _is_aws(given):
        return False
    if any("/" in name for name in given):
        return True
    legacy = _LEGACY_COLUMNS & given or any(name.startswith(_LEGACY_PREFIXES) for name in given)
    return bool(legacy) and not _MAPS & given


def is_cur2(names: Iterable[str]) -> bool:
    """Whether a header is of CUR 2.0. Where a query chose columns that both have, it is: only it lets one choose."""
    given = set(names)
    return _is_aws(given) and not is_legacy(given)


def _is_aws(names: set[str]) -> bool:
    return len({canonical(name) for name in names} & _TELLING) >= _TELLING_COUNT
