"""Units: base units inside, conversions only here, the unit of a field in its name.

Everything in costlib is in base units: bytes, seconds, FLOP, tokens, US dollars. This file is the only home of
1e6, 1e9, 1024**3 and 3600; `tests/test_repo.py` looks for them elsewhere.
"""

import re
from functools import cache

KILO = 1e3
MEGA = 1e6
GIGA = 1e9
TERA = 1e12
KIBI = 1024
MEBI = 1024**2
GIBI = 1024**3

MS_PER_S = 1e3
SECONDS_PER_MINUTE = 60.0
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0
HOURS_PER_DAY = 24
HOURS_PER_MONTH = 730.0  # a twelfth of 8,760: the month cloud price lists use
TOKENS_PER_MTOK = MEGA

# The unit a field carries, by the end of its name; the longest match wins.
UNIT_OF_SUFFIX = {
    "_bytes": "byte",
    "_bytes_per_s": "byte/s",
    "_bytes_per_token": "byte/token",
    "_bytes_per_param": "byte/parameter",
    "_flop": "FLOP",
    "_flop_per_s": "FLOP/s",
    "_flop_per_byte": "FLOP/byte",
    "_bytes_per_usd": "byte/USD",
    "_flop_per_usd": "FLOP/USD",
    "_tokens": "token",
    "_tokens_per_s": "token/s",
    "tokens_per_month": "token/month",
    "_requests_per_s": "request/s",
    "requests_per_s": "request/s",
    "_s": "s",
    "_hours": "h",
    "_hours_per_month": "h/month",
    "_days": "day",
    "_count": "1",
    "_fraction": "1",
    "_ratio": "1",
    "_w": "W",
    "_j": "J",
    "_usd": "USD",
    "usd_per_hour": "USD/h",
    "usd_per_gpu_hour": "USD/GPU-hour",
    "usd_per_month": "USD/month",
    "usd_per_mtok": "USD/M tokens",
    "usd_per_mtok_input": "USD/M input tokens",
    "usd_per_mtok_cached_input": "USD/M cached input tokens",
    "usd_per_mtok_output": "USD/M output tokens",
    "usd_per_mtok_blended": "USD/M tokens, input + output",
    "_s_per_token": "s/token",
    # vLLM's own names stay as its users know them.
    "max_num_seqs": "sequence",
    "max_num_batched_tokens": "token/step",
    "gpu_memory_utilization": "1",
    "hours_per_month": "h/month",
}


def seconds_from(text: str) -> float:
    """A time as people write it: `15s`, `2m`, `1h`, or a bare number of seconds.

    >>> seconds_from("15s"), seconds_from("2 m"), seconds_from("0.5")
    (15.0, 120.0, 0.5)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a time; write for example 15s, 2m or 1h")
    return float(found[1]) * {"": 1.0, "s": 1.0, "m": SECONDS_PER_MINUTE, "h": SECONDS_PER_HOUR}[found[2]]


@cache
def unit_of(name: str) -> str | None:
    """Unit of the field called `name`, or None when its name carries no known unit.

    >>> unit_of("hbm_bytes_per_s"), unit_of("tpot_s"), unit_of("speed")
    ('byte/s', 's', None)
    """
    endings = [suffix for suffix in UNIT_OF_SUFFIX if name.endswith(suffix)]
    return UNIT_OF_SUFFIX[max(endings, key=len)] if endings else None
