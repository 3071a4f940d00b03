"""What a phase must deliver: reading the list, and checking an answer and the repository against it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from phasegate.apps.build import criteria
from phasegate.apps.build.errors import MissingDeliverableError, PhaseExecutorError, UnsafePathError
from phasegate.apps.build.paths.names import key, normalise
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Answer, Change, Found, PhaseSpec

#: Names that mean a file although they have neither a slash nor an ending.
_BARE = frozenset({
    "authors", "brewfile", "changelog", "changes", "codeowners", "containerfile", "contributing", "copying",
    "dockerfile", "gemfile", "install", "jenkinsfile", "justfile", "license", "makefile", "manifest", "notice",
    "pipfile", "procfile", "rakefile", "readme", "vagrantfile", "version",
})  # fmt: skip
#: First words of an instruction: what follows may name a file, but the whole is not one.
_VERBS = frozenset({
    "add", "build", "change", "check", "create", "define", "delete", "document", "ensure", "extend", "fix",
    "implement", "improve", "make", "modify", "move", "provide", "refactor", "remove", "rename", "replace", "support",
    "test", "tests", "update", "use", "verify", "write",
})  # fmt: skip
#: What stands for "nothing" although it has a slash.
_NOTHING = frozenset({"n/a", "none", "tbd"})
#: Files that say something by being there.
_MARKERS = frozenset({"__init__.py", "py.typed", ".gitkeep", ".keep", ".nojekyll", ".npmignore", "conftest.py"})
#: A file that has no more than so many bytes is read whole, to see whether there is anything but spaces in it.
_LOOKED_AT = 65_536
#: No path is longer; what is longer is prose.
_LONGEST = 2_000

_MARKER = re.compile(r"^(?:[-*+\u2022]|\d+[.)])\s+")
#: An ending has a letter in it, so that "Python 3.11" is no file.
_ENDING = re.compile(r"[^/]\.(?=\w*[^\W\d_])\w{1,12}$|(?:^|/)\.[^\W\d_][\w.-]*$")
_REMARKS = (
    re.compile(r"\s+\(.*\)$"),
    re.compile(r"(?<=[^/\s])\([^()]*\)$"),
    re.compile(r"\s+\[[^\]]*\]$"),
    re.compile(r"\s+[\u2013\u2014-]+\s+.*$"),
    re.compile(r"\s*:\s+.*$"),
    re.compile(r"\s+(?:with|including|for|containing|covering)\s.*$", re.IGNORECASE),
    re.compile(
        r"\s+(?:modifications?|changes?|updates?|updated|modified|changed|created|extended|new|added)$", re.IGNORECASE
    ),
)

#: The criteria a program can check, looked at when the changes are on disk.
check_criteria = criteria.check_criteria


def clean(raw: str) -> tuple[str | None, str | None]:
    """The path that an entry of a list of deliverables means, or the entry as prose; both None for a blank entry.

    Remarks behind the path ("(10+ tests)", "with ...", "- ...", "updated"), bullets and quotes are taken away; nothing is taken
    from the front of the path. A trailing slash stays: it means a directory. The path is not yet normalised, and may be unsafe.
    """
    text = _bare(raw)
    if not text:
        return None, None
    if len(text) > _LONGEST:
        return (None, raw.strip()) if len(text.split()) > 1 else (text, None)
    path = _without_remarks(text)
    return (path, None) if _is_path(path) else (None, raw.strip())


def _bare(raw: str) -> str:
    text = _MARKER.sub("", raw.strip()).strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "`'\"":
        text = text[1:-1].strip()
    return text


def _without_remarks(text: str) -> str:
    """The text without remarks at its end, if what stays is a path by itself; otherwise the text."""
    quoted = re.match(r"^[`'\"]([^`'\"]+)[`'\"]\s", text)
    if quoted and _is_path(quoted[1]):
        return quoted[1].strip()
    tried, seen = [text], {text}
    for each in tried:  # grows while it is walked
        heads = [head for remark in _REMARKS if (head := _cut(each, remark)) and head not in seen]
        tried += heads
        seen.update(heads)
    return next((each for each in reversed(tried) if _is_path(each)), text)


def _cut(text: str, remark: re.Pattern[str]) -> str | None:
    """The text without the remark; None when there is none, or when the "remark" is part of a file's name."""
    found = remark.search(text)
    if not found:
        return None
    head = text[: found.start()].rstrip()
    ends = _has_ending(head) or head.endswith(("/", "\\"))
    return None if _has_ending(text) and not ends else head


def _is_path(text: str) -> bool:
    if not text or text.lower() in _NOTHING or len(text) > _LONGEST:
        return False
    words = text.split()
    if len(words) == 1:
        return "/" in text or "\\" in text or _has_ending(text) or text.lower() in _BARE
    if "\n" in text or ", " in text or ": " in text or words[0].lower() in _VERBS:
        return False
    return _has_ending(text)


def _has_ending(text: str) -> bool:
    return _ENDING.search(text.replace("\\", "/")) is not None


def check(spec: PhaseSpec, changes: Sequence[Change], root: Root, answer: Answer) -> Found:
    """An error for every deliverable that neither the changes bring, nor the repository has already where that is allowed.

    ``details`` of an error (E_DELIVERABLE_MISSING) has ``kind`` (``missing``, ``misplaced`` or ``deleted``), ``found`` (changed
    files of the same name elsewhere) and ``extra`` (changed files that nobody asked for). Nothing can be wrong but by an error:
    without errors everything is delivered.
    """
    written = [each.path for each in changes if each.mode != "delete"]
    deleted = {key(each.path, root.folds) for each in changes if each.mode == "delete"}
    satisfied = frozenset(_keys(answer.already_satisfied, root.folds))
    missing = []
    for deliverable in spec.deliverables:
        may_exist = spec.allow_existing_deliverables or key(deliverable.rstrip("/"), root.folds) in satisfied
        if any(covers_deliverable(deliverable, path, root.folds) for path in written):
            continue
        if not (may_exist and _exists(deliverable, root, deleted)):
            missing.append(_missing(deliverable, written, spec, root.folds, deleted))
    return Found(tuple(missing))


def covers_deliverable(deliverable: str, path: str, folds: bool) -> bool:
    """Whether a file is the deliverable, or in it if it is a directory."""
    wanted, given = key(deliverable, folds), key(path, folds)
    return given.startswith(wanted) if wanted.endswith("/") else given == wanted


def check_present(spec: PhaseSpec, root: Root) -> Found:
    """An error for every deliverable that is not on disk as a regular file with something in it.

    Files that mark something by being there may be empty. A directory must have a file in it.
    """
    errors: list[PhaseExecutorError] = []
    for deliverable in spec.deliverables:
        try:
            error = _absence(deliverable, root)
        except PhaseExecutorError as problem:
            error = problem
        errors += [error] if error else []
    return Found(tuple(errors))


def may_be_empty(path: str) -> bool:
    """Whether a file of this name says what it says by being there."""
    return path.rpartition("/")[2] in _MARKERS


def _absence(deliverable: str, root: Root) -> PhaseExecutorError | None:
    if deliverable.endswith("/"):
        return None if _exists(deliverable, root, frozenset()) else _absent(deliverable, "no file is in it")
    facts, start = root.load(deliverable, limit=_LOOKED_AT)
    if not facts.exists:
        return _absent(deliverable, "it is not there")
    blank = facts.size <= _LOOKED_AT and not start.strip()
    if blank and not may_be_empty(deliverable):
        return MissingDeliverableError("E_DELIVERABLE_EMPTY", "it is empty", path=deliverable)
    return None


def _absent(deliverable: str, cause: str) -> MissingDeliverableError:
    return MissingDeliverableError("E_DELIVERABLE_MISSING", cause, path=deliverable, details={"kind": "missing"})


def _exists(deliverable: str, root: Root, deleted: Collection[str]) -> bool:
    """Whether it is on disk, and stays there."""
    try:
        if not deliverable.endswith("/"):
            return key(deliverable, root.folds) not in deleted and root.facts(deliverable).exists
        folder = deliverable.rstrip("/")
        # The check is of a file's way; any name below the folder has the same.
        if root.check(f"{deliverable}_"):
            return False
    except PhaseExecutorError:
        return False
    return any(key(path, root.folds) not in deleted for path in _files_below(root, folder))


def _files_below(root: Root, folder: str) -> Iterator[str]:
    for place, _, names in os.walk(root.path / folder):
        yield from ((Path(place) / name).relative_to(root.path).as_posix() for name in names)


def _missing(
    deliverable: str, written: Sequence[str], spec: PhaseSpec, folds: bool, deleted: Collection[str]
) -> MissingDeliverableError:  # fmt: skip
    extra = [p for p in written if not any(covers_deliverable(each, p, folds) for each in spec.deliverables)]
    found = [path for path in extra if _is_misplaced(deliverable, path, folds)]
    kind = "misplaced" if found else "deleted" if key(deliverable, folds) in deleted else "missing"
    cause = {
        "misplaced": f"found {', '.join(found[:3])}, expected {deliverable}",
        "deleted": "the answer deletes it, and it must be delivered",
        "missing": "no file in it is in the answer" if deliverable.endswith("/") else "it is not in the answer",
    }[kind]
    details = {"kind": kind, "found": found[:20], "extra": extra[:20]}
    return MissingDeliverableError("E_DELIVERABLE_MISSING", cause, path=deliverable, details=details)


def _is_misplaced(deliverable: str, path: str, folds: bool) -> bool:
    """Whether a file has the deliverable's name elsewhere; of a directory, whether it is in one of the same name."""
    name = key(deliverable.rstrip("/").rpartition("/")[2], folds)
    names = key(path, folds).split("/")
    return name in names[:-1] if deliverable.endswith("/") else name == names[-1]


def _keys(paths: Sequence[str], folds: bool) -> Iterator[str]:
    """The paths that are safe, for comparing; the others mean nothing."""
    for path in paths:
        try:
            yield key(normalise(path, directory=True).rstrip("/"), folds)
        except UnsafePathError:
            continue
