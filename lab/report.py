"""The lab: one pass over a log, and everything it found."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import IO

from costlib.errors import ConfigError
from costlib.estimate import Basis, Undefined
from costlib.kvcache import BLOCK_TOKENS
from lab.answer_cache import SECONDS_KEPT
from lab.embedders import embedder_from
from lab.exact import ExactCounter, ExactHits
from lab.link import Reading, link_of, readings_of, settings_of
from lab.log import BrokenLine, Log, Progress
from lab.prefix import PrefixCounter, PrefixHits
from lab.record import Request
from lab.repeats import RepeatCounter, Repeats
from lab.routing import RoutingCounter, RoutingSplit
from lab.semantic import THRESHOLDS, SemanticCounter, SemanticHits
from lab.shape import OutputLengths, ShapeCounter, Turns
from lab.tokens import Tokenizer, by_bytes, tokenizer_from

DEFAULT_THRESHOLD = 0.97  # as the lesson has it
# $0.10 and $0.80 per million tokens for a 7B and a 70B, as the lesson's routing example has it; assumed.
SMALL_USD_PER_MTOK, LARGE_USD_PER_MTOK = 0.10, 0.80
_LOOKED_AT_COUNT = 500  # requests from which bytes per token are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """How to look. Empty and None are: find out, or do without."""

    format_key: str = ""
    block_tokens: int = BLOCK_TOKENS
    cache_tokens: int | None = None
    tokenizer: Path | None = None
    bytes_per_token: float | None = None
    embedder: str = ""
    threshold: float = DEFAULT_THRESHOLD
    ttl_s: float | None = SECONDS_KEPT
    is_semantic_wanted: bool = True
    small_usd_per_mtok: float = SMALL_USD_PER_MTOK
    large_usd_per_mtok: float = LARGE_USD_PER_MTOK
    large_models: tuple[str, ...] = ()
    show_text: bool = False

    def __post_init__(self) -> None:
        if self.block_tokens < 1:
            raise ConfigError(f"--block-size is a number of tokens from 1 on, not {self.block_tokens}.")
        if self.cache_tokens is not None and self.cache_tokens < 2 * self.block_tokens:
            raise ConfigError(
                f"a cache holds at least two blocks, {2 * self.block_tokens} tokens, not {self.cache_tokens}."
            )
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"--threshold is a cosine above 0 and up to 1, not {self.threshold:g}.")
        if self.bytes_per_token is not None and not 0.25 <= self.bytes_per_token <= 64:
            raise ConfigError(f"--bytes-per-token is from 0.25 to 64, not {self.bytes_per_token:g}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReport:
    """Nothing here quotes the log, unless text was asked for. `link` opens the What-if page with `settings`."""

    file_name: str
    format_key: str
    format_label: str
    lines_count: int
    requests_count: int
    without_prompt_count: int
    broken_count: int
    broken: tuple[BrokenLine, ...]
    notes: tuple[str, ...]
    from_s: float | None
    to_s: float | None
    prompt_tokens: int
    output_tokens: int
    token_basis: Basis
    token_about: str
    prefix: PrefixHits
    exact: ExactHits
    semantic: SemanticHits | Undefined
    threshold: float
    routing: RoutingSplit | Undefined
    repeats: Repeats
    turns: Turns
    outputs: OutputLengths
    readings: tuple[Reading, ...]
    settings: Mapping[str, Mapping[str, bool | float]]
    link: str


def examined(
    path: Path,
    options: LabOptions | None = None,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    content: IO[bytes] | None = None,
) -> LabReport:
    """Everything that this log shows, in one pass and in bounded memory; `content` is read in place of the file.

    `on_progress(name, lines, fraction)` is called now and then; `cancelled()` is asked as often.

    Raises    ConfigError, BadRecord, UnknownKey for what cannot be read or asked for; Cancelled when told to stop
    """
    options = options or LabOptions()
    log = Log(path=path, content=content, format_key=options.format_key, on_progress=on_progress, cancelled=cancelled)
    requests = log.requests()
    head = list(islice(requests, _LOOKED_AT_COUNT))
    counts = _Counts(options, _tokenizer(options, head), cancelled)
    for request in chain(head, requests):
        counts.add(request)
    return counts.report(log)


def _tokenizer(options: LabOptions, head: Iterable[Request]) -> Tokenizer:
    if options.tokenizer is not None:
        return tokenizer_from(options.tokenizer)
    found = by_bytes(head)
    if options.bytes_per_token is not None:
        found.bytes_per_token, found.basis = options.bytes_per_token, Basis.CALIBRATED
        found.about = f"{options.bytes_per_token:g} bytes of text a token, as was given"
    return found


class _Counts:
    """All counters, fed from one pass."""

    def __init__(self, options: LabOptions, tokenizer: Tokenizer, cancelled: Callable[[], bool]) -> None:
        blocks = options.cache_tokens // options.block_tokens if options.cache_tokens is not None else None
        self.options, self.tokenizer = options, tokenizer
        self.prefix = PrefixCounter(tokenizer=tokenizer, block_tokens=options.block_tokens, cache_blocks_count=blocks)
        self.exact = ExactCounter(ttl_s=options.ttl_s)
        self.semantic = (
            SemanticCounter(
                embedder=embedder_from(options.embedder),
                thresholds=sorted({*THRESHOLDS, options.threshold}),
                ttl_s=options.ttl_s,
                cancelled=cancelled,
            )
            if options.is_semantic_wanted
            else None
        )
        self.routing = RoutingCounter(
            small_usd_per_mtok=options.small_usd_per_mtok,
            large_usd_per_mtok=options.large_usd_per_mtok,
            large_models=options.large_models,
        )
        self.repeats = RepeatCounter(show_text=options.show_text)
        self.shape = ShapeCounter()
        self.times: tuple[float, float] | None = None
        self.prompt_tokens = self.output_tokens = self.backwards_count = 0
        self._last_s = 0.0

    def add(self, request: Request) -> None:
        prompt_tokens, cached_tokens = self.prefix.add(request)
        output_tokens = request.output_tokens
        if output_tokens is None and request.output is not None:
            output_tokens = ceil(len(self.tokenizer.output(request)) / self.tokenizer.bytes_per_token - 1e-9)
        tokens = prompt_tokens + (output_tokens or 0)
        if not self.exact.add(request, tokens) and self.semantic:
            self.semantic.add(request, tokens)
        self.routing.add(request, prompt_tokens, tokens)
        self.repeats.add(request, prompt_tokens, cached_tokens)
        self.shape.add(request, prompt_tokens, output_tokens)
        self.prompt_tokens += prompt_tokens
        self.output_tokens += output_tokens or 0
        if (at := request.started_s) is not None:
            self.backwards_count += at < self._last_s
            self._last_s = at
            self.times = (min(self.times[0], at), max(self.times[1], at)) if self.times else (at, at)

    def report(self, log: Log) -> LabReport:
        assert log.reader
        prefix, exact, routing = self.prefix.found(), self.exact.found(), self.routing.found()
        repeats, outputs = self.repeats.found(), self.shape.outputs()
        semantic = self.semantic.found() if self.semantic else None
        readings = readings_of(
            prefix, exact, semantic, self.options.threshold, routing, repeats, outputs, self.tokenizer.basis
        )
        settings = settings_of(readings)
        return LabReport(
            file_name=log.path.name,
            format_key=log.reader.key,
            format_label=log.reader.label,
            lines_count=log.lines_count,
            requests_count=log.requests_count,
            without_prompt_count=log.without_prompt_count,
            broken_count=log.broken_count,
            broken=tuple(log.broken),
            notes=tuple(self._notes(log, prefix, exact)),
            from_s=self.times[0] if self.times else None,
            to_s=self.times[1] if self.times else None,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            token_basis=self.tokenizer.basis,
            token_about=self.tokenizer.about,
            prefix=prefix,
            exact=exact,
            semantic=semantic if semantic else Undefined(reason="it was not asked for"),
            threshold=self.options.threshold,
            routing=routing,
            repeats=repeats,
            turns=self.shape.turns(),
            outputs=outputs,
            readings=readings,
            settings=settings,
            link=link_of(settings),
        )

    def _notes(self, log: Log, prefix: PrefixHits, exact: ExactHits) -> list[str]:
        found = list(log.notes)
        if self.times is None:
            found.append("the log has no times: answers are kept for ever, and requests come in the order of the file")
        elif self.backwards_count:
            found.append(f"times go back {self.backwards_count:,} times: hits are counted in the order of the file")
        if prefix.is_bounded:
            found.append("the log has more blocks than are held: caches beyond the curve are not known")
        if exact.is_bounded:
            found.append("more different requests than keys are held: the oldest were forgotten")
        return found
