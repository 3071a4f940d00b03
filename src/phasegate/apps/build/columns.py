"""Values in the JSON columns of the history."""

from __future__ import annotations

from typing import Any

import orjson


def load(text: str | None) -> Any:
    """The value of a JSON column."""
    return None if text is None else orjson.loads(text)


def dump(value: Any) -> str:
    """A value for a JSON column."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
