"""Words and pieces of words, hashed to a vector: near is what shares words. Needs nothing, knows no meaning."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from zlib import crc32

import numpy as np

from lab.embedders.base import Embedder, Kind, Vectors, normalised

DIMENSIONS = 1024
_WORD = re.compile(r"\w+")
# Words that carry the grammar and not the question.
_FUNCTION_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me "
        "my of on or our please should so some that the their them there these they this to us was we were what when "
        "where which who why will with would you your"
    )
)
_FUNCTION_WEIGHT, _PAIR_WEIGHT, _PIECE_WEIGHT = 0.2, 0.5, 0.3
_PIECE_LETTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexical:
    """Signed hashing of words, pairs of words and pieces of words, which is a random projection of their counts."""

    name: str = "lexical"
    is_semantic: bool = False
    most_texts_count: int = 5_000
    most_letters_count: int = 2_000_000

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for feature, weight in _features(text):
                place = crc32(feature.encode("utf-8", "surrogatepass"))
                row[place % DIMENSIONS] += weight if place & 0x8000_0000 else -weight
        return normalised(vectors)


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.lower())
    weights = {word: _FUNCTION_WEIGHT if word in _FUNCTION_WORDS else 1.0 for word in words}
    for word, count in Counter(words).items():
        weight = weights[word] * (1 + log(count))
        yield word, weight
        padded = f"<{word}>"
        for start in range(len(padded) - _PIECE_LETTERS + 1):
            yield f"#{padded[start : start + _PIECE_LETTERS]}", weight * _PIECE_WEIGHT
    for pair, count in Counter(pairwise(words)).items():
        yield " ".join(pair), _PAIR_WEIGHT * min(weights[pair[0]], weights[pair[1]]) * (1 + log(count))


def load(path: Path | None) -> Embedder:
    return Lexical()


KIND = Kind(key="lexical", label="shared words, without a model", rank=0, is_here=lambda: True, load=load)
