from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from phasegate.apps.build.applying.lock import Holder, RepositoryLock
from phasegate.apps.build.errors import LockError

NOW = datetime(2026, 1, 13, 12, tzinfo=UTC)
PROGRAM = """
import sys
from datetime import datetime
from pathlib import Path
from phasegate.apps.build.applying.lock import RepositoryLock
from phasegate.apps.build.errors import LockError

now = datetime.fromisoformat(sys.argv[2])
lock = RepositoryLock(Path(sys.argv[1]), stale_after=600, clock=lambda: now, beating=False)
for line in sys.stdin:
    try:
        exec(line)
        print("done", flush=True)
    except LockError as error:
        print(error, flush=True)
"""


class Other:
    """Another process, which does with its lock as it is told."""

    def __init__(self, state: Path, now: datetime) -> None:
        arguments = [sys.executable, "-c", PROGRAM, str(state), now.isoformat()]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.answer()


@contextmanager
def other(state: Path, now: datetime = NOW) -> Iterator[Other]:
    process = Other(state, now)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.communicate()


def lock(state: Path, now: datetime = NOW) -> RepositoryLock:
    return RepositoryLock(state, stale_after=600, clock=lambda: now, beating=False)


def leave(state: Path, *, host: str, heartbeat: datetime) -> None:
    """What a process leaves that has been killed."""
    state.mkdir(exist_ok=True)
    (state / "lock").write_text(json.dumps(Holder(4_000_000, host, NOW, heartbeat).told()))


def test_a_second_process_is_told_who_works(tmp_path: Path) -> None:
    with other(tmp_path) as first, other(tmp_path) as second:
        assert first.ask("lock.acquire()") == "done"
        said = f"Repository locked: process {first.pid} on {socket.gethostname()}, since 2026-01-13 12:00:00 UTC works on it"
        assert second.ask("lock.acquire()").startswith(said)
        with pytest.raises(LockError) as raised:
            lock(tmp_path).acquire()
        assert raised.value.code == "E_LOCKED"
        assert (raised.value.details["pid"], raised.value.details["host"]) == (first.pid, socket.gethostname())
        assert first.ask("lock.release()") == "done"
        assert second.ask("lock.acquire()") == "done"


def test_a_lock_goes_with_the_process_that_is_killed(tmp_path: Path) -> None:
    with other(tmp_path) as first:
        assert first.ask("lock.acquire()") == "done"
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait()
        assert json.loads((tmp_path / "lock").read_text())["pid"] == first.pid
        with lock(tmp_path):
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_process_that_has_stopped_loses_its_lock_and_finds_out(tmp_path: Path) -> None:
    with other(tmp_path) as stopped, other(tmp_path, NOW + timedelta(seconds=599)) as early:
        assert stopped.ask("lock.acquire()") == "done"
        os.kill(stopped.pid, signal.SIGSTOP)
        assert "works on it" in early.ask("lock.acquire()")
        with lock(tmp_path, NOW + timedelta(seconds=601)) as mine:
            mine.beat()
            os.kill(stopped.pid, signal.SIGCONT)
            assert f"process {os.getpid()} on" in stopped.ask("lock.beat()")
            assert stopped.ask("lock.release()") == "done"
            assert "works on it" in early.ask("lock.acquire()"), "what the other gives back is not mine"
            mine.beat()
        assert early.ask("lock.acquire()") == "done"


def test_of_many_processes_one_takes_a_stale_lock(tmp_path: Path) -> None:
    later = NOW + timedelta(hours=1)
    with other(tmp_path) as stopped, ExitStack() as stack:
        assert stopped.ask("lock.acquire()") == "done"
        os.kill(stopped.pid, signal.SIGSTOP)
        takers = [stack.enter_context(other(tmp_path, later)) for _ in range(4)]
        for taker in takers:
            assert taker.ask("pass") == "done"
        for taker in takers:
            taker.tell("lock.acquire()")
        answers = [taker.answer() for taker in takers]
        assert answers.count("done") == 1
        winner = takers[answers.index("done")]
        assert all(f"process {winner.pid} on" in answer for answer in answers if answer != "done")


def test_of_many_processes_one_takes_a_free_lock(tmp_path: Path) -> None:
    with ExitStack() as stack:
        takers = [stack.enter_context(other(tmp_path)) for _ in range(4)]
        for taker in takers:
            assert taker.ask("pass") == "done"
        for taker in takers:
            taker.tell("lock.acquire()")
        answers = [taker.answer() for taker in takers]
        assert answers.count("done") == 1
        winner = takers[answers.index("done")]
        assert all(f"process {winner.pid} on" in answer for answer in answers if answer != "done")


def test_a_signal_of_life_keeps_the_lock(tmp_path: Path) -> None:
    now = NOW

    def clock() -> datetime:
        return now

    with RepositoryLock(tmp_path, stale_after=600, clock=clock, beating=False) as mine:
        now = NOW + timedelta(seconds=500)
        mine.beat()
        with other(tmp_path, NOW + timedelta(seconds=1_000)) as late:
            assert "since 2026-01-13 12:00:00 UTC works on it" in late.ask("lock.acquire()")
        told = json.loads((tmp_path / "lock").read_text())
        assert (told["started"], told["heartbeat"]) == (
            "2026-01-13T12:00:00.000000+00:00",
            "2026-01-13T12:08:20.000000+00:00",
        )


def test_the_signals_come_by_themselves(tmp_path: Path) -> None:
    asked, often = [], Event()

    def clock() -> datetime:
        asked.append(1)
        if len(asked) > 6:
            often.set()
        return datetime.now(UTC)

    with RepositoryLock(tmp_path, stale_after=0.06, clock=clock):
        assert often.wait(60), "nobody gave a sign of life"
    assert (tmp_path / "lock").read_bytes() == b""


@pytest.mark.parametrize(
    ("host", "age", "free"),
    [
        ("elsewhere.example", 599, False), ("elsewhere.example", 601, True), ("elsewhere.example", -30, False),
        (socket.gethostname(), 1, True), (socket.gethostname(), 601, True),
    ],
    ids=["alive elsewhere", "long silent elsewhere", "ahead elsewhere", "dead here", "long dead here"],
)  # fmt: skip
def test_what_a_dead_process_left_counts_only_elsewhere(tmp_path: Path, host: str, age: int, free: bool) -> None:
    leave(tmp_path, host=host, heartbeat=NOW - timedelta(seconds=age))
    if free:
        with lock(tmp_path):
            pass
    else:
        with pytest.raises(LockError, match=f"process 4000000 on {host}"):
            lock(tmp_path).acquire()
        assert host in (tmp_path / "lock").read_text(), "a lock that is not had is not written to"


@pytest.mark.parametrize("data", [b"", b"\xff\0", b"[]", b"{}", b'{"pid": null}', b"7", b"x" * 10_000])
def test_what_nobody_can_read_keeps_nobody_out(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "lock").write_bytes(data)
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_holder_that_does_not_say_who_it_is_keeps_everybody_out(tmp_path: Path) -> None:
    with other(tmp_path) as first:
        assert first.ask("lock.acquire()") == "done"
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(LockError, match="another process holds the lock"):
            lock(tmp_path).acquire()


def test_the_lock_is_given_back_whatever_happens_inside(tmp_path: Path) -> None:
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), lock(tmp_path):
            raise error
        assert (tmp_path / "lock").read_bytes() == b""
    mine = lock(tmp_path)
    with mine:
        pass
    with mine:
        mine.beat()
    mine.release()


def test_one_process_does_not_take_it_twice(tmp_path: Path) -> None:
    with lock(tmp_path) as mine:
        with pytest.raises(LockError, match=f"process {os.getpid()} on"):
            lock(tmp_path).acquire()
        with pytest.raises(LockError):
            mine.acquire()
        mine.beat()


def test_without_the_lock_there_is_no_sign_of_life(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="does not hold the lock"):
        lock(tmp_path).beat()
    with lock(tmp_path) as mine:
        (tmp_path / "lock").unlink()
        with pytest.raises(LockError, match="another process has taken its lock"):
            mine.beat()


def test_a_place_that_cannot_have_a_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LockError, match="choose another state_dir"):
        lock(tmp_path / "file").acquire()
    os.symlink(tmp_path / "file", tmp_path / "lock")
    with pytest.raises(LockError, match="choose another state_dir"):
        lock(tmp_path).acquire()
    assert (tmp_path / "file").read_bytes() == b""
