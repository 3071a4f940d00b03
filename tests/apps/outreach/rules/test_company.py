from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.company import RULES, check_postal_code, validate_company, validate_company_record
from phasegate.apps.outreach.rules.failures import Severity
from tests.apps.outreach.rules.damage import collections, records, values

COMPANIES = Path(__file__).parents[4] / "examples" / "data" / "companies.csv"
GOOD: dict[str, object] = {
    "company_name": "Acme Corp",
    "website": "https://acme.example",
    "employee_count": 500,
    "linkedin_url": "https://linkedin.com/company/acme",
    "industry": "Technology",
}
SLOTS: list[dict[str, object]] = [{"slot_type": "CEO"}, {"slot_type": "CFO"}, {"slot_type": "HR"}]


def result(slots: object = SLOTS, **changes: object) -> dict[str, Any]:
    return validate_company({**GOOD, **changes}, slots).to_result()


def rules(found: dict[str, Any]) -> list[str]:
    return [failure["rule"] for failure in found["failures"]]


def test_a_bare_company_is_valid_and_says_that_slots_were_not_checked() -> None:
    found: dict[str, Any] = validate_company(GOOD).to_result()
    assert {key: found[key] for key in ("valid", "reason", "severity", "missing_fields", "slots_checked")} == {
        "valid": True,
        "reason": None,
        "severity": "INFO",
        "missing_fields": [],
        "slots_checked": False,
    }
    assert [(each["rule"], each["severity"]) for each in found["failures"]] == [("slots_not_checked", "WARNING")]


def test_a_company_with_its_slots_has_no_failures() -> None:
    found = result()
    assert found["valid"] is True
    assert (found["failures"], found["slots_checked"], found["slots_present"]) == ([], True, ["CEO", "CFO", "HR"])


def test_a_name_of_two_letters_is_critical() -> None:
    found = result(company_name="Ab")
    assert (found["valid"], found["severity"], found["missing_fields"]) == (False, "CRITICAL", ["company_name"])
    assert found["reason"] == "company name must have at least 3 characters"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Abc", None),
        (" Abc ", None),
        (" Ab ", "company_name_min_length"),
        ("", "company_name_required"),
        ("   ", "company_name_required"),
        (None, "company_name_required"),
        (["Acme"], "company_name_required"),
        (1234, "company_name_required"),
    ],
)
def test_the_name_has_three_characters_after_trimming(name: object, rule: str | None) -> None:
    assert rules(result(company_name=name)) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("count", "rule"),
    [
        (51, None),
        ("51", None),
        (" 51 ", None),
        (51.0, None),
        (50, "employee_count_minimum"),
        ("50", "employee_count_minimum"),
        (0, "employee_count_positive"),
        (-3, "employee_count_positive"),
        ("51-200", "employee_count_numeric"),
        ("51.0", "employee_count_numeric"),
        ("190,000", "employee_count_numeric"),
        ("many", "employee_count_numeric"),
        (51.5, "employee_count_numeric"),
        (True, "employee_count_numeric"),
        (float("inf"), "employee_count_numeric"),
        (10**30, "employee_count_numeric"),
        ([51], "employee_count_numeric"),
        (None, "employee_count_required"),
        ("", "employee_count_required"),
        (float("nan"), "employee_count_required"),
    ],
)
def test_the_head_count_is_a_whole_number_above_fifty(count: object, rule: str | None) -> None:
    found = result(employee_count=count)
    assert rules(found) == ([rule] if rule else [])
    assert found["missing_fields"] == (["employee_count"] if rule else [])


@pytest.mark.parametrize(
    ("website", "rule"),
    [
        ("https://acme.example", None),
        ("http://acme.example/path", None),
        (" HTTPS://acme.example ", None),
        ("www.x.example", "website_protocol"),
        ("ftp://acme.example", "website_protocol"),
        (5, "website_protocol"),
        ("http://localhost", "website_domain"),
        ("http://localhost/index.html", "website_domain"),
        ("https://.", "website_domain"),
        (None, "website_required"),
        ("  ", "website_required"),
    ],
)
def test_the_website_has_a_scheme_and_a_dot_in_its_host(website: object, rule: str | None) -> None:
    found = result(website=website)
    assert rules(found) == ([rule] if rule else [])
    assert found["severity"] == ("ERROR" if rule else "INFO")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("https://LinkedIn.com/Company/acme", None),
        ("linkedin.com/company/acme", None),
        ("linkedin.com/acme", "linkedin_url_format"),
        ("https://linkedin.com/in/acme", "linkedin_url_format"),
        (7, "linkedin_url_format"),
        ("", "linkedin_url_required"),
    ],
)
def test_the_linkedin_address_is_of_a_company(address: object, rule: str | None) -> None:
    assert rules(result(linkedin_url=address)) == ([rule] if rule else [])


def test_slots_count_in_any_case_and_filled_or_not() -> None:
    rows = [{"slot_type": "CEO", "is_filled": True}, {"slot_type": "cfo"}, {"slot_type": "HR", "is_filled": False}]
    assert result(rows)["valid"] is True


def test_missing_slots_are_named_in_a_fixed_order() -> None:
    found = result([{"slot_type": "CTO"}, "junk", {"slot_type": None}])
    assert rules(found) == ["slot_CEO_missing", "slot_CFO_missing", "slot_HR_missing"]
    assert found["missing_fields"] == ["slot_CEO", "slot_CFO", "slot_HR"]
    assert (found["severity"], found["slots_checked"], found["slots_present"]) == ("ERROR", True, [])


def test_the_highest_severity_wins_and_the_first_failure_is_the_reason() -> None:
    found = validate_company({"website": "x"}, []).to_result()
    assert found["reason"] == "company name is missing"
    assert found["severity"] == "CRITICAL"
    first_is_mild = validate_company({**GOOD, "website": "x"}, []).to_result()
    assert (first_is_mild["reason"], first_is_mild["severity"]) == (
        "website must start with http:// or https://",
        "ERROR",
    )


def test_the_record_form_asks_for_the_id_and_joins_the_reasons() -> None:
    found = validate_company_record({**GOOD, "employee_count": 50}, SLOTS).to_record_result()
    assert found["reason"] == (
        "company_unique_id: company id is missing; employee_count: employee count must be more than 50, not 50"
    )
    assert found["missing_fields"] == ["company_unique_id", "employee_count"]
    assert set(found) == {
        "valid", "reason", "required_fields", "missing_fields", "failures", "slots_checked", "slots_present", "phase",
    }  # fmt: skip
    assert validate_company_record({**GOOD, "employee_count": 50}, SLOTS).to_result()["severity"] == "CRITICAL"


def test_the_record_form_of_a_good_company_says_valid() -> None:
    found = validate_company_record({**GOOD, "company_unique_id": "04.04.02.04.30000.001"}, SLOTS).to_record_result()
    assert (found["valid"], found["reason"], found["failures"], found["phase"]) == (True, "Valid", [], 1)


def test_a_failure_carries_its_field_rule_message_severity_and_value() -> None:
    assert result(employee_count="51-200")["failures"] == [
        {
            "field": "employee_count",
            "rule": "employee_count_numeric",
            "message": "employee count must be a whole number, not '51-200'",
            "severity": "ERROR",
            "current_value": "51-200",
        }
    ]


def test_the_columns_of_the_database_are_read_too() -> None:
    row = {name: value for name, value in GOOD.items() if name != "website"}
    found = validate_company({**row, "website": None, "website_url": "https://acme.example"}, SLOTS)
    assert found.valid
    warned = validate_company({**GOOD, "address_state": "WV", "address_zip": "30301"}, SLOTS)
    assert [failure.rule for failure in warned.failures] == ["postal_code_wv_format"]


@pytest.mark.parametrize(
    ("code", "state", "rule"),
    [
        ("24701", "WV", None),
        ("25301-1234", "wv", None),
        (25301, "West Virginia", None),
        ("30301", "WV", "postal_code_wv_format"),
        ("30301", "GA", None),
        ("30301-12", "GA", "postal_code_format"),
        ("3030", "GA", "postal_code_format"),
        (3030, "GA", "postal_code_format"),
        ("24701\n1", "WV", "postal_code_format"),
        (["24701"], "WV", "postal_code_format"),
        ("", "WV", None),
    ],
)
def test_a_postal_code_only_ever_warns(code: object, state: str, rule: str | None) -> None:
    found = result(postal_code=code, state=state)
    assert rules(found) == ([rule] if rule else [])
    assert (found["valid"], found["severity"]) == (True, "INFO")


def test_a_missing_postal_code_is_noted_only_where_it_is_required() -> None:
    assert check_postal_code(GOOD) == ()
    (failure,) = check_postal_code(GOOD, required=True)
    assert (failure.rule, failure.severity) == ("postal_code_required", Severity.WARNING)


@given(records, collections | values)
def test_no_record_makes_the_validator_raise(record: object, slots: object) -> None:
    for validation in (validate_company(record, slots), validate_company_record(record, slots)):
        found = validation.to_result()
        assert found["valid"] is (found["reason"] is None)
        assert found["valid"] is (not found["missing_fields"])
        assert {failure.rule for failure in validation.failures} <= set(RULES.severities)
        assert validation.to_record_result()["valid"] is found["valid"]


def test_the_damage_of_the_example_data_is_found() -> None:
    with COMPANIES.open(encoding="utf-8", newline="") as file:
        rows = [
            {**row, "company_name": row["company"], "employee_count": row["headcount"]} for row in csv.DictReader(file)
        ]
    counts: dict[str, int] = {}
    for row in rows:
        for failure in validate_company(row, SLOTS).failures:
            counts[failure.rule] = counts.get(failure.rule, 0) + 1
    assert counts["employee_count_required"] == sum(not row["headcount"] for row in rows)
    assert counts["employee_count_numeric"] == sum("-" in row["headcount"] or "," in row["headcount"] for row in rows)
    assert counts["website_domain"] == sum(row["website"] == "http://localhost" for row in rows)
    assert counts["website_protocol"] == sum(bool(row["website"]) and "://" not in row["website"] for row in rows)
    assert counts["linkedin_url_required"] == sum(not row["linkedin_url"] for row in rows)
    odd = [row for row in rows if row["linkedin_url"] and "/company/" not in row["linkedin_url"].lower()]
    assert counts["linkedin_url_format"] == len(odd)
