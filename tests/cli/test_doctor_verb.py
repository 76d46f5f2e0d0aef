"""`permillion doctor`: what is there, what is not, and what to do about it."""

import json

from tests.cli.conftest import Run


def test_a_real_page_is_read_measure_by_measure(permillion: Run, recorded_server: str) -> None:
    result = permillion("doctor", "--metrics-url", f"chat={recorded_server}", "--json")
    checks = json.loads(result.stdout)
    assert all(set(check) == {"subject", "ok", "detail"} for check in checks)
    (reached,) = [check for check in checks if check["subject"] == "chat"]
    assert reached["ok"] is True
    assert "1 engine" in reached["detail"]
    assert result.exit_code == int(any(check["ok"] is False for check in checks))


def test_a_web_page_is_not_taken_for_metrics(permillion: Run, recorded_server: str) -> None:
    result = permillion("doctor", "--metrics-url", recorded_server.replace("/metrics", "/html"))
    assert result.exit_code == 1
    (bad,) = [line for line in result.stdout.splitlines() if line.startswith("BAD")]
    assert "HTML" in bad or "html" in bad
    assert "/metrics" in bad, "says where metrics usually are"


def test_a_server_that_is_down_is_said_to_be(permillion: Run) -> None:
    result = permillion("doctor", "--metrics-url", "http://127.0.0.1:9/metrics")
    assert result.exit_code == 1
    assert "BAD  127.0.0.1:9" in result.stdout
    assert "nothing listens there. Is vLLM running, and is the port right?" in result.stdout


def test_an_empty_home_is_worth_a_note_and_no_fault(permillion: Run) -> None:
    result = permillion("doctor")
    assert result.exit_code == 0
    assert "note storage" in result.stdout
    assert "note servers: none named" in result.stdout


def test_sources_of_the_store_are_listed(permillion: Run) -> None:
    permillion("demo")
    out = permillion("doctor").stdout
    assert "ok   storage: sample data, snapshot" in out
    assert "ok   source billing/focus: ok" in out
    assert "NaT" not in out
    assert "nan" not in out


def test_a_source_that_failed_is_a_fault(permillion: Run) -> None:
    permillion("demo")
    permillion("collect", "--once", "--metrics-url", "http://127.0.0.1:9/metrics")
    result = permillion("doctor")
    assert result.exit_code == 1
    assert "BAD  source vllm/127.0.0.1:9" in result.stdout


def test_a_store_that_cannot_be_read_is_a_fault_with_a_remedy(permillion: Run, home) -> None:
    home.make()
    home.pointer.write_text("lost.duckdb")
    result = permillion("doctor")
    assert result.exit_code == 1
    assert "BAD  storage" in result.stdout
    assert "publish anew" in result.stdout
