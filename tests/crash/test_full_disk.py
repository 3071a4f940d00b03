"""A disk that is full while three workers work: whoever asks is told so, nothing is damaged, and when there is space again
the same processes go on.

Where mounting is not allowed a limit on the size of the workers' files stands for the small disk; on PostgreSQL nothing does.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phasegate import Engine, RunStatus, StoreUnavailable, Subject
from tests import postgres
from tests.crash import ledger
from tests.crash.forking import Forks
from tests.crash.invariants import assert_balanced, assert_sound
from tests.waiting import wait_for

WORKERS = 3
#: Runs started before and after, and at most until the disk is full.
SOME, MOST = 30, 5000

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of so many bytes."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class Shortage(ABC):
    """Space that can be taken away and given back."""

    #: Whether the test itself is short of it too.
    shared = True

    @abstractmethod
    def begin(self, workers: list[int]) -> None:
        """Take all that is left."""

    @abstractmethod
    def end(self) -> None:
        """Give it back."""

    def felt(self, engine: Engine) -> bool:
        """Whether the workers are short of it too: none of them could renew its lease."""
        now = datetime.now(UTC)
        return all(worker.lease_until < now for worker in engine.workers())


class Ballast(Shortage):
    """A file that takes all the space of a disk."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def begin(self, workers: list[int]) -> None:
        with contextlib.suppress(OSError), self._file.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def end(self) -> None:
        self._file.unlink()


class ServerBallast(Ballast):
    """The same under a server, which finds room for a lease in a full disk, though not for a run: its log tells of those."""

    def __init__(self, disk: Path, log: Path) -> None:
        super().__init__(disk)
        self._log = log

    def felt(self, engine: Engine) -> bool:
        return self._log.read_text(errors="replace").count("No space left on device") > 3 * WORKERS


class Limit(Shortage):
    """No process of these may write beyond the first pages of any file, its log included."""

    shared = False

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, int]] = {}

    def begin(self, workers: list[int]) -> None:
        for pid in workers:
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            self._before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, hard))

    def end(self) -> None:
        for pid, limits in self._before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_sqlite_on_a_small_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "16m") as disk:
        told = survive(f"sqlite:///{disk / 'runs.db'}", Ballast(disk))
    assert told == f"there is no space left for {disk / 'runs.db'}: free some space; nothing was half-written"


def test_sqlite_with_limited_files(tmp_path: Path) -> None:
    survive(f"sqlite:///{tmp_path / 'runs.db'}", Limit())


def test_postgresql_on_a_small_disk(tmp_path: Path) -> None:
    """The database lies on the small disk, the server's log ahead on another: without that one no server goes on."""
    server = postgres.Server(postgres.CAREFUL)
    with small_disk(server.folder / "small", "24m") as disk, contextlib.ExitStack() as afterwards:
        place = disk / "data"
        place.mkdir()
        if os.geteuid() == 0:
            os.chown(place, pwd.getpwnam("pgserver").pw_uid, -1)
        url = postgres.address(server.url)
        # Before the disk goes, so that the server can be stopped in good order.
        afterwards.callback(postgres.execute, url, "DROP DATABASE runs WITH (FORCE)", "DROP TABLESPACE small")
        postgres.execute(url, f"CREATE TABLESPACE small LOCATION '{place}'", "CREATE DATABASE runs TABLESPACE small")
        shortage = ServerBallast(disk, server.folder / "data" / "log")
        told = survive(postgres.address(server.url.set(database="runs")), shortage)
    assert "has no space left on its disk: free some space; nothing was half-written" in told


def survive(address: str, shortage: Shortage) -> str:
    """Work, run out of space, get it back, go on, and check; what the client was told."""
    with ledger.opened(address) as engine, Forks("tests.crash.ledger") as forks:
        workers = [forks.start(address) for _ in range(WORKERS)]
        started = start_until(engine, lambda number: number == SOME)[0]
        wait_for(lambda: engine.find(status=["succeeded"], limit=1), "the first run to end")
        shortage.begin(workers)
        more, told = start_until(engine, lambda _: not shortage.shared and shortage.felt(engine))
        wait_for(lambda: shortage.felt(engine), "the workers to run short of space")
        shortage.end()
        last, _ = start_until(engine, lambda number: number == SOME)
        runs = [*started, *more, *last]
        wait_for(lambda: not unfinished(engine), "the runs to end", within=120)
        for pid in workers:
            forks.kill(pid)  # fails if it had ended by itself
        engine.bury_dead_workers()
        assert_sound(engine)
        found = engine.find(limit=None)
        assert set(runs) <= {run.id for run in found}, "a start that was answered is gone"
        assert {run.status for run in found} == {RunStatus.SUCCEEDED}
        assert_balanced(engine, found)
    print(f"\n{len(started)} runs before, {len(more)} until there was no space, {len(last)} after: 0 lost, 0 doubled")
    return told


def start_until(engine: Engine, enough: Callable[[int], bool]) -> tuple[list[str], str]:
    """Start runs until there are enough or the disk is full: their ids, and what was said."""
    started: list[str] = []
    first = len(engine.find(limit=None))
    for number in range(MOST):
        if enough(number):
            return started, ""
        try:
            run = engine.start("transfer", Subject("transfer", f"{first}-{number}"), input=1 + number)
        except StoreUnavailable as error:
            return started, f"{error}: {error.hint}"
        started.append(run.id)
    raise AssertionError("the disk was never full")


def unfinished(engine: Engine) -> int:
    [row] = engine.read("SELECT count(*) AS count FROM phasegate_runs WHERE status <> 'succeeded'")
    return int(row["count"])
