"""What a profile says about an inventory: scores, what needs a person's decision, and which of the decisions are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from phasegate.apps.discovery.errors import ValidationFailed
from phasegate.apps.discovery.rules.profile import LIMITS, FieldProfile, Profile
from phasegate.apps.discovery.rules.scan import is_sensitive, looks_personal, mask
from phasegate.errors import did_you_mean

#: What may be decided about a field.
SPLIT, TRUNCATE, SKIP, KEEP = DECISIONS = ("split", "truncate", "skip", "keep")
#: The types of issues.
LENGTH, LIST, EMPTY = "length_exceeded", "multi_value", "mostly_null"
#: A field with a greater share of nulls than this is mentioned.
MOSTLY_NULL = 0.5

_SAMPLES_SHOWN = 5

Report = dict[str, Any]


def report(
    profile: Profile, limits: Mapping[str, int], generated_at: datetime, labels: Mapping[str, str] | None = None
) -> Report:
    """What people are shown about a profile, ready for JSON.

    ``limits`` says for each source field how many characters its target may have; a field that is not there has no limit.
    ``labels`` are what to call fields, other than by their own names. Scores are 0 to 100. Issues have a type, field, label,
    limit, longest, excess, affected (a number of values, exact), samples (masked where they are personal) and recommendations
    (the best one first). Critical ones each need a decision.

    Raises ValidationFailed for a limit that no target has, because values are counted for those of ``LIMITS`` only.
    """
    _refuse_uncounted(profile, limits)
    fields = profile.fields
    critical = [_too_long(name, each, limits[name]) for name, each in fields.items() if _violates(name, each, limits)]
    warnings = [_list(name, each) for name, each in fields.items() if each.list_count]
    info = [_mostly_null(name, each) for name, each in fields.items() if each.nulls > profile.rows * MOSTLY_NULL]
    for issue in (*critical, *warnings, *info):
        issue["label"] = (labels or {}).get(issue["field"], issue["field"])
    return {
        "generated_at": generated_at.astimezone(UTC).isoformat(),
        "total_records": profile.rows,
        "total_fields": len(fields),
        **_scores(profile, len(critical)),
        "critical_issues": critical,
        "warnings": warnings,
        "info": info,
        "field_profiles": {name: _figures(each, profile.rows) for name, each in fields.items()},
        "requires_user_decision": bool(critical),
        "blocking_issue_count": len(critical),
    }


def critical_fields(report: Report) -> tuple[str, ...]:
    """The fields that need a decision before the flow goes on, in the order of the report."""
    return tuple(dict.fromkeys(issue["field"] for issue in report["critical_issues"]))


def undecided(report: Report, decisions: Mapping[str, str]) -> tuple[str, ...]:
    """The critical fields that nothing is decided about yet; ``decisions`` has one of ``DECISIONS`` for a field.

    Raises ValidationFailed, which lists all of them, for decisions about unknown fields and for other words.
    """
    problems = [*_unknown_fields(report, decisions), *_unknown_words(decisions)]
    if problems:
        raise ValidationFailed(problems)
    return tuple(name for name in critical_fields(report) if name not in decisions)


def _refuse_uncounted(profile: Profile, limits: Mapping[str, int]) -> None:
    allowed = ", ".join(map(str, LIMITS))
    wrong = [name for name, limit in limits.items() if name in profile.fields and limit not in LIMITS]
    if wrong:
        raise ValidationFailed(
            f"field {name!r} has a limit of {limits[name]!r}, for which no values are counted: use one of {allowed}"
            for name in wrong
        )


def _violates(name: str, profile: FieldProfile, limits: Mapping[str, int]) -> bool:
    return name in limits and profile.longest > limits[name]


def _too_long(name: str, profile: FieldProfile, limit: int) -> dict[str, Any]:
    samples = (text for length, text in profile.long_samples if length > limit)
    advice = (SPLIT, TRUNCATE, SKIP, KEEP) if profile.list_count else (TRUNCATE, SKIP, KEEP)
    return _issue(LENGTH, name, profile, samples, advice) | {
        "limit": limit,
        "excess": profile.longest - limit,
        "affected": profile.over.get(limit, 0),
    }


def _list(name: str, profile: FieldProfile) -> dict[str, Any]:
    samples = profile.list_samples[:_SAMPLES_SHOWN]
    return _issue(LIST, name, profile, samples, (SPLIT, KEEP)) | {
        "affected": profile.list_count,
        "delimiters": dict(profile.lists),
    }


def _mostly_null(name: str, profile: FieldProfile) -> dict[str, Any]:
    return _issue(EMPTY, name, profile, (), (KEEP, SKIP)) | {"affected": profile.nulls}


def _issue(
    kind: str, name: str, profile: FieldProfile, samples: Iterable[str], advice: tuple[str, ...]
) -> dict[str, Any]:
    masked = [mask(text) if is_sensitive(name) or looks_personal(text) else text for text in samples]
    return {
        "type": kind,
        "field": name,
        "limit": None,
        "longest": profile.longest,
        "excess": None,
        "affected": 0,
        "samples": masked,
        "recommendations": list(advice),
    }


def _scores(profile: Profile, violating: int) -> dict[str, float]:
    values = sum(each.values for each in profile.fields.values())
    alike = sum(each.alike for each in profile.fields.values())
    completeness = _percent(values, profile.rows * len(profile.fields))
    consistency = _percent(alike, values)
    compliance = _percent(len(profile.fields) - violating, len(profile.fields))
    return {
        "completeness": round(completeness, 2),
        "consistency": round(consistency, 2),
        "compliance": round(compliance, 2),
        "overall": round((completeness + consistency + compliance) / 3, 2),
    }


def _percent(part: int, whole: int) -> float:
    """100.0 when there is nothing that could be wrong."""
    return 100 * part / whole if whole else 100.0


def _figures(profile: FieldProfile, rows: int) -> dict[str, Any]:
    return {
        "null_count": profile.nulls,
        "null_percentage": round(100 * profile.nulls / rows, 2) if rows else 0.0,
        "unique_count": profile.unique_count,
        "unique_capped": profile.unique is None,
        "min_length": profile.shortest,
        "max_length": profile.longest,
        "mean_length": round(profile.mean_length, 2),
        "kinds": dict(profile.looks),
        "consistency": round(_percent(profile.alike, profile.values), 2),
        "multi_value_count": profile.list_count,
    }


def _unknown_fields(report: Report, decisions: Mapping[str, str]) -> Iterable[str]:
    known = report["field_profiles"]
    for name in decisions:
        if name not in known:
            yield f"there is no field {name!r} to decide about: {did_you_mean(name, known) or 'see field_profiles'}"


def _unknown_words(decisions: Mapping[str, str]) -> Iterable[str]:
    for name, word in decisions.items():
        if word not in DECISIONS:
            yield f"field {name!r} has the decision {word!r}: use one of {', '.join(DECISIONS)}"
