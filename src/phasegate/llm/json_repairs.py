"""Repairs of spelling that models get wrong in JSON. Each changes how a value is written, never what is in a text that was cut.

All of them look at strings as strings: what is outside is never taken for what is inside, and the other way round. They take time
in proportion to the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

# One that nobody closes reaches to the end, so that its quotes are not looked at again.
_STRING = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_STRINGS = re.compile(_STRING, re.DOTALL)
_CONTROL = re.compile(r"\\.|[\x00-\x1f]", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_TRAILING = re.compile(rf"{_STRING}|,(?=\s*+[}}\]])", re.DOTALL)
_LITERAL = re.compile(rf"{_STRING}|\b(?:True|False|None)\b", re.DOTALL)
_SMART = re.compile(
    rf"{_STRING}|[\u201c\u201d\u201e\u201f]([^\"\u201c\u201d\u201e\u201f\\\n]*+)[\u201c\u201d\u201e\u201f](?=\s*+:)",
    re.DOTALL,
)
_LITERALS = {"True": "true", "False": "false", "None": "null"}


def escape_control_characters(text: str) -> str:
    """Line ends, tabs and the like inside strings, written as escapes."""
    return _STRINGS.sub(lambda string: _CONTROL.sub(_escaped, string[0]), text)


def drop_trailing_commas(text: str) -> str:
    """No comma before a closing bracket."""
    return _TRAILING.sub(lambda found: "" if found[0] == "," else found[0], text)


def spell_literals(text: str) -> str:
    """``True``, ``False`` and ``None`` as JSON spells them."""
    return _LITERAL.sub(lambda found: _LITERALS.get(found[0], found[0]), text)


def straighten_quotes(text: str) -> str:
    """Plain quotes around keys that have typographic ones."""
    return _SMART.sub(lambda found: found[0] if found[1] is None else f'"{found[1]}"', text)


def double_backslashes(text: str) -> str:
    """Backslashes in strings that begin no escape JSON knows, doubled."""
    return _STRINGS.sub(lambda s: _ESCAPE.sub(lambda e: "\\\\" if e[0] == "\\" else e[0], s[0]), text)


#: In the order in which they are tried one at a time.
REPAIRS: dict[str, Callable[[str], str]] = {
    "control": escape_control_characters,
    "commas": drop_trailing_commas,
    "literals": spell_literals,
    "quotes": straighten_quotes,
    "backslashes": double_backslashes,
}
#: In the order in which they are combined: a backslash before a line end must be doubled before the line end is escaped.
_TOGETHER = ("quotes", "backslashes", "control", "literals", "commas")


def repairs(text: str) -> Iterator[tuple[str, str]]:
    """Every repair that changes something, with its name, one at a time; then all of those together, with their names joined."""
    for name, repair in REPAIRS.items():
        repaired = repair(text)
        if repaired != text:
            yield name, repaired
    combined = text
    names: list[str] = []
    for name in _TOGETHER:
        repaired = REPAIRS[name](combined)
        if repaired != combined:
            combined, names = repaired, [*names, name]
    if len(names) > 1:
        yield "+".join(name for name in REPAIRS if name in names), combined


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == "\\" else json.dumps(found[0])[1:-1]
