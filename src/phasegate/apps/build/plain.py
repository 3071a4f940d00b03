"""What callers give, as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

#: Nothing that a phase may say is deeper.
_DEEPEST = 50
#: Whole numbers up to here have a JSON form that everybody reads.
_LARGEST = 2**63


def plain(value: Any) -> Any:
    """A phase as JSON, in new lists and dictionaries. Paths, dates and ids are their text, sets sorted lists.

    What has no such form becomes something that the check of the specification refuses where it matters, and nowhere else. Never
    raises.
    """
    try:
        return _plain(value, 0)
    except Exception as error:  # whatever the caller's objects raise when they are read
        return _text(f"({type(value).__name__} that cannot be read: {type(error).__name__})")


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, PurePath | UUID | date | time):
        return _text(str(value))
    if depth >= _DEEPEST:
        raise RecursionError
    if isinstance(value, Mapping):
        return {_text(str(key)): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(each, depth + 1) for each in value), key=str)
    # No field is a mapping that has this key.
    return {"not JSON": {"type": _text(type(value).__name__)}}


def _text(value: str) -> str:
    """The text without halves of characters, which JSON cannot have."""
    text = str.__str__(value)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(value: int | float) -> int | float | str:
    """A number; one that JSON does not have as words."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else f"{float(value)}"
    return int(value) if abs(value) < _LARGEST else f"a number of {value.bit_length()} bits"
