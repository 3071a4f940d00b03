"""Places in a JSON value, written as people write them: ``steps[2].inputs[0].scope``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def place(*parts: str | int) -> str:
    """The path through these keys and indexes. A key that is not a plain word stands quoted: ``scopes["a b"].parent``."""
    return extend("", parts)


def extend(path: str, parts: Iterable[str | int]) -> str:
    """The path that leads on from ``path``."""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part)}]"
    return path
