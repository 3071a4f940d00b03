"""Edits of numbered lines, applied to one text. Pure: all of them, or none.

All numbers count from 1 and refer to the text as it was before the first edit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from phasegate.apps.build.answers.formats import EditKind
from phasegate.apps.build.answers.texts import joined, lines_of, original


@dataclass(frozen=True, slots=True)
class LineEdit:
    """One edit. For an insertion ``start`` is the line before which it goes; for appending and prepending it has no meaning."""

    kind: EditKind
    start: int = 0
    end: int = 0
    content: str = ""
    before: str | None = None
    after: str | None = None
    #: Where in the answer it stands, for messages.
    at: str = "operations"


class EditError(ValueError):
    """An edit that does not fit its file. ``code`` is ``E_EDIT_RANGE`` or ``E_EDIT_CONTEXT``."""

    def __init__(self, code: str, cause: str, at: str) -> None:
        self.code, self.cause, self.at = code, cause, at
        super().__init__(f"{at}: {cause}")


def edited(text: str, edits: Sequence[LineEdit]) -> str:
    """The text after all edits. Where several go to one place they stand in the order given.

    Content is whole lines: its last one need not end in a line end. Whether the text itself ends with one does not change. Raises
    ``EditError`` for lines that do not exist, ranges that overlap, and context that is not there.
    """
    source = original(text)
    lines = lines_of(source.text)
    for edit in edits:
        _check_range(edit, len(lines))
        _check_context(edit, lines)
    _check_overlaps(edits)
    result: list[str] = []
    done = 0
    for edit in sorted(edits, key=_order):
        first, last = _reach(edit, len(lines))
        result += lines[done:first]
        result += lines_of(source.same_ends(edit.content))
        done = last
    return joined([*result, *lines[done:]], source.text)


def _order(edit: LineEdit) -> tuple[int, int]:
    """A key that sorts edits from the top down; what is inserted before a line comes before what replaces that line."""
    if edit.kind == "prepend":
        return 0, 0
    if edit.kind == "append":
        return 2, 0
    return 1, 2 * edit.start + (edit.kind != "insert")


def _reach(edit: LineEdit, count: int) -> tuple[int, int]:
    """The indices of the lines that an edit takes the place of."""
    if edit.kind == "prepend":
        return 0, 0
    if edit.kind == "append":
        return count, count
    first = edit.start - 1
    return first, first if edit.kind == "insert" else edit.end


def _check_range(edit: LineEdit, count: int) -> None:
    if edit.kind == "insert" and not 1 <= edit.start <= count + 1:
        raise EditError("E_EDIT_RANGE", f"line {edit.start} is not one of 1 to {count + 1}", edit.at)
    if edit.kind in ("replace", "delete") and not 1 <= edit.start <= edit.end <= count:
        cause = f"lines {edit.start} to {edit.end} are not a range within 1 to {count}"
        raise EditError("E_EDIT_RANGE", cause, edit.at)


def _check_context(edit: LineEdit, lines: Sequence[str]) -> None:
    first, last = _reach(edit, len(lines))
    before, after = _trimmed(edit.before), _trimmed(edit.after)
    if before and [line.strip() for line in lines[max(0, first - len(before)) : first]] != before:
        raise EditError("E_EDIT_CONTEXT", f"'context_before' does not stand before line {first + 1}", edit.at)
    if after and [line.strip() for line in lines[last : last + len(after)]] != after:
        raise EditError("E_EDIT_CONTEXT", f"'context_after' does not stand after line {last}", edit.at)


def _trimmed(context: str | None) -> list[str]:
    """The lines of a context without the space around them. A blank one says nothing."""
    if context is None or not context.strip():
        return []
    return [line.strip() for line in context.strip("\r\n").split("\n")]


def _check_overlaps(edits: Sequence[LineEdit]) -> None:
    ranges = sorted((e for e in edits if e.kind in ("replace", "delete")), key=lambda e: (e.start, e.end))
    for one, other in pairwise(ranges):
        if other.start <= one.end:
            cause = f"lines {other.start} to {other.end} overlap with lines {one.start} to {one.end} ({one.at})"
            raise EditError("E_EDIT_RANGE", cause, other.at)
    starts = [each.start for each in ranges]
    for edit in (each for each in edits if each.kind == "insert"):
        below = bisect_left(starts, edit.start) - 1
        if below >= 0 and edit.start <= ranges[below].end:
            cause = f"line {edit.start} is inside of lines {ranges[below].start} to {ranges[below].end}"
            raise EditError("E_EDIT_RANGE", f"{cause} ({ranges[below].at})", edit.at)
