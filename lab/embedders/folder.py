"""A sentence-embedding model in a folder of this machine, of the BERT family: run here in NumPy, without PyTorch.

Any other kind is left to the package sentence-transformers, where it is installed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from costlib.errors import ConfigError
from lab.bert import BertWeights, encode, safetensors
from lab.embedders.base import Embedder, Kind, Vectors, normalised
from lab.wordpiece import WordPiece

WEIGHTS = "model.safetensors"
BATCH_TEXTS = 32
MOST_TEXTS = 2_000
MOST_LETTERS = 200_000
DEFAULT_LENGTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert:
    """Word pieces through the encoder; the mean of the pieces, or the first, is the text."""

    name: str
    weights: BertWeights
    pieces: WordPiece
    most_pieces_count: int
    is_mean: bool
    is_semantic: bool = True
    most_texts_count: int = MOST_TEXTS
    most_letters_count: int = MOST_LETTERS

    @classmethod
    def load(cls, path: Path, name: str = "") -> "Bert":
        config = _json(path / "config.json")
        pooling = _json(path / "1_Pooling" / "config.json", {})
        sentence = _json(path / "sentence_bert_config.json", {})
        settings = _json(path / "tokenizer_config.json", {})
        longest = int(config.get("max_position_embeddings", DEFAULT_LENGTH))
        try:
            vocabulary = (path / "vocab.txt").read_text(encoding="utf-8").splitlines()
            weights = BertWeights.of(safetensors(path / WEIGHTS), config)
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(
                f"{path} is no model of the BERT family: {type(error).__name__} {str(error)[:80]}"
            ) from None
        return cls(
            name=name or path.name,
            weights=weights,
            pieces=WordPiece.of(vocabulary, is_lower=bool(settings.get("do_lower_case", True))),
            most_pieces_count=min(longest, int(sentence.get("max_seq_length") or DEFAULT_LENGTH)),
            is_mean=not pooling.get("pooling_mode_cls_token", False),
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        ids = [self.pieces.ids(text, self.most_pieces_count) for text in texts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))  # texts of a batch are as long as each other
        found = np.zeros((len(ids), self.weights.size), dtype=np.float32)
        for start in range(0, len(order), BATCH_TEXTS):
            rows = order[start : start + BATCH_TEXTS]
            found[rows] = encode(self.weights, [ids[row] for row in rows], is_mean=self.is_mean)
        return normalised(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPackage:
    """Any model that sentence-transformers reads from a folder."""

    name: str
    model: Any
    is_semantic: bool = True
    most_texts_count: int = MOST_TEXTS
    most_letters_count: int = MOST_LETTERS

    def embed(self, texts: Sequence[str]) -> Vectors:
        return normalised(np.asarray(self.model.encode(list(texts)), dtype=np.float32))


def _json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        if default is not None:
            return default
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}.") from None


def load(path: Path | None) -> Embedder:
    if path is None:
        raise ConfigError("--embedder folder: give the folder itself, such as --embedder models/all-MiniLM-L6-v2.")
    try:
        return Bert.load(path)
    except ConfigError as error:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise ConfigError(f"{error} Other models need the package sentence-transformers.") from None
        return ByPackage(name=path.name, model=SentenceTransformer(str(path), local_files_only=True))


KIND = Kind(key="folder", label="a model in a folder of yours", rank=-1, is_here=lambda: True, load=load)
