"""What single values look like once the damage of exports is taken off. Pure; each function says what it gives back."""

from __future__ import annotations

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

#: The largest head count a 32-bit integer column holds.
LARGEST_COUNT = 2_147_483_647

# Only entities that end in a semicolon: in the address "?a=1&copy=2" the ampersand is meant.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Exports of exports escape twice; more rounds than this are not damage but an attack on the clock.
_ENTITY_ROUNDS = 3
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF), None)
_GROUPED = re.compile(r"[0-9]{1,3}([,'\u2019_ ])(?:[0-9]{2,3}\1)*[0-9]{3}|[0-9]+")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//")
_HOST = re.compile(r"[^\s/?#@:]+\.[^\s/?#@:.]+")
_TITLES_AFTER_NAME = frozenset(("jr", "sr", "ii", "iii", "iv", "v", "phd", "md", "esq", "cpa", "mba", "dds"))


def clean_text(value: str) -> str:
    """The value without HTML entities, invisible characters and surplus white space, in composed Unicode."""
    for _ in range(_ENTITY_ROUNDS):
        if "&" not in value or ";" not in value:
            break
        value = _ENTITY.sub(lambda match: html.unescape(match[0]), value)
    if not value.isascii():
        value = unicodedata.normalize("NFC", value.translate(_INVISIBLE))
    return " ".join(value.split())


def name_key(name: str) -> str:
    """What two spellings of one company name have in common: the cleaned name in lower case."""
    return clean_text(name).lower()


def whole_number(value: str) -> int | None:
    """The number a cleaned text stands for, with thousands separators taken out; None when it is no whole number.

    Comma, space, apostrophe and underscore separate groups. A full stop does not: "190.000" may be a decimal. Ranges,
    decimals, signs and numbers above ``LARGEST_COUNT`` are not accepted.
    """
    if len(value) > 20 or not _GROUPED.fullmatch(value):
        return None
    number = int(re.sub("[^0-9]", "", value))
    return number if number <= LARGEST_COUNT else None


def domain_of(website: str | None) -> str | None:
    """The host of a web address in lower case, without scheme, leading ``www.``, port and path.

    None for what names no place on the internet: nothing, ``localhost``, other single words, IP addresses.
    """
    if not website:
        return None
    host = re.split(r"[/?#]", _SCHEME.sub("", website.strip().lower()), maxsplit=1)[0]
    host = host.rpartition("@")[2].split(":", 1)[0].rstrip(".").removeprefix("www.")
    is_address = host.replace(".", "").isdecimal()
    return host if _HOST.fullmatch(host) and not is_address else None


def instant(value: str) -> datetime | None:
    """An ISO 8601 date or date-time as aware UTC; one without a zone is taken as UTC. None when it is neither."""
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def split_name(full_name: str) -> tuple[str, str]:
    """First and last name; a single word is the first name and the last name is empty.

    "Doe, Jane" is turned round; "Jane Doe, PhD" is not. Everything after the first word belongs to the last name.
    """
    before, comma, after = (part.strip() for part in full_name.partition(","))
    suffix = after.lower().replace(".", "").replace(" ", "")
    if comma and before and after and suffix not in _TITLES_AFTER_NAME:
        return after, before
    first, _, last = (before or after).partition(" ")
    return first, last


def content_key(content: Mapping[str, object]) -> str:
    """The sha256 of the content in canonical JSON: the same content has the same key in every file and process."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
