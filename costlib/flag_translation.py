"""A pasted vLLM command line, or the Python call of an old tutorial, as one release of vLLM takes it."""

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote
from shlex import split as words_of
from typing import Any

from costlib.errors import ConfigError
from costlib.flag_table import NO, Release, Standing, Verdict

MOST_CHARACTERS, MOST_OPTIONS = 20_000, 200
SERVER = "vllm.entrypoints.openai.api_server"
IMAGE = "vllm/vllm-openai"
CALLS = ("LLM", "EngineArgs", "AsyncEngineArgs")
SWITCHES = ("--enable-", "--disable-", NO, "--use-", "--trust-", "--enforce-", "--worker-use-", "--engine-use-")
NGRAM = "[ngram]"  # what --speculative-model took for a look-up in the prompt


class Fate(StrEnum):
    """What an option of before is now."""

    KEPT = "kept"
    CHANGED = "changed"
    NEEDLESS = "needless"
    GONE = "gone"
    UNKNOWN = "unknown"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """One option as it was given, what it is written as now, empty where it is left out, and why."""

    given: str
    becomes: str
    fate: Fate
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The line for this release, and what became of each option."""

    release: str
    words: tuple[str, ...]
    options: tuple[Translated, ...]

    @property
    def line(self) -> str:
        lines: list[list[str]] = [[]]
        for word in self.words:
            if word.startswith("--"):
                lines.append([])
            lines[-1].append(quote(word))
        return " \\\n  ".join(" ".join(line) for line in lines)


@dataclass(slots=True)
class _Written:
    """The new command while it is put together: options in order, some given several times; JSON ones by key."""

    plain: dict[str, list[list[str]]]
    jsons: dict[str, dict[str, Any]]


def translate(text: str, release: Release) -> Translation:
    """What each option of a pasted command is in this release.

    Returns    the new line; an option that is gone, needless or unknown is left out of it, and its row says why
    Valid for  options; the values of most are passed on as they are, those of quantization and KV types are checked
    Raises     ConfigError for a text that is no command line, or too long for one
    Source     data/vllm/flags.toml
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"a command line has at most {MOST_CHARACTERS:,} characters, not {len(text):,}.")
    model, given = _call(text) if _is_call(text) else _command(text, release)
    if not model and not given:
        raise ConfigError("there is no option of vLLM in this text; paste a `vllm serve` command or an LLM(…) call.")
    if len(given) > MOST_OPTIONS:
        raise ConfigError(f"a command line has at most {MOST_OPTIONS} options, not {len(given):,}.")
    written = _Written(plain={}, jsons={})
    rows = tuple(row for name, values in given for row in _translated(name, values, release, written))
    model = next((values[0] for name, values in given if name == "--model" and values), model)
    words = ["vllm", "serve", *([model] if model else [])]
    for name in {**written.plain, **written.jsons}:
        for values in written.plain.get(name, ()):
            words += [name, *values]
        if name in written.jsons:
            words += [name, json.dumps(written.jsons[name], separators=(",", ":"))]
    return Translation(release=release.name, words=tuple(words), options=rows)


def _translated(name: str, values: list[str], release: Release, written: _Written) -> Iterator[Translated]:
    given = " ".join((name, *values))
    table = release.table
    base = name.partition(".")[0]
    verdict = release.flag(base)
    gone = table.gone.get(base)
    unsaid = table.gone.get(f"--{base.removeprefix(NO)}") if base.startswith(NO) else None
    if base == "--model":
        yield Translated(given=given, becomes=values[0] if values else "", fate=Fate.KEPT, why="it stands first now")
    elif verdict.standing is Standing.ABSENT and gone is not None:
        if gone.into and release.flag(gone.into).standing is Standing.ABSENT:
            yield Translated(given=given, becomes="", fate=Fate.GONE, why=release.flag(gone.into).why)
            return
        becomes = _replaced(gone.into, gone.json, gone.was, values, written) if gone.into else ""
        yield Translated(given=given, becomes=becomes, fate=Fate.CHANGED if gone.into else Fate.GONE, why=gone.says)
    elif verdict.standing is Standing.ABSENT and unsaid is not None:
        yield Translated(given=given, becomes="", fate=Fate.GONE, why=unsaid.says)
    elif verdict.standing is Standing.ABSENT and base not in table.flags and base not in table.frontend:
        near = release.nearest(base)
        hint = f"; {near} is spelt like it" if near else ""
        yield Translated(given=given, becomes="", fate=Fate.UNKNOWN, why=f"no release of the table has it{hint}")
    elif verdict.standing is Standing.ABSENT:
        yield Translated(given=given, becomes="", fate=Fate.GONE, why=verdict.why)
    elif not values and release.is_on_by_default(base):
        yield Translated(given=given, becomes="", fate=Fate.NEEDLESS, why="on by default")
    elif (needless := table.needless.get(base)) and values and values[0] in needless.values:
        yield Translated(given=given, becomes="", fate=Fate.NEEDLESS, why=needless.says)
    else:
        of_value = _value_verdict(base, values, release)
        if of_value and of_value.standing is Standing.ABSENT:
            yield Translated(given=given, becomes="", fate=Fate.GONE, why=f"{values[0]}: {of_value.why}")
            return
        _keep(name, values, written)
        why = verdict.why or (of_value.why if of_value else "")
        fate = Fate.UNCHECKED if why else Fate.KEPT
        yield Translated(given=given, becomes=given, fate=fate, why=why)


def _value_verdict(name: str, values: list[str], release: Release) -> Verdict | None:
    if not values:
        return None
    if name == "--quantization":
        return release.quantization(values[0])
    return release.kv_cache_dtype(values[0]) if name == "--kv-cache-dtype" else None


def _keep(name: str, values: list[str], written: _Written) -> None:
    """An option whose value is a JSON object is open to keys that others bring."""
    if len(values) == 1 and values[0].lstrip().startswith("{"):
        try:
            body = json.loads(values[0])
        except (ValueError, RecursionError):
            if name.endswith("-config"):  # a chat template begins like this too
                raise ConfigError(f"the value of {name} is no JSON: {values[0][:80]!r}.") from None
        else:
            written.jsons[name] = {**written.jsons.get(name, {}), **body}
            return
    written.plain.setdefault(name, []).append(values)


def _replaced(into: str, key: str, was: Any, values: list[str], written: _Written) -> str:
    if not key:
        becomes = values or ([] if was is None else [str(was)])
        written.plain.setdefault(into, []).append(becomes)
        return " ".join((into, *becomes))
    value = (was if was is not None else True) if not values else _json_value(values[0])
    if (key, value) == ("model", NGRAM):
        key, value = "method", "ngram"
    written.jsons.setdefault(into, {})[key] = value
    return f"{into} {json.dumps({key: value})}"


def _json_value(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float | bool) else text


def _command(text: str, release: Release) -> tuple[str, list[tuple[str, list[str]]]]:
    """The model that stands first, and the options with their values."""
    joined = text.replace("\\\r\n", " ").replace("\\\n", " ")
    try:
        words = words_of(joined)
    except ValueError as error:
        raise ConfigError(f"this is no command line: {str(error).lower()}.") from None
    model, found = "", list[tuple[str, list[str]]]()
    for word in _arguments(words):
        if _is_option(word):
            name, is_joined, value = word.partition("=")
            found.append((_canonical(name, release), [value] if is_joined else []))
        elif not model and (not found or found[-1][0].startswith(SWITCHES)):
            model = word
        elif not found:
            raise ConfigError(f"vllm serve takes one model, not {model[:80]!r} and {word[:80]!r} too.")
        else:
            found[-1][1].append(word)
    return model, found


def _is_option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1:].replace(".", "").isdigit()


def _arguments(words: Sequence[str]) -> Sequence[str]:
    """What follows the program: `vllm serve`, the old module, or the container's image."""
    for at, word in enumerate(words):
        if word == SERVER or word.startswith(IMAGE):
            return words[at + 1 :]
        if word == "serve" and at and words[at - 1].endswith("vllm"):
            return words[at + 1 :]
    return next((words[at:] for at, word in enumerate(words) if _is_option(word)), ())


def _canonical(name: str, release: Release) -> str:
    base, dot, path = name.partition(".")
    if base.startswith("--"):
        return base.replace("_", "-") + dot + path
    return release.table.short.get(base, base) + dot + path


def _is_call(text: str) -> bool:
    return any(f"{name}(" in text for name in CALLS)


def _call(text: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """The keywords of an LLM(…) or AsyncEngineArgs(…) call, spelt as options."""
    found: list[tuple[str, list[str]]] = []
    model = ""
    try:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _called(node.func) in CALLS:
                if node.args:
                    model = str(ast.literal_eval(node.args[0]))
                for keyword in node.keywords:
                    if keyword.arg is not None:
                        found += _as_option(f"--{keyword.arg.replace('_', '-')}", ast.literal_eval(keyword.value))
    except SyntaxError as error:
        raise ConfigError(f"this is no Python call: {error.msg}, line {error.lineno}.") from None
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise ConfigError("a value of this call is no plain text, number, list or table; write it out.") from None
    return model, found


def _called(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _as_option(name: str, value: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(value, bool):
        yield (name if value else f"{NO}{name.removeprefix('--')}"), []
    elif isinstance(value, dict):
        yield name, [json.dumps(value)]
    elif value is not None:
        yield name, [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
