"""What the disk says of a name, and the errors that come of it. Nothing here follows a link or writes."""

from __future__ import annotations

import errno
import os
import stat
import sys
from itertools import islice
from pathlib import Path

from phasegate.apps.build.errors import FileSystemError, PhaseExecutorError, UnsafePathError

#: How many names of the top directory are tried when it is found out whether the disk ignores case.
_PROBED = 50


def target_problem(path: str, status: os.stat_result) -> PhaseExecutorError | None:
    """Why what stands at the path cannot be read or replaced as a file; None if it can."""
    if is_link(status):
        return link_error(path, path)
    if stat.S_ISDIR(status.st_mode):
        return misfit(path, "there is a directory of this name")
    return None if stat.S_ISREG(status.st_mode) else misfit(path, "there is something of this name that is no file")


def is_link(status: os.stat_result) -> bool:
    """Whether it is a symbolic link, or a junction or the like on Windows."""
    attributes = getattr(status, "st_file_attributes", 0)
    return stat.S_ISLNK(status.st_mode) or bool(attributes & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0))


def link_error(path: str, where: str) -> UnsafePathError:
    """The error for a link at ``where``, the path itself or a directory above it."""
    cause = f"'{where}' is a symbolic link; nothing is read or written through links (P5)"
    return UnsafePathError("E_SYMLINK", cause, path=path, details={"rule": "P5", "link": where})


def misfit(path: str, cause: str) -> UnsafePathError:
    """The error for a file in the place of a directory, or the other way round."""
    return UnsafePathError("E_PATH_UNSAFE", f"{cause} (P6)", path=path, details={"rule": "P6"})


def refused(path: str, error: OSError | ValueError) -> FileSystemError:
    """The error of the system, without the absolute path in it."""
    number = getattr(error, "errno", None) or 0
    cause = os.strerror(number) if number else "the system refused"
    if number == errno.ENOENT:
        cause = "there is no such file"
    return FileSystemError("E_FS", cause, path=path, details={"errno": errno.errorcode.get(number, "unknown")})


def folds_case(root: Path) -> bool:
    """Whether the disk ignores case, told from a name that is there and its other spelling; nothing is written."""
    try:
        with os.scandir(root) as entries:
            names = list(islice((entry.name for entry in entries if _has_case(entry.name)), _PROBED))
        above = [(root.parent, root.name)] if _has_case(root.name) else []
        for directory, name in (*((root, name) for name in names), *above):
            same = _same(directory / name, directory / name.swapcase())
            if same is not None:
                return same and name.swapcase() not in os.listdir(directory)
    except OSError:
        pass
    return sys.platform in ("darwin", "win32")


def _has_case(name: str) -> bool:
    """Whether a name has another spelling on a disk that ignores case; letters beyond ASCII are not equal on all of them."""
    return name.isascii() and name != name.swapcase()


def _same(one: Path, other: Path) -> bool | None:
    """Whether two names mean one file; None if the first is gone meanwhile."""
    try:
        status = os.lstat(one)
    except OSError:
        return None
    try:
        return os.path.samestat(status, os.lstat(other))
    except OSError:
        return False
