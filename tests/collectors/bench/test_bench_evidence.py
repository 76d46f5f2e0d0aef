"""A report that was written is read back as it was; whatever is none is refused by name."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors.bench.evidence import read_report, report_from, report_json, write_report
from collectors.bench.figures import Targets
from collectors.bench.report import BenchReport
from costlib.errors import BadRecord, ConfigError
from tests.collectors.bench.bench_support import faulty, measured
from tests.fake_openai import FakeOpenAI


@pytest.fixture(scope="module")
def report() -> BenchReport:
    """With everything a report can hold: failures, rows, cost, goodput, labels, an open loop."""
    return measured(
        faulty("http_500", "cut"),
        concurrencies=(2,),
        rates=(50.0,),
        warmup_count=1,
        keep_rows=True,
        targets=Targets(ttft_s=1.0),
        usd_per_hour=3.5,
        target_usd_per_mtok=1.0,
        labels={"gpu": "h100-sxm"},
    )


@pytest.mark.parametrize("fake", [FakeOpenAI(), FakeOpenAI(gives_usage=False), FakeOpenAI(gives_cached=True)])
def test_a_report_is_read_back_as_it_was_written(fake: FakeOpenAI, tmp_path: Path) -> None:
    found = measured(fake)
    write_report(found, tmp_path / "bench.json")
    assert read_report(tmp_path / "bench.json") == found


def test_a_full_report_is_read_back_as_it_was_written(report: BenchReport) -> None:
    assert report_from(report_json(report)) == report


def changed(report: BenchReport, change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(report_json(report))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(schema="permillion.bench/2"), "permillion.bench/1"),
        (lambda d: d.pop("schema"), "permillion.bench/1"),
        (lambda d: d.pop("model"), "lacks the field 'model'"),
        (lambda d: d["stages"][0].pop("window_s"), r"stages\[0\] lacks the field 'window_s'"),
        (lambda d: d["stages"][1].update(surprise=1), "unknown field 'surprise'"),
        (lambda d: d["stages"][0].update(window_s="long"), r"stages\[0\].window_s is .*number"),
        (lambda d: d["stages"][0].update(sent_count=1.5), "whole number"),
        (lambda d: d["stages"][0].update(sent_count=True), "whole number"),
        (lambda d: d["stages"][0].update(output_tokens=-1), "output_tokens"),
        (lambda d: d["stages"][0].update(output_tokens=None), "output_tokens"),
        (lambda d: d["stages"][0].update(output_tokens={"undefined": 3}), "output_tokens"),
        (lambda d: d["stages"][0].update(done_count=0, requests_per_s={"undefined": "x"}), "sent, but"),
        (lambda d: d["stages"][0].update(output_tokens=99_999), "a rate of"),
        (lambda d: d["stages"][0]["ttft_s"].update(p99=None), r"ttft_s.p99"),
        (lambda d: d["stages"][0].update(failures={"timeout": "many"}), "failures.timeout"),
        (lambda d: d.update(stages={}), "stages"),
        (lambda d: d.update(started_at="yesterday"), "not a time"),
        (lambda d: d.update(started_at="2026-11-21T10:00:00"), "without its zone"),
        (lambda d: d.update(labels=["gpu"]), "labels"),
        (lambda d: d["stages"][0].update(window_s=math.nan), "NaN is no number"),
        (lambda d: d["stages"][0].update(window_s=math.inf), "Infinity is no number"),
    ],
)
def test_what_is_no_report_is_refused_by_its_field(
    report: BenchReport, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(BadRecord, match=says):
        report_from(changed(report, change))


@pytest.mark.parametrize("text", ["", "no", "[]", "null", "1e999", "[" * 100_000, '{"schema": "x\x1b"}'])
def test_a_text_that_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(BadRecord) as caught:
        report_from(text)
    assert "\x1b" not in str(caught.value)


def test_a_number_too_large_to_be_one_is_refused(report: BenchReport) -> None:
    text = changed(report, lambda d: d["stages"][0].update(window_s=12345))
    with pytest.raises(BadRecord, match="window_s"):
        report_from(text.replace('"window_s": 12345', '"window_s": 1e999'))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    for name in ("missing.json", "bytes.json", "."):
        with pytest.raises(BadRecord, match=r"cannot be read"):
            read_report(tmp_path / name)


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(BadRecord, match=r"mine\.json: the schema is"):
        read_report(tmp_path / "mine.json")


def test_a_folder_that_is_missing_is_said_when_writing(report: BenchReport, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(report, tmp_path / "missing" / "bench.json")


def test_nan_is_never_written(report: BenchReport) -> None:
    stage = replace(report.stages[0], window_s=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        report_json(replace(report, stages=(stage,)))
