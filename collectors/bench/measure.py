"""From the log of one stage to its result. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors.bench.figures import (
    Goodput,
    Targets,
    UnitCost,
    distribution,
    goodput,
    percentile,
    total,
    tpot_s,
    unit_cost,
)
from collectors.bench.prompts import Ask
from collectors.bench.report import Row, StageResult
from collectors.bench.stream import Answer
from costlib.estimate import Undefined

LATE_S = 0.05  # a request sent this much after its time was held up by the client
LATE_FRACTION = 0.01  # more late requests than this, and the client fell behind
CLIENT_LAG_S = 0.02  # an event loop this late blurs latencies
FULL_FRACTION = 0.9  # less of the asked load than this is worth a note
CACHED_FRACTION = 0.1
LENGTH_FRACTION = 0.05  # lengths further from what was asked are worth a note
LEFT_OUT = "no token count from the server"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One stage of load: closed loop with `concurrency`, or open loop with `requests_per_s`."""

    number: int
    concurrency: int | None = None
    requests_per_s: float | None = None

    @property
    def label(self) -> str:
        return f"c={self.concurrency}" if self.concurrency else f"{self.requests_per_s:g}/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request that ended, one way or the other. `sent_s` and `ended_s` since the stage began."""

    ask: Ask
    sent_s: float
    ended_s: float
    late_s: float = 0.0
    answer: Answer | None = None
    failure: str | None = None


@dataclass(slots=True, kw_only=True)
class StageLog:
    """What a stage did, as it happens. What is in flight when it is cut off stays unfinished."""

    spec: StageSpec
    ended: list[Sent] = field(default_factory=list)
    sent_count: int = 0
    sending_s: float = 0.0  # until the last request was sent
    failed_in_a_row_count: int = 0
    examples: dict[str, str] = field(default_factory=dict)
    lags_s: list[float] = field(default_factory=list)
    stopped_by: str | None = None

    @property
    def in_flight_count(self) -> int:
        return self.sent_count - len(self.ended)

    @property
    def failed_count(self) -> int:
        return sum(item.failure is not None for item in self.ended)


def stage_result(
    log: StageLog,
    *,
    targets: Targets,
    usd_per_hour: float | None,
    target_usd_per_mtok: float | None,
    warmup_count: int,
    keep_rows: bool,
) -> StageResult:
    done = [item for item in log.ended if item.failure is None]
    answers = [item.answer for item in done if item.answer]
    failures = dict(sorted(Counter(item.failure for item in log.ended if item.failure).items()))
    window_s = max((item.ended_s for item in log.ended), default=0.0) - min(
        (item.sent_s for item in log.ended), default=0.0
    )
    input_tokens = total([answer.input_tokens for answer in answers])
    output_tokens = total([answer.output_tokens for answer in answers])
    requests_per_s = _rate(len(done) if done else Undefined(reason="no request was answered"), window_s)
    output_tokens_per_s = _rate(output_tokens, window_s)
    total_tokens_per_s = _rate(_sum(input_tokens, output_tokens), window_s)
    is_open = log.spec.requests_per_s is not None
    chunks_count = sum(answer.chunks_count for answer in answers)
    paces = [pace for answer in answers if (pace := pace_of(answer)) is not None]
    return StageResult(
        label=log.spec.label,
        concurrency=log.spec.concurrency,
        asked_requests_per_s=log.spec.requests_per_s,
        sent_requests_per_s=log.sent_count / log.sending_s if is_open and log.sending_s > 0 else None,
        window_s=window_s,
        sent_count=log.sent_count,
        done_count=len(done),
        failures=failures,
        failure_examples=dict(sorted(log.examples.items())),
        unfinished_count=log.in_flight_count,
        warmup_count=warmup_count,
        clipped_count=sum(item.ask.is_clipped for item in log.ended),
        input_tokens=input_tokens,
        cached_input_tokens=total([answer.cached_input_tokens for answer in answers]),
        output_tokens=output_tokens,
        requests_per_s=requests_per_s,
        output_tokens_per_s=output_tokens_per_s,
        total_tokens_per_s=total_tokens_per_s,
        mean_in_flight=_rate(sum(item.ended_s - item.sent_s for item in log.ended), window_s),
        tokens_per_chunk_ratio=(
            output_tokens / chunks_count
            if not isinstance(output_tokens, Undefined) and chunks_count
            else Undefined(reason=LEFT_OUT)
        ),
        ttft_s=distribution([answer.first_s for answer in answers if answer.first_s is not None], "no answers"),
        tpot_s=distribution(paces, "no answer with counted tokens came in two chunks or more"),
        itl_s=distribution([gap for answer in answers for gap in answer.gaps_s], "no answer came in several chunks"),
        e2e_s=distribution([answer.e2e_s for answer in answers if answer.e2e_s is not None], "no answers"),
        asked_input_tokens=distribution([float(item.ask.input_tokens) for item in done], "no answers"),
        got_input_tokens=distribution([float(answer.input_tokens or 0) for answer in answers], "no answers")
        if not isinstance(input_tokens, Undefined)
        else input_tokens,
        asked_output_tokens=distribution([float(item.ask.output_tokens) for item in done], "no answers"),
        got_output_tokens=distribution([float(answer.output_tokens or 0) for answer in answers], "no answers")
        if not isinstance(output_tokens, Undefined)
        else output_tokens,
        goodput=_goodput(answers, len(log.ended), targets, window_s),
        cost=_cost(usd_per_hour, target_usd_per_mtok, output_tokens_per_s, total_tokens_per_s),
        client_lag_p99_s=percentile(sorted(log.lags_s), 99) if log.lags_s else None,
        late_count=sum(item.late_s > LATE_S for item in log.ended),
        stopped_by=log.stopped_by,
        notes=(),
        rows=tuple(row_of(item) for item in log.ended) if keep_rows else (),
    )


def pace_of(answer: Answer) -> float | None:
    if answer.first_s is None or answer.last_s is None or answer.output_tokens is None:
        return None
    return tpot_s(answer.first_s, answer.last_s, answer.output_tokens, answer.chunks_count)


def row_of(item: Sent) -> Row:
    answer = item.answer or Answer()
    return Row(
        key=item.ask.key,
        sent_s=item.sent_s,
        late_s=item.late_s,
        asked_input_tokens=item.ask.input_tokens,
        asked_output_tokens=item.ask.output_tokens,
        input_tokens=answer.input_tokens,
        cached_input_tokens=answer.cached_input_tokens,
        output_tokens=answer.output_tokens,
        ttft_s=answer.first_s,
        tpot_s=pace_of(answer),
        e2e_s=answer.e2e_s,
        chunks_count=answer.chunks_count if item.answer else None,
        failure=item.failure,
    )


def kept(answer: Answer, targets: Targets) -> bool:
    """Whether an answer kept every target. One token, or all in one piece, has no pace to miss."""
    return (
        _within(answer.first_s, targets.ttft_s)
        and _within(pace_of(answer), targets.tpot_s)
        and _within(answer.e2e_s, targets.e2e_s)
    )


def _within(value: float | None, most: float | None) -> bool:
    return value is None or most is None or value <= most


def _goodput(answers: Sequence[Answer], ended_count: int, targets: Targets, window_s: float) -> Goodput | Undefined:
    if not targets.text:
        return Undefined(reason="no target was given")
    if targets.tpot_s is not None and any(answer.output_tokens is None for answer in answers):
        return Undefined(reason=LEFT_OUT)
    return goodput([kept(answer, targets) for answer in answers], ended_count, window_s)


def _cost(
    usd_per_hour: float | None,
    target_usd_per_mtok: float | None,
    output_tokens_per_s: float | Undefined,
    total_tokens_per_s: float | Undefined,
) -> UnitCost | Undefined:
    if usd_per_hour is None:
        return Undefined(reason="no price was given")
    if isinstance(output_tokens_per_s, Undefined):
        return output_tokens_per_s
    if isinstance(total_tokens_per_s, Undefined):
        return total_tokens_per_s
    return unit_cost(usd_per_hour, output_tokens_per_s, total_tokens_per_s, target_usd_per_mtok)


def _sum(first: int | Undefined, second: int | Undefined) -> int | Undefined:
    if isinstance(first, Undefined):
        return first
    return second if isinstance(second, Undefined) else first + second


def _rate(amount: float | Undefined, window_s: float) -> float | Undefined:
    if isinstance(amount, Undefined):
        return amount
    return amount / window_s if window_s > 0 else Undefined(reason="no time passed")
