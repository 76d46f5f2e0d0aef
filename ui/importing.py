"""Importing an upload. The file is read by a process of its own: a huge or a hostile one can hurt only that."""

import json
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from ui import data, text

_ASIDE = "uploads"
_JOB, _KEPT, _SAID = "import-job", "import-kept", "import-said"
PREVIEW_WITHIN_S = 120.0
LOOK_EVERY_S = 1
KEPT_FOR = timedelta(days=1)
LONGEST_ANSWER = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the command said: its record, or in one paragraph why it could not."""

    record: Any = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Job:
    """An import under way. Its output goes to files beside the upload, so that no pipe can fill up."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    name: str

    def progress(self) -> tuple[float | None, str]:
        """How far it is, as a fraction where that is known, and in words."""
        lines = (self.folder / "progress").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        with suppress(IndexError, ValueError):
            said = json.loads(lines[-1])
            return said["fraction"], f"{said['rows']:,} rows of {text.plain(said['file'])}"
        return None, "reading"

    def answer(self) -> Answer:
        return _answer((self.folder / "answer").read_bytes(), (self.folder / "progress").read_bytes())


def panel() -> None:
    """Upload, look, import: the same as `permillion import`, with a look at how it would be read first."""
    if said := st.session_state.get(_SAID):
        _receipts(said)
    if _JOB in st.session_state:
        _running()
        return
    upload = st.file_uploader(
        "A billing export", key="bill-upload", help="CSV, gzip, zip, Parquet, JSON; or use `permillion import`."
    )
    if upload is None:
        return
    path = _kept(upload)
    looked = _preview(path, "", "")
    known = (looked.record or {}).get("formats", {})
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    format_key = left.selectbox(
        "Format", ["", *known], format_func=lambda key: known.get(key, "recognise it"), key="bill-format"
    )
    currency = middle.text_input("Currency, where the file has none", key="bill-currency", max_chars=3)
    if format_key or currency:
        looked = _preview(path, format_key, currency)
    if looked.problem:
        st.error(text.label(looked.problem, LONGEST_ANSWER), icon=":material/error:")
        return
    _how_it_is_read(looked.record)
    if right.button("Import", type="primary", icon=":material/upload:", key="bill-import"):
        st.session_state[_JOB] = _start(path, format_key, currency)
        st.session_state.pop(_SAID, None)
        st.rerun()


def _kept(upload: Any) -> Path:
    """The upload as a file, under its own name without any path, in a folder of its own."""
    before = st.session_state.get(_KEPT)
    if before and before[0] == upload.file_id and before[1].exists():
        return before[1]
    aside = data.home().path / _ASIDE
    _sweep(aside)
    folder = aside / secrets.token_hex(8)
    folder.mkdir(parents=True)
    path = folder / (Path(upload.name.replace("\\", "/")).name.lstrip(".") or "upload")
    path.write_bytes(upload.getbuffer())
    if before:
        _forget(before[1].parent)
    st.session_state[_KEPT] = (upload.file_id, path)
    return path


@st.cache_data(max_entries=8, show_spinner="Reading the file…")
def _preview(path: Path, format_key: str, currency: str) -> Answer:
    """What would be read: format, columns, first rows. Nothing is stored."""
    try:
        done = subprocess.run(
            _command(path, format_key, currency, "--preview"),
            capture_output=True, timeout=PREVIEW_WITHIN_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(problem=f"It took more than {PREVIEW_WITHIN_S:.0f} s. Use `permillion import` for this file.")
    return _answer(done.stdout, done.stderr)


def _start(path: Path, format_key: str, currency: str) -> Job:
    folder = path.parent
    with (folder / "answer").open("wb") as answer, (folder / "progress").open("wb") as progress:
        process = subprocess.Popen(
            _command(path, format_key, currency, "--progress"),
            stdin=subprocess.DEVNULL, stdout=answer, stderr=progress,
        )  # fmt: skip
    return Job(process=process, folder=folder, name=path.name)


def _command(path: Path, format_key: str, currency: str, how: str) -> list[str]:
    chosen = [*(["--format", format_key] if format_key else []), *(["--currency", currency] if currency else [])]
    return [sys.executable, "-m", "cli", "import", "--json", how, *chosen, "--", str(path)]


def _answer(output: bytes, errors: bytes) -> Answer:
    if output.strip():
        return Answer(record=json.loads(output))
    said = [line for line in errors.decode(errors="replace").splitlines() if not line.startswith("{")]
    return Answer(problem="\n".join(said).strip().removeprefix("permillion: ") or "It ended without an answer.")


@st.fragment(run_every=LOOK_EVERY_S)
def _running() -> None:
    job: Job = st.session_state[_JOB]
    if job.process.poll() is not None:
        st.session_state[_SAID] = job.answer()
        _forget(job.folder)
        del st.session_state[_JOB]
        st.session_state.pop(_KEPT, None)
        st.rerun()
    fraction, words = job.progress()
    st.progress(min(fraction or 0.0, 1.0), text=f"Importing {text.label(job.name)}: {text.label(words)}")
    if st.button("Cancel", icon=":material/cancel:", key="bill-cancel", help="Nothing is stored before it is whole."):
        job.process.send_signal(signal.SIGINT)


def _sweep(aside: Path) -> None:
    """Uploads of windows that were closed before they were imported."""
    for folder in aside.iterdir() if aside.is_dir() else ():
        if folder.stat().st_mtime < (data.now() - KEPT_FOR).timestamp():
            _forget(folder)


def _forget(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _how_it_is_read(record: dict[str, Any]) -> None:
    st.caption(f"Read as {text.label(record['label'])}.")
    for note in record["notes"]:
        st.caption(text.label(note, LONGEST_ANSWER))
    left, right = st.columns([1, 2], gap="medium")
    columns = pd.DataFrame(
        {
            "Column of the file": [text.plain(theirs) for theirs, _ in record["columns"]],
            "Read as": [text.plain(ours) for _, ours in record["columns"]],
        }
    )
    left.dataframe(columns, hide_index=True, key="bill-columns", height=280)
    rows = [{name: text.plain(value) for name, value in row.items() if value is not None} for row in record["rows"]]
    right.dataframe(pd.DataFrame(rows), hide_index=True, key="bill-rows", height=280)


def _receipts(said: Answer) -> None:
    if said.problem:
        st.error(text.label(said.problem, LONGEST_ANSWER), icon=":material/error:")
        return
    for receipt in said.record:
        words = f"{receipt['file_name']}: {receipt['status']}. {receipt['detail']}"
        show = st.error if receipt["status"] == "refused" else st.success
        show(text.label(words, LONGEST_ANSWER), icon=":material/receipt_long:")
