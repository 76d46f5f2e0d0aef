"""What a reader of a stage's figures should know before believing them."""

from collectors.base import excerpt
from collectors.bench.measure import (
    CACHED_FRACTION,
    CLIENT_LAG_S,
    FULL_FRACTION,
    LATE_FRACTION,
    LATE_S,
    LENGTH_FRACTION,
)
from collectors.bench.report import StageResult
from costlib.estimate import Undefined
from costlib.units import MS_PER_S


def stage_notes(stage: StageResult, shared_prefix_tokens: int) -> tuple[str, ...]:
    """Remarks on one stage, the gravest first; none when all is well."""
    return (*_of_ends(stage), *_of_client(stage), *_of_load(stage), *_of_tokens(stage, shared_prefix_tokens))


def _of_ends(stage: StageResult) -> list[str]:
    notes = [
        f"{count:,} {kind}: {excerpt(stage.failure_examples.get(kind, ''))}" for kind, count in stage.failures.items()
    ]
    if stage.stopped_by:
        notes.append(f"stopped early: {stage.stopped_by}.")
    if stage.unfinished_count:
        notes.append(
            f"{stage.unfinished_count:,} requests under way were cut off and left out; the slowest are among them."
        )
    return notes


def _of_client(stage: StageResult) -> list[str]:
    notes = []
    if stage.late_count > LATE_FRACTION * max(stage.sent_count, 1):
        notes.append(
            f"the client itself fell behind: {stage.late_count:,} of {stage.sent_count:,} requests were sent over "
            f"{LATE_S * MS_PER_S:g} ms late. Send less from one machine."
        )
    if stage.client_lag_p99_s is not None and stage.client_lag_p99_s > CLIENT_LAG_S:
        notes.append(
            f"the client was short of CPU (event loop late by {stage.client_lag_p99_s * MS_PER_S:.0f} ms at p99): "
            "latencies are too high by up to as much."
        )
    return notes


def _of_load(stage: StageResult) -> list[str]:
    if stage.stopped_by or isinstance(stage.requests_per_s, Undefined):
        return []
    asked, sent = stage.asked_requests_per_s, stage.sent_requests_per_s
    if asked and sent:
        notes = [f"asked {asked:g} requests/s, sent {sent:.2f}/s (Poisson: chance makes some difference)."]
        if stage.requests_per_s < FULL_FRACTION * sent:
            notes.append(
                f"the server answered {stage.requests_per_s:.2f}/s of them: a queue grew, and latencies depend on how "
                "long the stage was."
            )
        return notes
    in_flight = stage.mean_in_flight
    if stage.concurrency and not isinstance(in_flight, Undefined) and in_flight < FULL_FRACTION * stage.concurrency:
        return [
            f"{in_flight:.1f} requests were under way on average: the last ones ran alone. A longer stage measures "
            f"the full load of {stage.concurrency}."
        ]
    return []


def _of_tokens(stage: StageResult, shared_prefix_tokens: int) -> list[str]:
    notes = []
    for name, wanted, got in (
        ("prompts", stage.asked_input_tokens, stage.got_input_tokens),
        ("answers", stage.asked_output_tokens, stage.got_output_tokens),
    ):
        if isinstance(got, Undefined) or isinstance(wanted, Undefined):
            continue
        if abs(got.mean - wanted.mean) > LENGTH_FRACTION * wanted.mean:
            notes.append(f"{name} came out at {got.mean:,.0f} tokens on average where {wanted.mean:,.0f} were asked.")
    if isinstance(stage.output_tokens, Undefined) and stage.done_count:
        notes.append(f"token figures are undefined: {stage.output_tokens.reason}.")
    if stage.clipped_count:
        notes.append(f"{stage.clipped_count:,} requests were asked shorter than drawn, to fit the server's limit.")
    cached, total = stage.cached_input_tokens, stage.input_tokens
    cached_fraction = 0.0 if isinstance(cached, Undefined) or isinstance(total, Undefined) else cached / max(total, 1)
    if cached_fraction > CACHED_FRACTION:
        asked = "as --shared-prefix asks" if shared_prefix_tokens else "which flatters TTFT and $"
        notes.append(f"{cached_fraction:.0%} of the input came from the prefix cache, {asked}.")
    if not isinstance(stage.tokens_per_chunk_ratio, Undefined) and stage.tokens_per_chunk_ratio > 1.5:
        notes.append(f"a chunk held {stage.tokens_per_chunk_ratio:.1f} tokens on average.")
    return notes
