"""The Prometheus text format, read strictly, and cheaply from the second page on.

An engine's page is the same few hundred series every time, with other numbers behind them. So the text in front of a
number is kept in a table per target, and only a line whose text is not there yet goes to prometheus_client's parser,
which decides what is valid. A page with the very lines of the one before is read by their places. What is remembered
changes the time a page takes, never what is read from it; only a value that no one reads goes unchecked then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from prometheus_client.parser import text_string_to_metric_families

from collectors.base import PageRefused, excerpt

S = TypeVar("S")
MeaningOf = Callable[[str, Mapping[str, str]], S | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    samples_count: int = 20_000
    line_chars_count: int = 8_192
    labels_count: int = 100  # vLLM 0.32 has a series with 39: its whole cache configuration
    label_name_chars_count: int = 128
    label_value_chars_count: int = 1_024


DEFAULT_LIMITS = PageLimits()
# How many series may be remembered beyond twice the last page before those no longer exposed are forgotten.
SPARE_SERIES_COUNT = 1_000
# Stands in the table for a series that its reader passes over.
_IGNORED = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape(Generic[S]):
    """A page whose next edition is expected to be the same lines with other numbers behind them.

    `beginnings` has each line without its number, comments whole. `wanted`: for a number that counts, where it goes,
    on which line it stands and how far in.
    """

    beginnings: list[str]
    meanings: list[S]
    wanted: list[tuple[int, int, int]]

    def numbers(self, lines: list[str]) -> list[float] | None:
        """The numbers of `lines`, 0 where none counts; None when the page has another shape or is not plain."""
        if len(lines) != len(self.beginnings) or not all(map(str.startswith, lines, self.beginnings)):
            return None
        texts = [lines[line][begin:] for _, line, begin in self.wanted]
        if "_" in "".join(texts):  # float() would read 1_0 as ten
            return None
        numbers = [0.0] * len(self.meanings)
        try:
            for (place, _, _), number in zip(self.wanted, map(float, texts), strict=True):
                numbers[place] = number
        except ValueError:
            return None
        return numbers


class SeriesTable(Generic[S]):
    """What each series of one target means to its reader.

    `meaning_of(name, labels)` is asked once per series: what to hand out with its value, or None to pass it over.
    Of a series for whose meaning `counts` is False, the value does not matter and may be given as 0.
    """

    def __init__(
        self,
        meaning_of: MeaningOf[S],
        limits: PageLimits = DEFAULT_LIMITS,
        counts: Callable[[S], bool] = lambda meaning: True,
    ) -> None:
        self._meaning_of = meaning_of
        self._limits = limits
        self._counts = counts
        self._known: dict[str, S | object] = {}
        self._shape: _Shape[S] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def read(self, body: bytes) -> list[tuple[S, float]]:
        """The series of one page that mean something, in order. Raises PageRefused: a page is read whole or not."""
        return list(zip(*self.columns(body), strict=True))

    def columns(self, body: bytes) -> tuple[list[S], list[float]]:
        """As `read`, what the series mean and their values apart."""
        every = decoded(body).split("\n")
        if self._shape and (read := self._shape.numbers(every)):
            return self._shape.meanings, read
        self._shape = None
        lines = [line for line in every if line and line[0] != "#"]
        if len(lines) > self._limits.samples_count:
            raise PageRefused(
                "sample_limit",
                f"the page has {len(lines):,} samples, and {self._limits.samples_count:,} are allowed; "
                "look for a label that takes a new value with every request.",
            )
        meanings, numbers = self._line_by_line(lines)
        if len(self._known) > 2 * len(lines) + SPARE_SERIES_COUNT:
            exposed = {line.rpartition(" ")[0] for line in lines}
            self._known = {series: meaning for series, meaning in self._known.items() if series in exposed}
        heard = [place for place, meaning in enumerate(meanings) if meaning is not _IGNORED]
        self._shape = self._shape_of(every)
        return [cast(S, meanings[place]) for place in heard], [numbers[place] for place in heard]

    def _shape_of(self, every: list[str]) -> _Shape[S] | None:
        """The shape of a page that was just read; None when a line of it is not plain."""
        beginnings: list[str] = []
        meanings: list[S] = []
        wanted: list[tuple[int, int, int]] = []
        for number, line in enumerate(every):
            if not line or line[0] == "#":
                beginnings.append(line)
                continue
            series = line.rpartition(" ")[0]
            meaning = self._known.get(series)
            if meaning is None:
                return None
            beginnings.append(f"{series} ")
            if meaning is _IGNORED:
                continue
            if self._counts(cast(S, meaning)):
                wanted.append((len(meanings), number, len(series) + 1))
            meanings.append(cast(S, meaning))
        return _Shape(beginnings=beginnings, meanings=meanings, wanted=wanted)

    def _line_by_line(self, lines: list[str]) -> tuple[list[S | object], list[float]]:
        meanings: list[S | object] = []
        numbers: list[float] = []
        for line in lines:
            series, _, value = line.rpartition(" ")
            meaning = self._known.get(series)
            try:
                if meaning is None or "_" in value:
                    raise ValueError
                number = float(value)
            except ValueError:
                meaning, number = self._learn(line, is_first=line is lines[0])
            meanings.append(meaning)
            numbers.append(number)
        return meanings, numbers

    def _learn(self, line: str, is_first: bool) -> tuple[S | object, float]:
        """Reads one line with the library, and remembers its series when the short cut would read the line alike."""
        if len(line) > self._limits.line_chars_count:
            raise PageRefused(
                "label_limit",
                f"a line of {len(line):,} characters ({excerpt(line)}); {self._limits.line_chars_count:,} are allowed.",
            )
        try:
            samples = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
        except (ValueError, LookupError) as error:
            raise PageRefused(
                "not_metrics" if is_first else "bad_syntax",
                f"this line is not a sample of the Prometheus text format: {excerpt(line)} "
                f"({excerpt(str(error) or 'malformed')}). Is the URL that of a metrics page?",
            ) from None
        if not samples:  # white space only, or a comment behind a space
            return _IGNORED, 0.0
        (sample,) = samples
        behind = line.rpartition("}")[2] if "}" in line else line.partition(sample.name)[2]
        if len(behind.split()) > 2:
            raise PageRefused(
                "bad_syntax", f"this line has more than a value and a time behind its series: {excerpt(line)}."
            )
        self._check_labels(sample.name, sample.labels)
        meaning = self._meaning_of(sample.name, sample.labels)
        outcome = _IGNORED if meaning is None else meaning
        series, _, value = line.rpartition(" ")
        if sample.timestamp is None and _is_number(value):
            self._known[series] = outcome
        return outcome, float(sample.value)

    def _check_labels(self, name: str, labels: Mapping[str, str]) -> None:
        limits = self._limits
        if len(labels) > limits.labels_count:
            raise PageRefused(
                "label_limit", f"{excerpt(name)} has {len(labels)} labels; {limits.labels_count} are allowed."
            )
        for label, value in labels.items():
            if len(label) > limits.label_name_chars_count or len(value) > limits.label_value_chars_count:
                raise PageRefused(
                    "label_limit",
                    f"label {excerpt(label)} of {excerpt(name)} is too long: {limits.label_name_chars_count} "
                    f"characters of name and {limits.label_value_chars_count:,} of value are allowed.",
                )


def decoded(body: bytes) -> str:
    """The text of a page. Raises PageRefused for what cannot be a whole page of metrics, whatever its lines say."""
    if not body.strip():
        raise PageRefused("not_metrics", "the answer is empty; is the URL that of a metrics page (…/metrics)?")
    kind = {b"<": "a web page (HTML or XML)", b"{": "JSON", b"[": "JSON"}.get(body.lstrip()[:1])
    if kind:
        raise PageRefused(
            "not_metrics",
            f"the answer is {kind}, not Prometheus metrics: {excerpt(body)}. Is there a login in front of the server, "
            "or does the URL miss /metrics?",
        )
    if b"\0" in body:
        raise PageRefused("bad_text", f"the page holds a NUL byte at offset {body.index(0)}; it is not text.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PageRefused(
            "bad_text", f"the page is not UTF-8 from byte {error.start} on; was it cut or mixed?"
        ) from None
    if not text.endswith("\n"):
        raise PageRefused(
            "truncated",
            f"the page stops within a line: {excerpt(text[-60:])}. Something between here and the server cuts answers.",
        )
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
