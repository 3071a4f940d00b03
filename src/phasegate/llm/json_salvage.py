"""What is complete in JSON that was cut short. Nothing is ever added to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from phasegate.llm.json_strict import DEEPEST, decode_at

_SPACE = re.compile(r"[ \t\r\n]*+")
_KEY = re.compile(r'("(?:[^"\\\x00-\x1f]++|\\.)*+")[ \t\r\n]*+:[ \t\r\n]*+')


@dataclass(slots=True)
class Salvage:
    """The complete parts of an object or of a list that was cut.

    ``members`` are those of the object. When the cut fell into one of its lists, ``name`` is the key of that list and ``entries``
    are those of its entries that are complete; of a list that stands alone ``name`` is None. ``rest`` begins with the part
    that was cut.
    """

    members: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    entries: list[Any] = field(default_factory=list)
    rest: str = ""


def salvage(text: str, *, deepest: int = DEEPEST) -> Salvage:
    """The complete parts of a text that begins with an object or a list and was cut.

    Complete is a part that can be read strictly and that a comma or a closing bracket follows: a text that ends right behind a
    value may have been cut inside of a string that looks like its end. Linear time; raises nothing.
    """
    found = Salvage()
    at = _after_space(text, 0)
    if text[at : at + 1] == "[":
        at, _ = _entries(text, at, found, deepest)
    elif text[at : at + 1] == "{":
        at = _members(text, at, found, deepest)
    found.rest = text[at:]
    return found


def _members(text: str, at: int, found: Salvage, deepest: int) -> int:
    """Read the members of an object from its bracket on, and give where the first begins that is not complete."""
    at = _after_space(text, at + 1)
    while (key := _KEY.match(text, at)) is not None:
        name = _name(key[1])
        if name is None or name in found.members:
            return at
        value_at = key.end()
        if text[value_at : value_at + 1] == "[":
            found.name, found.entries = name, []
            stop, closed = _entries(text, value_at, found, deepest)
            if not closed:
                return stop
            value: Any = found.entries
            found.name, found.entries = None, []
        else:
            read = decode_at(text, value_at, deepest=deepest)
            if read is None:
                return at
            value, stop = read
        stop = _after_space(text, stop)
        if text[stop : stop + 1] not in (",", "}"):
            return at
        found.members[name] = value
        if text[stop] == "}":
            return stop + 1
        at = _after_space(text, stop + 1)
    return at


def _entries(text: str, at: int, found: Salvage, deepest: int) -> tuple[int, bool]:
    """Read the entries of a list from its bracket on. Gives where the first begins that is not complete, or where the list ends;
    and whether it ends."""
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1, True
    while (read := decode_at(text, at, deepest=deepest)) is not None:
        value, stop = read
        stop = _after_space(text, stop)
        if text[stop : stop + 1] not in (",", "]"):
            break
        found.entries.append(value)
        if text[stop] == "]":
            return stop + 1, True
        at = _after_space(text, stop + 1)
    return at, False


def _name(token: str) -> str | None:
    try:
        return str(json.loads(token))
    except ValueError:
        return None


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at
