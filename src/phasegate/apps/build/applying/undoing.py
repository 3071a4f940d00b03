"""Takes a transaction back: every file as it was before, unless somebody else has changed it since.

It may be stopped anywhere and begun again: what is as it was before is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.build.applying.journal import Entry, Journal
from phasegate.apps.build.applying.refusals import refusals, refused
from phasegate.apps.build.applying.tree import Tree, file_digest
from phasegate.apps.build.errors import PhaseExecutorError, RollbackError

#: In a transaction's directory: staged contents, copies of files as they were, those files themselves, and copies for the user.
NEW, OLD, KEPT, SAVED = "new", "old", "kept", "before"


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that is not as it was before, and why. A conflict is one that somebody else has changed."""

    entry: Entry
    cause: str
    conflict: bool


class _Conflict(Exception):
    """Somebody else has changed the file."""


def undo(tree: Tree, directory: Path, journal: Journal) -> list[Failure]:
    """Take back all files that the journal of this directory speaks of. What cannot be taken back is left as it is and told."""
    entries: Iterable[Entry] = list(reversed(journal.entries))
    failures = [each for each in (_attempt(tree, directory, entry) for entry in entries) if each]
    if any(not failure.conflict for failure in failures):
        # What was taken back meanwhile may have made the room that was missing.
        failures = [each for each in (_attempt(tree, directory, failure.entry) for failure in failures) if each]
    return failures


def settle(tree: Tree, journal: Journal) -> None:
    """Once the files are taken back: the directories too, and all of it on the disk. Raises ``FileSystemError``."""
    with refusals():
        for path in reversed(journal.created):
            tree.remove_directory(path)
        for gone in journal.removed:
            tree.set_directory_mode(gone.path, gone.mode)
        tree.sync(touched(journal))


def touched(journal: Journal) -> list[str]:
    """Everything whose directory a transaction changes."""
    return [*(entry.path for entry in journal.entries), *journal.created, *(gone.path for gone in journal.removed)]


def save(directory: Path, failure: Failure) -> str | None:
    """Put a copy of the file as it was where the user finds it, under its own name; where that is, or None if there was none."""
    copy, place = directory / OLD / str(failure.entry.number), directory / SAVED / failure.entry.path
    if failure.entry.before is None:
        return None
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(copy, place)
    except OSError:
        return f"{OLD}/{copy.name}"
    return f"{SAVED}/{failure.entry.path}"


def failed(failures: list[Failure], saved: list[str], place: str) -> RollbackError:
    """The error for files that could not be taken back. ``place`` is the transaction's directory as the user knows it."""
    paths = sorted(failure.entry.path for failure in failures)
    details = {
        "paths": paths,
        "saved": saved,
        "transaction": place,
        "causes": {f.entry.path: f.cause for f in failures},
    }
    named = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    where = f"their state before is in {place} below state_dir"
    broken = next((failure for failure in failures if not failure.conflict), None)
    if broken is None:
        cause = f"changed by somebody else since, and left as they are: {named}; {where}"
        return RollbackError("E_ROLLBACK_CONFLICT", cause, details=details)
    cause = f"{broken.entry.path}: {broken.cause}; not put back: {named}; recover again when that is mended; {where}"
    return RollbackError("E_ROLLBACK", cause, details=details)


def _attempt(tree: Tree, directory: Path, entry: Entry) -> Failure | None:
    try:
        tree.clear(entry)
        _undo(tree, directory, entry)
    except _Conflict as error:
        return Failure(entry, str(error), True)
    except PhaseExecutorError as error:
        # What is a link or a directory now was made so by somebody else.
        return Failure(entry, error.cause, error.code not in ("E_FS", "E_ROLLBACK"))
    except OSError as error:
        with suppress(OSError, PhaseExecutorError):
            tree.clear(entry)  # half a copy, if the disk is full
        return Failure(entry, refused(error).cause, False)
    return None


def _undo(tree: Tree, directory: Path, entry: Entry) -> None:
    now, number = tree.digest(entry.path), str(entry.number)
    if now == entry.before:
        return
    if now not in (entry.after, None):
        if (directory / NEW / number).exists():
            return  # it was changed before its turn came, and never by us
        raise _Conflict("somebody else has changed it since")
    if entry.before is None:
        tree.remove(entry)
    else:
        copy = directory / OLD / number
        if file_digest(copy) != entry.before:
            raise RollbackError("E_ROLLBACK", "the copy of its state before is damaged", path=entry.path)
        tree.restore(entry, copy, directory / KEPT / number, over=now is not None)
    if tree.digest(entry.path) != entry.before:
        raise _Conflict("somebody else has changed it just now")
