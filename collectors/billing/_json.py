"""JSON as APIs answer it: one document, several after another (JSON lines among them), numbers exactly as written."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import IO, Any

from collectors.billing import _files
from collectors.billing.base import BillingSource
from costlib.billing import MONEY_SCALE, SMALLEST, exact_text
from costlib.errors import BadRecord
from costlib.units import MEBI

# A page of an API is small; what is larger comes as JSON lines, of which each is small.
LARGEST_DOCUMENT_BYTES = 64 * MEBI
_ANY_NUMBER = Context(prec=400)
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_BLANK = re.compile(r"[ \t\r\n]*")


def is_json(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def documents(source: BillingSource) -> Iterator[tuple[int, Any]]:
    """The JSON values of the file and the line on which each begins, read one by one."""
    with _files.open_bytes(source.path) as file:
        text, at, line, ended = "", 0, 1, False
        while True:
            start = _BLANK.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
            line, at = line + text.count("\n", at, start), start
            try:
                value, end = _DECODER.raw_decode(text, at) if at < len(text) else (None, at)
            except RecursionError:
                raise BadRecord(f"{source.name}: line {line} is nested too deeply; export it again") from None
            except json.JSONDecodeError as error:
                if ended or len(text) - at > LARGEST_DOCUMENT_BYTES:
                    raise BadRecord(_not_json(source, line, error, text, at)) from error
                end = at
            if end > at:
                yield line, value
                line, at = line + text.count("\n", at, end), end
            elif ended:
                return
            else:
                more, ended = _more(source, file, len(text) - at, is_first=not text)
                text, at = text[at:] + more, 0


def _more(source: BillingSource, file: IO[bytes], left: int, is_first: bool) -> tuple[str, bool]:
    """As much again as is left, so that a long document is not tried at every block; up to a line's end."""
    data = file.read(max(MEBI, left)) + file.readline(LARGEST_DOCUMENT_BYTES)
    try:
        return data.decode("utf-8-sig" if is_first else "utf-8"), not data
    except UnicodeDecodeError as error:
        raise BadRecord(f"{source.name} is not UTF-8 ({error}); save it as UTF-8") from None


def _not_json(source: BillingSource, line: int, error: json.JSONDecodeError, text: str, at: int) -> str:
    return (
        f"{source.name}: line {line + text.count(chr(10), at, error.pos)} is no JSON: {error.msg}."
        " The file is cut off or was edited; nothing of it is stored. Export it again."
    )


def text_of(value: Any) -> str | None:
    """A JSON value as the cell of a table would have it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=exact_text)


def number_text(value: Any, source: BillingSource) -> str | None:
    """A number, or a text of one, with at most as many decimals as are kept. More come only from binary fractions."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if not isinstance(value, Decimal) or not value.is_finite() or -_exponent(value) <= MONEY_SCALE:
        return text_of(value)
    source.notes[f"numbers with more than {MONEY_SCALE} decimals, rounded there"] += 1
    return exact_text(value.quantize(SMALLEST, context=_ANY_NUMBER))


def _exponent(value: Decimal) -> int:
    return int(value.normalize(_ANY_NUMBER).as_tuple().exponent)


def object_text(members: Mapping[str, str | None]) -> str | None:
    """A JSON object of what is not null; None when nothing is.

    >>> object_text({"team": "search", "user": None})
    '{"team": "search"}'
    """
    present = {name: value for name, value in members.items() if value}
    return json.dumps(present, ensure_ascii=False) if present else None
