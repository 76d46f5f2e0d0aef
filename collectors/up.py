"""Collector and dashboard together: one Ctrl-C stops both."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from collectors.alerts import Alarm
from collectors.backfills import backfill_all
from collectors.base import Target
from collectors.demo import load_demo, sample_file
from collectors.replay import ReplayServer
from collectors.run import collect
from collectors.sample_live import gpu_pages, live_pages
from collectors.targets import Sources
from costlib.errors import ConfigError
from store.engine import utc_now
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer

APP = Path(__file__).resolve().parents[1] / "app.py"
SAMPLE_EVERY_S = 5.0
DASHBOARD_START_S, DASHBOARD_STOP_S, LOOK_EVERY_S = 60.0, 5.0, 0.1
STOPS = (signal.SIGINT, signal.SIGTERM)


def up(
    home: Home, sources: Sources, *, demo: bool, port: int, every_s: float | None, say: Callable[[str], None]
) -> int:
    """Run until interrupted, or until the dashboard ends. Returns the exit code.

    With `demo`, the sample data and a replay of the sample fleet, unless servers are named or the home holds real data.
    """
    _check_port(port)
    named = not sources.is_empty
    if demo and (real := "servers are named" if named else "this home holds real data" if _holds_real(home) else ""):
        say(f"The sample is left out: {real}.")
        demo = False
    with ExitStack() as stack:
        if demo:
            load_demo(home, utc_now)
            sources = Sources(targets=tuple(stack.enter_context(sample_targets())))
            every_s = min(sources.interval_s(every_s), SAMPLE_EVERY_S)
        writer = stack.enter_context(Writer.open(home))
        writer.publish(force=True)
        for number in STOPS:  # a dashboard must never outlive us, also where Ctrl-C was ignored when we were started
            signal.signal(number, signal.default_int_handler)
        dashboard = _start_dashboard(home, port)
        try:
            _wait_until_healthy(dashboard, port)
            say(f"Permillion at http://localhost:{port}  ({'sample data' if demo else 'your data'}; Ctrl-C stops it)")
            backfill_all(writer, sources, utc_now, say)
            collecting = partial(
                collect,
                writer,
                sources.targets,
                every_s=sources.interval_s(every_s),
                file_sd=sources.file_sd,
                names=sources.names,
                alarm=Alarm(home, os.environ, utc_now),
            )
            return asyncio.run(_until_stopped(collecting, dashboard))
        except KeyboardInterrupt:  # before the loop took the signals over
            return 0
        finally:
            _stop(dashboard)


@contextmanager
def sample_targets() -> Iterator[list[Target]]:
    """The sample fleet, served on this machine for as long as it lasts: each deployment's vLLM, and its GPUs."""
    file, now = sample_file(utc_now()), utc_now()
    engines, gpus = live_pages(file, now.timestamp()), gpu_pages(file)
    with ReplayServer({**engines, **gpus}) as replay:
        keys = {path: path.split("/")[1] for path in (*engines, *gpus)}
        yield [
            *(Target(key=keys[path], url=replay.url + path, is_sample=True) for path in engines),
            *(
                Target(
                    key=f"{keys[path]}-gpus",
                    url=replay.url + path,
                    source_key="dcgm",
                    labels={"deployment": keys[path]},
                    is_sample=True,
                )
                for path in gpus
            ),
        ]


def _holds_real(home: Home) -> bool:
    snapshot = open_snapshot(home)
    if snapshot is None:
        return False
    with snapshot:
        covered = snapshot.status()
        return not snapshot.is_sample and (covered.usage_from or covered.charges_from) is not None


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used: {error.strerror}. Choose another with --port.") from None


def _start_dashboard(home: Home, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    # The folder decides which .streamlit/config.toml is read. A new session keeps Ctrl-C for us to pass on.
    return subprocess.Popen(
        command,
        cwd=APP.parent,
        env={**os.environ, "PERMILLION_HOME": str(home.path)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_healthy(dashboard: subprocess.Popen[bytes], port: int) -> None:
    health = f"http://127.0.0.1:{port}/_stcore/health"
    give_up_at = time.monotonic() + DASHBOARD_START_S
    while time.monotonic() < give_up_at and dashboard.poll() is None:
        with suppress(OSError), urllib.request.urlopen(health, timeout=1):
            return
        time.sleep(LOOK_EVERY_S)
    raise ConfigError(
        "the dashboard did not start; what it said is above. Is the environment whole? (./dev run sets it up)"
    )


def _stop(dashboard: subprocess.Popen[bytes]) -> None:
    dashboard.terminate()
    try:
        dashboard.wait(DASHBOARD_STOP_S)
    except subprocess.TimeoutExpired:
        dashboard.kill()
        dashboard.wait()


async def _until_stopped(collecting: Callable[..., Awaitable[object]], dashboard: subprocess.Popen[bytes]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    # No thread waits for the dashboard: one that does not end would keep the loop from closing.
    watching = asyncio.create_task(_ended(dashboard))
    watching.add_done_callback(lambda _: stop.set())
    await collecting(stop=stop)
    if not watching.done():
        watching.cancel()
        return 0
    return 1


async def _ended(dashboard: subprocess.Popen[bytes]) -> None:
    while dashboard.poll() is None:
        await asyncio.sleep(LOOK_EVERY_S)
