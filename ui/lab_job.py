"""A log being examined. Of it nothing outlives its job: the upload is dropped when it starts, its bytes when it ends.
What is kept, for this session alone, are reports, which quote nothing unless text was asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

import streamlit as st

from lab.report import LabOptions, LabReport, examined
from ui import jobs, text
from ui.jobs import Job

SLOT, _REPORTS = "lab", "lab-reports"
MOST_REPORTS = 4
Key = tuple[str, LabOptions]  # the content's hash, or the file with its size and time; and how it was looked at


def job_of(key: Key, path: Path, content: IO[bytes] | None = None) -> Job:
    name = text.plain(path.name, 60)

    def work(progress: jobs.Progress, is_stopped: Callable[[], bool]) -> LabReport:
        def told(_: str, lines: int, fraction: float) -> None:
            progress(fraction, f"{lines:,} lines of {name}; questions are compared last")

        return examined(path, key[1], told, is_stopped, content)

    return Job(name="The lab", key=key, work=work, said=f"Reading {name}")


def is_dealt_with(key: Key) -> bool:
    """Examined, under way, or known not to end in a report."""
    return report(key) is not None or any(
        job is not None and job.key == key for job in (jobs.running(SLOT), jobs.ended(SLOT))
    )


def report(key: Key | None) -> LabReport | None:
    return st.session_state.get(_REPORTS, {}).get(key)


def is_running() -> bool:
    return jobs.running(SLOT) is not None


def start(key: Key, path: Path, content: IO[bytes] | None = None) -> None:
    """In place of what runs in this session. A log that was examined the same way is not read again."""
    if report(key) is not None:
        forget()
        return
    jobs.start(SLOT, job_of(key, path, content))
    collect()


def forget() -> None:
    """Stop what runs, and what was said of the last one."""
    jobs.forget(SLOT)


def collect() -> None:
    """Keep what a job that is through has found."""
    job = jobs.ended(SLOT)
    if job is not None and job.found is not None:
        jobs.forget(SLOT)
        kept = {**st.session_state.get(_REPORTS, {}), job.key: job.found}
        st.session_state[_REPORTS] = dict(list(kept.items())[-MOST_REPORTS:])


def panel() -> None:
    """How far it is, with the button that stops it; or why the last one ended without a report."""
    collect()
    jobs.panel(SLOT, "Stopped. Nothing of the log is kept.")
