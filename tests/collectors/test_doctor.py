"""What `doctor` finds on a server's page and in the store."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from collectors.base import Target
from collectors.demo import load_fleet
from collectors.doctor import Check, examine
from store.home import Home
from tests.collectors.collector_support import NOON, http_answer, serving


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def found(home: Home, body: bytes | None = None, status: str = "200 OK") -> list[Check]:
    def clock() -> datetime:
        return NOON

    async def main() -> list[Check]:
        if body is None:
            return await examine(home, [], clock)
        async with serving(http_answer(body, status=status)) as url:
            return await examine(home, [Target(key="gpu-1", url=url)], clock)

    return asyncio.run(main())


def of_server(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.subject.startswith("gpu-1")]


def test_a_recorded_page_is_reached_and_its_engine_counted(home: Home, last_page: bytes) -> None:
    reached, *remarks = of_server(found(home, last_page))
    assert reached.ok is True
    assert f"{len(last_page):,} bytes, 1 engine" in reached.detail
    assert all(check.detail for check in remarks)


def test_a_measure_that_is_not_exported_is_named_with_the_names_it_may_have(home: Home, last_page: bytes) -> None:
    without = b"\n".join(line for line in last_page.splitlines() if b"prompt_tokens_total" not in line) + b"\n"
    (missing,) = [check for check in of_server(found(home, without)) if check.subject == "gpu-1 prompt_tokens"]
    assert missing.ok is False
    assert "is not on the page, and so unknown" in missing.detail
    assert "prompt_tokens_total" in missing.detail


def test_replicas_that_export_alike_are_remarked_once(home: Home, last_page: bytes) -> None:
    checks = of_server(found(home, last_page))
    assert len({(check.subject, check.detail) for check in checks}) == len(checks)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<!doctype html><html><body>Welcome</body></html>", "200 OK"),
        (b"", "200 OK"),
        (b"no", "404 Not Found"),
        (b"no", "401 Unauthorized"),
        (b'{"error": "x"}', "200 OK"),
    ],
    ids=["a web page", "nothing", "not found", "not allowed", "JSON"],
)
def test_what_is_no_metrics_page_is_one_fault_that_names_the_server(home: Home, body: bytes, status: str) -> None:
    (bad,) = of_server(found(home, body, status))
    assert bad.ok is False
    assert "gpu-1" in bad.text
    assert len(bad.detail) > 40, "says what to do"


def test_an_empty_home_without_servers_is_two_notes(home: Home) -> None:
    assert [check.ok for check in found(home)] == [None, None]


def test_sample_data_are_called_so(home: Home) -> None:
    load_fleet(home, lambda: NOON)
    storage, billing, _ = found(home)
    assert storage.detail.startswith("sample data, snapshot ")
    assert (billing.subject, billing.ok) == ("source billing/focus", True)


def test_a_store_that_cannot_be_read_is_a_fault_and_the_rest_is_still_looked_at(home: Home, last_page: bytes) -> None:
    home.make()
    home.pointer.write_text("lost.duckdb")
    checks = found(home, last_page)
    assert checks[0] == Check(subject="storage", ok=False, detail=checks[0].detail)
    assert "lost.duckdb" in checks[0].detail
    assert of_server(checks)[0].ok is True


def test_a_server_says_which_release_its_page_is_of_and_what_is_on(home: Home, last_page: bytes) -> None:
    checks = {check.subject: check.detail for check in of_server(found(home, last_page))}
    assert checks["gpu-1 release"].startswith("vLLM 0.3")
    assert "MFU" in checks["gpu-1 features"]
    assert checks["gpu-1 measures"].endswith("are measured")


def test_what_is_missing_says_which_flag_brings_it_and_what_it_costs_us(home: Home, last_page: bytes) -> None:
    drafts = next(check for check in of_server(found(home, last_page)) if check.subject == "gpu-1 drafts_count")
    assert drafts.ok is None, "speculation that is off is no fault"
    assert "--speculative-config" in drafts.detail
    assert drafts.detail.count(".") >= 2, "the flag, and the cost in a sentence of its own"


def test_sixteen_places_of_a_draft_are_one_remark(home: Home, last_page: bytes) -> None:
    places = [check for check in of_server(found(home, last_page)) if "accepted_at" in check.subject]
    assert len(places) == 1


def test_a_filter_on_the_way_is_a_fault(home: Home, last_page: bytes) -> None:
    kept = b"\n".join(line for line in last_page.splitlines() if b"e2e_request_latency" not in line) + b"\n"
    assert any(check.ok is False and "allow-list" in check.detail for check in of_server(found(home, kept)))


def test_one_engine_under_two_addresses_is_a_fault(home: Home, last_page: bytes) -> None:
    async def main() -> list[Check]:
        async with serving(http_answer(last_page)) as one, serving(http_answer(last_page)) as other:
            return await examine(home, [Target(key="a", url=one), Target(key="b", url=other)], lambda: NOON)

    (twin,) = [check for check in asyncio.run(main()) if "same engine" in check.detail]
    assert (twin.subject, twin.ok) == ("a", False)
    assert "as b" in twin.detail
