"""Prompts as tokens: by a tokenizer file of the model, or by bytes where there is none. Nothing is fetched.

Either gives bytes of which so many make a token, so that what follows need not know which it was.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from costlib.errors import ConfigError
from costlib.estimate import Basis
from lab.record import Request, rendered

BYTES_PER_TOKEN = 4.0  # of English, as vendors' rules of thumb have it; assumed where no usage tells
BYTES_PER_ID = 4
LEAST_KNOWN_TOKENS = 1_000  # of usage, before a ratio is taken from it


class Tokenizer(Protocol):
    """`basis` says how its tokens are known."""

    bytes_per_token: float
    basis: Basis
    about: str

    def prompt(self, request: Request) -> bytes: ...

    def output(self, request: Request) -> bytes: ...


def ids_as_bytes(ids: Sequence[int]) -> bytes:
    return array("I", (one & 0xFFFFFFFF for one in ids)).tobytes()


@dataclass(slots=True, kw_only=True)
class ByBytes:
    """So many bytes of UTF-8 are a token. Boundaries differ from a tokenizer's, shared beginnings do not."""

    bytes_per_token: float = BYTES_PER_TOKEN
    basis: Basis = Basis.ASSUMED
    about: str = "4 bytes of text are taken for a token"

    def prompt(self, request: Request) -> bytes:
        if request.token_ids:
            # As wide as the text of a token, so that both can be in one log.
            width = max(1, round(self.bytes_per_token))
            return b"".join(one.to_bytes(8, "little", signed=True)[:width].ljust(width) for one in request.token_ids)
        return rendered(request.messages).encode("utf-8", "surrogatepass")

    def output(self, request: Request) -> bytes:
        return (request.output or "").encode("utf-8", "surrogatepass")


@dataclass(slots=True, kw_only=True)
class ByFile:
    """The tokenizer of a model, from its tokenizer.json."""

    encoder: Any
    bytes_per_token: float = BYTES_PER_ID
    basis: Basis = Basis.MEASURED
    about: str = "the tokenizer file that was given"

    def prompt(self, request: Request) -> bytes:
        ids = request.token_ids or self.encoder.encode(rendered(request.messages)).ids
        return ids_as_bytes(ids)

    def output(self, request: Request) -> bytes:
        if not request.output:
            return b""
        return ids_as_bytes(self.encoder.encode(request.output, add_special_tokens=False).ids)


def tokenizer_from(path: Path) -> ByFile:
    """Raises ConfigError where the file is none, or the extra that reads it is not installed."""
    try:
        from tokenizers import Tokenizer as Encoder
    except ImportError:
        raise ConfigError(
            "--tokenizer needs the package tokenizers: pip install 'permillion[tokenizer]', or leave it out and tokens "
            "are estimated from bytes."
        ) from None
    try:
        encoder = Encoder.from_file(str(path))
    except Exception as error:  # the package raises bare Exception
        raise ConfigError(f"{path} is no tokenizer.json that tokenizers can read: {str(error)[:120]}.") from None
    return ByFile(encoder=encoder)


def by_bytes(requests: Iterable[Request]) -> ByBytes:
    """The ratio that the usage of these requests shows, or the assumed one where they tell too little."""
    known = [request for request in requests if request.prompt_tokens]
    plain = ByBytes()
    tokens = sum(request.prompt_tokens or 0 for request in known)
    sizes = sum(len(plain.prompt(request)) for request in known if not request.token_ids)
    if tokens < LEAST_KNOWN_TOKENS or not sizes:
        return plain
    ratio = min(16.0, max(0.5, sizes / tokens))
    return ByBytes(
        bytes_per_token=ratio,
        basis=Basis.CALIBRATED,
        about=f"{ratio:.2f} bytes of text a token, as the usage of {len(known):,} requests shows",
    )
