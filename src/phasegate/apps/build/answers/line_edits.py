"""The form of line edits: operations on numbered lines, made into changes of whole files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from phasegate.apps.build.answers.editing import EditError, LineEdit, edited
from phasegate.apps.build.answers.formats import COMMON_KEYS, IGNORED_KEYS, LINE_EDITS, EditKind
from phasegate.apps.build.answers.head import Head, read_head
from phasegate.apps.build.answers.notes import Notes, aliased, warn_of_unknown
from phasegate.apps.build.answers.texts import shown_file
from phasegate.apps.build.answers.whole_files import read_entries
from phasegate.apps.build.context.showing import PARTS_FROM, lines_of
from phasegate.apps.build.errors import UnsafePathError
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change

_KEYS = (
    "type", "file_path", "path", "content", "new_content", "line", "start_line", "end_line", "context_before",
    "context_after",
)  # fmt: skip


def read_line_edits(
    value: Any, notes: Notes, policy: Policy, originals: Mapping[str, str]
) -> tuple[Head, list[Change]]:
    """The head of an answer, and its edits as changes of whole files. Problems go into the notes."""
    if not isinstance(value, Mapping):
        notes.wrong("E_JSON_SHAPE", "the answer must be one JSON object with 'summary' and 'operations'")
        return Head(), []
    head = read_head(value, notes, policy)
    warn_of_unknown(value, (*COMMON_KEYS, *IGNORED_KEYS, "operations", "files", "changes"), notes, "the answer")
    changes: list[Change] = []
    if value.get("operations") is not None:
        changes += _changes(value["operations"], originals, notes)
    files = aliased(value, "files", "changes", notes, "the answer")
    if files is not None:
        whole = read_entries(files, notes)
        for change in whole:
            _refuse_unseen(change, originals, notes)
        changes += whole
    if "operations" not in value and files is None:
        if head.explains_nothing_to_do:
            notes.warn("'operations' is missing; it was read as empty")
        elif head.refusal is None:
            notes.wrong("E_FILES_MISSING", "'operations' is missing; give a list of edits")
    return head, changes


def _refuse_unseen(change: Change, originals: Mapping[str, str], notes: Notes) -> None:
    """Of a file of so many lines only parts were shown, and what was not seen must not be replaced."""
    with suppress(UnsafePathError):
        name = normalise(change.path)
        if change.mode != "delete" and len(lines_of(originals.get(name, ""))) >= PARTS_FROM:
            cause = "only parts of it are shown, so that it cannot be replaced; change its lines by 'operations'"
            notes.wrong("E_MODIFY_UNSEEN", cause, path=name)


def _changes(operations: Any, originals: Mapping[str, str], notes: Notes) -> list[Change]:
    if not isinstance(operations, list):
        notes.wrong("E_FILES_NOT_ARRAY", "'operations' must be a list of objects")
        return []
    by_file: dict[str, list[LineEdit]] = {}
    for index, operation in enumerate(operations):
        at = f"operations[{index}]"
        if not isinstance(operation, Mapping):
            notes.wrong("E_ENTRY_INVALID", "it must be an object with 'type' and 'file_path'", at=at)
            continue
        name = shown_file(aliased(operation, "file_path", "path", notes, at), originals, notes, at)
        edit = _edit(operation, name, notes, at)
        if name is not None and edit is not None:
            by_file.setdefault(name, []).append(edit)
    if notes.errors:
        return []
    return [change for name, edits in by_file.items() if (change := _change(name, edits, originals, notes)) is not None]


def _change(name: str, edits: Sequence[LineEdit], originals: Mapping[str, str], notes: Notes) -> Change | None:
    try:
        return Change(name, "modify", edited(originals[name], edits))
    except EditError as error:
        notes.wrong(error.code, error.cause, path=name, at=error.at)
        return None


def _edit(operation: Mapping[str, Any], path: str | None, notes: Notes, at: str) -> LineEdit | None:
    before = len(notes.errors)
    kind = next((each for each in LINE_EDITS if each == operation.get("type")), None)
    if kind is None:
        notes.wrong("E_MODE_UNKNOWN", f"'type' must be one of {', '.join(LINE_EDITS)}", path=path, at=at)
        return None
    warn_of_unknown(operation, _KEYS, notes, "an operation")
    start = end = 0
    if kind == "insert":
        start = _number(operation, "line", path, notes, at)
    elif kind in ("replace", "delete"):
        start = _number(operation, "start_line", path, notes, at)
        end = _number(operation, "end_line", path, notes, at)
    content = _content(operation, kind, path, notes, at)
    above = _context(operation, "context_before", path, notes, at)
    below = _context(operation, "context_after", path, notes, at)
    if len(notes.errors) > before:
        return None
    return LineEdit(kind, start, end, content, above, below, at)


def _number(operation: Mapping[str, Any], name: str, path: str | None, notes: Notes, at: str) -> int:
    found = operation.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    notes.wrong("E_ENTRY_INVALID", f"{name!r} must be a whole number", path=path, at=at)
    return 0


def _content(operation: Mapping[str, Any], kind: EditKind, path: str | None, notes: Notes, at: str) -> str:
    found = aliased(operation, "content", "new_content", notes, at)
    if kind == "delete":
        if found not in (None, ""):
            notes.wrong("E_ENTRY_INVALID", "a deletion of lines has no 'content'", path=path, at=at)
        return ""
    if isinstance(found, str):
        return found
    code = "E_CONTENT_MISSING" if found is None else "E_ENTRY_INVALID"
    notes.wrong(code, "'content' must be text", path=path, at=at)
    return ""


def _context(operation: Mapping[str, Any], name: str, path: str | None, notes: Notes, at: str) -> str | None:
    found = operation.get(name)
    if found is None or isinstance(found, str):
        return found
    notes.wrong("E_ENTRY_INVALID", f"{name!r} must be text", path=path, at=at)
    return None
