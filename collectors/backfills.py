"""Before a collection begins: the history that its Prometheus sources kept, each read once."""

from collections.abc import Callable
from datetime import datetime, timedelta

from collectors.prometheus.backfill import Progress, backfill
from collectors.targets import Sources
from store.writer import Writer


def backfill_all(writer: Writer, sources: Sources, clock: Callable[[], datetime], say: Callable[[str], None]) -> None:
    """Reads back what each source's `backfill` names, or goes on where it stopped; what is there is not read again.

    A source that does not answer is said so and no more: it is collected all the same, and read back the next time.
    """
    for target in sources.targets:
        span: timedelta = target.options.get("backfill", timedelta())
        if not span:
            continue

        def progress(done: Progress, key: str = target.key) -> None:
            say(f"{key}: read back to {done.done_to:%Y-%m-%d %H:%M} UTC, {done.samples_count:,} samples")

        now = clock()
        report = backfill(writer, target, now - span, now, clock, progress, names=sources.names)
        if report.samples_count or report.stopped:
            say(f"{target.key}: {report.text}")
            writer.publish(force=True)
        for remark in report.remarks:
            say(f"{target.key}: {remark}")
