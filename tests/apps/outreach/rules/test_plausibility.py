from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.failures import Severity
from phasegate.apps.outreach.rules.plausibility import (
    check_company_plausibility,
    check_person_plausibility,
    is_placeholder,
    record_hash,
)
from tests.apps.outreach.rules.damage import records

COMPANY: dict[str, object] = {
    "company_name": "Acme Corp",
    "website": "https://www.acme.example",
    "employee_count": 500,
    "industry": "Technology",
    "address_city": "Akron",
}
PERSON: dict[str, object] = {
    "full_name": "Jo Garrick",
    "title": "CFO",
    "email": "jo@acme.example",
    "linkedin_url": "https://linkedin.com/in/jo",
    "company_unique_id": "04.04.02.04.30000.001",
}


def company(**changes: object) -> dict[str, Any]:
    return check_company_plausibility({**COMPANY, **changes}).to_result()


def person(**changes: object) -> dict[str, Any]:
    return check_person_plausibility({**PERSON, **changes}, COMPANY).to_result()


@pytest.mark.parametrize(
    "value",
    [
        "n/a",
        "N/A",
        " none ",
        "NULL",
        "unknown",
        "TBD",
        "test",
        "Test 1",
        "testing",
        "example.com",
        "Placeholder Inc",
        "pending",
    ],
)
def test_words_that_stand_for_nothing(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["Acme", "Testarossa Winery", "Nonesuch", "Unknown Worlds", "Exemplary", "", None, 0])
def test_words_that_only_look_like_it(value: object) -> None:
    assert not is_placeholder(value)


def test_a_plausible_company_and_person_pass() -> None:
    for found in (company(), person()):
        assert (found["validation_status"], found["garage_bay"], found["reasons"]) == ("passed", None, [])
        assert found["is_chronic"] is False


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"company_name": "A"}, "company_name: has fewer than 2 characters"),
        ({"company_name": "tbd"}, "company_name: is a placeholder"),
        ({"website": None}, "domain: is missing"),
        ({"website": "http://localhost"}, "domain: has no top-level domain"),
        ({"employee_count": None}, "employee_count: is missing"),
        ({"employee_count": "many"}, "employee_count: is neither a count nor a range"),
        ({"employee_count": -1}, "employee_count: is neither a count nor a range"),
        ({"employee_count": "200-51"}, "employee_count: is neither a count nor a range"),
        ({"industry": "IT"}, "industry: has fewer than 3 characters"),
        ({"address_city": "n/a"}, "location: is a placeholder"),
    ],
)
def test_a_gap_sends_a_company_to_the_first_bay(changes: dict[str, object], reason: str) -> None:
    found = company(**changes)
    assert (found["validation_status"], found["garage_bay"], found["reasons"]) == ("failed", "bay_a", [reason])


@pytest.mark.parametrize("count", [0, 51, "51", "51-200", "51 to 200", "51\u2013200", "10,000+".replace(",", "")])
def test_counts_and_ranges_are_plausible(count: object) -> None:
    assert company(employee_count=count)["reasons"] == []


def test_a_source_asks_only_for_its_own_id() -> None:
    sources = {"vendor": "vendor_id"}
    bare = check_company_plausibility({**COMPANY, "source_system": "vendor"}, source_ids=sources)
    assert [failure.rule for failure in bare.failures] == ["vendor_id_missing"]
    assert check_company_plausibility({**COMPANY, "source_system": "other"}, source_ids=sources).failures == ()
    full = {**COMPANY, "source_system": "vendor", "vendor_id": "v-1"}
    assert check_company_plausibility(full, source_ids=sources).failures == ()


@pytest.mark.parametrize("industry", ["Technology", "technology", "SOFTWARE and services", "Retailing"])
@pytest.mark.parametrize("ending", ["edu", "org", "gov"])
def test_a_public_domain_contradicts_a_commercial_industry_in_any_case(ending: str, industry: str) -> None:
    found = company(website=f"https://acme.{ending}", industry=industry)
    assert found["garage_bay"] == "bay_b"
    assert found["reasons"] == [f"industry: is commercial, the domain ends in .{ending}"]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"website": "https://acme.org", "industry": "Health Care"}, []),
        ({"company_name": "Acme Community College"}, ["industry"]),
        ({"company_name": "Churchill Software"}, []),
        ({"website": "https://corporate.acme.example", "employee_count": 9}, ["employee_count"]),
        ({"website": "https://corporate.acme.example", "employee_count": 10}, []),
        ({"employee_count": 9}, []),
    ],
)
def test_contradictions_of_a_company(changes: dict[str, object], fields: list[str]) -> None:
    found = check_company_plausibility({**COMPANY, **changes})
    assert [failure.field for failure in found.contradictions] == fields
    assert found.garage_bay == ("bay_b" if fields else None)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"email": "jo@other.example"}, ["email"]),
        ({"email": "jo@gmail.com"}, []),
        ({"email": "jo@mail.acme.example"}, []),
        ({"seniority": "Entry level"}, ["seniority"]),
        ({"seniority": "Internal executive"}, []),
        ({"department": "Human Resources"}, ["department"]),
        ({"department": "Finance"}, []),
        ({"department": "Finance", "title": "CEO"}, []),
        ({"department": "Kitchen"}, []),
        ({"company_unique_id": "04.04.02.04.20000.001"}, ["company_unique_id"]),
        ({"company_unique_id": "acme"}, ["company_unique_id"]),
        ({"company_unique_id": "04.04.01.09.30000.1001"}, []),
    ],
)
def test_contradictions_of_a_person(changes: dict[str, object], fields: list[str]) -> None:
    found = check_person_plausibility({**PERSON, **changes}, COMPANY)
    assert [failure.field for failure in found.contradictions] == fields


def test_without_the_company_the_mail_is_not_doubted() -> None:
    assert check_person_plausibility({**PERSON, "email": "jo@other.example"}).failures == ()


def test_a_gap_goes_before_a_contradiction() -> None:
    found = person(email="jo@other.example", title=None)
    assert found["garage_bay"] == "bay_a"
    assert [reason.partition(":")[0] for reason in found["reasons"]] == ["title", "email"]


@pytest.mark.parametrize(("attempt", "chronic"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_record_is_chronic_from_the_second_attempt(attempt: int, chronic: bool) -> None:
    assert check_company_plausibility({}, attempt).is_chronic is chronic
    assert check_company_plausibility(COMPANY, attempt).is_chronic is False


def test_the_hash_follows_the_content_and_not_the_time() -> None:
    earlier = {**COMPANY, "updated_at": "2026-01-01", "validated_at": None, "last_hash": "x"}
    assert record_hash(earlier) == record_hash(COMPANY) == record_hash({**COMPANY, "updated_at": "2026-11-20"})
    assert record_hash({**COMPANY, "employee_count": 501}) != record_hash(COMPANY)
    assert company()["last_hash"] == record_hash(COMPANY)


@given(records, records)
def test_doubts_are_warnings_whatever_the_record(record: object, home: object) -> None:
    for found in (check_company_plausibility(record), check_person_plausibility(record, home)):
        assert {failure.severity for failure in found.failures} <= {Severity.WARNING}
        result = found.to_result()
        assert (result["validation_status"] == "passed") is (result["garage_bay"] is None) is (result["reasons"] == [])
