"""What is sent about an invalid record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from phasegate.apps.outreach.routing import (
    INVALID_COMPANIES_COLUMNS,
    INVALID_PEOPLE_COLUMNS,
    Payload,
    Routing,
    company_payload,
    person_payload,
    pipeline_id,
    sheet_row,
)
from tests.apps.outreach.routing_cases import (
    COMPANY,
    FAILURES,
    NOW,
    PERSON,
    ROUTING,
    company,
    person,
)


def test_a_payload_holds_the_records_own_columns() -> None:
    payload = person()
    assert payload.to_json() == {
        "type": "person",
        "reason_code": "person_id_required",
        "row_data": {**PERSON, "updated_at": "2026-11-01T09:00:00+00:00"},
        "state": "OH",
        "timestamp": "2026-11-01T09:00:00+00:00",
        "pipeline_id": "PRC-PV-1793523600",
        "failures": [dict(failure) for failure in FAILURES],
        "sheet_id": "sheet-1",
        "sheet_tab": "Invalid_People",
        "dedup_key": payload.dedup_key,
    }
    assert Payload.from_json(json.loads(json.dumps(payload.to_json()))) == payload


def test_the_state_is_the_records_then_the_callers_then_unknown() -> None:
    assert company().state == "WV"
    assert company_payload({**COMPANY, "state": None}, (), ROUTING, state="OH").state == "OH"
    assert company_payload({**COMPANY, "state": ""}, (), ROUTING).state == "unknown"


def test_the_reason_code_is_the_worst_rule() -> None:
    assert company().reason_code == "email_format"
    assert company_payload(COMPANY, [{"field": "website", "message": "x"}], ROUTING).reason_code == "invalid_website"
    assert company_payload(COMPANY, [], ROUTING).reason_code == "unknown"


def test_the_rows_of_both_tabs() -> None:
    row = sheet_row(person())
    assert tuple(row) == INVALID_PEOPLE_COLUMNS
    assert row == {
        "Person ID": "P1",
        "Full Name": "Jane Roe",
        "Email": "jane at acorn.example",
        "Title": "CFO",
        "Company ID": "C1",
        "LinkedIn URL": "",
        "Failure Reason": "email: is not an address; person_id: is missing",
        "Failures Count": "2",
        "State": "OH",
        "Validated At": "2026-11-01T09:00:00+00:00",
        "Pipeline ID": "PRC-PV-1793523600",
    }
    row = sheet_row(company())
    assert tuple(row) == INVALID_COMPANIES_COLUMNS
    assert (row["Company ID"], row["Company Name"], row["Employee Count"]) == ("C1", "Acorn", "12")
    assert (row["Severity"], row["Missing Fields"], row["State"]) == ("ERROR", "email", "WV")


@pytest.mark.parametrize(
    ("work", "prefix"),
    [
        ("person", "PRC-PV-"),
        ("company", "PRC-CV-"),
        ("revalidation", "RETRO-VAL-"),
        ("people_validation", "PEOPLE-VAL-"),
        ("readiness", "READINESS-EVAL-"),
    ],
)
def test_pipeline_ids(work: str, prefix: str) -> None:
    assert pipeline_id(work, NOW) == f"{prefix}{int(NOW.timestamp())}"


def test_the_key_follows_identity_content_and_rules_and_nothing_else() -> None:
    key = person().dedup_key
    later = Routing("PRC-PV-9", datetime(2027, 1, 1, tzinfo=UTC), "rules-1")
    same = person_payload({**PERSON, "validation_status": "invalid", "updated_at": "x"}, FAILURES[:1], later)
    assert same.dedup_key == key
    assert person_payload(dict(reversed(list(PERSON.items()))), FAILURES, ROUTING).dedup_key == key
    others = [
        person(person_id="P2"),
        person(email="jane@acorn.example"),
        person_payload(PERSON, FAILURES, Routing("PRC-PV-1", NOW, "rules-2")),
        company_payload(PERSON, FAILURES, ROUTING),
    ]
    assert len({key, *(each.dedup_key for each in others)}) == 5


def test_values_json_does_not_know_become_plain() -> None:
    row = person(
        score=Decimal("1.50"), tags={"b", "a"}, place=Path("x"), bad=float("nan"), many=(1, {"k": NOW}), raw=b"x"
    ).row_data
    assert row["score"] == "1.50"
    assert row["tags"] == ["a", "b"]
    assert row["place"] == "x"
    assert row["bad"] == "nan"
    assert row["many"] == [1, {"k": "2026-11-01T09:00:00+00:00"}]
    assert row["raw"] == "b'x'"
