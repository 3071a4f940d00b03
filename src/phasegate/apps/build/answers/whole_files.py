"""The form of whole files: a list of objects with a path, a mode and the complete new content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate.apps.build.answers.formats import COMMON_KEYS, IGNORED_KEYS, MODE_ALIASES
from phasegate.apps.build.answers.head import Head, read_head
from phasegate.apps.build.answers.notes import Notes, aliased, warn_of_unknown
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import MODES, Change, Mode

_ENTRY_KEYS = ("path", "file_path", "mode", "action", "new_content", "content")


def read_whole_files(value: Any, notes: Notes, policy: Policy) -> tuple[Head, list[Change]]:
    """The head and the changes of an answer. Problems go into the notes."""
    if isinstance(value, list):
        notes.warn("a bare list was read as 'files'")
        return Head(), read_entries(value, notes)
    if not isinstance(value, Mapping):
        notes.wrong("E_JSON_SHAPE", "the answer must be one JSON object with 'summary' and 'files'")
        return Head(), []
    head = read_head(value, notes, policy)
    files = aliased(value, "files", "changes", notes, "the answer")
    warn_of_unknown(value, (*COMMON_KEYS, *IGNORED_KEYS, "files", "changes"), notes, "the answer")
    if "files" in value or "changes" in value:
        return head, read_entries(files, notes)
    if head.explains_nothing_to_do:
        notes.warn("'files' is missing; it was read as empty")
    elif head.refusal is None:
        notes.wrong("E_FILES_MISSING", "'files' is missing; give a list with one object for every file")
    return head, []


def read_entries(files: Any, notes: Notes, name: str = "files") -> list[Change]:
    """The changes in a list of entries; those with a problem are left out, and their problems noted."""
    if not isinstance(files, list):
        notes.wrong("E_FILES_NOT_ARRAY", f"{name!r} must be a list of objects")
        return []
    changes = (read_entry(entry, notes, f"{name}[{index}]") for index, entry in enumerate(files))
    return [change for change in changes if change is not None]


def read_entry(entry: Any, notes: Notes, at: str) -> Change | None:
    """One change of a whole file; None when there is a problem, which is noted."""
    if not isinstance(entry, Mapping):
        notes.wrong("E_ENTRY_INVALID", "it must be an object with 'path', 'mode' and 'new_content'", at=at)
        return None
    before = len(notes.errors)
    path = aliased(entry, "path", "file_path", notes, at)
    mode = aliased(entry, "mode", "action", notes, at)
    content = aliased(entry, "new_content", "content", notes, at)
    warn_of_unknown(entry, _ENTRY_KEYS, notes, "an entry")
    if not isinstance(path, str):
        notes.wrong("E_ENTRY_INVALID", "'path' must be text", at=at)
        return None
    known = _mode(mode, path, notes, at)
    if known is not None:
        check_content(known, content, path, notes, at)
    if known is None or len(notes.errors) > before:
        return None
    return Change(path, known, None if known == "delete" else content)


def check_content(mode: Mode, content: Any, path: str, notes: Notes, at: str, *, name: str = "new_content") -> None:
    """Note what is wrong with the content for a mode. The empty text is content."""
    if mode == "delete":
        if content not in (None, ""):
            notes.wrong("E_ENTRY_INVALID", f"a file that is deleted has no {name!r}", path=path, at=at)
    elif content is None:
        cause = f"{name!r} is missing; for {mode!r} it must be the complete content of the file"
        notes.wrong("E_CONTENT_MISSING", cause, path=path, at=at)
    elif not isinstance(content, str):
        notes.wrong("E_ENTRY_INVALID", f"{name!r} must be text; write JSON files as text, too", path=path, at=at)


def _mode(mode: Any, path: str, notes: Notes, at: str) -> Mode | None:
    if isinstance(mode, str) and mode in MODE_ALIASES:
        notes.warn(f"mode {mode!r} was read as {MODE_ALIASES[mode]!r}")
        mode = MODE_ALIASES[mode]
    found = next((each for each in MODES if each == mode), None)
    if found is None:
        shown = "it is missing" if mode is None else f"not {str(mode)[:40]!r}"
        notes.wrong("E_MODE_UNKNOWN", f"the mode must be one of {', '.join(MODES)}; {shown}", path=path, at=at)
    return found
