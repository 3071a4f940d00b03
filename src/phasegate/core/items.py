"""The keys under which the items of an output are worked on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from phasegate.errors import InputError


def items_of(output: Any) -> list[Any]:
    """The items a phase repeats over: a list, or the list under ``items`` in a mapping. Raises ``InputError`` otherwise."""
    if isinstance(output, Mapping):
        output = output.get("items")
    if output is None:
        return []
    if isinstance(output, Sequence) and not isinstance(output, str | bytes):
        return list(output)
    raise InputError(f"a phase that others repeat over must return a list, not {type(output).__name__}")


def item_keys(output: Any) -> tuple[str, ...]:
    """One stable key per item: its own ``id`` if it has one, else its position and a hash of its canonical JSON.

    Raises ``InputError`` when two items have the same id.
    """
    keys = tuple(_key(position, item) for position, item in enumerate(items_of(output)))
    if len(set(keys)) != len(keys):
        twice, _ = Counter(keys).most_common(1)[0]
        raise InputError(f"two items have the id {twice!r}; ids must be different")
    return keys


def item_at(output: Any, key: str) -> Any:
    """The item with this key. Raises ``InputError`` when the output has none such."""
    for position, item in enumerate(items_of(output)):
        if _key(position, item) == key:
            return item
    raise InputError(f"the output has no item {key!r}")


def _key(position: int, item: Any) -> str:
    if isinstance(item, Mapping) and isinstance(item.get("id"), str | int) and item["id"] != "":
        return str(item["id"])
    text = json.dumps(item, sort_keys=True, separators=(",", ":"), default=str)
    return f"{position}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
