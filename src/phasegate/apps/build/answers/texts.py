"""Texts as lines, for edits that refer to them: where lines end, and what becomes of the end of the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phasegate.apps.build.answers.notes import Notes
from phasegate.apps.build.errors import LLMResponseError, UnsafePathError
from phasegate.apps.build.paths.names import normalise

_NAMED = 20


@dataclass(frozen=True, slots=True)
class Original:
    """A file as edits find it. ``text`` has plain line feeds, unless its line ends are mixed; then they stay as they are."""

    text: str
    mixed: bool

    def same_ends(self, content: str) -> str:
        """Content of an edit with the line ends that ``text`` has; the file's own come back when it is written."""
        return content if self.mixed else content.replace("\r\n", "\n")


def original(text: str) -> Original:
    """A text for editing."""
    pairs = text.count("\r\n")
    if pairs == 0 or (pairs == text.count("\n") and pairs == text.count("\r")):
        return Original(text.replace("\r\n", "\n"), mixed=False)
    return Original(text, mixed=True)


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends. The empty text has none, and an end after the last line begins no further one."""
    if not text:
        return []
    return text.removesuffix("\n").split("\n")


def joined(lines: Sequence[str], like: str) -> str:
    """Lines as a text that ends as the text ``like`` does, with a line end or without. What was empty gets one."""
    if not lines:
        return ""
    end = "\n" if not like or like.endswith("\n") else ""
    return "\n".join(lines) + end


def shown_file(path: object, originals: Mapping[str, str], notes: Notes, at: str) -> str | None:
    """The name under which a file to be edited was shown; None when it was not, which is noted."""
    if not isinstance(path, str):
        notes.wrong("E_ENTRY_INVALID", "'file_path' must be text", at=at)
        return None
    if path in originals:
        return path
    try:
        name = normalise(path)
    except UnsafePathError as error:
        # The same rule as for every path; here it is the answer that cannot be read.
        notes.add(
            LLMResponseError(
                error.code, f"{at}: {error.cause}", path=path, category="validation", details=error.details
            )
        )
        return None
    if name in originals:
        return name
    cause = f"{at}: a file can be edited only when it was shown"
    shown = sorted(originals)[:_NAMED]
    notes.add(LLMResponseError("E_MODIFY_UNSEEN", cause, path=name, category="validation", details={"shown": shown}))
    return None
