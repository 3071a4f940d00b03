"""A worker whose machine has a wrong clock: minutes off, and set anew again and again."""

from __future__ import annotations

import ctypes
import datetime
import gc
import random
import threading
import time
from typing import Any

from phasegate import Context, Engine, Flow, Gate, Limits, Phase, Registry, Retry
from tests.crash.ledger import Orphaned, enter, metadata

LEASE = 1.0
#: Seconds: of a phase that is longer than the lease, of a retry, of a deadline.
LONG, DELAY, DEADLINE = 2.5 * LEASE, 1.5, 2.0
#: Seconds by which a clock is wrong, at most, and between two changes of it.
OFF, JUMP = 600.0, 0.4


def flaky(context: Context) -> int:
    if context.attempt == 1:
        raise ConnectionError("no answer")
    return enter(context, 1)


def patient(context: Context) -> int:
    threading.Event().wait(LONG)
    return enter(context, context.attempt)


#: A live worker loses nothing, so a loss is a failure at once; who is killed on purpose has its own flow.
FLOW = Flow(
    "skewed",
    1,
    (
        Phase("flaky", flaky, retry=Retry(attempts=2, base=DELAY, jitter=False, losses=0)),
        Phase("patient", patient, retry=Retry(losses=0)),
        Phase("release", needs=("flaky",), gate=Gate(deadline=DEADLINE, default="approved")),
    ),
)
MORTAL = Flow("mortal", 1, (Phase("patient", patient, retry=Retry(losses=1000)),))


def opened(address: str) -> Engine:
    engine = Engine(address, Registry(FLOW, MORTAL), limits=Limits(threads=40, lease=LEASE, poll=0.05))
    engine.create_tables(metadata)
    return engine


class WrongClock:
    """From now on ``time.time`` and ``datetime.now`` of this process are ``off`` seconds wrong."""

    def __init__(self, off: float) -> None:
        self.off = off
        right, right_now, builtin = time.time, datetime.datetime.now, datetime.datetime

        def wrong_now(_cls: Any, zone: datetime.tzinfo | None = None) -> datetime.datetime:
            return right_now(zone) + datetime.timedelta(seconds=self.off)

        time.time = lambda: right() + self.off
        time.time_ns = lambda: int((right() + self.off) * 1e9)
        # Modules have taken the class itself by now, so that only its own dictionary reaches all of them.
        [names] = gc.get_referents(builtin.__dict__)
        names["now"] = classmethod(wrong_now)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(builtin))

    def jump(self, chance: random.Random) -> None:
        """Be set anew every now and then, for ever."""
        while True:
            time.sleep(JUMP)
            self.off = chance.choice([-OFF, OFF, 0, chance.uniform(-OFF, OFF)])


def main(address: str, off: float, seed: int) -> None:
    """A clock that is ``off`` seconds wrong; with a seed it is set anew again and again."""
    clock = WrongClock(off)
    right = time.clock_gettime(time.CLOCK_REALTIME)
    assert abs(datetime.datetime.now(datetime.UTC).timestamp() - right - off) < 1
    if seed:
        threading.Thread(target=clock.jump, args=(random.Random(seed),), daemon=True).start()
    with opened(address) as engine:
        engine.work(stop=Orphaned())
