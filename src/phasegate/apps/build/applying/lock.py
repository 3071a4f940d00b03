"""One process at a time works on a repository.

The lock is one that the operating system holds on an open file, so that it goes with the process that has it, however that
ends. What stands in the file - who has it, since when, and that it was alive lately - is written only by the holder. It serves
to name the holder, to keep out a process of another machine that shares the directory over a network without sharing its locks,
and to take the lock from a process that has stopped without ending.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any

from phasegate.apps.build.errors import LockError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: The lock, and the file that keeps two processes from taking it at the same moment.
NAME, TURN = "lock", "lock.turn"
_MOST_BYTES = 4096
#: How many signs of life a holder gives before it counts as stopped.
_BEATS = 6
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. Times are those of the holder's clock."""

    pid: int
    host: str
    started: datetime
    heartbeat: datetime

    def told(self) -> dict[str, Any]:
        """The holder as JSON, always of the same length for the same process, so that it is overwritten in one piece."""
        started, heartbeat = (each.isoformat(timespec="microseconds") for each in (self.started, self.heartbeat))
        return {"pid": self.pid, "host": self.host, "started": started, "heartbeat": heartbeat}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started:%Y-%m-%d %H:%M:%S} UTC"


class RepositoryLock:
    """The right to work on a repository, as a context manager that may be entered again after it was left.

    ``stale_after`` is how many seconds a holder may be without a sign of life before another process takes its lock;
    ``root`` is the repository, whose folder is locked, too. ``clock`` gives aware times. A thread gives the signs while the
    lock is held; ``beating=False`` leaves them to ``beat``."""

    def __init__(
        self, state_dir: Path, *, stale_after: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        beating: bool = True, root: Path | None = None,
    ) -> None:  # fmt: skip
        self._directory, self._path = Path(state_dir), Path(state_dir) / NAME
        self._stale_after, self._clock, self._beating = timedelta(seconds=stale_after), clock, beating
        self._fd: int | None = None
        self._root, self._root_fd = root, -1
        self._started = clock()
        self._left, self._writing = Event(), Lock()
        self._thread: Thread | None = None

    def __enter__(self) -> RepositoryLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.release()

    def acquire(self) -> None:
        """Take the lock. Raises ``LockError`` naming process and host that have it, or what keeps it from being taken."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._turn():
                self._fd = self._taken()
        except OSError as error:
            raise LockError(
                "E_LOCKED", f"the lock file cannot be used ({error.strerror}); choose another state_dir"
            ) from None
        try:
            self._take_root()
        except BaseException:
            self.release()
            raise
        self._left.clear()
        if self._beating:
            self._thread = Thread(target=self._beat_on, name="phasegate-build-lock", daemon=True)
            self._thread.start()

    def _take_root(self) -> None:
        """Keep out whoever works on the same repository with another state directory, on the same machine."""
        if self._root is None or sys.platform == "win32":
            return
        try:
            self._root_fd = os.open(self._root, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            if not _hold(self._root_fd):
                raise LockError(
                    "E_LOCKED", "another process works on it, with another history; wait until it has ended"
                )
        except OSError as error:
            raise LockError("E_LOCKED", f"the repository cannot be locked: {error.strerror}") from None

    def beat(self) -> None:
        """Give a sign of life. Raises ``LockError`` when the lock is not held any more, which must be asked before anything is
        written: a process that was stopped for long has lost it."""
        if self._fd is None:
            raise LockError("E_LOCKED", "this process does not hold the lock")
        if not _is_at(self._fd, self._path):
            raise LockError(
                "E_LOCKED", f"this process was stopped for so long that {_who(self._path)} has taken its lock"
            )
        self._write(self._fd)

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
        self._left.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._root_fd != -1:
            os.close(self._root_fd)
            self._root_fd = -1
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):  # what stands in the file matters only to other machines, and only for a while
                os.ftruncate(fd, 0)
            os.close(fd)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Of the processes that look at the lock, one at a time: otherwise two could find it stale, and both take it."""
        fd = os.open(self._directory / TURN, _OPEN, 0o600)
        try:
            _hold(fd, wait=True)
            yield
        finally:
            os.close(fd)

    def _taken(self) -> int:
        fd = os.open(self._path, _OPEN, 0o600)
        try:
            free, holder = _hold(fd), _read(fd)
            # A lock that can be had although another machine's process holds it is one that is not shared over the network.
            if holder is not None and not self._is_stale(holder) and not (free and holder.host == socket.gethostname()):
                raise _locked(holder)
            if not free and holder is None:
                raise LockError("E_LOCKED", "another process holds the lock, and has not said which one it is")
            if free:
                self._write(fd, first=True)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return self._replaced()

    def _replaced(self) -> int:
        """A new file in the place of the one that a stopped process still holds; that one will find that it is not its own."""
        new = self._path.with_name(f"{NAME}.{os.getpid()}")
        fd = os.open(new, _OPEN | os.O_TRUNC, 0o600)
        try:
            _hold(fd)
            self._write(fd, first=True)
            os.replace(new, self._path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _is_stale(self, holder: Holder) -> bool:
        return self._clock() - holder.heartbeat > self._stale_after

    def _write(self, fd: int, *, first: bool = False) -> None:
        if first:
            self._started = self._clock()
            os.ftruncate(fd, 0)
        data = json.dumps(Holder(os.getpid(), socket.gethostname(), self._started, self._clock()).told())
        with self._writing:
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, data.encode())

    def _beat_on(self) -> None:
        with suppress(LockError):  # whoever is about to write asks by itself
            while not self._left.wait(self._stale_after.total_seconds() / _BEATS):
                with suppress(OSError):  # a disk may have a bad moment
                    self.beat()


def _hold(fd: int, *, wait: bool = False) -> bool:
    """Whether the open file is locked for this process now."""
    try:
        if sys.platform == "win32":
            # A place that nobody reads, because what is locked there cannot be read.
            os.lseek(fd, _MOST_BYTES, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _read(fd: int) -> Holder | None:
    """Who holds the lock; None when nobody says so, or nobody can read it."""
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        told = json.loads(os.read(fd, _MOST_BYTES))
        times = [datetime.fromisoformat(told[name]).astimezone(UTC) for name in ("started", "heartbeat")]
        return Holder(int(told["pid"]), str(told["host"]), *times)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _who(path: Path) -> str:
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            return str(_read(fd) or "another process")
        finally:
            os.close(fd)
    return "another process"


def _locked(holder: Holder) -> LockError:
    return LockError(
        "E_LOCKED", f"{holder} works on it; wait until it has ended", details=holder.told(),
        hint="One executor works on a repository at a time.",
    )  # fmt: skip
