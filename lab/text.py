"""A lab's report as text for a terminal."""

from collections.abc import Iterator

from costlib.estimate import Basis, Undefined
from costlib.text_safety import plain
from lab.prefix import size_for
from lab.report import LabReport
from lab.routing import RoutingSplit
from lab.semantic import SemanticHits

_MOST_POINTS = 9
_MOST_MODELS = 5


def report_text(found: LabReport) -> str:
    return "\n".join(_lines(found))


def _share(value: float | Undefined) -> str:
    return f"undefined ({value.reason})" if isinstance(value, Undefined) else f"{value:.1%}"


def _count(value: float | Undefined) -> str:
    return f"undefined ({value.reason})" if isinstance(value, Undefined) else f"{value:,.0f}"


def _lines(found: LabReport) -> Iterator[str]:
    yield (
        f"{plain(found.file_name)}: {found.requests_count:,} requests in {found.lines_count:,} lines "
        f"({found.format_key})"
    )
    if found.broken_count:
        yield f"  {found.broken_count:,} lines are broken; the first:"
        yield from (f"    line {line.line_number}: {plain(line.why)}" for line in found.broken)
    if found.without_prompt_count:
        yield f"  {found.without_prompt_count:,} records have no prompt"
    yield from (f"  note: {plain(note, 200)}" for note in found.notes)
    yield f"  {found.prompt_tokens:,} prompt tokens, {found.output_tokens:,} output tokens"
    yield f"  {found.token_about} ({found.token_basis})"
    yield ""
    yield from _prefix(found)
    yield ""
    yield f"Exact cache: {_share(found.exact.hit_fraction)} of requests, {_share(found.exact.token_fraction)} of tokens"
    yield from _semantic(found)
    yield ""
    yield from _routing(found.routing)
    yield ""
    yield from _repeats(found)
    yield ""
    yield from _shape(found)
    yield ""
    yield "For the levers"
    for one in found.readings:
        pulled = "" if one.is_pulled else " (not in the link)"
        yield f"  {one.lever}.{one.param} = {one.value:g}  {one.basis}: {one.about}{pulled}"
    yield f"What-if page: {found.link or 'nothing is known well enough for a link'}"


def _prefix(found: LabReport) -> Iterator[str]:
    hits = found.prefix
    size = "endless" if hits.cache_blocks_count is None else f"{hits.cache_blocks_count:,}"
    yield f"Prefix cache: {_share(hits.hit_fraction)} of prompt tokens, {size} blocks of {hits.block_tokens} tokens"
    if hits.cache_blocks_count is not None:
        yield f"  {_share(hits.best_fraction)} with a cache without an end"
    step = max(1, -(-len(hits.curve) // _MOST_POINTS))
    for point in hits.curve[::-1][::step][::-1]:
        yield f"  {point.cache_tokens:>14,} tokens  {point.hit_fraction:6.1%}"
    if (enough := size_for(hits.curve, 0.9)) is not None and hits.curve[-1].hit_fraction > 0:
        yield f"  {enough.cache_tokens:,} tokens give nine tenths of what the largest does"
    if len(hits.models) > 1:
        for model in hits.models[:_MOST_MODELS]:
            yield f"  {plain(model.model, 40)}: {model.hit_fraction:.1%} of {model.prompt_tokens:,} tokens"


def _semantic(found: LabReport) -> Iterator[str]:
    hits = found.semantic
    if not isinstance(hits, SemanticHits):
        yield f"Semantic cache: undefined ({hits.reason})"
        return
    what = "by meaning" if hits.is_semantic else "by shared words only, which is no semantic cache"
    yield f"Semantic cache: {hits.embedder}, {what}; {hits.requests_count:,} requests in {hits.scopes_count:,} scopes"
    yield f"  beside it, {hits.planted_pairs_count} planted questions: paraphrases found, look-alikes taken for them"
    yield "  threshold    hits  tokens   found  look-alikes  unrelated  answers differ"
    for point in hits.points:
        mark = "*" if point.threshold == found.threshold else " "
        differ = f"{point.differing_count} of {point.compared_count}" if point.compared_count else "-"
        yield (
            f"  {mark} {point.threshold:<7.2f} {point.hit_fraction:7.1%} {point.token_fraction:7.1%} "
            f"{point.planted.found_fraction:7.1%} {point.planted.wrong_pairs_fraction:12.1%} "
            f"{point.planted.unrelated_fraction:10.1%}  {differ}"
        )


def _routing(split: RoutingSplit | Undefined) -> Iterator[str]:
    if isinstance(split, Undefined):
        yield f"Routing: undefined ({split.reason})"
        return
    yield (
        f"Routing by seven signals, two or more being large: {split.rule.small_fraction:.1%} to the small model, "
        f"${split.rule.blended_usd_per_mtok:.3f} per million tokens"
    )
    yield "  " + ", ".join(f"{name} {share:.0%}" for name, share in split.signal_fractions.items())
    yield f"  labels: {split.label_source}"
    if isinstance(split.trained, Undefined):
        yield f"  no classifier: {split.trained.reason}"
        return
    yield (
        f"  a classifier errs on {split.trained.error_fraction:.1%} of requests it has not seen (always saying the "
        f"same: {split.trained.baseline_error_fraction:.1%}); {split.trained.small_fraction:.1%} to the small model, "
        f"{split.trained.misrouted_fraction:.1%} of those wrongly"
    )
    if not isinstance(split.trained_split, Undefined):
        yield (
            f"  ${split.trained_split.blended_usd_per_mtok:.3f} per million tokens at "
            f"${split.small_usd_per_mtok:g} and ${split.large_usd_per_mtok:g}, {Basis.ASSUMED}"
        )


def _repeats(found: LabReport) -> Iterator[str]:
    repeats = found.repeats
    yield (
        f"Text that repeats: {repeats.repeated_fraction:.1%} of prompt tokens, "
        f"{repeats.repeated_uncached_fraction:.1%} beyond what a prefix cache gives"
    )
    for one in repeats.segments:
        yield (
            f"  {one.key[:8]}  {one.occurrences_count:,} times {one.tokens:,.0f} tokens = {one.total_tokens:,.0f}, "
            f"{one.uncached_tokens:,.0f} not cached"
        )
        if one.text:
            yield f"    {plain(one.text, 200)}"


def _shape(found: LabReport) -> Iterator[str]:
    turns, outputs = found.turns, found.outputs
    mean = turns.mean_turns
    yield (
        f"Turns: {turns.conversations_count:,} conversations of "
        f"{mean if isinstance(mean, Undefined) else format(mean, '.1f')} turns on average, {turns.longest_turns_count} "
        "at most; prompt tokens by turn: "
        + ", ".join(f"{point.turn}: {point.mean_prompt_tokens:,.0f}" for point in turns.points[:8])
    )
    yield (
        f"Answers: {outputs.answers_count:,}; p50 {_count(outputs.p50_tokens)}, p90 {_count(outputs.p90_tokens)}, p99 "
        f"{_count(outputs.p99_tokens)} tokens; max_tokens {_count(outputs.median_max_tokens)} in the middle; cut off "
        f"{_share(outputs.truncated_fraction)}"
    )
