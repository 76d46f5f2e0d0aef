"""The options of `vllm serve` by release: which it has, which values they take, and what became of those that are gone.

The table is data/vllm/flags.toml; `store.vllm_flags` reads it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from costlib.catalog import check_keys, convert, table, tables
from costlib.errors import ConfigError
from costlib.hardware import GpuSpec
from costlib.units import GIBI

Version = tuple[int, ...]
NO = "--no-"
TABLES = {"releases", "defaults", "frontend", "short", "flags", "quantization", "kv_cache_dtype", "needless", "gone"}


def version(text: str) -> Version:
    """
    >>> version("0.9.2") < version("0.10.0")
    True
    """
    numbers = text.split(".")
    if not 2 <= len(numbers) <= 4 or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in numbers):
        raise ConfigError(f"{text[:40]!r} is no release of vLLM; write it as in 0.32.0.")
    return (*map(int, numbers), *(0 for _ in range(3 - len(numbers))))


class Standing(StrEnum):
    """What is known of an option, or of a value, in one release."""

    KNOWN = "known"
    ABSENT = "absent"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`why` is empty for what is known to be there."""

    standing: Standing
    why: str = ""


HAS_IT = Verdict(standing=Standing.KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """First and last release that has something; without a last, the newest has it still."""

    first: str
    last: str = ""

    @property
    def text(self) -> str:
        return f"{self.first} to {self.last}" if self.last else f"{self.first} and later"


Spans = Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What has the place of an option of before: another option, a key of its JSON, or nothing."""

    says: str
    into: str = ""
    json: str = ""
    was: Any = None  # what it stood for where it had no value


@dataclass(frozen=True, slots=True, kw_only=True)
class Needless:
    """Values of an option that say what vLLM finds out by itself."""

    values: Sequence[str]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDefault:
    """The server's batch limits on GPUs of at least this memory."""

    max_num_seqs: int
    max_num_batched_tokens: int
    least_bytes: float
    not_named: str = ""

    def is_of(self, gpu: GpuSpec) -> bool:
        return gpu.hbm_bytes >= self.least_bytes and (not self.not_named or self.not_named not in gpu.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTable:
    """All releases. `frontend` are options that no source shows from `unseen_from` on; `frontend_release` has them."""

    releases: tuple[str, ...]
    flags: Spans
    quantization: Spans
    kv_cache_dtype: Spans
    short: Mapping[str, str]
    needless: Mapping[str, Needless]
    gone: Mapping[str, Gone]
    frontend: frozenset[str]
    frontend_release: str
    unseen_from: str
    defaults_release: str
    default_gpu_memory_utilization: float
    batch_defaults: tuple[BatchDefault, ...]
    on_by_default: tuple[str, ...]
    on_from: str

    def at(self, release: str = "") -> "Release":
        """The table as one release sees it; without a name, the release whose defaults are known."""
        name = release or self.defaults_release
        oldest, newest = self.releases[0], self.releases[-1]
        if not version(oldest) <= version(name) <= version(newest):
            raise ConfigError(f"vLLM {name[:40]} is not in the table of options; it holds {oldest} to {newest}.")
        return Release(table=self, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of vLLM: what it has, and what it takes for what is left out."""

    table: FlagTable
    name: str

    @property
    def has_known_defaults(self) -> bool:
        return version(self.name) == version(self.table.defaults_release)

    def batch_default(self, gpu: GpuSpec) -> BatchDefault | None:
        """None where this release's are not known."""
        if not self.has_known_defaults:
            return None
        return next((row for row in self.table.batch_defaults if row.is_of(gpu)), None)

    def is_on_by_default(self, flag: str) -> bool:
        return flag in self.table.on_by_default and version(self.name) >= version(self.table.on_from)

    def flag(self, name: str) -> Verdict:
        """Whether it has an option; `--no-x` is checked as `--x`."""
        table = self.table
        bare = f"--{name.removeprefix(NO)}" if name.startswith(NO) and name not in table.flags else name
        if bare in table.frontend:
            if version(self.name) == version(table.frontend_release):
                return HAS_IT
            spans = table.flags.get(bare, ())
            if any(version(span.first) <= version(self.name) <= version(span.last or span.first) for span in spans):
                return HAS_IT
            if version(self.name) < version(table.unseen_from):
                why = f"vLLM {self.name} has it not; {table.frontend_release} has it"
                return self._verdict(table.flags, bare) if spans else Verdict(standing=Standing.ABSENT, why=why)
            return Verdict(
                standing=Standing.UNCHECKED,
                why=f"options of the front end cannot be read from the source of {self.name}; "
                f"{table.frontend_release} has it",
            )
        return self._verdict(table.flags, bare)

    def quantization(self, method: str) -> Verdict:
        return self._verdict(self.table.quantization, method)

    def kv_cache_dtype(self, dtype: str) -> Verdict:
        if not any(version(span.first) <= version(self.name) for span in self.table.kv_cache_dtype.get("auto", ())):
            return Verdict(standing=Standing.UNCHECKED, why=f"the types that {self.name} takes are not in the table")
        return self._verdict(self.table.kv_cache_dtype, dtype)

    def nearest(self, name: str) -> str:
        """The option that this release has and that is spelt most like it; empty when none is."""
        known = {flag for flag in (*self.table.flags, *self.table.frontend) if len(flag) < 80}
        alike = get_close_matches(name[:80], sorted(known), n=5, cutoff=0.75)
        return next((flag for flag in alike if self.flag(flag).standing is not Standing.ABSENT), "")

    def _verdict(self, spans_of: Spans, name: str) -> Verdict:
        spans = spans_of.get(name)
        if not spans:
            return Verdict(standing=Standing.ABSENT, why="no release of the table has it")
        releases, wanted = [version(text) for text in self.table.releases], version(self.name)
        before = self.table.releases[bisect_right(releases, wanted) - 1]
        after = self.table.releases[bisect_left(releases, wanted)]
        had, has = (any(_holds(span, at) for span in spans) for at in (before, after))
        whole = " and ".join(span.text for span in spans)
        if had and has:
            return HAS_IT
        if had != has:
            came = "came" if has else "went"
            why = f"it {came} between {before} and {after}, and {self.name} was not looked at"
            return Verdict(standing=Standing.UNCHECKED, why=why)
        return Verdict(standing=Standing.ABSENT, why=f"vLLM {self.name} has it not; {whole} has it")


def _holds(span: Span, release: str) -> bool:
    at = version(release)
    return version(span.first) <= at and (not span.last or at <= version(span.last))


def flag_table_from(doc: Mapping[str, Any], where: str) -> FlagTable:
    """The parsed table. Raises ConfigError naming the place."""
    check_keys(doc, TABLES, where)

    def part(name: str) -> Mapping[str, Any]:
        return table(doc.get(name, {}), f"{where} {name}")

    releases = tuple(convert(name, str, f"{where} releases") for name in doc.get("releases", ()))
    if not releases or sorted(releases, key=version) != list(releases):
        raise ConfigError(f"{where} releases: needs at least one, and they rise.")
    defaults, frontend = part("defaults"), part("frontend")
    check_keys(defaults, {"release", "gpu_memory_utilization", "batch", "on", "on_from"}, f"{where} defaults")
    check_keys(frontend, {"release", "unseen_from", "flags"}, f"{where} frontend")
    try:
        return FlagTable(
            releases=releases,
            flags=_spans(part("flags"), releases, f"{where} flags"),
            quantization=_spans(part("quantization"), releases, f"{where} quantization"),
            kv_cache_dtype=_spans(part("kv_cache_dtype"), releases, f"{where} kv_cache_dtype"),
            short={key: str(value) for key, value in part("short").items()},
            needless={
                key: Needless(**table(body, f"{where} needless {key}")) for key, body in part("needless").items()
            },
            gone={key: Gone(**table(body, f"{where} gone {key}")) for key, body in part("gone").items()},
            frontend=frozenset(frontend["flags"]),
            frontend_release=frontend["release"],
            unseen_from=frontend["unseen_from"],
            defaults_release=defaults["release"],
            default_gpu_memory_utilization=defaults["gpu_memory_utilization"],
            batch_defaults=tuple(map(_batch_default, tables(defaults["batch"], f"{where} defaults.batch"))),
            on_by_default=tuple(defaults["on"]),
            on_from=defaults["on_from"],
        )
    except KeyError as missing:
        raise ConfigError(f"{where}: {missing} is missing.") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from None


def _batch_default(row: Mapping[str, Any]) -> BatchDefault:
    rest = {key: value for key, value in row.items() if key != "least_gib"}
    return BatchDefault(least_bytes=row["least_gib"] * GIBI, **rest)


def _spans(body: Mapping[str, Any], releases: Iterable[str], where: str) -> Spans:
    """By name, when it was there: `"0.4.3 to 0.8.0" = [names]`."""
    known = set(releases)
    found: dict[str, tuple[Span, ...]] = {}
    for text, names in body.items():
        spans = []
        for one in text.split(", "):
            match one.split(" "):
                case [first, "on"]:
                    spans.append(Span(first=first))
                case [first, "to", last]:
                    spans.append(Span(first=first, last=last))
                case _:
                    raise ConfigError(f"{where}: {text[:60]!r} is no span; write '0.4.3 to 0.8.0' or '0.8.5 on'.")
        if stray := {end for span in spans for end in (span.first, span.last) if end} - known:
            raise ConfigError(f"{where}: {', '.join(sorted(stray))} is not among the releases.")
        for name in names:
            if name in found:
                raise ConfigError(f"{where}: {name} stands in two spans; write both as one.")
            found[name] = tuple(spans)
    return found
