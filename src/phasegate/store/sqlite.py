"""SQLite: one file, no server, several processes; and the reason for everything done differently here."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from phasegate.errors import NotADatabase, StoreError, StoreUnavailable
from phasegate.sqltypes import iso
from phasegate.store import codec, rows, sqlite_bulk
from phasegate.store.schema import CREATE_VERSION, found_version, mismatch
from phasegate.store.sql import SqlStore, store_errors
from phasegate.store.tables import OPEN, metadata
from phasegate.store.version import HEAD, VERSION_TABLE

_PRAGMAS = (
    "synchronous=FULL",  # a commit that was answered is on disk
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-65536",  # KiB: the pages of the runs being worked on
    "wal_autocheckpoint=4000",  # pages: fewer, larger checkpoints cost less than many small ones
)


class SQLiteStore(SqlStore):
    """The store on one SQLite file; ``path`` None is a temporary file that goes with the store."""

    dialect = "sqlite"

    def __init__(
        self, path: Path | str | None, *, clock: Callable[[], datetime] | None = None, busy: float = 30.0
    ) -> None:
        super().__init__()
        # A database in memory belongs to one connection, but here a writer and readers work side by side.
        self._temporary = tempfile.TemporaryDirectory(prefix="phasegate-") if path is None else None
        self.path = Path(self._temporary.name, "phasegate.db") if self._temporary else Path(str(path))
        self._clock = clock or (lambda: datetime.now(UTC))
        self._busy = busy
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(self.path)),
            connect_args={"isolation_level": None, "check_same_thread": False, "timeout": busy},
            hide_parameters=True,  # an error's text goes into logs; what an application stores must not
            pool_size=20,
            max_overflow=20,
            pool_use_lifo=True,  # each connection keeps pages of its own: as few as are needed at once
        )
        sa.event.listen(self._engine, "connect", self._configure)
        sa.event.listen(self._engine, "begin", _begin)
        self._news_lock = threading.Lock()
        self._news_connection: sqlite3.Connection | None = None
        # Immediate: a transaction that begins by reading and then writes can fail half way when another process wrote in
        # between; one that takes the write lock first can only wait.
        self._writer = self._engine.execution_options(phasegate_begin="BEGIN IMMEDIATE")

    def _configure(self, connection: sqlite3.Connection, _record: Any) -> None:
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA busy_timeout={int(self._busy * 1000)}")
            _use_log(connection)
        except sqlite3.Error as error:
            # What an event raises SQLAlchemy passes on as it is, and nobody would recognise it.
            raise sa.exc.DBAPIError.instance("PRAGMA", None, error, sqlite3.Error) from error

    # --- the file ---

    def prepare(self) -> None:
        self.check_place()
        with self.open_reading() as connection:
            found = found_version(connection, None)
        if found is None:
            self._create_tables()
        elif found != HEAD:
            raise mismatch(found)

    def exists(self) -> bool:
        return self.path.exists()

    def check_place(self) -> None:
        if self.path.is_dir():
            raise NotADatabase(f"{self.path} is a directory", hint="name a file, such as sqlite:///phasegate.db")
        if not self.path.parent.is_dir():
            raise StoreUnavailable(f"there is no directory {self.path.parent}", hint="create it, or name another file")

    def _create_tables(self) -> None:
        """All tables at once, marked with the version the migrations lead to: importing Alembic would take longer than the
        whole of a short program. A test proves that both ways give the same schema."""
        with self.open_writing() as connection:
            if found_version(connection, None) is not None:  # another process was faster
                return
            metadata.create_all(connection)
            for view in VIEWS:
                connection.exec_driver_sql(view)
            connection.exec_driver_sql(CREATE_VERSION)
            connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (HEAD,))

    def close(self) -> None:
        with self._news_lock:
            if self._news_connection is not None:
                self._news_connection.close()
                self._news_connection = None
        self._engine.dispose()
        if self._temporary:
            self._temporary.cleanup()

    # --- what SQLite does its own way ---

    def now(self) -> datetime:
        """The machine's time: all processes on one file share one machine."""
        return self._clock()

    time = staticmethod(iso)

    @contextlib.contextmanager
    def open_reading(self) -> Iterator[sa.Connection]:
        with store_errors(self.translate), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def open_looking(self) -> Iterator[sa.Connection]:
        # None of the pool's connections, for each of them turns the file to writing ahead.
        plain = sa.create_engine(
            self._engine.url, poolclass=sa.NullPool, hide_parameters=True, connect_args={"timeout": self._busy}
        )
        with store_errors(self.translate), plain.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def open_writing(self) -> Iterator[sa.Connection]:
        with store_errors(self.translate), self._writer.connect() as connection, connection.begin():
            yield connection

    def committed(self) -> object:
        """``data_version`` changes when another connection commits; asking reads a word of shared memory, not the file."""
        with self._news_lock:
            if self._news_connection is None:
                self._news_connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            return self._news_connection.execute("PRAGMA data_version").fetchone()[0]

    def insert(
        self, connection: sa.Connection, table: sa.Table, columns: tuple[str, ...], rows_: list[rows.Row]
    ) -> None:
        sqlite_bulk.execute(connection, sqlite_bulk.inserting(table, columns), rows_)

    def upsert_phases(self, connection: sa.Connection, rows_: list[rows.Row]) -> None:
        sqlite_bulk.execute(connection, sqlite_bulk.upserting_phases, rows_)

    def update_runs(self, connection: sa.Connection, rows_: list[rows.Row]) -> int:
        return sqlite_bulk.execute(connection, sqlite_bulk.updating_runs, rows_)

    def many(self, values: Sequence[str]) -> str:
        # One JSON parameter instead of one per value: SQLite limits their number, and the statement text stays the same.
        return codec.dump(list(values))

    def any_of(self, column: Any, values: Any) -> sa.ColumnElement[bool]:
        listed = sa.func.json_each(values).table_valued("value")
        among: sa.ColumnElement[bool] = column.in_(sa.select(listed.c.value))
        return among

    def lock_schema(self, connection: sa.Connection) -> None:
        """A transaction that may write is the only one that does."""

    def lock_places(self, connection: sa.Connection, places: Sequence[tuple[str, str]]) -> None:
        """As ``lock_schema``."""

    def has_tables(self, connection: sa.Connection, names: Sequence[str]) -> bool:
        return set(names) <= set(sa.inspect(connection).get_table_names())

    def create_tables(self, connection: sa.Connection, metadata: sa.MetaData) -> None:
        metadata.create_all(connection)

    def enter_schema(self, connection: sa.Connection, name: str) -> None:
        """SQLite has no schemas: names of tables stand alone."""

    def leave_schema(self, connection: sa.Connection) -> None:
        """Nothing was entered."""

    def settled(self, position: Any) -> sa.ColumnElement[bool]:
        # One transaction writes at a time, so positions become visible in their order.
        return sa.true()

    def trace(self, seen: Callable[[str], None]) -> None:
        # Below SQLAlchemy, because what is written in bulk goes past it.
        sa.event.listen(self._engine, "connect", lambda connection, _record: connection.set_trace_callback(seen))
        self._engine.dispose()

    def translate(self, error: sa.exc.DBAPIError) -> StoreError | None:
        return explain_error(self.path, str(error.orig))


def _use_log(connection: sqlite3.Connection) -> None:
    """Write ahead: readers and the one writer do not wait for each other. A property of the file, not of the connection."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        # For this one change SQLite does not wait when another process is making it too, so wait until the file is free.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("phasegate_begin", "BEGIN"))


def explain_error(path: Path, message: str) -> StoreError | None:
    """What SQLite's message means for a person, and what to do; None when it is not about the file."""
    if "file is not a database" in message or "disk image is malformed" in message:
        return NotADatabase(f"{path} is not a database", hint="name another file, or restore it from a backup")
    if "database is locked" in message or "database table is locked" in message:
        return StoreUnavailable(
            f"{path} is locked by another process", hint="try again when it has finished; see who has the file open"
        )
    if "readonly database" in message:
        return StoreUnavailable(f"{path} cannot be written", hint="check the permissions of the file and its directory")
    if "database or disk is full" in message or "disk I/O error" in message:
        return StoreUnavailable(f"there is no space left for {path}", hint="free some space; nothing was half-written")
    if "unable to open database" in message:
        return StoreUnavailable(f"{path} cannot be opened", hint="check the path and the permissions of its directory")
    return None


# --- views ----------------------------------------------------------------------------------------------------------


def _ago(hours: int) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%f', 'now', '-{hours} hours') || '000+00:00'"


_RUN = "r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id"
_OPEN = ", ".join(f"'{word}'" for word in OPEN)

VIEWS = (
    f"""CREATE VIEW phasegate_v_subjects_by_phase AS
    SELECT r.tenant, {_RUN}, r.status AS run_status, p.phase, p.scope, p.status AS phase_status,
           p.attempt, p.since, p.due_at, coalesce(p.reason, r.reason) AS reason
    FROM phasegate_runs r
    LEFT JOIN phasegate_phase_runs p ON p.run_id = r.id AND p.tenant = r.tenant AND p.status IN ({_OPEN})""",
    f"""CREATE VIEW phasegate_v_phase_counts AS
    SELECT tenant, flow, phase, status AS phase_status, count(*) AS instances, min(since) AS oldest_since
    FROM phasegate_phase_runs WHERE status IN ({_OPEN}) GROUP BY tenant, flow, phase, status""",
    f"""CREATE VIEW phasegate_v_recent_completions AS
    SELECT a.tenant, {_RUN}, a.phase, a.scope, a.number AS attempt, a.outcome, a.started_at, a.finished_at
    FROM phasegate_attempts a JOIN phasegate_runs r ON r.id = a.run_id
    WHERE a.status = 'succeeded' AND a.finished_at >= {_ago(24)} ORDER BY a.finished_at DESC""",
    f"""CREATE VIEW phasegate_v_failed_phases AS
    SELECT p.tenant, {_RUN}, p.phase, p.scope, p.attempt, p.reason, p.since AS failed_at
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE p.status = 'failed' AND r.status <> 'cancelled' ORDER BY p.since DESC""",
    f"""CREATE VIEW phasegate_v_stuck AS
    SELECT p.tenant, {_RUN}, r.status AS run_status, p.phase, p.scope, p.status AS phase_status,
           p.since, p.due_at, p.reason
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND p.status IN ({_OPEN}) AND p.since < {_ago(24)}
    ORDER BY p.since""",
    """CREATE VIEW phasegate_v_facts AS
    SELECT f.tenant, f.run_id, f.position, f.seq - json_array_length(f.body) + 1 + j.key AS seq,
           json_extract(j.value, '$.kind') AS kind, json_extract(j.value, '$.at') AS at,
           json_extract(j.value, '$.phase') AS phase, j.value AS fact
    FROM phasegate_facts f, json_each(f.body) j""",
)
