"""Attempts that may start only when the quotas of their phase leave a place for them, over all workers.

The worker asks the store for many places at once. What it does not get stays in the queue, and is asked for again when an
attempt of this worker has ended, and now and then, because other workers' attempts end too. Whoever has to wait for a rate is
parked until its turn comes, so that a long line costs no memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from phasegate.core.quota import Permit, permit
from phasegate.core.run import Instance
from phasegate.errors import StoreError
from phasegate.runtime.held import Held
from phasegate.store.base import Granted

#: Seconds until places that other workers may have given back are asked for again.
ASK_AGAIN = 0.25
#: An attempt that has asked so often for a token of a rate is parked, however short its wait seems.
PATIENCE = 3
#: Attempts asked about at once.
MOST = 256


@dataclass(slots=True, eq=False)
class Waiting:
    """An attempt that waits for its places, and how often it has asked."""

    held: Held
    key: Instance
    permits: tuple[Permit, ...]
    asked: int = 0

    @property
    def wanted(self) -> bool:
        """Whether its run still waits for it here."""
        return self.key in self.held.throttled


Place = tuple[str, str]  # name and key of a quota
Take = Callable[[Sequence[Sequence[Permit]]], Awaitable[Granted]]
Keep = Callable[[dict[Place, int]], Awaitable[None]]


class Throttle:
    """``start`` is called with what may start and the places it holds, ``park`` with what is not to be tried for so many
    seconds; ``background`` runs a coroutine of the worker's, ``report`` is told when the database failed."""

    def __init__(
        self, take: Take, keep: Keep, start: Callable[[Held, Instance, tuple[Permit, ...]], None],
        park: Callable[[Held, float], None], background: Callable[[Awaitable[None]], None],
        report: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._take, self._keep, self._start, self._park = take, keep, start, park
        self._background, self._report = background, report
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._holding: Counter[Place] = Counter()
        self._changed: set[Place] = set()  # of which the store does not know yet how many are held
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, held: Held, key: Instance) -> None:
        """Let an attempt wait for its places."""
        phase = held.flow.by_name[key[0]]
        held.throttled.add(key)
        self._queue.append(Waiting(held, key, tuple(permit(quota, held.run, phase.name) for quota in phase.quotas)))
        self._ask()

    def give_back(self, permits: Sequence[Permit]) -> None:
        """An attempt has ended: its places are free."""
        places = [(each.name, each.key) for each in permits if each.concurrency is not None]
        self._holding.subtract(places)
        self._changed.update(places)
        self._ask()

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy:
            self._busy = True
            self._background(self._work())

    async def _work(self) -> None:
        asked: list[Waiting] = []
        try:
            await self._tell()
            while asked := self._next():
                granted = await self._take([each.permits for each in asked])
                refused = self._answered(asked, granted)
                if refused:
                    self._wait(refused)
                    break
        except StoreError as error:
            # It may have been committed all the same: what is held is told again, and asked for again.
            self._report(error)
            self._changed.update((each.name, each.key) for waiting in asked for each in waiting.permits)
            self._wait(asked)
        finally:
            self._busy = False
        if self._changed and self._timer is None:
            self._ask()

    async def _tell(self) -> None:
        """Tell the store what is held, where that has changed."""
        changed, self._changed = self._changed, set()
        if changed:
            try:
                await self._keep({place: self._holding[place] for place in changed})
            except StoreError:
                self._changed |= changed
                raise

    def _answered(self, asked: Sequence[Waiting], granted: Granted) -> list[Waiting]:
        """Start what may start, park what has to wait for a rate; the others are returned."""
        refused: list[Waiting] = []
        for each, given, wait in zip(asked, granted.given, granted.waits, strict=True):
            if given:
                self._admit(each)
            elif each.wanted and not self._parked(each, wait):
                refused.append(each)
        return refused

    def _wait(self, waiting: Sequence[Waiting]) -> None:
        self._queue.extendleft(reversed(waiting))
        self._timer = self._loop.call_later(ASK_AGAIN, self._ask)

    def _next(self) -> list[Waiting]:
        """The next to ask about; those whose run has gone meanwhile are dropped."""
        asked: list[Waiting] = []
        while self._queue and len(asked) < MOST:
            each = self._queue.popleft()
            if each.wanted:
                asked.append(each)
        return asked

    def _admit(self, waiting: Waiting) -> None:
        self._holding.update((each.name, each.key) for each in waiting.permits if each.concurrency is not None)
        if waiting.wanted:
            waiting.held.throttled.discard(waiting.key)
            self._start(waiting.held, waiting.key, waiting.permits)
        else:  # dropped while the store was asked
            self.give_back(waiting.permits)

    def _parked(self, waiting: Waiting, wait: float | None) -> bool:
        waiting.asked += 1
        if wait is None or (wait <= ASK_AGAIN and waiting.asked < PATIENCE):
            return False
        waiting.held.throttled.discard(waiting.key)
        self._park(waiting.held, wait)
        return True
