"""The prompts of recorded vLLM servers, made again: the client drew them from a seed, request by request.

`<recording>.jsonl.gz` holds what that client noted, in the order of sending: phase, max_tokens, the server's usage.
That every max_tokens comes out again, and every prompt has the tokens the server counted, shows that they are the same.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from costlib.estimate import Basis
from lab.record import Request
from lab.tokens import ids_as_bytes

SEED = 7
_WORDS = (
    "def class return import self value token batch cache price hour usage cost model list dict path name error open "
    "read write line index"
)
WORDS = _WORDS.split()
SHARED = " ".join(WORDS[i % len(WORDS)] for i in range(200))
OF_TWO_TOKENS = {"batch", "price", "cost", "model", "##"}  # to the tokenizer of that model; all others are one


@dataclass(frozen=True, kw_only=True)
class Phase:
    words: tuple[int, int]
    output_tokens: tuple[int, int]
    is_shared: bool = False
    is_repeated: bool = False
    is_chat: bool = False
    requests_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A recording: its phases, the cache its server had, and what that server counted in the end."""

    name: str
    phases: dict[str, Phase]
    cache_blocks_count: int
    queried_tokens: int  # vllm:prefix_cache_queries_total
    hit_tokens: int  # vllm:prefix_cache_hits_total
    block_tokens: int = 32

    def requests(self) -> Iterator[Request]:
        rng = Random(SEED)
        with gzip.open(Path(__file__).parent / f"{self.name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                noted = json.loads(line)
                request = self._made(noted, rng)
                if "usage" in noted:  # the others were refused: longer than the model takes
                    yield request

    def _made(self, noted: dict[str, Any], rng: Random) -> Request:
        phase = self.phases[noted["phase"]]
        if phase.requests_per_s:
            rng.expovariate(phase.requests_per_s)
        assert rng.randint(*phase.output_tokens) == noted["max_tokens"]
        count = rng.randint(*phase.words)
        prompt = " ".join(rng.choice(WORDS) for _ in range(count))
        if phase.is_repeated:
            prompt = (" ".join(WORDS[:6]) + " ") * (count // 6 + 1)
        if phase.is_shared:
            prompt = f"{SHARED} ## {prompt}"
        usage = noted.get("usage", {})
        return Request(
            messages=[("user" if phase.is_chat else "", prompt)],
            prompt_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        )


@dataclass(kw_only=True)
class TinyTokenizer:
    """The tokens of the recorded model, for the words above: a word with the space before it, and the chat's marks."""

    bytes_per_token: float = 4.0
    basis: Basis = Basis.MEASURED
    about: str = "the recorded model's"
    numbers: dict[tuple[str, bool, int], int] = field(default_factory=dict)

    def prompt(self, request: Request) -> bytes:
        ((role, text),) = request.messages
        ids = [
            self.numbers.setdefault((word, place > 0, part), len(self.numbers) + 10)
            for place, word in enumerate(text.split(" "))
            for part in range(2 if word in OF_TWO_TOKENS else 1)
        ]
        return ids_as_bytes([1, *ids, 2, 3] if role else ids)

    def output(self, request: Request) -> bytes:
        return b""


BASELINE = Recorded(
    name="a_baseline_preempt",
    cache_blocks_count=64,
    queried_tokens=63_162,
    hit_tokens=32_928,
    phases={
        "low_c1": Phase(words=(20, 60), output_tokens=(16, 48)),
        "shared_prefix_c4": Phase(words=(10, 30), output_tokens=(16, 48), is_shared=True),
        "saturate_c24_preempt": Phase(words=(60, 160), output_tokens=(64, 160)),
        "chat_stop_rate": Phase(words=(10, 40), output_tokens=(32, 64), is_chat=True, requests_per_s=1.0),
        "client_abort": Phase(words=(20, 60), output_tokens=(64, 128)),
        "bad_request": Phase(words=(1500, 1600), output_tokens=(64, 128)),
    },
)
SPECULATION = Recorded(
    name="b_spec_ngram",
    cache_blocks_count=512,
    queried_tokens=18_534,
    hit_tokens=8_448,
    phases={
        "spec_repeat_c1": Phase(words=(20, 60), output_tokens=(48, 96), is_repeated=True),
        "spec_repeat_c8": Phase(words=(20, 60), output_tokens=(48, 96), is_repeated=True),
        "spec_random_t1_c4": Phase(words=(20, 60), output_tokens=(48, 96)),
    },
)
