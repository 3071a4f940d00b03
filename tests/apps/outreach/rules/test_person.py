from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.person import RULES, is_email, validate_person
from tests.apps.outreach.rules.damage import records

PEOPLE = Path(__file__).parents[4] / "examples" / "data" / "people.csv"
HOME = "04.04.02.04.30000.001"
KNOWN = frozenset({HOME})
GOOD: dict[str, object] = {
    "person_id": "04.04.02.04.20000.001",
    "full_name": "Jo Garrick",
    "email": "jo.garrick@acme.example",
    "title": "CEO",
    "linkedin_url": "https://www.linkedin.com/in/jo-garrick",
    "updated_at": "2026-11-01T09:00:00Z",
    "company_unique_id": HOME,
}


def found(**changes: object) -> dict[str, Any]:
    return validate_person({**GOOD, **changes}, KNOWN).to_result()


def broken(**changes: object) -> list[tuple[str, str]]:
    return [(failure["rule"], failure["severity"]) for failure in found(**changes)["failures"]]


def test_a_good_person_is_valid_and_described() -> None:
    assert found() == {
        "valid": True,
        "reason": None,
        "failures": [],
        "person_id": "04.04.02.04.20000.001",
        "company_unique_id": HOME,
        "full_name": "Jo Garrick",
        "email": "jo.garrick@acme.example",
        "title": "CEO",
        "linkedin_url": "https://www.linkedin.com/in/jo-garrick",
        "validation_status": "valid",
    }


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"person_id": None}, "person_id_required", "CRITICAL"),
        ({"full_name": None}, "full_name_required", "CRITICAL"),
        ({"full_name": "  "}, "full_name_required", "CRITICAL"),
        ({"full_name": 12}, "full_name_required", "CRITICAL"),
        ({"full_name": "Greer"}, "full_name_two_parts", "ERROR"),
        ({"full_name": " Greer "}, "full_name_two_parts", "ERROR"),
        ({"email": ""}, "email_required", "ERROR"),
        ({"email": "jo at acme.example"}, "email_format", "ERROR"),
        ({"email": ["jo@acme.example"]}, "email_format", "ERROR"),
        ({"title": None}, "title_required", "ERROR"),
        ({"title": "Throughput Lead"}, "title_slot", "ERROR"),
        ({"title": "Assistant to the CEO"}, "title_slot", "ERROR"),
        ({"title": "Salespeople Coach"}, "title_slot", "ERROR"),
        ({"title": 3}, "title_slot", "ERROR"),
        ({"linkedin_url": None}, "linkedin_url_required", "ERROR"),
        ({"linkedin_url": "https://linkedin.com/company/acme"}, "linkedin_url_format", "ERROR"),
        ({"company_unique_id": None}, "company_unique_id_required", "CRITICAL"),
        ({"company_unique_id": "04.04.02.04.30000.999"}, "company_unique_id_known", "CRITICAL"),
        ({"company_unique_id": {"id": 1}}, "company_unique_id_known", "CRITICAL"),
    ],
)
def test_one_broken_rule_makes_a_person_invalid(changes: dict[str, object], rule: str, severity: str) -> None:
    assert broken(**changes) == [(rule, severity)]
    assert found(**changes)["valid"] is False
    assert found(**changes)["validation_status"] == "invalid"


@pytest.mark.parametrize("title", ["Chief People Officer", "VP, Human Resources", "Director of Finance", "Owner"])
def test_executive_titles_are_accepted(title: str) -> None:
    assert broken(title=title) == []


def test_without_a_timestamp_only_a_person_is_valid_with_one_warning() -> None:
    assert found(updated_at=None)["valid"] is True
    assert broken(updated_at=None) == [("timestamp_last_updated_required", "WARNING")]
    assert broken(updated_at=None, timestamp_last_updated="2026-01-01") == []


def test_without_the_known_companies_the_rule_is_a_warning_and_not_silent() -> None:
    result = validate_person({**GOOD, "company_unique_id": "04.04.02.04.30000.999"})
    assert result.valid
    assert [(each.rule, each.severity) for each in result.failures] == [("company_unique_id_not_checked", "WARNING")]


def test_without_the_known_companies_a_missing_company_is_still_critical() -> None:
    result = validate_person({**GOOD, "company_unique_id": None})
    assert [(each.rule, each.severity) for each in result.failures] == [("company_unique_id_required", "CRITICAL")]


def test_an_empty_set_of_companies_knows_nobody() -> None:
    assert not validate_person(GOOD, frozenset()).valid


def test_the_reason_joins_what_invalidates_and_leaves_out_warnings() -> None:
    result = found(full_name="Greer", email=None, updated_at=None)
    assert result["reason"] == "full_name: full name must have a first and a last name; email: email is missing"
    assert len(result["failures"]) == 3


def test_the_id_may_be_called_unique_id() -> None:
    row = {**GOOD, "unique_id": "p-7"}
    del row["person_id"]
    assert validate_person(row, KNOWN).to_result()["person_id"] == "p-7"


@pytest.mark.parametrize(
    "address",
    ["a@b.co", "jo.x_y%z+1-2@mail-1.acme.example", "JO@ACME.EXAMPLE", "1@2.de"],
)
def test_addresses_of_the_given_shape_are_mails(address: str) -> None:
    assert is_email(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "jo", "jo@localhost", "jo@acme.e", "jo@acme.e1", "jo@@acme.example", "jo@x@acme.example", "@acme.example",
        "jo@.", "jo garrick@acme.example", "jo@acme.example\n", " jo@acme.example", "jo'x@acme.example",
        "jos\u00e9@acme.example", "jo@acm\u00e9.example", "jo@acme.example.", None, 5,
    ],
)  # fmt: skip
def test_everything_else_is_no_mail(address: object) -> None:
    assert not is_email(address)


@pytest.mark.parametrize("repeated", ["a.", "a", "a@", "a.aa", ".", "-", "@", "aa.a1"])
def test_very_long_input_is_answered(repeated: str) -> None:
    # With a pattern of more than linear cost these would not end before the time limit of the test run.
    assert not is_email("a@" + repeated * 500_000 + "1")
    assert not is_email(repeated * 500_000)


def test_a_very_long_address_of_the_right_shape_is_a_mail() -> None:
    assert is_email("a" * 500_000 + "@" + "b." * 500_000 + "example")


@given(records, st.none() | st.frozensets(st.text(max_size=3)))
def test_no_record_makes_the_validator_raise(record: object, known: frozenset[str] | None) -> None:
    result = validate_person(record, known)
    assert result.valid is (result.reason is None)
    assert {failure.rule for failure in result.failures} <= set(RULES.severities)
    assert result.to_result()["validation_status"] == ("valid" if result.valid else "invalid")


def test_the_damage_of_the_example_data_is_found() -> None:
    with PEOPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen = [
        validate_person({**row, "person_id": row["email"] or "x", "company_unique_id": HOME}, KNOWN) for row in rows
    ]
    for rule, expected in {
        "email_required": sum(not row["email"] for row in rows),
        "email_format": sum(
            (bool(row["email"]) and not row["email"].endswith(".example")) or " at " in row["email"] for row in rows
        ),
        "full_name_two_parts": sum(" " not in row["full_name"] for row in rows),
        "timestamp_last_updated_required": sum(not row["updated_at"] for row in rows),
        "linkedin_url_required": sum(not row["linkedin_url"] for row in rows),
        "title_slot": 25 + 19 + 24 + 22 + 26 + 19 + 22,
    }.items():
        assert sum(rule in {each.rule for each in result.failures} for result in seen) == expected, rule
