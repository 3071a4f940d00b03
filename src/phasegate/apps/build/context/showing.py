"""How much of a text is shown, and how: whole, with the numbers of its lines, or its beginning and end. Pure.

Lines are what stands between line feeds, so that their numbers are those that edits of lines refer to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from phasegate.apps.build.context.relevance import words
from phasegate.apps.build.policy import Policy

#: From so many lines only parts of a numbered text are shown: the first and last of them, and what is about the topic.
PARTS_FROM = 300
_ENDS = 100
_AROUND = 10
_MOST_MATCHES = 40


def lines_of(text: str) -> list[str]:
    """The lines without their ends."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def excerpt(text: str, policy: Policy) -> str | None:
    """The beginning and the end of a text, with a line between that says what is left out; None if that would be all of it."""
    lines = lines_of(text)
    head, tail = policy.excerpt_head_lines, policy.excerpt_tail_lines
    if len(lines) <= head + tail:
        return None
    return _joined([*lines[:head], _gap(head + 1, len(lines) - tail), *lines[len(lines) - tail :]])


def numbered(text: str, about: frozenset[str]) -> str:
    """The text with a number before each line. Of a long one only the parts: its beginning, its end, and the lines around those
    that have most words of the topic in them."""
    lines = lines_of(text)
    width = len(str(len(lines)))
    kept = range(len(lines)) if len(lines) < PARTS_FROM else sorted(_parts(lines, about))
    shown: list[str] = []
    expected = 0
    for at in kept:
        if at != expected:
            shown.append(_gap(expected + 1, at))
        shown.append(f"{at + 1:>{width}}| {lines[at]}")
        expected = at + 1
    return _joined(shown)


def _parts(lines: Sequence[str], about: frozenset[str]) -> set[int]:
    count = len(lines)
    kept = {*range(_ENDS), *range(count - _ENDS, count)}
    scores = ((len(words(lines[at]) & about), at) for at in range(_ENDS, count - _ENDS))
    best = sorted((-score, at) for score, at in scores if score)[:_MOST_MATCHES]
    for _, at in best:
        kept.update(range(max(0, at - _AROUND), min(count, at + _AROUND + 1)))
    return kept


def _gap(first: int, last: int) -> str:
    return f"[lines {first} to {last} are not shown]"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
