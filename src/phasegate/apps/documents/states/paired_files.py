"""Two files that belong together, replaced so that a crash at any moment leaves a whole pair: the new one or the old.

A pair has a generation, which stands in both files. The present files are ``..._state.json`` and ``..._context.json``; those
of the generation before have ``.bak`` behind their names. What counts is the highest generation of which both files are there,
wherever they are, so that every single renaming on the way leaves one. The context goes first: a state file is proof that
its context was written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from phasegate.apps.documents.errors import PersistenceError

_NAME = re.compile(r"([A-Za-z0-9.%-]*)_([A-Za-z0-9.%-]*)_state\.json(?:\.bak)?")
_PARTS = ("context", "state")


@dataclass(frozen=True, slots=True)
class Pair:
    """What the two files have in them, and which generation they are."""

    generation: int
    state: dict[str, Any]
    context: dict[str, Any]


class PairedFiles:
    """The files of one execution. Every method raises ``PersistenceError`` when the folder or a file cannot be used."""

    def __init__(self, folder: Path, workflow_id: str, project_id: str) -> None:
        self._folder = folder
        try:
            self._stem = f"{encoded(workflow_id)}_{encoded(project_id)}"
        except UnicodeEncodeError as error:
            raise PersistenceError(f"an id has characters that cannot be written: {error}") from error

    @staticmethod
    def all_in(folder: Path) -> list[tuple[str, str]]:
        """The workflow and project id of every pair in a folder, sorted."""
        with _reporting("the folder cannot be read"):
            names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        found = {match.groups() for name in names if (match := _NAME.fullmatch(name))}
        return sorted((unquote(workflow), unquote(project)) for workflow, project in found)

    def exist(self) -> bool:
        """Whether there is anything that was saved, be it readable or not."""
        with _reporting("the folder cannot be read"):
            return any(self._path("state", backup).exists() for backup in (False, True))

    def read(self) -> Pair | None:
        """The pair that counts; None when none was ever written whole.

        A file that is there but is not what was written is an error: to go on from an older pair would do again what has been
        done. The backup is looked at only when the present files are not a pair.
        """
        states: dict[int, dict[str, Any]] = {}
        contexts: dict[int, dict[str, Any]] = {}
        for backup in (False, True):
            states = self._loaded("state", backup) | states
            contexts = self._loaded("context", backup) | contexts
            whole = states.keys() & contexts.keys()
            if whole:
                best = max(whole)
                return Pair(best, states[best], contexts[best])
        if states:
            raise PersistenceError(f"{self._path('context')} is missing, or belongs to another save")
        return None

    def write(self, pair: Pair, replaced: int | None) -> None:
        """Put a pair in the place of the one of generation ``replaced``, which becomes the backup."""
        with _reporting("the execution cannot be written"):
            self._folder.mkdir(parents=True, exist_ok=True)
            for part in _PARTS:
                self._prepare(part, pair)
            if replaced is not None:
                self._keep(replaced)
            for part in _PARTS:
                self._temporary(part).replace(self._path(part))
                _sync_folder(self._folder)

    def delete(self) -> None:
        """Remove the files. The backup goes first, so that it never comes back in place of what was deleted."""
        with _reporting("the execution cannot be deleted"):
            for backup in (True, False):
                for part in ("state", "context"):
                    self._path(part, backup).unlink(missing_ok=True)
            for part in _PARTS:
                self._temporary(part).unlink(missing_ok=True)

    def _keep(self, generation: int) -> None:
        """Make the present files the backup, as far as they are of this generation; others were never a pair."""
        for part in ("state", "context"):
            if generation in self._loaded(part, False):
                self._path(part).replace(self._path(part, True))
        _sync_folder(self._folder)

    def _prepare(self, part: str, pair: Pair) -> None:
        value = {"generation": pair.generation, part: pair.state if part == "state" else pair.context}
        try:
            text = orjson.dumps(value)
        except TypeError as error:
            raise PersistenceError(f"the execution cannot be written as JSON: {error}") from error
        with self._temporary(part).open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _loaded(self, part: str, backup: bool) -> dict[int, dict[str, Any]]:
        """What a file has in it, by its generation; empty when it is not there."""
        path = self._path(part, backup)
        try:
            value = orjson.loads(path.read_bytes())
            return {_whole_number(value["generation"]): dict(value[part])}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PersistenceError(f"{path} cannot be read: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise PersistenceError(f"{path} is damaged: {error}") from error

    def _path(self, part: str, backup: bool = False) -> Path:
        return self._folder / f"{self._stem}_{part}.json{'.bak' if backup else ''}"

    def _temporary(self, part: str) -> Path:
        return self._folder / f"{self._stem}_{part}.json.tmp"


def encoded(text: str) -> str:
    """An id as a part of a file name: percent-encoded except for letters and digits of ASCII, ``.`` and ``-``."""
    return re.sub(rb"[^A-Za-z0-9.-]", lambda found: b"%%%02X" % found[0][0], text.encode()).decode()


def _whole_number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"generation must be a whole number, not {value!r}")
    return value


def _sync_folder(folder: Path) -> None:
    """Make renamings last; where a folder cannot be opened, as on Windows, the system sees to it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PersistenceError(f"{what}: {error}") from error
