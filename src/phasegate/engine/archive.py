"""The file to which runs are written before they are deleted: it only grows, line by line, and is on the disk when told."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from phasegate.errors import InputError

if sys.platform != "win32":
    import fcntl


class Archive:
    """A file of JSON documents, one a line, open to be appended to by this process alone.

    Raises ``InputError`` when it cannot be written, when it is something else than an archive, or when another process is
    writing to it. What a process left unfinished that was killed while writing becomes a line of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Unbuffered, so that nothing is left that closing the file would write after a failure.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise self._trouble(error) from error
        try:
            self._take()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, documents: Sequence[str]) -> None:
        """Add documents; they are on the disk when it returns. Raises ``InputError``, and then some may be there."""
        if documents:
            self._write("".join(f"{document}\n" for document in documents).encode())

    def _take(self) -> None:
        try:
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when the file is closed
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            first = self._file.read(1)
            self._file.seek(max(size - 1, 0))
            last = self._file.read(1)
        except BlockingIOError:
            raise InputError(
                f"{self.path} is being written by another process", hint="wait for it, or name another file"
            ) from None
        except OSError as error:
            raise self._trouble(error) from error
        if first not in (b"", b"{"):
            raise InputError(f"{self.path} is not an archive of runs", hint="name another file; a new one will do")
        # On the disk before the first run is deleted, and a proof that it can be written.
        self._write(b"\n" if last not in (b"", b"\n") else b"")
        self._sync_directory()

    def _write(self, content: bytes) -> None:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._trouble(error) from error

    def _sync_directory(self) -> None:
        """A new file survives a power failure only when its directory is on the disk too."""
        if sys.platform == "win32":
            return
        try:
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> InputError:
        return InputError(
            f"the archive {self.path} cannot be written: {error.strerror or error}",
            hint="nothing was deleted that is not in it; name another file, or make room",
        )
