"""What the system refuses, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from phasegate.apps.build.errors import FileSystemError

_ADVICE = {
    errno.ENOSPC: "make room on the disk, then run the phase again",
    errno.EDQUOT: "make room within the quota of this user, then run the phase again",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), then run the phase again",
    errno.EACCES: "give the user who runs this the right to write there",
    errno.EPERM: "give the user who runs this the right to write there",
    errno.EROFS: "mount the file system writable",
    errno.EMFILE: "raise the limit on open files (ulimit -n), then run the phase again",
    errno.EIO: "the disk does not answer as it should; check it before anything else",
}


@contextmanager
def refusals(path: str | None = None) -> Iterator[None]:
    """What the system refuses inside becomes a ``FileSystemError`` with advice, about the path."""
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error
    except FileSystemError as error:
        number = getattr(errno, str(error.details.get("errno")), 0)
        if number not in _ADVICE:
            raise
        raise _told(number, error.path) from error


def refused(error: OSError, path: str | None = None) -> FileSystemError:
    """The error of the system, without the absolute path in it, with advice."""
    return _told(error.errno or 0, path)


def _told(number: int, path: str | None) -> FileSystemError:
    cause = os.strerror(number) if number else "the system refused"
    if number in _ADVICE:
        cause = f"{cause}; {_ADVICE[number]}"
    return FileSystemError("E_FS", cause, path=path, details={"errno": errno.errorcode.get(number, "unknown")})
