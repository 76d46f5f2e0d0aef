"""A batch of scrapes: one transaction; a bad scrape is left out alone; a kill loses nothing that was answered for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from costlib.errors import BadRecord, ConfigError
from store.home import Home
from store.read import open_snapshot
from store.records import BackfillJob, Scrape, TargetRow
from store.writer import Writer
from tests.store.builders import (
    ALWAYS,
    BOUNDS,
    NOON,
    add,
    at,
    frozen,
    gpu_page,
    gpu_sample,
    histogram,
    page,
    run,
    sample,
)


def scrape(key: str, tokens: float, offset: float = 0) -> Scrape:
    return Scrape(
        run=run(at(offset), target_key=key, source_key=f"vllm/{key}"),
        pages=[page(at(offset), target_key=key, counters={"prompt_tokens": tokens if tokens < 1e300 else 1.0})],
        samples=[sample(at(offset), {"prompt_tokens": tokens}, target_key=key)],
    )


def tokens_by_target(home: Home) -> dict[str, int]:
    with open_snapshot(home) as snapshot:
        total = snapshot.usage_total(*ALWAYS).dropna(subset="model_key")
        return dict(zip(total["target_key"], total["prompt_tokens"].tolist(), strict=True))


def test_a_bad_scrape_is_left_out_and_the_others_are_stored(home: Home, writer: Writer) -> None:
    answers = writer.add_scrapes([scrape("a", 1), scrape("b", float("inf")), scrape("c", 4)])
    assert [type(answer) for answer in answers] == [type(None), BadRecord, type(None)]
    assert "prompt_tokens of engine '0' at 'b' is inf" in str(answers[1])
    assert {kept.target_key for kept in writer.engine_pages()} == {"a", "c"}
    writer.publish(force=True)
    assert tokens_by_target(home) == {"a": 1, "c": 4}
    assert set(open_snapshot(home).runs()["target_key"]) == {"a", "c"}


@pytest.mark.parametrize(
    "bad",
    [
        sample(counters={"prompt_tokens": float("nan")}),
        sample(counters={"prompt_tokens": 2.0**63}),
        sample(gauges={"running_count": float("-inf")}),
        sample(ttft_s=histogram(1, float("inf"), float("inf"))),
        sample(ttft_s=histogram(1, 2, 3, sum=float("nan"))),
    ],
)
def test_what_no_engine_can_count_to_is_refused(writer: Writer, bad) -> None:
    (answer,) = writer.add_scrapes([Scrape(run=run(), samples=[bad])])
    assert isinstance(answer, BadRecord)
    assert "no engine can count to" in str(answer)


def test_sample_and_real_scrapes_in_one_batch_are_not_mixed(writer: Writer) -> None:
    pretended = Scrape(run=run(is_sample=True), samples=[sample(counters={"prompt_tokens": 9})])
    answers = writer.add_scrapes([scrape("a", 1), pretended, scrape("c", 4)])
    assert [type(answer) for answer in answers] == [type(None), ConfigError, type(None)]


def test_the_later_of_two_scrapes_of_one_server_is_what_the_next_is_compared_with(writer: Writer) -> None:
    writer.add_scrapes([scrape("a", 1), scrape("a", 2, offset=15)])
    assert [kept.counters["prompt_tokens"] for kept in writer.engine_pages()] == [2.0]


def test_an_empty_batch_and_failed_runs_are_fine(home: Home, writer: Writer) -> None:
    assert writer.add_scrapes([]) == []
    assert writer.add_scrapes([Scrape(run=run(state="timeout", error="no answer"))]) == [None]


def test_histograms_of_different_bounds_share_a_batch(home: Home, writer: Writer) -> None:
    other = histogram(2, 4, bounds=(0.5, float("inf")))
    writer.add_scrapes(
        [
            Scrape(run=run(), samples=[sample(ttft_s=histogram(80, 100, 100, bounds=BOUNDS))]),
            Scrape(run=run(), samples=[sample(ttft_s=other, target_key="gpu-2")]),
        ]
    )
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        assert snapshot.windows(*ALWAYS)["ttft_s_p50"].tolist() == pytest.approx([0.0625, 0.5])


def test_gpus_are_kept_beside_engines(home: Home, writer: Writer) -> None:
    pages = [gpu_page(at(0), counters={"energy_j": 500.0}, gauges={"power_w": 700.0})]
    samples = [
        gpu_sample(at(0), 3000.0, {"power_w": 200.0, "gpu_util_fraction": 0.5}, interval_s=30.0),
        gpu_sample(at(15), 9000.0, {"power_w": 600.0, "gpu_util_fraction": None}, interval_s=10.0),
    ]
    add(writer, run(), devices=pages, device_samples=samples)
    writer.name_targets([TargetRow(target_key="gpu-1", source_key="dcgm", deployment_key="chat")])
    assert writer.device_pages() == pages
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        for bin in ("total", "hour"):
            found = snapshot.devices(at(-3600), at(3600), bin).iloc[0]
            assert (found["energy_j"], found["power_w"], found["gpu_util_fraction"]) == (12000.0, 300.0, 0.5)
            assert (found["observed_s"], found["deployment_key"]) == (40.0, "chat")
            assert found["facts"] == {"name": "H100"}
        assert snapshot.windows(*ALWAYS).empty, "an exporter of GPUs is no server without engine series"


def test_a_server_keeps_its_first_sample_when_it_is_named_again(writer: Writer) -> None:
    writer.add_scrapes([scrape("a", 1)])
    for deployment in ("chat", "search"):
        writer.name_targets([TargetRow(target_key="a", source_key="vllm/a", deployment_key=deployment)])
    assert writer.first_sample_at(["a", "never"]) == NOON
    assert writer.first_sample_at(["never"]) is None


def test_a_backfill_is_remembered_and_another_one_begins_with_no_pages(home: Home) -> None:
    job = BackfillJob(source_key="prom", from_at=at(-7200), to_at=at(0), done_to=at(-3600))
    with Writer.open(home, frozen()) as writer:
        assert writer.backfill("prom") is None
        writer.set_backfill(job)
        add(writer, run(), [page(at(-3600))], stream=job.stream)
    with Writer.open(home, frozen()) as writer:
        assert writer.backfill("prom") == job
        assert writer.engine_pages() == []
        assert [kept.scraped_at for kept in writer.engine_pages(job.stream)] == [at(-3600)]
        writer.set_backfill(BackfillJob(source_key="prom", from_at=at(-9000), to_at=at(-7200), done_to=at(-9000)))
        assert writer.engine_pages(job.stream) == []


# Killed ---------------------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
from pathlib import Path
from store.home import Home
from store.writer import Writer
from tests.store.test_batches import scrape
from tests.store.builders import frozen
writer = Writer.open(Home(Path(sys.argv[1])), frozen())
for step in sys.argv[2].split():
    if step == "add":
        assert writer.add_scrapes([scrape("a", 5), scrape("b", 7)]) == [None, None]
    elif step == "late":
        assert writer.add_scrapes([scrape("a", 30, offset=-7000)]) == [None]
    elif step == "tail":
        writer.publish_tail(force=True)
    else:
        writer.publish(force=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("add", {"a": 5, "b": 7}),
        ("add tail", {"a": 5, "b": 7}),
        ("add publish", {"a": 5, "b": 7}),
        ("add publish late", {"a": 35, "b": 7}),
        ("add publish late tail", {"a": 35, "b": 7}),
        ("add publish late publish", {"a": 35, "b": 7}),
    ],
)
def test_a_kill_between_storing_and_adding_up_loses_nothing(home: Home, steps: str, expected: dict) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(home.path), steps],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    with Writer.open(home, frozen()) as writer:
        writer.publish(force=True)
    assert tokens_by_target(home) == expected, json.dumps(steps)
    with open_snapshot(home) as snapshot:
        assert snapshot.usage(*ALWAYS, "minute")["prompt_tokens"].sum() == sum(expected.values())
