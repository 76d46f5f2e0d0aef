"""Opening what a user names: plain, gzipped or zipped text, or Parquet; only regular files, and no bombs."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.billing import _zip
from costlib.errors import BadRecord
from costlib.units import GIBI, KIBI, MEBI

HEAD_BYTES = 64 * KIBI
# A real export shrinks to a tenth or so. The ratio is judged only once enough came out to matter.
LARGEST_UNPACKED_BYTES = 8 * GIBI
LARGEST_RATIO = 100
_RATIO_FROM_BYTES = 64 * MEBI

_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_TAR_AT, _TAR = 257, b"ustar"
_NOT_READ = {
    _GZIP: "packed twice; unpack it once",
    _PARQUET: "a Parquet file that is packed again; unpack it",
    _ZIP: "an archive within an archive; unpack it",
    b"PK\x05\x06": "an empty zip archive; export again",
    b"BZh": "packed with bzip2; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"%PDF": "a PDF, in which the rows are a picture; ask the provider for the CSV",
    b"\xd0\xcf\x11\xe0": "an old or a password-protected Excel workbook; open it, save the sheet as CSV UTF-8",
}


def check_regular(path: Path) -> None:
    if path.is_symlink():
        raise BadRecord(f"{path} is a link, and only regular files are read; name the file itself: {path.resolve()}")
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


def is_packed(path: Path) -> bool:
    """Whether reading the text is more than reading the file."""
    return _first_bytes(path, len(_ZIP)).startswith((_GZIP, _ZIP))


def head(path: Path) -> bytes:
    """The first bytes of the unpacked text in UTF-8, or a Parquet file's column names as a CSV header."""
    if is_parquet(path):
        return ",".join(open_parquet(path).schema_arrow.names).encode()
    for _, file in open_members(path):
        with file:
            return file.read(HEAD_BYTES).removeprefix(codecs.BOM_UTF8)
    return b""


def open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise BadRecord(f"{path.name} is a damaged or cut-off Parquet file ({error}); export it again") from error


def open_bytes(path: Path) -> IO[bytes]:
    """The file's one text, unpacked and in UTF-8; reading raises BadRecord where the packing is damaged or a bomb."""
    if _first_bytes(path, len(_ZIP)) == _ZIP and len(names := _zip.members(path)) > 1:
        raise BadRecord(f"{path.name} holds {len(names)} files where one is read; unpack it and name each")
    return next(open_members(path))[1]


def open_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The texts in a file and their names for messages: one, or those of a zip archive. None is written anywhere."""
    if _first_bytes(path, len(_ZIP)) != _ZIP:
        packed = _first_bytes(path, len(_GZIP)) == _GZIP
        yield path.name, _text(path.name, _Unpacked(path, gzip.GzipFile(path, "rb")) if packed else path.open("rb"))
        return
    unpacked_bytes = 0
    for name, file in _zip.open_members(path):
        counted = _Unpacked(path, file, unpacked_bytes)
        yield f"{path.name}/{name}", _text(f"{path.name}/{name}", counted)
        unpacked_bytes = counted.unpacked_bytes  # the cap is on all members together


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _text(name: str, file: Any) -> IO[bytes]:
    """The bytes of a text, recoded to UTF-8 where a byte order mark says UTF-16; refuses what is no text we read."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, buffer_size=MEBI)
    try:
        first = buffered.peek(HEAD_BYTES)[:HEAD_BYTES]
        for magic, what in _NOT_READ.items():
            if first.startswith(magic):
                raise BadRecord(f"{name} is {what}, and import that")
        if first[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
            raise BadRecord(f"{name} is a tar archive; unpack it, and import that")
    except BaseException:
        buffered.close()
        raise
    encoding = _UTF_16.get(first[:2])
    return io.BufferedReader(_Recoded(name, buffered, encoding), buffer_size=MEBI) if encoding else buffered


class _Unpacked(io.RawIOBase):
    """A packed stream that counts what comes out of it: headers may lie about sizes."""

    def __init__(self, path: Path, file: Any, unpacked_bytes: int = 0) -> None:
        self._name, self._packed_bytes = path.name, path.stat().st_size
        self._file = file
        self.unpacked_bytes = unpacked_bytes

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadRecord(f"{self._name} is a damaged or cut-off gzip file ({error}); copy it again") from error
        except _zip.DAMAGED as error:
            raise BadRecord(f"{self._name} is a damaged or cut-off zip archive ({error}); copy it again") from error
        self.unpacked_bytes += len(data)
        self._check_size()
        buffer[: len(data)] = data
        return len(data)

    def _check_size(self) -> None:
        too_large = self.unpacked_bytes > LARGEST_UNPACKED_BYTES
        ratio = self.unpacked_bytes / self._packed_bytes
        if too_large or (self.unpacked_bytes > _RATIO_FROM_BYTES and ratio > LARGEST_RATIO):
            raise BadRecord(
                f"{self._name} unpacks to more than {self.unpacked_bytes // MEBI} MiB, {ratio:.0f} times its size;"
                f" at most {LARGEST_UNPACKED_BYTES // GIBI} GiB and {LARGEST_RATIO} times are read."
                " Unpack and split it if it is real."
            )


class _Recoded(io.RawIOBase):
    """Another encoding's bytes as those of UTF-8, so that everything after it reads one encoding."""

    def __init__(self, name: str, file: IO[bytes], encoding: str) -> None:
        self._name, self._file, self._encoding = name, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._ready:
            data = self._file.read(MEBI)
            try:
                self._ready = self._decoder.decode(data, final=not data).encode()
            except UnicodeError as error:
                raise BadRecord(f"{self._name} is not the {self._encoding} it begins as ({error}); export it") from None
            if not data:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count
