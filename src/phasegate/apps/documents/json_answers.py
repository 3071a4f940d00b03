"""The JSON in what a language model answers: bare, in a fence, or somewhere in prose.

A model may answer anything, so everything here takes time in proportion to the length of the text and raises nothing but
``JSONAnswerError``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from phasegate.apps.documents.errors import WorkflowError

#: How deeply lists and objects may stand in one another. Far more than a document has, and little enough that a value can
#: be copied, compared and stored inside others.
DEEPEST = 100

_FENCE = re.compile(r"^[ \t]*+```[ \t]*+([^\s`]*+)[^\n`]*+$", re.MULTILINE)
# Only where a key or the end follows: a brace in prose begins no object.
_OBJECT_BEGINS = re.compile(r'\{\s*+["}]')
# A string that nobody closes reaches to the end, so that its quotes are not looked at again.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}]', re.DOTALL)


class JSONAnswerError(WorkflowError, ValueError):
    """An answer in which there is no JSON that can be used."""


def parse_json_answer(text: str) -> Any:
    """The JSON value that an answer is, or else has in it.

    Looked for in this order: the whole text, the blocks fenced as json, the other fenced blocks, the first object in the text
    that is closed again. A value found inside other text is always an object or a list, and an empty object counts only when
    nothing else is there. An object that is not closed, as in an answer cut short, is not replaced by one inside it.

    Raises ``JSONAnswerError`` when there is none; the message says what is wrong with the likeliest part of the text.
    """
    empty: list[Any] = []
    for value in json_values(text):
        if value != {}:
            return value
        empty.append(value)
    if empty:
        return empty[0]
    parse_json(_likeliest(text))
    raise JSONAnswerError("Invalid JSON: nothing that can be used")  # pragma: no cover


def json_values(text: str) -> Iterator[Any]:
    """Every JSON value of an answer, in the order ``parse_json_answer`` prefers them.

    When the whole text is JSON that is the only one. Otherwise a fenced value comes once as the block, and what stands in
    prose between the blocks follows. Raises nothing.
    """
    whole, value = _attempt(text)
    if whole:
        yield value
        return
    prose = []
    later = []
    for label, block in _blocks(text):
        found, value = _attempt(block) if label is not None and _opens(block) else (False, None)
        if not found:
            prose.append(block)
        elif label == "json":
            yield value
        else:
            later.append(value)
    yield from later
    # In one piece, so that an object in whose text a fence was seen is whole again.
    for span in _balanced("\n".join(prose)):
        found, value = _attempt(span)
        if found:
            yield value


def parse_json(text: str) -> Any:
    """The value of a text that is JSON from beginning to end; a byte order mark and space around it do not matter.

    Raises ``JSONAnswerError`` when it is not, and for NaN, infinite numbers, half surrogates and nesting beyond ``DEEPEST``.
    Whole numbers of more than 64 bits become floating-point ones.
    """
    try:
        value = orjson.loads(text.strip().removeprefix("\ufeff").strip())
    except orjson.JSONDecodeError as error:
        raise JSONAnswerError(f"Invalid JSON: {error}") from error
    if deeper_than(DEEPEST, value):
        raise JSONAnswerError(f"Invalid JSON: nested more than {DEEPEST} levels deep")
    return value


def deeper_than(limit: int, value: Any) -> bool:
    """Whether lists and objects stand in one another more than ``limit`` levels deep."""
    level = [value]
    for _ in range(limit):
        level = [child for each in level for child in _children(each)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for each in value.values() if isinstance(each, dict | list)]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, dict | list)]
    return []


def _opens(block: str) -> bool:
    return block.lstrip()[:1] in {"{", "["}


def _likeliest(text: str) -> str:
    """The part of a text without usable JSON that was most likely meant to be it."""
    for label, block in _blocks(text):
        if label is not None and _opens(block):
            return block
    begins = _OBJECT_BEGINS.search(text)
    if begins is None or _opens(text):
        return text
    return text[begins.start() : _end_of_object(text, begins.start())]


def _attempt(text: str) -> tuple[bool, Any]:
    try:
        return True, parse_json(text)
    except JSONAnswerError:
        return False, None


def _blocks(text: str) -> Iterator[tuple[str | None, str]]:
    """The pieces of a text between lines that begin with a fence: each with its label, or None when it stands outside."""
    inside: str | None = None
    start = 0
    for fence in _FENCE.finditer(text):
        yield inside, text[start : fence.start()]
        inside = fence[1].lower() if inside is None else None
        start = fence.end()
    # What a last fence opens and nobody closes has been cut short, or is closed on its last line.
    rest = text[start:]
    yield (inside, rest.rstrip().removesuffix("```")) if inside is not None else (None, rest)


def _balanced(text: str) -> Iterator[str]:
    """The objects of a text, outermost ones only, as far as their braces say; the last one may be missing its end."""
    begins = _OBJECT_BEGINS.search(text)
    while begins is not None:
        end = _end_of_object(text, begins.start())
        if end is None:
            return
        yield text[begins.start() : end]
        begins = _OBJECT_BEGINS.search(text, end)


def _end_of_object(text: str, start: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None
