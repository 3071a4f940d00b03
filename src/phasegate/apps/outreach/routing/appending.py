"""A text file that only ever grows: whole lines, on the disk before anyone is told, by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class AppendOnlyFile:
    """Appends lines to a file, and gives back the lines anyone has appended since it was last looked at.

    No complete line is ever changed. A last line without its end is shown to the caller, who knows whether it is a
    whole line or what a process left behind that was stopped while writing, and never told anybody that it had written.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is opened or made until ``locked`` is called."""
        self.path = path
        self._identity: tuple[int, int] | None = None
        self._read_to = 0

    @contextmanager
    def locked(self) -> Iterator[FileIO]:
        """The file, opened and held against other processes; made, with its directory, when it is not there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that after a failure nothing is left that closing the file would write.
        with self.path.open("a+b", buffering=0) as file:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
            yield file

    def replaced(self, file: FileIO) -> bool:
        """Whether this is another file than the last time, or the first time: everything in it is new."""
        status = os.fstat(file.fileno())
        identity = (status.st_dev, status.st_ino)
        if identity == self._identity and status.st_size >= self._read_to:
            return False
        self._identity, self._read_to = identity, 0
        return True

    def new_text(self, file: FileIO) -> tuple[str, str]:
        """The complete lines appended since the last call, all of them when the file was replaced; and what follows."""
        size = os.fstat(file.fileno()).st_size
        file.seek(self._read_to)
        content = file.read(size - self._read_to) if size > self._read_to else b""
        complete = content.rfind(b"\n") + 1
        self._read_to += complete
        text = content.decode("utf-8", errors="replace")
        end = text.rfind("\n") + 1
        return text[:end], text[end:]

    def append(self, file: FileIO, text: str, *, drop_tail: bool) -> None:
        """Write the lines and wait until they are on the disk; when that fails, none of them stays.

        With ``drop_tail`` they take the place of what follows the last complete line.
        """
        size = os.fstat(file.fileno()).st_size
        end = self._read_to if drop_tail else size
        try:
            if end < size:
                file.truncate(end)
            remaining = memoryview(text.encode("utf-8", errors="replace"))
            while remaining:
                remaining = remaining[file.write(remaining) :]
            os.fsync(file.fileno())
            if end == 0:
                _sync_directory(self.path.parent)
        except OSError:
            _cut(file, end)
            raise


def _cut(file: FileIO, end: int) -> None:
    """Take an unfinished write back; if even that fails, the next reader of the file does it."""
    try:
        file.truncate(end)
    except OSError:
        pass  # the failure that led here is the one to report


def _sync_directory(directory: Path) -> None:
    """A new file survives a power failure only when its directory is on the disk too."""
    if sys.platform != "win32":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
