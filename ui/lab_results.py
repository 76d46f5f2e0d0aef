"""What a log shows: figures, caches, routing, what repeats and how long things are; and the doors to What-if."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from costlib.estimate import Basis, Undefined
from costlib.levers import lever as lever_of
from lab.link import Reading
from lab.logistic import CrossValidated
from lab.prefix import size_for
from lab.report import LabReport
from lab.routing import RoutingSplit
from lab.semantic import SemanticHits, ThresholdPoint
from ui import cards, charts, data, lab_charts, links, text
from ui.text import PERCENT
from ui.theme import palette

NINE_TENTHS = 0.9
FEW = 0.005  # less than half a percent is called none
MOST_MODELS, MOST_TURNS = 8, 12
SHARE = st.column_config.NumberColumn(format="%.1f%%")
WHOLE = st.column_config.NumberColumn(format="%,.0f")
DOLLARS = st.column_config.NumberColumn(format="$%.3f")


def what_was_read(found: LabReport) -> None:
    """What is wrong with the log, before anything that rests on it."""
    if found.broken_count:
        first = "; ".join(f"line {one.line_number:,} {text.label(one.why, 120)}" for one in found.broken)
        more = ", …" if found.broken_count > len(found.broken) else ""
        st.warning(
            f"{found.broken_count:,} of {found.lines_count:,} lines cannot be read and are left out: {first}{more}.",
            icon=":material/broken_image:",
        )
    if found.without_prompt_count:
        st.warning(
            f"{found.without_prompt_count:,} records have no prompt and are left out.",
            icon=":material/speaker_notes_off:",
        )


def figures(found: LabReport) -> None:
    prefix, exact, outputs, repeats = found.prefix, found.exact, found.outputs, found.repeats
    size = "that forgets nothing" if prefix.cache_blocks_count is None else f"of {_cache_tokens(found):,} tokens"
    life = "" if exact.ttl_s is None else f", within {exact.ttl_s:,.0f} s"
    with st.grid(6, min_column_width=cards.WIDTH):
        _card("Prefix hits", prefix.hit_fraction, found.token_basis, "of tokens",
              f"Prompt tokens that a prefix cache {size} would have given.")  # fmt: skip
        _card("Same words", exact.hit_fraction, Basis.MEASURED, "of requests",
              f"Asked before by the same tenant, of the same model{life}: {text.percent(exact.token_fraction, 1)} of "
              "all tokens.")  # fmt: skip
        _semantic_card(found)
        _routing_card(found.routing)
        if isinstance(outputs.p50_tokens, Undefined):
            cards.noted("Answer, tokens", text.UNKNOWN, None, "not logged", help=text.label(outputs.p50_tokens.reason))
        else:
            cards.noted("Answer, tokens", _tokens(outputs.p50_tokens), str(found.token_basis),
                        f"P99 {_tokens(outputs.p99_tokens)}", help="Half of the answers are not longer.")  # fmt: skip
        _card("Repeated text", repeats.repeated_fraction, found.token_basis, "of tokens",
              f"Lines that come three times or more; {text.percent(repeats.repeated_uncached_fraction, 1)} of prompt "
              "tokens are of those and in no prefix cache.")  # fmt: skip


def _card(name: str, share: float | Undefined, basis: Basis, of: str, help: str) -> None:
    if isinstance(share, Undefined):
        cards.noted(name, text.UNKNOWN, None, of, help=text.label(share.reason))
    else:
        cards.noted(name, text.percent(share, 1), str(basis), of, help=help)


def _semantic_card(found: LabReport) -> None:
    hits = found.semantic
    point = hits.at(found.threshold) if isinstance(hits, SemanticHits) else None
    if point is None or isinstance(hits, Undefined):
        cards.noted("Same question", text.UNKNOWN, None, "not compared")
        return
    how = "by their answers in the log" if point.is_wrong_measured else "of planted questions, a worst case and assumed"
    cards.noted(
        "Same question", text.percent(point.hit_fraction, 1), str(hits.basis),
        f"{text.percent(point.wrong_fraction)} wrong",
        help=f"Of requests that the same words do not answer, alike from {point.threshold:g} on. Wrong hits: {how}.",
    )  # fmt: skip


def _routing_card(split: RoutingSplit | Undefined) -> None:
    if isinstance(split, Undefined):
        cards.noted("Small model", text.UNKNOWN, None, "no words", help=text.label(split.reason))
        return
    who = "a classifier, on requests it was not trained on" if split.is_learnt else "the rule of seven signals"
    cards.noted(
        "Small model", text.percent(split.chosen.small_fraction),
        str(Basis.MEASURED if split.is_learnt else Basis.ASSUMED), "of requests",
        help=f"Sent to the small one by {who}.",
    )  # fmt: skip


def doors(found: LabReport, today: data.Today) -> None:
    """To What-if, with all that is known well enough, or with one lever of it."""
    if not found.settings:
        st.caption(
            "Nothing is known well enough for a lever, or all of it is zero: there is nothing to take to What-if."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", key="lab-doors"):
        _door("Use these in What-if", found.settings, today, ":material/tune:")
        if len(found.settings) > 1:
            for key, values in found.settings.items():
                _door(lever_of(key).label, {key: values}, today, ":material/arrow_outward:")


def _door(label: str, settings: Mapping[str, Mapping[str, Any]], today: data.Today, icon: str) -> None:
    params = links.params(settings, today.scenario, today.catalog)
    st.page_link("pages/what_if.py", label=label, icon=icon, query_params=params)


def by_size(found: LabReport) -> None:
    """The prefix cache: hits by its size."""
    hits = found.prefix
    best = hits.best_fraction
    if isinstance(best, Undefined) or isinstance(hits.hit_fraction, Undefined) or not hits.curve:
        st.markdown(f"**No prefix to cache**: {text.label(getattr(best, 'reason', 'no block is full'))}")
        return
    enough = size_for(hits.curve, NINE_TENTHS)
    if best < FEW:
        st.markdown("**No prompt begins like an earlier one:** a prefix cache finds nothing")
    elif hits.cache_blocks_count is not None:
        st.markdown(
            f"**A cache of {text.compact(_cache_tokens(found))} tokens finds {hits.hit_fraction:.1%}**, one that "
            f"forgets nothing {best:.1%}"
        )
    elif enough is not None:
        st.markdown(
            f"**{best:.1%} of prompt tokens were computed before;** {text.compact(enough.cache_tokens)} tokens of "
            "cache find nine tenths of them"
        )
    used = None if hits.cache_blocks_count is None else (_cache_tokens(found), hits.hit_fraction)
    charts.draw(lab_charts.hits_by_size(hits.curve, used, palette()), "lab-sizes",
                alt="Share of prompt tokens that a prefix cache gives, by its size")  # fmt: skip
    st.caption(
        f"vLLM's rule, blocks of {hits.block_tokens} tokens, each model with a cache of its own, all its replicas as "
        f"one. Tokens {found.token_basis}: {text.label(found.token_about)}."
    )
    if len(hits.models) > 1:
        rows = [
            {"Model": text.plain(one.model, 60), "Requests": one.requests_count, "Prompt tokens": one.prompt_tokens,
             "Prefix hits": one.hit_fraction * PERCENT}
            for one in hits.models[:MOST_MODELS]
        ]  # fmt: skip
        config = {"Requests": WHOLE, "Prompt tokens": WHOLE, "Prefix hits": SHARE}
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="lab-models", column_config=config)


def _cache_tokens(found: LabReport) -> int:
    return (found.prefix.cache_blocks_count or 0) * found.prefix.block_tokens


def by_threshold(found: LabReport) -> None:
    """The cache of answers: hits by how alike questions must be, and how many of them may be wrong."""
    hits = found.semantic
    point = hits.at(found.threshold) if isinstance(hits, SemanticHits) else None
    if isinstance(hits, Undefined) or point is None:
        st.markdown("**Questions were not compared**")
        return
    st.markdown(_threshold_title(hits, point))
    rows = [(one.threshold, one.hit_fraction, one.hit_fraction * (1 - one.wrong_upper_fraction)) for one in hits.points]
    charts.draw(lab_charts.hits_by_threshold(rows, found.threshold, palette()), "lab-thresholds",
                alt="Requests that a cache of answers answers, by threshold, and what may be wrong")  # fmt: skip
    planted = point.planted
    compared = (
        f"{point.differing_count} of {point.compared_count} hits have answers that differ in the log"
        if point.compared_count
        else "no hit has two answers in the log to compare"
        if hits.is_semantic
        else "answers are not compared by their words"
    )
    st.caption(
        f"{hits.requests_count:,} requests that the same words do not answer. At {point.threshold:g}: {compared}; of "
        f"{hits.planted_pairs_count} planted questions {planted.found_fraction:.0%} of paraphrases are found, and "
        f"{planted.wrong_pairs_fraction:.0%} of look-alikes taken for the same. The band is what may be wrong, at 95 %."
    )


def _threshold_title(hits: SemanticHits, point: ThresholdPoint) -> str:
    if point.hit_fraction < FEW:
        return f"**From {point.threshold:g} on hardly a question is like an earlier one**"
    found = f"{point.hit_fraction:.1%} of questions"
    if not hits.is_semantic:
        return f"**{found} share their words from {point.threshold:g} on**, which is not their meaning: assumed"
    wrong = text.percent(point.wrong_fraction)
    return (
        f"**{found} come again in other words from {point.threshold:g} on**, {wrong} of them wrongly"
        f"{'' if point.is_wrong_measured else ', at worst'}"
    )


def routing(found: LabReport) -> None:
    split = found.routing
    if isinstance(split, Undefined):
        st.markdown(f"**No routing**: {text.label(split.reason)}")
        return
    chosen, is_trained = split.chosen, split.is_learnt
    cost, large = text.unit_cost(chosen.blended_usd_per_mtok), text.unit_cost(split.large_usd_per_mtok)
    st.markdown(
        text.dollars(
            f"**{'A classifier' if is_trained else 'The rule'} sends {chosen.small_fraction:.0%} to the small model: "
            f"{cost} per 1M tokens**, {large} without"
        )
    )
    rows = [
        {"Router": "All large", "To the small model": 0.0, "USD per 1M": split.large_usd_per_mtok, "Basis": "assumed"},
        {"Router": "Rule of seven signals", "To the small model": split.rule.small_fraction * PERCENT,
         "USD per 1M": split.rule.blended_usd_per_mtok, "Basis": "assumed"},
    ]  # fmt: skip
    if isinstance(split.trained, CrossValidated) and not isinstance(split.trained_split, Undefined):
        trained = split.trained
        rows.append(
            {
                "Router": f"Classifier, {trained.folds_count} folds",
                "To the small model": trained.small_fraction * PERCENT,
                "Error": trained.error_fraction * PERCENT,
                "Always the same errs": trained.baseline_error_fraction * PERCENT,
                "Wrongly to the small": trained.misrouted_fraction * PERCENT,
                "USD per 1M": split.trained_split.blended_usd_per_mtok,
                "Basis": "measured" if is_trained else "assumed",
            }
        )
    shares = ("To the small model", "Wrongly to the small", "Error", "Always the same errs")
    config = {**dict.fromkeys(shares, SHARE), "USD per 1M": DOLLARS}
    st.dataframe(
        pd.DataFrame(rows, columns=["Router", *shares, "USD per 1M", "Basis"]), hide_index=True, key="lab-routing",
        column_config=config, height="content", placeholder=text.UNKNOWN,
    )  # fmt: skip
    signals = ", ".join(f"{name} {share:.0%}" for name, share in split.signal_fractions.items())
    why = f" No classifier: {text.label(split.trained.reason)}." if isinstance(split.trained, Undefined) else ""
    st.caption(
        f"Labels: {split.label_source}.{why} Errors are of requests that it was not trained on. Prices are assumed. "
        f"Signals: {signals}; two or more are large."
    )


def repeats(found: LabReport) -> None:
    said = found.repeats
    if not said.segments:
        st.markdown("**No text of 40 letters comes three times**")
        return
    st.markdown(
        f"**{said.repeated_fraction:.0%} of prompt tokens are text that comes three times or more;** "
        f"{said.repeated_uncached_fraction:.1%} are in no prefix cache, and saying that shorter saves prefill"
    )
    rows = [
        {"Part": one.key[:8], "Times": one.occurrences_count, "Tokens": one.tokens, "Tokens in all": one.total_tokens,
         "In no cache": one.uncached_tokens, **({"Text": text.plain(one.text, 200)} if one.text else {})}
        for one in said.segments
    ]  # fmt: skip
    config = dict.fromkeys(("Times", "Tokens", "Tokens in all", "In no cache"), WHOLE)
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="lab-repeats", column_config=config, height="content")


def turns(found: LabReport) -> None:
    said = found.turns
    if isinstance(said.mean_turns, Undefined) or not said.points:
        st.markdown("**No conversations**")
        return
    first, last = said.points[0], said.points[-1]
    if len(said.points) == 1:
        st.markdown(f"**Every request is a first turn**, of {first.mean_prompt_tokens:,.0f} prompt tokens on average")
    else:
        grown = f"{last.mean_prompt_tokens / max(1.0, first.mean_prompt_tokens):.1f}"
        st.markdown(f"**Prompts of turn {last.turn} are {grown} times those of the first**, by the turns before them")
    if len(said.points) > 1:
        shown = said.points[:MOST_TURNS]
        means = [one.mean_prompt_tokens for one in shown]
        turn = [f"{one.turn}" for one in shown]
        words = [
            f"turn {one.turn}: {one.mean_prompt_tokens:,.0f} tokens, {one.requests_count:,} requests" for one in shown
        ]
        charts.draw(lab_charts.counted(turn, means, words, palette(), "turn"), "lab-turns",
                    alt="Mean prompt tokens by turn")  # fmt: skip
    st.caption(
        f"Mean prompt tokens, {found.token_basis}. {said.conversations_count:,} conversations of {said.mean_turns:.1f} "
        f"turns on average, {said.longest_turns_count:,} at most."
    )


def lengths(found: LabReport) -> None:
    said = found.outputs
    if isinstance(said.p50_tokens, Undefined):
        st.markdown(f"**How long answers are is not known**: {text.label(said.p50_tokens.reason)}")
        return
    st.markdown(
        f"**Half of answers end within {said.p50_tokens:,.0f} tokens**, 99 in 100 within {_tokens(said.p99_tokens)}"
    )
    names = [f"≤ {text.compact(one.most_tokens)}" for one in said.bins]
    words = [f"{one.answers_count:,} answers of at most {one.most_tokens:,} tokens" for one in said.bins]
    charts.draw(lab_charts.counted(names, [one.answers_count for one in said.bins], words, palette(), "tokens"),
                "lab-lengths", alt="Answers by their length")  # fmt: skip
    cut = said.truncated_fraction
    ends = "why they end is not in the log" if isinstance(cut, Undefined) else f"{cut:.1%} are cut off"
    st.caption(
        f"{said.answers_count:,} answers; {ends}; max_tokens is {_tokens(said.median_max_tokens)} in the middle."
    )


def readings(found: LabReport) -> None:
    pulled = len({one.lever for one in found.readings} & set(found.settings))
    st.markdown(f"**{pulled} levers are known well enough for What-if;** the rest stays out of the link")
    rows = [
        {"Lever": lever_of(one.lever).label, "Setting": _setting(one), "Value": _value(one), "Basis": str(one.basis),
         "In the link": one.is_pulled and one.lever in found.settings, "What it is": one.about}
        for one in found.readings
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="lab-readings", height="content",
                 column_config={"What it is": st.column_config.TextColumn(width="large")})  # fmt: skip
    if found.notes:
        st.caption("  \n".join(text.sentence(note) for note in found.notes))


def _param(reading: Reading) -> Any:
    return next(param for param in lever_of(reading.lever).params if param.key == reading.param)


def _setting(reading: Reading) -> str:
    return str(_param(reading).label)


def _value(reading: Reading) -> str:
    return f"{reading.value:.1%}" if _param(reading).is_share else f"{reading.value:g}"


def _tokens(value: float | Undefined) -> str:
    return text.UNKNOWN if isinstance(value, Undefined) else f"{value:,.0f}"


def basis(found: LabReport, is_sample: bool) -> str:
    """What the page rests on, as small print."""
    whose = "A sample log, made up. " if is_sample else ""
    span = ""
    if found.from_s is not None and found.to_s is not None:
        begin, end = (
            text.day(pd.Timestamp(at, unit="s", tz="UTC").to_pydatetime()) for at in (found.from_s, found.to_s)
        )
        span = f", {begin}" if begin == end else f", {begin} to {end}"
    return (
        f"{whose}{found.requests_count:,} requests in {found.lines_count:,} lines, {text.label(found.format_label)}"
        f"{span}; {text.compact(found.prompt_tokens)} prompt and {text.compact(found.output_tokens)} output tokens. "
        "Prompts were read and are not kept."
    )
