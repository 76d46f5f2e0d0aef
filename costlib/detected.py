"""Changes of a deployment that nobody noted: told by what its engines say of themselves, and by what they did.

What a metric does not tell is not guessed at: `max_num_seqs` is in none, and replicas come and go with demand.
Sentences may hold names from outside.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from costlib.saving import Entry
from costlib.shifts import Floats, shifts
from costlib.text_safety import plain

# J: judgements of ours, open to better ones.
TOGETHER = timedelta(hours=6)  # J: replicas that change within this of one another were changed by one hand
LEAST_TOKENS = 5_000  # J: of an hour whose shares say anything
LEAST_TRAFFIC_FRACTION = 0.05  # J: of a busy hour, one in twenty
OFF_FRACTION = 0.005  # J: hardly a prompt token is found: what a cache that is on does not do
RARE_FRACTION, MOST_FRACTION = 0.1, 0.5  # J: a model took over when it went from less than the one to over the other
SAME = timedelta(days=1)  # J: a step of the ledger, and what metrics show of it
MOST_WORDS = 500  # characters


class Kind(StrEnum):
    VERSION = "version"
    PREFIX_CACHING = "prefix_caching"
    CACHED_SHARE = "cached_share"  # nobody need have done anything: prompts may have changed
    SPECULATION = "speculation"
    KV_PRECISION = "kv_precision"
    KV_OFFLOAD = "kv_offload"
    MODEL = "model"
    SETTING = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """One change: the first moment it was seen, in words, and the lever (`costlib.levers`) that it is, if it is one."""

    deployment_key: str
    at: datetime
    kind: Kind
    sentence: str
    lever_key: str | None = None


def is_noted(seen: Detected, entries: Iterable[Entry]) -> bool:
    """Whether a change of the ledger has its words in the title, or went on or off on that pool at about that time."""
    words = plain(seen.sentence, MOST_WORDS).rstrip(".")
    for entry in entries:
        pools = entry.plan.pool_keys if entry.plan else ()
        moments = (entry.shipped_at, entry.ended_at, *(edge for period in entry.periods for edge in period))
        is_then = any(at is not None and abs(at - seen.at) <= SAME for at in moments)
        if words in entry.title or (seen.deployment_key in pools and is_then):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class FactChange:
    """An engine says otherwise than before; None where it does not say. `engine` tells engines apart, no more."""

    deployment_key: str
    engine: tuple[str, ...]
    at: datetime
    fact: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSeen:
    """One engine that is or was: when its process started, when it was last seen, and what it said then."""

    deployment_key: str
    engine: tuple[str, ...]
    started_at: datetime | None
    seen_at: datetime
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyUse:
    """What one model of a deployment did in n hours that begin at rising `times_s` [unix s]; NaN is unknown."""

    deployment_key: str
    model_key: str
    times_s: Floats
    prompt_tokens: Floats
    cached_prompt_tokens: Floats
    generation_tokens: Floats
    draft_tokens: Floats


def detected(
    changes: Sequence[FactChange], engines: Sequence[EngineSeen], uses: Sequence[HourlyUse]
) -> tuple[Detected, ...]:
    """What changed, oldest first: from changed facts, from new engines that differ from those gone, and from usage.

    What usage tells is left out where a fact told it within TOGETHER. Raises nothing.
    """
    told = list(_of_facts([*changes, *rolled_out(engines, changes)]))
    by_deployment = defaultdict(list)
    for use in uses:
        by_deployment[use.deployment_key].append(use)
    seen = [found for use in uses for found in (*_of_cache(use), *_of_drafts(use))]
    seen += [found for of_one in by_deployment.values() for found in _of_models(of_one)]
    found: list[Detected] = []
    for one in [*told, *seen]:
        if not any(_is_about_the_same(one, other) for other in found):
            found.append(one)
    return tuple(sorted(found, key=lambda one: (one.at, one.deployment_key, one.kind, one.sentence)))


def _is_about_the_same(one: Detected, other: Detected) -> bool:
    about = {Kind.CACHED_SHARE: Kind.PREFIX_CACHING}
    if one.deployment_key != other.deployment_key or one.kind is Kind.SETTING:
        return False
    return about.get(one.kind, one.kind) is about.get(other.kind, other.kind) and abs(one.at - other.at) <= TOGETHER


# What engines say ----------------------------------------------------------------------------------------------------

Net = Mapping[str, tuple[str | None, str | None]]
Told = tuple[Kind, str, str | None]

_VERSION_FACTS = ("vllm_at_least", "vllm_below")
_SETTINGS = ("gpu_memory_utilization", "block_size", "max_lora")
_FEATURES = {
    "speculative decoding": (Kind.SPECULATION, "speculative_decoding"),
    "KV offloading": (Kind.KV_OFFLOAD, "kv_offload"),
}


def _version(net: Net) -> Told | None:
    """Facts hold a range of releases: only ranges without a release in common are two versions."""
    (old, new), (old_below, new_below) = (net.get(fact, (None, None)) for fact in _VERSION_FACTS)
    if not (_release(old) and _release(new)):
        return None
    if _release(old_below) and _release(new) >= _release(old_below):
        return Kind.VERSION, f"vLLM {old} or newer → {new} or newer", None
    if _release(new_below) and _release(new_below) <= _release(old):
        return Kind.VERSION, f"vLLM {old} or newer → one before {new_below}", None
    return None


def _release(text: str | None) -> tuple[int, ...]:
    """Empty for what is no release."""
    return tuple(int(part) for part in text.split(".")) if text and re.fullmatch(r"\d{1,9}(\.\d{1,9})*", text) else ()


def _switched(net: Net) -> Told | None:
    words = {"True": "on", "False": "off"}
    (pair,) = net.values()
    if {*pair} != {*words}:
        return None
    return Kind.PREFIX_CACHING, f"prefix caching switched {words[str(pair[1])]}", "prefix_caching"


def _kv_dtype(net: Net) -> Told | None:
    ((before, after),) = net.values()
    return (Kind.KV_PRECISION, f"KV cache in {after}, {before} before", "kv_precision") if before and after else None


def _features(net: Net) -> Told | None:
    """A feature that is not listed is off: the collector names those it sees."""
    ((before, after),) = net.values()
    had, has = (set((text or "").split(", ")) for text in (before, after))
    for feature, (kind, lever_key) in _FEATURES.items():
        if (feature in had) != (feature in has):
            return kind, f"{feature} switched {'on' if feature in has else 'off'}", lever_key
    return None


def _setting(net: Net) -> Told | None:
    """A fact that only appears or vanishes came or went with a release of vLLM, not by a hand."""
    ((fact, (before, after)),) = net.items()
    return (Kind.SETTING, f"{fact} {before} → {after}", None) if before and after else None


_TOPICS: Mapping[str, tuple[str, Callable[[Net], Told | None]]] = {
    **dict.fromkeys(_VERSION_FACTS, ("version", _version)),
    "enable_prefix_caching": ("enable_prefix_caching", _switched),
    "cache_dtype": ("cache_dtype", _kv_dtype),
    "features": ("features", _features),
    **{fact: (fact, _setting) for fact in _SETTINGS},
}


def _of_facts(changes: Sequence[FactChange]) -> Iterator[Detected]:
    known = [change for change in changes if change.fact in _TOPICS]

    def topic(change: FactChange) -> tuple[str, str]:
        return change.deployment_key, _TOPICS[change.fact][0]

    for (deployment_key, _), of_topic in groupby(sorted(known, key=lambda one: (topic(one), one.at)), key=topic):
        for together in _together(list(of_topic)):
            nets: dict[tuple[str, ...], dict[str, tuple[str | None, str | None]]] = defaultdict(dict)
            for change in together:  # there and back again is no change
                first = nets[change.engine].get(change.fact, (change.before, None))[0]
                nets[change.engine][change.fact] = (first, change.after)
            say = _TOPICS[together[0].fact][1]
            told = {
                engine: said
                for engine, net in nets.items()
                if (left := {fact: pair for fact, pair in net.items() if pair[0] != pair[1]}) and (said := say(left))
            }
            if told:
                ((kind, sentence, lever_key), count), *_ = Counter(told.values()).most_common(1)
                engines = {engine for engine, said in told.items() if said == (kind, sentence, lever_key)}
                yield Detected(
                    deployment_key=deployment_key,
                    at=min(change.at for change in together if change.engine in engines),
                    kind=kind,
                    sentence=sentence + (f", on {count:,} engines" if count > 1 else ""),
                    lever_key=lever_key,
                )


def _together(changes: Sequence[FactChange]) -> Iterator[list[FactChange]]:
    group: list[FactChange] = []
    for change in changes:
        if group and change.at - group[-1].at > TOGETHER:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def rolled_out(engines: Sequence[EngineSeen], changes: Sequence[FactChange] = ()) -> list[FactChange]:
    """New engines that say otherwise than the ones they replace, as where each rollout brings new pods.

    An engine is a change of a fact when those of its deployment that were there in the day before it started said
    otherwise, all of them, and were gone TOGETHER after it had.
    """
    first_change: dict[tuple[str, ...], dict[str, str | None]] = defaultdict(dict)
    for change in sorted(changes, key=lambda one: one.at):
        first_change[change.engine].setdefault(change.fact, change.before)
    by_deployment = defaultdict(list)
    for engine in engines:
        if engine.facts:
            by_deployment[engine.deployment_key].append(engine)
    found = []
    for of_one in by_deployment.values():
        for new in of_one:
            if new.started_at is None:
                continue
            at = new.started_at
            older = [
                one
                for one in of_one
                if one.started_at and one.started_at < at - TOGETHER and one.seen_at >= at - timedelta(days=1)
            ]
            if not older or any(one.seen_at > at + TOGETHER for one in older):
                continue
            began = {**new.facts, **first_change[new.engine]}
            last = max(older, key=lambda one: one.seen_at)
            for fact in sorted(_TOPICS.keys() & {*began, *last.facts}):
                before, after = last.facts.get(fact), began.get(fact)
                if before != after and not any(one.facts.get(fact) == after for one in older):
                    found.append(
                        FactChange(
                            deployment_key=new.deployment_key,
                            engine=new.engine,
                            at=at,
                            fact=fact,
                            before=before,
                            after=after,
                        )
                    )
    return found


# What engines did ----------------------------------------------------------------------------------------------------


def _busy(tokens: Floats) -> NDArray[np.bool_]:
    """Hours with enough traffic to say anything."""
    some = tokens[tokens > 0]
    least = LEAST_TRAFFIC_FRACTION * float(np.quantile(some, 0.95)) if len(some) else 0.0
    return np.asarray(tokens >= max(LEAST_TOKENS, least))


def _of_cache(use: HourlyUse) -> Iterator[Detected]:
    known = _busy(use.prompt_tokens) & np.isfinite(use.cached_prompt_tokens)
    times_s, prompt, cached = use.times_s[known], use.prompt_tokens[known], use.cached_prompt_tokens[known]
    for shift in shifts(times_s, cached / prompt):
        before, after = (float(cached[of].sum() / prompt[of].sum()) for of in (shift.before, shift.after))
        is_more = after > before
        is_switch = min(before, after) <= OFF_FRACTION
        yield Detected(
            deployment_key=use.deployment_key,
            at=datetime.fromtimestamp(float(times_s[shift.index]), UTC),
            kind=Kind.PREFIX_CACHING if is_switch else Kind.CACHED_SHARE,
            sentence=(
                f"prefix caching switched {'on' if is_more else 'off'}"
                if is_switch
                else f"{'more' if is_more else 'fewer'} prompt tokens were cached"
            )
            + f": {before * 100:.0f} % → {after * 100:.0f} %"
            + (" of prompt tokens cached" if is_switch else ""),
            lever_key="prefix_caching" if is_switch else None,
        )


def _of_drafts(use: HourlyUse) -> Iterator[Detected]:
    """vLLM has counters of drafts only while it drafts: an hour in which none is told had none."""
    busy = _busy(use.generation_tokens)
    times_s, drafts = use.times_s[busy], (use.draft_tokens[busy] > 0).astype(float)
    for shift in shifts(times_s, drafts):
        yield Detected(
            deployment_key=use.deployment_key,
            at=datetime.fromtimestamp(float(times_s[shift.index]), UTC),
            kind=Kind.SPECULATION,
            sentence=f"speculative decoding switched {'on' if drafts[shift.index] else 'off'}",
            lever_key="speculative_decoding",
        )


_PRECISION = re.compile(
    r"(?<![a-z0-9])(nvfp4|mxfp[48]|fp8|fp4|fp16|bf16|int[48]|w\d{1,2}a\d{1,2}|awq|gptq|bnb|[48]bit|gguf)(?![a-z0-9])",
    re.IGNORECASE,
)
_MAKING = re.compile(r"(?<![a-z])(dynamic|quantized|marlin)(?![a-z])|[^a-z0-9]", re.IGNORECASE)


def precision_told(model_key: str) -> str:
    """How the weights of a checkpoint are kept, as far as its name says; else "".

    >>> [precision_told(name) for name in ("org/Llama-3.3-70B-Instruct-FP8-dynamic", "qwen3-8b", "x-w4a16")]
    ['FP8', '', 'W4A16']
    """
    return " ".join(dict.fromkeys(mark.upper() for mark in _PRECISION.findall(model_key)))


def _is_same_model(one: str, other: str) -> bool:
    bare = (_MAKING.sub("", _PRECISION.sub("", name.rsplit("/", 1)[-1])).lower() for name in (one, other))
    return len(set(bare)) == 1


def _of_models(uses: Sequence[HourlyUse]) -> Iterator[Detected]:
    """`uses` of one deployment: a model that answered little answers most."""
    if len(uses) < 2:
        return
    times_s = np.unique(np.concatenate([use.times_s for use in uses]))
    tokens = np.zeros((len(uses), len(times_s)))
    for row, use in zip(tokens, uses, strict=True):
        row[np.searchsorted(times_s, use.times_s)] = np.nan_to_num(use.generation_tokens)
    busy = _busy(tokens.sum(axis=0))
    times_s, tokens = times_s[busy], tokens[:, busy]
    shares = tokens / tokens.sum(axis=0)
    for use, share in zip(uses, shares, strict=True):
        for shift in shifts(times_s, share):
            if share[shift.before].mean() > RARE_FRACTION or share[shift.after].mean() < MOST_FRACTION:
                continue
            before = uses[int(np.argmax(tokens[:, shift.before].sum(axis=1)))].model_key
            old, new = precision_told(before), precision_told(use.model_key)
            is_precision = _is_same_model(before, use.model_key) and old != new
            told = f": the same model in {new}" if new else f": the same model, no more in {old}"
            yield Detected(
                deployment_key=use.deployment_key,
                at=datetime.fromtimestamp(float(times_s[shift.index]), UTC),
                kind=Kind.MODEL,
                sentence=f"{use.model_key} took over from {before}" + (told if is_precision else ""),
                lever_key="weight_precision" if is_precision else None,
            )
