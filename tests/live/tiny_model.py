"""A model small enough to make here: a Llama of four layers whose weights vLLM makes up (`--load-format dummy`).

Its tokenizer has one token per byte and adds none of its own, so the tokens of a prompt are known without asking:
a text of 40 ASCII letters is 40 prompt tokens.
"""

import json
from pathlib import Path

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, EOS, PAD)
MAX_TOKENS_COUNT = 2048


def write_tiny_model(folder: Path) -> Path:
    """Writes everything that vLLM reads but the weights, about 10 kB, and returns the folder."""
    folder.mkdir(parents=True)
    for name, content in _files().items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _files() -> dict[str, object]:
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    vocabulary = {token: number for number, token in enumerate((*SPECIAL_TOKENS, *_byte_letters()))}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(vocabulary),
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 32,
            "max_position_embeddings": MAX_TOKENS_COUNT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            **ids,
        },
        "generation_config.json": ids,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
            "model_max_length": MAX_TOKENS_COUNT,
            "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
            "clean_up_tokenization_spaces": False,
        },
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": [
                {"id": number, "content": token, "special": True, "normalized": False}
                | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
                for number, token in enumerate(SPECIAL_TOKENS)
            ],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        },
    }


def _byte_letters() -> list[str]:
    """What stands for each byte in a byte-level tokenizer: its own letter if that can be seen, else one from 256 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(0x100) if byte not in seen]
    return [chr(byte if byte in seen else 0x100 + hidden.index(byte)) for byte in range(0x100)]
