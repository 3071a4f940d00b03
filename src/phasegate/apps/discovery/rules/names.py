"""What an asset is called, and when two names are the same."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from phasegate.apps.discovery.rules.tokens import says_nothing

LONGEST_NAME = 255

#: Where a name may stand, and where it may be taken from when the asset is a device.
_NAMES = ("name", "asset_name")
_NAMES_OF_DEVICES = ("hostname", "fqdn", "external_id", "serial_number")
#: These often have neither host nor number of their own: what stands there is that of the machine they run on.
_PROGRAMS = frozenset({"application", "component"})

#: What keyboards of Chinese and Japanese have for the full stop between labels.
_FULL_STOPS = str.maketrans("\u3002\uff61", "..")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")


def asset_name(record: Mapping[str, Any], row_number: int, asset_type: str) -> str:
    """The name of the asset in a row: one line of 1 to 255 characters without whitespace at its ends.

    It is the row's name or asset name; for what is neither application nor component also its hostname, its fully qualified
    name, its external id or its serial number; else ``Asset-<row number>``. Placeholders such as "n/a" are no names. The name
    of an application is never taken, since in an inventory of servers it says what runs on them.
    """
    fields = _NAMES if asset_type in _PROGRAMS else (*_NAMES, *_NAMES_OF_DEVICES)
    candidates = (_line(record.get(field)) for field in fields)
    return next(filter(None, candidates), f"Asset-{row_number}")


def normalised_name(text: str) -> str:
    """A name for comparison: upper and lower case, width of letters, and the kind of gap (space, - or _) do not count."""
    # Folding the case can take a letter apart, so that the composed form comes last.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SEPARATORS.sub(" ", folded).strip()


def host_of(text: str) -> str:
    """The name of a host as it is kept, so that databases, which know upper and lower case of ASCII alone, compare it rightly.

    ASCII stays as it was written. Of what has other letters there is one spelling: small letters, composed, of usual width.
    Labels in the spelling of the DNS ("xn--...") are written out, when they are such a spelling.
    """
    if text.isascii() and "xn--" not in text.lower():
        return text
    written = ".".join(map(_written_out, text.split(".")))
    return written if written.isascii() else _small(written)


def _written_out(label: str) -> str:
    if not label.isascii() or not label.lower().startswith("xn--"):
        return label
    encoded = label[4:].lower()
    try:
        found = encoded.encode("ascii").decode("punycode")
        same = not found.isascii() and found.encode("punycode").decode("ascii") == encoded
    except (UnicodeError, ValueError, OverflowError):
        return label
    return found if same and found.isprintable() and _small(found) == found else label


def _small(text: str) -> str:
    composed = unicodedata.normalize("NFKC", text).translate(_FULL_STOPS)
    return unicodedata.normalize("NFKC", composed.lower())


def _line(value: object) -> str:
    """A value as a line of text: empty for what is no text and no number, and for placeholders such as "n/a"."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        value = int(value) if value.is_integer() else value
    text = "".join(letter if letter.isprintable() else " " for letter in _as_text(value))
    return "" if says_nothing(text) else " ".join(text.split())[:LONGEST_NAME].rstrip()


def _as_text(value: str | int | float) -> str:
    # Python refuses to write out whole numbers of many thousand digits; such a one is no name.
    if isinstance(value, int) and abs(value) >= 10**LONGEST_NAME:
        return ""
    return str(value)
