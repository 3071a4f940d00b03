"""Migrating as it happens to a database in use: several at once, locked, failing half way, and back again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from alembic import command
from alembic.config import Config

from phasegate.errors import StoreError, StoreUnavailable
from phasegate.store import migrating, upgrading
from phasegate.store.opening import open_store
from phasegate.store.sql import SqlStore
from phasegate.store.version import HEAD, VERSION_TABLE

AT_ONCE = """
import sys
from phasegate.store import upgrading
from phasegate.store.opening import open_store
print("ready", flush=True)
sys.stdin.readline()
{}
"""
UPGRADE = AT_ONCE.format("upgrading.upgrade(sys.argv[1])")
CREATE = AT_ONCE.format("open_store(sys.argv[1]).prepare()")


def names(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def versions(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [version for (version,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")]


def execute(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


def migrate(file: Path, step: Callable[[Config, str], None], revision: str) -> None:
    store = open_store(str(file))
    assert isinstance(store, SqlStore)
    with closing(store), store.open_writing() as connection:
        step(migrating.configuration(connection, store), revision)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else is writing."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for another's transaction."""
    monkeypatch.setattr("phasegate.store.upgrading.open_store", partial(open_store, busy=0.0))


@pytest.mark.parametrize("other", [UPGRADE, CREATE], ids=["upgrading", "creating at once"])
def test_processes_that_upgrade_at_once_make_one_schema(file: Path, other: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for program in (UPGRADE, other)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[1] for process in processes]
    assert ([process.returncode for process in processes], said) == ([0, 0], ["", ""])
    assert versions(file) == [HEAD]


def test_threads_may_upgrade_different_databases_at_once(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.db" for number in range(4)]
    together = Barrier(len(files))

    def upgrade(file: Path) -> None:
        together.wait()
        upgrading.upgrade(str(file))

    with ThreadPoolExecutor(len(files)) as threads:
        list(threads.map(upgrade, files))
    assert [versions(file) for file in files] == [[HEAD]] * len(files)
    assert len({frozenset(names(file)) for file in files}) == 1


def test_a_database_somebody_else_writes_to_cannot_be_upgraded_now(file: Path, impatient: None) -> None:
    execute(file, "CREATE TABLE customers (name TEXT)")
    execute(file, "PRAGMA journal_mode=WAL")
    with locked(file), pytest.raises(StoreUnavailable, match=r"runs\.db is locked by another process"):
        upgrading.upgrade(str(file))
    assert names(file) == {"customers"}


def test_what_is_up_to_date_is_said_to_be_so_while_somebody_writes(file: Path, impatient: None) -> None:
    upgrading.upgrade(str(file))
    with locked(file):
        upgrading.upgrade(str(file))
        assert upgrading.current(str(file)) == HEAD


def test_a_migration_that_fails_leaves_nothing_behind(file: Path) -> None:
    # The views come last: everything else has been created by then.
    execute(file, "CREATE VIEW phasegate_v_facts AS SELECT 1 AS one")
    with pytest.raises(StoreError, match="phasegate_v_facts already exists"):
        upgrading.upgrade(str(file))
    assert names(file) == {"phasegate_v_facts"}
    execute(file, "DROP VIEW phasegate_v_facts")
    upgrading.upgrade(str(file))
    assert versions(file) == [HEAD]


def test_a_file_marked_as_not_to_be_written_is_refused(file: Path) -> None:
    execute(file, "CREATE TABLE customers (name TEXT)")
    content = bytearray(file.read_bytes())
    content[18] = 3  # a format for writing that SQLite does not know: it then reads and never writes, whoever asks
    file.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"runs\.db cannot be written"):
        upgrading.upgrade(str(file))
    assert file.read_bytes() == bytes(content)


def test_going_back_to_the_beginning_leaves_what_is_not_ours(file: Path) -> None:
    execute(file, "CREATE TABLE customers (name TEXT)")
    upgrading.upgrade(str(file))
    full = names(file)
    migrate(file, command.downgrade, "base")
    assert {name for name in names(file) if not name.startswith("sqlite_")} == {"customers", VERSION_TABLE}
    assert versions(file) == []
    migrate(file, command.upgrade, HEAD)
    assert (names(file), versions(file)) == (full, [HEAD])


@pytest.mark.parametrize("action", ["open_store(sys.argv[1]).prepare()", "upgrading.upgrade(sys.argv[1])"])
def test_alembic_is_not_imported_when_there_is_nothing_to_migrate(file: Path, action: str) -> None:
    upgrading.upgrade(str(file))
    program = f"""
import sys
from phasegate.store import upgrading
from phasegate.store.opening import open_store
{action}
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program, str(file)], check=False).returncode == 0
