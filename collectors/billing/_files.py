"""Opening what a user names: plain or gzipped text, or Parquet; only regular files, and no bombs."""

import gzip
import io
import zlib
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from costlib.errors import BadRecord
from costlib.units import GIBI, KIBI, MEBI

HEAD_BYTES = 64 * KIBI
# A real export shrinks to a tenth or so. The ratio is judged only once enough came out to matter.
LARGEST_UNPACKED_BYTES = 8 * GIBI
LARGEST_RATIO = 100
_RATIO_FROM_BYTES = 64 * MEBI

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


def check_regular(path: Path) -> None:
    if path.is_dir():
        raise BadRecord(f"{path} is a folder; name the files in it, such as {path}/*.csv")
    if not path.exists():
        raise BadRecord(f"{path} does not exist; check the path")
    if not path.is_file():
        raise BadRecord(f"{path} is no regular file (a device or a pipe); save its content to a file first")
    if path.stat().st_size == 0:
        raise BadRecord(f"{path.name} is empty (0 bytes); export it again")


def is_parquet(path: Path) -> bool:
    return _first_bytes(path, len(_PARQUET)) == _PARQUET


def head(path: Path) -> bytes:
    """The first bytes of the unpacked text, or a Parquet file's column names as a CSV header."""
    if is_parquet(path):
        return ",".join(open_parquet(path).schema_arrow.names).encode()
    with open_bytes(path) as file:
        return file.read(HEAD_BYTES)


def open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadRecord(f"{path.name} is a damaged or cut-off Parquet file ({error}); export it again") from error


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is gzipped; reading raises BadRecord where the packing is damaged or a bomb."""
    if _first_bytes(path, len(_GZIP)) != _GZIP:
        return path.open("rb")
    return io.BufferedReader(_Unpacked(path), buffer_size=MEBI)


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


class _Unpacked(io.RawIOBase):
    """A gzip stream that counts what comes out of it: headers may lie about sizes."""

    def __init__(self, path: Path) -> None:
        self._name, self._packed_bytes = path.name, path.stat().st_size
        self._gzip = gzip.GzipFile(path, "rb")
        self._unpacked_bytes = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._gzip.close()
        super().close()

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        try:
            data = self._gzip.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadRecord(f"{self._name} is a damaged or cut-off gzip file ({error}); copy it again") from error
        self._unpacked_bytes += len(data)
        self._check_size()
        buffer[: len(data)] = data
        return len(data)

    def _check_size(self) -> None:
        too_large = self._unpacked_bytes > LARGEST_UNPACKED_BYTES
        ratio = self._unpacked_bytes / self._packed_bytes
        if too_large or (self._unpacked_bytes > _RATIO_FROM_BYTES and ratio > LARGEST_RATIO):
            raise BadRecord(
                f"{self._name} unpacks to more than {self._unpacked_bytes // MEBI} MiB, {ratio:.0f} times its size;"
                f" at most {LARGEST_UNPACKED_BYTES // GIBI} GiB and {LARGEST_RATIO} times are read."
                " Unpack and split it if it is real."
            )
