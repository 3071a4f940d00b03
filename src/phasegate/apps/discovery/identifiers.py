"""Ids: UUIDs as text, everywhere outside of the database driver."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from typing import Any

from phasegate.errors import InputError

#: How many hexadecimal digits of a record's id say which row it is.
_ROW_DIGITS = 12
#: With or without its hyphens.
_ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
#: Characters of a value in a message.
_LONGEST = 60


def new_id() -> str:
    """An id that nobody else has."""
    return str(uuid.uuid4())


def ordered_id() -> str:
    """An id that nobody else has, and that stands behind all that were made a millisecond before (UUID version 7): what is stored
    by such ids grows at its end, where random ones are written all over an index."""
    moment = (time.time_ns() // 1_000_000) & (2**48 - 1)
    chance = secrets.randbits(74)
    return str(uuid.UUID(int=moment << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (2**62 - 1)))


def as_id(value: Any, what: str = "id") -> str:
    """An id as text. Raises ``InputError`` for what is none: a number, nothing, the word None."""
    if isinstance(value, uuid.UUID):
        return str(value)
    # uuid.UUID takes more for one than it should: digits of any script, spaces, underscores.
    if isinstance(value, str) and _ID.fullmatch(value):
        return str(uuid.UUID(value))
    raise InputError(f"{_shown(value)} is no {what}", hint="an id looks like 3f0c8a52-6f5e-4c3f-9f0e-2b6d5a1c7e90")


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def record_id(import_id: str, row_number: int) -> str:
    """The id of a row of an import: the same however often it is asked for, and another one in every other import."""
    return f"{import_id[:-_ROW_DIGITS]}{row_number:0{_ROW_DIGITS}x}"


def row_of(record: str) -> int:
    """The number of the row whose id this is."""
    return int(record[-_ROW_DIGITS:], 16)
