"""One home in every state a page can meet. Built once; looked at with a clock that stands still."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path

from collectors.base import CollectContext, Target
from collectors.demo import sample_file
from collectors.importer import import_files
from collectors.sample_live import live_pages
from collectors.sources import vllm
from costlib.calibration import calibrate
from costlib.suspects import Stated
from costlib.telemetry import EnginePage, usage_sample
from store.books import scenario_of
from store.calibrations import Told, identity_of, keep
from store.home import Home
from store.read import snapshot_of
from store.records import Scrape, ScrapeRun
from store.server_use import load_windows
from store.writer import Writer
from tests.demo_home import demo_home
from tests.pages import fleet_home
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
EVERY_S = 5.0
SCRAPES_COUNT = 6

GOOD_SCENARIO = """
label = "Ours"

[[deployments]]
key = "chat"
product = "Chat"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 8.0, mean_prompt_tokens = 900, mean_output_tokens = 200, peak_to_mean_ratio = 2.0 }
purchase = { usd_per_gpu_hour = 2.50 }
"""
UNKNOWN_GPU = GOOD_SCENARIO.replace("h100-sxm", "h100-sxn")
FITS_AS_FP8_ONLY = GOOD_SCENARIO.replace("llama-3.1-8b", "llama-3.3-70b").replace(
    "purchase =", 'serving = { weight_precision = "fp8" }\npurchase ='
)
API_ONLY = """
label = "Bought"

[[deployments]]
key = "chat"
model = "llama-3.3-70b"
workload = { requests_per_s = 8.0, mean_prompt_tokens = 900, mean_output_tokens = 200 }
api = { usd_per_mtok_input = 0.5, usd_per_mtok_output = 1.0 }
"""
TOO_LARGE = GOOD_SCENARIO.replace("llama-3.1-8b", "llama-3.1-405b")

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[click me](https://evil.example)",
    "![beacon](https://evil.example/x.png)",
    "https://evil.example/visit",
    "$$\\frac{1}{0}$$",
    "**bold** _it_ `code` # head",
    ":material/delete: :red[red] :smile:",
    "\x1b[31mred\x07",
    "abc\u202egnp.exe\u2066",
)


@dataclass(frozen=True)
class Place:
    """A home and the moment it is looked at."""

    home: Home
    now: datetime = NOW


def sample(path: Path) -> Place:
    """The demo with a live replay that was scraped until this moment."""
    home = demo_home(path, NOW)
    scrape(home, {d.key: f"/{d.key}/metrics" for d in sample_file(NOW).today.deployments}, is_sample=True)
    return Place(home)


def real(path: Path) -> Place:
    """A bill of three weeks and a server that was scraped for real; nothing of the sample."""
    home = Home(path)
    path.mkdir(parents=True)
    days = [NOW - timedelta(days=n) for n in range(21, 0, -1)]
    import_files([bill(path / "bill.csv", *(charge(day, "chat", "12.34") for day in days))], home, clock=lambda: NOW)
    scrape(home, {"chat": "/search-answers/metrics"}, is_sample=False)
    return Place(home)


def with_scenario(place: Place, text: str) -> Place:
    place.home.make()
    place.home.scenario.write_text(text, encoding="utf-8")
    return place


def calibrated(place: Place, is_stale: bool = False) -> Place:
    """What the sample's hours tell of its deployments, kept; or kept of what they were under an earlier vLLM."""
    with snapshot_of(place.home) as snapshot:
        scenario, catalog = scenario_of(place.home, snapshot)
        end = snapshot.status().usage_to
        for one in scenario.deployments:
            load = load_windows(snapshot, end - timedelta(days=14), end, one.key, one.workload)
            identity = identity_of(one, catalog, Told.by(snapshot))
            keep(
                place.home,
                replace(identity, vllm="0.10.0 to before 0.11.0") if is_stale else identity,
                calibrate(load, Stated.of(one, catalog), catalog),
                place.now,
            )
    return place


def broken(path: Path, content: bytes | None) -> Place:
    """A pointer that names a file that is not there, or one that is no database."""
    home = Home(path)
    home.make()
    home.pointer.write_text("permillion-lost.duckdb", encoding="utf-8")
    if content is not None:
        (home.serving / "permillion-lost.duckdb").write_bytes(content)
    return Place(home)


def charge(day: datetime, deployment: str, cost: str, **more: str) -> dict[str, str]:
    """One charge of one day, tagged with its deployment."""
    begin = day.replace(hour=0, minute=0, second=0, microsecond=0)
    month = begin.replace(day=1)
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "BillingPeriodStart": f"{month:%Y-%m-%dT%H:%M:%SZ}",
        "BillingPeriodEnd": f"{(month + timedelta(days=32)).replace(day=1):%Y-%m-%dT%H:%M:%SZ}",
        "ChargePeriodStart": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
        "ChargePeriodEnd": f"{begin + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "Tags": json.dumps({"deployment": deployment}) if deployment else "",
        **more,
    }


def scrape(home: Home, paths: dict[str, str], is_sample: bool) -> None:
    """Scrapes pages of the sample fleet up to NOW, as targets of these keys, and publishes."""
    pages = live_pages(sample_file(NOW), NOW.timestamp() - 60)
    last: dict[tuple[str, str, str], EnginePage] = {}
    with Writer.open(home, lambda: NOW) as writer:
        for at in moments():
            for key, path in paths.items():
                target = Target(key=key, url=f"http://gpu-1:8000{path}", is_sample=is_sample)
                ctx = CollectContext(target=target, scraped_at=at)
                found = vllm.parse(pages[path](60 + (at - NOW).total_seconds()).encode(), ctx).pages
                samples = [usage_sample(last.get(page.identity), page, EVERY_S) for page in found]
                last |= {page.identity: page for page in found}
                run = run_of(key, at, len(found), is_sample)
                (refused,) = writer.add_scrapes([Scrape(run=run, pages=found, samples=samples)])
                if refused:
                    raise refused
        writer.publish(force=True)
        writer.publish_tail(force=True)


def moments() -> Iterator[datetime]:
    for n in range(SCRAPES_COUNT - 1, -1, -1):
        yield NOW - timedelta(seconds=1 + n * EVERY_S)


def run_of(key: str, at: datetime, rows_count: int, is_sample: bool) -> ScrapeRun:
    return ScrapeRun(
        source_key=f"vllm/{key}",
        target_key=key,
        started_at=at,
        finished_at=at,
        rows_count=rows_count,
        every_s=EVERY_S,
        is_sample=is_sample,
    )


def an_hour_later(place: Place) -> Place:
    """An hour after its collector stopped."""
    return Place(place.home, place.now + timedelta(hours=1))


def hostile(path: Path) -> Place:
    """Names from outside that try to be markup: deployment keys, products, files, providers, tags, servers."""
    home = Home(path)
    path.mkdir(parents=True)
    days = [NOW - timedelta(days=n) for n in range(9, 0, -1)]
    rows = [
        charge(day, "", "1.00", Tags=json.dumps({"deployment": name, name: name}), ServiceName=name)
        for day in days
        for name in HOSTILE
    ]
    bills = bill(
        path / "![x](https:evil.example) <b>bold<b> \u202efdp.csv", *rows, {"ProviderName": HOSTILE[0], **rows[0]}
    )
    import_files([bills], home, clock=lambda: NOW)
    rules = (
        f"[[rule]]\ndeployment = {json.dumps(name)}\ntag = {{ deployment = {json.dumps(escape(name))} }}"
        for name in HOSTILE
    )
    home.owners.write_text("\n".join(rules), encoding="utf-8")
    scrape(home, dict.fromkeys(HOSTILE[:4], "/search-answers/metrics"), is_sample=False)
    tables = [
        GOOD_SCENARIO.strip()
        .replace('label = "Ours"', "")
        .replace('"chat"', json.dumps(name))
        .replace('"Chat"', json.dumps(name))
        for name in HOSTILE
    ]
    return with_scenario(Place(home), "\n".join(['label = "<b>Ours</b>"', *tables]))


def fleet(path: Path) -> Place:
    """Half an hour of three models on six servers, some of which fail; see `fleet_home`."""
    return Place(fleet_home.make(path))


def without_tail(place: Place) -> Place:
    """Its tail names a file which is not there."""
    place.home.tail_pointer.write_text("tail-lost.duckdb", encoding="utf-8")
    return place


def without_budgets(place: Place) -> Place:
    """A file without any instead of those of the sample."""
    (place.home.path / "budgets.toml").write_text("", encoding="utf-8")
    return place


def unbilled(path: Path) -> Place:
    """A server that was scraped, and no bill."""
    home = Home(path)
    scrape(home, {"chat": "/search-answers/metrics"}, is_sample=False)
    return Place(home)
