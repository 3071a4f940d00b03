"""A worker: lease runs, have them moved, renew, look for news, stop. What happens to a leased run is the mover's matter."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from phasegate.core.run import Run
from phasegate.errors import StoreError
from phasegate.journal import Journal
from phasegate.registry import Registry
from phasegate.runtime.context import Services
from phasegate.runtime.log import announce, logger
from phasegate.runtime.machine import machine
from phasegate.runtime.mover import Mover
from phasegate.runtime.ray import Cluster
from phasegate.store.base import Store, WorkerRow

#: While a worker holds thousands of runs, Python's default thresholds would look through all of them again and again for
#: cycles that are not there: a third of all processor time, measured. Cycles are still collected, less often.
COLLECTING = (50_000, 20, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``concurrency`` attempts at once, of which ``threads`` plain functions. In seconds: ``lease``, how long a dead worker's
    runs stay its own; ``poll``, how often news from other processes are looked for; ``grace``, how long a stop waits."""

    concurrency: int = 1000
    threads: int = 16
    lease: float = 15.0
    poll: float = 0.1
    grace: float = 20.0


class Worker:
    """Moves runs until stopped. ``wake`` and ``stop`` may be called from any thread."""

    def __init__(
        self, store: Store, journal: Journal, registry: Registry, *, id: str, limits: Limits, dry_run: bool = False,
        ray_address: str | None = None,
    ) -> None:  # fmt: skip
        self.id, self.limits = id, limits
        self._store, self._journal, self._registry = store, journal, registry
        self._cluster = Cluster(ray_address, store.now, registry.deps)
        self._services = Services(store.now, store.read, logger(), registry.deps, dry_run, announce, self._cluster)
        self._started_at = store.now()
        self._lease_until: datetime | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Whether ``run`` has returned: by ``stop``, or because it failed.
        self.ended = False
        #: The last error of the database, as a sign for whoever watches; what it concerned is tried again.
        self.trouble: Exception | None = None
        self._look, self._stopping = True, False
        self._left_behind = False  # runs that an earlier ``run`` could not give back
        self._in_doubt = False  # whether runs may be leased to this worker that it has not heard of
        self._news: object = None
        self._next_due: datetime | None = None

    async def run(self, *, until: Callable[[], bool] | None = None, until_idle: bool = False) -> None:
        """Work until stopped; with ``until_idle`` until nothing is left that could be done now."""
        self._woken = asyncio.Event()
        self._look, self.ended, self.trouble = True, False, None
        self._mover = Mover(
            self._store, self._journal, self._registry, worker=self.id, services=self._services,
            concurrency=self.limits.concurrency, threads=self.limits.threads, changed=self._woken.set,
            report=self._report,
        )  # fmt: skip
        self._loop = asyncio.get_running_loop()  # last: who sees it set may use the rest
        listening = asyncio.create_task(self._listen())
        collecting = gc.get_threshold()
        gc.set_threshold(*COLLECTING)
        clean = False
        try:
            while not self._stopping and not (until and until()):
                if await (self._step(until_idle) if until_idle else self._persist()):
                    break
            clean = True
        except Exception as error:
            announce("worker.failed", worker=self.id, error=str(error))
            raise
        finally:
            gc.set_threshold(*collecting)
            listening.cancel()
            await self._hand_back(clean)
            self._loop, self._stopping, self.ended = None, False, True

    async def _persist(self) -> bool:
        """A step of a worker that is there to stay: trouble with the database is waited out."""
        try:
            return await self._step(until_idle=False)
        except StoreError as error:
            self._report(error)
            self._look = True
            await asyncio.sleep(self.limits.poll)
            return False

    async def _step(self, until_idle: bool) -> bool:
        """Do what can be done now, then wait for something to change. True when there is nothing to wait for."""
        mover = self._mover
        self._woken.clear()
        if mover.failure or (self.trouble and until_idle):
            raise mover.failure or self.trouble  # type: ignore[misc]  # one of them is an error
        if self._look and self._has_room():
            await self._claim()
        if not self._look and mover.only_batches_wait:
            mover.flush_batches()
        if mover.empty and not self._look:
            self._look = self._due()
            if until_idle and not self._look:
                return True
        if not (self._look and self._has_room()):
            await self._woken.wait()
        return False

    def _has_room(self) -> bool:
        """Whether a claim is worth its commit: a quarter of the places is free, or all."""
        free = self._mover.free
        return free > 0 and (free * 4 >= self.limits.concurrency or not self._mover.in_flight)

    async def _claim(self) -> None:
        if self._left_behind:
            await self._call(lambda: self._store.retire(self.id))
            self._left_behind, self._lease_until = False, None
        await self._renew()  # a worker whose lease has passed must find out before it takes more
        if self._in_doubt:
            await self._give_back_unknown()
        self._look = False
        limit, flows = self._mover.free, [(flow.name, flow.version) for flow in self._registry.flows]
        claimed = await self._lease(lambda: self._store.claim(self.id, limit, flows))
        self._look = self._look or len(claimed.runs) == limit
        self._next_due = claimed.later
        self._mover.take(claimed.runs)

    async def _give_back_unknown(self) -> None:
        """Free the runs whose lease was committed without this worker hearing of it: nobody else may take them."""
        self._in_doubt = False
        mine = await self._lease(lambda: self._store.held(self.id))
        unknown = self._mover.unknown(mine)
        if unknown:
            await self._lease(lambda: self._store.release(self.id, unknown))

    async def _lease(self, work: Callable[[], Any]) -> Any:
        """Do something about leases. When it fails it may have been committed all the same: only the answer was lost."""
        try:
            return await self._call(work)
        except StoreError:
            self._in_doubt = True
            raise

    def _due(self) -> bool:
        """Whether something has become due by time since the last look."""
        due = [at for at in (self._next_due, self._mover.next_due) if at is not None]
        if not due or min(due) > self._store.now():
            return False
        self._next_due = self._mover.next_due = None
        return True

    # --- from outside ---

    def wake(self, run_id: str | None = None) -> None:
        """Something may have become due; ``run_id`` was changed by somebody else in this process."""

        def look() -> None:
            self._look = True
            if run_id is not None:
                self._mover.refresh([run_id])
            self._woken.set()

        self._tell(look)

    def room(self) -> int:
        """How many runs could be handed over now; 0 when the worker is not running."""
        registered = self._lease_until is not None and self._lease_until > self._store.now()
        return self._mover.free if registered and self._loop is not None and not self._stopping else 0

    def adopt(self, runs: Sequence[Run]) -> None:
        """Take runs that were leased to this worker when they were started."""
        self._tell(lambda: self._mover.take(runs))

    def doubt(self) -> None:
        """Runs that were to be leased to this worker when they were started may be there, although that failed."""

        def look() -> None:
            self._in_doubt = self._look = True
            self._woken.set()

        self._tell(look)

    def stop(self) -> None:
        """End: attempts under way may finish within the grace time, the others are handed back."""

        self._stopping = True  # also when it has not begun yet
        self._tell(lambda: self._woken.set())  # noqa: PLW0108  # there is no event before it runs

    def _tell(self, what: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(what)
            except RuntimeError:
                return  # the loop has just closed: there is nobody to tell

    def retire(self) -> None:
        """Let go of the cluster, and forget the registration, so that others need not wait for the lease to pass."""
        self._cluster.leave()
        if self._lease_until is not None:
            try:
                self._journal.call(lambda: self._store.retire(self.id)).result()
            except StoreError as error:  # then they wait for it after all
                self._report(error)
            self._lease_until = None

    # --- lease and news ---

    async def _renew(self) -> bool:
        """Register, or prolong the leases once a third of their time has passed; whether it was time."""
        now = self._store.now()
        lease = timedelta(seconds=self.limits.lease)
        if self._lease_until is not None and self._lease_until - now > lease * 2 / 3:
            return False
        row = WorkerRow(self.id, machine(), os.getpid(), self._started_at, now + lease)
        known = await self._call(lambda: self._store.renew(row))
        if not known and self._lease_until is not None:
            lost = self._mover.drop_all()
            announce("worker.fenced", worker=self.id, runs=lost)
            self._look = True
            self._woken.set()
        self._lease_until = row.lease_until
        return True

    async def _listen(self) -> None:
        """Keep the lease; look for what other processes did and for what has become due by time."""
        rounds = 0
        while True:
            await asyncio.sleep(self.limits.poll)
            rounds += 1
            try:
                # Who commits and dies, or is not answered, tells nobody: so look now and then without being told.
                renewed = await self._renew()
                news = self._store.news()
                if renewed or news != self._news or self._due():
                    self._news, self._look = news, True
                    self._woken.set()
                    if not self._mover.empty and rounds >= 5:
                        rounds = 0
                        self._mover.refresh_outdated(await asyncio.to_thread(self._store.held, self.id))
            except Exception as error:  # whatever it is: without this task the lease would pass
                self._report(error)

    async def _hand_back(self, clean: bool) -> None:
        """Give back what is held; after an error everything that the database says is held."""
        kept = await self._mover.wind_down(self.limits.grace if clean else 0)
        try:
            if not clean:
                await self._call(lambda: self._store.retire(self.id))
                self._lease_until = None
            elif kept:
                await self._call(lambda: self._store.release(self.id, kept))
        except StoreError as error:
            self._left_behind = True
            self._report(error)

    def _report(self, error: Exception) -> None:
        self.trouble = error
        announce("store.trouble", worker=self.id, error=str(error))

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._journal.call(work))
