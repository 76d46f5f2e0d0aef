"""Charts of one section, and the sentences that state what they find. Pure: a section and a palette in, figures out."""

from collections.abc import Sequence

import pandas as pd

from costlib.measures import ACCEPTED_AT
from costlib.units import MS_PER_S
from ui import charts, text
from ui.charts import Figure
from ui.fleet import NOW_WORDS, Section
from ui.fleet_figures import Missing, figure, known
from ui.text import PERCENT
from ui.theme import Palette

HEIGHT = 230
CLASSES = (
    ("computed_tokens_per_s", "Computed input"),
    ("cached_tokens_per_s", "Cached input"),
    ("generation_tokens_per_s", "Output"),
)
WAYS = (
    ("gpu_util_fraction", "GPU utilisation"),
    ("sm_active_fraction", "SM active"),
    ("tensor_active_fraction", "Tensor active"),
    ("dram_active_fraction", "DRAM active"),
)
HOW_TO_TELL = (
    "MFU and MBU need vLLM 0.17 or newer with --enable-mfu-metrics, and the deployment's GPU in scenario.toml; GPU "
    "utilisation, SM, tensor and DRAM activity need a DCGM exporter among the targets."
)
WHY_THEY_DIFFER = (
    "GPU utilisation is the share of time in which any kernel ran, however small. MFU and MBU are the shares of the "
    "GPU's arithmetic and memory rate that the model's work used: a GPU can be 85 % utilised at an MFU of 15 %."
)


def series(minutes: pd.DataFrame, name: str, scale: float = 1.0) -> list[float | None]:
    """A column minute by minute, None where it is not known."""
    if name not in minutes:
        return [None] * len(minutes)
    return [None if pd.isna(value) else round(float(value) * scale, 4) for value in minutes[name]]


def moments(section: Section) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in section.minutes.index]


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def tokens(section: Section, palette: Palette) -> Figure:
    """Tokens per second by class; a minute that was not measured has no bar."""
    at = moments(section)
    named = {name: series(section.minutes, column) for column, name in CLASSES}
    return charts.stacked_minutes(at, named, palette, HEIGHT)


def tokens_title(section: Section) -> str:
    total = known(section.recent, "total_tokens_per_s")
    if total is None:
        return "**Tokens per second are not known** in this half hour"
    if not total:
        return "**No token was served** in this half hour"
    rate = known(section.recent, "generation_tokens_per_s") or 0.0
    return f"**{text.compact(total)} tokens/s, {text.percent(rate / total)} of them output** by minute"


def latency(section: Section, targets: tuple[float | None, float | None], palette: Palette) -> Figure:
    """TTFT above, TPOT below, each p50 and p95 in milliseconds, with their target lines."""
    panels = [
        (name, series(section.minutes, f"{key}_p50", MS_PER_S), series(section.minutes, f"{key}_p95", MS_PER_S),
         None if target is None else target * MS_PER_S)
        for (name, key), target in zip((("First token", "ttft_s"), ("Time per token", "tpot_s")), targets, strict=True)
    ]  # fmt: skip
    return charts.percentile_minutes(moments(section), panels, palette, HEIGHT)


def latency_title(section: Section, ttft_target_s: float | None) -> str:
    p95 = known(section.recent, "ttft_s_p95")
    if p95 is None:
        return "**First-token times are not known** in this half hour"
    if ttft_target_s is None:
        return f"**First token p95 is {text.milliseconds(p95)}** by minute"
    where = "over" if p95 > ttft_target_s else "within"
    return f"**First token p95 is {text.milliseconds(p95)}, {where} target** by minute"


def load(section: Section, palette: Palette) -> Figure:
    """Running and waiting requests, against the share of the KV cache in use."""
    minutes = section.minutes
    requests = {"Running": series(minutes, "running_count"), "Waiting": series(minutes, "waiting_count")}
    return charts.load_minutes(
        moments(section), requests, series(minutes, "kv_usage_fraction", PERCENT), palette, HEIGHT
    )


def load_title(section: Section) -> str:
    running, kv = known(section.recent, "running_count"), known(section.recent, "kv_usage_p95_fraction")
    waiting = known(section.recent, "waiting_count")
    if running is None or kv is None:
        return "**Running requests and KV cache** not both are exported"
    queue = "no queue" if not waiting else f"{waiting:,.1f} waiting"
    return f"**KV cache p95 is {text.percent(kv)}** {running:,.1f} running, {queue}"


def utilisation_rows(section: Section) -> list[tuple[str, float | None]]:
    """GPU utilisation and what the silicon did beside MFU and MBU: shares, None where nobody tells."""
    rows = [(name, section.devices.get(gauge)) for gauge, name in WAYS]
    for key, name in (("mfu", "MFU"), ("mbu", "MBU")):
        found = section.utilisation(section.now, key)
        rows.append((name, None if isinstance(found, Missing) else found))
    return rows


def knows_utilisation(section: Section) -> bool:
    return any(value is not None for _, value in utilisation_rows(section))


def utilisation_title(section: Section) -> str:
    rows = dict(utilisation_rows(section))
    util, mfu = rows["GPU utilisation"], rows["MFU"]
    if util is not None and mfu is not None:
        return f"**{text.percent(util)} utilised, {text.percent(mfu)} of its arithmetic used** {NOW_WORDS}"
    if not knows_utilisation(section):
        return "**How hard the GPUs work is not told**"
    return f"**How hard the GPUs work** {NOW_WORDS}"


def acceptance_rows(section: Section) -> list[tuple[str, float]]:
    """Share of drafts whose token at each place was accepted; empty without speculation."""
    found = []
    for place, name in enumerate(ACCEPTED_AT, start=1):
        share = known(section.now, name.replace("accepted_at", "acceptance_at").replace("_tokens", "_fraction"))
        if share is not None:
            found.append((f"Place {place}", share))
    while found and not found[-1][1]:
        found.pop()  # places beyond the drafts' length
    return found


def acceptance_title(section: Section) -> str:
    each, share = figure(section.now, "tokens_per_draft_ratio"), figure(section.now, "acceptance_fraction")
    if isinstance(each, Missing) or isinstance(share, Missing):
        return "**Acceptance by place**"
    return f"**{text.percent(share)} of drafted tokens accepted** {each:.2f} tokens a draft"


def utilisation(section: Section, palette: Palette) -> Figure:
    rows = utilisation_rows(section)
    colors = [palette.idle, *[palette.series[1]] * (len(WAYS) - 1), palette.accent, palette.accent]
    return charts.shares(rows, palette, colors)


def acceptance(section: Section, palette: Palette) -> Figure:
    rows = acceptance_rows(section)
    return charts.shares(rows, palette, [palette.accent] * len(rows))
