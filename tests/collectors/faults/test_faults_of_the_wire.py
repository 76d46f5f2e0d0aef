"""S01 to S08: servers that do not answer, do not end, or do not send what they say. Real connections on loopback."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from collectors.base import Target
from collectors.http import HttpClient
from costlib.errors import RetryLater
from costlib.telemetry import SampleState
from tests.collectors.collector_support import Pages, counting, http_answer, serving, started
from tests.collectors.faults.fault_support import GOOD, QUICK, failure_of, gzipped, memory_at_most, scraped


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def hanging_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that one more is neither taken nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


def test_s01_connection_refused() -> None:
    error = failure_of(f"http://127.0.0.1:{free_port()}/metrics")
    assert error.word == "refused" and "Is vLLM running" in str(error)


def test_s01_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure_of("http://gpu-1.example:8000/metrics")
    assert error.word == "dns" and isinstance(error, RetryLater) and "http://gpu-1.example:8000/metrics" in str(error)


def test_s01_a_server_that_is_down_leaves_a_gap_and_no_zero_and_others_go_on(store, fake_time) -> None:
    down = Target(key="down", url=f"http://127.0.0.1:{free_port()}/metrics")

    async def main() -> None:
        async with serving(http_answer(GOOD)) as url, HttpClient(QUICK) as http:
            await scraped(store, fake_time, http, [Target(key="up", url=url), down], [0.0, 15.0, 30.0])

    asyncio.run(main())
    assert {(run.target_key, run.state) for run in store.runs} == {("up", "ok"), ("down", "refused")}
    assert {sample.target_key for sample in store.samples} == {"up"}
    assert [sample.interval_s for sample in store.samples] == [None, 15.0, 15.0]


def test_s02_a_connection_that_hangs_ends_at_its_limit_and_delays_nobody(store, fake_time) -> None:
    async def main() -> float:
        with hanging_port() as port:
            async with serving(http_answer(GOOD)) as url, HttpClient(QUICK) as http:
                hanging = Target(key="hanging", url=f"http://127.0.0.1:{port}/metrics")
                began_s = asyncio.get_running_loop().time()
                await scraped(store, fake_time, http, [hanging, Target(key="up", url=url)], [0.0])
                return asyncio.get_running_loop().time() - began_s

    took_s = asyncio.run(main())
    runs = {run.target_key: run for run in store.runs}
    assert runs["hanging"].state == "timeout" and "no connection within 0.2 s" in runs["hanging"].error
    assert runs["up"].state == "ok"
    assert took_s > QUICK.connect_s  # that it waited at all, and for the connection


def test_s02_ticks_that_a_slow_server_misses_are_skipped_and_counted(store, fake_time) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(http_answer(GOOD))

    async def main() -> int:
        async with serving(slow) as url, HttpClient() as http:
            collection = await started(store, [Target(key="slow", url=url)], http, fake_time, every_s=0.02)
            watch = collection.watches[0]
            follower = asyncio.create_task(collection.follow(watch))
            async with asyncio.timeout(10):
                while not watch.skipped_ticks_count and not follower.done():
                    fake_time.elapsed_s += 0.02
                    await asyncio.sleep(0.02)
            follower.cancel()
            await collection.close()
            return watch.skipped_ticks_count

    assert asyncio.run(main()) >= 3


@pytest.mark.parametrize(("pause_s", "says"), [(0.05, "no whole answer within 0.4 s"), (5.0, "stalled for 0.15 s")])
def test_s03_a_body_that_drips_or_stalls_ends_at_the_limit(scrape_of, store, pause_s: float, says: str) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(pause_s)

    run = scrape_of(drip, QUICK)
    assert run.state == "timeout" and says in run.error
    assert not store.samples


def test_s04_headers_that_never_end_are_cut_off(scrape_of, store) -> None:
    async def ramble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n" * 100)
            await writer.drain()

    with memory_at_most(5):
        assert scrape_of(ramble, QUICK).state in ("bad_http", "timeout")
    assert not store.samples


@pytest.mark.parametrize("headers", [["X-Long: " + "x" * 1_000_000], [f"X-{number}: 1" for number in range(100)]])
def test_s04_headers_that_are_too_long_or_too_many(scrape_of, store, headers: list[str]) -> None:
    answer = http_answer(GOOD, *headers)
    with memory_at_most(5):
        run = scrape_of(answer)
    assert run.state == "bad_http" and "HTTP" in run.error
    assert not store.samples


def test_s05_a_body_of_100_mb_is_dropped_within_its_first_mebibytes(scrape_of, store) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (1 << 16, b"x 1\n" * (1 << 14))
        while sent < 100 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    with memory_at_most(40):
        assert scrape_of(pour).state == "body_too_large"
    assert sent < 20 << 20
    assert not store.samples


def test_s05_a_body_that_says_it_is_too_large_is_not_begun(scrape_of, store) -> None:
    run = scrape_of(http_answer(b"", "Content-Length: 104857600"))
    assert run.state == "body_too_large" and "4 MiB" in run.error


def test_s06_a_gzip_bomb_stops_at_the_cap(scrape_of, store) -> None:
    bomb = gzipped(bytes(100_000_000))
    with memory_at_most(40):
        run = scrape_of(bomb)
    assert run.state == "body_too_large" and "times its packed size" in run.error
    assert not store.samples


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (http_answer(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip, gzip"), "gzip, gzip"),
        (http_answer(zlib.compress(GOOD), "Content-Encoding: deflate"), "deflate"),
        (http_answer(GOOD, "Content-Encoding: br"), "br"),
        (http_answer(GOOD, "Content-Encoding: zstd"), "zstd"),
        (http_answer(GOOD, "Content-Encoding: gzip"), "gzip"),
        (http_answer(gzip.compress(GOOD) + b"more", "Content-Encoding: gzip"), "something else"),
    ],
)
def test_s06_an_encoding_that_was_not_asked_for_or_is_not_what_it_says(scrape_of, store, answer, says) -> None:
    run = scrape_of(answer)
    assert run.state == "bad_encoding" and says in run.error
    assert not store.samples


def test_s06_gzip_within_gzip_is_no_page(scrape_of, store) -> None:
    assert scrape_of(gzipped(gzip.compress(GOOD))).state in ("bad_text", "truncated")
    assert not store.samples


@pytest.mark.parametrize(
    ("answer", "word", "says"),
    [
        (http_answer(GOOD, f"Content-Length: {len(GOOD) + 9}"), "truncated", "cut"),
        (http_answer(GOOD, f"Content-Length: {len(GOOD) - 9}"), "bad_http", "HTTP"),
        (http_answer(b"40\r\n" + GOOD, "Transfer-Encoding: chunked"), "truncated", "cut"),
        (http_answer(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), "truncated", "cut"),
    ],
)
def test_s07_a_length_that_is_not_the_body_s(scrape_of, store, answer, word, says) -> None:
    run = scrape_of(answer)
    assert run.state == word and says in run.error
    assert not store.samples


@pytest.mark.parametrize("body", [GOOD.rstrip(), GOOD + b'vllm:generation_tokens_total{model_name="m"} 12', GOOD[:20]])
def test_s08_a_body_that_ends_within_a_line(scrape_of, store, body) -> None:
    run = scrape_of(http_answer(body))
    assert run.state == "truncated" and "within a line" in run.error
    assert not store.samples


def test_s08_a_good_page_is_read_whether_compressed_or_not(scrape_of, store) -> None:
    for answer in (http_answer(GOOD), gzipped(GOOD)):
        assert scrape_of(answer).state == "ok"
        assert store.pages.popitem()[1].counters == {"prompt_tokens": 5.0}


def test_s08_a_connection_closed_between_two_scrapes_is_opened_again() -> None:
    """vLLM drops connections that were idle for 5 s; a scrape that meets one is not a failed scrape."""
    connections = []

    async def vllm(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n")
        await reader.readuntil(b"\r\n\r\n")  # and closes within the second request, without an answer

    async def main() -> None:
        async with serving(vllm) as url, HttpClient() as http:
            for _ in range(2):
                assert (await http.get_bytes(url)).body == b"x 1\n"

    asyncio.run(main())
    assert len(connections) == 2


@pytest.mark.parametrize(
    ("answer", "word", "says"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "bad_http", "HTTP"), (b"", "dropped", "closed the connection")],
)
def test_s08_what_answers_is_no_web_server(scrape_of, store, answer, word, says) -> None:
    run = scrape_of(answer)
    assert run.state == word and says in run.error


def test_s01_after_a_failure_the_next_increments_are_whole_and_marked_as_a_gap(store, fake_time) -> None:
    network = Pages({"u": counting(100)})

    async def main() -> None:
        collection = await started(store, [Target(key="gpu-1", url="u")], network, fake_time)
        for fake_time.elapsed_s, said in ((0.0, counting(100)), (15.0, ConnectionError()), (60.0, counting(160))):
            network.said["u"] = said
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    assert [(sample.state, sample.counters["prompt_tokens"]) for sample in store.samples] == [
        (SampleState.FIRST, None),
        (SampleState.GAP, 60.0),
    ]
