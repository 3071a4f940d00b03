"""The only place where a run changes: appends are collected by one thread and committed together.

A commit waits for the disk, whatever it contains; so while one is being written, the next ones gather, and go together in
one transaction. Callers are answered after the commit. What a transaction cannot share (claims, transactional phases) runs
between commits on the same thread, which is therefore the only one that writes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.planner import next_due
from phasegate.core.run import Instance, Run, Scope
from phasegate.core.state import changed_instances
from phasegate.errors import StoreUnavailable
from phasegate.store import codec
from phasegate.store.base import Append, AttemptRow, OutputRow, Projection, Store, Write

T = TypeVar("T")
Answer = Callable[[list[Exception | None]], None]

#: Appends in one transaction: enough to make the wait for the disk cheap, few enough to answer soon.
MOST = 4000


@dataclass(frozen=True, slots=True)
class _Appends:
    members: Sequence[Append]
    answer: Answer


@dataclass(frozen=True, slots=True)
class _Call:
    work: Callable[[], Any]
    future: Future[Any]


class Journal:
    """The writer of one process and database. The listeners in ``committed`` are called with the
    runs of every commit, on the writer's thread."""

    def __init__(self, store: Store, projections: Sequence[Projection] = ()) -> None:
        self.store = store
        self.projections = tuple(projections)
        self.committed: list[Callable[[list[Run]], None]] = []
        self._jobs: queue.SimpleQueue[_Appends | _Call | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="phasegate-journal", daemon=True)
        self._thread.start()

    def submit(self, appends: Sequence[Append], answer: Answer) -> None:
        """Commit ``appends`` soon; ``answer`` gets one entry each, on the writer's thread: None, or why not."""
        self._put(_Appends(appends, answer))

    def append(self, append: Append) -> None:
        """Commit one append and wait. Raises what the store answers."""
        future: Future[Exception | None] = Future()
        self.submit([append], lambda answers: future.set_result(answers[0]))
        error = future.result()
        if error is not None:
            raise error

    def append_all(self, appends: Sequence[Append]) -> list[Exception | None]:
        """Commit many appends and wait: one answer each, None or why not."""
        return self.submit_all(appends).result()

    def submit_all(self, appends: Sequence[Append]) -> Future[list[Exception | None]]:
        """Commit many appends soon; the future has one answer each."""
        future: Future[list[Exception | None]] = Future()
        self.submit(appends, future.set_result)
        return future

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` on the writer's thread, between commits."""
        future: Future[T] = Future()
        self._put(_Call(work, future))
        return future

    def close(self) -> None:
        """Commit what is waiting and stop. Whoever asks afterwards is refused with ``StoreUnavailable``."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _put(self, job: _Appends | _Call) -> None:
        # Under the lock nothing can get behind the mark that ends the queue, where nobody would ever answer it.
        with self._closing:
            if self._closed:
                raise StoreUnavailable("the engine has been closed", hint="open another one")
            self._jobs.put(job)

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Call):
                self._run(job)
                continue
            batch, after = self._gather(job)
            self._commit(batch)
            for call in after:
                self._run(call)

    def _gather(self, first: _Appends) -> tuple[list[_Appends], list[_Call]]:
        """Everything that waits by now. Calls run after the commit, so that they see what was submitted before them."""
        batch, size = [first], len(first.members)
        calls: list[_Call] = []
        while size < MOST and not calls:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if isinstance(job, _Appends):
                batch.append(job)
                size += len(job.members)
            elif job is not None:
                calls.append(job)
            else:
                self._jobs.put(None)  # the end of the queue: for the loop that called
                break
        return batch, calls

    def _commit(self, batch: list[_Appends]) -> None:
        members = [append for job in batch for append in job.members]
        try:
            answers = self.store.append(members, self.projections)
        except Exception as error:  # the database failed: every caller is told, and decides whether to try again
            answers = [error] * len(members)
        start = 0
        for job in batch:
            self._tell(job.answer, answers[start : start + len(job.members)])
            start += len(job.members)
        if self.committed:
            self._announce([append.run for append, error in zip(members, answers, strict=True) if error is None])

    def _run(self, call: _Call) -> None:
        if not call.future.set_running_or_notify_cancel():
            return  # whoever asked has gone
        try:
            result = call.work()
        except BaseException as error:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)

    def _announce(self, runs: list[Run]) -> None:
        for listener in list(self.committed):
            self._tell(listener, runs)

    def _tell(self, listener: Callable[..., None], *arguments: Any) -> None:
        """Call back. A listener that raises is reported, and does not take the writer of all others down with it."""
        try:
            listener(*arguments)
        except Exception as error:
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread)))


# --- from facts to an append ----------------------------------------------------------------------------------------

_ENDINGS: dict[type[Any], str] = {
    f.AttemptSucceeded: "succeeded",
    f.AttemptSkipped: "skipped",
    f.AttemptFailed: "failed",
    f.AttemptSnoozed: "snoozed",
    f.AttemptAsked: "asked",
    f.AttemptLost: "lost",
    f.AttemptStopped: "stopped",
    f.GateSettled: "succeeded",
}
_GIVING = frozenset({f.AttemptSucceeded, f.GateSettled})
Place = tuple[str, Scope, int]  # phase, scope, attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What goes with facts into a commit: outputs (canonical JSON text and value) by attempt, and application writes."""

    outputs: Mapping[Place, tuple[str, Any]] | None = None
    writes: tuple[Write, ...] = ()
    release: bool = False


_NOTHING = Extras()


def compose(
    flow: Flow, before: Run | None, after: Run, facts: tuple[f.Fact, ...], *, now: datetime, extras: Extras = _NOTHING,
    projecting: bool = False,
) -> Append:  # fmt: skip
    """The append that records ``facts``, which lead from ``before`` to ``after``."""
    started: dict[Instance, datetime | None] = {}
    attempts: list[AttemptRow] = []
    outputs: list[OutputRow] = []
    values: dict[Place, Any] = {}
    for fact in facts:
        cls = type(fact)
        if cls is f.AttemptStarted or cls is f.GateOpened:
            started[fact.phase, fact.scope] = fact.at  # type: ignore[union-attr]
        elif cls in _ENDINGS:
            key = (fact.phase, fact.scope)  # type: ignore[union-attr]
            if key not in started:
                started[key] = before.at(*key).started_at if before else None
            attempts.append(_attempt_row(fact, started[key]))
            if cls in _GIVING:
                _take_output(fact, extras, outputs, values)
    return Append(
        run=after,
        expected=before.seq if before else 0,
        facts=facts,
        instances=tuple([after.phases[key] for key in changed_instances(facts)]),
        attempts=tuple(attempts),
        outputs=tuple(outputs),
        recorded=tuple(_recorded(after, facts, started, values)) if projecting else (),
        writes=extras.writes,
        due_at=next_due(flow, after, now),
        release=extras.release,
    )


def _attempt_row(fact: Any, started: datetime | None) -> AttemptRow:
    cls = type(fact)
    if cls is f.AttemptFailed:
        told = (None, fact.error, fact.message, fact.trace)
    else:
        told = (getattr(fact, "outcome", None), None, getattr(fact, "reason", None) or None, None)
    return AttemptRow(fact.phase, fact.scope, fact.attempt, _ENDINGS[cls], *told, started, fact.at)


def _take_output(fact: Any, extras: Extras, rows: list[OutputRow], values: dict[Place, Any]) -> None:
    place = (fact.phase, fact.scope, fact.attempt)
    if type(fact) is f.GateSettled:
        text, values[place] = codec.dump(fact.answer), fact.answer
    elif fact.sha256 is not None:
        text, values[place] = (extras.outputs or {})[place]
    else:
        return
    rows.append(OutputRow(*place, fact.sha256, text))


def _recorded(
    after: Run, facts: tuple[f.Fact, ...], started: Mapping[Instance, datetime | None],
    values: Mapping[Place, Any],
) -> Iterable[f.RecordedFact]:  # fmt: skip
    for fact in facts:
        if type(fact) in f.RUN_FACTS:
            yield f.RecordedFact(after, fact)
        else:
            key = (fact.phase, fact.scope, getattr(fact, "attempt", 0))  # type: ignore[union-attr]
            yield f.RecordedFact(after, fact, started.get(key[:2]), values.get(key))
