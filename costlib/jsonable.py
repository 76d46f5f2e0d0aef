"""Results as plain JSON values: keys are the field names, money is a string, an undefined number says why."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

from costlib.billing import exact_text
from costlib.estimate import Undefined


def jsonable(value: Any) -> Any:
    """`value` for json.dumps: dataclasses become objects, Decimals strings, dates ISO texts.

    >>> jsonable({"billed_cost": Decimal("5.070"), "per_mtok": Undefined(reason="no tokens")})
    {'billed_cost': '5.07', 'per_mtok': {'undefined': 'no tokens'}}
    """
    if isinstance(value, Undefined):
        return {"undefined": value.reason}
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, date):  # datetime is one too
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):  # what is not known is null: JSON has no NaN
        return None if isinstance(value, np.floating) and not np.isfinite(value) else value.item()
    if isinstance(value, set | frozenset):  # a set has no order: the same result gives the same text
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value
