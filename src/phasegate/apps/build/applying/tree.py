"""The repository's files as a transaction touches them. Every verb is one step that happens or does not, reached through the
repository's ``Root``, so that no link is followed; no file is ever written in place, so that its other hard links stay as they
are.

What must stand beside a file for a moment, because the transaction's own directory is on another disk, has a name that says
whose it is, and is cleared by it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.build.applying.journal import Entry, write_all
from phasegate.apps.build.errors import ConcurrentEditError, FileSystemError, UnsafePathError
from phasegate.apps.build.paths.root import Root

_CLOSE = getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _NO_FOLLOW | _CLOSE
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NO_FOLLOW | _CLOSE
_CHUNK = 1 << 20
#: A short name that no file has, to ask for the directory that it would be in.
_NOBODY = ".phasegate~"
#: What systems say that have no hard links, or allow none of this file.
_NO_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EACCES})
#: Why a directory stays: it is not empty, not there, something else by now, or something is mounted on it.
_STAYS = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY})


@dataclass(frozen=True, slots=True)
class Image:
    """A file as it was when it was copied."""

    sha256: str
    status: os.stat_result


class Tree:
    """The files of a repository, for the transaction of this id."""

    def __init__(self, root: Root, id: str) -> None:
        self.root = root
        self._id = id

    def digest(self, path: str) -> str | None:
        """The sha256 of a file now, None if it is not there. Raises ``UnsafePathError`` for what is no file."""
        return self.root.facts(path).sha256

    def keep(self, path: str, copy: Path, original: Path) -> Image | None:
        """Copy a file, with its modification time, and keep the file itself too under ``original`` where both are on one disk.
        None if there is none."""
        try:
            with self.root.parent(path) as (directory, name):
                image = _copied(os.open(name, _READ, dir_fd=directory), copy)
                with suppress(OSError, NotImplementedError):
                    os.link(name, original, src_dir_fd=directory, follow_symlinks=False)
                return image
        except FileNotFoundError:
            return None
        except FileSystemError as error:
            if error.details.get("errno") == "ENOENT":
                return None
            raise

    def bring(self, entry: Entry, staged: Path) -> None:
        """Make the directories of a file, and all the room it needs: if the staged file is on another disk, it is copied beside
        the file's place."""
        with self.root.parent(entry.path, create=True) as (directory, name):
            there = os.fstat(directory) if directory is not None else os.stat(os.path.dirname(name))
            if there.st_dev != staged.stat().st_dev:
                self._copy_beside(entry, staged, directory, name)

    def place(self, entry: Entry, staged: Path) -> None:
        """Move the staged file to its place; one that was not there before never replaces another. As long as ``staged`` is
        there, no file of before was touched."""
        with self.root.parent(entry.path) as (directory, name):
            try:
                _move(str(staged), None, name, directory, over=entry.before is not None)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                beside = self._beside(entry, name)
                if not _is_there(beside, directory):
                    self._copy_beside(entry, staged, directory, name)
                # Without the staged file it counts as touched: of one that was there before, never too late.
                if entry.before is not None:
                    staged.unlink()
                _move(beside, directory, name, directory, over=entry.before is not None)
                staged.unlink(missing_ok=True)

    def remove(self, entry: Entry) -> None:
        """Remove a file."""
        with self.root.parent(entry.path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def restore(self, entry: Entry, copy: Path, original: Path, *, over: bool) -> None:
        """Put back what ``keep`` kept: the very file, if nobody has changed it since, otherwise its copy."""
        with self.root.parent(entry.path, create=True) as (directory, name):
            if original.exists() and file_digest(original) == entry.before:
                _move(str(original), None, name, directory, over=over)
                return
            self._copy_beside(entry, copy, directory, name, mode=entry.mode)
            _move(self._beside(entry, name), directory, name, directory, over=over)

    def clear(self, entry: Entry) -> None:
        """Remove what was put beside a file and not moved."""
        with suppress(FileNotFoundError), _where_it_is(), self.root.parent(entry.path) as (directory, name):
            os.unlink(self._beside(entry, name), dir_fd=directory)

    def remove_directory(self, path: str) -> None:
        """Remove a directory if nothing is in it; otherwise, or if it is not there, nothing happens."""
        try:
            with _where_it_is(), self._inside(_above(path)) as (directory, prefix):
                os.rmdir(prefix + path.rpartition("/")[2], dir_fd=directory)
        except OSError as error:
            if error.errno not in _STAYS:
                raise

    def set_directory_mode(self, path: str, mode: int) -> None:
        """Give a directory these permission bits, if it is there and no link."""
        with _where_it_is(), self._inside(path) as (directory, prefix):
            os.chmod(prefix.rstrip("/") if directory is None else directory, mode)

    def sync(self, paths: Iterable[str]) -> None:
        """Wait until what happened in the directories of these files and directories is on the disk."""
        for path in sorted({_above(each) for each in paths}):
            # One that is not there any more has nothing to wait for but its own directory.
            with _where_it_is(), self._inside(path) as (directory, _):
                if directory is not None:
                    os.fsync(directory)

    @contextmanager
    def _inside(self, directory: str) -> Iterator[tuple[int | None, str]]:
        """A directory, open, and what to put before a name in it."""
        with self.root.parent(f"{directory}/{_NOBODY}" if directory else _NOBODY) as (handle, name):
            yield handle, name.removesuffix(_NOBODY)

    def _beside(self, entry: Entry, name: str) -> str:
        return os.path.join(os.path.dirname(name), f".phasegate-{self._id}-{entry.number}.tmp")

    def _copy_beside(
        self, entry: Entry, source: Path, directory: int | None, name: str, *, mode: int | None = None
    ) -> None:  # fmt: skip
        beside = self._beside(entry, name)
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=directory)
        handle = os.open(beside, _NEW, 0o600, dir_fd=directory)
        try:
            status = _pour(os.open(source, _READ), handle).status
            dress(handle, status, stat.S_IMODE(status.st_mode) if mode is None else mode)
            os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory)
            os.fsync(handle)
        finally:
            os.close(handle)


def dress(handle: int, like: os.stat_result, mode: int) -> None:
    """Give an open file the owner of another, as far as that is allowed, and these permission bits."""
    if hasattr(os, "fchown"):
        own = os.fstat(handle)
        if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
            with suppress(PermissionError):
                os.fchown(handle, like.st_uid, like.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, mode)


def file_digest(path: Path) -> str:
    """The sha256 of a file of the transaction's own."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(source: int, copy: Path) -> Image:
    target = os.open(copy, _NEW, 0o600)
    try:
        image = _pour(source, target)
        dress(target, image.status, 0o600)
        os.utime(copy, ns=(image.status.st_atime_ns, image.status.st_mtime_ns))
        os.fsync(target)
    finally:
        os.close(target)
    return image


def _pour(source: int, target: int) -> Image:
    """Copy an open file into another, and close the first."""
    digest = hashlib.sha256()
    try:
        status = os.fstat(source)
        while chunk := os.read(source, _CHUNK):
            digest.update(chunk)
            write_all(target, chunk)
    finally:
        os.close(source)
    return Image(digest.hexdigest(), status)


def _move(source: str, source_directory: int | None, name: str, directory: int | None, *, over: bool) -> None:
    """Rename a file. Without ``over`` a file that is there already stays, and ``ConcurrentEditError`` is raised."""
    if not over:
        try:
            os.link(source, name, src_dir_fd=source_directory, dst_dir_fd=directory, follow_symlinks=False)
            os.unlink(source, dir_fd=source_directory)
            return
        except FileExistsError:
            raise ConcurrentEditError("E_CONCURRENT_EDIT", "somebody else has just created it") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if _is_there(name, directory):
                raise ConcurrentEditError("E_CONCURRENT_EDIT", "somebody else has just created it") from None
    os.replace(source, name, src_dir_fd=source_directory, dst_dir_fd=directory)


@contextmanager
def _where_it_is() -> Iterator[None]:
    """Nothing is done in a directory that is not there, or is a link by now."""
    try:
        yield
    except UnsafePathError:
        pass
    except FileSystemError as error:
        if error.details.get("errno") != "ENOENT":
            raise


def _is_there(name: str, directory: int | None) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _above(path: str) -> str:
    return path.rpartition("/")[0]
