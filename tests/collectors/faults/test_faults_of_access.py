"""S15 to S19 and S38: servers that refuse, send elsewhere or cannot be trusted, and secrets where none belong."""

import asyncio
import socket
import ssl

import pytest

from collectors.addresses import checked_url, refuse_address, target_from_url
from collectors.base import FetchFailed, Target, TargetRefused
from collectors.http import HttpClient
from collectors.watch import BACK_OFF_CAP_S, Watch
from costlib.errors import ConfigError
from tests.collectors.collector_support import http_answer, serving
from tests.collectors.faults.fault_support import (
    CERTIFICATES,
    GOOD,
    QUICK,
    failure_of,
    scraped,
    server_context,
    serving_tls,
)


def refusal_of(answer: bytes, **how: str) -> FetchFailed:
    async def main() -> FetchFailed:
        async with serving(answer) as url, HttpClient() as http:
            with pytest.raises(FetchFailed) as caught:
                await http.get_bytes(url, **how)
        return caught.value

    return asyncio.run(main())


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_s15_a_server_that_wants_credentials_is_asked_again_after_five_minutes(scrape_of, store, status) -> None:
    run = scrape_of(http_answer(b"you sent Bearer s3cret", status=status))
    assert (run.state, run.rows_count) == ("auth", 0)
    assert "PERMILLION_TOKEN_127_0_0_1_" in run.error and status[:3] in run.error
    assert "s3cret" not in run.error  # nothing is quoted of an answer about credentials
    watch = Watch(Target(key="gpu-1", url="u"), failure=refusal_of(http_answer(b"", status=status)), failures_count=1)
    assert watch.back_off_s(0.5) == BACK_OFF_CAP_S == 300


def test_s15_the_token_is_sent_and_never_told() -> None:
    heard = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        (token,) = [line for line in heard[0].splitlines() if line.startswith(b"Authorization")]
        writer.write(http_answer(token, status="500 Internal Server Error"))

    async def main() -> str:
        async with serving(listen) as url, HttpClient() as http:
            with pytest.raises(FetchFailed) as caught:
                await http.get_bytes(url, bearer_token="s3cret")
        return str(caught.value)

    assert "s3cret" not in asyncio.run(main())
    assert b"Authorization: Bearer s3cret" in heard[0]


@pytest.mark.parametrize(
    ("answer", "word", "says"),
    [
        (http_answer(b"nothing here", status="404 Not Found"), "not_found", "nothing here"),
        (http_answer(b"oops\x1b[2J", status="500 Internal Server Error"), "http_500", r"oops\x1b[2J"),
        (http_answer(b"", "Retry-After: 60", status="503 Service Unavailable"), "http_503", "503"),
        (http_answer(b"", "Retry-After: 60", status="429 Too Many Requests"), "http_429", "429"),
    ],
)
def test_s16_a_server_that_has_no_page_now(scrape_of, store, answer, word, says) -> None:
    run = scrape_of(answer)
    assert (run.state, run.rows_count) == (word, 0) and says in run.error
    assert "\x1b" not in run.error and not store.samples


@pytest.mark.parametrize(("asked", "granted_s"), [("60", 60), ("86400", 600), ("soon", None)])
@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
def test_s16_a_busy_server_is_asked_again_when_it_says_within_reason(status, asked, granted_s) -> None:
    failure = refusal_of(http_answer(b"", f"Retry-After: {asked}", status=status))
    assert failure.retry_after_s == granted_s
    watch = Watch(Target(key="gpu-1", url="u"), failure=failure, failures_count=1)
    assert watch.back_off_s(1.0) == (granted_s or 1.0)


def test_s16_a_server_error_is_waited_for_longer_and_longer_up_to_five_minutes() -> None:
    failure = refusal_of(http_answer(b"", status="500 Internal Server Error"))
    watches = [Watch(Target(key="g", url="u"), failure=failure, failures_count=count) for count in (1, 2, 3, 9, 10, 99)]
    assert [watch.back_off_s(1.0) for watch in watches] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    assert [watch.back_off_s(0.0) for watch in watches] == [0.5, 1.0, 2.0, 128.0, 150.0, 150.0]


@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "https://other.example/metrics"]
)
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_s17_a_redirect_is_told_and_not_followed(scrape_of, store, status, place) -> None:
    run = scrape_of(http_answer(b"", f"Location: {place}", status=status))
    assert run.state == "redirected" and place in run.error
    assert not store.samples


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
def test_s18_addresses_behind_which_clouds_keep_credentials_are_never_asked(url) -> None:
    error = failure_of(url)
    assert error.word == "blocked_address" and isinstance(error, ConfigError)
    with pytest.raises(TargetRefused):
        target_from_url(url, {})


@pytest.mark.parametrize("found", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_s18_a_name_that_resolves_to_such_an_address_is_refused_at_the_connection(monkeypatch, found) -> None:
    """What counts is the address that is connected to, so a name that changes its answer gains nothing."""
    family = socket.AF_INET6 if ":" in found else socket.AF_INET
    sockaddr = (found, 80, 0, 0) if ":" in found else (found, 80)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(family, socket.SOCK_STREAM, 6, "", sockaddr)])
    error = failure_of("http://metrics.example/metrics")
    assert error.word == "blocked_address" and "metrics.example" in str(error)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "fd12:3456::1", "93.184.215.14"])
def test_s18_loopback_private_and_public_addresses_may_be_named(address) -> None:
    refuse_address(address, address)


# S19. aiohttp makes its context of trusted authorities once; here it is one that also trusts the tests' own.


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)


def failure_over_tls(context: ssl.SSLContext) -> FetchFailed | TargetRefused | None:
    async def main() -> FetchFailed | TargetRefused | None:
        async with HttpClient(QUICK) as http:
            try:
                await http.get_bytes(url)
            except (FetchFailed, TargetRefused) as failure:
                return failure
        return None

    with serving_tls(context) as url:
        return asyncio.run(main())


@pytest.mark.usefixtures("trusting")
def test_s19_a_certificate_that_is_right_is_accepted() -> None:
    assert failure_over_tls(server_context("good")) is None


WRONG = {"expired": "expired", "other_host": "not valid for", "self_signed": "self-signed"}


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("certificate", WRONG)
def test_s19_a_certificate_that_is_wrong_is_refused(certificate) -> None:
    failure = failure_over_tls(server_context(certificate))
    assert failure and failure.word == "tls" and "certificate is not trusted" in str(failure)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("certificate", WRONG)
def test_s19_what_is_wrong_with_a_certificate_is_said(certificate) -> None:
    assert WRONG[certificate] in str(failure_over_tls(server_context(certificate)))


def test_s19_an_authority_that_is_not_known_is_refused() -> None:
    failure = failure_over_tls(server_context("good"))
    assert failure and failure.word == "tls" and "SSL_CERT_FILE" in str(failure)


@pytest.mark.usefixtures("trusting")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_s19_tls_1_0_is_too_old() -> None:
    context = server_context("good")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    failure = failure_over_tls(context)
    assert failure and failure.word == "tls"


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_s19_a_server_that_wants_a_certificate_of_ours(version) -> None:
    """In TLS 1.3 the client has sent its request when it learns that, and may only see the connection break."""
    context = server_context("good")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTIFICATES / "ca.pem")
    failure = failure_over_tls(context)
    assert failure and failure.word in (("tls",) if version == ssl.TLSVersion.TLSv1_2 else ("tls", "dropped"))


def test_s19_https_where_only_http_is_spoken(scrape_of) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_answer(b"", status="400 Bad Request"))

    run = scrape_of(no_tls, scheme="https")
    assert run.state == "tls" and "https" in run.error


def test_s19_a_certificate_is_left_unchecked_for_one_target_alone_and_every_run_says_so(store, fake_time) -> None:
    async def main() -> None:
        async with HttpClient(QUICK) as http:
            careless = Target(key="careless", url=url, options={"tls_verify": False})
            await scraped(store, fake_time, http, [careless, Target(key="careful", url=url)], [0.0, 15.0])

    with serving_tls(server_context("self_signed")) as url:
        asyncio.run(main())
    careless = [run for run in store.runs if run.target_key == "careless"]
    assert len(careless) == 2
    for run in careless:
        assert run.state == "ok" and "certificate is not verified" in run.error
    assert {run.state for run in store.runs if run.target_key == "careful"} == {"tls"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://alice:hunter2@gpu-1:8000/metrics", "PERMILLION_TOKEN_GPU_1_8000"),
        ("http://gpu-1:8000/metrics?api_key=hunter2", "PERMILLION_TOKEN_GPU_1_8000"),
        ("http://gpu-1:8000/metrics?token=hunter2", "'token'"),
        ("gpu-1:8000/metrics?token=hunter2", "'gpu-1:8000/metrics' is not"),
        ("http://alice:hunter2@gpu-1:99999/metrics", "'http://gpu-1:99999/metrics' is not"),
        ("http://alice:hunter2/@x@gpu-1/metrics", "'http://gpu-1/metrics' is not"),
    ],
)
def test_s38_a_secret_in_an_address_is_refused_and_not_repeated(url, says) -> None:
    with pytest.raises(TargetRefused) as caught:
        checked_url(url)
    assert caught.value.word == "bad_url" and isinstance(caught.value, ConfigError)
    assert says in str(caught.value) and "hunter2" not in str(caught.value)
    with pytest.raises(TargetRefused):
        target_from_url(url, {})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gpu-1:8000/metrics", "http://gpu-1:8000/metrics"),
        ("file:///etc/passwd", "http"),
        ("http://", "http"),
        ("http://gpu 1/metrics", "http"),
        ("http://gpu..1/metrics", "http"),
        (f"http://{'g' * 64}/metrics", "http"),
        ("http://gpu-1:99999/metrics", "http"),
        ("", "http"),
    ],
)
def test_s38_what_is_no_address_is_refused_with_an_example(url, says) -> None:
    with pytest.raises(TargetRefused) as caught:
        checked_url(url)
    assert caught.value.word == "bad_url" and says in str(caught.value)


def test_s38_a_target_is_called_by_host_and_port_and_keeps_its_token_to_itself() -> None:
    env = {"PERMILLION_TOKEN_GPU_1_8000": "s3cret"}
    target = target_from_url("http://GPU-1:8000/metrics", env)
    assert (target.key, target.bearer_token) == ("gpu-1:8000", "s3cret")
    assert "s3cret" not in repr(target)
    gateway = target_from_url("https://gateway/llama/metrics", env)
    assert (gateway.key, gateway.bearer_token) == ("gateway/llama/metrics", None)


def test_s38_the_token_reaches_the_server_through_the_loop(store, fake_time) -> None:
    heard = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http_answer(GOOD))

    async def main() -> None:
        async with serving(listen) as url, HttpClient() as http:
            await scraped(store, fake_time, http, [Target(key="g", url=url, bearer_token="s3cret")], [0.0])

    asyncio.run(main())
    assert b"Authorization: Bearer s3cret" in heard[0]
    assert "s3cret" not in repr(store)
