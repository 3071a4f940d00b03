from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.declarative import check_record, compile_rule, compile_rules, must_stop
from phasegate.apps.outreach.rules.failures import Severity
from phasegate.errors import InputError
from tests.apps.outreach.rules.damage import records, rows

REQUIRED = {"rule_id": "name-needed", "rule_type": "field_required", "field": "company_name", "severity": "critical"}
FORMAT = {"rule_id": "state-code", "rule_type": "field_format", "field_name": "state", "pattern": "[A-Z]{2}"}
RANGE = {
    "rule_id": "head-count",
    "rule_type": "field_range",
    "field": "employee_count",
    "min_value": 1,
    "max_value": "500",
}


def test_a_table_of_three_kinds_judges_a_record() -> None:
    rules = compile_rules([REQUIRED, FORMAT, RANGE])
    failures = check_record(rules, {"company_name": " ", "state": "wv", "employee_count": 501})
    assert [(each.rule, each.field, each.severity, each.message, each.current_value) for each in failures] == [
        ("name-needed", "company_name", Severity.CRITICAL, "company_name is missing", " "),
        ("state-code", "state", Severity.ERROR, "state does not have the required format", "wv"),
        ("head-count", "employee_count", Severity.ERROR, "employee_count must lie between 1 and 500", 501),
    ]
    assert check_record(rules, {"company_name": "Acme", "state": "WV", "employee_count": "500"}) == ()


def test_only_a_required_rule_minds_a_missing_value() -> None:
    assert check_record(compile_rules([FORMAT, RANGE]), {}) == ()
    assert len(check_record(compile_rules([REQUIRED]), {})) == 1


@pytest.mark.parametrize("state", ["WVX", "xWV", "WV\n", 5, ["WV"]])
def test_a_format_is_matched_over_the_whole_text(state: object) -> None:
    assert compile_rule(FORMAT).check({"state": state}) is not None


@pytest.mark.parametrize(
    ("count", "accepted"),
    [(1, True), (0.99, False), (500, True), (Decimal("500.01"), False), ("12.5", True), ("many", False), (True, False),
     (float("nan"), True), (float("inf"), False), ([1], False)],
)  # fmt: skip
def test_a_range_includes_its_ends(count: object, accepted: bool) -> None:
    assert (compile_rule(RANGE).check({"employee_count": count}) is None) is accepted


def test_half_a_range_is_enough() -> None:
    lowest = compile_rule({**RANGE, "max_value": None})
    highest = compile_rule({**RANGE, "min_value": ""})
    assert [lowest.check({"employee_count": count}) is None for count in (0, 10**30)] == [False, True]
    assert [highest.check({"employee_count": count}) is None for count in (-5, 501)] == [True, False]
    assert (lowest.message, highest.message) == (
        "employee_count must be at least 1",
        "employee_count must be at most 500",
    )


def test_a_row_may_bring_its_own_message() -> None:
    assert compile_rule({**REQUIRED, "error_message": "give it a name"}).message == "give it a name"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({**REQUIRED, "rule_id": None}, "rule None: rule_id is missing"),
        ({**REQUIRED, "field": ""}, "rule 'name-needed': field is missing"),
        ({**REQUIRED, "rule_type": "field_unique"}, "rule_type 'field_unique' is not one of field_required"),
        ({**REQUIRED, "severity": "awful"}, "severity 'awful' is not one of INFO, WARNING, ERROR, CRITICAL"),
        ({**FORMAT, "pattern": None}, "pattern is missing"),
        ({**FORMAT, "pattern": "("}, r"pattern '\(' is not a regular expression: missing"),
        ({**RANGE, "min_value": "low"}, "min_value 'low' is not a number"),
        ({**RANGE, "min_value": None, "max_value": None}, "min_value and max_value are both missing"),
        ({**RANGE, "min_value": 501}, "min_value 501 is above max_value 500"),
        ("a text", "rule None: rule_id is missing, field is missing, rule_type None"),
    ],
)
def test_a_wrong_row_is_told_what_is_wrong(row: object, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        compile_rule(row)


def test_a_table_is_told_of_every_wrong_row_at_once() -> None:
    with pytest.raises(InputError) as caught:
        compile_rules([REQUIRED, {**FORMAT, "pattern": "["}, {**RANGE, "min_value": "x"}, REQUIRED])
    message = str(caught.value)
    assert "'state-code'" in message
    assert "'head-count'" in message
    assert "'name-needed': rule_id is used twice" in message


@pytest.mark.parametrize(
    ("failures", "failed", "total", "reason"),
    [
        (0, 0, 0, None),
        (1, 1, 2, None),
        (9, 1, 2, None),
        (2, 2, 3, "more than 50% of the records fail"),
        (100, 100, 1000, None),
        (101, 60, 1000, "more than 100 failures"),
    ],
)
def test_a_batch_stops_when_too_much_fails(failures: int, failed: int, total: int, reason: str | None) -> None:
    assert must_stop(failures, failed, total) == reason


@given(rows, st.lists(records, max_size=3))
def test_a_row_compiles_or_is_an_input_error_and_never_fails_later(row: object, found: list[object]) -> None:
    try:
        rule = compile_rule(row)
    except InputError:
        return
    for record in found:
        failure = rule.check(record)
        assert failure is None or failure.rule == rule.rule


@given(st.lists(records, min_size=1, max_size=5))
def test_compiled_rules_judge_any_record(found: list[object]) -> None:
    rules = compile_rules([REQUIRED, FORMAT, RANGE])
    for record in found:
        assert {failure.rule for failure in check_record(rules, record)} <= {"name-needed", "state-code", "head-count"}
