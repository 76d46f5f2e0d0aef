"""Logs as they come: every format, broken lines, other encodings, packed, endless, without prompts."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from costlib.errors import BadRecord, Cancelled, ConfigError, UnknownKey
from lab.log import Log
from lab.readers import readers
from lab.record import Request

CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}
PLAIN = {"messages": CHAT, "model": "m", "tenant": "t", "timestamp": "2026-11-01T00:00:00Z", "output": "so"}
OPENAI = {"request": {"model": "m", "messages": CHAT, "max_tokens": 5, "user": "t"}, "response": ANSWER}
BATCH = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": CHAT}}
SPEND_LOG = {
    "request_id": "r", "call_type": "acompletion", "spend": 0.1, "startTime": "2026-11-01 00:00:00", "model": "m",
    "team_id": "t", "prompt_tokens": 9, "completion_tokens": 1, "messages": json.dumps(CHAT),
    "response": json.dumps(ANSWER), "metadata": "{}",
}  # fmt: skip
SPEND_LOG_SENT = SPEND_LOG | {
    "messages": "{}",
    "proxy_server_request": json.dumps({"messages": CHAT, "temperature": 0}),
}
PAYLOAD = {
    "standard_logging_object": {
        "id": "r", "call_type": "acompletion", "startTime": 1793491200.0, "model": "m", "messages": CHAT,
        "response": ANSWER, "model_parameters": {"max_tokens": 5}, "metadata": {"user_api_key_team_id": "t"},
    }
}  # fmt: skip


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path: Path, **settings: Any) -> tuple[Log, list[Request]]:
    log = Log(path=path, **settings)
    return log, list(log.requests())


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (PLAIN, "plain"),
        ({"prompt": "why?", "completion": "so"}, "plain"),
        (OPENAI, "openai"),
        (BATCH, "openai"),
        (SPEND_LOG, "litellm"),
        (SPEND_LOG_SENT, "litellm"),
        (PAYLOAD, "litellm"),
        ({"kwargs": PAYLOAD}, "litellm"),
    ],
)
def test_a_format_is_recognised_and_by_one_reader_only(tmp_path: Path, record: Any, key: str) -> None:
    assert [name for name, reader in readers().items() if reader.identify(record)] == [key]
    log, (request,) = read(written(tmp_path / "log.jsonl", record))
    assert log.reader and log.reader.key == key
    assert request.question == "why?"


@pytest.mark.parametrize("record", [PLAIN, OPENAI, SPEND_LOG, PAYLOAD], ids=["plain", "openai", "spend log", "payload"])
def test_every_format_gives_the_same_request(tmp_path: Path, record: Any) -> None:
    (request,) = read(written(tmp_path / "log.jsonl", record))[1]
    assert list(request.messages) == [("system", "be brief"), ("user", "why?")]
    assert (request.model, request.tenant, request.output) == ("m", "t", "so")


def test_what_was_used_and_when_is_read() -> None:
    request = readers()["litellm"].parse(SPEND_LOG)
    assert request and (request.prompt_tokens, request.output_tokens, request.started_s) == (9, 1, 1793491200.0)
    request = readers()["openai"].parse(OPENAI)
    assert request and (request.max_output_tokens, request.finish_reason, request.prompt_tokens) == (5, "stop", 9)


def test_prompts_of_parts_numbers_and_tools_are_read() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:1"}}]
    parse = readers()["plain"].parse
    looked, other = (
        parse({"messages": [{"role": "user", "content": [parts[0], part]}]}) for part in (parts[1], {"type": "audio"})
    )
    assert looked and other and looked.messages == other.messages == [("user", "look")]
    assert looked.extra_key != other.extra_key
    numbers = parse({"prompt": [1, 2, 3]})
    assert numbers and list(numbers.token_ids) == [1, 2, 3]
    tools = parse({"messages": CHAT, "tools": [{"type": "function"}]})
    assert tools and tools.messages[0][0] == "tools"


@pytest.mark.parametrize("record", [SPEND_LOG | {"messages": "{}"}, {"custom_id": "1", "response": {"body": ANSWER}}])
def test_a_log_without_prompts_says_how_to_get_them(tmp_path: Path, record: Any) -> None:
    with pytest.raises(BadRecord, match="store_prompts_in_spend_logs"):
        read(written(tmp_path / "log.jsonl", record))
    with pytest.raises(BadRecord, match="no prompt in any"):
        read(written(tmp_path / "log.jsonl", record), format_key="litellm" if "call_type" in record else "openai")


def test_broken_lines_are_counted_and_the_first_named_without_quoting_them(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", *[PLAIN] * 3)
    broken = (
        b'{"prompt": "secret\n'
        + b'{"prompt": "\xff secret"}\n'
        + b'["secret"]\n'
        + b"\n"
        + b'{"messages": ["secret"]}\n'
    )
    path.write_bytes(path.read_bytes() + broken + json.dumps(PLAIN).encode())
    log, requests = read(path)
    assert (len(requests), log.broken_count) == (4, 4)
    assert [line.line_number for line in log.broken] == [4, 5, 6, 8]
    assert "secret" not in repr(log)


def test_only_the_first_broken_lines_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", PLAIN)
    path.write_bytes(path.read_bytes() + b"{\n" * 1_000)
    log, requests = read(path)
    assert (len(requests), log.broken_count, len(log.broken)) == (1, 1_000, 5)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_named_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(PLAIN), encoding=encoding)
    with pytest.raises(ConfigError, match=r"iconv -f UTF-(16|32) -t UTF-8"):
        read(path)


def test_latin_1_is_suspected(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes('{"prompt": "é"}\n'.encode("latin-1") * 200)
    with pytest.raises(ConfigError, match="Latin-1"):
        read(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PAR1....", "Parquet"),
        (b"PK\x03\x04....", "ZIP"),
        (b'[{"prompt": "a"}]', "jq -c"),
        (b"hello\nworld\n", "line 1 is not JSON"),
    ],
)
def test_what_is_no_log_of_lines_is_told_so(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises((ConfigError, BadRecord), match=says):
        read(path)


def test_a_file_that_is_not_there_and_a_format_that_is_not_known_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.jsonl"):
        read(tmp_path / "log.jsonl")
    with pytest.raises(UnknownKey, match="plain"):
        read(written(tmp_path / "log.jsonl", PLAIN), format_key="plane")


def test_packed_with_gzip_it_is_the_same_and_cut_short_it_says_so(tmp_path: Path) -> None:
    whole = gzip.compress("".join(json.dumps(PLAIN | {"n": n}) + "\n" for n in range(5_000)).encode(), mtime=0)
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(whole)
    assert len(read(path)[1]) == 5_000
    path.write_bytes(whole[: len(whole) // 2])
    log, requests = read(path)
    assert 0 < len(requests) < 5_000
    assert "ends early" in str(log.notes)
    path.write_bytes(whole[:200] + bytes(len(whole) - 200))
    with pytest.raises(BadRecord, match="damaged here"):
        read(path)


def test_a_mark_of_utf_8_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PLAIN).encode())
    assert len(read(path)[1]) == 1


def test_progress_is_told_and_the_reading_can_be_stopped(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", *[{"prompt": "a"}] * 5_000)
    told: list[tuple[str, int, float]] = []
    log = Log(path=path, on_progress=lambda *now: told.append(now))
    assert len(list(log.requests())) == 5_000
    assert [(name, lines) for name, lines, _ in told] == [("log.jsonl", 2_000), ("log.jsonl", 4_000)]
    assert 0 < told[0][2] <= told[1][2] <= 1
    with pytest.raises(Cancelled):
        list(Log(path=path, cancelled=lambda: True).requests())


def test_a_line_that_is_too_long_is_skipped_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.log.LONGEST_LINE_BYTES", 100_000)
    path = written(tmp_path / "log.jsonl", {"prompt": "a" * 3_000_000}, PLAIN)
    tracemalloc.start()
    try:
        log, requests = read(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(requests), log.broken_count) == (1, 1)
    assert peak_bytes < 1_500_000
