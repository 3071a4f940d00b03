"""What is noticed while an answer is read: every problem, not only the first, and what is only worth saying."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from phasegate.apps.build.errors import InvalidJSONError, LLMResponseError, told

#: Problems of the form, as opposed to those of edits that do not fit the file.
_OF_THE_FORM = frozenset(
    {"E_JSON_SHAPE", "E_FILES_MISSING", "E_FILES_NOT_ARRAY", "E_FILES_EMPTY", "E_ENTRY_INVALID", "E_MODE_UNKNOWN",
     "E_CONTENT_MISSING"}
)  # fmt: skip
_MOST_NAMED = 20


class Notes:
    """Collects problems and warnings of one answer."""

    def __init__(self) -> None:
        self.errors: list[LLMResponseError] = []
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, each once."""
        return tuple(self._warnings)

    def warn(self, text: str) -> None:
        """Say something that forbids nothing."""
        self._warnings[text] = None

    def wrong(self, code: str, cause: str, *, path: str | None = None, at: str | None = None) -> None:
        """Note a problem; ``at`` says in which entry, as ``files[2]``."""
        kind = InvalidJSONError if code in _OF_THE_FORM else LLMResponseError
        where = f"{at}: " if at else ""
        self.errors.append(kind(code, f"{where}{cause}", path=path))

    def add(self, error: LLMResponseError) -> None:
        """Note a problem that is an error already."""
        self.errors.append(error)

    def check(self) -> None:
        """Raise the first problem, if there is one; its ``details["problems"]`` has all of them when there are more."""
        if not self.errors:
            return
        first = self.errors[0]
        if len(self.errors) > 1:
            first.details = {**first.details, "problems": told(self.errors[:_MOST_NAMED])}
        raise first


def aliased(entry: Mapping[str, Any], name: str, alias: str, notes: Notes, at: str) -> Any:
    """The value under a name, or under another word for it; None when there is neither. Both at once are a problem."""
    if alias not in entry:
        return entry.get(name)
    if name in entry:
        notes.wrong("E_ENTRY_INVALID", f"it has both {name!r} and {alias!r}; give only {name!r}", at=at)
        return entry[name]
    notes.warn(f"{alias!r} was read as {name!r}")
    return entry[alias]


def warn_of_unknown(entry: Mapping[str, Any], known: Collection[str], notes: Notes, what: str) -> None:
    """Nothing is dropped silently."""
    for name in entry:
        if name not in known:
            shown = name if len(name) <= 40 else f"{name[:37]}..."
            notes.warn(f"unknown key {shown!r} in {what} was ignored")
