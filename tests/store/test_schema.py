"""The schema itself: made in two ways, refused when it is not ours, and a guard against false rows."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from phasegate.core import facts as f
from phasegate.errors import NotADatabase, SchemaMismatch, StoreUnavailable
from phasegate.sqltypes import iso
from phasegate.store import upgrading
from phasegate.store.base import Store, Write
from phasegate.store.opening import open_store
from phasegate.store.version import HEAD, VERSION_TABLE
from phasegate.testing import FakeClock
from tests.store.conformance import done, move, new, put
from tests.store.stores import Backend

Opener = Callable[[str], object]


def database(folder: Path) -> str:
    return f"sqlite:///{folder / 'runs.db'}"


def prepare(address: str) -> None:
    store = open_store(address)
    try:
        store.prepare()
    finally:
        store.close()


def schema(path: Path) -> dict[str, str]:
    """The statements that made the database, without the blanks and quotes in which writers of SQL differ."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", "", text).replace('"', "").lower() for name, text in rows}


# --- two ways to the same schema ------------------------------------------------------------------------------------


def test_creating_at_once_and_migrating_give_the_same_schema(tmp_path: Path) -> None:
    at_once, step_by_step = tmp_path / "at_once.db", tmp_path / "step_by_step.db"
    prepare(f"sqlite:///{at_once}")
    upgrading.upgrade(f"sqlite:///{step_by_step}")
    assert schema(at_once) == schema(step_by_step)
    assert len(schema(at_once)) > 15


def test_the_last_migration_is_the_version_the_code_needs() -> None:
    folder = Path(upgrading.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [HEAD]


def test_upgrading_says_where_it_arrives_and_may_be_repeated(tmp_path: Path) -> None:
    address = database(tmp_path)
    assert upgrading.current(address) is None
    assert list(tmp_path.iterdir()) == []
    assert upgrading.upgrade(address) == HEAD
    assert upgrading.current(address) == HEAD
    assert upgrading.upgrade(address) == HEAD
    prepare(address)


def test_upgrading_leaves_a_database_that_is_in_use_as_it_is(tmp_path: Path) -> None:
    address = database(tmp_path)
    store = open_store(address)
    store.prepare()
    run = put(store, new(store))
    assert upgrading.upgrade(address) == HEAD
    assert store.load([run.id]) == [run]
    store.close()


def test_a_database_of_an_application_gets_our_tables_beside_its_own(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    prepare(database(tmp_path))
    assert "customers" in schema(tmp_path / "runs.db")
    assert upgrading.current(database(tmp_path)) == HEAD


# --- what is refused ------------------------------------------------------------------------------------------------


def with_version(folder: Path, version: str | None) -> str:
    prepare(database(folder))
    with closing(sqlite3.connect(folder / "runs.db")) as connection:
        connection.execute(f"DELETE FROM {VERSION_TABLE}")
        if version is not None:
            connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (version,))
        connection.commit()
    return database(folder)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    address = with_version(tmp_path, "9999")
    with pytest.raises(SchemaMismatch, match="schema 9999, this phasegate knows 0001 and nothing newer"):
        prepare(address)
    with pytest.raises(SchemaMismatch, match="nothing newer"):
        upgrading.upgrade(address)


def test_an_older_database_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    address = with_version(tmp_path, "0000")
    with pytest.raises(SchemaMismatch, match="older schema 0000") as refused:
        prepare(address)
    assert refused.value.hint == "run: phasegate db upgrade"


def test_a_version_nobody_ever_made_cannot_be_upgraded(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="0000"):
        upgrading.upgrade(with_version(tmp_path, "0000"))


@pytest.mark.parametrize("open_it", [prepare, upgrading.upgrade, upgrading.current])
def test_tables_of_ours_without_a_version_are_refused(tmp_path: Path, open_it: Opener) -> None:
    address = with_version(tmp_path, None)
    with pytest.raises(SchemaMismatch, match="without a version"):
        open_it(address)


@pytest.mark.parametrize("open_it", [prepare, upgrading.upgrade, upgrading.current])
def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path: Path, open_it: Opener) -> None:
    file = tmp_path / "runs.db"
    file.write_bytes(b"name,city\nAcme,Springfield\n" * 100)
    with pytest.raises(NotADatabase, match=r"runs\.db is not a database"):
        open_it(database(tmp_path))
    assert file.read_bytes() == b"name,city\nAcme,Springfield\n" * 100


@pytest.mark.parametrize("open_it", [prepare, upgrading.upgrade])
def test_a_directory_is_refused(tmp_path: Path, open_it: Opener) -> None:
    with pytest.raises(NotADatabase, match="is a directory"):
        open_it(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("open_it", [prepare, upgrading.upgrade])
def test_a_missing_directory_is_named(tmp_path: Path, open_it: Opener) -> None:
    with pytest.raises(StoreUnavailable, match=r"there is no directory .*nowhere"):
        open_it(f"sqlite:///{tmp_path / 'nowhere' / 'runs.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["50% done?.db", "a b#c.db", "ärger.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    prepare(str(tmp_path / name))
    assert (tmp_path / name).stat().st_size > 0
    assert upgrading.current(str(tmp_path / name)) == HEAD


@pytest.fixture
def foreign_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which this process may read and not write, also when it is the superuser's."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    prepare(database(folder))
    above = [each for each in folder.parents if each.owner() == folder.owner()]
    modes = {each: each.stat().st_mode for each in above}
    for each in above:
        each.chmod(modes[each] | 0o555)
    (folder / "runs.db").chmod(0o444)
    folder.chmod(0o555)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    yield folder
    if superuser:
        os.seteuid(0)
    folder.chmod(0o755)
    for each, mode in modes.items():
        each.chmod(mode)


def test_a_database_that_cannot_be_written_says_so(foreign_folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"runs\.db cannot be (written|opened)") as refused:
        prepare(database(foreign_folder))
    assert "permissions" in str(refused.value.hint)


def test_a_database_cannot_be_created_where_one_may_not_write(foreign_folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"new\.db cannot be opened"):
        prepare(f"sqlite:///{foreign_folder / 'new.db'}")


# --- false rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE phasegate_runs SET status = 'complete'",
        "UPDATE phasegate_phase_runs SET status = 'error'",
        "UPDATE phasegate_phase_runs SET status = 'succeeded', outcome = NULL",
        "UPDATE phasegate_attempts SET status = 'running'",
        "UPDATE phasegate_runs SET status = 'succeeded', worker = 'w1'",
        "UPDATE phasegate_runs SET status = 'failed', due_at = '2030-01-01T00:00:00.000000+00:00', worker = NULL",
        "UPDATE phasegate_runs SET tenant = NULL",
        "INSERT INTO phasegate_facts SELECT position + 1, run_id, tenant, seq, at, body FROM phasegate_facts",
        "INSERT INTO phasegate_facts SELECT position + 9, 'nobody', tenant, seq, at, body FROM phasegate_facts",
        "INSERT INTO phasegate_outputs SELECT 'nobody', phase, scope, version, tenant, sha256, body FROM phasegate_outputs",
        "INSERT INTO phasegate_outputs SELECT * FROM phasegate_outputs",
        "INSERT INTO phasegate_attempts SELECT * FROM phasegate_attempts",
    ],
)
def test_a_false_row_is_refused_by_the_database(store: Store, statement: str) -> None:
    put(store, done(store, put(store, new(store)), output=1))
    with pytest.raises(sa.exc.IntegrityError):
        store.write([Write(statement, {})])


def test_a_second_live_run_is_refused_by_the_database(store: Store) -> None:
    run = put(store, new(store))
    columns = ", ".join(name for name in store.read("SELECT * FROM phasegate_runs")[0] if name != "id")
    with pytest.raises(sa.exc.IntegrityError):
        store.write(
            [Write(f"INSERT INTO phasegate_runs (id, {columns}) SELECT 'twin', {columns} FROM phasegate_runs", {})]
        )
    assert [row["id"] for row in store.read("SELECT id FROM phasegate_runs")] == [run.id]


# --- views ----------------------------------------------------------------------------------------------------------


def test_the_views_tell_where_everything_is(store: Store, clock: FakeClock) -> None:
    now = clock()
    moving = put(store, done(store, put(store, new(store, "moving")), output=1))
    failing = put(store, new(store, "failing"))
    failed = f.AttemptFailed(now, "draft", (), 1, "E", "boom", True)
    failing = put(store, move(store, failing, f.AttemptStarted(now, "draft", (), 1, "w"), failed))
    waiting = put(store, done(store, put(store, done(store, put(store, new(store, "waiting")))), "edit"))

    def view(name: str, *columns: str) -> list[tuple[object, ...]]:
        rows = store.read(f"SELECT subject_id, {', '.join(columns)} FROM phasegate_v_{name} ORDER BY subject_id, phase")
        return [tuple(row.values()) for row in rows]

    assert view("subjects_by_phase", "phase", "phase_status") == [
        ("failing", "draft", "failed"),
        ("moving", "edit", "ready"),
        ("waiting", "print", "waiting"),
    ]
    assert view("failed_phases", "phase", "reason") == [("failing", "draft", "E: boom")]
    assert view("recent_completions", "phase") == [("moving", "draft"), ("waiting", "draft"), ("waiting", "edit")]
    assert view("stuck", "phase") == []
    counts = store.read("SELECT * FROM phasegate_v_phase_counts ORDER BY phase, phase_status")
    assert [(row["flow"], row["phase"], row["phase_status"], row["instances"]) for row in counts] == [
        ("story", "draft", "failed", 1), ("story", "edit", "ready", 1), ("story", "print", "waiting", 1),
    ]  # fmt: skip
    facts = store.read("SELECT seq, kind FROM phasegate_v_facts WHERE run_id = :run ORDER BY seq", {"run": moving.id})
    assert [row["seq"] for row in facts] == list(range(1, moving.seq + 1))
    assert [row["kind"] for row in facts][:3] == ["run.started", "phase.readied", "attempt.started"]
    assert (failing.finished, waiting.finished) == (True, False)


def test_yesterdays_rows_are_stuck_and_no_longer_recent(backend: Backend, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(hours=25)  # the views ask the database for the time
    store = backend.open(tmp_path, FakeClock(yesterday))
    put(store, done(store, put(store, new(store))))
    (stuck,) = store.read("SELECT subject_id, phase, since FROM phasegate_v_stuck")
    assert (stuck["subject_id"], stuck["phase"]) == ("acme", "edit")
    assert stuck["since"] in {iso(yesterday), yesterday}  # SQLite has no type for times
    assert store.read("SELECT * FROM phasegate_v_recent_completions") == []
    store.close()
