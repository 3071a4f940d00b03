"""What was chosen to be shown to the model, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.build.schema import FileFacts, Format, Shown


@dataclass(frozen=True, slots=True)
class ContextFile:
    """A file that the model is told of.

    ``priority`` is 1 for a deliverable, 2 for another file that may be written, 3 for one to read. ``text`` is what is shown of
    it, ``original`` all of its text if the model may rely on having seen it (else None), both with plain line feeds unless its
    line ends are mixed. ``why`` says in words why so much and no more is shown.
    """

    facts: FileFacts
    priority: int
    shown: Shown
    text: str = ""
    why: str = ""
    tokens: int = 0
    original: str | None = None
    writable: bool = True

    @property
    def path(self) -> str:
        """The file's path."""
        return self.facts.path

    def told(self) -> dict[str, Any]:
        """What there is to say of it without its text, as JSON."""
        return {
            "path": self.path, "priority": self.priority, "shown": self.shown, "why": self.why, "tokens": self.tokens,
            "lines": self.facts.lines, "bytes": self.facts.size, "sha256": self.facts.sha256,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """The context of one call.

    ``files`` are in the order in which they are shown, with those of which nothing is shown. ``missing`` are paths that may be
    written and are not there yet. ``names`` are files of the repository of which only the names are told. ``report`` is all of
    it as JSON, without texts. ``output_tokens`` is the room for the answer; ``available`` is what the context may take, and
    ``used`` what it takes, never more.
    """

    format: Format
    files: tuple[ContextFile, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    output_tokens: int = 0
    available: int = 0
    used: int = 0
    names: tuple[str, ...] = ()
    #: Tokens expected for all that is to be delivered; above ``output_tokens`` it is to be asked for in batches.
    estimated_output: int = 0

    @property
    def seen(self) -> dict[str, tuple[FileFacts, Shown]]:
        """By path, what was known of each file when it was read, and how much of it is shown."""
        return {each.path: (each.facts, each.shown) for each in self.files}

    @property
    def originals(self) -> dict[str, str]:
        """By path, the whole texts that edits may refer to."""
        return {each.path: each.original for each in self.files if each.original is not None}

    @property
    def exceeded(self) -> bool:
        """Whether the deliverables do not fit into one answer."""
        return self.estimated_output > self.output_tokens

    def of(self, *shown: Shown) -> tuple[ContextFile, ...]:
        """The files of which so much is shown."""
        return tuple(each for each in self.files if each.shown in shown)
