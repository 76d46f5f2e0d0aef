"""Every way in which a metrics page can fail, over real connections: a clear error, and nothing stored."""

import asyncio
import gzip
import socket
import zlib

import pytest

from collectors.addresses import checked_url, refuse_address, target_from_url
from collectors.base import FetchFailed, TargetRefused
from collectors.http import HttpClient, HttpLimits
from costlib.errors import ConfigError, RetryLater
from tests.collectors.collector_support import http_answer, serving

QUICK = HttpLimits(connect_s=0.2, idle_s=0.15, total_s=0.4)
LOGIN = b"<!doctype html><html><title>Log in</title><form>\x1b[31m</form></html>"
GOOD = b'vllm:prompt_tokens_total{engine="0",model_name="m"} 5.0\n'


def failure_of(url):
    async def main():
        async with HttpClient(QUICK) as http:
            with pytest.raises((FetchFailed, TargetRefused)) as caught:
                await http.get_bytes(url)
        return caught.value

    return asyncio.run(main())


def gzipped(body: bytes) -> bytes:
    return http_answer(gzip.compress(body), "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("answer", "word", "says"),
    [
        # Whole answers that are no metrics page.
        (http_answer(LOGIN), "not_metrics", "web page"),
        (http_answer(b'{"error": "no such model"}\n'), "not_metrics", "JSON"),
        (http_answer(b""), "not_metrics", "empty"),
        (http_answer(b"Welcome to the gateway\n"), "not_metrics", "URL"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="m"} 12'), "truncated", "within a line"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="m"} NaN\n'), "bad_value", "nan"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="m"} +Inf\n'), "bad_value", "inf"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="m"} 1e400\n'), "bad_value", "inf"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="m"} -1\n'), "bad_value", "-1"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="\xff"} 1\n'), "bad_text", "UTF-8"),
        (http_answer(b'vllm:prompt_tokens_total{model_name="\0"} 1\n'), "bad_text", "NUL"),
        (http_answer(b"process_open_fds 34.0\n"), "no_engine_metrics", "--disable-log-stats"),
        # Answers that did not arrive whole.
        (http_answer(GOOD, f"Content-Length: {len(GOOD) + 9}"), "truncated", "cut"),
        (http_answer(GOOD, f"Content-Length: {len(GOOD) - 9}"), "bad_http", "HTTP"),
        (http_answer(b"40\r\n" + GOOD, "Transfer-Encoding: chunked"), "truncated", "cut"),
        (http_answer(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), "truncated", "cut"),
        # Encodings.
        (http_answer(GOOD, "Content-Encoding: gzip"), "bad_encoding", "gzip"),
        (http_answer(gzip.compress(GOOD) + b"more", "Content-Encoding: gzip"), "bad_encoding", "something else"),
        (http_answer(zlib.compress(GOOD), "Content-Encoding: deflate"), "bad_encoding", "deflate"),
        (http_answer(GOOD, "Content-Encoding: gzip, gzip"), "bad_encoding", "gzip, gzip"),
        # Too much.
        (gzipped(bytes(1_000_000)), "body_too_large", "times its packed size"),
        (http_answer(b"", "Content-Length: 104857600"), "body_too_large", "4 MiB"),
        (http_answer(GOOD, "X-Long: " + "x" * 1_000_000), "bad_http", "HTTP"),
        (http_answer(GOOD, *(f"X-{number}: 1" for number in range(100))), "bad_http", "HTTP"),
        (http_answer(b"x 1\n" * 20_001), "sample_limit", "20,001"),
        (http_answer(b'x{l="' + b"v" * 1_025 + b'"} 1\n'), "label_limit", "1,024"),
        # Refusals.
        (http_answer(b"", status="401 Unauthorized"), "auth", "PERMILLION_TOKEN_127_0_0_1_"),
        (http_answer(b"", status="403 Forbidden"), "auth", "403"),
        (http_answer(b"nothing here", status="404 Not Found"), "not_found", "nothing here"),
        (http_answer(b"oops\x1b[2J", status="500 Internal Server Error"), "http_500", r"oops\x1b[2J"),
        (http_answer(b"", "Retry-After: 60", status="503 Service Unavailable"), "http_503", "503"),
        (
            http_answer(b"", "Location: http://169.254.169.254/latest/meta-data", status="302 Found"),
            "redirected",
            "http://169.254.169.254/latest/meta-data",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "bad_http", "HTTP"),
        (b"", "dropped", "closed the connection"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_stored(scrape_of, store, answer, word, says):
    run = scrape_of(answer)
    assert (run.state, run.rows_count) == (word, 0)
    assert says in run.error
    assert "\x1b" not in run.error and len(run.error) < 500
    assert not store.samples and not store.pages
    assert store.runs == [run]


def test_a_good_page_is_read_whether_compressed_or_not(scrape_of, store):
    assert scrape_of(http_answer(GOOD)).state == "ok"
    assert store.pages.popitem()[1].counters == {"prompt_tokens": 5.0}
    assert scrape_of(gzipped(GOOD)).state == "ok"
    assert store.pages.popitem()[1].counters == {"prompt_tokens": 5.0}


def test_a_body_of_100_mb_is_dropped_within_its_first_mebibytes(scrape_of, store):
    sent = 0

    async def pour(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (1 << 16, b"x 1\n" * (1 << 14))
        while sent < 100 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    assert scrape_of(pour).state == "body_too_large"
    assert sent < 20 << 20
    assert not store.samples


@pytest.mark.parametrize(("pause_s", "says"), [(0.05, "no whole answer within 0.4 s"), (5.0, "stalled for 0.15 s")])
def test_a_body_that_drips_or_stalls_ends_at_the_limit(scrape_of, store, pause_s, says):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(pause_s)

    run = scrape_of(drip, QUICK)
    assert run.state == "timeout" and says in run.error
    assert not store.samples


def test_headers_that_never_end_are_cut_off(scrape_of, store):
    async def ramble(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n" * 100)
            await writer.drain()

    assert scrape_of(ramble, QUICK).state in ("bad_http", "timeout")
    assert not store.samples


def test_a_port_where_nothing_listens(store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = failure_of(f"http://127.0.0.1:{free.getsockname()[1]}/metrics")
    assert error.word == "refused" and "Is vLLM running" in str(error)


def test_https_where_only_http_is_spoken(scrape_of):
    async def no_tls(reader, writer):
        writer.write(http_answer(b"", status="400 Bad Request"))

    run = scrape_of(no_tls, scheme="https")
    assert run.state == "tls" and "https" in run.error


def test_a_connection_closed_between_two_scrapes_is_opened_again():
    """vLLM drops connections that were idle for 5 s; a scrape that meets one is not a failed scrape."""
    connections = []

    async def vllm(reader, writer):
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n")
        await reader.readuntil(b"\r\n\r\n")  # and closes within the second request, without an answer

    async def main():
        async with serving(vllm) as url, HttpClient() as http:
            for _ in range(2):
                assert (await http.get_bytes(url)).body == b"x 1\n"

    asyncio.run(main())
    assert len(connections) == 2


@pytest.mark.parametrize(("asked", "granted_s"), [("60", 60), ("86400", 600), ("soon", None)])
def test_a_busy_server_is_asked_again_when_it_says_within_reason(asked, granted_s):
    async def main():
        busy = http_answer(b"", f"Retry-After: {asked}", status="503 Service Unavailable")
        async with serving(busy) as url, HttpClient() as http:
            with pytest.raises(FetchFailed) as caught:
                await http.get_bytes(url)
        return caught.value

    assert asyncio.run(main()).retry_after_s == granted_s


METADATA = [
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/",  # the same in decimal,
    "http://0xa9fea9fe/",  # hexadecimal,
    "http://0251.0376.0251.0376/",  # octal,
    "http://169.254.43518/",  # and in three parts
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://100.100.100.200/",
    "http://224.0.0.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://0/",
]


@pytest.mark.parametrize("url", METADATA)
def test_addresses_behind_which_clouds_keep_credentials_are_never_asked(url):
    error = failure_of(url)
    assert error.word == "blocked_address" and isinstance(error, ConfigError)
    with pytest.raises(TargetRefused):
        target_from_url(url, {})


@pytest.mark.parametrize("found", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_a_name_that_resolves_to_such_an_address_is_refused_at_the_connection(monkeypatch, found):
    """What counts is the address that is connected to, so a name that changes its answer gains nothing."""
    family = socket.AF_INET6 if ":" in found else socket.AF_INET
    sockaddr = (found, 80, 0, 0) if ":" in found else (found, 80)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(family, socket.SOCK_STREAM, 6, "", sockaddr)])
    error = failure_of("http://metrics.example/metrics")
    assert error.word == "blocked_address" and "metrics.example" in str(error)


def test_a_name_that_does_not_resolve(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure_of("http://gpu-1.example:8000/metrics")
    assert error.word == "dns" and isinstance(error, RetryLater) and "http://gpu-1.example:8000/metrics" in str(error)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "fd12:3456::1", "93.184.215.14"])
def test_loopback_private_and_public_addresses_may_be_named(address):
    refuse_address(address, address)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://alice:hunter2@gpu-1:8000/metrics", "PERMILLION_TOKEN_GPU_1_8000"),
        ("http://gpu-1:8000/metrics?api_key=hunter2", "PERMILLION_TOKEN_GPU_1_8000"),
        ("http://gpu-1:8000/metrics?token=hunter2", "'token'"),
        ("gpu-1:8000/metrics", "http://gpu-1:8000/metrics"),
        ("gpu-1:8000/metrics?token=hunter2", "'gpu-1:8000/metrics' is not"),
        ("http://alice:hunter2@gpu-1:99999/metrics", "'http://gpu-1:99999/metrics' is not"),
        ("http://alice:hunter2/@x@gpu-1/metrics", "'http://gpu-1/metrics' is not"),
        ("file:///etc/passwd", "http"),
        ("http://", "http"),
        ("http://gpu 1/metrics", "http"),
        ("http://gpu..1/metrics", "http"),
        (f"http://{'g' * 64}/metrics", "http"),
        ("http://gpu-1:99999/metrics", "http"),
        ("", "http"),
    ],
)
def test_urls_that_may_not_be_targets_and_what_to_do_instead(url, says):
    with pytest.raises(TargetRefused) as caught:
        checked_url(url)
    assert caught.value.word == "bad_url"
    assert says in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_target_is_called_by_host_and_port_and_keeps_its_token_to_itself():
    env = {"PERMILLION_TOKEN_GPU_1_8000": "s3cret"}
    target = target_from_url("http://GPU-1:8000/metrics", env)
    assert (target.key, target.bearer_token) == ("gpu-1:8000", "s3cret")
    assert "s3cret" not in repr(target)
    assert target_from_url("https://gateway/llama/metrics", env).key == "gateway/llama/metrics"
    assert target_from_url("https://gateway/llama/metrics", env).bearer_token is None


def test_the_token_is_sent_and_never_quoted():
    heard = []

    async def listen(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http_answer(heard[0], status="403 Forbidden"))

    async def main():
        async with serving(listen) as url, HttpClient() as http:
            with pytest.raises(FetchFailed) as caught:
                await http.get_bytes(url, bearer_token="s3cret")
        return str(caught.value)

    assert "s3cret" not in asyncio.run(main())
    assert b"Authorization: Bearer s3cret" in heard[0]
