"""Moves the runs a worker holds: starts what is ready, executes it, records how it ended, starts what follows.

Everything here runs on the worker's event loop. The journal answers on its own thread; its answers are handed over to the
loop once per commit. A completion is committed before anything that depends on it starts. That an attempt began need not be
waited for; it usually rides in the commit of its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from phasegate.core import facts as f
from phasegate.core.planner import advance
from phasegate.core.run import PhaseStatus, Run
from phasegate.journal import Extras, compose
from phasegate.runtime import executor
from phasegate.runtime.held import Held
from phasegate.runtime.recording import AT_REST
from phasegate.runtime.starting import Starting
from phasegate.store.base import Append


class Mover(Starting):
    """The runs in memory, as the worker sees them: it hands them over, asks how it goes, and winds down."""

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    @property
    def only_batches_wait(self) -> bool:
        """Whether all that is under way is waiting for more members of its batch."""
        return 0 < len(self._collector) == self.in_flight and not self._saving

    def flush_batches(self) -> None:
        """Fire the batches that are being collected: no more members are to be expected."""
        self._collector.flush()

    def take(self, runs: Sequence[Run]) -> None:
        """Hold claimed runs: attempts of a former holder are lost, what has become due opens, what is ready starts."""
        appends = [append for run in runs if (append := self._take(run)) is not None]
        self._submit(appends)

    def _take(self, run: Run) -> tuple[Held, Append] | None:
        flow = self._registry.known(run.flow, run.version)
        assert flow is not None, "only runs of known flows are claimed"
        self._drop(run.id)
        now = self._store.now()
        if _only_ready(run, now):  # the usual case: it was planned when it was recorded, so nothing can follow now
            held = self._held[run.id] = Held(run, flow, before=run)
            held.find_ready()
            self._start_ready(held)
            return None
        lost = [
            f.AttemptLost(now, *key, i.attempt, "its worker vanished")
            for key, i in run.phases.items()
            if i.status is PhaseStatus.RUNNING
        ]
        after, facts = advance(flow, run, now, *lost) if lost else (run, ())
        after, more = advance(flow, after, now)
        held = self._held[run.id] = Held(after, flow, before=run)
        active = bool(after.tally.active) and after.status not in AT_REST
        if not facts and not more and active:
            held.find_ready()
            self._start_ready(held)
            return None
        held.facts, held.releasing = (*facts, *more), not active
        held.find_ready()
        news = {(fact.phase, fact.scope) for fact in held.facts if isinstance(fact, f.PhaseReadied)}
        # What these facts made ready is queued when they are committed.
        held.ready = type(held.ready)(key for key in held.ready if key not in news)
        extras = Extras(release=held.releasing)
        append = compose(flow, run, after, held.facts, now=now, extras=extras, projecting=self._projecting)
        return held, append

    def unknown(self, mine: Iterable[str]) -> list[str]:
        """Which of the runs that are leased to this worker it does not hold."""
        return [run_id for run_id in mine if run_id not in self._held]

    def refresh(self, run_ids: Sequence[str]) -> None:
        """Read runs again that somebody else has changed."""
        stale = [held for run_id in run_ids if (held := self._held.get(run_id)) and held.saving is None]
        if stale:
            self._background(self._reload(stale))

    def refresh_outdated(self, mine: dict[str, tuple[int, int]]) -> None:
        """Read those again whose sequence number or epoch in the store is another than in memory."""
        self.refresh(
            [
                run_id
                for run_id, held in self._held.items()
                if held.saving is None and mine.get(run_id) != (held.run.seq, held.run.epoch)
            ]
        )

    def drop_all(self) -> int:
        """Forget everything: the lease has passed. Returns how many runs were held."""
        count = len(self._held)
        for run_id in list(self._held):
            self._drop(run_id)
        return count

    async def wind_down(self, grace: float) -> list[str]:
        """Let attempts under way end within ``grace`` seconds, stop the others; returns the runs still held."""
        self.accepting = False
        self._collector.flush()
        deadline = self._loop.time() + (0 if self.failure else grace)
        while (self.in_flight or self._saving or self._dirty) and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for held in self._held.values():
            self._hand_back(held)
            self._dirty[held] = None
        self._flush()
        while self._saving or (self._dirty and not self.failure):
            await asyncio.sleep(0.01)
        if self._starts is not None:
            self._starts.cancel()
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)
        return list(self._held)

    def _hand_back(self, held: Held) -> None:
        for attempt in held.running.values():
            if attempt.phase.transactional and held.saving is not None:
                continue  # it is in the journal's hands, which cannot be stopped, only waited for
            attempt.give_up()
            if attempt.recorded:
                stopped = f.AttemptStopped(self._store.now(), *attempt.key, attempt.context.attempt, "handed back")
                held.inbox.append((attempt, executor.Ending(stopped)))
        held.running.clear()


def _only_ready(run: Run, now: datetime) -> bool:
    """Whether some phase of the run is ready, and none was left running or has become due."""
    ready = False
    for instance in run.phases.values():
        if instance.status is PhaseStatus.RUNNING or (instance.due_at is not None and instance.due_at <= now):
            return False
        ready = ready or instance.status is PhaseStatus.READY
    return ready and run.status not in AT_REST
