"""The network between a simulated process and the store: requests that fail, that are done and not answered, or late."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

from phasegate import StoreUnavailable
from phasegate.journal import Answer, Journal
from phasegate.store.base import Append, Store
from tests.crash.store_double import Double
from tests.crash.virtual_time import VirtualLoop

#: After these the others are told that there may be something to do.
_TOLD = frozenset({"append", "transact", "release", "retire", "bury"})


class Line:
    """One process's connection to the store. It may be cut; a request may fail, or be done and not answered."""

    def __init__(self, store: Double, chance: random.Random) -> None:
        self._store, self._chance = store, chance
        self.trouble = 0.0  # how likely a request fails
        self.cut = self.dead = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        return verb if name in ("now", "news", "dialect") else lambda *arguments: self._ask(name, verb, arguments)

    def _ask(self, name: str, verb: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.dead and name == "load":
            return []  # what is left of a dead process forgets what it held
        if self.dead or self.cut or self._chance.random() < self.trouble / 2:
            raise StoreUnavailable("the store does not answer")
        result = verb(*arguments)
        if self._chance.random() < self.trouble / 2:
            raise StoreUnavailable("the answer was lost")
        self._store.rung += name in _TOLD
        return result


class LateJournal(Journal):
    """The journal with the loop in the place of its thread: it writes a little later, and the answer comes later still."""

    def __init__(self, store: Store, loop: VirtualLoop, chance: random.Random) -> None:
        self._loop, self._chance = loop, chance
        self._writing = False
        self._told_at = 0.0
        _open(self, store)

    def _put(self, job: Any) -> None:
        self._jobs.put(job)
        if not self._writing:
            self._writing = True
            self._loop.call_later(self._chance.uniform(0, 0.03), self._pump)

    def _pump(self) -> None:
        job: Any = self._jobs.get_nowait()
        batch, calls = ([], [job]) if not hasattr(job, "members") else self._gather(job)
        if batch:
            self._commit(batch)
        for call in calls:
            self._run(call)
        self._writing = not self._jobs.empty()
        if self._writing:
            self._loop.call_later(self._chance.uniform(0, 0.03), self._pump)

    def _tell(self, listener: Callable[..., None], *arguments: Any) -> None:
        self._told_at = max(self._told_at, self._loop.time() + self._chance.uniform(0, 0.02))
        self._loop.call_at(self._told_at, listener, *arguments)


class PromptJournal(Journal):
    """The journal of a person: everything is answered at once."""

    def __init__(self, store: Store, _projections: Any = ()) -> None:
        _open(self, store)

    def submit(self, appends: Sequence[Append], answer: Answer) -> None:
        try:
            answers = self.store.append(appends, ())
        except Exception as error:
            answers = [error] * len(appends)
        answer(answers)

    def close(self) -> None:
        """There is no thread."""


def _open(journal: Journal, store: Store) -> None:
    journal.store, journal.projections, journal.committed = store, (), []
    journal._jobs, journal._closed, journal._closing = queue.SimpleQueue(), False, threading.Lock()
