"""Ids of runs and workers: 24 characters that sort by time of creation, so that new rows lie together in the database."""

from __future__ import annotations

import secrets
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """A new id: 50 bits of microseconds since 1970, then 70 random bits, in base 32 without letters that look alike."""
    number = ((time.time_ns() // 1000) & (2**50 - 1)) << 70 | secrets.randbits(70)
    digits = []
    for _ in range(24):
        digits.append(_DIGITS[number & 31])
        number >>= 5
    return "".join(reversed(digits))
