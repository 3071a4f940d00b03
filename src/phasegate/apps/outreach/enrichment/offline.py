"""Providers that need no network, for demonstrations and tests: they conclude, and never invent.

What they return follows from the record alone. A company's domain follows from its web address, a person's e-mail
address from the name and the company's domain; everything is marked as derived, because nobody has verified it. Which
entities a provider covers, and which address pattern a domain is taken to use, is settled by a hash, so that all tiers
are put to use and two runs agree.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate.apps.outreach.enrichment.records import (
    STANDARD_TERMS,
    Entity,
    ProviderResult,
    Tier,
    TierTerms,
    arrange_tiers,
)

# Address patterns with the share of domains, in percent, that is taken to use them.
_PATTERNS: tuple[tuple[str, int], ...] = (
    ("{first}.{last}", 35),
    ("{first}{last}", 20),
    ("{initial}{last}", 15),
    ("{first}", 10),
    ("{first}_{last}", 8),
    ("{last}{initial}", 5),
    ("{initial}.{last}", 4),
    ("{last}.{first}", 3),
)

# Letters that do not decompose into a base letter and a mark.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"})


@dataclass(frozen=True, slots=True)
class OfflineProvider:
    """A provider of the given tier that covers ``coverage`` percent of all entities, always the same ones."""

    name: str
    tier: int
    coverage: int = 100

    async def lookup(self, entity: Entity) -> ProviderResult:
        """What follows from the record; nothing when the entity is not covered or the record says too little."""
        if bucket(f"{self.name}:{entity.entity_id}") >= self.coverage:
            return ProviderResult()
        data = _person_data(entity.fields) if entity.entity_type == "person" else _company_data(entity.fields)
        return ProviderResult(data, derived=frozenset(data))


def offline_tiers(terms: tuple[TierTerms, ...] = STANDARD_TERMS) -> tuple[Tier, ...]:
    """One provider in each of the three tiers; the last one covers every entity, so that only poor records remain."""
    return arrange_tiers(
        (
            OfflineProvider("offline_directory", 1, coverage=60),
            OfflineProvider("offline_pattern", 2, coverage=75),
            OfflineProvider("offline_research", 3),
        ),
        terms,
    )


def bucket(text: str) -> int:
    """A number from 0 to 99 that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") % 100


def _person_data(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``email``, when both parts of a name and the company's domain are known."""
    domain = _domain(fields)
    first, last = (_letters(part) for part in _name_parts(fields))
    if not (domain and first and last):
        return {}
    local = _pattern_of(domain).format(first=first, last=last, initial=first[0])
    return {"email": f"{local}@{domain}"}


def _company_data(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``domain`` and a complete ``website``, when the record names either."""
    domain = _domain(fields)
    if not domain:
        return {}
    website = _text(fields, "website")
    has_scheme = website.lower().startswith(("http://", "https://"))
    return {"domain": domain, "website": website if has_scheme else f"https://{website or domain}"}


def _domain(fields: Mapping[str, Any]) -> str:
    """The host that the record names; nothing for ``localhost`` and the like."""
    written = (_text(fields, "domain") or _text(fields, "website")).lower()
    host = re.split(r"[/?#:]", re.sub(r"^[a-z]+://", "", written), maxsplit=1)[0].removeprefix("www.")
    return host if re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", host) else ""


def _name_parts(fields: Mapping[str, Any]) -> tuple[str, str]:
    first, last = _text(fields, "first_name"), _text(fields, "last_name")
    if first and last:
        return first, last
    words = _text(fields, "full_name").split()
    return (words[0], words[-1]) if len(words) > 1 else ("", "")


def _pattern_of(domain: str) -> str:
    """All people of one domain get addresses of one pattern."""
    remaining = bucket(domain)
    for pattern, share in _PATTERNS:
        remaining -= share
        if remaining < 0:
            return pattern
    return _PATTERNS[-1][0]


def _letters(name: str) -> str:
    """The name in plain lower-case letters; empty when it has none."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    return re.sub(r"[^a-z]", "", plain)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip() if isinstance(value, str) else ""
