"""The head of the Live page, and the cards of a section. A figure that is not there says which kind of not, and why."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from json import dumps

import streamlit as st

from costlib.units import MS_PER_S
from costlib.windows import DataState
from ui import cards, text
from ui.fleet import NOW_WORDS, Frames, Key, Section, busiest, is_failing, keys_of, newest_at, servers
from ui.fleet_charts import series
from ui.fleet_figures import Figure, Missing, Supply, figure, words

STALE_AFTER = timedelta(seconds=60)
NAMED_FAILURES = 3
MEASURED = f"Measured, {NOW_WORDS}."
STATE_COLORS = {
    DataState.OK: ("green", ":material/check_circle:"),
    DataState.PARTIAL: ("blue", ":material/timelapse:"),
    DataState.RESET: ("blue", ":material/restart_alt:"),
    DataState.GAP: ("orange", ":material/error:"),
    DataState.STALE: ("orange", ":material/schedule:"),
    DataState.NOT_EXPORTED: ("red", ":material/visibility_off:"),
    DataState.UNDEFINED: ("gray", ":material/help:"),
}
STATE_WORDS = {
    DataState.OK: "measured",
    DataState.PARTIAL: "measured in part",
    DataState.RESET: "measured, an engine restarted",
    DataState.GAP: "a server is missing",
    DataState.STALE: "stale",
    DataState.NOT_EXPORTED: "not exported",
    DataState.UNDEFINED: "undefined",
}
NO_ERROR = {
    DataState.GAP: "its last scrape failed",
    DataState.STALE: "nobody asks it any more",
    DataState.NOT_EXPORTED: "it answers without engine metrics; vLLM exports none with --disable-log-stats",
}
Show = Callable[[float], str]


def fleet_head(frames: Frames, is_sample: bool, moment: datetime) -> None:
    """One line on how fresh the page is, and what is wrong with whom."""
    newest = newest_at(frames)
    is_stale = moment - frames.end > STALE_AFTER
    with st.container(horizontal=True, vertical_alignment="center", key="fleet-head"):
        if is_stale or newest is None:
            st.badge("Nobody collects", icon=":material/sensors_off:", color="orange")
        else:
            st.badge("Live", icon=":material/sensors:", color="green")
        count, models = len(servers(frames)), len({model for _, model in keys_of(frames)})
        st.caption(
            f"{'sample replay' if is_sample else 'vLLM metrics'}, {_many(models, 'model')} on "
            f"{_many(count, 'server')}, read {text.age(newest, moment)}"
        )
    if is_stale:
        st.warning(
            f"Nobody has collected since {frames.end:%H:%M:%S} UTC on {text.day(frames.end)} "
            f"({text.age(frames.end, moment)}). The figures are of the minutes before that. "
            "Start `permillion collect` to go on.",
            icon=":material/sensors_off:",
        )
    _failures(frames, moment)


def _failures(frames: Frames, moment: datetime) -> None:
    """Servers that tell nothing now, by name, with the error each had last."""
    every = servers(frames)
    down = [row for row in every if row["state"] in (DataState.GAP, DataState.STALE, DataState.NOT_EXPORTED)]
    if not down or moment - frames.end > STALE_AFTER:
        return
    lines = [
        f"- **{text.label(row['target_key'])}**, last good {text.age(_moment(row['last_success_at']), moment)}: "
        f"{text.label(words(row['last_error']) or NO_ERROR[DataState(row['state'])], 300)}"
        for row in down[:NAMED_FAILURES]
    ]
    if len(down) > NAMED_FAILURES:
        lines.append(f"- and {len(down) - NAMED_FAILURES} more, in the table of replicas")
    title = f"{len(down)} of {_many(len(every), 'server')} tell nothing now. Their tokens are missing from the figures."
    st.warning("\n".join([title, "", *lines]), icon=":material/error:")


def _moment(value: object) -> datetime | None:
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") and value == value else None  # type: ignore[return-value]


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def never_connected() -> None:
    st.info(
        "No vLLM server has been read yet. `permillion up --metrics-url http://host:8000/metrics` starts a collector "
        "and this dashboard; `permillion up --demo` shows a sample fleet that moves.",
        icon=":material/sensors_off:",
    )


def choices(frames: Frames, at_first: int) -> tuple[float | None, float | None, list[Key]]:
    """The latency targets, in seconds, and which sections to draw: what the address says, else the busiest."""
    named = {_name(key): key for key in keys_of(frames)}
    with st.container(horizontal=True, vertical_alignment="bottom", key="live-controls"):
        ttft, tpot = (
            st.number_input(
                f"{name} target, ms",
                min_value=1,
                value=None,
                placeholder="none",
                key=f"{name.lower()}_ms",
                help=help,
                bind="query-params",
                width=150,
            )
            for name, help in (
                ("TTFT", "Time to the first token, p95."),
                ("TPOT", "Time per output token, p95. Without one, max_tpot_s of scenario.toml."),
            )
        )
        names = list(named)
        if len(named) > at_first:
            # Chosen once: a default that changed with the traffic would take away what the reader chose.
            first = st.session_state.setdefault("models-at-first", [_name(key) for key in busiest(frames, at_first)])
            names = st.multiselect(
                "Models", names, default=[name for name in first if name in named], key="models", bind="query-params",
                format_func=lambda name: text.plain(name, 80),
            )  # fmt: skip
    seconds = [None if value is None else value / MS_PER_S for value in (ttft, tpot)]
    return seconds[0], seconds[1], [named[name] for name in names]


def _name(key: Key) -> str:
    return f"{key[1]} · {key[0]}"


def targets_of(
    section: Section, ttft_target_s: float | None, tpot_target_s: float | None
) -> tuple[float | None, float | None]:
    """The targets of a section: what was asked for, else what its scenario states."""
    stated = section.supply.tpot_target_s if isinstance(section.supply, Supply) else None
    return ttft_target_s, tpot_target_s if tpot_target_s is not None else stated


def section_head(section: Section) -> None:
    """Which model, on what, how well measured."""
    replicas = section.replicas.to_dict("records")
    failing = sum(is_failing(row) for row in replicas)
    state = DataState(section.now.get("state") or DataState.GAP)
    if failing and state is DataState.OK:
        state = DataState.GAP
    color, icon = STATE_COLORS[state]
    heard = f"{len(replicas) - failing} of {len(replicas)} replicas measured" if failing else STATE_WORDS[state]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(text.label(section.model_key), anchor=False, width="content")
        st.badge(heard, icon=icon, color=color, help=text.label(words(section.now.get("why")), 300) or None)
        st.caption(f"{text.label(section.deployment_key)} · {_replicas(section)}")


def _replicas(section: Section) -> str:
    count = _many(len(section.replicas), "replica")
    if isinstance(section.supply, Missing):
        return count
    supply = section.supply
    return f"{count} · {supply.gpus_count} × {text.label(supply.gpu.name)} · {supply.precision.upper()} weights"


def figures(section: Section, ttft_target_s: float | None, tpot_target_s: float | None) -> None:
    """Twelve cards: six with the last half hour as a line, six without."""
    with st.grid(6, min_column_width=cards.WIDTH):
        _tokens(section)
        _unit_cost(section)
        _running(section)
        _kv(section)
        _latency(section, "First token, p95", "ttft_s", ttft_target_s, points=True)
        _latency(section, "Time per token, p95", "tpot_s", tpot_target_s, points=True)
        _cost(section)
        _latency(section, "Between tokens, p95", "itl_s", None)
        _prefix(section)
        _preemptions(section)
        _idle(section)
        _work(section)
    if isinstance(section.supply, Missing):
        st.caption(f"Cost is not known: {text.label(section.supply.why, 300)}. {_remedy(section)}")


def _remedy(section: Section) -> str:
    """The line that would let the page price a deployment."""
    return (
        f"Under `[[deployments]]` in scenario.toml write: key = {text.label(dumps(section.deployment_key))}, with its "
        "model, gpu and purchase; data/demo/scenario.toml shows how."
        if "has no deployment" in section.supply.why  # type: ignore[union-attr]
        else ""
    )


def _card(
    section: Section,
    name: str,
    found: Figure,
    show: Show,
    badge: str | None = None,
    note: str | None = None,
    help: str = "",
    points: str | Sequence[float | None] = "",
) -> None:
    """A card that says in its badge when its figure is not there, and why when asked."""
    line = series(section.minutes, points) if isinstance(points, str) else points
    if isinstance(found, Missing):
        why = f"{STATE_WORDS[found.state].capitalize()}: {text.label(found.why, 300)}. {help}"
        cards.noted(name, text.UNKNOWN, STATE_WORDS[found.state], help=why, points=line)
    else:
        cards.noted(name, show(found), badge, note, help=f"{MEASURED} {help}", points=line)


def _shown(found: Figure, show: Show, after: str = "") -> str | None:
    return None if isinstance(found, Missing) else f"{show(found)}{after}"


def _tokens(section: Section) -> None:
    parts = {
        name: figure(section.now, f"{key}_tokens_per_s")
        for name, key in (("computed input", "computed"), ("cached input", "cached"), ("output", "generation"))
    }
    split = ", ".join(f"{name} {_shown(part, text.compact) or 'not known'}" for name, part in parts.items())
    _card(
        section,
        "Tokens per second",
        figure(section.now, "total_tokens_per_s"),
        text.compact,
        _shown(parts["output"], text.compact, " output"),
        _shown(parts["cached input"], text.compact, " cached"),
        help=f"{split.capitalize()}. Cached input is answered and not computed.",
        points="total_tokens_per_s",
    )


def _cost(section: Section) -> None:
    supply = section.supply
    if isinstance(supply, Supply):
        badge, note = f"{_many(supply.gpus_count, 'GPU')}", f"at {text.money(supply.usd_per_gpu_hour)}"
        help = (
            f"{_many(supply.engines_count, 'engine')} seen in the last half hour, their GPUs and a GPU-hour's price "
            "from scenario.toml. Idle and failing replicas cost too."
        )
    else:
        badge, note, help = None, None, "GPUs of the engines that were seen, at scenario.toml's price."
    found = section.usd_per_hour
    if isinstance(found, Missing):
        _card(section, "Cost per hour now", found, text.money, help=help)
    else:
        cards.noted("Cost per hour now", text.money(found), badge, note, help=f"Measured × stated. {help}")


def _unit_cost(section: Section) -> None:
    blended, output = section.usd_per_mtok("total_tokens_per_s"), section.usd_per_mtok("generation_tokens_per_s")
    out = "" if isinstance(output, Missing) else f" Over output tokens alone it is {text.unit_cost(output)}."
    _card(
        section,
        "Cost per 1M tokens now",
        blended,
        text.unit_cost,
        _shown(output, text.unit_cost, " output"),
        "in + out" if not isinstance(blended, Missing) else None,
        help=text.dollars(f"Cost per hour over what is served now: computed and cached input, and output.{out}"),
        points=section.usd_per_mtok_by_minute(),
    )


def _running(section: Section) -> None:
    little = figure(section.now, "running_littles_count")
    waiting = figure(section.now, "waiting_count")
    _card(
        section,
        "Requests running",
        figure(section.now, "running_count"),
        _count,
        _shown(waiting, _count, " waiting"),
        _shown(little, _count, " by Little"),
        help="Mean of the gauge, beside Little's law: residence of finished requests over time. A long request counts "
        "there only once it ends; apart by more than a fifth for long, one of the two is wrong.",
        points="running_count",
    )


def _kv(section: Section) -> None:
    _card(
        section,
        "KV cache, p95",
        figure(section.now, "kv_usage_p95_fraction"),
        text.percent,
        _shown(figure(section.now, "kv_usage_p50_fraction"), text.percent, " p50"),
        help="When it is full vLLM preempts and computes again; nothing is dropped. Blocks kept for the prefix cache "
        "count as free.",
        points="kv_usage_fraction",
    )


def _latency(section: Section, name: str, key: str, target_s: float | None, points: bool = False) -> None:
    p95 = figure(section.now, f"{key}_p95")
    p50, p99 = (_shown(figure(section.now, f"{key}_p{q}"), text.milliseconds) for q in (50, 99))
    others = f"p50 {p50 or text.UNKNOWN}, p99 {p99 or text.UNKNOWN}, from histogram buckets."
    line = f"{key}_p95" if points else ""
    if target_s is None or isinstance(p95, Missing):
        badge, note = (f"{p50} p50" if p50 else None), (f"{p99} p99" if p99 else None)
        _card(section, name, p95, text.milliseconds, badge, note, help=others, points=line)
        return
    over = p95 - target_s
    cards.changed(
        name,
        text.milliseconds(p95),
        text.change(over, text.milliseconds(over)),
        f"vs {text.milliseconds(target_s)}",
        help=f"{MEASURED} Against its target. {others}",
        points=series(section.minutes, line) if line else (),
    )


def _prefix(section: Section) -> None:
    _card(
        section,
        "Prefix cache hits",
        figure(section.now, "prefix_hit_fraction"),
        text.percent,
        "of tokens",
        help="Tokens found over tokens looked up: tokens, not requests.",
    )


def _preemptions(section: Section) -> None:
    share = figure(section.now, "preemptions_per_request_ratio")
    _card(
        section,
        "Preemptions a minute",
        figure(section.now, "preemptions_per_min"),
        _count,
        _shown(share, lambda value: f"{value:.1%}"),
        "of requests" if not isinstance(share, Missing) else None,
        help="Requests that lost their KV cache and were computed again.",
    )


def _idle(section: Section) -> None:
    idle = figure(section.now, "idle_fraction")
    cost = section.usd_per_hour
    badge = None
    if not isinstance(idle, Missing) and not isinstance(cost, Missing):
        badge = f"{text.money(cost * idle)}/h"
    _card(section, "Idle share", idle, text.percent, badge, help="Engine time without a request running.")


def _work(section: Section) -> None:
    mbu = section.utilisation(section.now, "mbu")
    _card(
        section,
        "MFU",
        section.utilisation(section.now, "mfu"),
        text.percent,
        _shown(mbu, text.percent, " MBU"),
        help="vLLM's estimate of its work over the dense peak of the deployment's GPU at its weight precision; MBU the "
        "same for memory. High MFU is compute-bound, high MBU with low MFU memory-bound, both low starved.",
    )


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"
