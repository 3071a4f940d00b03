"""What is sent about an invalid record: made from the record's own columns, so that a row is never blank. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

#: The columns of the sheet tab for people.
INVALID_PEOPLE_COLUMNS = (
    "Person ID",
    "Full Name",
    "Email",
    "Title",
    "Company ID",
    "LinkedIn URL",
    "Failure Reason",
    "Failures Count",
    "State",
    "Validated At",
    "Pipeline ID",
)

#: The columns of the sheet tab for companies.
INVALID_COMPANIES_COLUMNS = (
    "Company ID",
    "Company Name",
    "Website",
    "Employee Count",
    "Industry",
    "LinkedIn URL",
    "Failure Reason",
    "Failures Count",
    "Severity",
    "Missing Fields",
    "State",
    "Validated At",
    "Pipeline ID",
)

#: The columns by the type of the payload.
SHEET_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"person": INVALID_PEOPLE_COLUMNS, "company": INVALID_COMPANIES_COLUMNS}
)

#: What a pipeline id begins with, by the work that made the payload.
PIPELINE_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "person": "PRC-PV-",
        "company": "PRC-CV-",
        "revalidation": "RETRO-VAL-",
        "people_validation": "PEOPLE-VAL-",
        "readiness": "READINESS-EVAL-",
    }
)

_TABS = {"person": "Invalid_People", "company": "Invalid_Companies"}
# The worst first; the first two make a record invalid.
_SEVERITIES = ("CRITICAL", "ERROR", "WARNING", "INFO")

# Kept by the pipeline itself: they change without anybody having touched the record.
_BOOKKEEPING = frozenset(
    (
        "created_at",
        "current_phase",
        "last_phase_completed_at",
        "outreach_ready",
        "updated_at",
        "validated_at",
        "validation_status",
    )
)


@dataclass(frozen=True, slots=True)
class Routing:
    """What all payloads of one piece of work share. ``now`` is aware UTC; ``rule_set`` is the hash of the rules."""

    pipeline_id: str
    now: datetime
    rule_set: str
    sheet_id: str = ""


@dataclass(frozen=True, slots=True)
class Payload:
    """One invalid record. ``row_data`` holds the record's columns as plain JSON values.

    ``dedup_key`` is the sha256 of the record's identity and content and of the rules it was judged by: the same failure
    found twice has the same key, a record corrected in vain has another.
    """

    type: str
    reason_code: str
    row_data: Mapping[str, Any]
    state: str
    timestamp: str
    pipeline_id: str
    failures: tuple[Mapping[str, Any], ...]
    sheet_id: str
    sheet_tab: str
    dedup_key: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; ``from_json`` reads it back."""
        return {
            "type": self.type,
            "reason_code": self.reason_code,
            "row_data": dict(self.row_data),
            "state": self.state,
            "timestamp": self.timestamp,
            "pipeline_id": self.pipeline_id,
            "failures": [dict(failure) for failure in self.failures],
            "sheet_id": self.sheet_id,
            "sheet_tab": self.sheet_tab,
            "dedup_key": self.dedup_key,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Payload:
        """A payload kept as JSON, for instance in the outbox."""
        return cls(**{**content, "failures": tuple(content["failures"])})


def pipeline_id(work: str, now: datetime) -> str:
    """The prefix of the work, one of ``PIPELINE_PREFIXES``, followed by the time in seconds since 1970."""
    return f"{PIPELINE_PREFIXES[work]}{int(now.timestamp())}"


def person_payload(
    record: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
    routing: Routing,
    *,
    state: str | None = None,
) -> Payload:
    """The payload for an invalid person; ``state`` is the company's when the person's row has none."""
    return _payload("person", record, failures, routing, state)


def company_payload(
    record: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
    routing: Routing,
    *,
    state: str | None = None,
) -> Payload:
    """The payload for an invalid company."""
    return _payload("company", record, failures, routing, state)


def sheet_row(payload: Payload) -> dict[str, str]:
    """The row of the payload's sheet tab: every column of the tab, in order, as text.

    Reason, count and missing fields speak of the failures that make the record invalid, not of warnings.
    """
    row, decisive = payload.row_data, _decisive(payload.failures)
    values = {
        "Person ID": _first(row, "person_id", "unique_id"),
        "Full Name": _first(row, "full_name"),
        "Email": _first(row, "email"),
        "Title": _first(row, "title"),
        "Company ID": _first(row, "company_unique_id"),
        "Company Name": _first(row, "company_name"),
        "Website": _first(row, "website", "website_url"),
        "Employee Count": _first(row, "employee_count"),
        "Industry": _first(row, "industry"),
        "LinkedIn URL": _first(row, "linkedin_url"),
        "Failure Reason": _reason(decisive),
        "Failures Count": str(len(decisive)),
        "Severity": _worst(payload.failures),
        "Missing Fields": ", ".join(_fields(decisive)),
        "State": payload.state,
        "Validated At": payload.timestamp,
        "Pipeline ID": payload.pipeline_id,
    }
    return {column: values[column] for column in SHEET_COLUMNS[payload.type]}


def _payload(
    kind: str,
    record: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
    routing: Routing,
    state: str | None,
) -> Payload:
    row = {str(name): _plain(value) for name, value in record.items()}
    plain_failures = tuple({str(name): _plain(value) for name, value in each.items()} for each in failures)
    return Payload(
        type=kind,
        reason_code=_reason_code(plain_failures),
        row_data=row,
        state=_first(row, "state", "address_state") or state or "unknown",
        timestamp=routing.now.isoformat(),
        pipeline_id=routing.pipeline_id,
        failures=plain_failures,
        sheet_id=routing.sheet_id,
        sheet_tab=_TABS[kind],
        dedup_key=_dedup_key(kind, row, routing.rule_set),
    )


def _dedup_key(kind: str, row: Mapping[str, Any], rule_set: str) -> str:
    content = {name: value for name, value in row.items() if name not in _BOOKKEEPING}
    canonical = json.dumps([kind, content, rule_set], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(str(each) for each in value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(each) for each in value]
    return str(value)


def _reason_code(failures: Sequence[Mapping[str, Any]]) -> str:
    """The rule that failed worst, the first of several; ``invalid_<field>`` when the failure names no rule."""
    if not failures:
        return "unknown"
    worst = min(failures, key=_rank)
    return str(worst.get("rule_id") or worst.get("rule") or f"invalid_{worst.get('field', 'record')}")


def _decisive(failures: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in failures if _rank(each) <= _SEVERITIES.index("ERROR")]


def _rank(failure: Mapping[str, Any]) -> int:
    severity = str(failure.get("severity", "ERROR")).upper()
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _worst(failures: Sequence[Mapping[str, Any]]) -> str:
    return str(min(failures, key=_rank).get("severity", "ERROR")).upper() if failures else "INFO"


def _reason(failures: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{each.get('field', 'record')}: {each.get('message', '')}" for each in failures)


def _fields(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(each["field"]) for each in failures if "field" in each))


def _first(row: Mapping[str, Any], *names: str) -> str:
    """The first of the named columns that says something, as text."""
    for name in names:
        if row.get(name) not in (None, ""):
            return str(row[name])
    return ""
