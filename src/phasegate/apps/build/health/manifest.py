"""What a repository looks like at one moment, as far as it must not change by itself. Read-only; git is asked, never told."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.paths.protection import Protection, is_glob
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Command, digest

#: So many files are looked at at most.
MOST_FILES = 50_000
#: What of a .git directory changes only when somebody sets up something: what programs are run, and with what options.
_GIT_FILES = ("config", "info/exclude", "info/attributes")
_GIT_FOLDERS = ("hooks",)
_UNFINISHED = {
    "MERGE_HEAD": "a merge", "rebase-merge": "a rebase", "rebase-apply": "a rebase", "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert", "BISECT_LOG": "a bisection",
}  # fmt: skip
_CHUNK = 1 << 20
_SAFE = (
    "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
_UNREAD = "-"
_GIT_TIMEOUT = 60.0

RunCommand = Callable[[Command], CommandResult]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Marks of files by path, which differ when the files do: of protected ones, of watched ones, of those git calls changed.

    ``git`` is None where git is not used or cannot be asked; ``head`` is the commit that is checked out.
    """

    protected: Mapping[str, str] = field(default_factory=dict)
    watched: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, str] | None = None
    head: str | None = None

    def told(self) -> dict[str, Any]:
        """The manifest as JSON; ``from_told`` is the inverse."""
        git = None if self.git is None else dict(self.git)
        return {"protected": dict(self.protected), "watched": dict(self.watched), "git": git, "head": self.head}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Manifest:
        """The inverse of ``told``."""
        return cls(told["protected"], told["watched"], told["git"], told["head"])


def take(
    root: Root, protection: Protection, watched: Iterable[str], run: RunCommand, policy: Policy, *, own: Sequence[str] = ()
) -> Manifest:  # fmt: skip
    """The manifest now. ``watched`` are files that must stay as they are unless the phase changes them; ``own`` are the
    executor's files, which change all the time."""
    marks = _Marks(root.path, policy.max_manifest_bytes)
    own = tuple(each.rstrip("/") for each in own)
    protected = {p: marks.of(p) for p in _protected_files(root, protection) if not is_own(p, own)}
    return Manifest(
        protected, {p: marks.of(p) for p in sorted(set(watched))}, _status(root, run, marks, own), head(root, run)
    )


def is_own(path: str, own: Sequence[str]) -> bool:
    """Whether a file is one of the executor's."""
    return any(path == each or path.startswith(f"{each}/") for each in own)


def differences(before: Mapping[str, str], after: Mapping[str, str], *, besides: Iterable[str] = ()) -> list[str]:
    """The paths, sorted, of which the marks differ, those in ``besides`` left out."""
    paths = (before.keys() | after.keys()) - set(besides)
    return sorted(path for path in paths if _differ(before.get(path, ""), after.get(path, "")))


def stirred(before: Manifest, after: Manifest) -> set[str]:
    """The protected and the watched files that are different in two manifests."""
    return {*differences(before.protected, after.protected), *differences(before.watched, after.watched)}


def stirred_in_git(before: Manifest, after: Manifest) -> set[str]:
    """The files of which git says something else; none where it was not asked."""
    if before.git is None or after.git is None:
        return set()
    return set(differences(before.git, after.git))


def relisted(before: Mapping[str, str], after: Mapping[str, str], planned: Collection[str]) -> set[str]:
    """Of what git calls changed before or after, but not both, that which a planned change of git's own settings in the tree
    explains: other files ignored, or other attributes."""
    names = {path.rpartition("/")[2] for path in planned}
    every = [*before.items(), *after.items()]
    one_sided = {path: mark for path, mark in every if (path in before) != (path in after) and path not in planned}
    if ".gitattributes" in names:
        return set(one_sided)
    return {path for path, mark in one_sided.items() if mark.endswith("|??")} if ".gitignore" in names else set()


def _differ(one: str, other: str) -> bool:
    """Whether two marks are of different files. The time counts only where the content of one of them was not read."""
    if one == other:
        return False
    (sum_one, *stamp_one), (sum_other, *stamp_other) = one.split("|"), other.split("|")
    if len(stamp_one) < 3 or len(stamp_other) < 3:
        return True
    if _UNREAD in (sum_one, sum_other):
        return stamp_one != stamp_other
    return (sum_one, stamp_one[2:]) != (sum_other, stamp_other[2:])


def head(root: Root, run: RunCommand) -> str | None:
    """The commit that is checked out; None without git, or without any commit."""
    result = run(_git("rev-parse", "--verify", "--quiet", "HEAD", root=root))
    return result.output.strip() if result.ok else None


def unfinished(root: Root, run: RunCommand) -> str | None:
    """What git is in the middle of, as "a merge"; None if nothing."""
    folder = _git_folder(root, run)
    return next((what for name, what in _UNFINISHED.items() if folder and (folder / name).exists()), None)


def has_git(root: Root, run: RunCommand) -> bool:
    """Whether git is installed and knows the repository."""
    return _git_folder(root, run) is not None


def _git_folder(root: Root, run: RunCommand) -> Path | None:
    result = run(_git("rev-parse", "--absolute-git-dir", root=root))
    return Path(result.output.strip()) if result.ok else None


def _git(*words: str, root: Root) -> Command:
    """A git command that only reads: it takes no locks and starts no program that the repository's settings name."""
    return Command(("git", "-C", str(root.path), *_SAFE, *words), _GIT_TIMEOUT, "git")


def _status(root: Root, run: RunCommand, marks: _Marks, own: Sequence[str]) -> dict[str, str] | None:
    """Marks of what differs from the commit, by path below the root."""
    prefix = run(_git("rev-parse", "--show-prefix", root=root))
    status = run(_git("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", ".", root=root))
    if not prefix.ok or not status.ok or status.shortened:
        return None
    entries = [each for each in status.output.split("\0") if len(each) > 3]
    above = prefix.output.rstrip("\n")
    paths = ((each[:2], each[3:].removeprefix(above)) for each in entries)
    return {path: f"{marks.of(path)}|{state}" for state, path in paths if not is_own(path.rstrip("/"), own)}


def _protected_files(root: Root, protection: Protection) -> Iterator[str]:
    """What the entries name, and what of git's own files has a meaning for others; whoever works with git changes the rest all
    the time. The whole repository is only gone through where one of the entries is a pattern."""
    if any(is_glob(each) for each in protection.entries):
        listed = (path for path in root.listing(MOST_FILES) if protection.match(path) is not None)
        yield from (path for path in listed if not path.startswith(".git/"))
    else:
        for entry in protection.entries:
            place = entry.rstrip("/")
            if place == ".git":  # of which only a part is anybody's business, below
                continue
            yield from [place] if stat.S_ISREG(_mode(root.path / place)) else root.listing(MOST_FILES, f"{place}/")
    git = root.path / ".git"
    yield from [".git"] if git.is_file() else []
    yield from (f".git/{name}" for name in _GIT_FILES if (git / name).is_file())
    for folder in _GIT_FOLDERS:
        # Names of samples do not matter, but whether a new program stands beside them does.
        yield from (f".git/{folder}/{entry.name}" for entry in _entries(git / folder))


def _mode(place: Path) -> int:
    try:
        return os.lstat(place).st_mode
    except OSError:
        return 0


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


class _Marks:
    """Marks of files: content, size, time and permissions; without the content once too much was read."""

    def __init__(self, root: Path, most: int) -> None:
        self._root, self._left = root, most

    def of(self, path: str) -> str:
        """The mark; ``none`` if there is nothing. Links are not followed."""
        place = self._root / path
        try:
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                return f"link {digest(os.readlink(place))}"
            if not stat.S_ISREG(status.st_mode):
                return "directory" if stat.S_ISDIR(status.st_mode) else "special"
            read = _sum(place) if self._may_read(status.st_size) else _UNREAD
            return f"{read}|{status.st_size}|{status.st_mtime_ns}|{stat.S_IMODE(status.st_mode):o}"
        except (FileNotFoundError, NotADirectoryError):
            return "none"
        except (OSError, ValueError) as error:
            return f"unreadable {type(error).__name__}"

    def _may_read(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True


def _sum(place: Path) -> str:
    found = hashlib.sha256()
    with open(place, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
