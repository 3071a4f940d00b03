"""One digest for one content, wherever documents, definitions and decisions are compared."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from phasegate.apps.documents.errors import WorkflowError


def digest(value: Any) -> str:
    """The sha256, in hexadecimal, of the canonical JSON of a value; the order of keys does not matter.

    Raises ``WorkflowError`` when the value is not JSON: what has no digest cannot be stored either.
    """
    try:
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise WorkflowError(f"the value cannot be written as JSON: {error}") from error
    return hashlib.sha256(canonical).hexdigest()
