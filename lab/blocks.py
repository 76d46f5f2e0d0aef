"""vLLM's blocks: a prompt in blocks of so many tokens, each known by its tokens and by all that come before it."""

from array import array

MIX = "permillion"


def chain(data: bytes, block_bytes: float, seed: str = "") -> "array[int]":
    """The hash of each full block of `data`, in order; a block's hash holds all blocks before it.

    Equation   h_i = hash(h_(i-1), bytes of block i),  h_0 = hash(seed)
    Returns    64-bit hashes, salted anew in every process; the last, partial block has none
    Valid for  blocks of any width in bytes, whole or not: their edges stand at floor(i x block_bytes)
    Source     vLLM, design documents, automatic prefix caching: parent hash, tokens of the block, extra keys
    Example    two prompts that differ in their third block share two
    >>> a, b = chain(b"aabbcc", 2), chain(b"aabbdd", 2)
    >>> [x == y for x, y in zip(a, b)]
    [True, True, False]
    """
    hashes = array("q")
    before = hash((MIX, seed))
    start, count = 0, int(len(data) / block_bytes)
    for index in range(1, count + 1):
        end = int(index * block_bytes)
        before = hash((before, data[start:end]))
        hashes.append(before)
        start = end
    return hashes


def reusable_count(tokens: int, block_tokens: int) -> int:
    """How many blocks of a prompt a cache can give: the last token is computed in any case, so its block is too.

    >>> reusable_count(32, 16), reusable_count(33, 16)
    (1, 2)
    """
    return max(0, tokens - 1) // block_tokens
