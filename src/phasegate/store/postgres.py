"""PostgreSQL: many workers on many machines; and the reason for everything done differently here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from phasegate.errors import SchemaMismatch, StoreError, StoreUnavailable
from phasegate.store import postgres_bulk as bulk
from phasegate.store import rows, tables
from phasegate.store.base import Append, Projection, WorkerRow
from phasegate.store.postgres_errors import explain_error, is_lost, is_passing, refuse_nul, shorten
from phasegate.store.postgres_news import Bell, Ear
from phasegate.store.postgres_schema import DDL, OLDEST, SCHEMA
from phasegate.store.schema import CREATE_VERSION, found_version, mismatch
from phasegate.store.sql import SqlStore, store_errors
from phasegate.store.version import HEAD, VERSION_TABLE

T = TypeVar("T")

#: How often a transaction is repeated that the server gave up for another one's sake.
REPEATS = 10
#: The two clocks may seem to differ by as much as one question takes; only what is more is a step of one of them.
JITTER = timedelta(milliseconds=50)
#: The lock of whoever creates or changes the schema; any number that nobody else uses.
SCHEMA_LOCK = 0x70686173

_PREPARE = """SELECT set_config('search_path', %s, false), set_config('TimeZone', 'UTC', false),
    set_config('lock_timeout', %s, false), set_config('application_name', 'phasegate', false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
               ELSE current_setting('synchronous_commit') END, false), clock_timestamp()"""


class PostgresStore(SqlStore):
    """The store in one PostgreSQL database. ``schemas`` are those of the applications' own tables."""

    dialect = "postgresql"
    schema = SCHEMA

    def __init__(
        self, url: sa.URL, *, clock: Callable[[], datetime] | None = None, busy: float = 30.0,
        schemas: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.url = url
        self._clock, self._busy = clock, busy
        self._path = ", ".join((SCHEMA, *schemas, "public"))
        self._base: datetime | None = None
        self._base_lock = threading.Lock()
        self._seen: list[Callable[[str], None]] = []
        self._closed = False
        self._engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": 10} if "connect_timeout" not in url.query else {},
            hide_parameters=True,  # an error's text goes into logs; what an application stores must not
            pool_size=20,
            pool_use_lifo=True,  # the connection used last has the statements prepared
            max_overflow=20,
        )
        sa.event.listen(self._engine, "connect", self._configure)
        sa.event.listen(self._engine, "checkout", self._refuse_old)
        self._losses = 0
        sa.event.listen(self._engine, "handle_error", _keep_to_yourself)
        # One snapshot for all queries of a reading: a run and its phases are read by two of them.
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._bell, self._ear = Bell(self._connect_alone), Ear(self._connect_alone)

    def _configure(self, connection: Any, record: Any) -> None:
        record.info.update(losses=self._losses, fresh=True)
        try:
            self._set_up(connection)
        except BaseException:  # a server that stops just now; nobody else would close the connection
            connection.close()
            raise

    def _refuse_old(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """A connection to a server that has been gone since: the pool closes it and opens another one."""
        fresh = record.info.pop("fresh", False)  # refused again, it would be the caller's trouble
        if not fresh and record.info["losses"] != self._losses:
            raise sa.exc.DisconnectionError

    def _set_up(self, connection: Any) -> None:
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_PREPARE, (self._path, str(int(self._busy * 1000))))
            told = cursor.fetchone()[-1]
        connection.commit()
        self._set_clock(told, began)

    def _connect_alone(self) -> psycopg.Connection[Any]:
        arguments = self._engine.dialect.create_connect_args(self.url)[1]
        return psycopg.connect(**{"connect_timeout": 10, **arguments, "autocommit": True})

    # --- the database ---

    def prepare(self) -> None:
        with self.open_reading() as connection:
            found = found_version(connection, SCHEMA)
        if found is None:
            self._create_tables()
        elif found != HEAD:
            raise mismatch(found)

    def exists(self) -> bool:
        self.check_place()
        return True

    def check_place(self) -> None:
        with self.open_reading() as connection:
            version = connection.connection.driver_connection.info.server_version // 10_000  # type: ignore[union-attr]
        if version < OLDEST:
            raise SchemaMismatch(
                f"the server is PostgreSQL {version}, phasegate needs {OLDEST} or newer",
                hint="upgrade the server, or name another one in PHASEGATE_DATABASE",
            )

    def _create_tables(self) -> None:
        """All tables at once, marked with the version the migrations lead to, as on SQLite."""
        self.check_place()
        with self.open_writing() as connection:
            self.lock_schema(connection)
            if found_version(connection, SCHEMA) is not None:  # another process was faster
                return
            tables.metadata.create_all(connection)
            for statement in DDL:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(CREATE_VERSION)
            connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES (%s)", (HEAD,))

    def lock_schema(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        self._create_schema(connection, SCHEMA)

    def _create_schema(self, connection: sa.Connection, name: str) -> None:
        # CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it exists.
        known = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
        if connection.execute(known, {"name": name}).first() is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")

    def lock_places(self, connection: sa.Connection, places: Sequence[tuple[str, str]]) -> None:
        # In one order for everybody, so that nobody waits in a ring; before there is a row, there is none to lock.
        lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))")
        for name, key in places:
            connection.execute(lock, {"place": f"{name}\n{key}"})

    def has_tables(self, connection: sa.Connection, names: Sequence[str]) -> bool:
        query = sa.text("SELECT count(*) FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NULL")
        return connection.execute(query, {"names": list(names)}).scalar() == 0

    def create_tables(self, connection: sa.Connection, metadata: sa.MetaData) -> None:
        """Each table in the schema that its ``info`` names; what it refers to is found wherever it lies."""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        for table in metadata.sorted_tables:
            home = table.info.get("schema")
            if home is not None:
                self.enter_schema(connection, home)
            if not self.has_tables(connection, [table.name]):
                table.create(connection, checkfirst=False)
        self.leave_schema(connection)

    def enter_schema(self, connection: sa.Connection, name: str) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        self._create_schema(connection, name)
        connection.exec_driver_sql(f"SET LOCAL search_path = {name}, {self._path}")

    def leave_schema(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL search_path = {self._path}")

    def close(self) -> None:
        self._closed = True
        self._bell.close()
        self._ear.close()
        self._engine.dispose()

    # --- time: the database's, because every machine has another ---

    def now(self) -> datetime:
        """The database's time, as this process last heard it, and carried on by a clock that nobody can set."""
        if self._clock is not None:
            return self._clock()
        if self._base is None:
            self._ask_time()
        assert self._base is not None
        return self._base + timedelta(seconds=time.monotonic())

    def _ask_time(self) -> None:
        with self.open_reading() as connection:
            began = time.monotonic()
            self._set_clock(connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one(), began)

    def _set_clock(self, told: datetime, began: float) -> None:
        """``told`` was true at some moment since ``began``."""
        base = told.astimezone(UTC) - timedelta(seconds=(began + time.monotonic()) / 2)
        with self._base_lock:
            if self._base is None or abs(base - self._base) > JITTER:
                self._base = base

    def time(self, value: datetime) -> datetime:
        """The driver takes times as they are."""
        return value

    def renew(self, worker: WorkerRow) -> bool:
        if self._clock is None:
            self._ask_time()  # often enough to notice that a clock was set, or that the machine slept
        return super().renew(worker)

    # --- transactions ---

    @contextlib.contextmanager
    def open_reading(self) -> Iterator[sa.Connection]:
        # Committed although nothing was written: at a rollback the driver forgets what it has prepared.
        with self._errors(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def open_writing(self) -> Iterator[sa.Connection]:
        with self._errors(), self._engine.connect() as connection, connection.begin():
            connection.info.pop("place", None)
            yield connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:  # a connection opened now would never be closed
            raise StoreUnavailable("the engine has been closed", hint="open another one")
        try:
            with store_errors(self.translate):
                yield
        except sa.exc.DataError as error:
            refuse_nul(error.orig)
            raise
        except StoreError as error:
            if is_lost(error):  # the other connections lead to the same server: each of them would fail once
                self._losses += 1
            raise

    def append(self, appends: Sequence[Append], projections: Sequence[Projection] = ()) -> list[Exception | None]:
        for _ in range(REPEATS):
            try:
                return self._told(super().append(appends, projections))
            except StoreError as error:
                if not is_passing(error):
                    raise
        return self._told(super().append(appends, projections))

    def transact(self, work: Callable[[Any], tuple[Append, Any]], projections: Sequence[Projection] = ()) -> Any:
        return self._told(super().transact(work, projections))

    def release(self, worker: str, run_ids: Sequence[str]) -> None:
        self._told(super().release(worker, run_ids))

    def retire(self, worker: str) -> None:
        self._told(super().retire(worker))

    def bury(self, dead: Sequence[str]) -> None:
        self._told(super().bury(dead))

    def _told(self, result: T) -> T:
        """Others may have something to do now."""
        if self._pinned is None:
            self._bell.ring()
        return result

    def committed(self) -> object:
        return self._ear.heard()

    # --- rows ---

    def insert(
        self, connection: sa.Connection, table: sa.Table, columns: tuple[str, ...], rows_: list[rows.Row]
    ) -> None:
        if table is tables.facts:
            columns, rows_ = ("position", *columns), self._numbered(connection, rows_)
        if len(rows_) < bulk.COPY_FROM:
            statement = bulk.inserting_facts() if table is tables.facts else bulk.inserting(table, columns)
            self._execute(connection, statement, [bulk.as_json(columns, rows_)])
            return
        statement = bulk.copying(table, columns)
        with self._driver(connection, statement) as cursor, cursor.copy(statement) as copy:
            for row in bulk.cleaned(columns, rows_):
                copy.write_row(row)

    def _numbered(self, connection: sa.Connection, rows_: list[rows.Row]) -> list[rows.Row]:
        """Rows with their positions: numbers of transactions, so that their order is that in which readers may see them.

        A sequence would give the lower number to whoever asks first, although another may commit before: whoever reads on
        from the last position seen would never see that row.
        """
        place = connection.info.get("place", 0)
        connection.info["place"] = place + len(rows_)
        if len(rows_) >= bulk.COPY_FROM:  # COPY cannot calculate
            cursor = self._execute(connection, "SELECT pg_current_xact_id()::text::bigint", ())
            place += cursor.fetchone()[0] * bulk.PER_TRANSACTION  # type: ignore[index]
        return [(number, *row) for number, row in enumerate(rows_, place)]

    @contextlib.contextmanager
    def together(self, connection: sa.Connection, most: int) -> Iterator[None]:
        """One exchange with the server for all of them; COPY, which many rows take, is an exchange of its own."""
        if most >= bulk.COPY_FROM or not psycopg.Pipeline.is_supported():
            yield
            return
        driver = connection.connection.driver_connection
        assert driver is not None
        with self._driver_errors(""), driver.pipeline():
            yield

    def settled(self, position: sa.Column[Any]) -> sa.ColumnElement[bool]:
        """Whether nobody can commit anything before this position any more."""
        return position < sa.literal_column(
            f"(pg_snapshot_xmin(pg_current_snapshot())::text::bigint * {bulk.PER_TRANSACTION})", sa.BigInteger
        )

    def upsert_phases(self, connection: sa.Connection, rows_: list[rows.Row]) -> None:
        # The last one of the same instance: unlike one statement per row, one for all may not touch a row twice.
        fresh = {row[:3]: row for row in rows_}.values()
        self._execute(connection, bulk.upserting_phases(), [bulk.as_json(rows.PHASE_COLUMNS, fresh)])

    def update_runs(self, connection: sa.Connection, rows_: list[rows.Row]) -> int:
        # In one order for everybody, so that two processes that move the same runs do not wait for each other in a ring.
        ordered = sorted(rows_, key=lambda row: row[9])
        with self.together(connection, 0):  # with the beginning of the transaction
            done = self._execute(connection, bulk.updating_runs(), [bulk.as_json(bulk.UPDATE_COLUMNS, ordered)])
        return done.rowcount

    def many(self, values: Sequence[str]) -> list[str]:
        return list(values)

    def any_of(self, column: Any, values: Any) -> sa.ColumnElement[bool]:
        among: sa.ColumnElement[bool] = column.bool_op("=")(sa.func.any(values))
        return among

    def _execute(self, connection: sa.Connection, statement: str, params: Sequence[Any]) -> psycopg.Cursor[Any]:
        with self._driver(connection, statement) as cursor:
            return cursor.execute(statement, params, prepare=True)

    @contextlib.contextmanager
    def _driver(self, connection: sa.Connection, statement: str) -> Iterator[psycopg.Cursor[Any]]:
        """A cursor past SQLAlchemy, whose bookkeeping takes longer than the server does for a few rows."""
        for seen in self._seen:
            seen(statement)
        driver = connection.connection.driver_connection
        assert driver is not None
        with self._driver_errors(statement):
            yield driver.cursor()

    @contextlib.contextmanager
    def _driver_errors(self, statement: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            refuse_nul(error)
            shorten(error)
            raise sa.exc.DBAPIError.instance(statement, None, error, psycopg.Error) from error

    # --- for tests, and for people ---

    def trace(self, seen: Callable[[str], None]) -> None:
        def before(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen(statement)

        self._seen.append(seen)
        sa.event.listen(self._engine, "before_cursor_execute", before)

        def ending(connection: sa.Connection) -> None:
            # How a reading ends changes nothing: a commit is one that others can see.
            seen("END" if connection.get_execution_options().get("postgresql_readonly") else "COMMIT")

        sa.event.listen(self._engine, "begin", lambda _c: seen("BEGIN"))
        sa.event.listen(self._engine, "commit", ending)
        sa.event.listen(self._engine, "rollback", lambda _c: seen("ROLLBACK"))

    def translate(self, error: sa.exc.DBAPIError) -> StoreError | None:
        return explain_error(self.url, error.orig)


def _keep_to_yourself(context: Any) -> None:
    error = context.original_exception
    if isinstance(error, psycopg.Error) and shorten(error):
        context.sqlalchemy_exception.args = (f"({type(error).__module__}.{type(error).__name__}) {error}",)


def open_postgres(
    address: str, *, clock: Callable[[], datetime] | None, busy: float, schemas: Sequence[str]
) -> PostgresStore:
    """The store at an address such as ``postgresql://user@host/name``. Raises ``StoreUnavailable`` for one that is none."""
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        # Without the address: it may hold a password.
        raise StoreUnavailable(
            "the address of the database cannot be read",
            hint="PHASEGATE_DATABASE looks like postgresql://user:password@host:5432/name",
        ) from None
    return PostgresStore(url, clock=clock, busy=busy, schemas=schemas)
