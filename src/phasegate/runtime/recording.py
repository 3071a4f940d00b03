"""Records how attempts ended, and finds the way on when that was refused: the part of a mover that faces the journal."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from phasegate.core import facts as f
from phasegate.core.planner import next_timer
from phasegate.core.quota import Permit
from phasegate.core.run import PhaseStatus, Run, RunStatus
from phasegate.errors import InputError, Stale, StoreError, UnknownName
from phasegate.journal import Extras, Journal, compose
from phasegate.registry import Registry
from phasegate.runtime import executor
from phasegate.runtime.context import Services
from phasegate.runtime.held import Attempt, Held
from phasegate.runtime.log import announce
from phasegate.store.base import Append, Store, WriteFailed

_LOUD = frozenset({f.AttemptFailed, f.AttemptLost, f.RunFailed, f.GateOpened})
AT_REST = frozenset({RunStatus.PAUSED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})

#: Appends handed over at a time: the journal writes the first ones while the next are still being prepared.
PORTION = 256
#: Seconds until a commit that failed because of the database is tried again.
TRY_AGAIN = 1.0

P = ParamSpec("P")


def reported(method: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """What the loop calls back has nobody to raise to: a defect in it ends the worker, which else would wait for ever."""

    @wraps(method)
    def guarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.fail(error)

    return guarded


class Recording(ABC):
    """The runs in memory, and what is recorded of them. ``changed`` is called whenever the worker should look whether it can
    do more, ``report`` when the database failed; what that concerned is tried again.

    ``failure`` is a defect: nothing here can be relied on any more.
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
        self.in_flight = 0
        self.accepting = True
        self.next_due: datetime | None = None
        self.failure: Exception | None = None

    @property
    def free(self) -> int:
        """How many more attempts may run at once."""
        return self._concurrency - self.in_flight if self.accepting else 0

    @abstractmethod
    def _start_ready(self, held: Held) -> None:
        """Start what is ready in a run, as far as there are free places."""

    @abstractmethod
    def _feed_starved(self) -> None:
        """Start what is ready in the runs that found no free place."""

    @abstractmethod
    def _give_back(self, permits: Sequence[Permit]) -> None:
        """An attempt that held these places has ended."""

    # --- record ---

    @reported
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
        if attempt.permits:
            self._give_back(attempt.permits)
        return True

    def _mark(self, held: Held) -> None:
        """Commit this run's news at the end of the present round of the loop, together with all others'."""
        self._dirty[held] = None
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    @reported
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

    @reported
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
            held.throttled -= reset
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
        append = compose(held.flow, held.run, held.run, (), now=now, extras=Extras(release=True))
        if held.turn is not None and append.due_at is not None:
            timer = next_timer(held.flow, held.run)
            append = append._replace(due_at=held.turn if timer is None else min(held.turn, timer))
        self._submit([(held, append)])

    # --- find the way on ---

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
            if not attempt.fits(held.run):
                attempt.give_up()
                self._forget(held, attempt)

    def _drop(self, run_id: str) -> None:
        held = self._held.pop(run_id, None)
        if held is not None:
            held.throttled.clear()
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
