"""How much a file has to do with a phase, told from words. Pure, and the same in every process."""

from __future__ import annotations

import re

from phasegate.apps.build.schema import PhaseSpec

#: So much of a file's beginning is looked at.
LOOKED_AT = 6_000
_WORD = re.compile(r"[^\W\d_]{3,}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: Words that stand in every description and say nothing about a file.
_COMMON = frozenset({
    "all", "and", "any", "are", "been", "but", "can", "each", "else", "file", "files", "for", "from", "has", "have", "into",
    "its", "may", "must", "new", "not", "one", "should", "src", "than", "that", "the", "their", "them", "then", "there", "this",
    "use", "used", "uses", "using", "was", "when", "where", "which", "will", "with", "within", "without",
})  # fmt: skip


def words(text: str) -> frozenset[str]:
    """The words of a text, in lower case, that may tell what it is about; ``camelCase`` and ``snake_case`` are several."""
    return frozenset(each.casefold() for each in _WORD.findall(_HUMP.sub(" ", text))) - _COMMON


def topic(spec: PhaseSpec) -> frozenset[str]:
    """The words of what a phase is to do, to fulfil and to deliver."""
    paths = [path.rpartition(".")[0] or path for path in spec.deliverables]
    return words("\n".join([spec.description, *spec.acceptance_criteria, *paths]))


def relevance(path: str, text: str, about: frozenset[str]) -> int:
    """Three for every word that the path shares with the topic, and one for every word of the topic in the text's beginning."""
    stem = path.rpartition(".")[0] or path
    return 3 * len(words(stem) & about) + len(words(text[:LOOKED_AT]) & about)
