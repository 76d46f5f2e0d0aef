"""The prefix-cache hit rate that a log could reach: for the cache there is, and for caches of every size."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil

from costlib.estimate import Undefined
from lab.blocks import chain, reusable_count
from lab.prefix_tree import PrefixTree
from lab.record import Request
from lab.tokens import Tokenizer

MOST_BLOCKS = 32 * 1024 * 1024  # held at once, 8 bytes each
RESERVED_BLOCKS = 1  # vLLM keeps one for itself
STEPS_PER_OCTAVE = 2
MOST_MODELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HitPoint:
    """A cache of so many blocks, and the share of prompt tokens that it gives."""

    blocks_count: int
    cache_tokens: int
    hit_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHits:
    model: str
    requests_count: int
    prompt_tokens: int
    hit_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixHits:
    """Of one engine per model, each with a cache of `cache_blocks_count`; None of them: a cache without an end.

    `hit_fraction` is of prompt tokens, as vLLM's prefix_cache_hits over prefix_cache_queries. `curve` is the same for
    other sizes, `best_fraction` for a cache that forgets nothing.
    """

    block_tokens: int
    cache_blocks_count: int | None
    prompt_tokens: int
    hit_tokens: int
    hit_fraction: float | Undefined
    best_fraction: float | Undefined
    curve: tuple[HitPoint, ...]
    models: tuple[ModelHits, ...]
    distinct_blocks_count: int
    is_bounded: bool  # the log has more blocks than are held at once: larger caches are not on the curve


@dataclass(slots=True, kw_only=True)
class _Sums:
    requests_count: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class PrefixCounter:
    """Counts request after request, in the order of the log."""

    tokenizer: Tokenizer
    block_tokens: int
    cache_blocks_count: int | None = None
    most_blocks_count: int = MOST_BLOCKS
    _sizes: list[int] = field(default_factory=list)
    _full: list[int] = field(default_factory=list)  # blocks that hit in caches from this size on
    _partly: list[int] = field(default_factory=list)  # and in this size alone
    _trees: dict[str, PrefixTree] = field(default_factory=dict)
    _models: dict[str, _Sums] = field(default_factory=dict)
    _hits_count: int = 0
    _unseen: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        sizes = {usable(self.cache_blocks_count)} if self.cache_blocks_count else set()
        octaves = range(4 * STEPS_PER_OCTAVE, STEPS_PER_OCTAVE * (self.most_blocks_count.bit_length()))
        sizes |= {round(2 ** (step / STEPS_PER_OCTAVE)) for step in octaves}
        self._sizes = sorted(size for size in sizes if size > 0)
        self._full = [0] * (len(self._sizes) + 1)
        self._partly = [0] * len(self._sizes)

    def add(self, request: Request) -> tuple[int, int]:
        """Counts it. Tokens of the prompt, and of these how many a cache without an end would have given."""
        prompt = self.tokenizer.prompt(request)
        tokens = ceil(len(prompt) / self.tokenizer.bytes_per_token - 1e-9)
        model = request.model if request.model in self._trees or len(self._trees) < MOST_MODELS else "(others)"
        tree = self._trees.setdefault(model, PrefixTree(self.most_blocks_count))
        runs = tree.use(self._chain(request, prompt, tokens))
        left = reusable_count(tokens, self.block_tokens)
        sums = self._models.setdefault(model, _Sums())
        hits = 0
        for run in runs:
            blocks = min(run.blocks_count, left - hits)
            if blocks <= 0:
                break
            hits += blocks
            sums.hit_tokens += self._count(run.distance, blocks) * self.block_tokens
        self._hits_count += hits
        sums.requests_count += 1
        sums.prompt_tokens += tokens
        return tokens, hits * self.block_tokens

    def _chain(self, request: Request, prompt: bytes, tokens: int) -> "array[int]":
        """The prompt's blocks and those of its answer, which is cached too; unknown text takes room all the same."""
        width = self.block_tokens * self.tokenizer.bytes_per_token
        output = self.tokenizer.output(request)
        blocks = chain(prompt + output, width, request.extra_key)
        if not output and request.output_tokens:
            missing = (tokens + request.output_tokens) // self.block_tokens - len(blocks)
            blocks.extend(hash(("unseen", next(self._unseen))) for _ in range(missing))
        return blocks

    def _count(self, distance: int, blocks: int) -> int:
        """Adds these hits to every size that holds them; returns how many the cache there is would give."""
        far = distance + blocks - 1
        first, whole = bisect_left(self._sizes, distance), bisect_left(self._sizes, far)
        self._full[whole] += blocks
        for index in range(first, whole):
            self._partly[index] += self._sizes[index] - distance + 1
        if self.cache_blocks_count is None:
            return blocks
        return max(0, min(blocks, usable(self.cache_blocks_count) - distance + 1))

    def found(self) -> PrefixHits:
        prompt = sum(sums.prompt_tokens for sums in self._models.values())
        hit = sum(sums.hit_tokens for sums in self._models.values())
        trees = self._trees.values()
        exact = min((tree.exact_blocks_count for tree in trees), default=0)
        nothing = Undefined(reason="no prompt has a token")
        return PrefixHits(
            block_tokens=self.block_tokens,
            cache_blocks_count=self.cache_blocks_count,
            prompt_tokens=prompt,
            hit_tokens=hit,
            hit_fraction=hit / prompt if prompt else nothing,
            best_fraction=self._hits_count * self.block_tokens / prompt if prompt else nothing,
            curve=self._curve(prompt, exact, max((tree.blocks_count for tree in trees), default=0)) if prompt else (),
            models=tuple(
                ModelHits(
                    model=name,
                    requests_count=sums.requests_count,
                    prompt_tokens=sums.prompt_tokens,
                    hit_fraction=sums.hit_tokens / sums.prompt_tokens if sums.prompt_tokens else 0.0,
                )
                for name, sums in sorted(self._models.items(), key=lambda item: -item[1].prompt_tokens)
            ),
            distinct_blocks_count=sum(tree.blocks_ever_count for tree in trees),
            is_bounded=exact < self.most_blocks_count,
        )

    def _curve(self, prompt_tokens: int, exact: int, largest: int) -> tuple[HitPoint, ...]:
        points, full = [], 0
        for size, more, partly in zip(self._sizes, self._full, self._partly, strict=False):
            full += more
            if size > exact:
                break
            points.append(
                HitPoint(
                    blocks_count=size + RESERVED_BLOCKS,
                    cache_tokens=(size + RESERVED_BLOCKS) * self.block_tokens,
                    hit_fraction=(full + partly) * self.block_tokens / prompt_tokens,
                )
            )
            if size >= largest:
                break
        return tuple(points)


def usable(blocks_count: int) -> int:
    return blocks_count - RESERVED_BLOCKS


def size_for(curve: Sequence[HitPoint], share: float) -> HitPoint | None:
    """The smallest cache on the curve that reaches this share of the largest's hit rate."""
    if not curve:
        return None
    return next((point for point in curve if point.hit_fraction >= share * curve[-1].hit_fraction), None)
