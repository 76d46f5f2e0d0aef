"""The encoder of a BERT, in NumPy: it turns word pieces into one vector a text. Weights are a safetensors file."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_KINDS = {"F32": np.float32, "F16": np.float16}
_LONGEST_HEADER_BYTES = 100_000_000
_MASKED = -1e4  # of a score: its share is 0 then


def safetensors(path: Path) -> dict[str, Floats]:
    """Every float tensor of the file by its name: a length, a JSON header, then the numbers. Nothing in it is run."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(len(data), _LONGEST_HEADER_BYTES):
        raise ValueError("its header is longer than the file")
    header = json.loads(data[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in _KINDS:
            kind, (start, end) = np.dtype(_KINDS[entry["dtype"]]), entry["data_offsets"]
            numbers = np.frombuffer(data, kind, (end - start) // kind.itemsize, 8 + length + start)
            found[name.removeprefix("bert.")] = numbers.reshape(entry["shape"]).astype(np.float32, copy=False)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BertWeights:
    tensors: Mapping[str, Floats]
    size: int
    layers_count: int
    heads_count: int
    epsilon: float

    @classmethod
    def of(cls, tensors: Mapping[str, Floats], config: Mapping[str, Any]) -> "BertWeights":
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise ValueError("it is not of model type bert with gelu")
        found = cls(
            tensors=tensors,
            size=int(config["hidden_size"]),
            layers_count=int(config["num_hidden_layers"]),
            heads_count=int(config["num_attention_heads"]),
            epsilon=float(config["layer_norm_eps"]),
        )
        tensors[f"encoder.layer.{found.layers_count - 1}.output.dense.weight"]
        return found

    def dense(self, name: str, x: Floats) -> Floats:
        weight = self.tensors[f"{name}.weight"]
        flat = x.reshape(-1, x.shape[-1]) @ weight.T  # as one product: many small ones take five times as long
        return np.asarray(flat + self.tensors[f"{name}.bias"], np.float32).reshape(*x.shape[:-1], len(weight))

    def norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + self.epsilon)
        found = centred / scale * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return np.asarray(found, np.float32)


def encode(weights: BertWeights, ids: Sequence[Sequence[int]], *, is_mean: bool) -> Floats:
    """(texts, size): the mean of each text's pieces after the last layer, or the first of them.

    Source   Devlin et al., BERT, NAACL 2019; Reimers and Gurevych, Sentence-BERT, EMNLP 2019, for the mean
    """
    longest = max(map(len, ids))
    mask = np.array([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in ids], dtype=np.float32)
    pieces = np.array([[*row, *[0] * (longest - len(row))] for row in ids])
    tensors = weights.tensors
    x = tensors["embeddings.word_embeddings.weight"][pieces]
    x = x + tensors["embeddings.position_embeddings.weight"][:longest]
    x = weights.norm("embeddings.LayerNorm", x + tensors["embeddings.token_type_embeddings.weight"][0])
    hidden = (1.0 - mask)[:, None, None, :] * np.float32(_MASKED)
    for index in range(weights.layers_count):
        layer = f"encoder.layer.{index}"
        x = weights.norm(f"{layer}.attention.output.LayerNorm", x + _attention(weights, layer, x, hidden))
        wide = _gelu(weights.dense(f"{layer}.intermediate.dense", x))
        x = weights.norm(f"{layer}.output.LayerNorm", x + weights.dense(f"{layer}.output.dense", wide))
    if not is_mean:
        return x[:, 0]
    return np.asarray((x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True), np.float32)


def _attention(weights: BertWeights, layer: str, x: Floats, hidden: Floats) -> Floats:
    texts, length, size = x.shape
    heads = weights.heads_count

    def split(name: str) -> Floats:
        found = weights.dense(f"{layer}.attention.self.{name}", x)
        return found.reshape(texts, length, heads, size // heads).transpose(0, 2, 1, 3)

    scores = split("query") @ split("key").transpose(0, 1, 3, 2) / np.float32(sqrt(size // heads)) + hidden
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ split("value")
    return weights.dense(f"{layer}.attention.output.dense", mixed.transpose(0, 2, 1, 3).reshape(texts, length, size))


def _gelu(x: Floats) -> Floats:
    """x times the normal distribution function, whose erf is Abramowitz and Stegun 7.1.26, off by 1.5e-7 at most."""
    z = np.abs(x) / np.float32(sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return (0.5 * x * (1 + np.sign(x) * (1 - series * np.exp(-z * z)))).astype(np.float32)
