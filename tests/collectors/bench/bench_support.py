"""One benchmark of a fake server, as small as it may be."""

import asyncio
from collections.abc import Mapping
from typing import Any

from collectors.bench.load import Progress
from collectors.bench.report import BenchReport
from collectors.bench.request import BenchRequest
from collectors.bench.run import run_bench
from tests.fake_openai import FakeOpenAI, serving_openai

SMALL: Mapping[str, Any] = {
    "concurrencies": (2,),
    "requests_count": 6,
    "warmup_count": 0,
    "input_tokens": "40-80",
    "output_tokens": "10",
    "seed": 7,
    "timeout_s": 5.0,
}
PROBES = 2  # what `meet` asks before anything is measured


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def measured(
    fake: FakeOpenAI, *, env: Mapping[str, str] | None = None, path: str = "", on_progress: Any = quiet, **changes: Any
) -> BenchReport:
    async def main() -> BenchReport:
        async with serving_openai(fake) as url:
            request = BenchRequest(**({**SMALL, "url": url + path} | changes))
            return await run_bench(request, {} if env is None else env, on_progress)

    return asyncio.run(main())


def faulty(*faults: str | None, then: str | None = None) -> FakeOpenAI:
    """A server whose requests after the probes fail so, one after the other."""
    return FakeOpenAI(fault_of=lambda number: None if number < PROBES else (*faults, *[then] * 999)[number - PROBES])
