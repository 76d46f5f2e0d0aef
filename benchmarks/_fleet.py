"""A fleet of made-up vLLM servers in a process of its own, so that serving its pages costs whoever reads them nothing.

Every page is made and compressed beforehand; each request to a server gets its next one.
"""

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from aiohttp import web

from tests.fake_vllm import FakeVllm, Life, Load

ROOT = Path(__file__).parents[1]
STEPS_COUNT = 6
EVERY_S = 15.0
LOAD = Load(requests_per_s=0.5)


def server(number: int, lasts_s: float = STEPS_COUNT * EVERY_S) -> FakeVllm:
    """No two of them are alike: each began at a moment of its own, with requests of its own."""
    return FakeVllm(Life(from_s=-600.0 - 2 * number, to_s=lasts_s + 1.0, load=LOAD, seed=number))


@contextmanager
def fleet(count: int) -> Iterator[list[str]]:
    """The URLs of `count` servers that run while this is open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._fleet", str(count)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        base = process.stdout.readline().strip()
        yield [f"{base}/{number}/metrics" for number in range(count)]
    finally:
        process.terminate()
        process.wait(15)


async def _serve(count: int) -> None:
    answers = {
        str(number): cycle([gzip.compress(str(one.page_at(step * EVERY_S)).encode(), 6) for step in range(STEPS_COUNT)])
        for number in range(count)
        for one in (server(number),)
    }
    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Content-Encoding": "gzip"}

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=next(answers[request.match_info["number"]]), headers=headers)

    application = web.Application()
    application.add_routes([web.get("/{number}/metrics", page)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("http://{}:{}".format(*runner.addresses[0][:2]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
