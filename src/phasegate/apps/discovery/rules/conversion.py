"""What stands in a cleansed row becomes the values of an asset: numbers, flags, dates, words of a category, text.

A value that cannot be read is left out and a doubt says so; text that is too long is cut. No value costs its row.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

from phasegate.apps.discovery.rules.dates import YEARS, day_of
from phasegate.apps.discovery.rules.names import host_of
from phasegate.apps.discovery.schema import FIELDS, AssetField, Kind

#: The largest whole number that is taken, which every database has room for.
LARGEST_WHOLE = 2**31 - 1
#: Texts of numbers, dates and categories up to this length are remembered, and this many of them.
_REMEMBERED_LENGTH, _REMEMBERED = 64, 20_000

#: A value, or None without one, and what is doubtful about it, or nothing. Tags are a tuple, because it is remembered.
_Read = tuple[Any, str]


@dataclass(frozen=True, slots=True)
class Doubt:
    """What was left out, changed or guessed, in the field of this name."""

    field: str
    message: str


def convert(record: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Doubt, ...]]:
    """The values of an asset, and the doubts about them. Never raises, whatever JSON the record holds.

    The keys are names of asset fields; others are passed over. The result has only fields with a value: text as ``str``,
    whole numbers as ``int``, numbers as ``float`` in the field's unit, flags as ``bool``, tags as ``list[str]``, dates as
    ISO text. A number without a unit is in the field's unit already; 1 GB is 1,024 MB.
    """
    values: dict[str, Any] = {}
    doubts: list[Doubt] = []
    for name, given in record.items():
        if given is None or name not in FIELDS:
            continue
        value, doubt = _converted(name, given)
        if value is not None:
            values[name] = list(value) if isinstance(value, tuple) else value
        if doubt:
            doubts.append(Doubt(name, doubt))
    return values, tuple(doubts)


def _converted(name: str, given: object) -> _Read:
    text = given if isinstance(given, str) else _as_text(given)
    if text is None:
        return None, "holds neither text nor a number that is one: left out"
    # Names and hosts differ from row to row: to remember them would only push the others out.
    if name in _UNREMEMBERED or len(text) > _REMEMBERED_LENGTH:
        return _read(name, text)
    return _remembered(name, text)


def _as_text(given: object) -> str | None:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        # A spreadsheet makes 12345.0 of the serial number 12345.
        whole = given.is_integer() and abs(given) < 1e15
        return str(int(given)) if whole else repr(given) if isfinite(given) else None
    if isinstance(given, list | tuple) and not any(isinstance(each, list | tuple | dict) for each in given):
        return "; ".join(filter(None, (each if isinstance(each, str) else _as_text(each) for each in given)))
    if given is None:
        return ""
    try:
        return str(given) if isinstance(given, int) else json.dumps(given, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # not JSON, or a whole number of thousands of digits
        return None


def _read(name: str, text: str) -> _Read:
    text = _cleaned(text)
    if not text:
        return None, ""
    field = FIELDS[name]
    reader = _BY_NAME.get(name) or _BY_KIND[field.kind]
    return reader(field, text)


_remembered = lru_cache(maxsize=_REMEMBERED)(_read)

_BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+")
# Half a surrogate pair cannot be stored at all; byte order marks and zero-width spaces make equal names different.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\u200b]+")


def _cleaned(text: str) -> str:
    if not text.isprintable():
        text = _INVISIBLE.sub("", _BREAKS.sub(" ", text))
    return text.strip()


def _text(field: AssetField, text: str) -> _Read:
    if len(text) <= field.limit:
        return text, ""
    return text[: field.limit].rstrip(), f"cut from {len(text)} to {field.limit} characters"


def _host(field: AssetField, text: str) -> _Read:
    return _text(field, host_of(text))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


_NUMBER = re.compile(r"([^0-9.,+-]*)([+-]?(?:[0-9][0-9., ]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)(.*)")
_DIGITS = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: Groups of three; in India the higher ones have two digits.
_GROUPED = {
    mark: re.compile(rf"[+-]?[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{2,3}})*{re.escape(mark)}[0-9]{{3}}")
    for mark in ",. "
}
_SPACES = str.maketrans("\u00a0\u202f\u2009_'\u2019\u2212", "      -")


def _ones(words: str) -> dict[str, float]:
    return dict.fromkeys(("", *words.split()), 1.0)


_PREFIXES = (("", ""), ("k", "kilo"), ("m", "mega"), ("g", "giga"), ("t", "tera"), ("p", "peta"))
_BYTES = {
    word: 1024.0 ** (power - 3)
    for power, (short, long) in enumerate(_PREFIXES)
    for word in (short, f"{short}b", f"{short}ib", f"{long}byte", f"{long}bytes")
} | {"": 1.0}
_PER_MONTH = _ones("$ \u20ac \u00a3 usd eur gbp chf /month /mo monthly")
#: How many of the field's unit one of the named unit is. A capital B says bytes in a speed.
_UNITS: dict[str, dict[str, float]] = {
    "GB": _BYTES,
    "%": _ones("% percent pct"),
    "Mbit/s": _ones("mbps mbit/s mbit mb/s") | {"kbps": 0.001, "kbit/s": 0.001, "gb/s": 1000.0}
    | {"gbps": 1000.0, "gbit/s": 1000.0, "gbit": 1000.0, "MB/s": 8.0, "MBps": 8.0, "GB/s": 8000.0, "GBps": 8000.0},
    "cpu_cores": _ones("core cores cpu cpus vcpu vcpus vcore vcores processor processors"),
    "disk_iops": _ones("iops"),
    "migration_wave": _ones("wave"),
    "migration_priority": _ones("p prio priority"),
    "current_monthly_cost": _PER_MONTH,
    "estimated_cloud_cost": _PER_MONTH,
}  # fmt: skip


def _number(field: AssetField, text: str) -> _Read:
    match = _NUMBER.fullmatch(text.translate(_SPACES).strip()) if len(text) <= 100 else None
    digits = _without_groups(match[2].strip()) if match else ""
    if not match or not _DIGITS.fullmatch(digits):
        return None, f"{_shown(text)} is not a number: left out"
    before, after = _factor(field, match[1]), _factor(field, match[3])
    if not before or not after:
        return None, f"{_shown(text)} has a unit that is not one of this field: left out"
    value, doubt = _measured(field, float(digits) * before * after, text)
    if field.name.endswith("_cost") and (match[1].strip() or match[3].strip()):
        doubt = doubt or f"only the number of {_shown(text)} is kept"
    return value, doubt


def _without_groups(number: str) -> str:
    """The number with a full stop for its decimal mark and no thousands separators; empty when it is no number."""
    if " " in number:
        if not _GROUPED[" "].fullmatch(re.split("[.,]", number)[0]):
            return ""
        number = number.replace(" ", "")
    commas, stops = number.count(","), number.count(".")
    if commas and stops:
        mark, other = (",", ".") if number.rfind(",") > number.rfind(".") else (".", ",")
        whole, _, decimals = number.rpartition(mark)
        return f"{whole.replace(other, '')}.{decimals}" if _GROUPED[other].fullmatch(whole) else ""
    if commas > 1 or stops > 1:
        mark = "," if commas else "."
        return number.replace(mark, "") if _GROUPED[mark].fullmatch(number) else ""
    # One comma before three digits separates thousands; before any other number of digits, or after a nought, decimals.
    grouped = commas and _GROUPED[","].fullmatch(number) and not number.lstrip("+-").startswith("0")
    return number.replace(",", "" if grouped else ".")


def _factor(field: AssetField, unit: str) -> float | None:
    units = _UNITS.get(field.unit or field.name, {"": 1.0})
    unit = unit.strip(" .:()")
    return units.get(unit) or units.get(unit.lower())


def _measured(field: AssetField, number: float, text: str) -> _Read:
    if not isfinite(number) or number < 0:
        return None, f"{_shown(text)} is below nought or beyond all bounds: left out"
    if field.kind is Kind.NUMBER:
        return round(number, 6), ""
    if not number.is_integer() or number > LARGEST_WHOLE:
        return None, f"{_shown(text)} is not a whole number up to {LARGEST_WHOLE:,}: left out"
    return int(number), ""


_FLAGS = dict.fromkeys(("true", "yes", "y", "1", "t", "on", "ja", "j", "oui", "o"), True)
_FLAGS |= dict.fromkeys(("false", "no", "n", "0", "f", "off", "nein", "non"), False)

_LEVELS = {
    "Critical": "1 p0 p1 tier0 tier1 crit missioncritical businesscritical 1mostcritical 1critical veryhigh kritisch",
    "High": "2 p2 tier2 h important 2somewhatcritical 2high hoch",
    "Medium": "3 p3 tier3 m med moderate normal 3lesscritical 3moderate 3medium mittel",
    "Low": "4 5 p4 p5 tier4 tier5 l notcritical noncritical 4notcritical 4low 5planning verylow niedrig",
}
#: Other words for the words of a category, without spaces, marks and capitals.
_SYNONYMS: dict[str, dict[str, str]] = {
    "environment": {
        "Production": "prod prd live p productive produktion", "Staging": "stg stage preprod preproduction ppd",
        "Test": "tst testing sit systemtest int integration", "Development": "dev devel develop entwicklung",
        "QA": "qualityassurance qas", "UAT": "useracceptance useracceptancetest useracceptancetesting acceptance abnahme",
        "Disaster Recovery": "dr drsite", "Sandbox": "sbx sand", "Training": "trn train schulung",
    },
    "criticality": _LEVELS,
    "business_criticality": _LEVELS,
    "asset_type": {
        "server": "srv physicalserver linuxserver windowsserver unixserver", "database": "db dbms databaseserver dbserver",
        "application": "app businessapplication", "network": "router switch firewall networkdevice networkgear",
        "load_balancer": "lb", "storage": "san nas storagedevice storagearray", "virtual_machine": "vm virtualserver",
    },
    "six_r_strategy": {"rehost": "liftandshift", "replace": "repurchase", "retire": "decommission", "retain": "keep"},
}  # fmt: skip


def _key(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


_WORDS = {
    name: {_key(word): word for word in field.words}
    | {other: word for word, others in _SYNONYMS.get(name, {}).items() for other in others.split()}
    for name, field in FIELDS.items()
    if field.kind is Kind.CATEGORY
}


def _flag(field: AssetField, text: str) -> _Read:
    value = _FLAGS.get(text.lower())
    return value, "" if value is not None else f"{_shown(text)} is neither yes nor no: left out"


def _category(field: AssetField, text: str) -> _Read:
    word = _WORDS[field.name].get(_key(text))
    return word, "" if word else f"{_shown(text)} is none of {', '.join(field.words)}: left out"


def _tags(field: AssetField, text: str) -> _Read:
    tags: dict[str, str] = {}
    for tag in filter(None, map(str.strip, text.split(";" if ";" in text else ","))):
        tags.setdefault(tag.casefold(), tag)
    cut = sum(len(tag) > field.limit for tag in tags.values())
    doubt = f"{cut} tags cut to {field.limit} characters" if cut else ""
    return tuple(tag[: field.limit].rstrip() for tag in tags.values()) or None, doubt


def _date(field: AssetField, text: str) -> _Read:
    try:
        day, doubt = day_of(text)
    except (ValueError, OverflowError):  # there is no 31 June
        day, doubt = None, ""
    if day is None:
        return None, f"{_shown(text)} is not a date from {YEARS[0]} to {YEARS[-1]}: left out"
    return day.isoformat(), doubt


_SEPARATORS = re.compile(r"[\s,;|]+")
_NOT_HEX = re.compile(r"[-:.\s]")


def _ip_address(field: AssetField, text: str) -> _Read:
    given = [each for each in _SEPARATORS.split(text[:1_000]) if each]
    found = next((address for each in given if (address := _host_address(each))), None)
    if found is None:
        return None, f"{_shown(text)} is not the IP address of a host: left out"
    return found, f"the first of {len(given)} addresses" if len(given) > 1 else ""


def _host_address(text: str) -> str | None:
    """The address in its usual spelling, without the length of its network and the name of an interface."""
    try:
        address = ipaddress.ip_address(re.split("[/%]", text)[0].strip("[]"))
    except ValueError:
        return None
    return None if address.is_unspecified or address.is_loopback or address.is_multicast else str(address)


def _mac_address(field: AssetField, text: str) -> _Read:
    given = [text] if len(_NOT_HEX.sub("", text)) == 12 else [each for each in _SEPARATORS.split(text[:1_000]) if each]
    plain = (_NOT_HEX.sub("", each).lower() for each in given)
    found = next((each for each in plain if re.fullmatch("[0-9a-f]{12}", each) and len(set(each)) > 1), None)
    if found is None:
        return None, f"{_shown(text)} is not the MAC address of a device: left out"
    doubt = f"the first of {len(given)} addresses" if len(given) > 1 else ""
    return ":".join(found[place : place + 2] for place in range(0, 12, 2)), doubt


_BY_KIND: dict[Kind, Callable[[AssetField, str], _Read]] = {
    Kind.TEXT: _text, Kind.WHOLE: _number, Kind.NUMBER: _number, Kind.FLAG: _flag, Kind.CATEGORY: _category,
    Kind.TAGS: _tags, Kind.DATE: _date,
}  # fmt: skip
_BY_NAME: dict[str, Callable[[AssetField, str], _Read]] = {
    "hostname": _host, "fqdn": _host, "ip_address": _ip_address, "mac_address": _mac_address,
}  # fmt: skip
_UNREMEMBERED = frozenset(name for name, field in FIELDS.items() if field.kind is Kind.TEXT)
