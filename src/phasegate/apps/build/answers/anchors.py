"""Edits of a text by what stands in it. Pure: one after the other, all of them or none, and never by a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from phasegate.apps.build.answers.texts import Original, joined, lines_of, original


@dataclass(frozen=True, slots=True)
class TextEdit:
    """One edit. ``old`` is the anchor or the old text, ``new`` the content or the new text."""

    kind: str
    old: str = ""
    new: str = ""
    #: Where in the answer it stands, for messages.
    at: str = "operations"


class AnchorError(ValueError):
    """A text to hold on to that is not there, or not only once."""

    def __init__(self, cause: str, at: str) -> None:
        self.cause, self.at = cause, at
        super().__init__(f"{at}: {cause}")


def text_edited(text: str, edits: Sequence[TextEdit]) -> str:
    """The text after all edits, each of which sees what those before it did. Raises ``AnchorError``."""
    source = original(text)
    for edit in edits:
        plain = TextEdit(edit.kind, source.same_ends(edit.old), source.same_ends(edit.new), edit.at)
        source = Original(_APPLY[edit.kind](source.text, plain), source.mixed)
    return source.text


def _append(text: str, edit: TextEdit) -> str:
    return joined([*lines_of(text), *lines_of(edit.new)], text)


def _insert_after(text: str, edit: TextEdit) -> str:
    """Whole lines, behind the line in which the anchor ends."""
    end = _only_place(text, edit, "the anchor") + len(edit.old)
    if not edit.old.endswith("\n"):
        line_end = text.find("\n", end)
        end = len(text) if line_end < 0 else line_end + 1
    return joined([*lines_of(text[:end]), *lines_of(edit.new), *lines_of(text[end:])], text)


def _replace(text: str, edit: TextEdit) -> str:
    start = _only_place(text, edit, "the old text")
    return text[:start] + edit.new + text[start + len(edit.old) :]


def _replace_all(text: str, edit: TextEdit) -> str:
    _place(text, edit, "the old text")
    return text.replace(edit.old, edit.new)


def _place(text: str, edit: TextEdit, what: str) -> int:
    if not edit.old:
        raise AnchorError(f"{what} is empty", edit.at)
    start = text.find(edit.old)
    if start < 0:
        raise AnchorError(f"{what} does not stand in the file; copy it exactly", edit.at)
    return start


def _only_place(text: str, edit: TextEdit, what: str) -> int:
    start = _place(text, edit, what)
    if text.find(edit.old, start + 1) >= 0:
        raise AnchorError(f"{what} stands in the file more than once; take more of the text around it", edit.at)
    return start


_APPLY: Mapping[str, Callable[[str, TextEdit], str]] = {
    "append": _append,
    "insert_after": _insert_after,
    "replace": _replace,
    "replace_all": _replace_all,
}
