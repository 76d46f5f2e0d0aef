"""What stands out in one deployment's window: a finding has its figures, and what answers it.

Each detector is a pure function of one `Reading`. A figure that is not known is absent from it, and a detector that
needs it says nothing: silence is not "all is well", and a guess is worse. Method: docs/method.md, "Detectors".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from costlib.units import MS_PER_S, SECONDS_PER_MINUTE

# Sources: D = research on the domain's mathematics, with its section; J = a judgement of ours, open to a better one.
LEAST_OBSERVED_S = SECONDS_PER_MINUTE  # J: shorter windows show one request, not a habit
HIGH_GPU_UTIL_FRACTION = 0.80  # J: where dashboards begin to call a GPU full
LOW_MFU_FRACTION = 0.20  # J: well below what kernels reach
LOW_MBU_FRACTION = 0.30  # D 4.6: even small models one sequence at a time reach 0.30 to 0.60
# What kernels reach in published measurements, 16 bit (data/engine/constants.toml).
REACHED_COMPUTE_FRACTION = 0.74
REACHED_BANDWIDTH_FRACTION = 0.81
# J: two thirds of what a roof gives in practice is near enough to it to be what binds.
COMPUTE_BOUND_MFU_FRACTION = REACHED_COMPUTE_FRACTION * 2 / 3
MEMORY_BOUND_MBU_FRACTION = REACHED_BANDWIDTH_FRACTION * 2 / 3
KV_UNUSED_P95_FRACTION = 0.35  # D 5.6: 0.70 to 0.90 is a good p95; this is half of its lower end
KV_ROOMY_P95_FRACTION = 0.80  # D 10: a queue below this is not for want of KV memory
KV_FULL_P95_FRACTION = 0.95  # D 5.6: above 0.90 there is no room for a burst; here vLLM preempts and recomputes
QUEUE_MINUTES_FRACTION = 0.5  # J: most of the time
QUEUE_COUNT = 1.0  # requests waiting on average in a minute of a standing queue
HIGH_PREEMPTIONS_PER_REQUEST_RATIO = 0.005  # D 5.6: below 0.5 % of requests
COLD_PREFIX_HIT_FRACTION = 0.05  # J: two production traces reach 0.54 and 0.62 at best (D 6.6)
IDLE_FRACTION = 0.90  # J: a replica that could leave
DRAFT_COST_RATIO = 0.05  # D 6.4: one EAGLE-type draft costs 0.02 to 0.10 of a target pass; n-grams about nothing
BARELY_PAYS_RATIO = 1.1  # J: a gain this small does not outweigh the draft's memory


class Severity(StrEnum):
    """How much it matters, worst first."""

    CRITICAL = "critical"  # users or measurements suffer now
    WARNING = "warning"  # money or latency is lost
    NOTE = "note"  # a reading, not a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that stands out. `lever_key` with `lever_values` is the what-if that answers it, where there is one;
    `action` says in words what to do. `evidence` and `action` may hold names from outside."""

    key: str
    severity: Severity
    title: str
    evidence: str
    action: str
    lever_key: str = ""
    lever_values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One deployment in one window. Unknown is None, and in `figures` absence.

    `figures` are columns of a window (`costlib.measures`, `costlib.windows.derived`, quantiles such as `ttft_s_p95`),
    summed over the deployment's engines. `queue_minutes_fraction` is the share of its minutes in which QUEUE_COUNT
    requests or more were waiting on average. `idle_replicas` and `failing_replicas` are their names.
    """

    window_s: float
    observed_s: float
    figures: Mapping[str, float]
    replicas_count: int
    failing_replicas: tuple[str, ...] = ()
    idle_replicas: tuple[str, ...] = ()
    queue_minutes_fraction: float | None = None
    mfu_fraction: float | None = None
    mbu_fraction: float | None = None
    gpu_util_fraction: float | None = None
    tensor_active_fraction: float | None = None
    dram_active_fraction: float | None = None
    replica_usd_per_hour: float | None = None  # of one replica that is measured
    has_prefix_caching: bool | None = None
    ttft_target_s: float | None = None
    tpot_target_s: float | None = None

    def known(self, *names: str) -> list[float] | None:
        """These figures, or None when one of them is not known."""
        found = [self.figures[name] for name in names if name in self.figures]
        return found if len(found) == len(names) else None

    @property
    def is_long_enough(self) -> bool:
        return self.observed_s >= LEAST_OBSERVED_S


def failing(reading: Reading) -> Finding | None:
    """Replicas whose figures are not there: what the others say is not the whole deployment."""
    count = len(reading.failing_replicas)
    if not count:
        return None
    names = ", ".join(reading.failing_replicas[:3]) + (f" and {count - 3} more" if count > 3 else "")
    return Finding(
        key="failing",
        severity=Severity.CRITICAL if count >= reading.replicas_count else Severity.WARNING,
        title=f"{count} of {reading.replicas_count} replicas are not measured",
        evidence=f"{names}. Their tokens and their load are missing from the figures here; their GPUs still cost.",
        action="See why in the table of replicas; permillion doctor asks each of them once.",
    )


def over_target(reading: Reading) -> list[Finding]:
    """Latencies whose p95 is above the target that was set."""
    found = []
    for name, label, target_s, lever, values in (
        ("ttft_s", "First token", reading.ttft_target_s, "prefix_caching", {"enabled": True}),
        ("tpot_s", "Time per token", reading.tpot_target_s, "weight_precision", {"weights": "fp8"}),
    ):
        p95 = reading.figures.get(f"{name}_p95")
        if target_s is None or p95 is None or p95 <= target_s:
            continue
        median = reading.figures.get(f"{name}_p50")
        half = "" if median is None else f", p50 {_ms(median)}"
        found.append(
            Finding(
                key=f"{name.removesuffix('_s')}_over_target",
                severity=Severity.CRITICAL,
                title=f"{label} is over its target",
                evidence=f"p95 {_ms(p95)} against {_ms(target_s)}{half}.",
                action="Prompt tokens that are reused are not computed again, and long prompts wait less."
                if name == "ttft_s"
                else "Fewer bytes per weight make each step shorter; fewer sequences per step do too, and cost more.",
                lever_key=lever,
                lever_values=values,
            )
        )
    return found


def queue(reading: Reading) -> Finding | None:
    """A queue that stands: the scheduler's limits when the KV cache has room, memory when it has none."""
    share, known = reading.queue_minutes_fraction, reading.known("waiting_count", "kv_usage_p95_fraction")
    if share is None or known is None or share < QUEUE_MINUTES_FRACTION:
        return None
    waiting, kv = known
    evidence = f"{waiting:,.1f} requests wait on average, and a queue stood in {share:.0%} of the minutes. "
    queued_s = reading.figures.get("mean_queue_s")
    if queued_s is not None:
        evidence += f"A request waits {_ms(queued_s)} on average. "
    evidence += f"KV cache p95 is {kv:.0%}."
    deferred, capacity = (reading.figures.get(f"waiting_{kind}_count", 0.0) for kind in ("deferred", "capacity"))
    if deferred > capacity:
        return Finding(
            key="queue_deferred",
            severity=Severity.WARNING,
            title="Requests wait, but not for capacity",
            evidence=f"{evidence} vLLM says that {deferred:,.1f} of them wait for something else.",
            action="Look at what they need first: an adapter to load, a KV transfer, a grammar to compile.",
        )
    is_memory = kv >= KV_ROOMY_P95_FRACTION
    return Finding(
        key="queue_memory" if is_memory else "queue_scheduler",
        severity=Severity.WARNING,
        title="A queue stands for want of KV memory" if is_memory else "A queue stands although the KV cache has room",
        evidence=evidence,
        action="Smaller weights leave more room for KV cache; another replica brings more."
        if is_memory
        else "The scheduler's limits bind, not memory: raise --max-num-seqs or --max-num-batched-tokens.",
        lever_key="weight_precision" if is_memory else "batch_limits",
        lever_values={"weights": "fp8"} if is_memory else {"max_num_seqs": "512"},
    )


def preemptions(reading: Reading) -> Finding | None:
    """Sequences that lost their KV cache and were computed again: work that was paid twice."""
    known = reading.known("preemptions_count", "preemptions_per_request_ratio")
    if known is None or known[1] < HIGH_PREEMPTIONS_PER_REQUEST_RATIO:
        return None
    return Finding(
        key="preemptions",
        severity=Severity.WARNING,
        title="Requests are preempted and computed again",
        evidence=f"{known[0]:,.0f} preemptions, {known[1]:.1%} of finished requests; below "
        f"{HIGH_PREEMPTIONS_PER_REQUEST_RATIO:.1%} is healthy. None of them was dropped: their work is done twice.",
        action="More room for KV cache, or fewer sequences per step.",
        lever_key="weight_precision",
        lever_values={"weights": "fp8"},
    )


def kv_cache(reading: Reading) -> Finding | None:
    """KV memory at its limit, or bought and not used."""
    known = reading.known("kv_usage_p95_fraction", "running_count")
    if known is None:
        return None
    p95, running = known
    if p95 >= KV_FULL_P95_FRACTION:
        return Finding(
            key="kv_full",
            severity=Severity.WARNING,
            title="The KV cache is at its limit",
            evidence=f"p95 {p95:.0%} in use with {running:,.1f} requests running. When it is full, vLLM preempts and "
            "computes again.",
            action="Smaller weights leave more room for KV cache; an FP8 KV cache halves what a token needs.",
            lever_key="weight_precision",
            lever_values={"weights": "fp8"},
        )
    share = reading.queue_minutes_fraction
    if p95 >= KV_UNUSED_P95_FRACTION or share is None or share >= QUEUE_MINUTES_FRACTION or not running > 0:
        return None
    return Finding(
        key="kv_unused",
        severity=Severity.NOTE,
        title="KV memory is bought and not used",
        evidence=f"p95 {p95:.0%} in use with {running:,.1f} requests running, and no queue stands. Blocks kept for the "
        "prefix cache count as free here.",
        action="Fewer replicas, or smaller GPUs, would carry this load; check the busiest hour first.",
    )


def starved(reading: Reading) -> Finding | None:
    """A GPU that is "utilised" and does little: some kernel always runs, and none of them works hard.

    Where vLLM does not count its work, the pipes that the GPU itself counts stand in: tensor and DRAM activity.
    """
    util, mfu, mbu = reading.gpu_util_fraction, reading.mfu_fraction, reading.mbu_fraction
    names = ("MFU", "MBU")
    if mfu is None or mbu is None:
        mfu, mbu, names = reading.tensor_active_fraction, reading.dram_active_fraction, ("tensor active", "DRAM active")
    if util is None or mfu is None or mbu is None:
        return None
    if util < HIGH_GPU_UTIL_FRACTION or mfu >= LOW_MFU_FRACTION or mbu >= LOW_MBU_FRACTION:
        return None
    return Finding(
        key="starved",
        severity=Severity.WARNING,
        title="GPU utilisation is high, and little is done",
        evidence=f"GPU utilisation {util:.0%}, {names[0]} {mfu:.0%}, {names[1]} {mbu:.0%}. Utilisation counts the time "
        "in which any kernel ran, however small; arithmetic and memory both stand nearly still.",
        action="Small steps, or a GPU that waits for its host: put the load on fewer replicas, and look at "
        "tokenisation, scheduling and CUDA graphs.",
    )


def roof(reading: Reading) -> Finding | None:
    """Which roof the GPU works under, when it is near one."""
    mfu, mbu = reading.mfu_fraction, reading.mbu_fraction
    if mfu is None or mbu is None or mfu > 1 or mbu > 1:
        return None
    if mfu >= COMPUTE_BOUND_MFU_FRACTION and mfu >= mbu:
        return Finding(
            key="compute_bound",
            severity=Severity.NOTE,
            title="Compute-bound: arithmetic is what limits it",
            evidence=f"MFU {mfu:.0%}, MBU {mbu:.0%}; published kernels reach about "
            f"{REACHED_COMPUTE_FRACTION:.0%}. Larger batches bring no more.",
            action="Weights in FP8 or INT8 are computed at twice the rate where the GPU can; INT4 is not.",
            lever_key="weight_precision",
            lever_values={"weights": "fp8"},
        )
    if mbu >= MEMORY_BOUND_MBU_FRACTION and mfu < COMPUTE_BOUND_MFU_FRACTION:
        return Finding(
            key="memory_bound",
            severity=Severity.NOTE,
            title="Memory-bound: reading weights and KV cache is what limits it",
            evidence=f"MBU {mbu:.0%}, MFU {mfu:.0%}: the arithmetic units wait for memory, as they do in decoding.",
            action="More sequences share one read of the weights, where requests wait for them; fewer bytes per weight "
            "are read sooner.",
            lever_key="weight_precision",
            lever_values={"weights": "fp8"},
        )
    return None


def speculation_speedup_ratio(
    tokens_per_draft: float, drafted: float, verify_ratio: float = 1.0, draft_cost: float = DRAFT_COST_RATIO
) -> float:
    """How much faster a step makes tokens with speculation than without; below 1 it loses.

    Equation   S = E / (r + k c)
    Symbols    E tokens a draft brings, 1 + accepted/drafts   k tokens drafted each time   c draft pass over target pass
               r target pass with drafts over one without: 1 while memory binds, up to k + 1 while compute does
    Returns    [1]
    Validity   r = 1 is the best case: whoever loses there loses everywhere
    Source     domain mathematics §6.4
    Example    five drafts of which 70 % are taken, a draft model of 5 %: 2.35 times; saturated compute: a loss
    >>> round(speculation_speedup_ratio(2.941, 5), 2), round(speculation_speedup_ratio(2.941, 5, 6.0), 2)
    (2.35, 0.47)
    """
    return tokens_per_draft / (verify_ratio + drafted * draft_cost)


def verify_ratio(reading: Reading, drafted: float) -> float:
    """What drafts make of a target pass, r above, from how near the window is to the roofs; 1 where that is not known.

    Equation   r = max(f, b) / max(f (1 - v k/(k+1)), b)
    Symbols    f, b MFU and MBU over what kernels reach   v share of computed tokens that verify: (drafts + drafted) /
               (that + computed prompt tokens)   k drafted tokens each time
    """
    known = reading.known("drafts_count", "draft_tokens", "computed_prompt_tokens")
    if known is None or reading.mfu_fraction is None or reading.mbu_fraction is None:
        return 1.0
    drafts, tokens, prompt = known
    share = (drafts + tokens) / (drafts + tokens + prompt)
    compute = reading.mfu_fraction / REACHED_COMPUTE_FRACTION
    memory = reading.mbu_fraction / REACHED_BANDWIDTH_FRACTION
    alone = max(compute * (1 - share * drafted / (drafted + 1)), memory)
    return max(compute, memory) / alone if alone > 0 else 1.0


def speculation(reading: Reading) -> Finding | None:
    """Drafts that cost more than they bring, by the break-even rule; at best-case inputs where one is not known."""
    known = reading.known("drafts_count", "draft_tokens", "tokens_per_draft_ratio", "acceptance_fraction")
    if known is None or known[0] <= 0 or known[1] <= 0:
        return None
    drafts, tokens, each, accepted = known
    drafted = tokens / drafts
    ratio = verify_ratio(reading, drafted)
    speedup = speculation_speedup_ratio(each, drafted, ratio)
    if speedup >= BARELY_PAYS_RATIO:
        return None
    return Finding(
        key="speculation",
        severity=Severity.WARNING if speedup < 1 else Severity.NOTE,
        title="Speculation costs more than it brings" if speedup < 1 else "Speculation barely pays",
        evidence=f"{accepted:.0%} of drafted tokens are accepted. It pays while E / (r + k c) is above 1: E {each:.2f} "
        f"tokens a draft and k {drafted:.1f} drafted, both measured; r {ratio:.2f}, "
        f"{'from MFU and MBU' if reading.mfu_fraction is not None else 'the best case'}; c {DRAFT_COST_RATIO:g}, "
        f"assumed for an EAGLE-type draft. That is {speedup:.2f}.",
        action="Draft fewer tokens, or none above a batch size: vLLM can choose by load.",
    )


def prefix_cache(reading: Reading) -> Finding | None:
    """A prefix cache that is off, or on and finds nothing. Whether prompts repeat is not in the metrics."""
    if not reading.figures.get("prompt_tokens"):
        return None
    hit = reading.figures.get("prefix_hit_fraction")
    if reading.has_prefix_caching is False:
        title, evidence = "Prefix caching is off", "The engine says enable_prefix_caching=False."
    elif hit is not None and hit < COLD_PREFIX_HIT_FRACTION:
        title, evidence = "The prefix cache finds almost nothing", f"{hit:.1%} of the tokens looked up were found."
    else:
        return None
    return Finding(
        key="prefix_cache",
        severity=Severity.NOTE,
        title=title,
        evidence=f"{evidence} Whether prompts begin alike is not in the metrics; traffic with long shared beginnings "
        "reaches half and more.",
        action="See what reuse would be worth; then put what varies last in the prompt, and keep a conversation on one "
        "replica.",
        lever_key="prefix_caching",
        lever_values={"enabled": True},
    )


def idle(reading: Reading) -> Finding | None:
    """Replicas that did nothing: what they cost an hour."""
    count = len(reading.idle_replicas)
    if not count or reading.replicas_count <= 0:
        return None
    names = ", ".join(reading.idle_replicas[:3]) + (f" and {count - 3} more" if count > 3 else "")
    cost = (
        "What they cost is not known."
        if reading.replica_usd_per_hour is None
        else f"They cost ${reading.replica_usd_per_hour * count:,.2f} an hour."
    )
    return Finding(
        key="idle",
        severity=Severity.WARNING,
        title=f"{count} of {reading.replicas_count} replicas stand idle",
        evidence=f"{names}: no request running in {IDLE_FRACTION:.0%} of the time or more. {cost}",
        action="Scale in, or let other work use them; what a busy hour needs is on the What-if page.",
    )


Detector = Callable[[Reading], Finding | list[Finding] | None]
DETECTORS: tuple[Detector, ...] = (
    failing, over_target, queue, preemptions, kv_cache, starved, speculation, idle, roof, prefix_cache,
)  # fmt: skip
# These do not need a habit to show.
AT_ONCE = (failing,)


def findings(reading: Reading) -> list[Finding]:
    """Everything that stands out, worst first, and in the order of DETECTORS within one severity."""
    found: list[Finding] = []
    for detector in DETECTORS if reading.is_long_enough else AT_ONCE:
        result = detector(reading)
        found += result if isinstance(result, list) else [result] if result else []
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _ms(seconds: float) -> str:
    return f"{seconds * MS_PER_S:,.0f} ms"
