"""Having a segment stored: by the writer that runs, or by being the writer for a moment."""

import time
from collections.abc import Callable
from datetime import datetime

from store.engine import utc_now
from store.home import Home
from store.inbox import Reply, take_reply, withdraw
from store.writer import StoreBusy, Writer

# How long to wait for a running writer, which looks into its inbox every few seconds.
WAIT_S = 60.0
_LOOK_EVERY_S = 0.2


def hand_over(
    home: Home,
    segment_id: str,
    clock: Callable[[], datetime] = utc_now,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Reply | None:
    """The answer to our segment; None when it takes longer than `wait_s`. It is stored in the end all the same.

    Raises    what keeps us from being the writer; the segment is withdrawn then
    """
    waited_s = 0.0
    while True:
        reply = take_reply(home, segment_id)
        if reply is not None or waited_s > wait_s:
            return reply
        try:
            with Writer.open(home, clock) as writer:
                writer.drain_inbox()
                writer.publish(force=True)
        except StoreBusy:
            sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
        except Exception:
            withdraw(home, segment_id)
            raise
