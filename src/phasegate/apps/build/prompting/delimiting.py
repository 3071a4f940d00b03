"""Blocks of text in a prompt that are data and cannot pretend to be anything else.

What marks their ends is a token that occurs in none of the texts, so that no file can close its own block.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

#: Hexadecimal digits of a token.
LENGTH = 24


def delimiter(seed: str, texts: Iterable[str]) -> str:
    """A token that is in none of the texts, in any case of its letters; the same for the same seed and texts."""
    everything = [text.casefold() for text in texts]
    counter = 0
    while True:
        token = hashlib.sha256(f"{seed}:{counter}".encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]
        if not any(token in text for text in everything):
            return token
        counter += 1


def block(token: str, what: str, text: str, about: str = "") -> str:
    """A text between two lines with the token; ``what`` it is and ``about`` it stand in the first one."""
    told = f" {about}" if about else ""
    end = "" if text.endswith("\n") or not text else "\n"
    return f"[[{what} {token}{told}]]\n{text}{end}[[END {token}]]\n"


def shown_name(path: str) -> str:
    """A path as a prompt names it: exactly, on one line."""
    return path if path.isprintable() else json.dumps(path)
