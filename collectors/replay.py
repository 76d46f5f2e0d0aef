"""Serves recorded or made-up metrics pages as a vLLM server would: for demonstrations and tests, on this machine only.

A recording is a gzipped file of one JSON object per scrape, {"ts": unix seconds, "text": the page}. A text that starts
with "# scrape failed" is a scrape that got no answer; it is replayed as one, by closing the connection.
"""

import asyncio
import gzip
import json
import threading
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from costlib.errors import ConfigError

# What a path shows at a time in seconds since the server started; None: no answer.
PageAt = Callable[[float], str | None]

FAILED_SCRAPE = "# scrape failed"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
THREAD_START_S = 10.0
SHUTDOWN_S = 0.5  # for answers under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Pages in the order they were scraped, each with its time since the first."""

    offsets_s: tuple[float, ...]
    pages: tuple[str | None, ...]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Reads metrics.jsonl.gz. Raises ConfigError naming the file and line for anything else."""
        try:
            lines = gzip.decompress(Path(path).read_bytes()).decode("utf-8").splitlines()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as a gzipped recording: {error}") from None
        scrapes = []
        for number, line in enumerate(lines, start=1):
            try:
                scrape = json.loads(line)
                at_s, text = float(scrape["ts"]), str(scrape["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{path}, line {number}: {error!r}; each line of a recording is a JSON object with ts and text."
                ) from None
            scrapes.append((at_s, None if text.startswith(FAILED_SCRAPE) else text))
        if not scrapes:
            raise ConfigError(f"{path} holds no scrape.")
        scrapes.sort(key=lambda scrape: scrape[0])
        first_s = scrapes[0][0]
        return cls(offsets_s=tuple(at - first_s for at, _ in scrapes), pages=tuple(page for _, page in scrapes))

    @property
    def duration_s(self) -> float:
        return self.offsets_s[-1]

    def page_at(self, elapsed_s: float) -> str | None:
        """The page scraped last at that time; the last one from the end on, and None where the scrape failed."""
        index = bisect_right(self.offsets_s, elapsed_s) - 1
        return self.pages[index] if index >= 0 else None

    def play(self, *, speed: float = 1.0, loop: bool = False) -> PageAt:
        """The recording as a page to serve. With `loop` it starts again at its end, as an engine that was restarted."""
        if not speed > 0:
            raise ConfigError(f"a recording cannot be replayed at {speed:g} times its speed; give a number above 0.")

        def page_at(elapsed_s: float) -> str | None:
            at_s = elapsed_s * speed
            return self.page_at(at_s % self.duration_s if loop and self.duration_s else at_s)

        return page_at


async def serve(
    pages: Mapping[str, PageAt],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = time.monotonic,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves each path its page until cancelled. Port 0 takes a free one; `on_start` is told the base URL."""
    runner = web.AppRunner(
        _application(pages, clock), handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        on_start("http://{}:{}".format(*runner.addresses[0][:2]))
        await asyncio.Event().wait()
    except OSError as error:
        raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}. Choose another port.") from None
    finally:
        await runner.cleanup()


def _application(pages: Mapping[str, PageAt], clock: Callable[[], float]) -> web.Application:
    began_s = clock()

    async def page(request: web.Request) -> web.Response:
        text = pages[request.path](clock() - began_s)
        if text is None and request.transport:
            request.transport.abort()
        response = web.Response(body=(text or "").encode(), headers={"Content-Type": CONTENT_TYPE})
        response.enable_compression()  # gzip when the client takes it, as prometheus_client's own page does
        return response

    application = web.Application()
    application.add_routes([web.get(path, page) for path in pages])
    return application


class ReplayServer:
    """`serve` in a thread of its own: `with ReplayServer({"/metrics": recording.play()}) as server: server.url`."""

    def __init__(
        self,
        pages: Mapping[str, PageAt],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages, self._host, self._port, self._clock = pages, host, port, clock
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.url = ""  # of the server; each page lies at its path below

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self.url + path for path in self._pages)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(THREAD_START_S)
        if self._error or not self.url:
            raise self._error or ConfigError("the replay server did not start; is this machine overloaded?")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop and self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

        def started(url: str) -> None:
            self.url = url
            self._started.set()

        await serve(self._pages, host=self._host, port=self._port, clock=self._clock, on_start=started)
