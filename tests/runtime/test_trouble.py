"""Trouble with the database while work goes on: a clear error, nothing lost, and on it goes when the trouble is over."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegate import Context, Engine, Limits, Phase, Registry, RunStatus, StoreUnavailable
from phasegate.runtime.worker import Worker
from phasegate.testing import Scripted
from tests.runtime.flows import ACME, ENTER, assert_sound, entries, flow, metadata, one, serve, subjects
from tests.runtime.program import ROOT
from tests.waiting import wait_for


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEGATE_BUSY", "0.05")


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """The database as it is while another program writes."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def opened(database: Path, work: object = None, **options: object) -> Engine:
    return Engine(f"sqlite:///{database}", Registry(one(work or Scripted(1), **options)), limits=Limits(grace=0.2))


def test_a_request_while_another_program_writes_says_so(database: Path) -> None:
    with opened(database) as engine:
        with locked(database), pytest.raises(StoreUnavailable, match=r"runs\.db is locked by another process") as error:
            engine.start("story", ACME)
        assert "try again" in str(error.value.hint)
        assert engine.start("story", ACME).status is RunStatus.PENDING


def test_a_drain_while_another_program_writes_says_so_and_may_be_repeated(database: Path) -> None:
    with opened(database) as engine:
        run = engine.start("story", ACME)
        with locked(database), pytest.raises(StoreUnavailable, match="locked"):
            engine.drain()
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert_sound(engine, [run])


@pytest.mark.parametrize("transactional", [False, True])
def test_trouble_in_the_middle_of_a_drain_loses_nothing(database: Path, transactional: bool) -> None:
    lock = threading.Event()

    def work(ctx: Context) -> int:
        if not lock.is_set():
            lock.set()
            assert unlocked.wait(20)
        if transactional:
            ctx.session.execute(ENTER, {"entry": "x", "amount": 1})
        else:
            ctx.write(ENTER, {"entry": "x", "amount": 1})
        return ctx.attempt

    unlocked = threading.Event()
    with opened(database, work, transactional=transactional) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        failed: list[BaseException] = []

        def drain() -> None:
            try:
                engine.drain()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=drain)
        thread.start()
        assert lock.wait(20)
        if transactional:  # it holds the lock itself: nobody can come between
            unlocked.set()
        else:
            with locked(database):
                unlocked.set()
                thread.join(30)
        thread.join(30)
        assert not thread.is_alive()
        assert [type(error) for error in failed] == ([] if transactional else [StoreUnavailable])
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert entries(engine) == {"x": 1}
        assert_sound(engine, [run])


def test_a_service_waits_until_the_other_program_has_finished(database: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(_ctx: Context) -> str:
        begun.set()
        assert go_on.wait(20)
        return "done"

    with opened(database, work) as engine:
        run = engine.start("story", ACME)

        def trouble(worker: Worker) -> None:
            assert begun.wait(20)
            with locked(database):
                go_on.set()
                wait_for(lambda: worker.trouble is not None, "the worker to meet the lock")
            wait_for(lambda: engine.get(run.id).status is RunStatus.SUCCEEDED, "the end of the run")

        serve(engine, trouble)
        assert_sound(engine, [run])


def test_a_service_may_be_started_while_another_program_writes(database: Path) -> None:
    with opened(database) as engine:
        run = engine.start("story", ACME)
        engine.drain()
        second = engine.start("story", subjects(1)[0])

        def trouble(worker: Worker) -> None:
            wait_for(lambda: worker.trouble is not None, "the worker to meet the lock")
            other.close()
            wait_for(lambda: engine.get(second.id).status is RunStatus.SUCCEEDED, "the end of the run")

        with contextlib.ExitStack() as other:
            other.enter_context(locked(database))
            serve(engine, trouble)
        assert_sound(engine, [run, second])


def test_closing_while_another_program_writes_does_not_hang_or_raise(database: Path) -> None:
    engine = opened(database)
    engine.start("story", ACME)
    engine.drain()
    with locked(database):
        engine.close()
    with opened(database) as after:
        assert len(after.find(status=["succeeded"])) == 1


_FULL = """
import os, resource, sys
from phasegate import *
from phasegate.testing import Scripted
flow = Flow("story", 1, (Phase("work", lambda ctx: "x" * 20_000),))
with Engine(sys.argv[1], Registry(flow), limits=Limits(grace=0.2)) as engine:
    first = engine.start("story", Subject("company", "first"))
    engine.drain()
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = sys.argv[1].removeprefix("sqlite:///")
    largest = max(os.path.getsize(path + end) for end in ("", "-wal"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 200_000, size[1]))
    told, started = [], []
    for number in range(60):
        try:
            started.append(engine.start("story", Subject("company", str(number))))
            engine.drain()
        except StoreUnavailable as error:
            told.append((str(error), error.hint))
            break
    assert told, "the disk was not full"
    print(told[0][0], "|", told[0][1])
    resource.setrlimit(resource.RLIMIT_FSIZE, size)
    engine.drain()
    ended = {engine.get(run.id).status.value for run in [first, *started]}
    print(len(started) > 0, ended)
"""


def test_a_full_disk_says_so_and_the_same_process_goes_on_when_there_is_space(database: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _FULL, f"sqlite:///{database}"], cwd=ROOT, text=True, capture_output=True, timeout=100
    )
    assert said.returncode == 0, said.stderr
    error, ended = said.stdout.splitlines()
    assert error == f"there is no space left for {database} | free some space; nothing was half-written"
    assert ended == "True {'succeeded'}"


def test_a_database_that_is_damaged_says_so(database: Path) -> None:
    with opened(database) as engine:
        engine.start("story", ACME)
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(Exception, match="is not a database") as error, opened(database) as engine:
        engine.drain()
    assert "restore it from a backup" in str(getattr(error.value, "hint", ""))


def test_what_is_under_way_when_the_lock_comes_is_not_done_twice(database: Path) -> None:
    calls: list[str] = []
    phases = flow(
        Phase("first", lambda ctx: calls.append(ctx.subject.id)),
        Phase("second", Scripted(2), needs=("first",)),
    )
    with Engine(f"sqlite:///{database}", Registry(phases), limits=Limits(grace=0.2)) as engine:
        runs = engine.start_many("story", subjects(30))

        def trouble(worker: Worker) -> None:
            for _ in range(5):
                with locked(database):
                    wait_for(
                        lambda: worker.trouble is not None or all(r.finished for r in engine.find()), "some trouble"
                    )
            wait_for(lambda: len(engine.find(status=["succeeded"])) == 30, "the end of the runs")

        serve(engine, trouble)
        assert_sound(engine, runs)
        assert set(calls) == {run.subject.id for run in runs}
