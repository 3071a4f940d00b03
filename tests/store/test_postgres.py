"""What only PostgreSQL does: schemas, a border between tenants, the order of commits, deadlocks, servers that are not there."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, timedelta
from threading import Barrier, Event
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from phasegate.core.retention import OldRun
from phasegate.errors import InputError, SchemaMismatch, StoreError, StoreUnavailable
from phasegate.store import postgres as dialect
from phasegate.store import upgrading
from phasegate.store.base import Append, WorkerRow, Write
from phasegate.store.opening import open_store
from phasegate.store.postgres import PostgresStore
from phasegate.store.postgres_schema import SCHEMA, TENANT_TABLES
from phasegate.store.version import HEAD
from tests import postgres
from tests.store.conformance import ENTER, cancelled, done, entries, metadata, new, put
from tests.waiting import wait_for


@pytest.fixture
def address() -> str:
    return postgres.new_prepared_database()


@pytest.fixture
def store(address: str) -> Iterator[PostgresStore]:
    with closing(opened(address)) as store:
        yield store


def opened(address: str, **options: Any) -> PostgresStore:
    store = open_store(address, **options)
    assert isinstance(store, PostgresStore)
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


def definitions(address: str) -> list[tuple[Any, ...]]:
    """Everything in the engine's schema, as the server describes it."""
    return postgres.execute(
        address,
        f"""SELECT table_name || '.' || column_name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
            FROM information_schema.columns WHERE table_schema = '{SCHEMA}'
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{SCHEMA}'
        UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = '{SCHEMA}'::regnamespace
        UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = '{SCHEMA}'
        UNION ALL SELECT relname, array_to_string(reloptions, ',') || relrowsecurity::text
            FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('v', 'r')
        UNION ALL SELECT tablename || ' ' || policyname, qual || ' ' || with_check FROM pg_policies
            WHERE schemaname = '{SCHEMA}'
        ORDER BY 1, 2""",
    )


# --- the schema -----------------------------------------------------------------------------------------------------


def test_creating_at_once_and_migrating_give_the_same_schema(address: str) -> None:
    step_by_step = postgres.new_database()
    assert upgrading.upgrade(step_by_step) == HEAD
    assert definitions(step_by_step) == definitions(address)
    assert len(definitions(address)) > 100


def test_going_back_to_the_beginning_leaves_what_is_not_ours(address: str) -> None:
    postgres.execute(address, "CREATE TABLE customers (name text)")
    before = definitions(address)
    upgrading.downgrade(address, "base")
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'phasegate'::regnamespace AND relkind IN ('r', 'v')"
    assert postgres.execute(address, left) == [("phasegate_version",)]
    assert upgrading.current(address) is None
    assert upgrading.upgrade(address) == HEAD
    assert definitions(address) == before
    assert postgres.execute(address, "SELECT * FROM customers") == []


_AT_ONCE = """
import sys
from phasegate.store import upgrading
from phasegate.store.opening import open_store
print("ready", flush=True)
sys.stdin.readline()
{}
"""


@pytest.mark.parametrize("other", ["upgrading.upgrade(sys.argv[1])", "open_store(sys.argv[1]).prepare()"])
def test_processes_that_upgrade_at_once_make_one_schema(other: str) -> None:
    where = postgres.new_database()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _AT_ONCE.format(program), where],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for program in ("upgrading.upgrade(sys.argv[1])", other, other)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[1] for process in processes]
    assert ([process.returncode for process in processes], said) == ([0, 0, 0], ["", "", ""])
    assert postgres.execute(where, "SELECT version_num FROM phasegate.phasegate_version") == [(HEAD,)]


def test_a_newer_schema_is_refused(address: str) -> None:
    postgres.execute(address, "UPDATE phasegate.phasegate_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="schema 9999, this phasegate knows 0001 and nothing newer"):
        opened(address)
    with pytest.raises(SchemaMismatch, match="nothing newer"):
        upgrading.upgrade(address)


def test_a_server_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect, "OLDEST", 99)
    with pytest.raises(SchemaMismatch, match=r"the server is PostgreSQL \d+, phasegate needs 99 or newer"):
        opened(postgres.new_database())


def test_an_application_has_tables_in_schemas_of_its_own() -> None:
    tables = sa.MetaData()
    sa.Table("owner", tables, sa.Column("id", sa.Integer, primary_key=True), info={"schema": "sales"})
    pet = sa.Table(
        "pet",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.ForeignKey("owner.id")),
        info={"schema": "zoo"},
    )
    where = postgres.new_database()
    ddl = {"postgresql": ["CREATE VIEW sales.pets AS SELECT * FROM pet"], "sqlite": ["this is no SQL"]}
    with closing(opened(where, schemas=("sales", "zoo"))) as store:
        for _ in range(2):
            store.create(tables, ddl)
        store.write([Write("INSERT INTO owner (id) VALUES (1)", {}), Write(sa.insert(pet), {"id": 2, "owner": 1})])
        assert store.read("SELECT id, owner FROM sales.pets") == [{"id": 2, "owner": 1}]
    assert postgres.execute(where, "SELECT id FROM zoo.pet") == [(2,)]


# --- the border between tenants -------------------------------------------------------------------------------------


@pytest.fixture
def plain_role(address: str) -> Iterator[str]:
    """The address for a role that owns nothing and may read and write everything it is shown."""
    name = f"plain_{time.monotonic_ns()}"
    postgres.execute(
        address,
        f"CREATE ROLE {name} LOGIN PASSWORD 'secret'",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {name}",
    )
    yield str(postgres.address(sa.make_url(address).set(username=name, password="secret")))
    postgres.execute(address, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_plain_role_sees_the_rows_of_its_tenant_only(store: PostgresStore, plain_role: str) -> None:
    for tenant in ("north", "south"):
        run = put(store, new(store, tenant, tenant=tenant))
        put(store, done(store, run, output={"of": tenant}))
        gone = put(store, cancelled(store, put(store, new(store, "gone", tenant=tenant))))
        assert store.purge([OldRun(gone.id, gone.seq)]).runs == 1
    views = ("v_subjects_by_phase", "v_phase_counts", "v_recent_completions", "v_facts")
    with psycopg.connect(plain_role, autocommit=True) as connection:

        def seen(name: str) -> set[str]:
            rows = connection.execute(f"SELECT tenant FROM {SCHEMA}.phasegate_{name}").fetchall()
            return {tenant for (tenant,) in rows}

        names = [name.removeprefix("phasegate_") for name in TENANT_TABLES if name != "phasegate_decisions"]
        assert {name: seen(name) for name in (*names, *views)} == {name: set() for name in (*names, *views)}
        connection.execute("SET phasegate.tenant = 'north'")
        assert {name: seen(name) for name in (*names, *views)} == {name: {"north"} for name in (*names, *views)}
        changed = connection.execute(f"UPDATE {SCHEMA}.phasegate_runs SET reason = 'mine'")
        assert changed.rowcount == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"UPDATE {SCHEMA}.phasegate_runs SET tenant = 'south'")
    assert [row["reason"] for row in store.read("SELECT reason FROM phasegate_runs ORDER BY tenant")] == ["mine", None]


def test_every_table_with_a_tenant_has_the_border(address: str) -> None:
    rows = postgres.execute(address, "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY relname")
    assert [name for (name,) in rows] == sorted(TENANT_TABLES)


# --- order, races, repetition ---------------------------------------------------------------------------------------


def test_who_reads_on_from_the_last_position_misses_no_commit(store: PostgresStore) -> None:
    """The one that began first commits last: a reader must not have passed it by then."""
    first, second = new(store, "first"), new(store, "second")
    began, may_end = Event(), Event()

    def slow(session: Any) -> tuple[Append, None]:
        session.execute(sa.text("SELECT pg_current_xact_id()"))
        began.set()
        assert may_end.wait(30)
        return first, None

    with ThreadPoolExecutor(1) as threads:
        slowly = threads.submit(store.transact, slow)
        assert began.wait(30)
        put(store, second)
        assert store.log() == []  # it is there, but something may still come before it
        assert [commit.run_id for commit in store.log(run_id=second.run.id)] == [second.run.id]
        may_end.set()
        slowly.result()
    assert [commit.run_id for commit in store.log()] == [first.run.id, second.run.id]


def test_commits_of_many_threads_are_read_once_each_in_one_order(store: PostgresStore) -> None:
    begin, count = Barrier(5), 20
    seen: list[str] = []

    def write(worker: int) -> None:
        begin.wait()
        for number in range(count):
            put(store, new(store, f"{worker}-{number}"))

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, worker) for worker in range(4)]
        begin.wait()
        after = 0
        while len(seen) < 4 * count:
            for commit in store.log(after=after):
                assert commit.position > after
                after = commit.position
                seen.append(commit.run_id)
            if all(each.done() for each in writing):
                [each.result() for each in writing]
    assert len(set(seen)) == 4 * count


def test_a_transaction_given_up_in_a_deadlock_is_repeated(store: PostgresStore) -> None:
    store.create(metadata)
    store.write([Write(ENTER, {"entry": name, "amount": 1}) for name in ("a", "b")])
    add = sa.text("UPDATE ledger SET amount = amount + 1 WHERE entry = :entry")
    meet = Barrier(2, timeout=30)
    met: set[int] = set()

    def both(names: str, run: Append) -> Any:
        def project(connection: Any, _recorded: Any) -> None:
            for place, name in enumerate(names):
                connection.execute(add, {"entry": name})
                if place == 0 and threading.get_ident() not in met:  # only the first time: then they meet in a ring
                    met.add(threading.get_ident())
                    meet.wait()

        return store.append([run], [project])

    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(both, names, new(store, names)) for names in ("ab", "ba")]
        assert [each.result() for each in answers] == [[None], [None]]
    assert entries(store) == {"a": 3, "b": 3}


# --- time and news --------------------------------------------------------------------------------------------------


def test_the_time_is_the_databases(store: PostgresStore) -> None:
    before = store.read("SELECT clock_timestamp() AS at")[0]["at"]
    now = store.now()
    after = store.read("SELECT clock_timestamp() AS at")[0]["at"]
    assert before - timedelta(seconds=0.2) <= now <= after + timedelta(seconds=0.2)
    assert now.tzinfo is UTC


def test_a_clock_that_is_set_changes_nothing(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock is not looked at; the one that counts on is corrected when it has stood still."""
    now = store.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert abs(store.now() - now) < timedelta(seconds=5)
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() - 600)  # as after a sleep of the machine
    assert now - store.now() > timedelta(seconds=590)
    store.renew(WorkerRow("w", "host", 1, now, now + timedelta(seconds=15)))
    assert abs(store.now() - now) < timedelta(seconds=30)


def test_waiting_for_news_costs_no_query(address: str) -> None:
    with closing(opened(address)) as store, closing(opened(address)) as other:
        store.news()
        asked: list[str] = []
        store.trace(asked.append)
        before = store.news()
        for _ in range(1000):
            store.news()
        put(other, new(other))
        wait_for(lambda: store.news() != before, "news of the other store")
        assert asked == []


def test_who_could_not_listen_looks_for_itself(address: str) -> None:
    with closing(opened(address)) as store:
        before = wait_for(store.news)
        postgres.execute(
            address,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()",
        )
        wait_for(lambda: store.news() != before, "the loss to be noticed")
        lost = store.news()
        put(store, new(store))
        wait_for(lambda: store.news() != lost, "news on a new connection")


# --- servers that are not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said", "hint"),
    [
        (
            "postgresql://nobody:hush@127.0.0.1:1/runs",
            "database runs on 127.0.0.1:1 does not answer",
            "PHASEGATE_DATABASE",
        ),
        ("postgresql://u:hush@no-such-host.invalid/runs", "has a host that nobody knows", "PHASEGATE_DATABASE"),
        ("postgresql://u:hush@host:port/runs", "cannot be read", "postgresql://user:password@host:5432/name"),
    ],
)
def test_a_wrong_address_is_said_without_its_password(address: str, said: str, hint: str) -> None:
    with pytest.raises(StoreUnavailable, match=re.escape(said)) as refused:
        opened(address)
    assert hint in str(refused.value.hint)
    assert "hush" not in str(refused.value) + str(refused.value.hint)


def test_a_database_that_does_not_exist_is_named(address: str) -> None:
    elsewhere = postgres.address(sa.make_url(address).set(database="nowhere"))
    with pytest.raises(StoreUnavailable, match=r"database nowhere on .* does not exist") as refused:
        opened(elsewhere)
    assert "createdb" in str(refused.value.hint)


def test_a_role_without_rights_is_told_so(address: str, plain_role: str) -> None:
    postgres.execute(address, f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {sa.make_url(plain_role).username}")
    with pytest.raises(StoreUnavailable, match="refuses this") as refused:
        opened(plain_role)
    assert "grant" in str(refused.value.hint)


def test_a_role_that_may_not_create_is_told_so(plain_role: str) -> None:
    elsewhere = sa.make_url(postgres.new_database())
    role = sa.make_url(plain_role)
    with pytest.raises(StoreUnavailable, match="refuses this"):
        opened(postgres.address(elsewhere.set(username=role.username, password=role.password)))


def test_a_lock_that_is_not_given_back_is_not_waited_for_for_ever(address: str) -> None:
    with closing(opened(address, busy=0.1)) as store, psycopg.connect(address) as holder:
        holder.execute("LOCK TABLE phasegate.phasegate_runs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="is locked by another process"):
            store.append([new(store)])
        holder.rollback()
        put(store, new(store))


def test_a_connection_that_was_cut_costs_one_error(address: str) -> None:
    with closing(opened(address)) as store:
        run = put(store, new(store))
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        postgres.execute(address, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        with pytest.raises(StoreError):
            store.load([run.id])
        assert store.load([run.id]) == [run]
        put(store, done(store, run))


def test_the_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [name for name in sys.modules if name.startswith("phasegate.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match="driver that is not installed") as refused:
        open_store("postgresql://user@host/runs")
    assert "phasegate[postgres]" in str(refused.value.hint)
