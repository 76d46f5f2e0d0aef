"""What a lab measured, as settings of levers and as the address of the What-if page that has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from costlib.estimate import Basis, Undefined
from costlib.lever import Number
from costlib.levers import lever as lever_of
from lab.exact import ExactHits
from lab.prefix import PrefixHits
from lab.repeats import Repeats
from lab.routing import RoutingSplit
from lab.semantic import SemanticHits
from lab.shape import OutputLengths

# As ui/links.py spells addresses: tests/lab/test_link.py holds the two to each other.
LINK_VERSION = 2
PERCENT = 100
_MAIN = ("hit_fraction", "share_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A value for one parameter of a lever. `is_pulled`: known well enough, and enough, to be in the link."""

    lever: str
    param: str
    value: float
    basis: Basis
    about: str
    is_pulled: bool = True


def readings_of(
    prefix: PrefixHits,
    exact: ExactHits,
    semantic: SemanticHits | None,
    threshold: float,
    routing: RoutingSplit | Undefined,
    repeats: Repeats,
    outputs: OutputLengths,
    token_basis: Basis,
) -> tuple[Reading, ...]:
    """Every value within what its lever allows, and rounded as its slider is."""
    found = [
        *_prefix(prefix, token_basis),
        *_exact(exact),
        *_semantic(semantic, threshold),
        *_routing(routing),
        Reading(
            lever="prompt_compression",
            param="share_fraction",
            value=repeats.repeated_fraction,
            basis=Basis.ASSUMED,
            about="text that repeats; how much shorter it can be said is for you to try",
        ),
    ]
    if isinstance(outputs.truncated_fraction, float):
        found.append(
            Reading(
                lever="output_limits",
                param="truncated_fraction",
                value=outputs.truncated_fraction,
                basis=Basis.ASSUMED,
                about="answers cut off today; the lever asks for what a lower limit would add",
            )
        )
    return tuple(_within(reading) for reading in found)


def _prefix(hits: PrefixHits, basis: Basis) -> Iterator[Reading]:
    if isinstance(hits.hit_fraction, float):
        size = "one without an end" if hits.cache_blocks_count is None else f"{hits.cache_blocks_count:,} blocks"
        about = f"of prompt tokens, with a cache of {size} for each model, all replicas as one"
        yield Reading(lever="prefix_caching", param="hit_fraction", value=hits.hit_fraction, basis=basis, about=about)


def _exact(hits: ExactHits) -> Iterator[Reading]:
    if isinstance(hits.token_fraction, float):
        about = "requests whose words, tenant, model and settings came before, weighted by their tokens"
        yield Reading(
            lever="exact_cache", param="hit_fraction", value=hits.token_fraction, basis=Basis.MEASURED, about=about
        )


def _semantic(hits: SemanticHits | None, threshold: float) -> Iterator[Reading]:
    point = hits.at(threshold) if hits else None
    if hits is None or point is None:
        return
    about = f"at {threshold:g} by {hits.embedder}, of what is not answered word for word, weighted by tokens"
    yield Reading(
        lever="semantic_cache", param="hit_fraction", value=point.token_fraction, basis=hits.basis, about=about
    )
    if isinstance(wrong := point.wrong_fraction, float):
        measured = point.is_wrong_measured and hits.is_semantic
        yield Reading(
            lever="semantic_cache",
            param="wrong_fraction",
            value=wrong,
            basis=Basis.MEASURED if measured else Basis.ASSUMED,
            about="hits whose answers in the log differ" if measured else "of pairs made to mislead: a worst case",
        )


def _routing(split: RoutingSplit | Undefined) -> Iterator[Reading]:
    if isinstance(split, Undefined):
        return
    is_known, chosen = split.is_learnt, split.chosen
    basis = Basis.MEASURED if is_known else Basis.ASSUMED
    who = "a classifier, on requests that it was not trained on" if is_known else "a rule of seven signals"
    for param, value in (("share_fraction", chosen.small_fraction), ("kept_length_ratio", chosen.kept_length_ratio)):
        yield Reading(lever="predictive_routing", param=param, value=value, basis=basis, about=f"by {who}")
    if is_known and not isinstance(split.trained, Undefined):
        yield Reading(
            lever="predictive_routing",
            param="misrouted_fraction",
            value=split.trained.misrouted_fraction,
            basis=basis,
            about=f"of those sent to the small model, as {split.label_source} has it",
        )


def _within(reading: Reading) -> Reading:
    number = _number(reading)
    value = min(number.high, max(number.low, round(reading.value / number.step) * number.step))
    # How long a token is hardly moves the share of text that is shared, so prefix hits stand even by assumed tokens.
    is_known = reading.basis in (Basis.MEASURED, Basis.CALIBRATED) or reading.lever == "prefix_caching"
    return replace(reading, value=round(value, 6), is_pulled=is_known)


def _number(reading: Reading) -> Number:
    lever = lever_of(reading.lever)
    found = next(param for param in lever.params if param.key == reading.param)
    assert isinstance(found, Number)
    return found


def settings_of(readings: tuple[Reading, ...]) -> Mapping[str, Mapping[str, bool | float]]:
    """Levers that are pulled, with what is known of them; one whose main figure is not known, or 0, stays at rest."""
    settings: dict[str, dict[str, bool | float]] = {}
    for reading in readings:
        if reading.is_pulled:
            settings.setdefault(reading.lever, {"enabled": True})[reading.param] = reading.value
    return {key: values for key, values in settings.items() if any(values.get(name) for name in _MAIN)}


def link_of(settings: Mapping[str, Mapping[str, bool | float]]) -> str:
    """From the question mark on; nothing where no lever is pulled.

    >>> link_of({"prefix_caching": {"enabled": True, "hit_fraction": 0.52}})
    '?v=2&prefix_caching.enabled=true&prefix_caching.hit_fraction=52'
    """
    spelt = {}
    for key, values in settings.items():
        for param in lever_of(key).params:
            if param.key in values and values[param.key] != param.neutral:
                value = values[param.key]
                spelt[f"{key}.{param.key}"] = str(value).lower() if value is True else _figure(param, float(value))
    return f"?{urlencode({'v': str(LINK_VERSION), **spelt})}" if spelt else ""


def _figure(param: object, value: float) -> str:
    assert isinstance(param, Number)
    scale = PERCENT if param.is_share else 1
    scaled, step = value * scale, param.step * scale
    is_whole = round(step, 6) == round(step) and (param.is_share or float(param.low).is_integer())
    return str(round(scaled) if is_whole else round(float(scaled), 6))
