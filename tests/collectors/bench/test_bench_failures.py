"""What can go wrong: a clear sentence before anything is measured, a counted failure after, never a latency."""

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from collectors.addresses import token_variable
from collectors.bench.figures import Distribution
from collectors.bench.request import BenchRequest, base_url, token_of
from collectors.bench.run import run_bench
from collectors.bench.stream import Answer, RequestFailed, has_output, stream_answer
from costlib.errors import ConfigError, PermillionError
from costlib.estimate import Undefined
from tests.collectors.bench.bench_support import SMALL, faulty, measured, quiet
from tests.collectors.collector_support import http_answer, serving
from tests.fake_openai import FakeOpenAI

STREAM = "Content-Type: text/event-stream"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("http_500", "http_500"),
        ("http_429", "http_429"),
        ("http_400", "http_400"),
        ("cut", "broken_stream"),
        ("no_done", "broken_stream"),
        ("error_event", "error_event"),
        ("garbage", "bad_stream"),
        ("json", "not_a_stream"),
        ("silent", "empty_answer"),
    ],
)
def test_a_failed_request_is_counted_by_kind_and_is_in_no_latency(fault: str, kind: str) -> None:
    fake = faulty(fault, None, fault)
    (stage,) = measured(fake, keep_rows=True).stages
    assert stage.failures == {kind: 2}
    assert stage.failure_examples[kind]
    assert (stage.sent_count, stage.done_count) == (6, 4)
    assert stage.output_tokens == 40, "tokens of failed requests are not counted"
    for found in (stage.ttft_s, stage.e2e_s):
        assert isinstance(found, Distribution) and found.count == 4
    assert sorted(str(row.failure) for row in stage.rows) == sorted([kind] * 2 + ["None"] * 4)
    assert any(f"2 {kind}" in note for note in stage.notes)


def test_a_stream_that_stalls_is_a_timeout() -> None:
    (stage,) = measured(faulty("stall"), timeout_s=0.4).stages
    assert stage.failures == {"timeout": 1}
    assert stage.done_count == 5


def test_a_server_that_only_fails_is_left_alone_after_a_while() -> None:
    fake = faulty(then="http_503")
    report = measured(fake, requests_count=None, duration_s=60.0, concurrencies=(4, 8))
    (stage,) = report.stages
    assert report.stopped_by == stage.stopped_by == "nothing but failures"
    assert stage.done_count == 0 and stage.failures["http_503"] >= 30
    assert stage.failures["http_503"] + stage.unfinished_count == stage.sent_count
    assert isinstance(stage.requests_per_s, Undefined) and isinstance(stage.ttft_s, Undefined)
    assert report.text and not report.is_complete


def raised(url: str, **changes: Any) -> str:
    with pytest.raises(PermillionError) as caught:
        asyncio.run(run_bench(BenchRequest(**({**SMALL, "url": url} | changes)), {}, quiet))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_at_the_address_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "nothing listens there" in raised(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (http_answer(b"no such page", status="404 Not Found"), "no such path"),
        (http_answer(b"<html>Welcome</html>"), "no JSON object"),
        (http_answer(b"<html>", STREAM.replace("event-stream", "html")), "OpenAI-compatible"),
        (http_answer(b'{"hello": 1}'), "lists no model"),
        (http_answer(b'{"data": [{"id": 5}]}'), "lists no model"),
        (http_answer(b"[1, 2]"), "no JSON object"),
        (http_answer(b"[" * 100_000), "no JSON object"),
        (http_answer(b"", "Location: http://elsewhere/", status="302 Found"), "http_302"),
        (http_answer(b"down", status="503 Service Unavailable"), "http_503"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"", "without an answer"),
    ],
    ids=["404", "page", "html", "object", "numbers", "list", "deep", "redirect", "503", "ssh", "closed"],
)
def test_what_is_no_openai_server_is_one_sentence(answer: bytes, says: str) -> None:
    async def main() -> str:
        async with serving(answer) as url:
            with pytest.raises(ConfigError) as caught:
                await run_bench(BenchRequest(**{**SMALL, "url": url}), {}, quiet)
        return str(caught.value)

    message = asyncio.run(main())
    assert says in message and "\n" not in message


def test_a_wrong_path_names_the_base_address() -> None:
    with pytest.raises(ConfigError, match="Give the server's base address"):
        measured(FakeOpenAI(), path="/elsewhere")


def test_a_missing_token_names_its_variable_and_quotes_nothing() -> None:
    with pytest.raises(ConfigError, match="PERMILLION_TOKEN_127_0_0_1_") as caught:
        measured(FakeOpenAI(token="s3cret"))
    assert "secret reason" not in str(caught.value)


def test_a_token_from_the_environment_opens_the_server_and_is_shown_nowhere() -> None:
    class AnyPort(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
            return "s3cret" if key.startswith("PERMILLION_TOKEN_127_0_0_1_") else default

    report = measured(FakeOpenAI(token="s3cret"), env=AnyPort())
    assert report.stages[0].done_count == 6
    assert "s3cret" not in repr(report) + report.text


def test_the_token_is_the_one_of_the_same_server_when_it_is_scraped() -> None:
    name, token = token_of("http://gpu-1:8000/v1", {"PERMILLION_TOKEN_GPU_1_8000": " x "})
    assert (name, token) == (token_variable("gpu-1:8000"), "x")


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny-llama'"):
        measured(FakeOpenAI(models=("tiny-llama", "other")), model="tiny-lama")


def test_several_models_must_be_chosen_from() -> None:
    with pytest.raises(ConfigError, match=r"2 models .*--model"):
        measured(FakeOpenAI(models=("a", "b")))
    assert measured(FakeOpenAI(models=("a", "b")), model="b").model == "b"


def test_a_deadline_that_passes_at_the_first_request_is_said() -> None:
    with pytest.raises(ConfigError, match="nothing was measured"):
        measured(FakeOpenAI(first_token_s=5.0), deadline_s=0.2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"concurrencies": (0,)}, "concurrency"),
        ({"concurrencies": (100_000,)}, "concurrency"),
        ({"concurrencies": ()}, "concurrencies or rates"),
        ({"rates": (0.0,)}, "rate"),
        ({"rates": (-1.0,)}, "rate"),
        ({"rates": (float("nan"),)}, "rate"),
        ({"rates": (float("inf"),)}, "rate"),
        ({"requests_count": 0}, "requests per stage"),
        ({"duration_s": -1.0}, "duration"),
        ({"timeout_s": 0.0}, "time-out"),
        ({"deadline_s": float("nan")}, "deadline"),
        ({"warmup_count": -1}, "warm-up"),
        ({"shared_prefix_tokens": -1}, "shared prefix"),
        ({"usd_per_hour": -3.5}, "price"),
        ({"usd_per_hour": 0.0}, "price"),
        ({"usd_per_hour": 1.0, "target_usd_per_mtok": -1.0}, "target"),
        ({"target_usd_per_mtok": 1.0}, "--usd-per-hour"),
        ({"trace": "azure"}, "Known: arxiv-summarization, azure-2023-code"),
        ({"rank_correlation": 1.5}, "correlation"),
        ({"input_tokens": "none"}, "--input"),
        ({"output_tokens": "0"}, "--output"),
        ({"api": "embeddings"}, "Known: chat, completions"),
        ({"url": "gpu-1:8000"}, "not an http"),
        ({"url": "http://me:secret@gpu-1:8000"}, "user name or password"),
        ({"url": "http://gpu-1:8000/v1?api_key=1"}, "PERMILLION_TOKEN_"),
        ({"url": "http://169.254.169.254/v1"}, "metadata"),
        ({"url": "http://gpu-1:8000/?x=1"}, "leave out what follows"),
    ],
)
def test_a_call_that_is_wrong_is_refused_before_anything_is_sent(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PermillionError) as caught:
        BenchRequest(**({**SMALL, "url": "http://gpu-1:8000"} | changes))
    assert says in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/models", "/v1/chat/completions", "/metrics"])
def test_any_path_of_the_server_leads_to_its_base(path: str) -> None:
    assert str(base_url(f"http://gpu-1:8000{path}")).rstrip("/") == "http://gpu-1:8000"


def test_a_gateways_own_path_is_kept() -> None:
    assert str(base_url("https://gateway.example/llm/v1")) == "https://gateway.example/llm"


@pytest.mark.parametrize(
    ("choice", "counts"),
    [
        ({"delta": {"content": "a"}}, True),
        ({"delta": {"reasoning_content": "a"}}, True),
        ({"delta": {"tool_calls": [{}]}}, True),
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"content": ""}, "finish_reason": "stop"}, False),
        ({"delta": {"content": ""}}, True),
        ({"delta": {}}, False),
        ({"text": "a", "finish_reason": "stop"}, True),
        ({"text": "", "finish_reason": "stop"}, False),
        ({}, False),
    ],
)
def test_which_pieces_stand_for_tokens(choice: dict[str, Any], counts: bool) -> None:
    assert has_output(choice) is counts


def test_hostile_words_of_a_server_are_escaped() -> None:
    async def main() -> str:
        async with serving(http_answer(b"\x1b[31mred\n\n", status="418 Teapot")) as url:
            with pytest.raises(ConfigError) as caught:
                await run_bench(BenchRequest(**{**SMALL, "url": url}), {}, quiet)
        return str(caught.value)

    assert "\x1b" not in asyncio.run(main())


def test_a_gateway_that_lists_no_models_is_measured_when_the_model_is_named() -> None:
    with pytest.raises(ConfigError, match="no such path"):
        measured(FakeOpenAI(lists_models=False))
    assert measured(FakeOpenAI(lists_models=False), model="tiny").stages[0].done_count == 6


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_a_stream_is_read_alike_however_it_is_cut(size: int) -> None:
    body = (
        b': ping\r\n\r\nevent: message\r\ndata:{"choices": [{"text": "\xc3\xa9", "finish_reason": null}]}\r\n\r\n'
        b'data: {"choices": [{"text": "b", "finish_reason": "stop"}]}\n\nid: 3\n'
        b'data: {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}\n\n'
        b"data: [DONE]\n\ndata: late\n\n"
    )
    whole = http_answer(body, STREAM)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(whole), size):
            writer.write(whole[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)

    async def main() -> Answer:
        async with serving(drip) as url, aiohttp.ClientSession() as session:
            return await stream_answer(session, url, {}, 5.0, asyncio.get_running_loop().time)

    answer = asyncio.run(main())
    assert (answer.input_tokens, answer.output_tokens, answer.is_done) == (4, 2, True)
    assert 1 <= answer.chunks_count <= 2
    assert len(answer.gaps_s) == answer.chunks_count - 1


def test_an_answer_without_end_is_cut_off() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async def main() -> str:
        async with serving(flood) as url, aiohttp.ClientSession() as session:
            with pytest.raises(RequestFailed) as caught:
                await stream_answer(session, url, {}, 5.0, asyncio.get_running_loop().time)
        return caught.value.kind

    assert asyncio.run(main()) == "bad_stream"


def test_a_failure_has_a_kind_to_count_by() -> None:
    assert RequestFailed("timeout", "too late").kind == "timeout"
