"""The journal of one transaction: what is to be done to which files, and how far it has come. No file of the repository is
touched here; the journal is one JSON file, replaced whole, and on the disk before anything it speaks of happens.

::

    prepared -> committing -> applied -> final
        '----------'-------------'---> undoing

A directory without a journal is one whose transaction never began, or is over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from phasegate.apps.build.schema import Mode
from phasegate.errors import IllegalTransition

State = Literal["prepared", "committing", "applied", "final", "undoing"]
NEXT: Mapping[State, frozenset[State]] = {
    "prepared": frozenset({"committing", "undoing"}),
    "committing": frozenset({"applied", "undoing"}),
    "applied": frozenset({"final", "undoing"}),
    "final": frozenset(),
    # Once more, of what could not be undone.
    "undoing": frozenset({"undoing"}),
}
NAME = "journal.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation. ``number`` names its files in the transaction's directory; ``before`` and ``after`` are sha256, None for no
    file. ``mode`` are the permission bits before."""

    number: int
    path: str
    op: Mode
    before: str | None
    after: str | None
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that goes because its last file does, and its permission bits."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Journal:
    """A transaction as it stands on disk. ``root`` is the repository's path and ``place`` its device and number, by which it is
    known when it was moved. ``created`` and ``removed`` are directories, outer ones first. ``about`` is the caller's."""

    id: str
    root: str
    place: tuple[int, int]
    state: State
    entries: tuple[Entry, ...]
    created: tuple[str, ...] = ()
    removed: tuple[Directory, ...] = ()
    about: Mapping[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """The journal as JSON; ``from_told`` is the inverse."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Journal:
        """The inverse of ``told``. Raises ``ValueError`` for what is no journal of this version."""
        try:
            if told["version"] != VERSION or told["state"] not in NEXT:
                raise ValueError("it is not a journal of this version")
            return cls(
                told["id"], told["root"], (told["place"][0], told["place"][1]), told["state"],
                tuple(Entry(**each) for each in told["entries"]), tuple(told["created"]),
                tuple(Directory(**each) for each in told["removed"]), told["about"],
            )  # fmt: skip
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"it is not a journal: {error}") from None

    def require(self, state: State) -> None:
        """Raises ``IllegalTransition`` where this state cannot follow."""
        if state not in NEXT[self.state]:
            raise IllegalTransition(f"A transaction that is {self.state} cannot become {state}.")


def write(journal: Journal, directory: Path) -> None:
    """Put the journal of a transaction's directory on the disk, in the place of the one before it, so that it stays there."""
    new = directory / f"{NAME}.new"
    # A name may have any bytes that the file system allows, also those that are no text.
    data = json.dumps(journal.told(), indent=1, ensure_ascii=True).encode()
    write_file(new, data)
    os.replace(new, directory / NAME)
    sync_directory(directory)


def read(directory: Path) -> Journal | None:
    """The journal of a transaction's directory, None if there is none. Raises ``ValueError`` if it cannot be understood."""
    try:
        return Journal.from_told(json.loads((directory / NAME).read_bytes()))
    except FileNotFoundError:
        return None


def discard(directory: Path) -> None:
    """Remove a transaction's directory, its journal first: what is left if that is interrupted has no meaning."""
    with suppress(FileNotFoundError):
        (directory / NAME).unlink()
        sync_directory(directory)
    shutil.rmtree(directory, ignore_errors=True)


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a new file, or one that nobody has been told of yet, so that it stays on the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of the bytes to the open file; the system may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: Path) -> None:
    """Wait until what was created, renamed and removed in a directory is on the disk."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
