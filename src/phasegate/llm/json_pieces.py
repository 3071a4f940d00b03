"""Where JSON may stand in a model's text: in fences and in prose, found by brackets that are counted outside of strings only.

Nothing here reads values, and everything takes time in proportion to the length of the text. ``phasegate.llm.json_text`` is what
callers use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

#: Whether a value is closed where it ends, the text ends inside of it, or its brackets do not fit together.
State = Literal["closed", "open", "ragged"]
#: Labels of fences that say that JSON is in them.
JSON_LABELS = frozenset({"json", "jsonl", "ndjson", "jsonlines"})
#: So many openings in prose that nobody closes are passed over; each costs a look at the rest of the text.
MOST_SKIPPED = 8

#: A string from its quote to its end; one that nobody closes reaches to the end of the text.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_CLOSED: State = "closed"
_CLOSER = {"{": "}", "[": "]"}
_FENCE = r"^[ \t]*+(?P<fence>`{3,}+|~{3,}+)[ \t]*+(?P<label>[\w+.-]*+)[^\n`{\[]*+"
# Only where a key, the end or an object follows: other brackets in prose begin no value.
_BEGINS = r'(?P<begins>\{\s*+(?:["}\u201c\u201d]|\Z)|\[\s*+\{)'
_FIRST = re.compile(r"[\s\ufeff]*+(?P<begins>[{\[])(?P<fence>(?!))?")
_NEXT = re.compile(f"{_FENCE}|{_BEGINS}", re.MULTILINE)
_NEXT_FENCE = re.compile(_FENCE, re.MULTILINE)
# What stands behind a value only inside of a larger one, so that the value has been closed too early.
# Brackets too many at the very end are no sign of it.
_GOES_ON = re.compile(r'(?!\s*+[\]}\s]*+\Z)\s*+(?:["\]}:]|,\s*+["{\[])')
_VALUE = re.compile(r"\s*+(?=[{\[])")
# On a line of its own, or right behind a bracket.
_CLOSING = {
    "`": re.compile(r"(?:^[ \t]*+|(?<=[}\]]))(`{3,}+)[ \t\r]*+$", re.MULTILINE),
    "~": re.compile(r"(?:^[ \t]*+|(?<=[}\]]))(~{3,}+)[ \t\r]*+$", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that may be JSON. ``label`` is that of its fence, None when it stands in prose."""

    start: int
    text: str
    state: State
    label: str | None = None


def extent(text: str, start: int) -> tuple[int, State]:
    """Where the object or list that begins at ``start`` ends, and in what state."""
    waiting: list[str] = []
    for token in _TOKEN.finditer(text, start):
        mark = text[token.start()]
        if mark in _CLOSER:
            waiting.append(_CLOSER[mark])
        elif mark != '"':
            if waiting.pop() != mark:
                return token.start(), "ragged"
            if not waiting:
                return token.end(), "closed"
    return len(text), "open"


def pieces(text: str, meant: Callable[[str], bool], *, foreign: bool = False) -> Iterator[Piece]:
    """The parts of a text that may be JSON, in their order, none inside another that is closed.

    ``meant`` says whether a part looks like what is sought. Such a part that is not closed, or is ragged, is the last one: what
    follows may stand inside one of its strings. Fences with the label of another language are left out unless ``foreign``.
    """
    at = skipped = 0
    behind_prose = False
    # A bracket at the very beginning is one of JSON, whatever follows it.
    while (found := (_FIRST.match(text) if at == 0 else None) or _NEXT.search(text, at)) is not None:
        if found["fence"] is None:
            piece, at = _in_prose(text, found.start("begins"), meant)
        else:
            fenced, at = _fenced(text, found, foreign)
            if fenced is None or (behind_prose and not fenced.label and not fenced.text.strip()):
                # Of another language; or the end of a fence whose beginning is missing.
                continue
            piece = fenced
        behind_prose = piece.label is None
        yield piece
        if piece.state == "closed":
            continue
        skipped += 1
        if skipped > MOST_SKIPPED or meant(_before_fence(piece)):
            return


def _in_prose(text: str, start: int, meant: Callable[[str], bool]) -> tuple[Piece, int]:
    """What begins in prose, and where to look on: behind it, or right behind its bracket when it has no end."""
    end, state = extent(text, start)
    if state == "closed":
        if _GOES_ON.match(text, end) and meant(text[start:end]):
            return Piece(start, text[start:], "ragged"), end
        return Piece(start, text[start:end], state), end
    return Piece(start, text[start:], state), start + 1


def _before_fence(piece: Piece) -> str:
    """As much of an unclosed part as is certainly its own: in prose, a fence may begin the next one."""
    fence = None if piece.label is not None else _NEXT_FENCE.search(piece.text)
    return piece.text if fence is None else piece.text[: fence.start()]


def _fenced(text: str, fence: re.Match[str], any_language: bool) -> tuple[Piece | None, int]:
    """The block behind a fence, and where to look on. None for a block of another language, unless that is wanted."""
    label = fence["label"].lower()
    start = fence.end()
    foreign = bool(label) and label not in JSON_LABELS and not any_language
    at, state = _values(text, start) if not foreign else (start, _CLOSED)
    closing = next(
        (each for each in _CLOSING[fence["fence"][0]].finditer(text, at) if len(each[1]) >= len(fence["fence"])), None
    )
    end = len(text) if closing is None else closing.start()
    after = len(text) if closing is None else closing.end()
    if foreign:
        return None, after
    body = text[start:end]
    if closing is not None and state != "closed":
        state = "ragged"
    elif closing is None and not body.strip():
        state = "open"
    elif state == "closed" and at > start and text[at:end].strip():
        state = "ragged"
    return Piece(start, body, state, label), after


def _values(text: str, start: int) -> tuple[int, State]:
    """How far the values reach with which a block begins, so that a fence inside of their strings does not end it."""
    at = start
    while (opened := _VALUE.match(text, at)) is not None:
        end, state = extent(text, opened.end())
        if state != "closed":
            return at, state
        at = end
    return at, "closed"
