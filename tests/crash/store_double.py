"""A store in memory for the simulation, which looks at every commit: what it is told must fit what it has.

Not a fake for other tests: those use SQLite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.core import facts as f
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, Subject
from phasegate.core.state import evolve, started
from phasegate.errors import Conflict, Fenced, NotAllowed, UnknownName
from phasegate.store import codec
from phasegate.store.base import DEATH, Append, Claimed, OutputKey, Projection, WorkerRow, WriteFailed

Known = tuple[dict[Subject, Run], dict[Subject, Any]]

#: The statement of a write that the database refuses.
REFUSED = "refused"


@dataclass
class Row:
    """What a database has of a run: its columns, the rows of its phases, and its log, folded as it grows."""

    run: Run
    folded: Run
    worker: str | None = None
    due_at: datetime | None = None
    phases: dict[Instance, PhaseRun] = field(default_factory=dict)
    log: list[f.Fact] = field(default_factory=list)
    attempts: set[tuple[Any, ...]] = field(default_factory=set)


class Double:
    """The verbs that workers and people use; see ``Store`` for what each promises."""

    dialect = "double"

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.rows: dict[str, Row] = {}
        self.registered: dict[str, WorkerRow] = {}
        self.values: dict[OutputKey, Any] = {}
        self.ledger: Counter[str] = Counter()
        self.commits = 0
        self.rung = 0
        self.refused = 0
        self._flows: dict[tuple[str, int], str] = {}

    def prepare(self) -> None:
        """There is nothing to create."""

    # --- writing ---

    def append(self, appends: Sequence[Append], _projections: Sequence[Projection] = ()) -> list[Exception | None]:
        answers = [self._apply(append) for append in appends]
        self.refused += sum(answer is not None for answer in answers)
        return answers

    def transact(self, work: Callable[[Any], tuple[Append, Any]], _projections: Sequence[Projection] = ()) -> Any:
        queued: list[str] = []
        append, result = work(Session(queued))
        refusal = self._apply(append)
        if refusal is not None:
            raise refusal
        self.ledger.update(queued)
        return result

    def _refusal(self, append: Append) -> Exception | None:
        run, row = append.run, self.rows.get(append.run.id)
        if any(write.statement == REFUSED for write in append.writes):
            return WriteFailed(ValueError("refused"))
        if append.expected == 0:
            live = any(r.run.subject == run.subject and not r.run.finished for r in self.rows.values())
            return NotAllowed(f"{run.subject} already has a live run") if live else None
        if row is None:
            return UnknownName("run", run.id)
        if row.run.seq != append.expected:
            return Conflict(f"at fact {row.run.seq}, not {append.expected}")
        return Fenced(f"in epoch {row.run.epoch}") if row.run.epoch != run.epoch else None

    def _apply(self, append: Append) -> Exception | None:
        """What was wrong with an append, and nothing was changed; or None."""
        refusal = self._refusal(append)
        if refusal is not None:
            return refusal
        run = append.run
        if append.expected == 0:
            first = append.facts[0]
            assert isinstance(first, f.RunStarted)
            self.rows[run.id] = Row(run, started(first), worker=append.holder, log=[first])
        row = self.rows[run.id]
        for fact in append.facts[append.expected == 0 :]:
            row.folded = evolve(row.folded, fact)
            row.log.append(fact)
        row.run, row.due_at = run, append.due_at
        if append.release:
            row.worker = None
        row.phases |= {(i.phase, i.scope): i for i in append.instances}
        for attempt in append.attempts:
            place = (attempt.phase, attempt.scope, attempt.number)
            assert place not in row.attempts, f"{place} ended twice"
            row.attempts.add(place)
        for output in append.outputs:
            key = (run.id, output.phase, output.scope, output.version)
            assert key not in self.values, f"{key} was put out twice"
            self.values[key] = codec.load(output.body)
        self.ledger.update(write.params["entry"] for write in append.writes)
        self.commits += 1
        self._check(row)
        return None

    def _check(self, row: Row) -> None:
        """The log, the state and the rows tell the same."""
        assert row.run.seq == len(row.log)
        assert row.folded.but(epoch=row.run.epoch) == row.run
        pending = {
            key for key, i in row.run.phases.items() if key not in row.phases and i.status is PhaseStatus.PENDING
        }
        assert {key: i for key, i in row.run.phases.items() if key not in pending} == row.phases

    # --- leases ---

    def claim(self, worker: str, limit: int, flows: Sequence[tuple[str, int]]) -> Claimed:
        now = self.now()
        self.bury([row.id for row in self.registered.values() if row.lease_until <= now])
        due = [row for row in self.rows.values() if row.worker is None and row.due_at is not None and row.due_at <= now]
        taken = [row for row in sorted(due, key=_due) if (row.run.flow, row.run.version) in flows][:limit]
        for row in taken:
            self._raise(row, 1, worker)
        return Claimed(tuple(self.load([row.run.id for row in taken])), self._later(worker))

    def next_due(self, _flows: Sequence[tuple[str, int]]) -> datetime | None:
        return self._later("")

    def _later(self, worker: str) -> datetime | None:
        now, holding = self.now(), {row.worker for row in self.rows.values()}
        due = [row.due_at for row in self.rows.values() if row.worker is None and row.due_at and row.due_at > now]
        ends = [row.lease_until for row in self.registered.values() if row.id != worker and row.id in holding]
        return min(due + ends, default=None)

    def _raise(self, row: Row, by: int, worker: str | None) -> None:
        row.run, row.worker = row.run.but(epoch=row.run.epoch + by), worker

    def renew(self, worker: WorkerRow) -> bool:
        known = worker.id in self.registered
        if not known:
            for row in self.rows.values():
                if row.worker is not None and row.worker not in self.registered:
                    self._raise(row, DEATH, None)
        self.registered[worker.id] = worker
        return known

    def release(self, worker: str, run_ids: Sequence[str]) -> None:
        for row in map(self.rows.__getitem__, run_ids):
            if row.worker == worker:
                self._raise(row, 1, None)

    def retire(self, worker: str) -> None:
        self.release(worker, list(self.held(worker)))
        self.registered.pop(worker, None)

    def bury(self, dead: Sequence[str]) -> None:
        for worker in dead:
            for run_id in self.held(worker):
                self._raise(self.rows[run_id], DEATH, None)
            self.registered.pop(worker, None)

    # --- reading ---

    def held(self, worker: str) -> dict[str, tuple[int, int]]:
        return {key: (row.run.seq, row.run.epoch) for key, row in self.rows.items() if row.worker == worker}

    def load(self, run_ids: Sequence[str]) -> list[Run]:
        """From the rows, as a database would: counters are not stored, and what was not written is not there."""
        rows = (self.rows[run_id] for run_id in run_ids if run_id in self.rows)
        return [row.run.but(phases=Layered(dict(row.phases)), tally=None) for row in rows]

    def of_subjects(self, _tenant: str, _flow: str, subject_ids: Sequence[str]) -> list[Run]:
        return [row.run for row in self.rows.values() if row.run.subject.id in subject_ids]

    def known(self, tenant: str, flow: str, subjects: Sequence[Subject], _key: str) -> Known:
        found = self.of_subjects(tenant, flow, [subject.id for subject in subjects])
        return {run.subject: run for run in found}, {}

    def outputs(self, keys: Sequence[OutputKey]) -> dict[OutputKey, Any]:
        return {key: self.values[key] for key in keys if key in self.values}

    def news(self) -> object:
        """Rises when somebody who has committed, and was told so, says so."""
        return self.rung

    def workers(self) -> list[WorkerRow]:
        return list(self.registered.values())

    def keep_flow(self, name: str, version: int, body: str) -> bool:
        self._flows[name, version] = body
        return True

    def flows(self) -> list[Any]:
        return []

    def read(self, _statement: Any, _params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        return []


class Session:
    """What a transactional phase gets."""

    def __init__(self, queued: list[str]) -> None:
        self._queued = queued

    def execute(self, entry: str) -> None:
        self._queued.append(entry)

    def flush(self) -> None:
        """Everything is there already."""


def _due(row: Row) -> datetime:
    assert row.due_at is not None
    return row.due_at
