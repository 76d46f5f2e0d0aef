"""What a served model is called, when its operators call it something else: names with dates.

vLLM exposes the name that `--served-model-name` gave it. Operators change that name in the middle of a month, or serve
one model under two; `[[model]]` rows of permillion.toml say which name of ours each exposed name stands for, and when.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from collectors.base import excerpt
from costlib.errors import ConfigError
from costlib.history import EngineHistory, HistogramHistory
from costlib.telemetry import EnginePage

ALWAYS = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """From `start` to before `end`, the model that is exposed as `exposed` is our `key`."""

    exposed: str
    key: str
    start: datetime = ALWAYS[0]
    end: datetime = ALWAYS[1]

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ConfigError(
                f"[[model]] exposed = {excerpt(self.exposed)}: `from` must lie before `to`, which is not included."
            )


class ModelNames:
    """Looks up names. What no row names keeps the name it is exposed under."""

    def __init__(self, rows: Sequence[ModelName] = ()) -> None:
        by_exposed: dict[str, list[ModelName]] = {}
        for row in sorted(rows, key=lambda row: (row.exposed, row.start)):
            before = by_exposed.setdefault(row.exposed, [])
            if before and row.start < before[-1].end:
                raise ConfigError(
                    f"[[model]] exposed = {excerpt(row.exposed)} is {excerpt(before[-1].key)} and {excerpt(row.key)} "
                    f"at the same time ({row.start:%Y-%m-%d}); end the first with `to` where the second begins."
                )
            before.append(row)
        self._rows: Mapping[str, Sequence[ModelName]] = by_exposed

    def key_of(self, exposed: str, at: datetime) -> str:
        """What the model that is exposed as `exposed` is called at `at`."""
        return next((row.key for row in self._rows.get(exposed, ()) if row.start <= at < row.end), exposed)

    def keys_ever_of(self, exposed: str) -> tuple[str, ...]:
        """Every name that it is stored under, at one time or another."""
        rows = self._rows.get(exposed, ())
        return tuple(dict.fromkeys((exposed, *(row.key for row in rows)))) if rows else (exposed,)

    def page(self, page: EnginePage) -> EnginePage:
        key = self.key_of(page.model_key, page.scraped_at)
        return page if key == page.model_key else replace(page, model_key=key)

    def history(self, history: EngineHistory) -> Iterator[EngineHistory]:
        """The stretches of `history`, each under the name of its time, oldest first."""
        rows = self._rows.get(history.model_key, ())
        if not rows or not len(history.times_s):
            yield history
            return
        edges = sorted({edge.timestamp() for row in rows for edge in (row.start, row.end) if edge not in ALWAYS})
        parts = np.searchsorted(edges, history.times_s, side="right")
        for part in np.unique(parts):
            chosen = parts == part
            key = self.key_of(history.model_key, datetime.fromtimestamp(float(history.times_s[chosen][0]), UTC))
            stretch = history if chosen.all() else rows_of(history, chosen)
            yield stretch if key == history.model_key else replace(stretch, model_key=key)


def rows_of(history: EngineHistory, chosen: np.ndarray) -> EngineHistory:
    """Those rows of `history` for which `chosen`, of shape (n,), is true."""
    return replace(
        history,
        times_s=history.times_s[chosen],
        started_s=history.started_s[chosen],
        counters={name: values[chosen] for name, values in history.counters.items()},
        gauges={name: values[chosen] for name, values in history.gauges.items()},
        histograms={
            name: HistogramHistory(
                bounds=item.bounds,
                cumulative_counts=item.cumulative_counts[chosen],
                sum=item.sum[chosen],
                count=item.count[chosen],
            )
            for name, item in history.histograms.items()
        },
    )
