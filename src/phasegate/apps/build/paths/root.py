"""The repository on disk, reached without ever following a symbolic link below it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phasegate.apps.build.errors import FileSystemError, PhaseExecutorError
from phasegate.apps.build.paths.disk import folds_case, is_link, link_error, misfit, refused, target_problem
from phasegate.apps.build.paths.names import ancestors, is_git_name, normalise
from phasegate.apps.build.paths.protection import GIT, protected
from phasegate.apps.build.paths.reading import CHUNK, read_content
from phasegate.apps.build.schema import FileFacts

_CLOSE = getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW | _CLOSE
# Without waiting, so that a pipe in the place of a file does not stop us.
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _NO_FOLLOW | _CLOSE
#: Whether a path can be walked from descriptor to descriptor here; if not, every step is looked at and then taken by its path.
HAS_DESCRIPTORS = {os.open, os.mkdir, os.stat} <= os.supports_dir_fd and bool(_NO_FOLLOW)


class Root:
    """A repository. Links in its own path are followed once, when it is opened; links below it never.

    Every path given is read by ``normalise`` first. Only ``listing`` looks at more of the repository than the way to one file.
    Errors: ``UnsafePathError`` with E_SYMLINK, or with E_PATH_UNSAFE and rule P6 for what is no file or no directory where one is
    needed; ``FileSystemError`` with E_FS for what the system refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ``FileSystemError`` if the path is no directory."""
        try:
            self.path = Path(path).resolve(strict=True)
            status = os.stat(self.path)
        except (OSError, RuntimeError, ValueError) as error:
            raise FileSystemError("E_FS", "the repository cannot be opened; name a directory that exists") from error
        if not stat.S_ISDIR(status.st_mode):
            raise FileSystemError("E_FS", "the repository is no directory; name the directory that holds the files")
        self._identity = (status.st_dev, status.st_ino)
        #: Whether two spellings of a name that differ in case mean one file here.
        self.folds = folds_case(self.path)

    def facts(self, path: str) -> FileFacts:
        """What is known of a file; of one that is not there, that it is not there."""
        return self.load(path, limit=0)[0]

    def load(self, path: str, *, limit: int | None = None) -> tuple[FileFacts, bytes]:
        """The facts of a file and its first ``limit`` bytes (all, if None), both from one reading."""
        path = normalise(path)
        try:
            with self._opened(path) as handle:
                status = os.fstat(handle)
                content = read_content(_chunks(handle), limit=limit)
        except FileNotFoundError:
            return FileFacts(path), b""
        except (OSError, ValueError) as error:
            raise refused(path, error) from error
        facts = FileFacts(
            path, content.sha256, content.size, content.lines, content.encoding, content.newline,
            stat.S_IMODE(status.st_mode), status.st_nlink, content.big_endian,
        )  # fmt: skip
        return facts, content.data

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The first ``limit`` bytes of a file, all of it without a limit. It must be there."""
        path = normalise(path)
        try:
            with self._opened(path) as handle:
                return b"".join(_chunks(handle, limit))
        except (OSError, ValueError) as error:
            raise refused(path, error) from error

    def check(self, path: str) -> list[PhaseExecutorError]:
        """What on disk forbids to write the path: a link on the way, a file where a directory is needed, a target that is no
        file, a directory that belongs to git although it has another name. Never raises for a path that ``normalise`` allows.
        """
        path = normalise(path)
        try:
            for above in ancestors(path):
                status = os.lstat(self.path / above)
                if is_link(status):
                    return [link_error(path, above)]
                if not stat.S_ISDIR(status.st_mode):
                    return [misfit(path, f"'{above}' is no directory")]
                if self._is_git_directory(above):
                    return [protected(path, GIT)]
            problem = target_problem(path, os.lstat(self.path / path))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:  # a name that this system cannot encode is a ValueError
            return [refused(path, error)]
        return [problem] if problem else []

    @contextmanager
    def parent(
        self, path: str, *, create: bool = False, created: list[str] | None = None
    ) -> Iterator[tuple[int | None, str]]:
        """The directory of a file, open, and the file's name: ``with root.parent(p) as (fd, name): os.unlink(name, dir_fd=fd)``.

        The way there is walked from descriptor to descriptor, so that a directory that somebody exchanges for a link meanwhile is
        found out, and what is done to ``name`` in ``fd`` happens where it was checked. The target itself is checked, too. With
        ``create``, missing directories are made, and added to ``created`` (outermost first) as soon as each is there. Where the
        system has no such descriptors ``fd`` is None and ``name`` an absolute path.
        """
        path = normalise(path)
        try:
            directory = self._walk(path, [] if create and created is None else created if create else None)
        except (OSError, ValueError) as error:
            raise refused(path, error) from error
        try:
            place = directory, path.rpartition("/")[2] if directory is not None else str(self.path / path)
            self._check_target(path, *place)
            yield place
        finally:
            if directory is not None:
                os.close(directory)

    def listing(self, limit: int, below: str = "") -> list[str]:
        """At most ``limit`` files of the repository, or of a directory in it (``below``, with a slash at its end), in order of
        their names, those of the upper directories first chosen.

        Without what belongs to git, without links, without names that cannot be written on a line.
        """
        found: list[str] = []
        level = [below]
        while level and len(found) < limit:
            following: list[str] = []
            for directory in level:
                files, directories = self._entries(directory)
                found += files
                following += directories
                if len(found) >= limit:
                    break
            level = following
        return sorted(found[:limit])

    def _entries(self, directory: str) -> tuple[list[str], list[str]]:
        """The files and the directories in a directory, sorted; nothing of one that cannot be read."""
        files, directories = [], []
        try:
            with os.scandir(self.path / directory) as entries:
                for entry in entries:
                    if not entry.name.isprintable() or entry.is_symlink() or is_git_name(entry.name):
                        continue
                    path = f"{directory}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(f"{path}/")
                    elif entry.is_file(follow_symlinks=False):
                        files.append(path)
        except OSError:
            return [], []
        return sorted(files), sorted(directories)

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        """The file, open for reading; ``FileNotFoundError`` if it or a directory above it is not there."""
        directory = self._walk(path, None)
        try:
            name = path.rpartition("/")[2] if directory is not None else str(self.path / path)
            status = self._check_target(path, directory, name)
            if status is None:
                raise FileNotFoundError(errno.ENOENT, "no such file")
            handle = os.open(name, _FILE, dir_fd=directory)
        finally:
            if directory is not None:
                os.close(directory)
        try:
            # What was checked may have been exchanged before it was opened.
            problem = target_problem(path, os.fstat(handle))
            if problem:
                raise problem
            yield handle
        finally:
            os.close(handle)

    def _walk(self, path: str, created: list[str] | None) -> int | None:
        """A descriptor of the path's directory, None where there are none. Makes what is missing if ``created`` is a list."""
        if not HAS_DESCRIPTORS:
            self._walk_by_path(path, created)
            return None
        at = self._open_root()
        try:
            for above in ancestors(path):
                inner = _step(at, path, above, created)
                os.close(at)
                at = inner
        except BaseException:
            os.close(at)
            raise
        return at

    def _open_root(self) -> int:
        handle = os.open(self.path, _DIRECTORY)
        status = os.fstat(handle)
        if (status.st_dev, status.st_ino) != self._identity:
            os.close(handle)
            raise FileSystemError("E_FS", "the repository was moved or replaced while it was worked on; start again")
        return handle

    def _walk_by_path(self, path: str, created: list[str] | None) -> None:
        for above in ancestors(path):
            place = self.path / above
            if created is not None and not os.path.lexists(place):
                os.mkdir(place)
                created.append(above)
            status = os.lstat(place)
            if is_link(status):
                raise link_error(path, above)
            if not stat.S_ISDIR(status.st_mode):
                raise misfit(path, f"'{above}' is no directory")

    def _check_target(self, path: str, directory: int | None, name: str) -> os.stat_result | None:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise refused(path, error) from error
        problem = target_problem(path, status)
        if problem:
            raise problem
        return status

    def _is_git_directory(self, path: str) -> bool:
        """Whether git would take the directory for one of its own: a repository without files, or what a ``.git`` file names."""

        def has(name: str) -> bool:
            return os.path.lexists(self.path / path / name)

        return has("HEAD") and (has("commondir") or (has("objects") and has("refs")))


def _step(at: int, path: str, above: str, created: list[str] | None) -> int:
    """Open the next directory on the way, ``above``, in the one that is open."""
    name = above.rpartition("/")[2]
    try:
        return os.open(name, _DIRECTORY, dir_fd=at)
    except FileNotFoundError:
        if created is None:
            raise
    except OSError as error:
        raise _step_problem(at, path, above, error) from error
    try:
        os.mkdir(name, dir_fd=at)
        created.append(above)
    except FileExistsError:
        pass  # somebody else was quicker; what it is shows when it is opened
    try:
        return os.open(name, _DIRECTORY, dir_fd=at)
    except OSError as error:
        raise _step_problem(at, path, above, error) from error


def _step_problem(at: int, path: str, above: str, error: OSError) -> PhaseExecutorError:
    """Why a directory could not be opened: systems answer differently for a link."""
    try:
        status = os.stat(above.rpartition("/")[2], dir_fd=at, follow_symlinks=False)
    except OSError:
        return refused(path, error)
    if is_link(status):
        return link_error(path, above)
    if not stat.S_ISDIR(status.st_mode):
        return misfit(path, f"'{above}' is no directory")
    return refused(path, error)


def _chunks(handle: int, limit: int | None = None) -> Iterator[bytes]:
    """The content, ``CHUNK`` bytes at a time, to the end or to the limit."""
    left = sys.maxsize if limit is None else limit
    pending = bytearray()
    while left > 0:
        chunk = os.read(handle, min(CHUNK, left))
        if not chunk:
            break
        left -= len(chunk)
        pending += chunk
        # The system may give less than was asked for; those who look at the beginning want it whole.
        if len(pending) >= CHUNK:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
