from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.readiness import BUCKETS, evaluate_readiness
from tests.apps.outreach.rules.damage import collections, records

Rows = list[dict[str, Any]]

HOME = "04.04.02.04.30000.001"
COMPANY = {"company_unique_id": HOME, "company_name": "Acme Corp", "validation_status": "valid"}
TITLES = {"CEO": "Chief Executive Officer", "CFO": "CFO", "HR": "Chief People Officer"}
SLOTS = [
    {"slot_type": kind, "is_filled": True, "person_unique_id": f"p-{kind}", "company_slot_unique_id": f"s-{kind}"}
    for kind in TITLES
]
PEOPLE = [
    {"unique_id": f"p-{kind}", "company_unique_id": HOME, "title": title, "email": f"{kind.lower()}@acme.example"}
    for kind, title in TITLES.items()
]
ENRICHMENTS = [{"person_unique_id": f"p-{kind}", "enrichment_status": "completed"} for kind in TITLES]
VERIFICATIONS: Rows = [
    {"person_unique_id": f"p-{kind}", "verification_status": "valid", "verified_at": "2026-11-01T00:00:00Z"}
    for kind in TITLES
]


def change(rows: Rows, position: int, **changes: object) -> Rows:
    return [{**row, **changes} if at == position else row for at, row in enumerate(rows)]


def judged(
    company: object = COMPANY,
    slots: Rows | None = None,
    people: Rows | None = None,
    enrichments: Rows | None = None,
    verifications: Rows | None = None,
) -> dict[str, Any]:
    return evaluate_readiness(
        company,
        SLOTS if slots is None else slots,
        PEOPLE if people is None else people,
        ENRICHMENTS if enrichments is None else enrichments,
        VERIFICATIONS if verifications is None else verifications,
    ).to_result()


def test_a_company_with_everything_is_ready() -> None:
    found = judged()
    slots = found.pop("slot_results")
    assert found == {
        "company_unique_id": HOME,
        "company_name": "Acme Corp",
        "outreach_ready": True,
        "reason": "All checks passed",
        "missing_slots": [],
        "total_checks": 15,
        "executed_checks": 15,
        "passed_checks": 15,
    }
    assert [slot["slot_type"] for slot in slots] == ["CEO", "CFO", "HR"]
    assert slots[0] == {
        "slot_type": "CEO",
        "person_id": "p-CEO",
        "checks": dict.fromkeys(BUCKETS, True),
        "failures": [],
        "passed": True,
    }


@pytest.mark.parametrize(
    ("company", "reason"),
    [
        (None, "Company does not exist"),
        ({}, "Company does not exist"),
        ({**COMPANY, "validation_status": "pending"}, "Company is not valid"),
        ({**COMPANY, "validation_status": None}, "Company is not valid"),
    ],
)
def test_a_missing_or_not_valid_company_is_judged_no_further(company: object, reason: str) -> None:
    found = judged(company)
    assert (found["outreach_ready"], found["reason"], found["slot_results"]) == (False, reason, [])
    assert (found["total_checks"], found["executed_checks"], found["passed_checks"]) == (15, 0, 0)


def test_missing_slots_are_named_in_order_and_the_others_are_judged() -> None:
    found = judged(slots=[SLOTS[1]])
    assert (found["outreach_ready"], found["reason"]) == (False, "Missing slots: CEO, HR")
    assert (found["missing_slots"], found["executed_checks"], found["passed_checks"]) == (["CEO", "HR"], 5, 5)


@pytest.mark.parametrize("changes", [{"is_filled": False}, {"person_unique_id": None}, {"is_filled": None}])
def test_an_unfilled_slot_ends_its_checks_at_the_first(changes: dict[str, object]) -> None:
    found = judged(slots=change(SLOTS, 1, **changes))
    assert found["slot_results"][1]["failures"] == ["slot_not_filled"]
    assert (found["reason"], found["executed_checks"], found["passed_checks"]) == ("CFO slot is not filled", 11, 10)
    assert not any(found["slot_results"][1]["checks"].values())


def test_a_person_who_does_not_exist_ends_the_checks_at_the_second() -> None:
    found = judged(people=PEOPLE[1:])
    assert found["slot_results"][0]["failures"] == ["person_not_found"]
    assert found["slot_results"][0]["checks"]["is_filled"] is True
    assert (found["executed_checks"], found["passed_checks"]) == (12, 11)


@pytest.mark.parametrize("rows", [[], [{"person_unique_id": "p-HR", "enrichment_status": "failed"}]])
def test_without_a_successful_enrichment_a_slot_fails(rows: Rows) -> None:
    found = judged(enrichments=ENRICHMENTS[:2] + rows)
    assert found["slot_results"][2]["failures"] == ["enrichment_missing"]
    assert (found["executed_checks"], found["passed_checks"]) == (15, 14)


def test_an_enrichment_may_name_the_slot_but_not_another_person() -> None:
    by_slot = [{"company_slot_unique_id": f"s-{kind}", "enrichment_status": "success"} for kind in TITLES]
    assert judged(enrichments=by_slot)["outreach_ready"] is True
    of_a_predecessor = [{**row, "person_unique_id": "p-gone"} for row in by_slot]
    assert judged(enrichments=of_a_predecessor)["slot_results"][0]["failures"] == ["enrichment_missing"]


def test_the_most_recent_verification_decides() -> None:
    later: dict[str, Any] = {
        "person_unique_id": "p-CEO",
        "verification_status": "invalid",
        "verified_at": "2026-11-02T00:00:00Z",
    }
    earlier: dict[str, Any] = {**later, "verified_at": "2026-10-01T00:00:00Z"}
    undated: dict[str, Any] = {**later, "verified_at": None}
    for step in (1, -1):
        assert judged(verifications=[*VERIFICATIONS, later][::step])["reason"] == "CEO email is not verified"
        assert judged(verifications=[*VERIFICATIONS, earlier, undated][::step])["outreach_ready"] is True


def test_the_verification_of_a_former_address_proves_nothing() -> None:
    by_address = [{"email": f"{kind}@ACME.example", "email_status": "valid"} for kind in TITLES]
    assert judged(verifications=by_address)["outreach_ready"] is True
    moved = change(PEOPLE, 2, email="new@acme.example")
    assert judged(people=moved, verifications=by_address)["slot_results"][2]["failures"] == ["email_not_verified"]
    nameless = [{"verification_status": "valid"}]
    assert judged(verifications=nameless)["passed_checks"] == 12


@pytest.mark.parametrize(("position", "title"), [(0, "CFO"), (1, "President"), (2, "Assistant to the CHRO"), (0, None)])
def test_the_title_must_fit_the_slot(position: int, title: object) -> None:
    found = judged(people=change(PEOPLE, position, title=title))
    assert found["slot_results"][position]["failures"] == ["title_mismatch"]


def test_a_title_of_two_offices_fits_either_slot() -> None:
    both = change(change(PEOPLE, 0, title="President & CFO"), 1, title="President & CFO")
    assert judged(people=both)["outreach_ready"] is True


def test_a_person_of_another_company_makes_the_company_not_ready() -> None:
    found = judged(people=change(PEOPLE, 1, company_unique_id="04.04.02.04.30000.002"))
    assert (found["outreach_ready"], found["reason"]) == (False, "CFO person belongs to another company")
    assert found["slot_results"][1]["checks"]["belongs_to_company"] is False
    assert (found["executed_checks"], found["passed_checks"]) == (15, 15)


def test_the_first_reason_follows_the_slot_order_and_not_the_row_order() -> None:
    unfilled = [{**row, "is_filled": False} for row in SLOTS]
    assert judged(slots=unfilled)["reason"] == judged(slots=unfilled[::-1])["reason"] == "CEO slot is not filled"


def test_every_failed_check_is_counted_in_its_bucket() -> None:
    people = [{**row, "title": "Coach", "company_unique_id": "other"} for row in PEOPLE]
    found = evaluate_readiness(COMPANY, SLOTS, people, [], [])
    per_slot = ("enrichment_missing", "email_not_verified", "title_mismatch", "wrong_company")
    assert found.failures == per_slot * 3


@given(records, collections, collections, collections, collections)
def test_no_rows_make_the_evaluation_raise(
    company: object, slots: Rows, people: Rows, enrichments: Rows, verifications: Rows
) -> None:
    found = judged(company, slots, people, enrichments, verifications)
    assert 0 <= found["passed_checks"] <= found["executed_checks"] <= found["total_checks"] == 15
    assert found["outreach_ready"] is (found["reason"] == "All checks passed")
    assert found == judged(company, slots, people, enrichments, verifications)
