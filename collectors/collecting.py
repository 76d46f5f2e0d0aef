"""The verb `collect`: what its sources kept is read back, then they are scraped, once or until stopped."""

import asyncio
import os
from collections.abc import Callable

from collectors.alerts import Alarm
from collectors.backfills import backfill_all
from collectors.run import collect
from collectors.targets import Sources
from costlib.errors import ConfigError
from store.engine import utc_now
from store.home import Home
from store.records import RUN_OK
from store.writer import Writer


def collect_sources(
    home: Home, sources: Sources, *, every_s: float | None, once: bool, say: Callable[[str], None]
) -> int:
    """Returns the exit code: 1 when a scrape of the single round failed. Raises ConfigError without any source."""
    if sources.is_empty:
        raise ConfigError(
            "no server to scrape: give --metrics-url http://host:8000/metrics, or name servers in permillion.toml "
            f"(in {home.path})"
        )
    with Writer.open(home) as writer:
        backfill_all(writer, sources, utc_now, say)
        collecting = collect(
            writer,
            sources.targets,
            every_s=sources.interval_s(every_s),
            once=once,
            on_run=lambda run: say(run.text),
            names=sources.names,
            file_sd=sources.file_sd,
            alarm=Alarm(home, os.environ, utc_now),
        )
        runs = asyncio.run(collecting)
    return int(any(run.state != RUN_OK for run in runs))
