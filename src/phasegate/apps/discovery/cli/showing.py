"""Tables of mappings, assets, conflicts and of the data's profile, as people look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasegate.apps.discovery.cli.common import table
from phasegate.cli import output

#: The fields of an asset that a table has room for.
ASSET_COLUMNS = ("name", "asset_type", "environment", "criticality", "operating_system", "ip_address", "memory_gb")

#: What no two assets have in common, or what the table shows in columns of their own.
_OWN = ("id", "name", "description", "raw_import_records_id")


def mappings_table(mappings: Sequence[Mapping[str, Any]]) -> output.Table | str:
    """One row per column: what it is for, how sure that is, what else it could be."""
    rows = [
        (
            each["source_field"], each["target_field"], f"{each['confidence']:.2f}", each["band"], each["status"],
            ", ".join(name for name, _ in each["alternatives"] or ()), each["agent_reasoning"],
        )
        for each in mappings
    ]  # fmt: skip
    columns = ("column", "field", "confidence", "band", "status", "alternatives", "why")
    return table(columns, rows, "no mapping has been proposed yet")


def assets_table(assets: Sequence[Mapping[str, Any]], *, with_id: bool = False) -> output.Table | str:
    """One row per asset."""
    first = ("id",) if with_id else ()
    rows = [tuple(each.get(name) for name in (*first, *ASSET_COLUMNS)) for each in assets]
    return table((*first, *ASSET_COLUMNS), rows, "there are no assets")


def preview_table(assets: Sequence[Mapping[str, Any]]) -> output.Table | str:
    """One row per asset that would be made, with what was unclear about it."""
    columns = ("id", "row_number", *ASSET_COLUMNS[:4])
    rows = [
        (*(each.get(name) for name in columns), each["classification"]["rule"], "; ".join(each["warnings"]))
        for each in assets
    ]
    return table((*columns, "rule", "warnings"), rows, "there is nothing to make assets of")


def conflicts_table(conflicts: Sequence[Mapping[str, Any]]) -> output.Table | str:
    """One row per conflict: by what the two are alike, and in what they differ."""
    rows = [
        (
            each["id"], each["row_number"], each["conflict_type"], _met(each), each["new"]["name"],
            "; ".join(differences(each["existing"], each["new"])),
            each.get("problem") or each["resolution_action"] or each["resolution_status"],
        )
        for each in conflicts
    ]  # fmt: skip
    columns = ("conflict", "row", "alike by", "existing", "new", "differ in", "resolution")
    return table(columns, rows, "there are no conflicts")


def _met(conflict: Mapping[str, Any]) -> str:
    """The asset that a row met, and those that it met besides."""
    first = str(conflict["existing"]["name"])
    others = (each["name"] for each in conflict.get("matches", ())[1:])
    return ", ".join(dict.fromkeys([first, *map(str, others)]))


def differences(existing: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The fields that both have, and that differ."""
    names = [name for name in new if name in existing and name not in _OWN]
    return [f"{name}: {existing[name]} / {new[name]}" for name in names if existing[name] != new[name]]


def profile_parts(report: Mapping[str, Any]) -> list[str | output.Table]:
    """The scores, the columns, and what was found, the worst first."""
    scores = ", ".join(
        f"{name} {report[name]:.1f}" for name in ("completeness", "consistency", "compliance", "overall")
    )
    said = f"{report['total_records']:,} records, {report['total_fields']} columns; {scores}"
    profiles = report["field_profiles"]
    names = ("null_percentage", "unique_count", "min_length", "max_length")
    rows = [(name, *(each.get(key) for key in names)) for name, each in _named(profiles)]
    issues = [
        (level, each.get("field"), each.get("type"), each.get("affected"), each.get("limit"), each.get("longest"))
        for level, key in (("critical", "critical_issues"), ("warning", "warnings"), ("info", "info"))
        for each in report[key]
    ]
    parts: list[str | output.Table] = [said, table(("column", *names), rows, "")]
    if issues:
        parts.append(output.Table(("level", "column", "what", "values", "limit", "longest"), issues))
    if report.get("quarantined_rows"):
        parts.append(f"{report['quarantined_rows']} rows are in quarantine: their values look like an attack")
    parts += [f"{count} records were left out: {reason}" for reason, count in report.get("skipped_records", {}).items()]
    return parts


def _named(profiles: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(profiles, Mapping):
        return list(profiles.items())
    return [(each["field"], each) for each in profiles]
