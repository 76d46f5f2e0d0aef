"""The savings ledger beside what was measured, read once for as long as what it rests on stays the same."""

from collections.abc import Hashable

import streamlit as st

from costlib.errors import PermillionError
from costlib.saving import Savings
from store.home import Home
from store.savings import savings
from ui import data


def read(found: data.Snapshot) -> tuple[Savings | None, str]:
    """The ledger and what was measured of it, or why neither is known."""
    home = data.home()
    try:
        return _savings(_rests_on(found, home), found, home), ""
    except PermillionError as error:
        return None, str(error)


def _rests_on(found: data.Snapshot, home: Home) -> Hashable:
    """What a verdict can change by. Verdicts are of whole days and of bills: a snapshot of the next minute holds no
    other, and must not be waited for again."""
    covered, months = found.status(), found.months()
    hour = covered.usage_to and covered.usage_to.replace(minute=0, second=0, microsecond=0)
    files = (home.savings, home.scenario, home.owners)
    return (
        covered.is_sample,
        *(covered.usage_from, hour, covered.charges_from, covered.charges_to, data.now().date()),
        *zip(
            months["month"], months["state"], months["imported_at"].astype(str), months["versions_count"], strict=True
        ),
        *((path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None for path in files),
    )


@st.cache_resource(max_entries=8, show_spinner="Measuring what each change saved…")
def _savings(rests_on: Hashable, _found: data.Snapshot, _home: Home) -> Savings:
    return savings(_found, _home, _found.published_at)
