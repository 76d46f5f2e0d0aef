"""A billing month as people write it: 2026-10."""

import re
from datetime import UTC, datetime

from costlib.errors import ConfigError

_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)


def month_of(month: str) -> tuple[datetime, datetime]:
    """The first moment of a month and of the next, in UTC. Raises ConfigError for what is no month.

    >>> [str(moment.date()) for moment in month_of("2026-12")]
    ['2026-12-01', '2027-01-01']
    """
    try:
        start = datetime.strptime(month if _MONTH.fullmatch(month) else "", "%Y-%m").replace(tzinfo=UTC)
        return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    except ValueError:
        raise ConfigError(f"{month[:40]!r} is not a month; write for example 2026-10.") from None
