"""What callers give, as JSON."""

from __future__ import annotations

from typing import Any

import orjson


def plain(value: Any) -> Any:
    """A phase as JSON; of what has no such form, what it looks like, which the check of the specification refuses."""
    try:
        return orjson.loads(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError, RecursionError):
        return f"({type(value).__name__} without a JSON form)"
