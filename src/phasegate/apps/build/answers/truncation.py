"""Answers that were cut short: what of them is complete, and what the cut fell into.

Nothing that was cut is ever completed. An entry counts as complete when it is closed and something follows it that belongs to the
answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from phasegate.apps.build.answers.head import Head, read_head
from phasegate.apps.build.answers.json_lines import Lines, read_meta, read_operation
from phasegate.apps.build.answers.notes import Notes
from phasegate.apps.build.answers.whole_files import read_entry
from phasegate.apps.build.errors import TruncatedResponseError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, Format
from phasegate.llm.json_salvage import Salvage, salvage

_PATH = re.compile(r'"(?:path|file_path)"\s*+:\s*+("(?:[^"\\]++|\\.)*+")')


def cut_object(text: str, start: int, format: Format, cause: str, policy: Policy) -> TruncatedResponseError:
    """The error for an object that was cut, with what can be saved of it.

    Of line edits nothing can: further edits of a file may have been cut off, and a file is edited as a whole or not at all.
    """
    found = salvage(text[start:], deepest=policy.max_answer_depth)
    notes = Notes()
    head = read_head(found.members, notes, policy)
    changes: list[Change] = []
    if format == "files":
        entries = _entries(found)
        read = (read_entry(entry, Notes(), "files") for entry in entries)
        changes = [change for change in read if change is not None]
    return _error(cause, head, changes, _cut_path(found.rest))


def cut_lines(lines: Lines, cause: str, policy: Policy, originals: Mapping[str, str]) -> TruncatedResponseError:
    """The error for lines that end too early, with the operations that are complete."""
    head, total = read_meta(lines.objects[0], Notes(), policy) if lines.objects else (Head(), None)
    read = (read_operation(each, originals, Notes(), "lines") for each in lines.objects[1:])
    changes = [change for change in read if change is not None]
    return _error(cause, head, changes, _cut_path(lines.rest), total=total)


def _entries(found: Salvage) -> Sequence[Any]:
    """The files that are complete, in the list that was cut or in one that was not."""
    if found.name in ("files", "changes", None):
        return found.entries
    whole = found.members.get("files", found.members.get("changes"))
    return whole if isinstance(whole, list) else ()


def _cut_path(rest: str) -> str | None:
    """The path of the entry the cut fell into, if that much of it is there."""
    found = _PATH.search(rest)
    try:
        path = str(json.loads(found[1])) if found is not None else None
    except ValueError:
        return None
    return path.encode("utf-8", "replace").decode() if path is not None else None


def _error(
    cause: str, head: Head, changes: Sequence[Change], cut: str | None, *, total: int | None = None
) -> TruncatedResponseError:
    kept = f"; {len(changes)} complete {'entry' if len(changes) == 1 else 'entries'} before the cut" if changes else ""
    details = {
        "salvaged": [change.told() for change in changes], "cut": cut, "summary": head.summary, "total": total,
        "already_satisfied": list(head.already_satisfied),
    }  # fmt: skip
    return TruncatedResponseError("E_TRUNCATED", f"{cause}{kept}", path=cut, details=details)
