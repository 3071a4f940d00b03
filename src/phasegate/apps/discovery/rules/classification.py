"""What kind of asset a row is about: by its CI type, its names, its hardware, its role and its operating system.

Words are compared whole, as tokens, and never as parts of other words: "feedback" has no "db" in it, nor "albany" a "lan".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from phasegate.apps.discovery.rules.asset_words import (
    GENERIC,
    HARDWARE_WORDS,
    KIND_WORDS,
    MACHINE,
    NAME_WORDS,
    PARTICULAR,
    SYSTEM_WORDS,
    Sense,
)
from phasegate.apps.discovery.rules.tokens import Phrases, says_nothing, tokens


@dataclass(frozen=True, slots=True)
class Classification:
    """One of ``ASSET_TYPES``, how certain it is (0 to 1), and the rule that says so.

    The rule is ``ci_type``, ``name.<type>``, ``hardware``, ``server_role``, ``operating_system``, ``hostname``,
    ``application_name``, ``database_type``, or ``none`` where nothing in the row speaks for any type.
    """

    asset_type: str
    confidence: float
    rule: str


def _phrases(*entries: tuple[str, int, str]) -> Phrases[Sense]:
    return Phrases((phrase, Sense(name, weight)) for name, weight, text in entries for phrase in text.split(", "))


_NAMES = _phrases(*NAME_WORDS)
_KINDS = _phrases(*KIND_WORDS, *NAME_WORDS)
_HARDWARE = _phrases(*HARDWARE_WORDS)
_SYSTEMS = _phrases(*SYSTEM_WORDS)

# At the end of a text these say that it is a program, whatever the program deals with: a "database backup tool". Some do so
# only after a blank: in "sql-crm" or "nas_backup" they say what the thing is for.
_PROGRAMS = frozenset(
    tokens("tool app application appl portal suite software dashboard console manager client agent exporter")
)
_SUBJECTS = frozenset(
    tokens("website crm erp analytics monitoring management backup reporting api tracker helpdesk wiki cmdb")
)
_SURROUNDINGS = frozenset(
    tokens("prod prd production dev development test tst qa uat stg stage staging dr live preprod sandbox")
)
# Roles of machines that, with nothing but a number after them, are how a machine is called rather than a program.
_NUMBERED = frozenset(tokens("app web mail dns dhcp ftp sftp smtp ldap dc ad fs file print"))

# German writes compounds as one word, and the last part says what it is.
_COMPOUND = re.compile(r"[a-z]{4,}?(datenbankserver|datenbank|anwendung|netzwerk|server|portal|system|drucker)")
# A place code or another role, a role and a surrounding joined: "londb01", "fradbprd2", "nycsw3". No common word ends with
# these; "san", "ora" and the like are left out because of "artisan" and "aurora". Some are too short without a number.
_AROUND = "(?:prd|prod|dev|tst|test|qa|uat|stg|dr)?"
_JOINED = re.compile(
    rf"(?P<database>[a-z]{{2,6}}(?:db|sql){_AROUND}|(?:db|sql)(?:srv|svr|server))"
    rf"|(?P<network>[a-z]{{2,6}}rtr{_AROUND})|(?P<server>[a-z]{{2,6}}(?:srv|svr){_AROUND})"
)
_JOINED_WITH_NUMBER = re.compile(
    rf"(?P<database>(?:db|sql)[a-z]{{2,4}})|(?P<network>[a-z]{{2,6}}(?:fw|sw){_AROUND}|(?:fw|rtr)[a-z]{{2,4}})"
    rf"|(?P<load_balancer>[a-z]{{2,6}}lb{_AROUND}|lb[a-z]{{2,4}})|(?P<storage>[a-z]{{3}}nas)"
    rf"|(?P<virtual_machine>[a-z]{{3,6}}vm)|(?P<server>[a-z]{{2,6}}(?:web|app){_AROUND}|[a-z]{{3}}server)"
)
# Names that clouds give, and those that Kubernetes gives the pods of a deployment, from letters that make no words.
_GENERATED = re.compile(
    r"(?:(?P<virtual_machine>i)|(?P<security_group>sg)|(?P<storage>vol)|(?P<network>vpc|subnet|eni))-"
    r"(?:[0-9a-f]{17}|[0-9a-f]{8})"
    r"|(?P<container>[a-z][a-z0-9.-]*-(?=[a-z]*\d)[bcdfghj-np-tvwxz2456789]{8,10}-[bcdfghj-np-tvwxz2456789]{5})"
)


def classify(record: Mapping[str, Any]) -> Classification:
    """Classify a row with the fields of an asset; ``asset_type`` is the text of its CI type column, however worded.

    A CI type that says anything decides. After it come words of the names that mean something particular, the hardware, the
    role, the operating system, and only then generic words, since "portal" or "service" are in the names of servers too. A
    "database server" is a database: it is moved for what is on it, and a name such as db01 says no less. An application's
    name makes no application of a row that has an operating system or a hostname. Fields that are missing, no text, or say
    "n/a" count as empty. Never raises.
    """
    kind = _kind(_text(record, "asset_type"))
    if kind is not None:
        return Classification(kind.asset_type, 0.95, "ci_type")
    name = _name_sense(record)
    # That a machine is called a host says no more than that it has an operating system, and less than its hardware.
    if name is not None and name.weight >= MACHINE and name.asset_type != "server":
        return Classification(name.asset_type, 0.8, f"name.{name.asset_type}")
    return _by_system(record) or _by_generic_words(record, name)


def _by_system(record: Mapping[str, Any]) -> Classification | None:
    hardware = _said(_text(record, "model"), _HARDWARE) or _said(_text(record, "manufacturer"), _HARDWARE)
    if hardware is not None:
        return Classification(hardware.asset_type, 0.75, "hardware")
    role = _text(record, "server_role")
    if role:
        meant = _kind(role)
        particular = meant is not None and meant.weight >= MACHINE
        return Classification(meant.asset_type if meant and particular else "server", 0.7, "server_role")
    system = _text(record, "operating_system")
    if system:
        special = _said(system, _SYSTEMS)
        return Classification(special.asset_type if special else "server", 0.75, "operating_system")
    return None


def _by_generic_words(record: Mapping[str, Any], name: Sense | None) -> Classification:
    if name is not None and name.asset_type in ("network", "server"):
        return Classification(name.asset_type, 0.6, f"name.{name.asset_type}")
    if _text(record, "hostname") or _text(record, "fqdn"):
        return Classification("server", 0.6, "hostname")
    if name is not None:
        return Classification(name.asset_type, 0.55, f"name.{name.asset_type}")
    if _text(record, "application_name"):
        return Classification("application", 0.5, "application_name")
    if _text(record, "database_type"):
        return Classification("database", 0.5, "database_type")
    return Classification("other", 0.1, "none")


def _text(record: Mapping[str, Any], field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or says_nothing(value):
        return ""
    return value.strip()[:255]  # enough to tell, and a cell of a megabyte costs no more than another


def _name_sense(record: Mapping[str, Any]) -> Sense | None:
    """The heaviest sense of the names, of equally heavy ones that of the first name."""
    found = (_name(_text(record, field)) for field in ("name", "asset_name", "hostname"))
    return max((each for each in found if each is not None), key=lambda each: each.weight, default=None)


@lru_cache(maxsize=8_192)
def _kind(text: str) -> Sense | None:
    return _headed(_parts(tokens(text), _KINDS), _KINDS, _PROGRAMS | _SUBJECTS)


@lru_cache(maxsize=8_192)
def _said(text: str, known: Phrases[Sense]) -> Sense | None:
    return _heaviest([sense for sense, _ in known.found(tokens(text))])


@lru_cache(maxsize=8_192)
def _name(text: str) -> Sense | None:
    if len(text.split()) > 1:
        return _sense_of_phrase(_alike(tokens(text)))
    generated = _GENERATED.fullmatch(text.casefold())
    if generated is not None:
        return _sense(generated)
    # The domain of a fully qualified name says nothing about the machine.
    return _sense_of_label(_alike(tokens(text.split(".", 1)[0] if text.count(".") > 1 else text)))


def _alike(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words with one number for all that mean nothing, so that the hundreds of a series of names are judged once."""
    return tuple("0" if word.isdigit() and not _NAMES.knows(word) else word for word in words)


@lru_cache(maxsize=8_192)
def _sense_of_phrase(words: tuple[str, ...]) -> Sense | None:
    words = _parts(words, _NAMES)
    return _heavier(_joined(words), _headed(words, _NAMES, _PROGRAMS | _SUBJECTS))


@lru_cache(maxsize=8_192)
def _sense_of_label(words: tuple[str, ...]) -> Sense | None:
    """The sense of a name without a blank. With a number, as in ``sql-tool-02``, its parts are in any order."""
    words = _parts(words, _NAMES)
    if not any(word.isdigit() or word in _SURROUNDINGS for word in words):
        return _heavier(_joined(words), _headed(words, _NAMES, _PROGRAMS))
    plain = _heavier(_joined(words), _heaviest([sense for sense, _ in _NAMES.found(words)]))
    if (plain is None or plain.weight == GENERIC) and not _NUMBERED.isdisjoint(_numbered(words)):
        return Sense("server", GENERIC)
    return Sense("network", GENERIC) if plain is None and "ap" in words else plain


def _headed(words: tuple[str, ...], known: Phrases[Sense], programs: frozenset[str]) -> Sense | None:
    """The sense of a phrase, which has its head at the end."""
    found = list(known.found(words))
    if found:
        sense, end = found[-1]
        last = words[end - 1]
        if (last in programs or last.removesuffix("s") in programs) and end == _length_without_number(words):
            return sense
    return _heaviest([sense for sense, _ in found])


def _parts(words: tuple[str, ...], known: Phrases[Sense]) -> tuple[str, ...]:
    """The words, of compounds that are not known only their last part."""
    return tuple(_last_part(word) if len(word) > 9 and not known.knows(word) else word for word in words)


def _last_part(word: str) -> str:
    compound = _COMPOUND.fullmatch(word)
    return compound[1] if compound is not None else word


def _length_without_number(words: tuple[str, ...]) -> int:
    """How many of the words are left when numbers, single letters and surroundings at the end are not counted."""
    length = len(words)
    while length and (words[length - 1].isdigit() or len(words[length - 1]) == 1 or words[length - 1] in _SURROUNDINGS):
        length -= 1
    return length


def _heaviest(senses: list[Sense]) -> Sense | None:
    return max((sense for sense in reversed(senses) if sense.weight), key=lambda sense: sense.weight, default=None)


def _heavier(one: Sense | None, other: Sense | None) -> Sense | None:
    return _heaviest([sense for sense in (other, one) if sense is not None])


def _joined(words: tuple[str, ...]) -> Sense | None:
    """The sense of the first word that is made of roles and codes."""
    numbered = _numbered(words)
    for word in words:
        joined = None if _NAMES.knows(word) else _JOINED.fullmatch(word)
        if joined is None and word in numbered and not _NAMES.knows(word):
            joined = _JOINED_WITH_NUMBER.fullmatch(word)
        if joined is not None:
            return _sense(joined)
    return None


def _numbered(words: tuple[str, ...]) -> list[str]:
    """The words that have a number after them, with or without a surrounding between: both of ``web-prod-03``."""
    bare = [word for word in words if word not in _SURROUNDINGS]
    return [word for word, after in pairwise(bare) if after.isdigit()]


_WEIGHTS = {"server": GENERIC, "virtual_machine": MACHINE}


def _sense(match: re.Match[str]) -> Sense:
    """The sense of a pattern whose groups are called by asset types."""
    asset_type = match.lastgroup or "other"
    return Sense(asset_type, _WEIGHTS.get(asset_type, PARTICULAR))
