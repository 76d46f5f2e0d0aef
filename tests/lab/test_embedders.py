"""Embeddings: the real model gives its published figures, and nothing but what was published is read."""

import json
from pathlib import Path

import numpy as np
import pytest

from costlib.errors import ConfigError, UnknownKey
from lab.bert import safetensors
from lab.embedders import embedder_from, kinds, minilm
from lab.embedders.lexical import Lexical
from lab.semantic import planted_points
from lab.wordpiece import WordPiece

has_minilm = pytest.mark.skipif(minilm.folder() is None, reason="the extra semantic is not installed")


@pytest.mark.parametrize("key", [key for key, kind in kinds().items() if key != "folder" and kind.is_here()])
def test_every_embedder_gives_lengths_of_one_and_the_same_for_the_same(key: str) -> None:
    embedder = embedder_from(key)
    texts = ["How do I reset my password?", "reset", "", "  ", "パスワード", "a" * 5_000]
    vectors = embedder.embed(texts)
    assert vectors.shape[0] == len(texts) and vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors[[0, 1, 5]], axis=1)
    assert np.allclose(lengths, 1, atol=1e-5)
    assert np.allclose(vectors, embedder.embed(texts), atol=1e-6)
    assert np.isfinite(vectors).all()


@has_minilm
def test_minilm_gives_the_similarities_that_its_model_card_shows() -> None:
    """sentence-transformers/all-MiniLM-L6-v2 on its hub: the example of its card, to three places."""
    source, *others = embedder_from("minilm").embed(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    assert [float(source @ other) for other in others] == pytest.approx([0.695, 0.943, 0.257], abs=0.0015)


@has_minilm
def test_minilm_finds_planted_paraphrases_and_takes_look_alikes_for_them_just_as_often() -> None:
    """Measured: at 0.7 it finds 77 % of paraphrases, with 75 % of look-alikes; at the lesson's 0.97, 3 % with 10 %."""
    low, high = planted_points(embedder_from("minilm"), (0.7, 0.97))
    assert (low.found_fraction, low.wrong_pairs_fraction) == pytest.approx((0.767, 0.75), abs=0.02)
    assert (high.found_fraction, high.wrong_pairs_fraction) == pytest.approx((0.033, 0.1), abs=0.02)
    assert low.unrelated_fraction < 0.1
    assert low.found_fraction > 5 * planted_points(Lexical(), (0.7,))[0].found_fraction


@has_minilm
def test_weights_that_are_not_those_published_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "SHA256", "0" * 64)
    minilm.load.cache_clear()
    with pytest.raises(ConfigError, match="not the one that was published"):
        minilm.load(None)
    minilm.load.cache_clear()


def test_without_the_extra_the_lexical_one_is_taken_and_asking_for_the_other_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package")
    minilm.load.cache_clear()
    assert embedder_from().name == "lexical"
    with pytest.raises(ConfigError, match=r"permillion\[semantic\]"):
        embedder_from("minilm")
    minilm.load.cache_clear()


def test_a_name_that_is_not_known_and_a_folder_that_is_no_model_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownKey, match="minilm"):
        embedder_from("minilmm")
    with pytest.raises(ConfigError, match="no such folder"):
        embedder_from(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="sentence-transformers"):
        embedder_from(str(tmp_path))


def tiny_bert(folder: Path) -> Path:
    """A BERT of one layer and four numbers a piece, whose weights are drawn from a seed."""
    rng, size = np.random.default_rng(1), 4
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "##ever", "?"]
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), size),
        "embeddings.position_embeddings.weight": (16, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        **{f"{name}.{part}": (size,) for name in NORMS for part in ("weight", "bias")},
        **{f"{name}.weight": (outs, ins) for name, (outs, ins) in DENSE.items()},
        **{f"{name}.bias": (outs,) for name, (outs, _) in DENSE.items()},
    }
    header, data = {}, b""
    for name, shape in shapes.items():
        numbers = rng.normal(size=shape).astype(np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
        data += numbers
    head = json.dumps(header).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": size, "num_hidden_layers": 1,
        "num_attention_heads": 2, "layer_norm_eps": 1e-12, "max_position_embeddings": 16,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


LAYER = "encoder.layer.0"
NORMS = ("embeddings.LayerNorm", f"{LAYER}.attention.output.LayerNorm", f"{LAYER}.output.LayerNorm")
DENSE = {
    **{f"{LAYER}.attention.self.{name}": (4, 4) for name in ("query", "key", "value")},
    f"{LAYER}.attention.output.dense": (4, 4),
    f"{LAYER}.intermediate.dense": (8, 4),
    f"{LAYER}.output.dense": (4, 8),
}


def test_a_model_in_a_folder_is_read_and_what_stands_beside_a_text_in_a_batch_changes_nothing(tmp_path: Path) -> None:
    embedder = embedder_from(str(tiny_bert(tmp_path / "model")))
    alone = embedder.embed(["how?"])
    beside = embedder.embed(["however how how?", "how?", "?"])
    assert embedder.is_semantic and alone.shape == (1, 4)
    assert np.allclose(alone[0], beside[1], atol=1e-5)


def test_a_file_of_weights_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="longer than the file"):
        safetensors(path)


def test_word_pieces_by_hand() -> None:
    pieces = WordPiece.of(["[UNK]", "[CLS]", "[SEP]", "un", "##able", "cafe", "!", "我"])
    assert pieces.ids("Unable café! 我们", 20) == [1, 3, 4, 5, 6, 7, 0, 2]
    assert pieces.ids("unable unable unable", 5) == [1, 3, 4, 3, 2]
    assert pieces.ids("", 5) == [1, 2]
    with pytest.raises(ValueError, match="no \\[UNK\\]"):
        WordPiece.of(["a"])
