"""A repository with everything that an attacker could wish for in it and around it, and two ways to write into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from phasegate.apps.build.applying.transaction import Applier
from phasegate.apps.build.errors import FileSystemError, PhaseExecutorError
from phasegate.apps.build.paths.names import ancestors, normalise
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import FileFacts, Planned

PROTECTED = ("secrets/", "config/production.yaml", "autopack.db", ".autonomous_runs/", "*.pem")
Changes = Sequence[dict[str, Any]]
Writer = Callable[[Changes, Callable[[], None], list[str]], None]

_FILES = {
    "outside/secret.txt": "outside secret\n", "outside/a/b.txt": "outside b\n", "outside/deep/b.py": "outside deep\n",
    "outside/hooks/pre-commit": "outside hook\n", "repo/src/a.py": "a = 1\n", "repo/src/deep/b.py": "b = 2\n",
    "repo/docs/read me.md": "# Read\n", "repo/docs/\u00fcber.md": "# About\n", "repo/.gitignore": "*.pyc\n",
    "repo/config/production.yaml": "live: true\n", "repo/config/test.yaml": "live: false\n",
    "repo/secrets/key.txt": "key\n", "repo/autopack.db": "database\n", "repo/.autonomous_runs/x": "run\n",
    "repo/certs/a.pem": "certificate\n", "repo/state/journal.json": "{}\n", "repo/.git/config": "[core]\n",
    "repo/.git/HEAD": "ref: refs/heads/main\n", "repo/.git/hooks/pre-commit": "#!/bin/sh\n",
    "repo/vendor/lib/.git": "gitdir: ../../gitstore\n", "repo/vendor/lib/code.c": "int x;\n",
    "repo/gitstore/HEAD": "ref: refs/heads/main\n", "repo/gitstore/config": "[core]\n",
    "repo/gitstore/objects/info/packs": "\n", "repo/gitstore/refs/heads/main": "0\n",
    "repo/gitstore/hooks/x": "#!/bin/sh\n", "repo/worktree/HEAD": "0\n", "repo/worktree/commondir": "../gitstore\n",
}  # fmt: skip
_LINKS = {
    "repo/link_out": "../outside", "repo/link_file": "../outside/secret.txt", "repo/link_in": "src",
    "repo/dangling": "../outside/n", "repo/loop": "loop", "repo/src/deep/link_up": "../../..",
    "repo/link_git": ".git", "repo/src/link_git_file": "../.git/config",
}  # fmt: skip
_HARD = {"repo/hard.txt": "outside/secret.txt", "repo/hard_git.txt": "repo/.git/config"}


class World:
    """``base/repo`` and ``base/outside``; what an applier needs for itself is in ``base/applier``, which is not looked at."""

    #: What an attacker exchanges between the check and the write.
    RACES: ClassVar[tuple[str, ...]] = (
        "directory-out",
        "directory-git",
        "file-out",
        "file-git",
        "file-hard",
        "repository",
        "top-out",
    )

    def __init__(self, base: Path) -> None:
        self.base, self.repository = base, base / "repo"
        self._swapped: tuple[Path, Path | None, tuple[int, int]] | None = None
        self._before: dict[str, str] = {}
        self.build()

    def build(self) -> None:
        """Make everything as it is in the beginning."""
        for place in self.base.iterdir():
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        for name, text in _FILES.items():
            (self.base / name).parent.mkdir(parents=True, exist_ok=True)
            (self.base / name).write_text(text, encoding="utf-8")
        for name, target in _LINKS.items():
            (self.base / name).symlink_to(target)
        for name, target in _HARD.items():
            (self.base / name).hardlink_to(self.base / target)
        os.mkfifo(self.repository / "pipe")
        self._before = self._hashes()

    def changed(self) -> list[str]:
        """What differs from the beginning: files by their content, links, pipes and directories by what they are, each by its
        place below ``base``. What an attacker has exchanged is put back first, unless it was replaced by what was written."""
        self._put_back()
        now = self._hashes()
        return sorted(path for path in self._before.keys() | now.keys() if self._before.get(path) != now.get(path))

    def swap(self, race: str, path: str) -> None:
        """Exchange something on the way to the path; what stands there is moved out of the repository."""
        place = self._place(race, path)
        aside = self.base / "aside" if os.path.lexists(place) else None
        if aside is not None:
            place.rename(aside)
        outside, git = self.base / "outside", self.repository / ".git"
        if race == "file-hard":
            place.hardlink_to(outside / "secret.txt")
        elif race.startswith("file"):
            place.symlink_to(outside / "secret.txt" if race == "file-out" else git / "config")
        else:
            place.symlink_to(git if race == "directory-git" else outside)
        status = os.lstat(place)
        self._swapped = place, aside, (status.st_dev, status.st_ino)

    def _place(self, race: str, path: str) -> Path:
        """What is exchanged: the last directory on the way that can be, the first one, the file, or the repository."""
        if race == "repository":
            return self.repository
        ways = [self.repository / each for each in ancestors(path)]
        there = [each for each in ways if each.parent.is_dir()]
        if race.startswith("file") or not there:
            file = self.repository / path
            return file if file.parent.is_dir() else there[-1]
        return there[0] if race == "top-out" else there[-1]

    def _put_back(self) -> None:
        if self._swapped is None:
            return
        place, aside, identity = self._swapped
        self._swapped = None
        with suppress(FileNotFoundError):
            status = os.lstat(place)
            if (status.st_dev, status.st_ino) != identity:
                # Replaced by the write, as a file may be.
                if aside is not None:
                    aside.unlink()
                return
            place.unlink()
        if aside is not None:
            aside.rename(place)

    def writers(self, root: Root) -> list[Writer]:
        """Ways to carry out changes. Each is given the changes, what happens at the moment it is open to attack, and a list to
        which it adds the paths as it has written them; each raises ``PhaseExecutorError`` for what it refuses."""
        return [
            lambda changes, attack, done: _write(root, changes, attack, done, False),
            lambda changes, attack, done: _write(root, changes, attack, done, True),
            lambda changes, attack, done: _apply(root, self.base / "applier", changes, attack, done),
        ]

    def _hashes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in ("outside", "repo"):
            _hash_below(str(self.base / name), name, found)
        found["."] = ",".join(sorted(set(os.listdir(self.base)) - {"applier"}))
        return found


def _hash_below(directory: str, shown: str, found: dict[str, str]) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            name, status = f"{shown}/{entry.name}", entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                found[name] = f"link to {os.readlink(entry.path)}"
            elif stat.S_ISDIR(status.st_mode):
                found[name] = f"directory {status.st_mode:o}"
                _hash_below(entry.path, name, found)
            elif stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
                found[name] = f"file {status.st_mode:o} {content}"
            else:
                found[name] = f"other {status.st_mode:o}"


def _write(root: Root, changes: Changes, attack: Callable[[], None], done: list[str], late: bool) -> None:
    """Write each file beside its place and move it there; the attack comes before the first way to a place, or after it."""
    if not late:
        attack()
    for index, change in enumerate(changes):
        path, made = normalise(change["path"]), list[str]()
        try:
            with root.parent(path, create=change["mode"] != "delete", created=made) as (directory, name):
                if late and not index:
                    attack()
                _put(directory, name, change["new_content"])
        except (PhaseExecutorError, OSError) as error:
            for each in reversed(made):
                with suppress(OSError):
                    (root.path / each).rmdir()
            if isinstance(error, PhaseExecutorError):
                raise
            raise FileSystemError("E_FS", "refused by the system", path=path) from error
        done.append(change["path"])


def _put(directory: int | None, name: str, content: str | None) -> None:
    if content is None:
        os.unlink(name, dir_fd=directory)
        return
    handle = os.open(".owned", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=directory)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(".owned", name, src_dir_fd=directory, dst_dir_fd=directory)


def _apply(root: Root, state: Path, changes: Changes, attack: Callable[[], None], done: list[str]) -> None:
    """As a phase does it; the attack comes between the preparation and the writing."""
    planned = [_planned(root.facts(normalise(change["path"])), change["new_content"]) for change in changes]
    transaction = Applier(root, state).begin("attack", planned, about={})
    attack()
    transaction.commit()
    transaction.finish()
    done += [change["path"] for change in changes]


def _planned(before: FileFacts, content: str | None) -> Planned:
    if content is None:
        if not before.exists:
            raise FileSystemError("E_FS", "there is no such file", path=before.path)
        return Planned(before.path, "delete", before)
    return Planned(before.path, "modify" if before.exists else "create", before, content.encode(), before.mode or None)
