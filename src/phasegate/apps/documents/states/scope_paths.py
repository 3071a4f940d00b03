"""The place of an instance in the tree of scopes, as a value and as text: ``epic=e1/story=s1``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

# What has a meaning in a path, or in what paths are put into.
_SPECIAL = re.compile(r"[%/=\[\]\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ScopePath:
    """The scope and id of each instance from just below the root down; empty at the root."""

    parts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The path as text. Ids that look usual stand as they are; whatever has a meaning in a path is percent-encoded."""
        return "/".join(f"{_encoded(scope)}={_encoded(each)}" for scope, each in self.parts)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes, the outermost first."""
        return tuple(scope for scope, _ in self.parts)

    @property
    def last_id(self) -> str:
        """The id of the innermost instance. Raises ``IndexError`` at the root."""
        return self.parts[-1][1]

    @property
    def parent(self) -> ScopePath:
        """The path of the instance around this one."""
        return ScopePath(self.parts[:-1])

    def then(self, scope: str, scope_id: str) -> ScopePath:
        """The path of an instance in this one."""
        return ScopePath((*self.parts, (scope, scope_id)))

    def upto(self, scope: str) -> ScopePath | None:
        """The path down to the instance of this scope; None when there is none on the way."""
        for index in range(len(self.parts), 0, -1):
            if self.parts[index - 1][0] == scope:
                return ScopePath(self.parts[:index])
        return None

    def may_be_in(self, other: ScopePath) -> bool:
        """Whether no scope has one instance here and another one there."""
        there = dict(other.parts)
        return all(there.get(scope, each) == each for scope, each in self.parts)

    def above(self, chain: Collection[str]) -> ScopePath:
        """The instances on the way of the scopes of a chain, which leads to another instance of its last scope."""
        wanted = tuple(chain)[:-1]
        return ScopePath(tuple(part for part in self.parts if part[0] in wanted))


def parse_path(text: str) -> ScopePath:
    """The path that a text is. Raises ``ValueError`` when it is none."""
    if not text:
        return ScopePath()
    pairs = [piece.split("=") for piece in text.split("/")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"no path of scopes: {text!r}")
    return ScopePath(tuple((unquote(scope), unquote(each)) for scope, each in pairs))


def _encoded(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)
