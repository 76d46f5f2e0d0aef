"""Tokens on an AWS bill: Amazon Bedrock has a row for each class of token of each model."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

COLUMN_OF = {
    "input": "x_InputTokens",
    "cache_write": "x_InputTokens",  # computed, and then kept
    "cached_input": "x_CachedInputTokens",
    "output": "x_OutputTokens",
}
# Cache reads and writes are also called input, so they are looked for first.
_CLASSES = (
    ("cached_input", re.compile(r"-?cache-?read", re.IGNORECASE)),
    ("cache_write", re.compile(r"-?cache-?write", re.IGNORECASE)),
    ("input", re.compile(r"-?input-?token", re.IGNORECASE)),
    ("output", re.compile(r"-?output-?token", re.IGNORECASE)),
)
_REGION = re.compile(r"^[A-Z]{2,4}\d?-")
_EDITION = re.compile(r" *\(Amazon Bedrock Edition\)$")
_UNITS = {
    "tokens": Decimal(1),
    "token": Decimal(1),
    "1k tokens": Decimal("1e3"),
    "1m tokens": Decimal("1e6"),
}
_MILLION = re.compile(r"million [\w -]*tokens", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """What a row's amount counts. `tokens_per_unit` is None where its unit does not say."""

    model: str
    token_class: str
    tokens_per_unit: Decimal | None


@lru_cache(maxsize=65_536)
def token_use(product_name: str, product_code: str, usage_type: str, unit: str, description: str) -> TokenUse | None:
    """What tokens a row is about, or None. Models of the marketplace are named by their product, others by the meter.

    >>> token_use("Amazon Bedrock", "AmazonBedrock", "USE1-NovaLite-input-tokens", "1K tokens", "").model
    'NovaLite'
    """
    is_marketplace = bool(_EDITION.search(product_name))
    if product_code != "AmazonBedrock" and not is_marketplace:
        return None
    for token_class, pattern in _CLASSES:
        if found := pattern.search(usage_type):
            model = _EDITION.sub("", product_name) if is_marketplace else _REGION.sub("", usage_type[: found.start()])
            per_unit = _UNITS.get(unit.lower())
            if per_unit is None and _MILLION.search(description):
                per_unit = _UNITS["1m tokens"]
            return TokenUse(model=model, token_class=token_class, tokens_per_unit=per_unit)
    return None
