"""Every query, once, in SQLAlchemy Core. What differs between databases is a method of the class in the dialect's file."""

from __future__ import annotations

import copy
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from phasegate.core.quota import Permit
from phasegate.core.run import Run
from phasegate.errors import Conflict, Fenced, InputError, NotAllowed, StoreError, UnknownName
from phasegate.store import claiming, codec, permits, rows
from phasegate.store.base import (
    Append,
    Claimed,
    Commit,
    Ddl,
    Granted,
    OutputKey,
    Projection,
    QuotaUse,
    RunFilter,
    Store,
    WorkerRow,
    Write,
    WriteFailed,
)
from phasegate.store.queries import Queries
from phasegate.store.retention import Retention
from phasegate.store.tables import FINAL, attempts, decisions, facts, flows, outputs, runs, workers


class SqlStore(Retention, ABC):
    """The verbs of ``Store``; see there for what each promises."""

    #: The name SQLAlchemy gives the dialect: the key under which an application keeps statements for it.
    dialect: str
    #: The schema of the engine's tables, where the database has schemas.
    schema: str | None = None

    def __init__(self) -> None:
        self._queries = Queries(self.any_of)
        self._pinned: sa.Connection | None = None
        self._lock = threading.RLock()
        self._rehearsed = 0
        self._last_tenant = ""  # whose runs were claimed last: the others come first next time

    # --- what a dialect gives ---

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a database at the address, of whatever content."""

    @abstractmethod
    def check_place(self) -> None:
        """Say what can be said about the address before the database says it less clearly. Raises ``StoreError``."""

    @abstractmethod
    def now(self) -> datetime:
        """The time that decides leases and due times."""

    @abstractmethod
    def time(self, value: datetime) -> Any:
        """A time as the driver takes it."""

    @abstractmethod
    def open_reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection to read from."""

    @abstractmethod
    def open_writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that may write from its first statement; committed durably when the block ends."""

    @abstractmethod
    def committed(self) -> object:
        """A value that differs from an earlier one when anybody has committed since."""

    @abstractmethod
    def insert(
        self, connection: sa.Connection, table: sa.Table, columns: tuple[str, ...], rows_: list[rows.Row]
    ) -> None:
        """Insert rows given in the order of ``columns``."""

    @abstractmethod
    def upsert_phases(self, connection: sa.Connection, rows_: list[rows.Row]) -> None:
        """Insert or replace rows of ``phase_runs``."""

    @abstractmethod
    def update_runs(self, connection: sa.Connection, rows_: list[rows.Row]) -> int:
        """Apply ``rows.run_update`` rows; how many met their guard."""

    def together(self, connection: sa.Connection, most: int) -> AbstractContextManager[object]:
        """A block in which statements of at most so many rows may be sent without waiting for the answer to each."""
        return nullcontext()

    @abstractmethod
    def any_of(self, column: Any, values: Any) -> sa.ColumnElement[bool]:
        """Whether a column is among many values, given as one parameter: what ``many`` made, or a named one."""

    @abstractmethod
    def trace(self, seen: Callable[[str], None]) -> None:
        """Have ``seen`` called with every statement."""

    @abstractmethod
    def translate(self, error: sa.exc.DBAPIError) -> StoreError | None:
        """What an error means for a person, and what to do; None when it is about a statement, not about the database."""

    @abstractmethod
    def many(self, values: Sequence[str]) -> Any:
        """Many values as one parameter."""

    @abstractmethod
    def lock_schema(self, connection: sa.Connection) -> None:
        """Have the definitions of tables and flows to oneself until the transaction ends; where there are schemas, the
        engine's exists then."""

    @abstractmethod
    def lock_places(self, connection: sa.Connection, places: Sequence[tuple[str, str]]) -> None:
        """Have what is counted of these quotas (name and key) to oneself until the transaction ends."""

    @abstractmethod
    def has_tables(self, connection: sa.Connection, names: Sequence[str]) -> bool:
        """Whether all of these tables exist."""

    @abstractmethod
    def create_tables(self, connection: sa.Connection, metadata: sa.MetaData) -> None:
        """Create an application's tables where they do not exist."""

    @abstractmethod
    def enter_schema(self, connection: sa.Connection, name: str) -> None:
        """Have what is created from now on lie in a schema, which exists then; nobody else changes schemas until the end."""

    @abstractmethod
    def leave_schema(self, connection: sa.Connection) -> None:
        """Have names mean what they usually do."""

    @abstractmethod
    def settled(self, position: Any) -> sa.ColumnElement[bool]:
        """Whether nobody can commit anything before a position of the log any more."""

    # --- connections ---

    def open_looking(self) -> AbstractContextManager[sa.Connection]:
        """A connection that leaves a database which may be somebody else's exactly as it is."""
        return self.open_reading()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read from; in a rehearsal the one in which everything happens."""
        if self._pinned is None:
            with self.open_reading() as connection:
                yield connection
        else:
            with self._lock:
                yield self._pinned

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction; in a rehearsal a savepoint in the one that will be rolled back."""
        if self._pinned is None:
            with self.open_writing() as connection:
                yield connection
        else:
            with self._lock, store_errors(self.translate), self._pinned.begin_nested():
                yield self._pinned
                self._rehearsed += 1

    @contextmanager
    def rehearsal(self) -> Iterator[Store]:
        twin = copy.copy(self)
        twin._lock = threading.RLock()
        with self.open_writing() as connection:
            twin._pinned = connection
            try:
                yield twin  # type: ignore[misc]  # a dialect's subclass has the rest of the verbs
            finally:
                connection.rollback()

    def news(self) -> object:
        return self.committed() if self._pinned is None else self._rehearsed

    # --- append ---

    def append(self, appends: Sequence[Append], projections: Sequence[Projection] = ()) -> list[Exception | None]:
        try:
            with self.writing() as connection:
                self._apply(connection, appends, projections)
            return [None] * len(appends)
        except (StoreError, sa.exc.OperationalError):
            raise  # the database's fault: nobody's append would have gone through
        except Exception:
            # Somebody in the batch failed. One by one, each behind a savepoint, shows who, and saves the others.
            with self.writing() as connection:
                return [self._append_one(connection, append, projections) for append in appends]

    def _append_one(
        self, connection: sa.Connection, append: Append, projections: Sequence[Projection]
    ) -> Exception | None:
        savepoint = connection.begin_nested()
        try:
            self._apply(connection, [append], projections)
        except (StoreError, sa.exc.OperationalError):
            raise
        except Exception as error:
            savepoint.rollback()
            return self._why_not(connection, append, error)
        savepoint.commit()
        return None

    def _why_not(self, connection: sa.Connection, append: Append, error: Exception) -> Exception:
        if isinstance(error, _GuardFailed):
            return self._refusal(connection, append)
        if isinstance(error, sa.exc.IntegrityError) and append.expected == 0:
            return NotAllowed(f"{append.run.subject} already has a live run of {append.run.flow!r}")
        return error if isinstance(error, WriteFailed | InputError) else WriteFailed(error)

    def _refusal(self, connection: sa.Connection, append: Append) -> Exception:
        row = connection.execute(sa.select(runs.c.seq, runs.c.epoch).where(runs.c.id == append.run.id)).first()
        if row is None:
            return UnknownName("run", append.run.id)
        if row.seq == append.expected:
            return Fenced(f"run {append.run.id} is in its epoch {row.epoch}, not {append.run.epoch}")
        return Conflict(f"run {append.run.id} is at fact {row.seq}, not {append.expected}")

    def _apply(self, connection: sa.Connection, appends: Sequence[Append], projections: Sequence[Projection]) -> None:
        time = self.time
        updates = [rows.run_update(a, time) for a in appends if a.expected]
        if updates and self.update_runs(connection, updates) != len(updates):
            raise _GuardFailed
        created = [rows.run_row(a, time) for a in appends if not a.expected]
        many: tuple[tuple[sa.Table, tuple[str, ...], list[rows.Row]], ...] = (
            (runs, rows.RUN_COLUMNS, created),
            (attempts, rows.ATTEMPT_COLUMNS, _flat(rows.attempt_rows(a, time) for a in appends if a.attempts)),
            (outputs, rows.OUTPUT_COLUMNS, _flat(rows.output_rows(a) for a in appends if a.outputs)),
            (facts, rows.FACT_COLUMNS, [rows.fact_row(a, time) for a in appends if a.facts]),
            (decisions, rows.DECISION_COLUMNS, _flat(rows.decision_rows(a, time) for a in appends)),
        )
        changed = _flat(rows.phase_rows(a, time) for a in appends)
        with self.together(connection, max(len(changed), *(len(values) for _, _, values in many))):
            for table, columns, values in many:
                if values:
                    self.insert(connection, table, columns, values)
            if changed:
                self.upsert_phases(connection, changed)
        self._apply_writes(connection, appends, projections)

    def _apply_writes(
        self, connection: sa.Connection, appends: Sequence[Append], projections: Sequence[Projection]
    ) -> None:
        """The applications' part of the commit; whatever it raises is theirs, not the store's."""
        try:
            for statement, params in joined(write for append in appends for write in append.writes):
                connection.execute(statement, params)
            recorded = [each for append in appends for each in append.recorded] if projections else []
            for project in projections if recorded else ():
                project(connection, recorded)
        except (Exception, SystemExit) as error:
            if isinstance(error, sa.exc.DBAPIError) and self.translate(error) is not None:
                raise  # locked, full, gone: the store's trouble after all
            raise WriteFailed(error) from error

    def transact(self, work: Callable[[Any], tuple[Append, Any]], projections: Sequence[Projection] = ()) -> Any:
        from sqlalchemy.orm import Session  # a fifth of SQLAlchemy's import time, for the few who use it

        try:
            with self.writing() as connection, Session(connection, join_transaction_mode="create_savepoint") as session:
                append, result = work(session)
                session.commit()
                try:
                    self._apply(connection, [append], projections)
                except _GuardFailed:
                    refusal = self._refusal(connection, append)
                    raise refusal from None
        except (sa.exc.IntegrityError, InputError) as error:
            raise WriteFailed(error) from error
        return result

    # --- leases ---

    def claim(self, worker: str, limit: int, flows: Sequence[tuple[str, int]]) -> Claimed:
        now = self.now()
        given = {"now": now, "flows": self.many([f"{name}@{version}" for name, version in flows])}
        with self.reading() as connection:
            # Looked up before the write lock is taken, so that idle workers do not disturb busy ones.
            groups = claiming.Groups(connection, self._queries)
            due = claiming.any_due(connection, self._queries, given, groups)
            if not due and connection.execute(self._queries.dead, {"now": now}).first() is None:
                return Claimed((), self._later(connection, worker, given, groups))
        with self.writing() as connection:
            self._sweep(connection, now)
            ids = claiming.pick(connection, self._queries, given, limit, self._last_tenant)
            if ids:
                connection.execute(self._queries.take, {"ids": self.many(ids), "holder": worker})
            found = tuple(self._load(connection, ids))
            self._last_tenant = found[-1].tenant if found else self._last_tenant
            return Claimed(found, self._later(connection, worker, given, claiming.Groups(connection, self._queries)))

    def next_due(self, flows: Sequence[tuple[str, int]]) -> datetime | None:
        given = {"now": self.now(), "flows": self.many([f"{name}@{version}" for name, version in flows])}
        with self.reading() as connection:
            return self._later(connection, "", given, claiming.Groups(connection, self._queries))

    def _later(
        self, connection: sa.Connection, worker: str, given: Mapping[str, Any], groups: claiming.Groups
    ) -> datetime | None:
        due = claiming.next_due(connection, self._queries, given, groups)
        lease_end = connection.execute(self._queries.next_lease_end, {"holder": worker}).scalar()
        return min((at for at in (due, lease_end) if at is not None), default=None)

    def _sweep(self, connection: sa.Connection, now: datetime) -> None:
        """Free the runs of workers whose lease has passed; the raised epoch fences the worker off should it still live."""
        dead = [row.id for row in connection.execute(self._queries.dead_and_free, {"now": now})]
        self._bury(connection, dead)

    def _bury(self, connection: sa.Connection, dead: Sequence[str]) -> None:
        if dead:
            connection.execute(self._queries.free_of_dead, {"dead": self.many(dead)})
            connection.execute(self._queries.bury, {"dead": self.many(dead)})
            connection.execute(self._queries.forfeit, {"dead": self.many(dead)})

    def bury(self, dead: Sequence[str]) -> None:
        with self.writing() as connection:
            self._bury(connection, dead)

    def renew(self, worker: WorkerRow) -> bool:
        with self.writing() as connection:
            mine = workers.c.id == worker.id
            done = connection.execute(sa.update(workers).where(mine).values(lease_until=worker.lease_until))
            if done.rowcount:
                return True
            # Whoever is not registered holds nothing, this worker included: should it register again, it has forgotten.
            connection.execute(self._queries.free_of_unknown)
            values = {"id": worker.id, "host": worker.host, "pid": worker.pid, "started_at": worker.started_at}
            connection.execute(sa.insert(workers).values(**values, lease_until=worker.lease_until))
            return False

    def release(self, worker: str, run_ids: Sequence[str]) -> None:
        with self.writing() as connection:
            connection.execute(self._queries.free_some, {"ids": self.many(run_ids), "holder": worker})

    def retire(self, worker: str) -> None:
        with self.writing() as connection:
            connection.execute(self._queries.free_all, {"holder": worker})
            connection.execute(self._queries.bury, {"dead": self.many([worker])})
            connection.execute(self._queries.forfeit, {"dead": self.many([worker])})

    def held(self, worker: str) -> dict[str, tuple[int, int]]:
        query = sa.select(runs.c.id, runs.c.seq, runs.c.epoch).where(runs.c.worker == worker)
        with self.reading() as connection:
            return {row.id: (row.seq, row.epoch) for row in connection.execute(query)}

    def workers(self) -> list[WorkerRow]:
        holds = sa.select(sa.func.count()).where(runs.c.worker == workers.c.id).scalar_subquery()
        query = sa.select(workers, holds.label("holds")).order_by(workers.c.started_at)
        with self.reading() as connection:
            return [
                WorkerRow(r.id, r.host, r.pid, r.started_at, r.lease_until, r.holds) for r in connection.execute(query)
            ]

    # --- quotas ---

    def take_permits(self, worker: str, wanted: Sequence[Sequence[Permit]]) -> Granted:
        now = self.now()
        with self.writing() as connection:
            self.lock_places(connection, sorted({permits.place(each) for attempt in wanted for each in attempt}))
            return permits.take(connection, worker, wanted, now)

    def keep_permits(self, worker: str, counts: Mapping[tuple[str, str], int]) -> None:
        with self.writing() as connection:
            permits.keep(connection, worker, counts)

    def quotas(self) -> list[QuotaUse]:
        with self.reading() as connection:
            return permits.in_use(connection)

    # --- reading ---

    def load(self, run_ids: Sequence[str]) -> list[Run]:
        with self.reading() as connection:
            return self._load(connection, list(run_ids))

    def _load(self, connection: sa.Connection, ids: list[str]) -> list[Run]:
        given = {"ids": self.many(ids)}
        by_id = {row["id"]: dict(row) for row in connection.execute(self._queries.runs, given).mappings()}
        phases = rows.instances_by_run(connection.execute(self._queries.phases, given))
        return [rows.run_of(by_id[id_], phases.get(id_)) for id_ in ids if id_ in by_id]

    def find(self, which: RunFilter) -> list[Run]:
        query = sa.select(runs).where(runs.c.tenant == which.tenant)
        subject = which.subject
        for condition in (
            runs.c.flow == which.flow if which.flow is not None else None,
            runs.c.subject_kind == (subject.kind if subject else which.subject_kind)
            if subject or which.subject_kind else None,
            runs.c.subject_id == subject.id if subject else None,
            runs.c.key == which.key if which.key is not None else None,
            runs.c.status.in_([status.value for status in which.statuses]) if which.statuses is not None else None,
            runs.c.id.startswith(which.id_prefix, autoescape=True) if which.id_prefix is not None else None,
        ):  # fmt: skip
            if condition is not None:
                query = query.where(condition)
        order = runs.c.id.desc() if which.newest_first else runs.c.id.asc()
        with self.reading() as connection:
            found = connection.execute(query.order_by(order).limit(which.limit)).mappings()
            return [rows.run_of(dict(row)) for row in found]

    def of_subjects(self, tenant: str, flow: str, subject_ids: Sequence[str]) -> list[Run]:
        given = {"ids": self.many(subject_ids), "flow": flow, "tenant": tenant}
        with self.reading() as connection:
            return [rows.run_of(dict(row)) for row in connection.execute(self._queries.latest, given).mappings()]

    def outputs(self, keys: Sequence[OutputKey]) -> dict[OutputKey, Any]:
        place = sa.tuple_(outputs.c.run_id, outputs.c.phase, outputs.c.scope, outputs.c.version)
        names = (outputs.c.run_id, outputs.c.phase, outputs.c.scope, outputs.c.version, outputs.c.body)
        wanted = [(run, phase, codec.dump_scope(scope), version) for run, phase, scope, version in dict.fromkeys(keys)]
        values: dict[OutputKey, Any] = {}
        with self.reading() as connection:
            for start in range(0, len(wanted), 200):
                query = sa.select(*names).where(place.in_(wanted[start : start + 200]))
                for run, phase, scope, version, body in connection.execute(query):
                    values[run, phase, codec.load_scope(scope), version] = codec.load(body)
        return values

    def log(self, *, run_id: str | None = None, after: int = 0, limit: int = 1000) -> list[Commit]:
        query = sa.select(facts).where(facts.c.position > after)
        # The commits of one run follow one another; those of different runs may become visible in another order.
        query = query.where(self.settled(facts.c.position) if run_id is None else facts.c.run_id == run_id)
        with self.reading() as connection:
            return [
                Commit(r.position, r.run_id, r.tenant, r.seq, r.at, tuple(codec.load_facts(r.body)))
                for r in connection.execute(query.order_by(facts.c.position).limit(limit))
            ]

    def keep_flow(self, name: str, version: int, body: str) -> bool:
        here = sa.and_(flows.c.name == name, flows.c.version == version)
        with self.reading() as connection:
            if connection.execute(sa.select(flows.c.body).where(here)).scalar() == body:
                return True
        with self.writing() as connection:
            self.lock_schema(connection)
            if connection.execute(sa.select(flows.c.body).where(here)).scalar() == body:
                return True  # somebody else was faster
            live = sa.select(runs.c.id).where(
                runs.c.flow == name, runs.c.version == version, runs.c.status.not_in(FINAL)
            )
            if connection.execute(live.limit(1)).first() is not None:
                return False
            connection.execute(sa.delete(flows).where(here))
            connection.execute(sa.insert(flows).values(name=name, version=version, body=body))
            return True

    def flows(self) -> list[Any]:
        with self.reading() as connection:
            return [
                codec.load(row.body)
                for row in connection.execute(sa.select(flows).order_by(flows.c.name, flows.c.version))
            ]

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        statement = sa.text(statement) if isinstance(statement, str) else statement
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(statement, dict(params or {})).mappings()]

    def write(self, writes: Sequence[Write]) -> None:
        with self.writing() as connection:
            for statement, params in joined(writes):
                connection.execute(statement, params)

    def migrate(self, migrations: Path, schema: str) -> None:
        from phasegate.store.migrating import migrate

        migrate(self, migrations, schema)

    def create(self, metadata: Any, ddl: Ddl = ()) -> None:
        # Made in one transaction, so the tables speak for all that goes with them; and looking takes no lock.
        names = list(metadata.tables)
        with self.reading() as connection:
            if names and self.has_tables(connection, names):
                return
        with self.writing() as connection:
            self.create_tables(connection, metadata)
            for statement in ddl.get(self.dialect, ()) if isinstance(ddl, Mapping) else ddl:
                connection.exec_driver_sql(statement)


class _GuardFailed(Exception):
    """Some run of the batch has moved on."""


def _flat(groups: Iterable[Iterable[rows.Row]]) -> list[rows.Row]:
    return list(itertools.chain.from_iterable(groups))


def joined(writes: Iterable[Write]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Writes of the same statement together, statements in the order of their first use."""
    grouped: dict[Any, list[dict[str, Any]]] = {}
    statements: dict[Any, Any] = {}
    for write in writes:
        key = write.statement if isinstance(write.statement, str) else id(write.statement)
        statements.setdefault(key, write.statement)
        grouped.setdefault(key, []).append(dict(write.params))
    for key, params in grouped.items():
        statement = statements[key]
        yield sa.text(statement) if isinstance(statement, str) else statement, params


def lease_end(now: datetime, lease: float) -> datetime:
    """When a lease of ``lease`` seconds ends."""
    return now + timedelta(seconds=lease)


@contextmanager
def store_errors(translate: Callable[[sa.exc.DBAPIError], StoreError | None]) -> Iterator[None]:
    """Database errors as ours, where we know what to say about them."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        ours = translate(error)
        if ours is None and isinstance(error, sa.exc.OperationalError | sa.exc.InternalError | sa.exc.ProgrammingError):
            ours = StoreError(f"the database answered: {error.orig}")
        if ours is None:
            raise
        raise ours from error
