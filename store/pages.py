"""The last page of every engine and GPU, to rows and back, exactly; and what GPUs did, as rows."""

import json
import math
from collections.abc import Mapping, Sequence

import pyarrow as pa
from sqlalchemy import Row

from costlib.devices import DEVICE_COUNTERS, DEVICE_GAUGES, DevicePage, DeviceSample
from costlib.errors import BadRecord
from costlib.telemetry import EnginePage, Histogram
from store.engine import aware, naive
from store.samples import arrow_rows, bounds_from, bounds_text
from store.schema import device_page, device_sample, engine_change, engine_page

Identity = tuple[str, str, str]


def rows_of_pages(pages: Sequence[tuple[EnginePage, bool]], stream: str) -> pa.Table:
    """Rows of `engine_page`, each page with whether it is sample data."""
    return arrow_rows(
        engine_page,
        [
            {
                "stream": stream,
                "target_key": page.target_key,
                "model_key": page.model_key,
                "engine_key": page.engine_key,
                "scraped_at": naive(page.scraped_at),
                "started_at": naive(page.started_at) if page.started_at else None,
                "page": _page_text(page),
                "facts": json.dumps(dict(page.facts)),
                "is_sample": is_sample,
            }
            for page, is_sample in pages
        ],
    )


def rows_of_changes(pages: Sequence[tuple[EnginePage, bool]], said: Mapping[Identity, Mapping[str, str]]) -> pa.Table:
    """Rows of `engine_change`: what `pages`, oldest first, say otherwise than each engine `said` before.

    A page without facts, as of an engine that is read by way of a Prometheus, says nothing: neither it nor the one
    after it is a change. Nor is the first page of an engine.
    """
    rows: list[dict[str, object]] = []
    newest = dict(said)
    for page, is_sample in pages:
        before, after = newest.get(page.identity), page.facts
        newest[page.identity] = after
        if before and after and before != after:
            rows += [
                {
                    "target_key": page.target_key,
                    "model_key": page.model_key,
                    "engine_key": page.engine_key,
                    "changed_at": naive(page.scraped_at),
                    "fact": fact,
                    "before": before.get(fact),
                    "after": after.get(fact),
                    "is_sample": is_sample,
                }
                for fact in sorted({*before, *after})
                if before.get(fact) != after.get(fact)
            ]
    return arrow_rows(engine_change, rows)


def page_from(row: Row) -> EnginePage:
    body = json.loads(row.page)
    scraped_at = aware(row.scraped_at)
    assert scraped_at is not None
    return EnginePage(
        target_key=row.target_key,
        model_key=row.model_key,
        engine_key=row.engine_key,
        scraped_at=scraped_at,
        started_at=aware(row.started_at),
        counters=body["counters"],
        gauges=body["gauges"],
        histograms={
            name: Histogram(
                bounds=bounds_from(h["bounds"]), cumulative_counts=tuple(h["counts"]), sum=h["sum"], count=h["count"]
            )
            for name, h in body["histograms"].items()
        },
        facts=facts_from(row.facts),
    )


def rows_of_devices(devices: Sequence[tuple[DevicePage, bool]]) -> pa.Table:
    """Rows of `device_page`."""
    return arrow_rows(
        device_page,
        [
            {
                "target_key": page.target_key,
                "device_key": page.device_key,
                "scraped_at": naive(page.scraped_at),
                "page": _json({"counters": dict(page.counters), "gauges": dict(page.gauges)}, _device_name(page)),
                "facts": json.dumps(dict(page.facts)),
                "is_sample": is_sample,
            }
            for page, is_sample in devices
        ],
    )


def device_from(row: Row) -> DevicePage:
    body = json.loads(row.page)
    scraped_at = aware(row.scraped_at)
    assert scraped_at is not None
    return DevicePage(
        target_key=row.target_key,
        device_key=row.device_key,
        scraped_at=scraped_at,
        counters=body["counters"],
        gauges=body["gauges"],
        facts=facts_from(row.facts),
    )


def rows_of_device_samples(samples: Sequence[tuple[DeviceSample, bool]]) -> pa.Table:
    """Rows of `device_sample`."""
    return arrow_rows(
        device_sample,
        [
            {
                "target_key": sample.target_key,
                "device_key": sample.device_key,
                "scraped_at": naive(sample.scraped_at),
                "interval_s": sample.interval_s,
                "state": str(sample.state),
                "is_sample": is_sample,
                **{name: _finite(sample, name, sample.counters.get(name)) for name in DEVICE_COUNTERS},
                **{name: _finite(sample, name, sample.gauges.get(name)) for name in DEVICE_GAUGES},
            }
            for sample, is_sample in samples
        ],
    )


def facts_from(text: str | None) -> dict[str, str]:
    return dict(json.loads(text)) if text else {}


def _page_text(page: EnginePage) -> str:
    histograms = {
        name: {"bounds": bounds_text(h.bounds), "counts": h.cumulative_counts, "sum": h.sum, "count": h.count}
        for name, h in page.histograms.items()
    }
    body = {"counters": dict(page.counters), "gauges": dict(page.gauges), "histograms": histograms}
    return _json(body, f"engine {page.engine_key!r} at {page.target_key!r}")


def _json(body: Mapping[str, object], who: str) -> str:
    try:
        return json.dumps(body, allow_nan=False)
    except ValueError:
        raise BadRecord(f"{who} exports NaN or infinity; the page is refused") from None


def _device_name(of: DevicePage | DeviceSample) -> str:
    return f"GPU {of.device_key!r} at {of.target_key!r}"


def _finite(sample: DeviceSample, name: str, value: float | None) -> float | None:
    if value is None or math.isfinite(value):
        return value
    raise BadRecord(f"{name} of {_device_name(sample)} is {value}; the page is refused")
