"""What an embedder is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """`embed` gives one vector of length 1 a text, so that a product is the cosine. `is_semantic` says whether texts
    that mean the same in other words are near each other; without it, only texts that share words are."""

    @property
    def name(self) -> str: ...

    @property
    def is_semantic(self) -> bool: ...

    @property
    def most_texts_count(self) -> int: ...  # that are worth waiting for

    @property
    def most_letters_count(self) -> int: ...  # of all of them together

    def embed(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An embedder that could be here. Of those that are, the one with the highest `rank` is taken."""

    key: str
    label: str
    rank: int
    is_here: Callable[[], bool]
    load: Callable[[Path | None], Embedder]


def normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
