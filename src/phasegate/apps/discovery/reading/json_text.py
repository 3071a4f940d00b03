"""JSON text, value by value, with a window of it in memory and the byte at which each value begins."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.decoding import handling
from phasegate.apps.discovery.reading.records import RECORD_LIMIT

_BLOCK = 256 * 1024
_LARGEST_BLOCK = 8 * 1024 * 1024
_SPACE = re.compile("[ \t\r\n\0\ufeff]*")


def decode_value(text: str, at: int = 0) -> tuple[Any, int]:
    """The value that begins at a place of the text, white space before it passed over, and the place after it.

    NaN and the infinities are None; a name that a mapping has twice becomes "name (2)". Raises ValueError for what is
    no JSON, and RecursionError for what is nested too deeply.
    """
    at = _after_space(text, at)
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of more digits than Python converts
        return _LONG_NUMBERS.raw_decode(text, at)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _mapping(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a mapping that has all of them, also where a name stands twice."""
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    mapping.clear()
    repeats: dict[str, int] = {}
    for key, value in pairs:
        name = key
        while name in mapping:
            repeats[key] = repeats.get(key, 1) + 1
            name = f"{key} ({repeats[key]})"
        mapping[name] = value
    return mapping


def _none(_: str) -> None:
    return None


def _long_number(digits: str) -> int | str:
    return int(digits) if len(digits) < 100 else digits


_DECODER = json.JSONDecoder(object_pairs_hook=_mapping, parse_constant=_none, strict=False)
_LONG_NUMBERS = json.JSONDecoder(object_pairs_hook=_mapping, parse_constant=_none, parse_int=_long_number, strict=False)


class Document:
    """A JSON text of which a window is in memory. ``at`` is the place in it, ``record`` the record for messages."""

    def __init__(self, path: Path, handle: BinaryIO, codec: str, offset: int) -> None:
        handle.seek(offset)
        self.at = self.record = 0
        self._path, self._handle, self._codec = path, handle, codec
        self._decoder = codecs.getincrementaldecoder(codec)(handling(codec))
        self._window, self._before, self._base = "", 0, offset
        self._whole = False

    @property
    def consumed(self) -> int:
        """The characters read since the document was opened."""
        return self._before + self.at

    def offset(self) -> int:
        """The byte of the file at which the place is."""
        return self._base + len(self._window[: self.at].encode(self._codec, handling(self._codec)))

    def peek(self) -> str:
        """The next character that is not white space, at which the place then is; empty at the end."""
        while True:
            self.at = _after_space(self._window, self.at)
            if self.at < len(self._window):
                return self._window[self.at]
            if self._whole:
                return ""
            self._read(_BLOCK)

    def value(self) -> Any:
        """The value at the place, which is passed."""
        self.peek()
        size = _BLOCK
        while True:
            try:
                value, end = decode_value(self._window, self.at)
                # A number may go on where the window ends, perhaps after the beginning of its exponent.
                if end + 2 < len(self._window) or self._whole:
                    self.at = end
                    return value
            except RecursionError as error:
                raise self.broken("nested too deeply") from error
            except ValueError as error:
                if self._whole:
                    raise self.broken(getattr(error, "msg", str(error))) from error
            if len(self._window) - self.at > RECORD_LIMIT:
                raise self.broken(f"it does not end within {RECORD_LIMIT:,} characters")
            self._read(size)
            size = min(size * 2, _LARGEST_BLOCK)

    def broken(self, reason: str) -> InventoryError:
        where = f"record {self.record:,}" if self.record else "the beginning"
        return InventoryError(f"{self._path}: {where} cannot be read as JSON ({reason}): export the file again")

    def _read(self, size: int) -> None:
        self._base = self.offset()
        self._before += self.at
        block = self._handle.read(size)
        self._whole = not block
        self._window = self._window[self.at :] + self._decoder.decode(block, self._whole)
        self.at = 0
