"""One text for one content: the canonical form that hashes of records and of the rule set are taken over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from phasegate.apps.outreach.rules.fields import shown

_LARGEST = 10**18


def content_digest(value: object) -> str:
    """The sha256, in hexadecimal, of the canonical JSON of any JSON-like value.

    Key order and the difference between lists and tuples do not matter. Types JSON does not know count by their text
    (dates, decimals) or by their type name, never by an address in memory, so the digest is the same in every process.
    """
    canonical = json.dumps(_jsonable(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_jsonable(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST:
        return hex(value)  # the decimal text of a very long integer is refused by the interpreter
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else shown(value)
