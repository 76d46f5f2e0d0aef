"""Which requests a small model could answer: the rule by hand, and a classifier judged on what it did not see."""

from random import Random

import numpy as np
import pytest

from costlib.estimate import Undefined
from lab.logistic import CrossValidated, cross_validated
from lab.record import Request
from lab.routing import SIGNALS, LabelSource, RoutingCounter, RoutingSplit, Split, signals_of, size_of


def question(text: str, **settings: object) -> Request:
    return Request(messages=[("user", text)], **settings)


def split_of(*requests: tuple[Request, float], **settings: object) -> RoutingSplit:
    counter = RoutingCounter(small_usd_per_mtok=0.10, large_usd_per_mtok=0.80, **settings)
    for request, tokens in requests:
        counter.add(request, tokens, tokens)
    found = counter.found()
    assert isinstance(found, RoutingSplit)
    return found


@pytest.mark.parametrize(
    ("request_", "tokens", "signals"),
    [
        (question("Hello there"), 5, []),
        (question("Hello there"), 1_000, ["long prompt"]),
        (question("Who? When?"), 5, ["several questions"]),
        (question("Explain the moon"), 5, ["reasoning"]),
        (question("```x```"), 5, ["code"]),
        (question("What is 2 + 2?"), 5, ["mathematics"]),
        (Request(messages=[("user", "a"), ("assistant", "b")] * 3 + [("user", "c")]), 5, ["many turns"]),
        (question("Hi", max_output_tokens=1_000), 5, ["demands on the answer"]),
        (question("Explain it in JSON"), 5, ["reasoning", "demands on the answer"]),
    ],
)
def test_each_of_the_seven_signals_by_hand(request_: Request, tokens: float, signals: list[str]) -> None:
    """S66. A length is of tokens here, not of characters."""
    assert [name for name, shown in zip(SIGNALS, signals_of(request_, tokens), strict=True) if shown] == signals
    assert len(SIGNALS) == 7


def test_two_signals_are_large_and_each_model_is_priced_at_the_tokens_it_is_sent() -> None:
    """Small: 3 requests of 100 tokens. Large: one of 700 with two signals, so 0.7 x $0.80 + 0.3 x $0.10 = $0.59."""
    small = [(question("hello"), 100.0), (question("why?"), 100.0), (question("bye"), 100.0)]
    found = split_of(*small, (question("explain in JSON"), 700.0))
    assert found.rule == Split(small_fraction=0.75, kept_length_ratio=2.8, blended_usd_per_mtok=pytest.approx(0.59))
    assert found.signal_fractions["reasoning"] == 0.5


@pytest.mark.parametrize(
    ("model", "size"),
    [("llama-3.1-8b", 8), ("Qwen/Qwen2.5-72B-Instruct", 72), ("gpt-4o-mini", 0), ("gpt-4o", None), ("phi-1.5b", 1.5)],
)
def test_a_models_name_tells_its_size(model: str, size: float | None) -> None:
    assert size_of(model) == size


def planted(count: int, **what: object) -> list[tuple[Request, float]]:
    """Requests of which those of many words need the large model, but for one in ten that is the other way round."""
    rng, found = Random(3), []
    for _ in range(count):
        is_large = rng.random() < 0.4
        text = " ".join(["word"] * (rng.randint(60, 200) if is_large else rng.randint(2, 40)))
        shown = is_large != (rng.random() < 0.1)
        found.append((question(text, **{key: value(shown) for key, value in what.items()}), float(len(text) // 4)))
    return found


@pytest.mark.parametrize(
    ("what", "source"),
    [
        ({"model": lambda large: "a-70b" if large else "a-8b"}, LabelSource.SERVED),
        ({"is_unhappy": lambda large: large}, LabelSource.FEEDBACK),
    ],
    ids=["served", "feedback"],
)
def test_a_classifier_finds_what_is_planted_and_errs_where_the_labels_do(what, source: LabelSource) -> None:
    found = split_of(*planted(800, **what))
    assert found.label_source is source
    assert isinstance(found.trained, CrossValidated) and isinstance(found.trained_split, Split)
    assert found.trained.error_fraction == pytest.approx(0.1, abs=0.04)
    assert found.trained.error_fraction < found.trained.baseline_error_fraction / 2
    assert 0.10 < found.trained_split.blended_usd_per_mtok < 0.80
    assert found == split_of(*planted(800, **what)), "the same log gives the same figures"


def test_labels_by_chance_are_not_learnt() -> None:
    rng = Random(5)
    requests = [(question("word " * rng.randint(1, 90), is_unhappy=rng.random() < 0.5), 10.0) for _ in range(600)]
    trained = split_of(*requests).trained
    assert isinstance(trained, CrossValidated)
    assert trained.error_fraction > 0.4


def test_without_labels_the_rule_stands_in_and_says_so() -> None:
    found = split_of(*planted(300))
    assert found.label_source is LabelSource.RULE
    assert isinstance(found.trained, Undefined), "nothing of these has two signals"
    assert "0 of the rarer kind" in found.trained.reason


def test_large_models_can_be_named() -> None:
    requests = planted(300, model=lambda large: "opal" if large else "pearl")
    assert split_of(*requests).label_source is LabelSource.RULE
    assert split_of(*requests, large_models=("opal",)).label_source is LabelSource.SERVED


def test_one_that_is_unsure_goes_to_the_large_model() -> None:
    """S65: at 0.6, what is as likely small as large is not sent to the small one."""
    features = np.zeros((200, 1))
    is_large = np.arange(200) % 2 == 0
    trained, to_small = cross_validated(features, is_large, 0.6)
    assert not to_small.any()
    assert (trained.small_fraction, trained.misrouted_fraction, trained.wasted_fraction) == (0, 0, 0.5)


def test_without_words_there_is_nothing_to_route() -> None:
    counter = RoutingCounter(small_usd_per_mtok=0.1, large_usd_per_mtok=0.8)
    counter.add(Request(token_ids=[1, 2]), 2, 2)
    assert isinstance(counter.found(), Undefined)


@pytest.mark.parametrize(
    ("error", "baseline", "labels", "has_learnt"),
    [
        (0.080, 0.230, 400, True),
        (0.317, 0.333, 60, False),  # 1.6 points, of which 12 are chance
        (0.317, 0.333, 100_000, True),
        (0.333, 0.333, 100_000, False),
    ],
)
def test_a_classifier_has_learnt_when_it_beats_saying_the_same_by_more_than_chance(
    error: float, baseline: float, labels: int, has_learnt: bool
) -> None:
    """Two standard errors: sqrt(0.317 x 0.683 / 60) = 0.060."""
    found = CrossValidated(
        error_fraction=error, baseline_error_fraction=baseline, small_fraction=0.5, misrouted_fraction=0.1,
        wasted_fraction=0.1, folds_count=5, labels_count=labels,
    )  # fmt: skip
    assert found.has_learnt is has_learnt
