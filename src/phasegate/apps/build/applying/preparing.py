"""What is done before any file of the repository changes: the files as they are are kept, the new contents are written, and it is
settled which directories come and go. All of it is in the transaction's directory, and on the disk when this returns."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from phasegate.apps.build.applying.journal import Directory, Entry, sync_directory, write_all
from phasegate.apps.build.applying.refusals import refusals
from phasegate.apps.build.applying.tree import Image, Tree, dress
from phasegate.apps.build.applying.undoing import KEPT, NEW, OLD
from phasegate.apps.build.errors import ConcurrentEditError
from phasegate.apps.build.paths.names import ancestors
from phasegate.apps.build.schema import Planned

_ORDER = {"create": 0, "modify": 1, "delete": 2}


def prepare(tree: Tree, directory: Path, planned: Sequence[Planned]) -> tuple[Entry, ...]:
    """Stage everything: what is created first, what is deleted last. Raises ``ConcurrentEditError`` for a file that is not as it
    was planned from."""
    for name in (NEW, OLD, KEPT):
        (directory / name).mkdir(mode=0o700)
    entries = []
    for number, each in enumerate(sorted(planned, key=lambda each: _ORDER[each.op])):
        with refusals(each.path):
            entries.append(_stage(tree, directory, number, each))
    for place in (directory / NEW, directory / OLD, directory / KEPT, directory.parent):
        sync_directory(place)
    return tuple(entries)


def created_by(tree: Tree, entries: Sequence[Entry]) -> tuple[str, ...]:
    """The directories that have to be made, outer ones first."""
    return tuple(sorted(path for path in _needed(entries) if not os.path.lexists(tree.root.path / path)))


def removed_by(tree: Tree, entries: Sequence[Entry]) -> tuple[Directory, ...]:
    """The directories in which nothing will be left, outer ones first."""
    gone, needed = {each.path for each in entries if each.op == "delete"}, _needed(entries)
    found: list[Directory] = []
    for path in sorted({above for each in gone for above in ancestors(each)}, reverse=True):
        if path not in needed and _holds_only(tree.root.path / path, path, gone):
            gone.add(path)
            found.append(Directory(path, stat.S_IMODE(os.lstat(tree.root.path / path).st_mode)))
    return tuple(reversed(found))


def edited(path: str, cause: str) -> ConcurrentEditError:
    """Somebody else has changed a file."""
    return ConcurrentEditError("E_CONCURRENT_EDIT", cause, path=path)


def _needed(entries: Sequence[Entry]) -> set[str]:
    return {above for each in entries if each.op != "delete" for above in ancestors(each.path)}


def _holds_only(place: Path, path: str, gone: Collection[str]) -> bool:
    try:
        return all(f"{path}/{name}" in gone for name in os.listdir(place))
    except PermissionError:
        return False  # nobody may look into it: it stays


def _stage(tree: Tree, directory: Path, number: int, planned: Planned) -> Entry:
    path, before = planned.path, planned.before.sha256
    for problem in tree.root.check(path):
        raise problem
    image = tree.keep(path, directory / OLD / str(number), directory / KEPT / str(number))
    if (image.sha256 if image else None) != before:
        raise edited(path, "it is not what the model was shown any more")
    if (before is None) != (planned.op == "create"):
        raise edited(path, "there is such a file already" if planned.op == "create" else "there is no such file")
    _write_new(directory / NEW / str(number), planned, image)
    mode = stat.S_IMODE(image.status.st_mode) if image else 0
    return Entry(number, path, planned.op, before, planned.sha256_after, mode)


def _write_new(place: Path, planned: Planned, image: Image | None) -> None:
    """A new file gets what the umask leaves of its permission bits, a changed one exactly those that were planned. For a deletion
    an empty file stands for what has not been done yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(place, flags, (planned.mode or 0o666) if image is None else 0o600)
    try:
        write_all(handle, planned.data or b"")
        if image is not None:
            dress(handle, image.status, stat.S_IMODE(image.status.st_mode) if planned.mode is None else planned.mode)
        os.fsync(handle)
    finally:
        os.close(handle)
