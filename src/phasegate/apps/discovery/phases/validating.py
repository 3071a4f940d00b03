"""Judge an import by what all of its rows look like."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.discovery.phases.common import Place, load
from phasegate.apps.discovery.rules.mapping import suggest
from phasegate.apps.discovery.rules.profile import Profile, merge
from phasegate.apps.discovery.rules.profile_report import report
from phasegate.apps.discovery.rules.scan import Findings
from phasegate.apps.discovery.rules.scan import merge as merge_findings
from phasegate.apps.discovery.schema import FIELDS, Kind
from phasegate.apps.discovery.statements.imports import PROFILES, SKIPPED_REASONS

#: The outcome when people have to decide before the flow goes on.
ISSUES = "issues"


def profile_of(read: Any, where: Mapping[str, Any]) -> tuple[Profile, Findings]:
    """The profile of a whole import, and what was found in it. ``read`` is that of a context or an engine."""
    rows = read(PROFILES, where)
    profiles = [Profile.from_dict(load(row["profile"])) for row in rows]
    findings = [Findings.from_dict(load(row["findings"])) for row in rows]
    return reduce(merge, profiles, Profile()), reduce(merge_findings, findings, Findings())


def limits_of(targets: Mapping[str, str]) -> dict[str, int]:
    """How long the values of each column may be, by the field it is for."""
    fields = {source: FIELDS.get(target) for source, target in targets.items()}
    return {source: each.limit for source, each in fields.items() if each is not None and each.kind is Kind.TEXT}


def validate(context: Context) -> Any:
    """The report on the import, with the outcome ``issues`` when it says something that people have to decide."""
    place = Place.of(context)
    profile, findings = profile_of(context.read, place.where)
    likely = {each.source_field: each.target_field for each in suggest(list(profile.fields)) if each.confidence}
    found = report(profile, limits_of(likely), context.now())
    found["warnings"] = [*found["warnings"], *_personal(findings)]
    found["info"] = [*found["info"], *_formulas(findings)]
    found["quarantined_rows"] = len(findings.quarantined)
    found["skipped_records"] = {row["reason"]: row["n"] for row in context.read(SKIPPED_REASONS, place.where)}
    return Outcome(ISSUES, found) if found["requires_user_decision"] else found


def _personal(findings: Findings) -> list[dict[str, Any]]:
    return [
        {"type": "personal_data", "field": name, "affected": each.affected, "kinds": dict(each.kinds),
         "samples": list(each.samples)}
        for name, each in findings.personal.items()
    ]  # fmt: skip


def _formulas(findings: Findings) -> list[dict[str, Any]]:
    return [{"type": "formulas", "field": name, "affected": count} for name, count in findings.formulas.items()]
