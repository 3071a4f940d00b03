"""Whether mappings can be used: targets that exist, one source for each, a name, fitting types; and what values look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import isfinite
from statistics import fmean

from phasegate.apps.discovery.rules.dictionary import VALUE_WORDS, Entry
from phasegate.apps.discovery.rules.tokens import tokens
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, IDENTIFIERS, UNMAPPED, Kind
from phasegate.errors import did_you_mean

#: One of these targets gives an asset its name.
NAMING = ("name", "hostname", "asset_name")
#: Targets that a good inventory has.
RECOMMENDED = ("asset_type", "environment", "ip_address")
_COMMON = ("asset_name", "asset_type", "environment")
#: What assets of a type need before they are complete.
REQUIRED_BY_TYPE: dict[str, tuple[str, ...]] = {
    "server": ("hostname", *_COMMON, "operating_system"),
    "application": (*_COMMON, "business_owner"),
    "database": (*_COMMON, "database_type"),
    "network": (*_COMMON, "ip_address", "location"),
    "storage": (*_COMMON, "storage_gb", "location"),
}
#: Below the first a mapping is doubtful; below the second the mean is, below the third the least one.
LOW, LOW_MEAN, LOW_MINIMUM = 0.7, 0.6, 0.3

_BRACKETS = re.compile(r"[{}\[\]()<>]")
_NOTHING = frozenset({"", "null", "undefined", "none", "nan", "nil"})
# Which types of values a field takes; fields that are not here take any.
_TAKES: dict[Kind, frozenset[str]] = {
    Kind.WHOLE: frozenset({"whole", "number"}),
    Kind.NUMBER: frozenset({"whole", "number"}),
    Kind.DATE: frozenset({"date"}),
    Kind.FLAG: frozenset({"flag", "whole"}),
}
_TAKES_BY_NAME = {"ip_address": frozenset({"ip"}), "mac_address": frozenset({"mac"})}

# What stands in a cell for nothing, beside nothing.
_ABSENT = frozenset(
    {"", "-", "--", "?", "n/a", "na", "#n/a", "nan", "null", "none", "nil", "tbd", "tbc", "unknown", "undefined"}
)
_FLAGS = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f"})
_MAC = re.compile(r"(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}")
_WHOLE = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:[ ,.'\u2019\u00a0]\d{3})+)")
_NUMBER = re.compile(
    r"(?:[$\u20ac\u00a3]|usd|eur|gbp|chf)?\s?[+-]?\d[\d ,.'\u2019\u00a0]*(?:e[+-]?\d+)?\s?"
    r"(?:%|percent|[kmgtp]i?b(?:yte)?s?|[kmgt]o|bytes?|[kmg]b(?:it|ps)(?:/s)?|[kmg]?hz|v?cpus?|cores?|iops|vcores?|"
    r"[$\u20ac\u00a3]|usd|eur|gbp|chf)?"
)
# 10.0.17763 is no number with thousands.
_VERSION = re.compile(r"\d+(?:\.\d+){2,}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIME = r"(?:[t ,]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:am|pm)?\s*(?:z|utc|gmt|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[-/. ]+{_MONTH}[-/., ]+\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}}){_TIME}"
)
_FQDN = re.compile(r"(?=.{4,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]+\.?", re.IGNORECASE)
_ZONE = re.compile(r"[a-z]{2,}-[a-z]+-?\d-?[a-z]?|[a-z]+\d-[a-z]|[a-z]{2,}-[a-z]+\d?-\d", re.IGNORECASE)
# Fields whose values are told from those of other columns, and what they add to a heading that is open.
_TELLING = frozenset({*VALUE_WORDS, "ip_address", "mac_address", "fqdn", "availability_zone"})
_RAISED_BY = {"loose": 0.1, "values": 0.33}
_SEVERAL = re.compile(r"[,;|\s]+")
#: Longer values are text, whatever they look like.
_LONGEST = 100
#: What part of the values must have a type, so that a stray remark does not hide it.
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class MappingProblem:
    """Something wrong with mappings. A critical one stands in the way of the next phase, another one is a warning.

    ``source_field`` is the column it is about; None when it is about all of them together.
    """

    code: str
    message: str
    source_field: str | None
    critical: bool


def check_target(source_field: str, target_field: str) -> MappingProblem | None:
    """Why this target cannot be approved for this column; None when it can."""
    target = target_field.strip()
    if target == UNMAPPED:
        message = f"{_named(source_field)} has no target yet: choose a field, or {CUSTOM} to keep it as it is"
        return MappingProblem("unmapped_target", message, source_field, True)
    if _BRACKETS.search(target) or target.casefold() in _NOTHING or len(target) < 2:
        message = f"{_named(target)} is not a field name: choose a field of the asset for {_named(source_field)}"
        return MappingProblem("malformed_target", message, source_field, True)
    if target_field not in FIELDS and target_field != CUSTOM:
        hint = did_you_mean(target[:_LONGEST], (*FIELDS, CUSTOM)) or f"choose a field, or {CUSTOM}"
        message = f"{_named(source_field)}: assets have no field {_named(target_field)}; {hint}"
        return MappingProblem("unknown_target", message, source_field, True)
    return None


def check_mappings(
    approved: Mapping[str, str],
    confidences: Mapping[str, float] = {},
    field_types: Mapping[str, str] = {},
) -> tuple[MappingProblem, ...]:
    """Everything wrong with these mappings together, from column to target; the critical problems first.

    ``confidences`` and ``field_types`` (see ``field_type``) are by column; columns that are not in them, or not approved,
    are not judged by them. What is kept as a custom attribute needs no confidence.
    """
    problems = [
        *filter(None, (check_target(source, target) for source, target in approved.items())),
        *_without_name(approved),
        *_targets_taken(approved),
        *_not_recommended(approved),
        *_wrong_types(approved, field_types),
        *_low_confidences(approved, confidences),
    ]
    return tuple(sorted(problems, key=lambda problem: not problem.critical))


def missing_for_type(asset_type: str, targets: Iterable[str]) -> tuple[str, ...]:
    """The fields that assets of this type need and that are no target; nothing for a type without such a list.

    A name serves as the asset's name.
    """
    present = set(targets)
    if "name" in present:
        present.add("asset_name")
    return tuple(field for field in REQUIRED_BY_TYPE.get(asset_type.strip().casefold(), ()) if field not in present)


def field_type(samples: Iterable[str]) -> str:
    """What nearly all values of a column are: text, whole, number, flag, date, ip, mac; or empty when there are none.

    Whole numbers and numbers with decimals or units together are numbers. Words for nothing ("n/a") count as no value.
    """
    types = [each for each in map(value_type, samples) if each != "empty"]
    if not types:
        return "empty"
    most = max(sorted(set(types)), key=types.count)
    if most in ("whole", "number") and types.count("number"):
        most, types = "number", ["number" if each == "whole" else each for each in types]
    return most if types.count(most) >= _NEARLY_ALL * len(types) else "text"


def value_type(value: str) -> str:
    """What one value is; see ``field_type``. Several IP or MAC addresses in one cell are of that type as well."""
    plain = str(value).strip().casefold()
    if plain in _ABSENT:
        return "empty"
    if len(plain) > _LONGEST:
        return "text"
    if plain in _FLAGS:
        return "flag"
    parts = [part for part in _SEVERAL.split(plain) if part]
    if parts and all(map(_is_ip, parts)):  # first, because 192.168.100.200 could be a number with thousands
        return "ip"
    for name, pattern in (("whole", _WHOLE), ("date", _DATE), ("number", _NUMBER)):
        if pattern.fullmatch(plain) and not (name == "number" and _VERSION.fullmatch(plain)):
            return name
    return "mac" if parts and all(map(_MAC.fullmatch, parts)) else "text"


def _is_ip(part: str) -> bool:
    if "." not in part and ":" not in part:
        return False  # most values are none, and asking costs
    try:
        ip_address(part)
    except ValueError:
        return False
    return True


def has_shape(field: str, value: str) -> bool:
    """Whether a value looks like one of this field."""
    found = value_type(value)
    if field in VALUE_WORDS:
        return not VALUE_WORDS[field].isdisjoint(tokens(value[:_LONGEST]))
    if field == "fqdn":
        return found == "text" and _FQDN.fullmatch(value) is not None
    if field == "availability_zone":
        return _ZONE.fullmatch(value) is not None
    if field in ("external_id", "serial_number"):
        return found in ("text", "whole", "number") and " " not in value
    if field in NAMING:
        return found == "text" and not (field == "hostname" and " " in value)
    return field not in FIELDS or fits_field(field, found)


def weighed(entry: Entry, confidence: float, values: Iterable[str]) -> tuple[float, str]:
    """The confidence that a column is the entry's field after a look at its values, and a remark on them.

    Values of a shape that hardly another column has raise it, though never so far that an identifier which the heading
    leaves open becomes certain. Values without the shape lower it.
    """
    present = [value for value in values if value_type(value) != "empty"]
    if not present:
        return confidence, ""
    share = sum(has_shape(entry.field, value) for value in present) / len(present)
    if share >= 0.8 and entry.field in _TELLING:
        limit = 0.79 if entry.field in IDENTIFIERS and confidence < 0.8 else 0.97
        return min(confidence + _RAISED_BY.get(entry.grade, 0.02), limit), ", and the values have its shape"
    if share <= 0.2:
        mild = entry.field in VALUE_WORDS and entry.grade != "loose"  # there are more words than any list has
        return confidence * (0.85 if mild else 0.6), ", but the values do not look like it"
    return confidence, ""


def _without_name(approved: Mapping[str, str]) -> Iterator[MappingProblem]:
    if not any(field in approved.values() for field in NAMING):
        message = f"no column gives the assets a name: map one to {', '.join(NAMING[:-1])} or {NAMING[-1]}"
        yield MappingProblem("missing_name", message, None, True)


def _targets_taken(approved: Mapping[str, str]) -> Iterator[MappingProblem]:
    first: dict[str, str] = {}
    for source, target in approved.items():
        if target not in FIELDS:
            continue
        if target in first:
            message = f"{_named(source)} and {_named(first[target])} both fill {target}: keep one, and map the other elsewhere"
            yield MappingProblem("target_taken", message, source, True)
        first.setdefault(target, source)


def _not_recommended(approved: Mapping[str, str]) -> Iterator[MappingProblem]:
    for field in RECOMMENDED:
        if field not in approved.values():
            yield MappingProblem("recommended_missing", f"no column fills {field}, which is recommended", None, False)


def _wrong_types(approved: Mapping[str, str], field_types: Mapping[str, str]) -> Iterator[MappingProblem]:
    for source, target in approved.items():
        found = field_types.get(source, "empty")
        if target in FIELDS and not fits_field(target, found):
            message = (
                f"{_named(source)} holds values of type {_named(found)}, which {target} does not take: look at them"
            )
            yield MappingProblem("type_mismatch", message, source, False)


def fits_field(field: str, found: str) -> bool:
    """Whether a column whose type is ``found`` (see ``field_type``) can fill this field of an asset."""
    takes = _TAKES_BY_NAME.get(field) or _TAKES.get(FIELDS[field].kind)
    return takes is None or found == "empty" or found in takes


def _low_confidences(approved: Mapping[str, str], confidences: Mapping[str, float]) -> Iterator[MappingProblem]:
    judged = {
        source: confidences[source] for source, target in approved.items() if source in confidences and target != CUSTOM
    }
    wrong = [source for source, confidence in judged.items() if not _is_confidence(confidence)]
    for source in wrong:
        yield MappingProblem(
            "invalid_confidence", f"the confidence of {_named(source)} is not from 0 to 1", source, False
        )
        del judged[source]
    if not judged:
        return
    mean, low = fmean(judged.values()), sum(each < LOW for each in judged.values())
    if mean < LOW_MEAN:
        yield MappingProblem(
            "low_mean_confidence", f"the mean confidence is {mean:.2f}: look over the mappings", None, False
        )
    if low > len(judged) / 2:
        yield MappingProblem("mostly_low_confidence", f"{low} of {len(judged)} mappings are doubtful", None, False)
    least = min(judged, key=judged.__getitem__)
    if judged[least] < LOW_MINIMUM:
        message = f"the mapping of {_named(least)} has a confidence of only {judged[least]:.2f}: look at it"
        yield MappingProblem("low_minimum_confidence", message, least, False)


def _is_confidence(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and 0 <= value <= 1


def _named(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
