"""Hourly traffic from a CSV file: where there is no history yet, or to plan for another one."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import IO

import numpy as np

from costlib.demand_curve import MOST_HOURS, HourlyLoad
from costlib.errors import BadRecord, ConfigError, UnknownKey
from costlib.estimate import Basis
from costlib.units import SECONDS_PER_HOUR

COLUMNS = ("hour", "requests_per_s")
DEPLOYMENT = "deployment"
MOST_ROWS = 10 * MOST_HOURS
MOST_DEPLOYMENTS = 1_000
MOST_LINE = 10_000
_QUOTED = 80


def traffic_from(path: Path) -> tuple[HourlyLoad, ...]:
    """`traffic_of` a file. Raises ConfigError for one that cannot be read, and what that does."""
    try:
        with path.open("rb") as content:
            return traffic_of(content, path.name)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}. Give the path of a CSV file.") from None


def traffic_of(content: IO[bytes], name: str) -> tuple[HourlyLoad, ...]:
    """Loads by deployment from a table `hour,requests_per_s[,deployment]`, one row for each hour, in any order.

    An hour is an ISO time on the hour, in UTC where it names no zone. Hours that are missing are not known. Without
    a column `deployment` the load is of the deployment "".

    Raises     ConfigError for what is no text; BadRecord naming the line for what cannot be in it
    """
    hours: dict[str, dict[datetime, float]] = {}
    text = TextIOWrapper(content, encoding="utf-8-sig", newline="")
    try:
        for line, key, hour, rate in _rows(text, name):
            known = hours.setdefault(key, {})
            if len(hours) > MOST_DEPLOYMENTS:
                raise BadRecord(f"{name}, line {line}: more than {MOST_DEPLOYMENTS:,} deployments; give fewer.")
            if hour in known:
                raise BadRecord(f"{name}, line {line}: {hour:%Y-%m-%d %H:%M} comes twice; add them up first.")
            known[hour] = rate
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} cannot be read as UTF-8 text: {error}. Save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise BadRecord(f"{name}: not a CSV table: {error}. Save it as CSV in UTF-8.") from None
    finally:
        text.detach()  # what was given stays open, and is whose it was
    if not hours:
        raise BadRecord(f"{name}: no hour is in it; write a row for each below the header.")
    return tuple(_load(key, known, name) for key, known in hours.items())


def of_deployments(loads: Sequence[HourlyLoad], keys: Iterable[str]) -> dict[str, HourlyLoad]:
    """Which of these deployments each load of a file is of; one without a name is of the only deployment.

    Raises     UnknownKey for a deployment that is not among them; ConfigError for no name where there are several
    """
    known, found = list(keys), {}
    for load in loads:
        key = load.deployment_key or (known[0] if len(known) == 1 else "")
        if not key:
            raise ConfigError(
                f"{load.file_name}: whose traffic is it? Add a column {DEPLOYMENT}, of {', '.join(sorted(known)[:9])}."
            )
        if key not in known:
            raise UnknownKey("deployment", key, known, load.file_name)
        found[key] = replace(load, deployment_key=key)
    return found


def _rows(file: Iterable[str], name: str) -> Iterator[tuple[int, str, datetime, float]]:
    reader = csv.reader(_bounded(file, name))
    header = [column.strip().lower() for column in next(reader, [])]
    if missing := [column for column in COLUMNS if column not in header]:
        raise BadRecord(
            f"{name}, line 1: the header lacks {' and '.join(missing)}; it is hour,requests_per_s and, for several, "
            "deployment."
        )
    places = [header.index(column) for column in COLUMNS]
    named = header.index(DEPLOYMENT) if DEPLOYMENT in header else None
    for row in reader:
        line = reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        if line > MOST_ROWS:
            raise BadRecord(f"{name}, line {line}: more than {MOST_ROWS:,} rows; give hours, not minutes.")
        if len(row) < len(header):
            raise BadRecord(f"{name}, line {line}: {len(row)} cells under a header of {len(header)}; write them all.")
        hour, rate = (row[place].strip() for place in places)
        yield line, row[named].strip() if named is not None else "", _hour(hour, name, line), _rate(rate, name, line)


def _bounded(file: Iterable[str], name: str) -> Iterator[str]:
    for number, text in enumerate(file, 1):
        if len(text) > MOST_LINE:
            raise BadRecord(f"{name}, line {number}: {len(text):,} characters; a row has three short cells.")
        yield text


def _hour(text: str, name: str, line: int) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRecord(
            f"{name}, line {line}: {text[:_QUOTED]!r} is no time; write 2026-11-21T14:00, in UTC or with its zone."
        ) from None
    if found.minute or found.second or found.microsecond:
        raise BadRecord(f"{name}, line {line}: {text[:_QUOTED]!r} is not on the hour; sum to hours first.")
    return found


def _rate(text: str, name: str, line: int) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found) or found < 0:
        raise BadRecord(f"{name}, line {line}: {text[:_QUOTED]!r} is no rate; requests_per_s is a number of 0 or more.")
    return found


def _load(key: str, known: dict[datetime, float], name: str) -> HourlyLoad:
    first, last = min(known), max(known)
    count = round((last - first) / timedelta(hours=1)) + 1
    if count > MOST_HOURS:
        raise BadRecord(
            f"{name}: from {first:%Y-%m-%d} to {last:%Y-%m-%d} are {count:,} hours; {MOST_HOURS:,} at most. Cut it."
        )
    hours = np.full(count, np.nan)
    for hour, rate in known.items():
        hours[round((hour - first).total_seconds() / SECONDS_PER_HOUR)] = rate
    return HourlyLoad(
        deployment_key=key,
        start=first,
        requests_per_s=hours,
        basis=Basis.ASSUMED,
        notes=(f"{key or 'all'}: traffic from {name}, {len(known):,} hours.",),
        file_name=name,
    )
