"""Moves the runs a worker holds: starts what is ready, executes it, records how it ended, starts what follows.

Everything here runs on the worker's event loop. The journal answers on its own thread; its answers are handed over to the
loop once per commit. A completion is committed before anything that depends on it starts. That an attempt began need not be
waited for; it usually rides in the commit of its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from phasegate.core import facts as f
from phasegate.core.planner import advance
from phasegate.core.run import Instance, PhaseStatus, Run, RunStatus
from phasegate.errors import InputError, Stale, StoreError, UnknownName
from phasegate.journal import Extras, Journal, compose
from phasegate.registry import Registry
from phasegate.runtime import executor
from phasegate.runtime.batching import Collector, Member
from phasegate.runtime.context import Context, Services
from phasegate.runtime.held import Attempt, Held, bind, missing_outputs
from phasegate.runtime.log import announce
from phasegate.runtime.transactional import Rejected, perform_transactional
from phasegate.store.base import DEATH, Append, OutputKey, Store, WriteFailed

_LOUD = frozenset({f.AttemptFailed, f.AttemptLost, f.RunFailed, f.GateOpened})
_AT_REST = frozenset({RunStatus.PAUSED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})

#: Appends handed over at a time: the journal writes the first ones while the next are still being prepared.
PORTION = 256
#: Seconds until a commit that failed because of the database is tried again.
TRY_AGAIN = 1.0
#: Seconds after which the start of an attempt is recorded on its own, so that it counts should the worker die.
START_DELAY = 0.05

P = ParamSpec("P")


def _reported(method: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """What the loop calls back has nobody to raise to: a defect in it ends the worker, which else would wait for ever."""

    @wraps(method)
    def guarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.fail(error)

    return guarded


class Mover:
    """The runs in memory. ``changed`` is called whenever the worker should look whether it can do more.

    ``report`` when the database failed; what that concerned is tried again. ``failure`` is a defect: nothing here can be
    relied on any more.
    """

    def __init__(
        self, store: Store, journal: Journal, registry: Registry, *, worker: str, services: Services, concurrency: int,
        threads: int, changed: Callable[[], None], report: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._store, self._journal, self._registry = store, journal, registry
        self._worker, self._services, self._changed, self._report = worker, services, changed, report
        self._projecting = bool(journal.projections)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="phasegate-phase")
        # Of their own: that a run was paused must be read while phases occupy all of the other threads.
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="phasegate-read")
        self._loop = asyncio.get_running_loop()
        self._concurrency = concurrency
        self._held: dict[str, Held] = {}
        self._dirty: dict[Held, None] = {}
        self._starved: dict[Held, None] = {}  # have ready phases that found no free place
        self._flush_planned = False
        self._saving = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._collector = Collector(self._start_batch)
        self._starts: asyncio.TimerHandle | None = None
        self.in_flight = 0
        self.accepting = True
        self.next_due: datetime | None = None
        self.failure: Exception | None = None

    # --- what the worker asks ---

    @property
    def free(self) -> int:
        """How many more attempts may run at once."""
        return self._concurrency - self.in_flight if self.accepting else 0

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
        lost = [
            f.AttemptLost(now, *key, i.attempt, "its worker vanished")
            for key, i in run.phases.items()
            if i.status is PhaseStatus.RUNNING
        ]
        after, facts = advance(flow, run, now, *lost) if lost else (run, ())
        after, more = advance(flow, after, now)
        held = self._held[run.id] = Held(after, flow, before=run)
        active = bool(after.tally.active) and after.status not in _AT_REST
        if not facts and not more and active:
            held.find_ready()
            self._start_ready(held)
            return None
        held.facts, held.releasing = (*facts, *more), not active
        held.find_ready()
        news = {(fact.phase, fact.scope) for fact in held.facts if isinstance(fact, f.PhaseReadied)}
        held.ready = type(held.ready)(
            key for key in held.ready if key not in news
        )  # these come when they are committed
        extras = Extras(release=held.releasing)
        append = compose(flow, run, after, held.facts, now=now, extras=extras, projecting=self._projecting)
        return held, append

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

    # --- start ---

    def _start_ready(self, held: Held) -> None:
        if not self.accepting or held.run.status in _AT_REST:
            held.ready.clear()
            return
        while held.ready and self.in_flight < self._concurrency:
            key = held.ready.popleft()
            instance = held.run.at(*key)
            if instance.status is PhaseStatus.READY and key not in held.running:
                self._start(held, key, instance.attempt + 1)
        if held.ready:
            self._starved[held] = None

    def _feed_starved(self) -> None:
        while self._starved and self.in_flight < self._concurrency:
            held = next(iter(self._starved))
            del self._starved[held]
            if self._held.get(held.run.id) is held:
                self._start_ready(held)

    def _start(self, held: Held, key: Instance, number: int) -> None:
        phase = held.flow.by_name[key[0]]
        context = Context(held.run, phase.name, phase.label or phase.name, key[1], number, self._services)
        attempt = Attempt(key, phase, context, self._store.now(), held.run.at(*key).round)
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

    @_reported
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
        except (Exception, SystemExit) as error:
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

    # --- record ---

    @_reported
    def _ended(self, held: Held, attempt: Attempt, result: Any) -> None:
        """An attempt ended. ``result`` is what the function returned or raised, or an ending already settled."""
        if not self._forget(held, attempt):
            return
        ending = result if isinstance(result, executor.Ending) else executor.settle(
            held.flow, attempt.phase, attempt.context, result, self._store.now()
        )  # fmt: skip
        held.inbox.append((attempt, ending))
        self._mark(held)

    def _forget(self, held: Held, attempt: Attempt) -> bool:
        """Take an attempt off the list of those under way; False when it was given up before."""
        if held.running.get(attempt.key) is not attempt:
            return False
        del held.running[attempt.key]
        self.in_flight -= 1
        return True

    def _mark(self, held: Held) -> None:
        """Commit this run's news at the end of the present round of the loop, together with all others'."""
        self._dirty[held] = None
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    @_reported
    def _flush(self) -> None:
        self._flush_planned = False
        dirty, self._dirty = self._dirty, {}
        now = self._store.now()
        batch: list[tuple[Held, Append]] = []
        for held in dirty:
            if held.saving is None and self._held.get(held.run.id) is held:
                append = held.next_append(now, self._worker, self._projecting)
                if append is None:  # all that had ended was stale by now
                    held.announce_saved()
                    if held.quiet:
                        self._release(held)
                else:
                    batch.append((held, append))
                    if len(batch) == PORTION:
                        self._submit(batch)
                        batch = []
        self._submit(batch)
        self._feed_starved()

    def _submit(self, batch: Sequence[tuple[Held, Append]]) -> None:
        if not batch:
            return
        for held, append in batch:
            if held.saving is None:
                held.saving = []
            if held.releasing and append.due_at is not None:
                self.next_due = min(self.next_due or append.due_at, append.due_at)
        self._saving += len(batch)
        helds = [held for held, _ in batch]

        def answer(answers: list[Exception | None]) -> None:
            try:
                self._loop.call_soon_threadsafe(self._answered, helds, answers)
            except RuntimeError:
                return  # the loop has been closed by force: there is nobody to tell

        self._journal.submit([append for _, append in batch], answer)

    def _answered(self, helds: Sequence[Held], answers: Sequence[Exception | None]) -> None:
        for held, error in zip(helds, answers, strict=True):
            self._saved(held, error)
        self._feed_starved()
        if not self._held or self.free:
            self._changed()

    @_reported
    def _saved(self, held: Held, error: Exception | None, *, completed: bool = True) -> None:
        """A commit was answered: go on, or find out why not."""
        self._saving -= 1
        taken, held.saving = held.saving or [], None
        held.announce_saved()
        if self._held.get(held.run.id) is not held:
            return
        if error is None:
            if completed:
                self._go_on(held)
            return
        held.run = held.before or held.run
        held.inbox = [*taken, *held.inbox]
        if isinstance(error, WriteFailed | InputError):
            self._isolate(held, len(taken), error)
        elif isinstance(error, Stale | UnknownName):
            self._background(self._reload([held]))
        else:
            self._try_again([held], error)

    def _go_on(self, held: Held) -> None:
        for fact in held.facts:
            if type(fact) in _LOUD:
                _announce(held.run, fact)
        reset = {(fact.phase, fact.scope) for fact in held.facts if type(fact) is f.PhaseReset}
        if reset:
            self._give_up_unfit(held)
            held.ready = type(held.ready)(key for key in held.ready if key not in reset)
        if held.releasing:
            del self._held[held.run.id]
            return
        held.queue_changed(held.facts)
        self._start_ready(held)
        if held.inbox or held.record_starts:
            self._mark(held)
        elif held.quiet:
            self._release(held)

    def _release(self, held: Held) -> None:
        """Give a run back that has nothing to do; one append without facts clears the lease and sets the due time."""
        held.releasing, held.facts, held.before = True, (), held.run
        now = self._store.now()
        self._submit([(held, compose(held.flow, held.run, held.run, (), now=now, extras=Extras(release=True)))])

    def _isolate(self, held: Held, taken: int, error: WriteFailed | InputError) -> None:
        """Of several endings in one append some write failed: record them one by one, and fail the one it was."""
        cause = error.cause if isinstance(error, WriteFailed) else error
        if taken == 0 or (taken == 1 and isinstance(held.inbox[0][1].fact, f.AttemptFailed)):
            # Nothing of an attempt can be to blame: a projection refuses what has to be recorded.
            self._try_again([held], cause if isinstance(cause, Exception) else error)
            return
        if taken == 1:
            attempt, _ = held.inbox[0]
            failed = executor.settle(held.flow, attempt.phase, attempt.context, cause, self._store.now())
            held.inbox[0] = (attempt, failed)
        held.one_by_one = True
        self._adopt(held, held.run)

    def _try_again(self, helds: Sequence[Held], error: Exception) -> None:
        """The database failed: say so, and go on from what it holds after a while."""
        self._report(error)
        self._changed()
        self._loop.call_later(TRY_AGAIN, lambda: self._background(self._reload(helds)))

    async def _reload(self, helds: Sequence[Held]) -> None:
        """Read runs again after a conflict, keep what still fits, drop what does not."""
        try:
            runs = await self._loop.run_in_executor(self._readers, self._store.load, [held.run.id for held in helds])
        except StoreError as error:
            self._try_again(helds, error)
            return
        fresh = {run.id: run for run in runs}
        for held in helds:
            run = fresh.get(held.run.id)
            if self._held.get(held.run.id) is not held or held.saving is not None:
                continue
            if run is None or run.epoch != held.run.epoch:
                announce("worker.fenced", worker=self._worker, run=held.run.id)
                self._drop(held.run.id)
            elif run.seq >= held.run.seq:  # else it has been moved, and recorded, while it was being read
                self._adopt(held, run)
        self._feed_starved()
        self._changed()

    def _adopt(self, held: Held, run: Run) -> None:
        held.run = run
        for attempt in (*(each for each, _ in held.inbox), *held.running.values()):
            attempt.recorded = run.at(*attempt.key).status is PhaseStatus.RUNNING
        self._give_up_unfit(held)
        held.find_ready()
        ended = {attempt.key for attempt, _ in held.inbox if attempt.fits(run)}
        held.ready = type(held.ready)(key for key in held.ready if key not in ended)
        held.record_starts = held.record_starts or any(not a.recorded for a in held.running.values())
        self._start_ready(held)
        if held.inbox or held.record_starts:
            self._mark(held)
        elif held.quiet:
            self._release(held)

    def _give_up_unfit(self, held: Held) -> None:
        """Stop the attempts that the run no longer waits for."""
        for attempt in list(held.running.values()):
            if not attempt.fits(held.run) or held.run.status in _AT_REST:
                attempt.give_up()
                self._forget(held, attempt)

    def _drop(self, run_id: str) -> None:
        held = self._held.pop(run_id, None)
        for attempt in list(held.running.values()) if held else []:
            attempt.give_up()
            self._forget(held, attempt)  # type: ignore[arg-type]

    def _background(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """A defect: the worker has to end."""
        self.failure = self.failure or error
        self._changed()

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._journal.call(work))


def _announce(run: Run, fact: Any) -> None:
    values = {"run": run.id, "flow": run.flow, "subject": str(run.subject)}
    for name in ("phase", "attempt", "error", "message", "reason"):
        if value := getattr(fact, name, None):
            values[name] = value
    announce(fact.kind, **values)
