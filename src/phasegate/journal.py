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
from phasegate.core.run import Instance, Run
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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What goes with facts into a commit: outputs (canonical JSON text and value) by attempt, and application writes."""

    outputs: Mapping[tuple[str, tuple[str, ...], int], tuple[str, Any]] | None = None
    writes: tuple[Write, ...] = ()
    release: bool = False


_NOTHING = Extras()


def compose(
    flow: Flow, before: Run | None, after: Run, facts: tuple[f.Fact, ...], *, now: datetime, extras: Extras = _NOTHING,
    projecting: bool = False,
) -> Append:  # fmt: skip
    """The append that records ``facts``, which lead from ``before`` to ``after``."""
    started = _starts(before, facts)
    outputs, values = _outputs(after, facts, extras)
    return Append(
        run=after,
        expected=before.seq if before else 0,
        facts=facts,
        instances=tuple(after.phases[key] for key in changed_instances(facts)),
        attempts=tuple(_attempt_rows(facts, started)),
        outputs=tuple(outputs),
        recorded=tuple(_recorded(after, facts, started, values)) if projecting else (),
        writes=extras.writes,
        due_at=next_due(flow, after, now),
        release=extras.release,
    )


def _starts(before: Run | None, facts: tuple[f.Fact, ...]) -> dict[Instance, datetime | None]:
    """When the attempts that end among ``facts`` began."""
    starts: dict[Instance, datetime | None] = {}
    for fact in facts:
        if isinstance(fact, f.AttemptStarted | f.GateOpened):
            starts[fact.phase, fact.scope] = fact.at
        elif (type(fact) in _ENDINGS or isinstance(fact, f.GateSettled)) and before is not None:
            key = (fact.phase, fact.scope)  # type: ignore[union-attr]
            if key not in starts:
                starts[key] = before.at(*key).started_at
    return starts


def _attempt_rows(facts: tuple[f.Fact, ...], started: Mapping[Instance, datetime | None]) -> Iterable[AttemptRow]:
    for fact in facts:
        status = _ENDINGS.get(type(fact))
        if status is None and not isinstance(fact, f.GateSettled):
            continue
        failed = isinstance(fact, f.AttemptFailed)
        yield AttemptRow(
            fact.phase, fact.scope, fact.attempt, status or "succeeded", getattr(fact, "outcome", None),  # type: ignore[union-attr]
            fact.error if failed else None, fact.message if failed else getattr(fact, "reason", None) or None,  # type: ignore[union-attr]
            fact.trace if failed else None, started.get((fact.phase, fact.scope)), fact.at,  # type: ignore[union-attr]
        )  # fmt: skip


def _outputs(
    after: Run, facts: tuple[f.Fact, ...], extras: Extras
) -> tuple[list[OutputRow], dict[tuple[str, tuple[str, ...], int], Any]]:
    rows: list[OutputRow] = []
    values: dict[tuple[str, tuple[str, ...], int], Any] = {}
    given = extras.outputs or {}
    for fact in facts:
        if isinstance(fact, f.GateSettled):
            key = (fact.phase, fact.scope, fact.attempt)
            values[key] = fact.answer
            rows.append(OutputRow(*key, fact.sha256 or "", codec.dump(values[key])))
        elif isinstance(fact, f.AttemptSucceeded) and fact.sha256 is not None:
            key = (fact.phase, fact.scope, fact.attempt)
            text, values[key] = given[key]
            rows.append(OutputRow(*key, fact.sha256, text))
    return rows, values


def _recorded(
    after: Run, facts: tuple[f.Fact, ...], started: Mapping[Instance, datetime | None],
    values: Mapping[tuple[str, tuple[str, ...], int], Any],
) -> Iterable[f.RecordedFact]:  # fmt: skip
    for fact in facts:
        if isinstance(fact, f.RunFact):
            yield f.RecordedFact(after, fact)
        else:
            key = (fact.phase, fact.scope, getattr(fact, "attempt", 0))
            yield f.RecordedFact(after, fact, started.get(key[:2]), values.get(key))
