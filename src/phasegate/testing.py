"""Tools for testing flows: a clock that is set by hand, draining that jumps ahead, scripted phases, and sudden death.

Everything runs on a real engine; nothing is simulated but time and the phases' functions.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from phasegate.core.flow import Flow
from phasegate.core.run import Scope
from phasegate.engine import Engine
from phasegate.errors import Fatal
from phasegate.registry import Registry
from phasegate.runtime.context import Context
from phasegate.store.base import Store


class FakeClock:
    """A clock that stands still until it is told to move; call it for the time, aware UTC. Safe to use from any thread."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = _utc(start)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Move on by this many seconds; returns the new time. Raises ``ValueError`` for going back."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back, least of all by {-seconds} seconds")
        with self._lock:
            self._now += timedelta(seconds=seconds)
            return self._now

    def reach(self, at: datetime) -> datetime:
        """Move on to ``at``, unless it is past already; returns the time."""
        with self._lock:
            self._now = max(self._now, _utc(at))
            return self._now

    def set(self, at: datetime) -> datetime:
        """Make it ``at``, be that later or earlier: the clocks of machines are put back too. Returns the time."""
        with self._lock:
            self._now = _utc(at)
            return self._now


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"a clock needs a time with zone, not {at.isoformat()}")
    return at.astimezone(UTC)


def drain(
    engine: Engine, clock: FakeClock | None = None, *, until: Callable[[], bool] | None = None, limit: int = 1000
) -> None:
    """Run everything that can run; with the engine's ``FakeClock``, also what becomes due later, jumping from time to time.

    Returns when nothing is left but what waits for a person, or when ``until()`` is true. Raises ``AssertionError`` when
    there is still something to do after ``limit`` jumps, or nothing any more although ``until()`` is not true.
    """
    for _ in range(limit + 1):
        engine.drain()
        if until is not None and until():
            return
        due = engine.next_due() if clock is not None else None
        if clock is None or due is None:
            break
        clock.reach(due)
    else:
        raise AssertionError(f"after {limit} jumps in time there is still something to do")
    if until is not None:
        raise AssertionError("nothing is left to do, and what was waited for has not come")


class Scripted:
    """A phase function that plays a list of outcomes, one per call, for each subject and item from the beginning.

    A value is returned, also an ``Outcome`` or a ``Skip``; an exception (class or instance) is raised, also a ``Snooze``; a
    function is called with the context, and what it returns or raises counts. A call more than there are outcomes is
    ``Fatal``. As the function of a batched phase it plays for each member. ``calls`` has the contexts in order of calling.
    """

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = outcomes
        self.calls: list[Context] = []
        self._played: dict[tuple[str, str, Scope], int] = defaultdict(int)
        self._lock = threading.Lock()

    def __call__(self, context: Any) -> Any:
        if isinstance(context, list):
            return [self._try(each) for each in context]
        return self._play(context)

    def _try(self, context: Context) -> Any:
        try:
            return self._play(context)
        except Exception as error:
            return error

    def _play(self, context: Context) -> Any:
        outcome = self._next(context)
        if isinstance(outcome, BaseException) or (isinstance(outcome, type) and issubclass(outcome, BaseException)):
            raise outcome
        return outcome(context) if callable(outcome) else outcome

    def _next(self, context: Context) -> Any:
        key = (context.run.id, context.phase, context.scope)
        with self._lock:
            self.calls.append(context)
            place, self._played[key] = self._played[key], self._played[key] + 1
        if place >= len(self.outcomes):
            raise Fatal(f"phase {context.phase!r} was called {place + 1} times and has {len(self.outcomes)} outcomes")
        return self.outcomes[place]


class CrashPoint:
    """Kills this process with SIGKILL just before the engine's store executes its ``statement``-th statement.

    With ``commit`` instead, just before the so-many-th commit. With ``after`` the statement or commit is still done, and
    the process dies just before the one that follows. Counting begins when the crash point is made; without a number it
    only counts, in ``statements`` and ``commits``. Nothing of Python's own tidying up happens: use it in a subprocess. A
    ``Store`` in the place of the engine lets one die while tables are created.
    """

    def __init__(
        self, engine: Engine | Store, *, statement: int | None = None, commit: int | None = None, after: bool = False
    ) -> None:
        self.statement, self.commit, self.after = statement, commit, after
        self.statements = self.commits = 0
        self._last = False  # whether the next statement is the one that is not reached
        self._lock = threading.Lock()
        store = engine.store if isinstance(engine, Engine) else engine
        store.trace(self._count)

    def _count(self, text: str) -> None:
        with self._lock:
            committing = text.upper() == "COMMIT"
            self.statements += 1
            self.commits += committing
            met = self.statements == self.statement or (committing and self.commits == self.commit)
            if self._last or (met and not self.after):
                os.kill(os.getpid(), signal.SIGKILL)
            self._last = met


@contextmanager
def temporary_engine(*flows: Flow, deps: Any = None, database: str = "sqlite://", **options: Any) -> Iterator[Engine]:
    """An engine on a database of its own that is gone afterwards, with these flows registered.

    ``database`` names another one, which stays. ``options`` are those of ``Engine``: ``clock``, ``limits``, ``tenant``.
    """
    with Engine(database, Registry(*flows, deps=deps), **options) as engine:
        yield engine
