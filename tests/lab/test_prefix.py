"""The prefix cache: the block rule by hand, every size in one pass, and what real servers counted."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.estimate import Undefined
from lab.blocks import chain, reusable_count
from lab.prefix import PrefixCounter, PrefixHits, size_for, usable
from lab.prefix_tree import PrefixTree
from lab.record import Request
from lab.tokens import ByBytes, by_bytes
from tests.lab.recorded import BASELINE, SPECULATION, Recorded, TinyTokenizer

BLOCK = 4
LETTERS = ByBytes(bytes_per_token=1.0)


def asked(*prompts: str, answer: str = "", **settings: object) -> list[Request]:
    return [Request(messages=[("", prompt)], output=answer or None, **settings) for prompt in prompts]


def hits(requests: list[Request], cache_blocks_count: int | None = None) -> PrefixHits:
    counter = PrefixCounter(tokenizer=LETTERS, block_tokens=BLOCK, cache_blocks_count=cache_blocks_count)
    for request in requests:
        counter.add(request)
    return counter.found()


def directly(chains: list["array[int]"], cache_blocks_count: int) -> list[int]:
    """A cache of so many blocks, as one would write it down: what each request finds."""
    held: list[int] = []  # the most recent first
    found = []
    for blocks in chains:
        count = 0
        while count < len(blocks) and blocks[count] in held:
            count += 1
        found.append(count)
        held = [*blocks, *(block for block in held if block not in blocks)][:cache_blocks_count]
    return found


@pytest.mark.parametrize("recorded", [BASELINE, SPECULATION], ids=lambda one: one.name)
def test_the_hits_are_those_that_a_real_server_counted(recorded: Recorded) -> None:
    """To the token, where 2 points were asked for; among them 95 preemptions and 122 clients that hung up."""
    counter = PrefixCounter(
        tokenizer=TinyTokenizer(),
        block_tokens=recorded.block_tokens,
        cache_blocks_count=recorded.cache_blocks_count,
    )
    for request in recorded.requests():
        tokens, _ = counter.add(request)
        assert tokens == request.prompt_tokens
    found = counter.found()
    assert (found.prompt_tokens, found.hit_tokens) == (recorded.queried_tokens, recorded.hit_tokens)
    assert found.hit_fraction == pytest.approx(recorded.hit_tokens / recorded.queried_tokens)


@pytest.mark.parametrize("recorded", [BASELINE, SPECULATION], ids=lambda one: one.name)
def test_by_bytes_the_same_hits_are_within_two_points(recorded: Recorded) -> None:
    """Without the tokenizer, by the ratio of bytes that the usage shows."""
    requests = list(recorded.requests())
    counter = PrefixCounter(
        tokenizer=by_bytes(requests),
        block_tokens=recorded.block_tokens,
        cache_blocks_count=recorded.cache_blocks_count,
    )
    for request in requests:
        counter.add(request)
    assert counter.found().hit_fraction == pytest.approx(recorded.hit_tokens / recorded.queried_tokens, abs=0.02)


def test_only_full_blocks_of_a_shared_beginning_hit() -> None:
    """Blocks of 4: of 10 letters that are shared two blocks are whole."""
    found = hits(asked("abcdefghijKL", "abcdefghijMN"))
    assert (found.prompt_tokens, found.hit_tokens) == (24, 8)


def test_the_last_token_is_always_computed() -> None:
    """The very same 12 letters again: the third block holds the last, so it is computed again."""
    assert hits(asked("abcdefghijkl", "abcdefghijkl")).hit_tokens == 8
    assert [reusable_count(tokens, 4) for tokens in (0, 1, 4, 5, 12, 13)] == [0, 0, 0, 1, 2, 3]


def test_the_same_tokens_after_others_are_another_block() -> None:
    assert hits(asked("AAAAxxxx.", "BBBBxxxx.")).hit_tokens == 0


def test_salts_adapters_and_models_share_nothing() -> None:
    for setting in ({"extra_key": "salt"}, {"model": "other"}):
        assert hits([*asked("abcdefgh."), *asked("abcdefgh.", **setting)]).hit_tokens == 0


def test_an_answer_is_cached_for_the_next_turn() -> None:
    turn = Request(messages=[("user", "hi there")], output="hello, what is it?")
    following = Request(messages=[("user", "hi there"), ("assistant", "hello, what is it?"), ("user", "bye")])
    with_answer = hits([turn, following]).hit_tokens
    turn.output = None
    assert with_answer > hits([turn, following]).hit_tokens > 0


def test_an_answer_whose_text_is_unknown_takes_room() -> None:
    """Three blocks fit. The first prompt's two come again after an answer of two blocks has taken their place."""
    first, other = asked("aaaabbbb.")[0], Request(messages=[("", "cccc")], output_tokens=8)
    assert hits([first, other, first], cache_blocks_count=4).hit_tokens == 0
    other.output_tokens = None
    assert hits([first, other, first], cache_blocks_count=4).hit_tokens == 8


def test_of_one_request_the_end_is_evicted_first() -> None:
    """Two blocks fit beside vLLM's own: of three, the first two stay."""
    assert hits(asked("aaaabbbbcccc.", "aaaabbbbcccc."), cache_blocks_count=3).hit_tokens == 8


def test_nothing_is_undefined_and_not_zero() -> None:
    assert isinstance(hits([]).hit_fraction, Undefined)
    assert hits([]).curve == ()


prompts = st.lists(st.text(alphabet="ab", max_size=7), max_size=25)


@given(prompts=prompts, cache_blocks_count=st.integers(1, 30))
def test_one_pass_gives_what_a_cache_of_any_size_gives(prompts: list[str], cache_blocks_count: int) -> None:
    chains = [chain(prompt.encode(), 1) for prompt in prompts]
    tree = PrefixTree(1_000)
    found = [
        sum(max(0, min(run.blocks_count, cache_blocks_count - run.distance + 1)) for run in tree.use(blocks))
        for blocks in chains
    ]
    assert found == directly(chains, cache_blocks_count)


@given(prompts=prompts, most=st.integers(4, 12))
def test_what_is_forgotten_for_room_leaves_smaller_caches_exact(prompts: list[str], most: int) -> None:
    chains = [chain(prompt.encode(), 1) for prompt in prompts]
    tree = PrefixTree(most)
    runs = [tree.use(blocks) for blocks in chains]
    assert tree.blocks_count <= most
    for size in range(1, tree.exact_blocks_count + 1):
        assert directly(chains, size) == [
            sum(max(0, min(run.blocks_count, size - run.distance + 1)) for run in each) for each in runs
        ]


@given(prompts=prompts, cache_blocks_count=st.integers(2, 30))
def test_a_larger_cache_never_hits_less(prompts: list[str], cache_blocks_count: int) -> None:
    counter = PrefixCounter(
        tokenizer=LETTERS, block_tokens=1, cache_blocks_count=cache_blocks_count, most_blocks_count=1_000
    )
    for request in asked(*prompts):
        counter.add(request)
    found = counter.found()
    rates = [point.hit_fraction for point in found.curve]
    assert rates == sorted(rates)
    if found.curve and not isinstance(found.hit_fraction, Undefined):
        assert found.hit_fraction <= found.best_fraction
        assert rates[-1] == pytest.approx(found.best_fraction)
        at = next((p for p in found.curve if p.blocks_count == cache_blocks_count), None)
        assert at is None or at.hit_fraction == pytest.approx(found.hit_fraction)


def test_the_size_that_is_enough_is_read_off_the_curve() -> None:
    found = hits(asked(*(f"{number:04d}" * 5 for number in [*range(30), *range(30)])))
    enough = size_for(found.curve, 0.9)
    assert enough and enough.hit_fraction >= 0.9 * found.curve[-1].hit_fraction
    assert size_for((), 0.9) is None
    assert usable(64) == 63
