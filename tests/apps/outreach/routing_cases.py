"""Records, failures and payloads the tests of routing share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from phasegate.apps.outreach.routing import (
    Delivery,
    Payload,
    Routing,
    company_payload,
    person_payload,
)

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
ROUTING = Routing("PRC-PV-1793523600", NOW, "rules-1", "sheet-1")
PERSON: Mapping[str, Any] = {
    "person_id": "P1",
    "full_name": "Jane Roe",
    "email": "jane at acorn.example",
    "title": "CFO",
    "company_unique_id": "C1",
    "linkedin_url": None,
    "updated_at": NOW,
}
COMPANY: Mapping[str, Any] = {
    "company_unique_id": "C1",
    "company_name": "Acorn",
    "website": "www.acorn.example",
    "employee_count": 12,
    "industry": "Tools",
    "state": "WV",
}
FAILURES = (
    {"field": "updated_at", "rule": "updated_at_required", "message": "is missing", "severity": "WARNING"},
    {"field": "email", "rule": "email_format", "message": "is not an address", "severity": "ERROR"},
    {"field": "person_id", "rule": "person_id_required", "message": "is missing", "severity": "CRITICAL"},
)


def person(**changes: Any) -> Payload:
    return person_payload({**PERSON, **changes}, FAILURES, ROUTING, state="OH")


def company(**changes: Any) -> Payload:
    return company_payload({**COMPANY, **changes}, FAILURES[1:2], ROUTING)


def people(count: int) -> list[Payload]:
    return [person(person_id=f"P{number}") for number in range(count)]


def all_delivered(deliveries: list[Delivery]) -> bool:
    return all(delivery.delivered for delivery in deliveries)
