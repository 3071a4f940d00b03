"""What a store promises: a dozen verbs, and the records that go in and out.

A store is synchronous and may be called from any thread. Only the journal calls ``append``, ``claim`` and ``transact``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from phasegate.core.facts import Fact, RecordedFact
from phasegate.core.quota import Permit
from phasegate.core.retention import OldRun, OldRuns, PurgeReport, Tombstone
from phasegate.core.run import PhaseRun, Run, RunStatus, Scope, Subject

#: Called inside the commit with the connection and what is being recorded; raises to refuse the commit.
Projection = Callable[[Any, Sequence[RecordedFact]], None]


class AttemptRow(NamedTuple):
    """How one attempt ended."""

    phase: str
    scope: Scope
    number: int
    status: str
    outcome: str | None
    error: str | None
    message: str | None
    trace: str | None
    started_at: datetime | None
    finished_at: datetime


class OutputRow(NamedTuple):
    """An output: its place, its version, and its canonical JSON."""

    phase: str
    scope: Scope
    version: int
    sha256: str
    body: str


@dataclass(frozen=True, slots=True)
class Write:
    """A write into tables of the application, to be part of the commit: an SQLAlchemy statement (or SQL text) and its
    parameters. The statement object is the key under which writes of many attempts are joined: build it once."""

    statement: Any
    params: Mapping[str, Any]


class Append(NamedTuple):
    """One run's part of a commit.

    ``run`` is the state after ``facts``, ``expected`` the sequence number before them (0: the run is new). The guard is
    ``expected`` and ``run.epoch``. ``release`` gives up the lease; ``due_at`` says when a worker should look next;
    ``holder`` leases a new run from the start.
    """

    run: Run
    expected: int
    facts: tuple[Fact, ...]
    instances: tuple[PhaseRun, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()
    outputs: tuple[OutputRow, ...] = ()
    recorded: tuple[RecordedFact, ...] = ()
    writes: tuple[Write, ...] = ()
    due_at: datetime | None = None
    release: bool = False
    holder: str | None = None


class WriteFailed(Exception):
    """A write or a projection of this append raised; nothing of it was recorded."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to find; what is None does not filter."""

    tenant: str = "default"
    flow: str | None = None
    subject: Subject | None = None
    subject_kind: str | None = None
    key: str | None = None
    statuses: tuple[RunStatus, ...] | None = None
    id_prefix: str | None = None
    newest_first: bool = True
    limit: int | None = 100


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of the log: the facts of one run that were recorded together, at ``position`` in the order of commits."""

    position: int
    run_id: str
    tenant: str
    seq: int
    at: datetime
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The runs a worker has leased, and when there may be more: the next one that nobody holds becomes due, or the lease of
    another worker that holds some ends."""

    runs: tuple[Run, ...]
    later: datetime | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """Which attempts got all the places they need. ``waits`` says for the others after how many seconds the rate will have
    come to them, all before them included; None when only the end of another attempt can help."""

    given: tuple[bool, ...]
    waits: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A quota as it stands: how many places are in use, and how many beginnings were left at ``at``."""

    name: str
    key: str
    in_use: int
    tokens: float | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker and how long its leases live."""

    id: str
    host: str
    pid: int
    started_at: datetime
    lease_until: datetime
    holds: int = 0


#: What a run's epoch rises by when its worker died; a run that was handed over in good order is one epoch further.
DEATH = 1 << 16

#: Statements, the same for every database or by the name of its dialect: ``sqlite``, ``postgresql``.
Ddl = Sequence[str] | Mapping[str, Sequence[str]]
OutputKey = tuple[str, str, Scope, int]  # run, phase, scope, version


class Store(Protocol):
    """The storage of runs. Every verb raises ``StoreError`` when the database fails."""

    def prepare(self) -> None:
        """Create the tables in an empty database, or check that their version is ours; raises ``SchemaMismatch``."""

    def now(self) -> datetime:
        """The time that decides leases and due times."""

    def append(self, appends: Sequence[Append], projections: Sequence[Projection] = ()) -> list[Exception | None]:
        """Commit many runs' facts, rows and writes at once; durable when it returns.

        The answer has one entry per append: None, or why nothing of that one was recorded (``Conflict``, ``Fenced``,
        ``NotAllowed`` for a second live run, ``WriteFailed``). A member that fails does not disturb the others.
        """

    def transact(self, work: Callable[[Any], tuple[Append, Any]], projections: Sequence[Projection] = ()) -> Any:
        """Run ``work(session)`` inside a transaction and record the append it returns in that same transaction."""

    def claim(self, worker: str, limit: int, flows: Sequence[tuple[str, int]]) -> Claimed:
        """Lease up to ``limit`` runs that are due and that no live worker holds; their epoch is raised.

        Every tenant that has some gets as many as the next; of a tenant the runs of higher priority come first, then the
        earliest due.

        Only runs of ``flows`` (name and version): others stay for a worker that knows them. Runs of workers whose lease has
        passed are free again.
        """

    def renew(self, worker: WorkerRow) -> bool:
        """Register a worker or prolong all its leases, in one statement. False when it had expired and was swept."""

    def release(self, worker: str, run_ids: Sequence[str]) -> None:
        """Give leased runs back unchanged."""

    def retire(self, worker: str) -> None:
        """Give back everything a worker holds and forget the worker."""

    def bury(self, dead: Sequence[str]) -> None:
        """Free the runs of workers that are known to be dead, as if their leases had passed."""

    def take_permits(self, worker: str, wanted: Sequence[Sequence[Permit]]) -> Granted:
        """Give each of these attempts all the places it needs, or none, in their order. Over all workers no quota is exceeded;
        what a worker holds is free again when it gives it back, or is retired, buried or swept."""

    def keep_permits(self, worker: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Have a worker hold exactly so many places, by name and key of the quota; others of it stay as they are.

        How many, and not how many fewer: so it may be repeated when it is not known whether it was committed.
        """

    def quotas(self) -> list[QuotaUse]:
        """The quotas of which places are in use or have been used, by name and key."""

    def held(self, worker: str) -> dict[str, tuple[int, int]]:
        """What a worker holds: sequence number and epoch by run."""

    def load(self, run_ids: Sequence[str]) -> list[Run]:
        """Runs with all their phase instances, in the order asked for; unknown ids are left out."""

    def find(self, which: RunFilter) -> list[Run]:
        """Runs without their phase instances."""

    def of_subjects(self, tenant: str, flow: str, subject_ids: Sequence[str]) -> list[Run]:
        """All runs of these subject ids (of whatever kind) in a flow, oldest first, without their phase instances."""

    def known(
        self, tenant: str, flow: str, subjects: Sequence[Subject], key: str
    ) -> tuple[dict[Subject, Run], dict[Subject, Tombstone]]:
        """The latest run of each subject in a flow and of a key, without its phase instances, and of those that have none the
        tombstone if one was purged; all as it was at one moment."""

    def outputs(self, keys: Sequence[OutputKey]) -> dict[OutputKey, Any]:
        """The values of outputs; unknown ones are left out."""

    def log(self, *, run_id: str | None = None, after: int = 0, limit: int = 1000) -> list[Commit]:
        """Commits after a position, in order. Whoever goes on from the last one seen misses none."""

    def next_due(self, flows: Sequence[tuple[str, int]]) -> datetime | None:
        """When there will be more to claim of these flows, should nobody commit anything: as ``Claimed.later``."""

    def news(self) -> object:
        """A value that differs from an earlier one when anybody has committed since; costs no query."""

    def workers(self) -> list[WorkerRow]:
        """The workers that are registered."""

    def keep_flow(self, name: str, version: int, body: str) -> bool:
        """Keep the definition of a flow (JSON). False, and nothing changed, when unfinished runs use another definition."""

    def flows(self) -> list[Any]:
        """The definitions kept, by name and version."""

    def old_runs(self, which: OldRuns, *, after: str = "", limit: int) -> list[OldRun]:
        """Up to ``limit`` finished runs, by their ids, from the one behind ``after`` on."""

    def count_old(self, which: OldRuns, *, limit: int | None = None) -> PurgeReport:
        """What purging these runs (the first ``limit`` by their ids) would delete; changes nothing."""

    def documents(self, run_ids: Sequence[str]) -> list[str]:
        """Each of these runs with all its rows as one line of JSON, all as they were at one moment; unknown ids are left out."""

    def purge(self, chosen: Sequence[OldRun]) -> PurgeReport:
        """Delete these runs with all their rows and leave a tombstone of each, in one commit.

        A run stays, with everything, that has not ended, that has moved since it was chosen, or that somebody is moving now.
        """

    def tombstones(self, tenant: str, *, subject: Subject | None = None, run_id: str | None = None) -> list[Tombstone]:
        """The tombstones of a subject in all flows, the latest run last; or those whose run's id begins so, at most two."""

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """The rows of a query."""

    def write(self, writes: Sequence[Write]) -> None:
        """Commit writes of an application that belong to no run; all or none."""

    def create(self, metadata: Any, ddl: Ddl = ()) -> None:
        """Create an application's own tables, and run its further statements, where they do not exist yet.

        On PostgreSQL a table lies in the schema that ``table.info["schema"]`` names, if any.
        """

    def migrate(self, migrations: Path, schema: str) -> None:
        """Bring an application's own tables to the last of its migrations, all or nothing; see ``Engine.migrate``."""

    def rehearsal(self) -> AbstractContextManager[Store]:
        """A store on which everything happens as on this one and is undone when the context ends."""

    def trace(self, seen: Callable[[str], None]) -> None:
        """Have ``seen`` called with the text of every statement just before it is executed, for tests.

        The beginnings and endings of transactions are statements too. Connections that are in use already are not traced.
        """

    def close(self) -> None:
        """Let go of the database."""
