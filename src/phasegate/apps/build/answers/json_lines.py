"""The form of lines: a first object that says how many operations follow, and one object for each file.

The number is what tells an answer that is whole from one that was cut between two lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.build.answers.anchors import AnchorError, TextEdit, text_edited
from phasegate.apps.build.answers.formats import COMMON_KEYS, IGNORED_KEYS, SOUGHT, TEXT_EDITS
from phasegate.apps.build.answers.head import Head, read_head
from phasegate.apps.build.answers.notes import Notes, aliased, warn_of_unknown
from phasegate.apps.build.answers.texts import shown_file
from phasegate.apps.build.answers.whole_files import check_content
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change
from phasegate.llm.json_pieces import extent, pieces
from phasegate.llm.json_strict import SPACE, JSONTextError, check_size
from phasegate.llm.json_text import mended

_SKIP = re.compile(r"[ \t\r\n]*+")
_FENCE = re.compile(r"[`~]{3,}+[ \t\r]*+$", re.MULTILINE)


@dataclass(slots=True)
class Lines:
    """The objects of a text, as far as they could be read.

    ``method`` says how. ``rest`` is what follows the last of them; ``broken`` is the error of the object at which reading
    stopped, with problem ``open`` when the text ends inside of it.
    """

    objects: list[Any] = field(default_factory=list)
    method: str = "direct"
    rest: str = ""
    broken: JSONTextError | None = None


def split_lines(text: str, policy: Policy, *, repair: bool = True) -> Lines:
    """Read one object after the other, each as strictly as any; they need not stand on one line.

    Raises ``JSONTextError`` when there is no object with which an answer could begin.
    """
    check_size(text, policy.max_answer_bytes)
    start, end, method = _body(text)
    found = Lines(method=method)
    names: dict[str, None] = {}
    at = _after_space(text, start)
    while at < end and text[at] == "{":
        stop, state = extent(text, at)
        if state == "open":
            found.broken = JSONTextError("open", "the text ends before this is closed", text, at, start=at)
            break
        try:
            value, used = mended(
                text[at:stop], deepest=policy.max_answer_depth, longest=policy.max_answer_bytes, repair=repair
            )  # fmt: skip
        except JSONTextError as error:
            found.broken = JSONTextError(
                error.problem, error.reason, text, at + error.position, start=at, tried=error.tried
            )
            break
        names.update(dict.fromkeys(used.split("+")) if used else {})
        found.objects.append(value)
        at = _after_space(text, stop)
        if at < end and "\n" not in text[stop:at] and not _FENCE.match(text, at) and text[at] != "{":
            # Nothing but another object may stand behind one; else it was no whole object.
            found.broken = JSONTextError("syntax", "something stands behind an object", text, at, start=at)
            found.objects.pop()
            break
    found.rest = _without_fence(text[at:end])
    found.method = "+".join([method, *names])
    return found


def _body(text: str) -> tuple[int, int, str]:
    """Where the objects stand: in the text as it is, in a fence, or behind some prose."""
    sought = SOUGHT["lines"]
    start = len(text) - len(text.lstrip(SPACE))
    if text[start : start + 1] == "{":
        return start, len(text), "direct"
    found = list(pieces(text, sought.resembles))
    parts = [each for each in found if sought.resembles(each.text)]
    if not parts:
        found = list(pieces(text, sought.resembles, foreign=True))
        parts = [each for each in found if sought.resembles(each.text)]
    fenced = [each for each in reversed(parts) if each.label] or [each for each in parts if each.label is not None]
    if found and found[-1].state == "open" and (fenced or found[-1].label is not None):
        # What was being written when the text ended stands for the answer, however good an earlier one is.
        fenced = [found[-1]]
    if fenced:
        return fenced[0].start, fenced[0].start + len(fenced[0].text), "fence"
    if parts:
        return parts[0].start, len(text), "balanced"
    problem = 'there is no line {"type": "meta", ...} in the text'
    raise JSONTextError("missing", problem, text, start)


def _after_space(text: str, at: int) -> int:
    found = _SKIP.match(text, at)
    return found.end() if found is not None else at


def _without_fence(rest: str) -> str:
    fence = _FENCE.match(rest)
    return rest[fence.end() :].strip() if fence is not None else rest.strip()


def read_meta(value: Any, notes: Notes, policy: Policy) -> tuple[Head, int | None]:
    """The head of an answer from its first object, and how many operations follow; None when it does not say."""
    if not isinstance(value, Mapping) or (value.get("type") != "meta" and value.get("refusal") is None):
        notes.wrong("E_JSON_SHAPE", 'the first line must be {"type": "meta", "summary": ..., "total_operations": ...}')
        return Head(), None
    head = read_head(value, notes, policy)
    warn_of_unknown(value, (*COMMON_KEYS, *IGNORED_KEYS, "type", "total_operations"), notes, "the first line")
    total = value.get("total_operations")
    if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
        return head, total
    if head.refusal is None:
        notes.wrong("E_JSON_SHAPE", "'total_operations' must say how many lines follow the first one")
    return head, None


def read_operation(value: Any, originals: Mapping[str, str], notes: Notes, at: str) -> Change | None:
    """The change of a whole file that one line is; None when there is a problem, which is noted."""
    if not isinstance(value, Mapping):
        notes.wrong("E_ENTRY_INVALID", "it must be an object with 'type' and 'file_path'", at=at)
        return None
    kind = value.get("type")
    path = aliased(value, "file_path", "path", notes, at)
    if not isinstance(path, str):
        notes.wrong("E_ENTRY_INVALID", "'file_path' must be text", at=at)
        return None
    if kind == "modify":
        warn_of_unknown(value, ("type", "file_path", "path", "operations"), notes, "a line")
        return _modified(value.get("operations"), path, originals, notes, at)
    if kind not in ("create", "delete"):
        notes.wrong("E_MODE_UNKNOWN", "'type' must be one of create, modify, delete", path=path, at=at)
        return None
    before = len(notes.errors)
    content = aliased(value, "content", "new_content", notes, at)
    warn_of_unknown(value, ("type", "file_path", "path", "content", "new_content"), notes, "a line")
    check_content(kind, content, path, notes, at, name="content")
    if len(notes.errors) > before:
        return None
    return Change(path, "create", content) if kind == "create" else Change(path, "delete")


def _modified(
    operations: Any, path: str, originals: Mapping[str, str], notes: Notes, at: str
) -> Change | None:  # fmt: skip
    if not isinstance(operations, list) or not operations:
        notes.wrong("E_ENTRY_INVALID", "'operations' must be a list of edits, and not empty", path=path, at=at)
        return None
    name = shown_file(path, originals, notes, at)
    edits = [_edit(each, path, notes, f"{at}.operations[{index}]") for index, each in enumerate(operations)]
    if name is None:
        return None
    try:
        return _change(name, edits, originals)
    except AnchorError as error:
        notes.wrong("E_ANCHOR", error.cause, path=name, at=error.at)
        return None


def _change(name: str, edits: Sequence[TextEdit | None], originals: Mapping[str, str]) -> Change | None:
    whole = [each for each in edits if each is not None]
    return Change(name, "modify", text_edited(originals[name], whole)) if len(whole) == len(edits) else None


def _edit(operation: Any, path: str, notes: Notes, at: str) -> TextEdit | None:
    if not isinstance(operation, Mapping):
        notes.wrong("E_ENTRY_INVALID", "it must be an object with 'type'", path=path, at=at)
        return None
    kind = operation.get("type")
    if kind not in TEXT_EDITS:
        notes.wrong("E_MODE_UNKNOWN", f"'type' must be one of {', '.join(TEXT_EDITS)}", path=path, at=at)
        return None
    names = {"append": ("content",), "insert_after": ("anchor", "content")}.get(kind, ("old_text", "new_text"))
    warn_of_unknown(operation, ("type", *names), notes, "an operation")
    texts = [_text(operation, name, path, notes, at) for name in names]
    if any(each is None for each in texts):
        return None
    return TextEdit(kind, "" if len(texts) == 1 else texts[0] or "", texts[-1] or "", at)


def _text(operation: Mapping[str, Any], name: str, path: str, notes: Notes, at: str) -> str | None:
    found = operation.get(name)
    if isinstance(found, str):
        return found
    code = "E_CONTENT_MISSING" if found is None else "E_ENTRY_INVALID"
    notes.wrong(code, f"{name!r} must be text", path=path, at=at)
    return None
