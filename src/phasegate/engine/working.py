"""Working: in this process until nothing is left, as a service, or as if."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from phasegate.engine.base import Base
from phasegate.processes import alive
from phasegate.runtime.machine import machine
from phasegate.runtime.worker import Limits, Worker
from phasegate.store.base import Ddl, Write
from phasegate.store.ids import new_id


class Working(Base):
    """The part of the façade that executes phases, and writes what belongs to none."""

    def drain(self, *, concurrency: int | None = None) -> None:
        """Run everything that can run now, in this process; returns when nothing is left but what waits."""
        with self._draining:
            limits = self._limits if concurrency is None else replace(self._limits, concurrency=concurrency)
            if self._worker is None:
                self.bury_dead_workers()
                self._worker = self._make_worker(limits)
            self._worker.limits = limits
            for flow in self.registry.flows:
                self._keep(flow)
            worker = self._worker
            self._workers.append(worker)
            try:
                _run_here(lambda: worker.run(until_idle=True))
            finally:
                self._workers.remove(worker)

    @asynccontextmanager
    async def worker(self, *, concurrency: int | None = None) -> AsyncIterator[Worker]:
        """A worker that runs until the block ends, then hands back what it could not finish."""
        limits = self._limits if concurrency is None else replace(self._limits, concurrency=concurrency)
        await asyncio.to_thread(self.bury_dead_workers)
        worker = self._make_worker(limits)
        for flow in self.registry.flows:
            await asyncio.to_thread(self._keep, flow)
        self._workers.append(worker)
        self._services.append(worker)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            with self._handing:  # from here on nobody hands it a run; those handed before are freed when it retires
                self._services.remove(worker)
            worker.stop()
            try:
                await task
            finally:
                self._workers.remove(worker)
                await asyncio.to_thread(worker.retire)

    def work(self, *, concurrency: int | None = None, stop: threading.Event | None = None) -> None:
        """Be a worker until ``stop`` is set (or for ever)."""

        async def working() -> None:
            async with self.worker(concurrency=concurrency) as worker:
                while not worker.ended and (stop is None or not stop.is_set()):
                    await asyncio.sleep(0.1)

        _run_here(working)

    @contextmanager
    def rehearsal(self) -> Iterator[Self]:
        """An engine on which everything happens as on this one and nothing stays."""
        with self.store.rehearsal() as store:
            twin = object.__new__(type(self))
            twin._open(store, self.registry, self.tenant, self._limits, dry_run=True, ray_address=self._ray_address)
            try:
                yield twin
            finally:
                twin.close()

    def bury_dead_workers(self) -> int:
        """Free at once what processes of this machine held that no longer exist; how many of them there were.

        Without it their runs would stay theirs until the lease has passed. A process whose number another one has by now is
        left alone, which costs only that wait. Workers do this when they begin.
        """
        here = machine()
        dead = [each.id for each in self.store.workers() if each.host == here and not alive(each.pid)]
        if dead:
            self._journal.call(lambda: self.store.bury(dead)).result()
        return len(dead)

    def write(self, writes: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Commit rows of the application that belong to no phase: (statement, parameters) pairs, all or none.

        A dry-run undoes them like everything else.
        """
        self._journal.call(lambda: self.store.write([Write(s, p) for s, p in writes])).result()

    def create_tables(self, metadata: Any, ddl: Ddl = ()) -> None:
        """Create an application's own tables where they do not exist, and then execute ``ddl``: statements for every database, or
        by the name of its dialect (``sqlite``, ``postgresql``)."""
        self.store.create(metadata, ddl)

    def migrate(self, migrations: Path, schema: str) -> None:
        """Bring an application's own tables to the last of its migrations, Alembic's files ``0001_name.py`` and so on.

        ``schema`` is where the tables lie in databases that have schemas. All or nothing, and once, however many processes begin
        at the same time. Raises ``StoreError``.
        """
        self.store.migrate(migrations, schema)

    def _make_worker(self, limits: Limits) -> Worker:
        return Worker(
            self.store, self._journal, self.registry, id=new_id(), limits=limits, dry_run=self.dry_run,
            ray_address=self._ray_address,
        )  # fmt: skip

    def close(self) -> None:
        """Stop writing and let go of the database. What was answered is committed; nothing else is waited for."""
        if self._worker is not None:
            self._worker.retire()
            self._worker = None
        self._journal.close()
        if not self.dry_run:
            self.store.close()


def _run_here(work: Callable[[], Any]) -> None:
    """Run a coroutine to its end; in a thread of its own when this thread has an event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_interrupted_once(work))
        return
    failed: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="phasegate-drain")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _interrupted_once(work: Callable[[], Any]) -> None:
    """Do the work; an interruption (Ctrl-C) cancels it, and what follows while it ends is not heard: a second one in the
    middle of handing back what is held would leave that undone, or wait for ever."""
    before, task = signal.getsignal(signal.SIGINT), asyncio.current_task()
    if threading.current_thread() is not threading.main_thread() or not callable(before) or task is None:
        await work()
        return
    loop, ours = asyncio.get_running_loop(), False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal ours
        try:
            before(number, frame)
        except KeyboardInterrupt:
            if not task.cancelling():
                ours = task.cancel()
                loop.call_soon_threadsafe(lambda: None)  # it may be waiting for something else

    signal.signal(signal.SIGINT, interrupt)
    try:
        await work()
    except asyncio.CancelledError:
        if ours:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
