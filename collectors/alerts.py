"""Sends what alert rules have to say: to the log, to a webhook, to the pages. Each event goes each way once.

The state is saved after every step, so that a crash repeats one message at most; a receiver knows it by its `id`. A
webhook that fails is tried once more, said in the log and tried again with the next round. Its address is a secret,
often enough: nothing but its host is ever shown.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from collectors.base import ScrapeFailure, TargetRefused, excerpt
from collectors.http import HttpClient, HttpLimits, checked_webhook
from costlib.alerts import AlertState, Event, EventKind, Rule, Signal, Way, gone, judged
from costlib.errors import PermillionError
from store.alerts_file import load_rules, load_state, save_state
from store.home import Home
from store.read import open_snapshot
from store.signals import signals

LIMITS = HttpLimits(connect_s=2.0, idle_s=5.0, total_s=8.0)
TRIES = 2
LOOK_EVERY_S = 60.0  # a look takes a second of the processor; what it watches are days
LONGEST_SENTENCE, MOST_TEXT_CHARACTERS = 600, 1000
log = logging.getLogger("permillion.alerts")


class Alarm:
    """Looks at each newly published state once, and says what alert rules have to say of it. Never raises: collecting
    goes on whatever alerts.toml holds, and what is wrong with it is said once."""

    def __init__(self, home: Home, env: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._home, self._env, self._clock = home, env, clock
        self._seen = self._complaint = ""

    async def keep_watch(self) -> None:
        """For ever: now and then a look."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        try:
            published = self._home.pointer.read_text(encoding="utf-8").strip()
        except OSError:
            return
        if published == self._seen:
            return
        self._seen = published
        try:
            await self._judge()
            self._complaint = ""
        except PermillionError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("no alert is sent: %s", error)
        except Exception:
            log.exception("looking for alerts failed; the next published state is looked at again")

    async def _judge(self) -> None:
        state = load_state(self._home)
        if load_rules(self._home) or state.firing or state.waiting:
            found = await asyncio.to_thread(self._signals)
            await alert(self._home, found, self._env, self._clock())

    def _signals(self) -> tuple[Signal, ...]:
        snapshot = open_snapshot(self._home)
        if snapshot is None:
            return ()
        with snapshot:
            return signals(snapshot, self._home)


async def alert(home: Home, found: Iterable[Signal], env: Mapping[str, str], now: datetime) -> AlertState:
    """Judge the signals by the home's rules and send what is new, and what could not be sent before.

    Raises    ConfigError for rules or a state that cannot be read; never for a webhook
    """
    rules = load_rules(home)
    state = load_state(home)
    if not rules and not state.firing and not state.waiting:
        return state
    state = judged(rules, found, state, now)
    save_state(home, state)
    return await _send(home, state, rules, env)


async def _send(home: Home, state: AlertState, rules: Sequence[Rule], env: Mapping[str, str]) -> AlertState:
    asked = {rule.url_variable for rule in rules}
    failed: set[str] = set()  # a webhook that is down is not asked again in this round
    async with HttpClient(LIMITS) as http:
        for event in state.waiting:
            for way in event.waits_for:
                is_done = True
                if way is Way.LOG:
                    log.log(logging.WARNING if event.kind is EventKind.FIRED else logging.INFO, "%s", said(event))
                elif way is Way.WEBHOOK and event.url_variable in asked:
                    if event.url_variable in failed:
                        continue
                    is_done = await _post(http, event, env)
                    failed |= set() if is_done else {event.url_variable}
                state = gone(state, event, way, is_done=is_done)
                save_state(home, state)
    return state


async def _post(http: HttpClient, event: Event, env: Mapping[str, str]) -> bool:
    """Whether the webhook took the event."""
    url = env.get(event.url_variable, "").strip()
    if not url:
        log.warning("alert not sent: the environment variable %s is not set; put the address there", event.url_variable)
        return False
    for tried in range(1, TRIES + 1):
        try:
            await http.post_json(checked_webhook(url, event.url_variable), body(event))
            return True
        except TargetRefused as error:
            log.warning("alert not sent, and tried again next time: %s", error)
            return False
        except ScrapeFailure as error:
            if tried == TRIES:
                log.warning("alert not sent, and tried again next time: %s", error)
    return False


def body(event: Event) -> bytes:
    """What a webhook gets: JSON, with `text` as chat services show it."""
    document = {
        "id": event.id,
        "kind": event.kind,
        "on": event.on,
        "scope": event.scope,
        "value": event.value_ratio,
        "limit": event.limit_ratio,
        "at": event.at.isoformat(),
        "text": said(event),
    }
    return json.dumps(document, sort_keys=True).encode()


def said(event: Event) -> str:
    """One line for people. Names and texts come from bills: quoted, controls escaped, cut."""
    scope = f" of {excerpt(event.scope)}" if event.scope else ""
    side = "above" if event.kind is EventKind.FIRED else "below"
    line = f"{event.kind}: {event.on}{scope} is {event.value_ratio:.4g}, {side} {event.limit_ratio:.4g}"
    return (f"{line}: {excerpt(event.text, LONGEST_SENTENCE)}" if event.text else line)[:MOST_TEXT_CHARACTERS]
