"""Cleanse the rows of an import by the approved mappings, each as its own row, never losing one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from phasegate import Context, Fatal
from phasegate.apps.discovery.phases.common import PIECE, Place, dump, left, load, more, rows_after
from phasegate.apps.discovery.phases.validating import limits_of, profile_of
from phasegate.apps.discovery.rules.cleansing import Cleansed, cleanse, quality
from phasegate.apps.discovery.rules.mapping import heading_unit, suggest
from phasegate.apps.discovery.rules.profile import Profile
from phasegate.apps.discovery.rules.profile_report import DECISIONS, critical_fields, report, undecided
from phasegate.apps.discovery.schema import FIELDS, Kind
from phasegate.apps.discovery.statements.imports import CLEANSED, COUNT_ROWS
from phasegate.apps.discovery.statements.mappings import MAPPINGS


def mappings_of(read: Any, where: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The approved mappings, source to target, and the columns that people want to leave out."""
    rows = read(MAPPINGS, where)
    approved = {row["source_field"]: row["target_field"] for row in rows if row["status"] == "approved"}
    return approved, tuple(row["source_field"] for row in rows if row["status"] == "rejected")


def cleanse_rows(context: Context) -> Any:
    """One piece of the rows; then the next, or the summary.

    Asks what is to become of values that are too long for the field that people have chosen for them, when nobody has decided
    that yet. Raises ``Fatal`` when there is nothing to cleanse, or when not every row was.
    """
    place, state = Place.of(context), left(context)
    approved, dropped = mappings_of(context.read, place.where)
    if not approved:
        raise Fatal("no mapping is approved: there is nothing that rows could be cleansed by")
    counts = Counter(state.get("counts", {}))
    decisions, limits = state.get("decisions"), state.get("limits", {})
    if decisions is None:
        profile, _ = profile_of(context.read, place.where)
        counts["columns"] = len(profile.fields)
        decisions, question = _decisions(context, profile, approved)
        if question is not None:
            return context.ask(question)
        limits = _limits_shown(context, profile, approved)
    rows = rows_after(context, place, state.get("row", 0))
    units = _units(approved)
    for row in rows:
        before = load(row["validation_errors"]) if not row["is_valid"] else None
        found = cleanse(load(row["raw_data"]), approved, decisions, dropped, limits)
        _add_units(found.data, units)
        _count(counts, found, valid=bool(row["is_valid"]))
        context.write(CLEANSED, _written(place, row, found, before))
    if len(rows) == PIECE:
        total = state.get("total") or context.read(COUNT_ROWS, place.where)[0]["n"]
        after = {"row": rows[-1]["row_number"], "counts": dict(counts), "decisions": decisions, "limits": limits}
        return more(context, after, counts["rows"], total)
    return _summary(context, place, counts)


def _units(approved: Mapping[str, str]) -> dict[str, str]:
    """The units that columns name in their headings ("Memory (MB)"), by the field they are for."""
    named = {target: heading_unit(source) for source, target in approved.items()}
    return {
        target: unit
        for target, unit in named.items()
        if unit and target in FIELDS and FIELDS[target].kind in (Kind.WHOLE, Kind.NUMBER) and FIELDS[target].unit
    }


def _add_units(data: dict[str, Any], units: Mapping[str, str]) -> None:
    """Give numbers the unit of their heading; what has a unit of its own keeps that."""
    for target, unit in units.items():
        value = str(data.get(target, ""))
        if value and not value[-1].isalpha():
            data[target] = f"{value} {unit}"


def _decisions(context: Context, profile: Profile, approved: Mapping[str, str]) -> tuple[dict[str, str], Any]:
    """What was decided about long values, and a question about those that nobody has decided on."""
    given = (context.inputs.get("data_decisions") or {}).get("answers") or {}
    decisions = {**given.get("decisions", {}), **(context.answers or {})}
    found = report(profile, limits_of(approved), context.now())
    known = {name: word for name, word in decisions.items() if name in critical_fields(found)}
    open_ones = undecided(found, known)
    if not open_ones:
        return decisions, None
    issues = [each for each in found["critical_issues"] if each["field"] in open_ones]
    return decisions, {"fields": list(open_ones), "issues": issues, "choices": list(DECISIONS)}


def _limits_shown(context: Context, profile: Profile, approved: Mapping[str, str]) -> dict[str, int]:
    """How long values may be by what people were told when they decided: by the field that was likely before the mapping, or
    by the one that they chose when it was asked here."""
    likely = {each.source_field: each.target_field for each in suggest(list(profile.fields)) if each.confidence}
    chosen = {source: target for source, target in approved.items() if source in (context.answers or {})}
    return limits_of(likely) | limits_of(chosen)


def _written(place: Place, row: Mapping[str, Any], found: Cleansed, before: Any) -> dict[str, Any]:
    said = [*(before or []), *found.errors, *found.warnings]
    return {
        **place.where, "row": row["row_number"], "data": dump({"data": found.data, "custom": found.custom}),
        "errors": dump(said) if said else None, "valid": before is None and not found.errors,
    }  # fmt: skip


def _count(counts: Counter[str], found: Cleansed, *, valid: bool) -> None:
    counts["rows"] += 1
    counts["valid"] += valid and not found.errors
    counts["warnings"] += len(found.warnings)
    counts["filled"] += len(found.data) + len(found.custom)
    counts["enriched"] += bool(found.data)


def _summary(context: Context, place: Place, counts: Counter[str]) -> dict[str, Any]:
    """What was done. Whether it is in the database is looked at by whoever works on it: it is committed with this."""
    total = context.read(COUNT_ROWS, place.where)[0]["n"]
    if not counts["rows"] or counts["rows"] != total:
        raise Fatal(f"CLEANSING_FAILED: {counts['rows']} of {total} rows were cleansed")
    cells = counts["rows"] * max(1, counts["columns"])
    return {
        "raw_count": total, "cleaned_count": counts["rows"], "warnings": counts["warnings"], "valid_count": counts["valid"],
        "quality_metrics": quality(counts["valid"], total, counts["filled"], cells, counts["enriched"]),
    }  # fmt: skip
