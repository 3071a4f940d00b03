"""Which paths nobody may change, and which nobody may even read out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from phasegate.apps.build.errors import ProtectedPathError, SpecError, UnsafePathError
from phasegate.apps.build.paths.names import ancestors, is_git_name, key, normalise
from phasegate.apps.build.policy import DEFAULT_PROTECTED

GIT = ".git/"
#: Names, at any depth, of what is never shown to a model.
SECRET_GLOBS = (".env*", "*.pem", "*.key", "id_rsa*")
#: What SQLite keeps beside a database, and the database itself.
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")


class Protection:
    """The protected paths in force.

    An entry protects the file of its name, or the directory of its name with all that is below it, never a name that only begins
    like it. An entry with ``*`` or ``?`` (``*.pem``) is compared with the whole path and with the name of every part of it, with
    a slash at its end only with directories. The entries given take the place of the usual ones, but ``.git`` in any spelling,
    at any depth, and what is in ``floor`` are protected always.
    """

    def __init__(self, entries: Sequence[str] | None, *, floor: Sequence[str] = (), folds: bool = False) -> None:
        """``entries`` None means the usual ones; ``folds`` where the disk ignores case.

        Raises ``SpecError``: E_SPEC_TYPE if it is no list of text, E_SPEC_PATH if an entry is no safe path.
        """
        given = _read(DEFAULT_PROTECTED if entries is None else entries)
        own = list(_readable(floor))
        self._folds = folds
        self._own = {self._key(each) for each in own}
        #: Those that people and models are told of: not the executor's own files, which differ from place to place.
        self.told: tuple[str, ...] = tuple(dict.fromkeys([*given, GIT]))
        #: All entries in force in their one spelling, each once: those given, then those that always hold.
        self.entries: tuple[str, ...] = tuple(dict.fromkeys([*given, *own, GIT]))
        self._globs = [(self._key(each), each) for each in self.entries if is_glob(each)]
        self._exact = {self._key(each): each for each in reversed(self.entries)}
        self._above = {self._key(above): each for each in reversed(self.entries) for above in ancestors(each)}

    def match(self, path: str, *, deleting_parent: bool = False) -> str | None:
        """The entry that protects the path, None if nothing does.

        A file is also refused where it would stand in the place of a directory that has something protected in it. A path with a
        slash at its end is a directory; it is refused for what is in it only if it is itself to go (``deleting_parent``). Raises
        ``UnsafePathError`` for a path that is not safe at all.
        """
        safe = normalise(path, directory=True)
        if any(is_git_name(name) for name in safe.split("/")):
            return GIT
        whole = self._key(safe)
        for place in (*ancestors(whole), whole):
            is_directory = place != whole or safe.endswith("/")
            found = self._exact.get(place) or self._matching_glob(place, is_directory)
            if found:
                return found
        takes_place = deleting_parent or not safe.endswith("/")
        return self._above.get(whole) if takes_place else None

    def error(self, path: str) -> ProtectedPathError | None:
        """The error that names the path and the entry that protects it, None if nothing does."""
        entry = self.match(path)
        return None if entry is None else protected(path, entry)

    def is_secret(self, path: str) -> bool:
        """Whether the file must not be shown to a model: its name says so, or it is one of the executor's own."""
        whole = self._key(path)
        return is_secret(path) or any(place in self._own for place in (*ancestors(whole), whole))

    def _matching_glob(self, place: str, is_directory: bool) -> str | None:
        name = place.rpartition("/")[2]
        for glob, entry in self._globs:
            patterns = (glob, glob.removeprefix("**/")) if is_directory or not entry.endswith("/") else ()
            if any(fnmatchcase(place, each) or fnmatchcase(name, each) for each in patterns):
                return entry
        return None

    def _key(self, path: str) -> str:
        return key(path.rstrip("/"), self._folds)


def is_secret(path: str) -> bool:
    """Whether a file's name says that it must not be shown to a model: keys, environment files, the insides of ``.git``."""
    names = [name.casefold() for name in path.replace("\\", "/").split("/")]
    return any(is_git_name(name) or any(fnmatchcase(name, glob) for glob in SECRET_GLOBS) for name in names)


def protected(path: str, entry: str) -> ProtectedPathError:
    """The error for a change of something protected."""
    cause = f"protected by the entry '{entry}'; leave it as it is"
    return ProtectedPathError("E_PROTECTED", cause, path=path, details={"entry": entry})


def _readable(floor: Sequence[str]) -> Iterator[str]:
    for each in floor:
        try:
            yield normalise(each, directory=True)
        except UnsafePathError:
            continue  # no change can name it either


def _read(entries: object) -> list[str]:
    if isinstance(entries, str | bytes) or not isinstance(entries, Sequence | frozenset | set):
        raise SpecError("E_SPEC_TYPE", f"protected paths must be a list of text, not {type(entries).__name__}")
    return [_entry(each) for each in (entries if isinstance(entries, Sequence) else sorted(entries, key=str))]


def _entry(entry: object) -> str:
    if not isinstance(entry, str):
        raise SpecError("E_SPEC_TYPE", f"a protected path must be text, not {type(entry).__name__}")
    try:
        return normalise(entry, directory=True, glob=True)
    except UnsafePathError as error:
        cause = f"a protected path is not safe: {error.cause}"
        raise SpecError("E_SPEC_PATH", cause, path=error.path, details=error.details) from error


def is_glob(entry: str) -> bool:
    """Whether an entry is a pattern."""
    # Brackets are letters of ordinary names as well; such an entry means its own name and what it matches.
    return any(c in entry for c in "*?[")
