"""A log read line by line, in bounded memory: what broke is counted, shown to the caller by line and reason only."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from os import SEEK_END
from pathlib import Path
from typing import IO, Any

from costlib.errors import BadRecord, Cancelled, ConfigError
from costlib.units import MEBI
from lab.readers import reader_of
from lab.readers.base import Reader
from lab.record import Request

Progress = Callable[[str, int, float], None]

LONGEST_LINE_BYTES = 64 * MEBI
LOOKED_AT_COUNT = 50  # records by which a format is recognised
MOST_EXAMPLES = 5
REPORT_EVERY = 2_000  # lines between two reports of progress, and two looks at whether to stop
_GZIP = b"\x1f\x8b"
_MARKS = {b"\xff\xfe\x00\x00": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_OTHER_KINDS = {b"PAR1": "Parquet", b"PK\x03\x04": "a ZIP file", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLine:
    line_number: int
    why: str


@dataclass(slots=True, kw_only=True)
class Log:
    """A log that is being read. Its counts are whole once `requests` is through."""

    path: Path
    content: IO[bytes] | None = None  # such as an upload, which is in memory and stays there; `path` is its name then
    format_key: str = ""  # empty: recognised
    on_progress: Progress | None = None
    cancelled: Callable[[], bool] = lambda: False
    reader: Reader | None = None
    lines_count: int = 0
    requests_count: int = 0
    without_prompt_count: int = 0
    broken_count: int = 0
    broken: list[BrokenLine] = field(default_factory=list)  # the first few
    notes: Counter[str] = field(default_factory=Counter)

    def requests(self) -> Iterator[Request]:
        """Every request with a prompt, in the order of the file.

        Raises ConfigError for what is no text of lines, BadRecord where nothing can be read or no prompt is found,
        Cancelled when `cancelled` says so.
        """
        waiting: list[tuple[int, dict[str, Any]]] = []
        for number, record in self._records():
            if self.reader is None:
                waiting.append((number, record))
                if len(waiting) < LOOKED_AT_COUNT:
                    continue
                self.reader = reader_of([one for _, one in waiting], self.path.name, self.format_key)
            else:
                waiting = [(number, record)]
            yield from self._parsed(self.reader, waiting)
        if self.reader is None and waiting:
            self.reader = reader_of([one for _, one in waiting], self.path.name, self.format_key)
            yield from self._parsed(self.reader, waiting)
        self._check_found()

    def _parsed(self, reader: Reader, records: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
        for number, record in records:
            try:
                request = reader.parse(record)
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                self._break(number, str(error) if type(error) is ValueError else "is not as its format has it")
                continue
            if request is None:
                self.without_prompt_count += 1
            else:
                self.requests_count += 1
                yield request

    def _check_found(self) -> None:
        name = self.path.name
        if not self.lines_count and not self.broken_count:
            raise BadRecord(f"{name} is empty; give a log with one JSON object a line.")
        if self.requests_count:
            return
        if self.broken_count and not self.without_prompt_count:
            first = self.broken[0]
            raise BadRecord(
                f"none of the {self.broken_count:,} lines of {name} can be read: line {first.line_number} {first.why}. "
                "One JSON object a line in UTF-8 is needed."
            )
        raise BadRecord(
            f"{name} has {self.without_prompt_count:,} records and no prompt in any. Log prompts (LiteLLM: "
            "store_prompts_in_spend_logs; a batch: give its input file), and try again with that log."
        )

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in self._lines():
            try:
                record = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                self._break(number, f"is not UTF-8 at byte {error.start}")
                self._suspect_encoding(number)
            except (ValueError, RecursionError) as error:
                place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
                self._break(number, f"is not JSON{place}")
            else:
                if isinstance(record, dict):
                    yield number, record
                else:
                    self._break(number, f"is a JSON {type(record).__name__}, not an object")

    def _suspect_encoding(self, number: int) -> None:
        if number >= LOOKED_AT_COUNT and self.broken_count > 0.5 * number and not self.requests_count:
            raise ConfigError(
                f"{self.path.name} is not UTF-8, perhaps Latin-1 or Windows-1252: {self.broken_count} of its first "
                f"{number} lines break. Convert it first, such as with iconv -f WINDOWS-1252 -t UTF-8."
            )

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines without the empty ones; a line that is too long is skipped and counted as broken."""
        try:
            with nullcontext(self.content) if self.content else self.path.open("rb") as raw:
                size_bytes = raw.seek(0, SEEK_END)
                raw.seek(0)
                head = raw.read(4)
                raw.seek(0)
                self._check_kind(head, raw)
                stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if head.startswith(_GZIP) else raw
                if stream.read(3) != b"\xef\xbb\xbf":
                    stream.seek(0)
                yield from self._numbered(stream, lambda: raw.tell() / max(1, size_bytes))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = "ends early" if isinstance(error, EOFError) else "is damaged"
            self._break(self.lines_count + 1, f"the packed file {reason} here")
            self.notes[f"the packed file {reason}: what came before is counted"] += 1
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}.") from None

    def _check_kind(self, head: bytes, raw: IO[bytes]) -> None:
        name = self.path.name
        for mark, kind in _OTHER_KINDS.items():
            if head.startswith(mark):
                raise ConfigError(f"{name} is {kind}; give JSON lines, plain or packed with gzip.")
        encoding = next((kind for mark, kind in _MARKS.items() if head.startswith(mark)), None)
        if encoding is None and not head.startswith(_GZIP) and b"\0" in head:
            encoding = "UTF-16"
        if encoding:
            raise ConfigError(f"{name} is {encoding}; convert it first: iconv -f {encoding} -t UTF-8.")
        if head.lstrip().startswith(b"["):
            raise ConfigError(f"{name} is one JSON list; write one object a line: jq -c '.[]' FILE > FILE.jsonl.")

    def _numbered(
        self, stream: IO[bytes] | gzip.GzipFile, fraction: Callable[[], float]
    ) -> Iterator[tuple[int, bytes]]:
        while line := stream.readline(LONGEST_LINE_BYTES):
            self.lines_count += 1
            if self.lines_count % REPORT_EVERY == 0:
                if self.cancelled():
                    raise Cancelled("the lab was stopped; nothing of the log is kept")
                if self.on_progress:
                    self.on_progress(self.path.name, self.lines_count, min(1.0, fraction()))
            if len(line) >= LONGEST_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := stream.readline(LONGEST_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                self._break(self.lines_count, f"is longer than {LONGEST_LINE_BYTES // MEBI} MiB")
            elif line.strip():
                yield self.lines_count, line

    def _break(self, number: int, why: str) -> None:
        self.broken_count += 1
        if len(self.broken) < MOST_EXAMPLES:
            self.broken.append(BrokenLine(line_number=number, why=why))
