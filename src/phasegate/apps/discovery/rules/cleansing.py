"""A raw row becomes a cleansed one: trimmed, its columns renamed by the approved mappings, its decisions carried out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from phasegate.apps.discovery.rules.profile_report import DECISIONS
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED

#: What exports write into a cell that has no value, in lower case.
NULL_WORDS = frozenset(
    {"", "null", "none", "n/a", "-", "--", "nan", "(null)", "<null>", "#n/a", "#null!", "#ref!", "#value!", "#div/0!"}
)
#: A row that has none of these can hardly be told from another.
TELLING = ("name", "asset_name", "hostname", "fqdn", "ip_address", "serial_number", "external_id")

_DELIMITERS = ",;|"


@dataclass(frozen=True, slots=True)
class Cleansed:
    """One cleansed row. ``data`` has asset fields, ``custom`` the other columns under their own names; neither nests.

    A row with errors has nothing to make an asset of. Warnings say what was moved, cut, left out or is missing.
    """

    data: dict[str, Any]
    custom: dict[str, Any]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def cleanse(
    row: Mapping[str, Any],
    mappings: Mapping[str, str],
    decisions: Mapping[str, str],
    dropped: Collection[str] = (),
    limits: Mapping[str, int] | None = None,
) -> Cleansed:
    """Cleanse a row. ``mappings`` and ``decisions`` are by source column; ``dropped`` are the columns to leave out.

    ``limits`` says how many characters a value of a column may have by what people were shown when they decided on it; where
    it says nothing, the limit is that of the field.

    No other column is lost: one without an asset field goes to ``custom``. When several columns have the same field, the
    first with a value fills it and the others go to ``custom`` with a warning. Never raises for a row of JSON values.
    """
    draft = _Draft(mappings, decisions, frozenset(row), limits or {})
    for source, given in row.items():
        value = None if source in dropped else _value(given)
        if value is not None:
            draft.take(source, value)
    if not draft.data and not draft.custom:
        return Cleansed({}, {}, ("the row has no values",), tuple(draft.warnings))
    if not any(draft.data.get(name) for name in TELLING):
        draft.warnings.append(f"nothing names the asset: the row has none of {', '.join(TELLING)}")
    return Cleansed(draft.data, draft.custom, (), tuple(draft.warnings))


def quality(valid: int, total: int, filled: int, cells: int, enriched: int) -> dict[str, Any]:
    """Figures in percent: ``validity``, ``completeness``, ``enrichment``, ``overall``, and its ``band``.

    ``valid`` and ``enriched`` are rows out of ``total``, ``filled`` is out of ``cells``. Overall is .4 validity, .4
    completeness and .2 enrichment; it is high from 80, medium from 60, and low below. Without rows all is 0.
    """
    validity, completeness, enrichment = _percent(valid, total), _percent(filled, cells), _percent(enriched, total)
    overall = round(0.4 * validity + 0.4 * completeness + 0.2 * enrichment, 2)
    return {
        "validity": round(validity, 2),
        "completeness": round(completeness, 2),
        "enrichment": round(enrichment, 2),
        "overall": overall,
        "band": "high" if overall >= 80 else "medium" if overall >= 60 else "low",
    }


def _percent(part: int, whole: int) -> float:
    return min(100.0, max(0.0, 100.0 * part / whole)) if whole > 0 else 0.0


@dataclass(slots=True)
class _Draft:
    """The row as far as its columns have been taken."""

    mappings: Mapping[str, str]
    decisions: Mapping[str, str]
    columns: frozenset[str]
    limits: Mapping[str, int]
    data: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def take(self, source: str, value: Any) -> None:
        target = self.mappings.get(source, CUSTOM)
        if target not in FIELDS and target not in (CUSTOM, UNMAPPED):
            self.warnings.append(f"{source!r} is mapped to {target!r}, which no asset has: kept under its own name")
        kept = self._decided(source, target, value)
        if kept is None:
            return
        if target not in FIELDS:
            self.custom[source] = kept
        elif target not in self.data:
            self.data[target] = kept
        elif self.data[target] != kept:
            self.custom[source] = kept
            self.warnings.append(
                f"{target!r} has a value from another column already: {source!r} kept under its own name"
            )

    def _decided(self, source: str, target: str, value: Any) -> Any:
        decision = self.decisions.get(source, "keep")
        if decision == "skip":
            return self._unless_too_long(source, target, value)
        if decision == "split" and isinstance(value, str):
            return self._split(source, value)
        if decision == "truncate" and isinstance(value, str) and target in FIELDS:
            return self._truncated(source, value, FIELDS[target].limit)
        if decision not in DECISIONS:
            self.warnings.append(f"{decision!r} for {source!r} is none of {', '.join(DECISIONS)}: kept as it is")
        return value

    def _split(self, source: str, value: str) -> str:
        """The first part; the rest goes to ``custom``. The delimiter is the one that makes the most parts."""
        delimiter = max(_DELIMITERS, key=value.count)
        first, *rest = [part for each in value.split(delimiter) if (part := each.strip())] or [value]
        if rest:
            name = f"{source} (more)"
            while name in self.columns or name in self.custom:
                name += "+"
            self.custom[name] = f"{delimiter} ".join(rest)
        return first

    def _unless_too_long(self, source: str, target: str, value: Any) -> Any:
        """None for a value that is longer than the person was told it may be; a column that no field is for has room for all."""
        if target not in FIELDS:
            return value
        length = len(str(value))
        if length <= self.limits.get(source, FIELDS[target].limit):
            return value
        self.warnings.append(f"{source!r} left out: {length} characters")
        return None

    def _truncated(self, source: str, value: str, limit: int) -> str:
        if len(value) > limit:
            self.warnings.append(f"{source!r} cut from {len(value)} to {limit} characters")
        return value[:limit].rstrip()


def _value(given: Any) -> Any:
    """The value without what surrounds it, None when there is none. What nests becomes JSON text."""
    if isinstance(given, str):
        text = given.strip().strip("\ufeff\x00").strip()
        return None if text.lower() in NULL_WORDS else text
    if isinstance(given, float):
        return given if isfinite(given) else None
    if given is None or isinstance(given, bool | int):
        return given
    if isinstance(given, list | tuple):
        return _list(list(given))
    return _json(given) if given else None


def _list(given: list[Any]) -> Any:
    if any(isinstance(each, list | tuple | Mapping) for each in given):
        return _json(given)
    return [value for each in given if (value := _value(each)) is not None] or None


def _json(given: Any) -> str:
    try:
        return json.dumps(given, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # refers to itself, or nests beyond all measure
        return "(a value that cannot be shown)"
