"""`run_bench`: meets the server, runs every stage, and reports; also when it is stopped half-way."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from collectors.addresses import shown
from collectors.bench.endpoint import Endpoint, endpoint_for
from collectors.bench.load import Limits, Progress, Stage
from collectors.bench.measure import StageLog, StageSpec, stage_result
from collectors.bench.notes import stage_notes
from collectors.bench.prompts import WORDS_AS_TOKENS, PromptSource
from collectors.bench.report import BenchReport, StageResult, Workload
from collectors.bench.request import BenchRequest, token_of
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.units import MS_PER_S

DEFAULT_DURATION_S = 30.0
MOST_SEED = 2**31
WARMUP_CONCURRENCY = 8  # where an open loop names none
# Some parents pass a Ctrl-C on that the terminal sent us already: it comes twice, at once.
SECOND_CTRL_C_S = 0.5
INTERRUPTED, PAST_DEADLINE = "interrupted", "the deadline passed"

OnProgress = Callable[[Progress], None]


async def run_bench(request: BenchRequest, env: Mapping[str, str], on_progress: OnProgress) -> BenchReport:
    """Measures the endpoint as `request` says; the bearer token comes from `env`.

    Ctrl-C and the deadline end it early, and the report says so. Raises ConfigError or UnknownKey when the server
    cannot be measured at all, TargetRefused for an address that may not be asked.
    """
    started_at = datetime.now(UTC)
    seed = int(started_at.timestamp() * MS_PER_S) % MOST_SEED if request.seed is None else request.seed
    token_name, token = token_of(request.url, env)
    async with endpoint_for(request, token, token_name) as endpoint:
        left_s = await _meet(endpoint, request.deadline_s, seed)
        source = _prompts(request, endpoint, seed)
        with _halting(left_s) as halt:
            run = _Run(request=request, endpoint=endpoint, source=source, halt=halt, on_progress=on_progress)
            stages = await run.stages()
    calibrated = endpoint.calibrated
    return BenchReport(
        started_at=started_at,
        ended_at=datetime.now(UTC),
        client_version=_client_version(),
        url=shown(endpoint.base),
        api=str(request.api),
        model=endpoint.model,
        server_version=endpoint.server_version,
        most_context_tokens=endpoint.most_context_tokens,
        workload=Workload(
            input_lengths=source.input_lengths.label,
            output_lengths=source.output_lengths.label,
            trace=request.trace or None,
            rank_correlation=source.rank_correlation,
            shared_prefix_tokens=request.shared_prefix_tokens,
            seed=seed,
            calibration=calibrated,
            fields_left_out=tuple(endpoint.fields_left_out),
        ),
        targets=request.targets,
        timeout_s=request.timeout_s,
        usd_per_hour=request.usd_per_hour,
        target_usd_per_mtok=request.target_usd_per_mtok,
        labels=dict(request.labels),
        stages=tuple(stages),
        everything=endpoint.everything,
        stopped_by=halt.reason or next((stage.stopped_by for stage in stages if stage.stopped_by), None),
        notes=_run_notes(endpoint),
    )


async def _meet(endpoint: Endpoint, deadline_s: float | None, seed: int) -> float | None:
    """Meets the server within the deadline; returns what is left of it in seconds."""
    clock = asyncio.get_running_loop().time
    begun_s = clock()
    try:
        async with asyncio.timeout(deadline_s):
            await endpoint.meet(seed)
    except TimeoutError:
        raise ConfigError(
            f"nothing was measured: the deadline of {deadline_s:g} s passed at the first request."
        ) from None
    return None if deadline_s is None else max(0.0, deadline_s - (clock() - begun_s))


class _Halt(asyncio.Event):
    """Set once, with the reason why."""

    reason: str | None = None

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.set()


@contextmanager
def _halting(deadline_s: float | None) -> Iterator[_Halt]:
    """The first Ctrl-C and the deadline set it; a second Ctrl-C does what it always does."""
    loop, halt = asyncio.get_running_loop(), _Halt()

    def interrupted() -> None:
        halt.stop(INTERRUPTED)
        loop.call_later(SECOND_CTRL_C_S, loop.remove_signal_handler, signal.SIGINT)

    with suppress(ValueError, RuntimeError, NotImplementedError):  # not the main thread, or a system without them
        loop.add_signal_handler(signal.SIGINT, interrupted)
    timer = None if deadline_s is None else loop.call_later(deadline_s, halt.stop, PAST_DEADLINE)
    try:
        yield halt
    finally:
        if timer:
            timer.cancel()
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What every stage of one run needs."""

    request: BenchRequest
    endpoint: Endpoint
    source: PromptSource
    halt: _Halt
    on_progress: OnProgress

    async def stages(self) -> list[StageResult]:
        """One result per stage that began. A stage of nothing but failures ends the run: the next fares no better."""
        request, results = self.request, []
        for spec in stage_specs(request):
            warmed = await self._stage(spec, is_warmup=True)
            if self.halt.is_set():
                break
            log = await self._stage(spec, is_warmup=False)
            log.stopped_by = self.halt.reason or log.stopped_by
            result = stage_result(
                log,
                targets=request.targets,
                usd_per_hour=request.usd_per_hour,
                target_usd_per_mtok=request.target_usd_per_mtok,
                warmup_count=warmed.sent_count,
                keep_rows=request.keep_rows,
            )
            results.append(replace(result, notes=stage_notes(result, request.shared_prefix_tokens)))
            if log.stopped_by:
                break
        return results

    async def _stage(self, spec: StageSpec, *, is_warmup: bool) -> StageLog:
        """The log of one stage or of its warm-up, which is a closed loop of prompts of its own."""
        request, name = self.request, f"{spec.number}/{'warm-up' if is_warmup else 'measured'}"
        log = StageLog(spec=spec)
        if is_warmup:
            limits = Limits(requests_count=request.warmup_count, duration_s=None)
            log.spec = replace(spec, concurrency=spec.concurrency or WARMUP_CONCURRENCY, requests_per_s=None)
        else:
            unlimited = request.requests_count is None and request.duration_s is None
            duration_s = DEFAULT_DURATION_S if unlimited else request.duration_s
            limits = Limits(requests_count=request.requests_count, duration_s=duration_s)

        def beat(stage: Stage) -> None:
            self.on_progress(
                Progress(
                    label=spec.label,
                    stage_number=spec.number,
                    stages_count=len(stage_specs(request)),
                    is_warmup=is_warmup,
                    done_count=len(log.ended) - log.failed_count,
                    failed_count=log.failed_count,
                    in_flight_count=log.in_flight_count,
                    part_fraction=stage.part_fraction,
                )
            )

        stage = Stage(log, limits, lambda number: self.source.ask(f"{name}/{number}"), self.endpoint.send)
        await stage.run(f"{self.source.seed}/{name}", self.halt, beat)
        return log


def stage_specs(request: BenchRequest) -> list[StageSpec]:
    """The stages in the order in which they run: concurrencies first, then rates."""
    loads = [(count, None) for count in request.concurrencies] + [(None, rate) for rate in request.rates]
    return [
        StageSpec(number=number, concurrency=count, requests_per_s=rate)
        for number, (count, rate) in enumerate(loads, start=1)
    ]


def _prompts(request: BenchRequest, endpoint: Endpoint, seed: int) -> PromptSource:
    input_lengths, output_lengths, correlation = request.lengths()
    calibrated = endpoint.calibrated
    return PromptSource(
        seed=seed,
        input_lengths=input_lengths,
        output_lengths=output_lengths,
        rank_correlation=correlation,
        calibrated=WORDS_AS_TOKENS if isinstance(calibrated, Undefined) else calibrated,
        shared_prefix_tokens=request.shared_prefix_tokens,
        most_tokens=endpoint.most_context_tokens,
    )


def _run_notes(endpoint: Endpoint) -> tuple[str, ...]:
    notes = []
    if not endpoint.counts_tokens:
        notes.append("the server's streams carry no usage: token figures and $ are undefined, not guessed.")
    if isinstance(endpoint.calibrated, Undefined):
        notes.append(f"prompts are as many words as tokens were asked, because {endpoint.calibrated.reason}.")
    if endpoint.fields_left_out:
        fields = ", ".join(endpoint.fields_left_out)
        early = " Answers may end early." if "ignore_eos" in endpoint.fields_left_out else ""
        notes.append(f"the server refuses {fields}: left out.{early}")
    return tuple(notes)


def _client_version() -> str:
    try:
        return version("permillion")
    except PackageNotFoundError:
        return "unknown"
