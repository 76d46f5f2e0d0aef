"""How recently each block of a prompt was used, for a cache of any size, in one pass.

A cache that evicts the least recently used block, and of one request the last block first, holds the top of one
stack: a hit in a cache of C blocks is a block among the C most recent. So one pass over the log gives the hit rate of
every size (Mattson et al., Evaluation techniques for storage hierarchies, 1970). Requests are a tree of shared
beginnings, where all blocks of an edge were last used by the same request: work goes with the requests, memory with
8 bytes a block.
"""

from array import array
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Edge:
    """A run of blocks that were last used together."""

    start: int  # place of its first block in its chains
    hashes: "array[int]"
    user: int  # the request that used it last
    above: "_Edge | None"
    below: "dict[int, _Edge]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks in a row: the first is the `distance`-th most recent of the cache, the next one further, and so on."""

    distance: int
    blocks_count: int


class PrefixTree:
    """`most_blocks_count` bounds memory: what is used least recently is forgotten, as a cache of that size would."""

    def __init__(self, most_blocks_count: int) -> None:
        self.most_blocks_count = most_blocks_count
        self.exact_blocks_count = most_blocks_count  # distances up to here are exact, whatever was forgotten
        self.blocks_count = 0
        self.blocks_ever_count = 0
        self._root = _Edge(-1, array("q"), -1, None)
        self._held = array("q", [0])  # Fenwick tree: of each request, how many blocks it was the last to use
        self._first = array("q")  # of each request, the place of the first block that it still holds
        self._leaf: dict[int, _Edge] = {}  # of each request that holds any, its last edge
        self._oldest = 0

    def use(self, chain: "array[int]") -> list[Run]:
        """A request with these blocks: what of them was there, as runs in order, and then they are the most recent."""
        path, matched = self._match(chain)
        runs = self._runs(path)
        now = len(self._first)
        for edge in path:
            self._take(edge, now)
        last = path[-1] if path else self._root
        if matched < len(chain):
            edge = _Edge(matched, chain[matched:], now, last)
            last.below[chain[matched]] = edge
            self.blocks_count += len(chain) - matched
            self.blocks_ever_count += len(chain) - matched
            last = edge
        self._append(len(chain))
        if len(chain):
            self._leaf[now] = last
        while self.blocks_count > self.most_blocks_count:
            self._forget()
        return runs

    def _match(self, chain: "array[int]") -> tuple[list[_Edge], int]:
        """The edges of the longest known beginning, the last one split where the chain leaves it."""
        path: list[_Edge] = []
        at, done = self._root, 0
        while done < len(chain) and (edge := at.below.get(chain[done])):
            shared = _shared(edge.hashes, chain, done)
            if shared < len(edge.hashes):
                edge = self._split(edge, shared)
            path.append(edge)
            done += shared
            at = edge
            if done < len(chain) and chain[done] not in at.below:
                break
        return path, done

    def _split(self, lower: _Edge, count: int) -> _Edge:
        """The first `count` blocks of an edge as an edge of their own; the edge itself keeps the rest."""
        assert lower.above
        upper = _Edge(lower.start, lower.hashes[:count], lower.user, lower.above)
        lower.above.below[upper.hashes[0]] = upper
        lower.above, lower.start, lower.hashes = upper, lower.start + count, lower.hashes[count:]
        upper.below[lower.hashes[0]] = lower
        return upper

    def _runs(self, path: list[_Edge]) -> list[Run]:
        """Newer requests' blocks come first, then those of the same request before this edge."""
        all_held = self.blocks_count
        return [
            Run(all_held - self._held_up_to(edge.user) + edge.start - self._first[edge.user] + 1, len(edge.hashes))
            for edge in path
        ]

    def _take(self, edge: _Edge, now: int) -> None:
        before, count = edge.user, len(edge.hashes)
        self._add(before, -count)
        self._first[before] += count
        if self._leaf.get(before) is edge:
            del self._leaf[before]
        edge.user = now

    def _forget(self) -> None:
        """The least recent blocks: what the oldest request was the last to use, always the end of a chain."""
        while self._oldest not in self._leaf:
            self._oldest += 1
        edge: _Edge | None = self._leaf.pop(self._oldest)
        while edge is not None and edge.user == self._oldest and edge.above is not None:
            above = edge.above
            del above.below[edge.hashes[0]]
            self.blocks_count -= len(edge.hashes)
            self._add(self._oldest, -len(edge.hashes))
            edge = above
        self.exact_blocks_count = min(self.exact_blocks_count, self.blocks_count)

    # Sums over requests that grow at the end: a Fenwick tree, whose place i is request i - 1.

    def _append(self, held: int) -> None:
        place, total, step = len(self._held), held, 1
        while step < place & -place:
            total += self._held[place - step]
            step <<= 1
        self._held.append(total)
        self._first.append(0)

    def _add(self, request: int, change: int) -> None:
        place, held = request + 1, self._held
        while place < len(held):
            held[place] += change
            place += place & -place

    def _held_up_to(self, request: int) -> int:
        place, held, total = request + 1, self._held, 0
        while place:
            total += held[place]
            place &= place - 1
        return total


def _shared(edge: "array[int]", chain: "array[int]", start: int) -> int:
    """How many blocks two chains share from `start`. A block's hash holds all before it, so the last one decides."""
    low, high = 1, min(len(edge), len(chain) - start)
    if edge[high - 1] == chain[start + high - 1]:
        return high
    while low < high:
        middle = (low + high) // 2
        if edge[middle] == chain[start + middle]:
            low = middle + 1
        else:
            high = middle
    return low
