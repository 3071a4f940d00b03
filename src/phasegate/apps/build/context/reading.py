"""Finding and reading the files that a call may be about. Nothing is followed out of the repository, and no secrets are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from phasegate.apps.build.errors import PhaseExecutorError, UnsafePathError, one_line, shown_path
from phasegate.apps.build.paths.names import is_git_name, key, normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import FileFacts, PhaseSpec
from phasegate.apps.build.spec_rules import in_scope, is_writable

#: Of larger files only the beginning is shown, since all of a file is read for its end.
_TAIL_UP_TO = 32 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read. ``text`` is all of it for ``text``, its beginning (and end) for ``large``, empty for ``binary``."""

    facts: FileFacts
    priority: int
    kind: Literal["text", "large", "binary"]
    text: str = ""
    writable: bool = True
    #: It was asked for because the model wanted to change it without having seen it.
    wanted: bool = False

    @property
    def path(self) -> str:
        """The file's path."""
        return self.facts.path


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was found, in the given order; what is to be written and is not there; and what could not be read, in words."""

    files: tuple[Source, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]


def gather(
    spec: PhaseSpec, root: Root, context_files: Sequence[str], protection: Protection, policy: Policy,
    extra: Sequence[str] = (),
) -> Sources:  # fmt: skip
    """Read what a phase is about: its deliverables, ``extra``, the listed files, and those that its scope names.

    Directories are listed only where the caller names no files. An entry that cannot be read costs a warning, never more.
    """
    return _Gathering(spec, root, protection, policy).run(context_files or spec.context_files or (), extra)


class _Gathering:
    def __init__(self, spec: PhaseSpec, root: Root, protection: Protection, policy: Policy) -> None:
        self._spec, self._root, self._protection, self._policy = spec, root, protection, policy
        self._found: dict[str, Source | None] = {}
        self._missing: dict[str, None] = {}
        self._warnings: dict[str, None] = {}

    def run(self, listed: Sequence[str], extra: Sequence[str]) -> Sources:
        spec = self._spec
        deliverables = {key(each, self._root.folds) for each in spec.deliverables}

        def priority(path: str) -> int:
            if key(path, self._root.folds) in deliverables:
                return 1
            return 2 if is_writable(path, spec, self._protection, self._root.folds) else 3

        self._add(spec.deliverables, priority)
        self._add(extra, priority, wanted=True)
        self._add(listed, priority)
        scope = spec.scope or ()
        self._add([each for each in scope if not (listed and self._is_directory(each))], priority)
        self._add(spec.read_only, priority)
        files = tuple(each for each in self._found.values() if each is not None)
        return Sources(files, tuple(self._missing), tuple(self._warnings))

    def _add(self, entries: Sequence[str], priority: Callable[[str], int], *, wanted: bool = False) -> None:
        for entry in entries:
            for path in self._expand(entry):
                self._take(path, priority(path), wanted)

    def _expand(self, entry: str) -> list[str]:
        """The files that an entry means: itself, or those in a directory, or below it with ``/**``."""
        plain = entry.strip()
        deep = plain.endswith("/**")
        try:
            path = normalise(plain[:-2] if deep else plain, directory=True)
        except UnsafePathError as error:
            outside = error.details.get("rule") in ("P2", "P3")
            self._warn("context_outside_root" if outside else "context_unsafe_path", plain, error.cause)
            return []
        if not self._is_directory(path):
            return [path.rstrip("/")] if not path.endswith("/") else []
        most = self._policy.max_directory_files
        files = list(islice(_files_in(self._root, path.rstrip("/"), deep), most + 1))
        if len(files) > most:
            self._warn("context_directory_cut", path, f"there are more than {most} files; the first {most} are taken")
        return files[:most]

    def _is_directory(self, path: str) -> bool:
        plain = path.rstrip("/")
        # The way to a file in it has no links; then the directory itself is none.
        return os.path.isdir(self._root.path / plain) and not self._root.check(f"{plain}/_")

    def _take(self, path: str, priority: int, wanted: bool) -> None:
        name = key(path, self._root.folds)
        if name in self._found or path in self._missing:
            return
        if self._protection.is_secret(path):
            if not os.path.lexists(self._root.path / path):
                self._note_missing(path, priority, wanted)
                return
            self._found[name] = None
            self._warn("context_secret", path, "files that may hold secrets are never shown")
            return
        try:
            source = read_source(self._root, path, priority, self._policy)
        except PhaseExecutorError as error:
            self._found[name] = None
            self._warn("context_unreadable", path, error.cause)
            return
        if not source.facts.exists:
            self._note_missing(path, priority, wanted)
            return
        writable = is_writable(path, self._spec, self._protection, self._root.folds)
        self._found[name] = Source(source.facts, priority, source.kind, source.text, writable, wanted)

    def _note_missing(self, path: str, priority: int, wanted: bool) -> None:
        explicit = self._spec.scope is not None and in_scope(path, self._spec.scope, self._root.folds)
        if priority == 1 or (explicit and priority == 2):
            self._missing[path] = None
        elif not wanted:
            self._warn("context_missing", path, "there is no such file")

    def _warn(self, code: str, path: str, cause: str) -> None:
        self._warnings[f"{code}: {shown_path(path)}: {one_line(cause)}"] = None


def read_source(root: Root, path: str, priority: int, policy: Policy) -> Source:
    """Read one file. Raises what ``Root.load`` raises."""
    most = policy.max_context_file_bytes
    facts, data = root.load(path, limit=most)
    if facts.encoding == "binary":
        return Source(facts, priority, "binary")
    text = data.decode(facts.encoding, "ignore" if facts.size > most else "strict")
    if "\0" in text:
        return Source(facts, priority, "binary")
    # Where all line ends are alike the model need not see which they are; what it writes gets the same ones.
    plain = text.replace("\r\n", "\n") if facts.newline == "\r\n" else text
    if facts.size <= most:
        return Source(facts, priority, "text", plain)
    return Source(facts, priority, "large", _ends(root, facts, plain, policy))


def _ends(root: Root, facts: FileFacts, start: str, policy: Policy) -> str:
    """The first and last lines of a large file; lines may be so long that few of them are kept."""
    head = "".join(start.splitlines(keepends=True)[: policy.excerpt_head_lines])[: policy.max_context_file_bytes // 16]
    gap = "\n[the middle of this file is not shown]\n"
    if facts.size > _TAIL_UP_TO:
        return f"{head}\n[the rest of this file is not shown]\n"
    whole = root.read(facts.path).decode(facts.encoding, "ignore").replace("\0", "\ufffd")
    tail = "".join(whole.replace("\r\n", "\n").splitlines(keepends=True)[-policy.excerpt_tail_lines :])
    return f"{head}{gap}{tail[-policy.max_context_file_bytes // 16 :]}"


def _files_in(root: Root, directory: str, deep: bool) -> Iterator[str]:
    """The files in a directory by name, without links and without what belongs to git."""
    try:
        with os.scandir(root.path / directory) as found:
            entries = sorted(found, key=lambda each: each.name)
    except OSError:
        return
    for entry in entries:
        path = f"{directory}/{entry.name}"
        if is_git_name(entry.name) or not is_safe(path):
            continue
        if entry.is_file(follow_symlinks=False):
            yield path
        elif deep and entry.is_dir(follow_symlinks=False):
            yield from _files_in(root, path, deep)


def is_safe(path: str) -> bool:
    """Whether a path is in its one spelling and means a file below the repository."""
    try:
        return normalise(path) == path
    except UnsafePathError:
        return False
