"""Long work beside a page: in a thread of its own, looked at by a fragment, ended by a button or when nobody looks.

A click within a fragment waits for the fragment's own run to end: work that ran there could not be cancelled. A slot of
a session holds one job at a time; of what a job works on nothing outlives it.
"""

import logging
import threading
import traceback
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import streamlit as st

from costlib.errors import Cancelled, PermillionError
from ui import text

_AT_ONCE = threading.BoundedSemaphore(2)  # of all sessions and slots: each is one core's work
LOOK_EVERY_S = 1
SOON_S = 1.5  # short work is through before a progress bar would show
UNSEEN_S = 300.0  # browsers let hidden windows look once a minute
Progress = Callable[[float, str], None]  # how much of it is done, from 0 to 1, and in words
Work = Callable[[Progress, Callable[[], bool]], Any]  # raises Cancelled once it is stopped

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Job:
    """`key` tells what is asked from everything else that could be; `name` is what fails where it does."""

    name: str
    key: Hashable
    work: Work | None
    said: str = ""
    fraction: float = 0.0
    found: Any = None
    problem: str = ""
    was_stopped: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    seen_s: float = field(default_factory=monotonic)

    def is_stopped(self) -> bool:
        return self.stop.is_set() or monotonic() - self.seen_s > UNSEEN_S

    def run(self) -> None:
        try:
            while not _AT_ONCE.acquire(timeout=LOOK_EVERY_S):
                if self.is_stopped():
                    raise Cancelled
            try:
                if self.work is not None:
                    self.found = self.work(self._progress, self.is_stopped)
            finally:
                _AT_ONCE.release()
        except Cancelled:
            self.was_stopped = True
        except PermillionError as error:
            self.problem = str(error)
        except Exception as error:  # a fault of ours, whose words could quote the input: only where it happened is told
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s failed: %s\n%s", self.name, type(error).__name__, frames)
            self.problem = f"{self.name} failed ({type(error).__name__}); the server's log says where."
        finally:
            self.work = None
            self.done.set()

    def _progress(self, fraction: float, said: str) -> None:
        self.fraction, self.said = min(1.0, max(0.0, fraction)), said


def start(slot: str, job: Job) -> None:
    """In place of what runs in this slot of the session, and of what the last one came to."""
    forget(slot)
    st.session_state[_running_key(slot)] = job
    threading.Thread(target=job.run, name=slot, daemon=True).start()
    job.done.wait(SOON_S)


def forget(slot: str) -> None:
    """Stop what runs, and drop what the last one came to."""
    st.session_state.pop(_ended_key(slot), None)
    if job := st.session_state.pop(_running_key(slot), None):
        job.stop.set()


def running(slot: str) -> Job | None:
    """What is under way; one that is through is so no more."""
    job: Job | None = st.session_state.get(_running_key(slot))
    if job is not None and job.done.is_set():
        st.session_state[_ended_key(slot)] = st.session_state.pop(_running_key(slot))
        return None
    return job


def ended(slot: str) -> Job | None:
    """What the last one came to: a result, a problem, or that it was stopped."""
    running(slot)
    job: Job | None = st.session_state.get(_ended_key(slot))
    return job


def panel(slot: str, stopped: str) -> None:
    """How far it is, with the button that stops it; or why the last one came to nothing."""
    if running(slot) is not None:
        _panel(slot)
    elif (job := ended(slot)) is not None and job.was_stopped:
        st.info(stopped, icon=":material/cancel:")
    elif job is not None and job.problem:
        st.error(text.label(job.problem, text.A_PARAGRAPH), icon=":material/error:")


@st.fragment(run_every=LOOK_EVERY_S)
def _panel(slot: str) -> None:
    job = running(slot)
    if job is None:
        st.rerun()
    job.seen_s = monotonic()
    is_stopping = job.stop.is_set()
    with st.container(horizontal=True, vertical_alignment="center", key=f"{slot}-progress"):
        st.progress(job.fraction, "Stopping" if is_stopping else text.label(job.said))
        if st.button("Cancel", icon=":material/cancel:", key=f"{slot}-cancel", disabled=is_stopping):
            job.stop.set()
            st.rerun(scope="fragment")


def _running_key(slot: str) -> str:
    return f"{slot}-running"


def _ended_key(slot: str) -> str:
    return f"{slot}-ended"
