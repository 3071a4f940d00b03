"""The JSON in what a language model answers: read strictly, found in fences and prose, repaired in its spelling only.

A model may answer anything, so everything here takes time in proportion to the length of the text and raises nothing but
``JSONTextError``. What has been cut short is never taken for a whole, nor is a value inside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from phasegate.llm.json_pieces import JSON_LABELS, Piece, pieces
from phasegate.llm.json_repairs import REPAIRS, repairs
from phasegate.llm.json_strict import DEEPEST, LONGEST, SPACE, JSONTextError, loads


@dataclass(frozen=True, slots=True)
class Located:
    """A value found in a text. ``method`` names how, as ``direct``, ``fence`` or ``balanced+commas``; ``start`` is where.

    ``others`` counts further parts of the text that look like what was sought, and were passed over.
    """

    value: Any
    method: str
    start: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """How the value that is sought can be told from other JSON: an object with one of the ``keys``, or a list of objects the
    first of which has one of the ``rows``."""

    keys: frozenset[str]
    rows: frozenset[str] = frozenset()

    def fits(self, value: Any) -> bool:
        """Whether a value is of the kind."""
        if isinstance(value, dict):
            return not self.keys.isdisjoint(value)
        if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
            return False
        return not self.rows.isdisjoint(value[0])

    def resembles(self, text: str) -> bool:
        """Whether a text, which may be broken, looks as if it was meant to be of the kind."""
        names = self.keys | self.rows if text.lstrip()[:1] == "[" else self.keys
        return _named(names).search(text) is not None


@lru_cache(maxsize=32)
def _named(names: frozenset[str]) -> re.Pattern[str]:
    any_of = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rf'["\u201c\u201d](?:{any_of})["\u201c\u201d]\s*+:')


def mended(text: str, *, deepest: int = DEEPEST, longest: int = LONGEST, repair: bool = True) -> tuple[Any, str]:
    """The value of a text, and the names of the repairs without which it could not be read, joined by plus signs.

    Raises ``JSONTextError`` as ``loads`` does; ``tried`` then names the repairs. None is made unless ``repair``.
    """
    try:
        return loads(text, deepest=deepest, longest=longest), ""
    except JSONTextError as error:
        if error.problem != "syntax" or not repair:
            raise
        first = error
    for name, repaired in repairs(text):
        try:
            # A repair may make the text longer, and it is the model's text that is limited.
            return loads(repaired, deepest=deepest, longest=2 * longest), name
        except JSONTextError as error:
            if error.problem != "syntax":
                # Where this stands in the repaired text is of no use to anybody.
                raise JSONTextError(error.problem, error.reason, text, first.position, tried=REPAIRS) from None
    first.tried = tuple(REPAIRS)
    raise first


def find(text: str, sought: Sought, *, deepest: int = DEEPEST, longest: int = LONGEST, repair: bool = True) -> Located:
    """The value an answer has in it.

    Looked for in this order: the whole text, whatever value it is; the last block fenced as JSON that fits; the first block
    fenced without a label; the first object or list in prose; the last block fenced as something else. The part that was meant
    and is broken is repaired when ``repair`` allows it, and no other part stands in for it.

    Raises ``JSONTextError`` when there is none. Its problem is ``open`` when the text ends inside of the part that was meant.
    """
    try:
        return Located(loads(text, deepest=deepest, longest=longest), "direct")
    except JSONTextError as error:
        if error.problem != "syntax":
            raise
        whole = error
    parts = list(pieces(text, sought.resembles))
    if not any(sought.resembles(each.text) for each in parts):
        parts = list(pieces(text, sought.resembles, foreign=True))  # under another label is better than nowhere
    other = False
    for part in _ranked(parts, sought):
        for method, piece in _readings(text, part, sought):
            try:
                value, names = mended(piece.text, deepest=deepest, longest=longest, repair=repair)
            except JSONTextError as error:
                if sought.resembles(piece.text):
                    raise _within(error, text, piece) from None
                continue
            if sought.fits(value):
                others = sum(sought.resembles(each.text) for each in parts) - 1
                return Located(value, f"{method}+{names}" if names else method, piece.start, max(others, 0))
            other = True
        if part.state != "closed":
            raise _unclosed(text, part)
    if other:
        raise JSONTextError("missing", "there is JSON in the text, but nothing of what was asked for", text)
    raise whole


def _ranked(parts: Sequence[Piece], sought: Sought) -> Iterator[Piece]:
    """The parts of a text in the order in which they come into question, those from which nothing can come left out.

    A part in which the text ends, or that is ragged, is the only one if nothing of the kind follows it.
    """
    last = next((each for each in reversed(parts) if each.state == "open" or sought.resembles(each.text)), None)
    if last is not None and last.state != "closed":
        yield last
        return
    closed = [each for each in parts if each.state == "closed"]
    yield from (each for each in reversed(closed) if each.label in JSON_LABELS)
    yield from (each for each in closed if each.label == "")
    yield from (each for each in closed if each.label is None)
    yield from (each for each in reversed(closed) if each.label and each.label not in JSON_LABELS)


def _readings(text: str, part: Piece, sought: Sought) -> Iterator[tuple[str, Piece]]:
    """What in a part is to be read, and what that is called: all of it, or each value of a block that has more in it."""
    if part.label is None:
        if part.state == "closed":
            yield "direct" if part.text == text.strip(SPACE) else "balanced", part
        return
    inner = list(pieces(part.text, sought.resembles))
    if any(each.state != "closed" for each in inner):
        return
    for each in inner:
        method = "fence" if each.text == part.text.strip() else "balanced"
        yield method, Piece(part.start + each.start, each.text, each.state)


def _within(error: JSONTextError, text: str, piece: Piece) -> JSONTextError:
    """The error of a part as one of the whole text."""
    position = piece.start + error.position
    return JSONTextError(error.problem, error.reason, text, position, start=piece.start, tried=error.tried)


def _unclosed(text: str, part: Piece) -> JSONTextError:
    if part.state == "open":
        return JSONTextError("open", "the text ends before this is closed", text, part.start, start=part.start)
    try:
        loads(part.text)
    except JSONTextError as error:
        return _within(error, text, part)
    return JSONTextError("syntax", "brackets that do not fit together", text, part.start)  # pragma: no cover
