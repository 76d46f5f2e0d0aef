"""What a benchmark found, as it is shown, written and read back. Unknown is None or Undefined, never 0."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from collectors.base import excerpt
from collectors.bench.figures import Distribution, Goodput, Targets, UnitCost
from collectors.bench.prompts import Calibration
from costlib.breakeven import needed_tokens_per_s
from costlib.estimate import Undefined
from costlib.units import MS_PER_S

SCHEMA = "permillion.bench/1"
COST_MEANS = (
    "$ per M tokens: the price per hour over the tokens of an endpoint that is always as busy as in this stage; "
    "idle hours are left out."
)
ITL_MEANS = "ITL is the gap between chunks, and a chunk may hold several tokens; TPOT is per token."
LOOSE_MEANS = "~ a percentile with fewer than 10 observations beyond it: a hint."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request. Times in seconds, `sent_s` since its stage began. None: not known, or it failed."""

    key: str
    sent_s: float
    late_s: float  # sent after its time of arrival, because the client was busy
    asked_input_tokens: int
    asked_output_tokens: int
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    chunks_count: int | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """One load. Latencies and tokens are of answers that came whole; failures are counted by kind and nowhere else."""

    label: str
    concurrency: int | None  # closed loop
    asked_requests_per_s: float | None  # open loop
    sent_requests_per_s: float | None  # open loop: what was really sent
    window_s: float  # from the first request sent to the last answer
    sent_count: int
    done_count: int
    failures: Mapping[str, int]
    failure_examples: Mapping[str, str]
    unfinished_count: int  # cut off by the deadline or Ctrl-C: neither done nor failed
    warmup_count: int
    clipped_count: int  # asked shorter than drawn, to fit the server's limit
    input_tokens: int | Undefined
    cached_input_tokens: int | Undefined
    output_tokens: int | Undefined
    requests_per_s: float | Undefined
    output_tokens_per_s: float | Undefined
    total_tokens_per_s: float | Undefined
    mean_in_flight: float | Undefined  # Little's law over the window
    tokens_per_chunk_ratio: float | Undefined
    ttft_s: Distribution | Undefined
    tpot_s: Distribution | Undefined
    itl_s: Distribution | Undefined
    e2e_s: Distribution | Undefined
    asked_input_tokens: Distribution | Undefined
    got_input_tokens: Distribution | Undefined
    asked_output_tokens: Distribution | Undefined
    got_output_tokens: Distribution | Undefined
    goodput: Goodput | Undefined
    cost: UnitCost | Undefined
    client_lag_p99_s: float | None  # how late the client's own event loop ran
    late_count: int
    stopped_by: str | None  # None: it ran as asked
    notes: tuple[str, ...]
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The requests as they were asked for. `seed` and the labels of the lengths give them again."""

    input_lengths: str
    output_lengths: str
    trace: str | None
    rank_correlation: float
    shared_prefix_tokens: int
    seed: int
    calibration: Calibration | Undefined
    fields_left_out: tuple[str, ...]  # of the request's body, because the server refuses them


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """All that the run asked of the server, probes and warm-up included: what the server's own counters rose by.

    Tokens are of answers that came whole; a failed or unfinished request may have cost the server some more.
    """

    sent_count: int
    done_count: int
    input_tokens: int | Undefined
    output_tokens: int | Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    schema: str = SCHEMA
    started_at: datetime
    ended_at: datetime
    client_version: str
    url: str  # without user, query and token
    api: str
    model: str
    server_version: str | None
    most_context_tokens: int | None
    workload: Workload
    targets: Targets
    timeout_s: float
    usd_per_hour: float | None
    target_usd_per_mtok: float | None
    labels: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageResult, ...]
    everything: Everything
    stopped_by: str | None
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Every stage ran as asked and gave answers."""
        return self.stopped_by is None and all(stage.done_count for stage in self.stages)

    @property
    def text(self) -> str:
        """The report as a person reads it in a terminal."""
        workload = self.workload
        version = f", version {excerpt(self.server_version)}" if self.server_version else ""
        shared = f", {workload.shared_prefix_tokens:,} shared tokens before each"
        lengths = (
            f"trace {workload.trace}"
            if workload.trace
            else f"{workload.input_lengths} in, {workload.output_lengths} out"
        )
        head = [
            f"{excerpt(self.model)} at {self.url} ({self.api}{version}), {self.started_at:%Y-%m-%d %H:%M} UTC",
            f"requests: {lengths} tokens{shared if workload.shared_prefix_tokens else ''}; seed {workload.seed}",
        ]
        if not self.stages:
            return "\n".join([*head, *self.notes])
        remarks = [*self.notes, *(f"{stage.label}: {note}" for stage in self.stages for note in stage.notes)]
        legend = [ITL_MEANS, *([LOOSE_MEANS] if "~" in (latencies := _latencies(self.stages)) else [])]
        if self.usd_per_hour is not None:
            legend.append(_cost_legend(self.usd_per_hour, self.target_usd_per_mtok))
        return "\n".join(
            [*head, "", _throughput(self), "", latencies, "", _lengths(self.stages), "", *remarks, *legend]
        )


def _throughput(report: BenchReport) -> str:
    header = ["load", "done", "failed", "req/s", "in flight", "output tok/s", "total tok/s"]
    header += ["good", "good req/s"] if report.targets.text else []
    header += ["$/M output", "$/M in+out"] if report.usd_per_hour is not None else []
    rows = []
    for stage in report.stages:
        row = [stage.label, f"{stage.done_count:,}", f"{sum(stage.failures.values()):,}"]
        row += [_figure(stage.requests_per_s, "{:.2f}"), _figure(stage.mean_in_flight, "{:.1f}")]
        row += [_figure(stage.output_tokens_per_s, "{:,.1f}"), _figure(stage.total_tokens_per_s, "{:,.1f}")]
        row += _good(stage.goodput) if report.targets.text else []
        row += _money(stage.cost) if report.usd_per_hour is not None else []
        rows.append(row)
    return _table(header, rows)


def _good(good: Goodput | Undefined) -> list[str]:
    return (
        ["-", "-"] if isinstance(good, Undefined) else [f"{good.good_fraction:.1%}", f"{good.good_requests_per_s:.2f}"]
    )


def _money(cost: UnitCost | Undefined) -> list[str]:
    if isinstance(cost, Undefined):
        return ["-", "-"]
    return [f"{cost.usd_per_mtok_output:,.3f}", f"{cost.usd_per_mtok_blended:,.3f}"]


def _cost_legend(usd_per_hour: float, target_usd_per_mtok: float | None) -> str:
    text = f"{COST_MEANS} Here ${usd_per_hour:g} per hour."
    if target_usd_per_mtok is None:
        return text
    needed = needed_tokens_per_s(usd_per_hour, target_usd_per_mtok)
    return f"{text} For ${target_usd_per_mtok:g} it must deliver {needed:,.0f} tok/s of the kind counted."


def _latencies(stages: tuple[StageResult, ...]) -> str:
    rows = []
    for stage in stages:
        for name, found in (("TTFT", stage.ttft_s), ("TPOT", stage.tpot_s), ("ITL", stage.itl_s), ("e2e", stage.e2e_s)):
            rows.append([stage.label, name, *_spread(found, MS_PER_S)])
    return _table(["load", "ms", "mean", "p50", "p90", "p95", "p99"], rows)


def _lengths(stages: tuple[StageResult, ...]) -> str:
    rows = []
    for stage in stages:
        for name, asked, got in (
            ("input", stage.asked_input_tokens, stage.got_input_tokens),
            ("output", stage.asked_output_tokens, stage.got_output_tokens),
        ):
            rows += [[stage.label, f"{name} asked", *_spread(asked, 1.0)], ["", f"{name} got", *_spread(got, 1.0)]]
    return _table(["load", "tokens", "mean", "p50", "p90", "p95", "p99"], rows)


def _spread(found: Distribution | Undefined, scale: float) -> list[str]:
    if isinstance(found, Undefined):
        return ["-"] * 5
    values = [(f"p{percent}", getattr(found, f"p{percent}")) for percent in (50, 90, 95, 99)]
    return [
        f"{found.mean * scale:,.1f}",
        *(f"{'~' if name in found.loose else ''}{value * scale:,.1f}" for name, value in values),
    ]


def _figure(value: float | Undefined, form: str) -> str:
    return "-" if isinstance(value, Undefined) else form.format(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, figures to the right."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
