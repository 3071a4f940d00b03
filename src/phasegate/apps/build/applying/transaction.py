"""Changes of several files as one: all of them are on disk, or none is, whatever happens in between.

Each transaction has a directory ``txn/<id>`` in the state directory with its journal, the new contents and the old ones. No step
needs git, and nothing is touched but the files that are named and the directories they need. Whoever uses this holds the
repository's lock.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from phasegate.apps.build.applying import journal as journals
from phasegate.apps.build.applying.journal import Entry, Journal, State
from phasegate.apps.build.applying.preparing import created_by, edited, prepare, removed_by
from phasegate.apps.build.applying.refusals import refusals
from phasegate.apps.build.applying.tree import Tree
from phasegate.apps.build.applying.undoing import NEW, Failure, failed, save, settle, touched, undo
from phasegate.apps.build.errors import FileSystemError, RollbackError
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Planned
from phasegate.errors import InputError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TRANSACTIONS = "txn"

Outcome = Literal["discarded", "rolled_back", "finished", "conflict", "foreign"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a transaction that nobody brought to its end.

    ``discarded``: nothing of it was on disk. ``rolled_back``: the files are as they were. ``finished``: the files stay as they
    are now. ``conflict``: ``error`` says which files could not be put back; it is tried again with every recovery. ``foreign``:
    it belongs to another repository. ``paths`` are those it was about.
    """

    id: str
    outcome: Outcome
    paths: tuple[str, ...] = ()
    about: Mapping[str, Any] | None = None
    error: RollbackError | None = None


class Transaction:
    """A set of changes on its way: ``commit``, then ``finish`` or ``rollback``. ``Applier`` makes and finds them."""

    def __init__(self, root: Root, directory: Path, journal: Journal) -> None:
        self._tree, self._directory, self._journal = Tree(root, journal.id), directory, journal
        self._over: Literal["final", "undone"] | None = None

    @property
    def id(self) -> str:
        """The id given to ``begin``."""
        return self._journal.id

    @property
    def state(self) -> State | Literal["undone"]:
        """How far it is: ``final`` and ``undone`` are over, ``undoing`` is a rollback that could not be completed."""
        return self._over or self._journal.state

    @property
    def paths(self) -> tuple[str, ...]:
        """The files it changes, in the order in which it does; after a rollback that failed, those that are not put back."""
        return tuple(entry.path for entry in self._journal.entries)

    @property
    def about(self) -> Mapping[str, Any]:
        """What the caller gave to ``begin``."""
        return self._journal.about or {}

    def commit(self) -> None:
        """Put the changes on disk.

        When it raises, the files are as they were: ``ConcurrentEditError`` for one that is not what it was planned from,
        ``UnsafePathError`` for one that cannot be reached safely any more, ``FileSystemError`` for what the system refuses. Only
        ``RollbackError`` says which are not as they were.
        """
        self._journal.require("committing")
        try:
            for entry in self._journal.entries:
                with refusals(entry.path):
                    self._require(entry, entry.before)
            with refusals():
                self._become("committing")
                self._apply()
                self._become("applied")
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Put back every file as it was. Without effect the second time.

        Raises ``RollbackError`` if somebody has changed one meanwhile, or the system refuses: all others are put back, the state
        before is kept, and calling it again tries the rest again.
        """
        if self._over == "undone":
            return
        if self._journal.state == "prepared":
            self._end("undone")
            return
        self._journal.require("undoing")
        self._journal = replace(self._journal, state="undoing")
        # A disk that is too full for a journal must not keep files from being put back.
        with suppress(OSError):
            journals.write(self._journal, self._directory)
        failures = undo(self._tree, self._directory, self._journal)
        if failures:
            self._fail(failures)
        try:
            settle(self._tree, self._journal)
        except FileSystemError as error:
            cause = f"the files are as they were, but perhaps not yet on the disk: {error.cause}; recover again"
            raise RollbackError("E_ROLLBACK", cause) from error
        self._end("undone")

    def finish(self) -> None:
        """Accept the changes for good: what is kept of the state before goes. Without effect the second time."""
        if self._over == "final":
            return
        if self._journal.state != "final":
            with refusals():
                self._become("final")
        self._end("final")

    def forget(self) -> None:
        """Leave all files as they are now and drop what is kept: a person has settled the conflict of a rollback."""
        self._end("undone")

    def _fail(self, failures: list[Failure]) -> NoReturn:
        with suppress(FileSystemError):
            settle(self._tree, self._journal)
        saved = [place for place in (save(self._directory, failure) for failure in failures) if place]
        # What was put back is the user's again: a later attempt has no say in it.
        self._journal = replace(self._journal, entries=tuple(failure.entry for failure in failures))
        with suppress(OSError):
            journals.write(self._journal, self._directory)
        raise failed(failures, saved, f"{TRANSACTIONS}/{self.id}")

    def _apply(self) -> None:
        for entry in self._journal.entries:
            if entry.op != "delete":
                with refusals(entry.path):
                    self._tree.bring(entry, self._staged(entry))
        for entry in self._journal.entries:
            with refusals(entry.path):
                self._do(entry)
        for gone in reversed(self._journal.removed):
            self._tree.remove_directory(gone.path)
        self._tree.sync(touched(self._journal))

    def _do(self, entry: Entry) -> None:
        self._require(entry, entry.before)
        staged = self._staged(entry)
        if entry.op == "delete":
            staged.unlink()  # before, so that its presence never says that the file is untouched when it is not
            self._tree.remove(entry)
        else:
            self._tree.place(entry, staged)
        self._require(entry, entry.after)

    def _require(self, entry: Entry, digest: str | None) -> None:
        if self._tree.digest(entry.path) != digest:
            raise edited(entry.path, "somebody else has changed it since it was read")

    def _staged(self, entry: Entry) -> Path:
        return self._directory / NEW / str(entry.number)

    def _become(self, state: State) -> None:
        self._journal.require(state)
        following = replace(self._journal, state=state)
        journals.write(following, self._directory)
        self._journal = following

    def _end(self, state: Literal["final", "undone"]) -> None:
        with refusals():
            journals.discard(self._directory)
        self._over = state


class Applier:
    """Begins, finds and recovers the transactions of one repository in one state directory."""

    def __init__(self, root: Root, state_dir: Path) -> None:
        self._root, self._directory = root, Path(state_dir) / TRANSACTIONS
        status = os.stat(root.path)
        self._place = (status.st_dev, status.st_ino)

    def begin(self, id: str, planned: Sequence[Planned], *, about: Mapping[str, Any]) -> Transaction:
        """Stage changes and write their journal; no file of the repository changes yet.

        ``id`` is a name for a directory that no unfinished transaction has, ``about`` is JSON. Raises ``ConcurrentEditError`` if
        a file is not as its ``before`` says, ``UnsafePathError`` if one cannot be reached safely, ``FileSystemError``.
        """
        directory = self._of(id)
        with refusals():
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                directory.mkdir(mode=0o700)
            except FileExistsError:
                raise FileSystemError("E_FS", f"there is a transaction {id} already; recover first") from None
            try:
                return self._begun(id, directory, planned, about)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise

    def open(self, id: str) -> Transaction | None:
        """The transaction of this id as another process left it; None if there is none, or it is over. Raises ``RollbackError``
        if its journal cannot be read or is another repository's."""
        directory = self._of(id)
        try:
            journal = journals.read(directory)
        except (OSError, ValueError) as error:
            raise _unreadable(id, error) from error
        if journal is None:
            return None
        if not self._is_ours(journal):
            raise RollbackError("E_ROLLBACK", f"transaction {id} belongs to another repository")
        return Transaction(self._root, directory, journal)

    def recover(self, is_final: Callable[[str], bool]) -> list[Recovered]:
        """Bring every unfinished transaction to an end: those that are applied and that ``is_final`` knows stay, all others are
        taken back. A conflict is told, not raised; raises ``FileSystemError`` if the state directory itself cannot be used."""
        with refusals():
            recovered = [self._recovered(id, is_final) for id in self._ids()]
        return [each for each in recovered if each]

    def _ids(self) -> list[str]:
        try:
            with os.scandir(self._directory) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() and _ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []

    def _begun(self, id: str, directory: Path, planned: Sequence[Planned], about: Mapping[str, Any]) -> Transaction:
        tree = Tree(self._root, id)
        entries = prepare(tree, directory, planned)
        journal = Journal(
            id, str(self._root.path), self._place, "prepared", entries,
            created_by(tree, entries), removed_by(tree, entries), dict(about),
        )  # fmt: skip
        journals.write(journal, directory)
        return Transaction(self._root, directory, journal)

    def _recovered(self, id: str, is_final: Callable[[str], bool]) -> Recovered | None:
        directory = self._of(id)
        try:
            journal = journals.read(directory)
        except (OSError, ValueError) as error:
            return Recovered(id, "conflict", error=_unreadable(id, error))
        if journal is None:
            journals.discard(directory)  # it never began, or was over already
            return None
        transaction = Transaction(self._root, directory, journal)
        told = Recovered(id, "rolled_back", transaction.paths, transaction.about)
        if not self._is_ours(journal):
            return replace(told, outcome="foreign")
        if journal.state == "final" or (journal.state == "applied" and is_final(id)):
            transaction.finish()
            return replace(told, outcome="finished")
        return _taken_back(transaction, told)

    def _of(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise InputError("The id of a transaction is letters, digits, '.', '_' and '-', at most 100 of them.")
        return self._directory / id

    def _is_ours(self, journal: Journal) -> bool:
        return journal.root == str(self._root.path) or journal.place == self._place


def _taken_back(transaction: Transaction, told: Recovered) -> Recovered:
    prepared = transaction.state == "prepared"
    try:
        transaction.rollback()
    except RollbackError as error:
        return replace(told, outcome="conflict", error=error)
    return replace(told, outcome="discarded" if prepared else "rolled_back")


def _unreadable(id: str, error: OSError | ValueError) -> RollbackError:
    cause = error.strerror if isinstance(error, OSError) else str(error)
    where = f"{TRANSACTIONS}/{id} below state_dir"
    return RollbackError("E_ROLLBACK", f"the journal of transaction {id} cannot be read ({cause}); look at {where}")
