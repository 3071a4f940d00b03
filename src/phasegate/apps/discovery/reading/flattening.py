"""Nested values to rows: one value for each dotted name, and nothing in it that a database or JSON could not hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from phasegate.apps.discovery.reading.decoding import mend
from phasegate.apps.discovery.reading.headings import unique_headings

#: Whole numbers that do not fit 64 bits are serial numbers more likely than amounts, and are kept as text.
_LARGEST = 2**63 - 1
#: Mappings whose name would have more dots than this stay JSON text.
_DEPTH = 16
_KNOWN_SHAPES = 1_000


class Flattener:
    """Makes rows of records. ``removed`` counts the texts with characters that had to be taken out or replaced."""

    def __init__(self) -> None:
        self.removed = 0
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record with dotted names for what is nested in it, each name stripped, not empty and only once."""
        keys: list[str] = []
        values: list[Any] = []
        self._gather(record, "", keys, values)
        return dict(zip(self._headings(tuple(keys)), values, strict=True))

    def _gather(self, record: Mapping[str, Any], prefix: str, keys: list[str], values: list[Any]) -> None:
        for key, value in record.items():
            if value.__class__ is dict and value and prefix.count(".") < _DEPTH:
                self._gather(value, f"{prefix}{key}.", keys, values)
            else:
                keys.append(prefix + key)
                values.append(self.value(value))

    def _headings(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        headings = self._names.get(keys)
        if headings is None:
            headings = unique_headings([self.text(key) for key in keys])
            if len(self._names) < _KNOWN_SHAPES:
                self._names[keys] = headings
        return headings

    def value(self, value: Any) -> Any:
        """One cell: text, number, boolean or None; lists of such joined by semicolons, anything else as JSON text."""
        if value.__class__ is str:
            return self.text(value)
        if value is None or value.__class__ is bool:
            return value
        if value.__class__ is int:
            return value if -_LARGEST <= value <= _LARGEST else str(value)
        if value.__class__ is float:
            return value if math.isfinite(value) else None
        return self._composed(value)

    def _composed(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._json(dict(value)) if value else None
        if isinstance(value, list | tuple):
            if any(isinstance(each, Mapping | list | tuple) for each in value):
                return self._json(value)
            return "; ".join(_word(self.value(each)) for each in value if each is not None) or None
        return self.value(plain(value))

    def _json(self, value: Any) -> str:
        return self.text(json.dumps(_finite(value), ensure_ascii=False, default=plain))

    def text(self, value: str) -> str:
        """The text without NULs and without halves of characters, neither of which can be stored."""
        if "\0" in value:
            self.removed += 1
            value = value.replace("\0", "")
        if not value.isascii() and not _encodable(value):
            self.removed += 1
            value = mend(value)
        return value


def plain(value: Any) -> Any:
    """A value of a richer kind as text or number: ISO text for times, numbers for decimals, text or hex for bytes."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.hex()
    return str(value)


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _finite(value: Any) -> Any:
    """The value with None for each number that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
