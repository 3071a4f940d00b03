"""Starts and executes phases: the part of a mover that faces the phases' functions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property

from phasegate.core.quota import Permit
from phasegate.core.run import Instance, PhaseStatus
from phasegate.errors import StoreError
from phasegate.runtime import executor
from phasegate.runtime.batching import Collector, Member
from phasegate.runtime.context import Context
from phasegate.runtime.held import Attempt, Held, bind, missing_outputs
from phasegate.runtime.recording import AT_REST, TRY_AGAIN, Recording, reported
from phasegate.runtime.throttle import Throttle
from phasegate.runtime.transactional import Rejected, perform_transactional
from phasegate.store.base import DEATH, OutputKey, WriteFailed

#: Seconds after which the start of an attempt is recorded on its own, so that it counts should the worker die.
START_DELAY = 0.05


class Starting(Recording):
    """The runs in memory, and the attempts under way in them."""

    _starts: asyncio.TimerHandle | None = None

    @cached_property
    def _collector(self) -> Collector:
        return Collector(self._start_batch)

    @cached_property
    def _throttle(self) -> Throttle:
        return Throttle(
            lambda wanted: self._call(lambda: self._store.take_permits(self._worker, wanted)),
            lambda counts: self._call(lambda: self._store.keep_permits(self._worker, counts)),
            self._admit,
            self._park,
            self._background,
            self._report,
        )

    def _give_back(self, permits: Sequence[Permit]) -> None:
        self._throttle.give_back(permits)

    def _admit(self, held: Held, key: Instance, permits: tuple[Permit, ...]) -> None:
        """An attempt has got its places; it may have lost its run, or its turn, meanwhile."""
        instance = held.run.at(*key)
        if self._held.get(held.run.id) is not held or instance.status is not PhaseStatus.READY or not self.accepting:
            self._give_back(permits)
            if self._held.get(held.run.id) is held and held.quiet:
                self._release(held)
        else:
            self._start(held, key, instance.attempt + 1, permits)

    def _park(self, held: Held, seconds: float) -> None:
        """An attempt has to wait for its turn; with nothing else to do its run is given back until then."""
        turn = self._store.now() + timedelta(seconds=seconds)
        held.turn = turn if held.turn is None else min(held.turn, turn)
        if self._held.get(held.run.id) is held and held.quiet:
            self._release(held)

    def _start_ready(self, held: Held) -> None:
        if not self.accepting or held.run.status in AT_REST:
            held.ready.clear()
            return
        while held.ready and self.in_flight < self._concurrency:
            key = held.ready.popleft()
            instance = held.run.at(*key)
            if instance.status is not PhaseStatus.READY or key in held.running:
                continue
            if held.flow.by_name[key[0]].quotas and not self._services.dry_run:
                self._throttle.add(held, key)
            else:
                self._start(held, key, instance.attempt + 1)
        if held.ready:
            self._starved[held] = None

    def _feed_starved(self) -> None:
        while self._starved and self.in_flight < self._concurrency:
            held = next(iter(self._starved))
            del self._starved[held]
            if self._held.get(held.run.id) is held:
                self._start_ready(held)

    def _start(self, held: Held, key: Instance, number: int, permits: tuple[Permit, ...] = ()) -> None:
        phase = held.flow.by_name[key[0]]
        context = Context(held.run, phase.name, phase.label or phase.name, key[1], number, self._services)
        attempt = Attempt(key, phase, context, self._store.now(), held.run.at(*key).round, permits=permits)
        held.running[key] = attempt
        self.in_flight += 1
        if self._starts is None:
            self._starts = self._loop.call_later(START_DELAY, self._record_starts)
        if held.run.epoch >= DEATH:
            attempt.task = self._loop.create_task(self._begin_on_record(held, attempt))
        else:
            self._begin(held, attempt)

    def _begin(self, held: Held, attempt: Attempt) -> None:
        if attempt.phase.batch is not None:
            self._collector.add(held, attempt)
        else:
            work = self._execute_transactional if attempt.phase.transactional else self._execute
            attempt.task = self._loop.create_task(work(held, attempt))

    async def _begin_on_record(self, held: Held, attempt: Attempt) -> None:
        """A worker of this run has died, perhaps of this very phase: if it does so again, the attempt must have counted."""
        while not attempt.recorded or held.saving is not None:
            if held.saving is None:
                held.record_starts = True
                self._mark(held)
            await held.next_saved()
        self._begin(held, attempt)

    @reported
    def _record_starts(self) -> None:
        """Attempts that have been running for a while are put on record, so that they count should this process die."""
        self._starts = None
        if not self.in_flight:
            return
        horizon = self._loop.time()
        for held in self._held.values():
            if any(not attempt.recorded for attempt in held.running.values()):
                held.record_starts = True
                self._mark(held)
        self._starts = self._loop.call_at(horizon + START_DELAY, self._record_starts)

    async def _execute(self, held: Held, attempt: Attempt) -> None:
        try:
            await self._fetch([(held, attempt)])
            bind(held, attempt)
            result = await executor.perform(attempt.phase, attempt.context, self._threads)
        except asyncio.CancelledError as error:
            if attempt.context.cancelled:
                return  # given up: nobody waits for it any more
            result = error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a function raises fails its attempt, never its worker
            result = error
        self._ended(held, attempt, result)

    def _start_batch(self, members: Sequence[Member]) -> None:
        self._background(self._execute_batch(members))

    async def _execute_batch(self, members: Sequence[Member]) -> None:
        try:
            await self._fetch(members)
            for held, attempt in members:
                bind(held, attempt)
            contexts = [attempt.context for _, attempt in members]
            results = await executor.perform_batch(members[0][1].phase, contexts, self._threads)
        except Exception as error:
            results = [error] * len(members)
        for (held, attempt), result in zip(members, results, strict=True):
            self._ended(held, attempt, result)

    async def _execute_transactional(self, held: Held, attempt: Attempt) -> None:
        """The function runs inside the commit that completes it; the run has no other commit under way meanwhile."""
        try:
            await self._fetch([(held, attempt)])
            bind(held, attempt)
        except Exception as error:
            self._ended(held, attempt, error)
            return
        while held.saving is not None or held.inbox:
            await held.next_saved()
        held.saving, held.before = [], held.run
        self._saving += 1
        try:
            held.run, held.facts = await self._call(
                lambda: perform_transactional(self._store, self._journal.projections, held, attempt, self._worker)
            )
        except (Rejected, WriteFailed) as error:
            self._saved(held, None, completed=False)
            self._ended(held, attempt, error.ending if isinstance(error, Rejected) else error.cause)
        except asyncio.CancelledError:  # given up; whether it was committed shows when the run is read again
            self._saved(held, None, completed=False)
        except Exception as error:
            self._forget(held, attempt)
            self._saved(held, error, completed=False)
        else:
            self._forget(held, attempt)
            held.releasing = False
            self._saved(held, None)
        self._feed_starved()

    async def _fetch(self, members: Sequence[Member]) -> None:
        """Bring the outputs that these attempts need, and that are not in memory, in one query."""
        keys: list[OutputKey] = [key for held, attempt in members for key in missing_outputs(held, attempt)]
        by_run = {held.run.id: held for held, _ in members} if keys else {}
        while keys:
            try:
                values = await self._loop.run_in_executor(self._readers, self._store.outputs, keys)
            except StoreError as error:  # not the attempt's fault
                self._report(error)
                self._changed()
                await asyncio.sleep(TRY_AGAIN)
                continue
            for (run_id, phase, scope, version), value in values.items():
                by_run[run_id].values[phase, scope, version] = value
            return
