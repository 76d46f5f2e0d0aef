"""Text that comes again and again in prompts: what could be said shorter, and what of it a prefix cache has already.

Messages, paragraphs and lines are counted by their hash; what is seen once and again not is forgotten when there is no
room (lossy counting), so that memory has a bound whatever the log.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.readers.base import key_of
from lab.record import SYSTEM_ROLES, Request

SHORTEST = 40  # characters that are worth a look
MOST_SEGMENTS = 200_000
MOST_SHOWN = 12
REPEATED_COUNT = 3
_LONG_LINE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`tokens` of one occurrence. `uncached_tokens` of all occurrences that no prefix cache would have given: what
    saying it shorter could still save. `text` only where it was asked for."""

    key: str
    occurrences_count: int
    tokens: float
    total_tokens: float
    uncached_tokens: float
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """`repeated_fraction` of prompt tokens stand in lines that come three times or more."""

    segments: tuple[Segment, ...]
    repeated_fraction: float
    repeated_uncached_fraction: float
    is_bounded: bool


@dataclass(slots=True)
class _Seen:
    key: str
    parent: int
    is_line: bool
    text: str
    count: int = 0
    tokens: float = 0.0
    uncached_tokens: float = 0.0


@dataclass(slots=True, kw_only=True)
class RepeatCounter:
    show_text: bool = False
    most_segments_count: int = MOST_SEGMENTS
    _seen: dict[int, _Seen] = field(default_factory=dict)
    _tokens: float = 0.0
    _is_bounded: bool = False

    def add(self, request: Request, tokens: int, cached_tokens: int) -> None:
        letters = sum(len(text) for _, text in request.messages)
        self._tokens += tokens
        if not letters:
            return
        each = tokens / letters
        cached_letters = letters * cached_tokens / max(1, tokens)
        for start, text, parent, is_line in _pieces(request):
            number = hash(text)
            seen = self._seen.get(number)
            if seen is None:
                shown = text[:2_000] if self.show_text else ""
                seen = self._seen[number] = _Seen(key_of(text), parent, is_line, shown)
            size = len(text) * each
            seen.count += 1
            seen.tokens += size
            seen.uncached_tokens += max(0.0, min(len(text), start + len(text) - cached_letters)) * each
        if len(self._seen) > self.most_segments_count:
            self._forget()

    def _forget(self) -> None:
        self._is_bounded = True
        least = 2
        while len(self._seen) > self.most_segments_count // 2:
            self._seen = {number: seen for number, seen in self._seen.items() if seen.count >= least}
            least *= 2

    def found(self) -> Repeats:
        repeated = {number: seen for number, seen in self._seen.items() if seen.count >= REPEATED_COUNT}
        whole = [seen for seen in repeated.values() if not _is_part(seen, repeated)]
        lines = [seen for seen in repeated.values() if seen.is_line]
        total = self._tokens or 1.0
        return Repeats(
            segments=tuple(
                Segment(
                    key=seen.key,
                    occurrences_count=seen.count,
                    tokens=seen.tokens / seen.count,
                    total_tokens=seen.tokens,
                    uncached_tokens=seen.uncached_tokens,
                    text=seen.text,
                )
                for seen in sorted(whole, key=lambda one: (-one.tokens, one.key))[:MOST_SHOWN]
            ),
            repeated_fraction=min(1.0, sum(seen.tokens for seen in lines) / total),
            repeated_uncached_fraction=min(1.0, sum(seen.uncached_tokens for seen in lines) / total),
            is_bounded=self._is_bounded,
        )


def _is_part(seen: _Seen, repeated: dict[int, _Seen]) -> bool:
    """Whether it hardly ever comes without what it is a part of, which is shown instead."""
    parent = repeated.get(seen.parent)
    return parent is not None and seen.count <= 1.1 * parent.count


def _pieces(request: Request) -> Iterator[tuple[int, str, int, bool]]:
    """Where each begins in the prompt, its text, the hash of what it is a part of, and whether it is a line, or has
    no lines that are worth a look.

    Earlier turns come again by themselves, and nobody writes them: only instructions and the last message count.
    """
    begin, last = 0, len(request.messages) - 1
    for place, (role, text) in enumerate(request.messages):
        if place < last and role not in SYSTEM_ROLES:
            begin += len(text)
            continue
        whole = hash(text) if len(text) >= SHORTEST else 0
        paragraphs = text.split("\n\n")
        start = begin
        for paragraph in paragraphs:
            if len(paragraph) >= SHORTEST:
                part = hash(paragraph)
                lines = list(_lines(paragraph))
                is_split = any(len(line) >= SHORTEST for _, line in lines)
                for offset, line in lines:
                    if len(line) >= SHORTEST:
                        # A line that is the whole of its message or paragraph is that, and not a part of it.
                        yield start + offset, line, _other(hash(line), part, whole), True
                if len(lines) > 1:
                    yield start, paragraph, _other(part, whole), not is_split
            start += len(paragraph) + 2
        if whole and len(paragraphs) > 1:
            yield begin, text, 0, False
        begin += len(text)


def _other(own: int, *parents: int) -> int:
    return next((parent for parent in parents if parent not in (own, 0)), 0)


def _lines(paragraph: str) -> Iterator[tuple[int, str]]:
    """Lines; sentences of a line that is long."""
    start = 0
    for line in paragraph.split("\n"):
        if len(line) <= _LONG_LINE:
            yield start, line
        else:
            offset = start
            for sentence in line.split(". "):
                yield offset, sentence
                offset += len(sentence) + 2
        start += len(line) + 1
