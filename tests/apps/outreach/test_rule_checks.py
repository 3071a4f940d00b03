"""Records against the rules of a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phasegate import InputError, UnknownName
from phasegate.apps.outreach import check_rules
from phasegate.apps.outreach.intake import read_table
from phasegate.apps.outreach.phases import batch
from phasegate.apps.outreach.rule_checks import RuleCheck, load_rules, write_failures
from tests.apps.outreach.demo_job import DATA
from tests.apps.outreach.pipeline_cases import Pipeline, pipeline
from tests.apps.outreach.record_cases import add_company, add_person, company_id, contents, person_id, statements_of

HEADER = "rule_id,table_name,rule_type,field,pattern,min_value,max_value,severity,error_message\n"
SIZE = "size,company_master,field_range,employee_count,,50,,,\n"
TITLE = "title,people_master,field_required,title,,,,WARNING,nobody knows what they do\n"
SOURCE = "source,,field_format,source_system,[a-z]+,,,,\n"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.csv"
    file.write_text(HEADER + SIZE + TITLE + SOURCE)
    return file


def broken(check: RuleCheck) -> list[tuple[str, str]]:
    return [(each.record_id, each.failure.rule) for each in check.failures]


def test_failures_stand_in_the_order_of_records_and_rules(database: Pipeline, rules: Path) -> None:
    for number, count in ((1000, 7), (999, 49), (1, 50), (2, None)):
        add_company(database, number, employee_count=count, source_system="CRM" if number == 999 else "crm")
    check = check_rules(database.engine, rules)
    assert broken(check) == [(company_id(999), "size"), (company_id(999), "source"), (company_id(1000), "size")]
    assert (check.rules, check.population, check.looked_at, check.failed, check.stopped) == (2, 4, 4, 2, None)
    assert check.failures[0].to_result() == {
        "record_id": company_id(999), "field": "employee_count", "rule": "size", "severity": "ERROR",
        "message": "employee_count must be at least 50", "current_value": 49,
    }  # fmt: skip


def test_people_are_checked_by_their_own_rules_also_those_without_a_company(database: Pipeline, rules: Path) -> None:
    add_person(database, 1, add_company(database, 1, employee_count=7), title=" ")
    add_person(database, 2, add_company(database, 2, state="OH"))
    add_person(database, 3, "nobody knows", title=None)
    for number in (4, 5):
        add_person(database, number, company_id(1))
    check = check_rules(database.engine, rules, table="people_master")
    assert broken(check) == [(person_id(1), "title"), (person_id(3), "title")]
    assert (check.population, check.failures[0].failure.message) == (5, "nobody knows what they do")
    in_state = check_rules(database.engine, rules, table="people_master", state="wv")
    assert (broken(in_state), in_state.population) == ([(person_id(1), "title")], 3)


def test_a_state_and_a_limit(database: Pipeline, rules: Path) -> None:
    for number in range(1, 7):
        add_company(database, number, state="OH" if number == 1 else "WV", employee_count=7 if number < 3 else 70)
    check = check_rules(database.engine, rules, state="WV", limit=3)
    assert (check.population, check.looked_at, check.stopped, broken(check)) == (5, 3, None, [(company_id(2), "size")])


def test_more_than_100_failures_end_the_check(database: Pipeline, rules: Path) -> None:
    for number in range(1, 301):
        add_company(database, number, employee_count=7 if number % 2 else 70)
    check = check_rules(database.engine, rules)
    assert (len(check.failures), check.failed, check.looked_at, check.population) == (101, 101, 201, 300)
    assert check.stopped == "more than 100 failures"


def test_failures_are_counted_not_records(database: Pipeline, rules: Path) -> None:
    for number in range(1, 301):
        add_company(database, number, **({"employee_count": 7, "source_system": "?"} if number <= 60 else {}))
    check = check_rules(database.engine, rules)
    assert (len(check.failures), check.failed, check.looked_at) == (102, 51, 51)


def test_the_check_ends_when_it_is_certain_that_most_records_fail(database: Pipeline, rules: Path) -> None:
    for number in range(1, 11):
        add_company(database, number, employee_count=70 if number == 1 else 7)
    check = check_rules(database.engine, rules)
    assert (check.failed, check.looked_at, check.population) == (6, 7, 10)
    assert check.stopped == "more than 50% of the records fail"


def test_nothing_is_stopped_when_nothing_is_left(database: Pipeline, rules: Path) -> None:
    add_company(database, 1, employee_count=7)
    check = check_rules(database.engine, rules)
    assert (check.failed, check.looked_at, check.stopped) == (1, 1, None)


def test_one_tenant_does_not_see_the_records_of_another(database: Pipeline, rules: Path) -> None:
    add_person(database, 1, add_company(database, 1, employee_count=7, tenant="second"), title=None, tenant="second")
    add_person(database, 2, company_id(1), title=None)
    assert check_rules(database.engine, rules).population == 0
    people = check_rules(database.engine, rules, table="people_master")
    assert (people.population, broken(people)) == (1, [(person_id(2), "title")])
    # The state is that of a company of one's own.
    assert check_rules(database.engine, rules, table="people_master", state="WV").population == 0


def test_an_empty_table_breaks_no_rule(database: Pipeline, rules: Path) -> None:
    check = check_rules(database.engine, rules)
    assert (check.population, check.looked_at, check.failures, check.stopped) == (0, 0, (), None)


def test_checking_changes_nothing(database: Pipeline, rules: Path) -> None:
    add_company(database, 1, employee_count=7)
    before = contents(database.engine)
    check_rules(database.engine, rules)
    assert contents(database.engine) == before


def test_many_records_take_a_few_queries(database: Pipeline, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 101):
        add_company(database, number, employee_count=7 if number % 3 else 70)
    whole = broken(check_rules(database.engine, rules))
    assert 0 < len(statements_of(database.engine, lambda: check_rules(database.engine, rules))) < 5
    monkeypatch.setattr(batch, "MOST_VALUES", 7)
    assert broken(check_rules(database.engine, rules)) == whole


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        ("", "is empty", None),
        (HEADER, "has a header but no rows", None),
        ("rule_id,rule_type,feld\na,field_required,website\n", "a column 'feld' that no rule knows", "'field'"),
        (HEADER + "a,,field_required,webiste,,,,,\n", "'webiste', which is no column of company_master", "'website'"),
        (HEADER + TITLE, "has no rule for company_master", "--table"),
        (HEADER + "a,company,field_required,website,,,,,\n", "a rule for the table 'company'", "company_master"),
        (HEADER + "a,,field_format,website,[,,,,\n", "rule 'a': pattern '[' is not a regular", "correct"),
        (HEADER + SIZE + "b,,field_range,founded_year,,,,,\n" + SIZE, "rule 'b': min_value and max_value", "correct"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, content: str, said: str, hint: str | None
) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(content)
    with pytest.raises(InputError) as caught:
        load_rules(file, "company_master")
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hint is None or hint in str(caught.value.hint)


def test_every_wrong_rule_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(HEADER + "a,,field_requird,website,,,,,\n" + SIZE + SIZE)
    with pytest.raises(InputError, match=r"'field_requird'.*; rule 'size': rule_id is used twice"):
        load_rules(file, "company_master")


def test_a_table_that_is_not_for_checking_is_refused(database: Pipeline, rules: Path) -> None:
    with pytest.raises(UnknownName, match="table 'outreach_log'"):
        check_rules(database.engine, rules, table="outreach_log")


def test_failures_are_written_for_a_spreadsheet(database: Pipeline, rules: Path, tmp_path: Path) -> None:
    for number, source in ((1, "=1+1"), (2, "two\nlines"), (3, "crm"), (4, "crm"), (5, "crm")):
        add_company(database, number, source_system=source)
    target = tmp_path / "new" / "failures.csv"
    write_failures(check_rules(database.engine, rules), target)
    with target.open(newline="", encoding="utf-8") as handle:
        rows: list[Any] = list(csv.DictReader(handle))
    assert [row["record_id"] for row in rows] == [company_id(1), company_id(2)]
    assert [row["current_value"] for row in rows] == ["'=1+1", "two lines"]
    assert rows[0] | {"record_id": ""} == {
        "record_id": "", "field": "source_system", "rule": "source", "severity": "ERROR", "current_value": "'=1+1",
        "message": "source_system does not have the required format",
    }  # fmt: skip
    assert len(read_table(target).rows) == 2


def test_a_place_that_cannot_be_written_is_named(database: Pipeline, rules: Path, tmp_path: Path) -> None:
    check = check_rules(database.engine, rules)
    with pytest.raises(InputError, match="cannot be written"):
        write_failures(check, tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        write_failures(check, rules / "failures.csv")


def test_the_example_file_has_rules_for_both_tables(database: Pipeline) -> None:
    example = DATA / "validation-rules.csv"
    add_person(database, 1, add_company(database, 1), email="ellis at acorn")
    add_company(database, 2, website="http://acorn.example", state="Ohio", employee_count=7)
    for number in (3, 4):
        add_person(database, number, add_company(database, number))
    found = broken(check_rules(database.engine, example))
    assert found == [(company_id(2), rule) for rule in ("company-state", "company-site", "company-size")]
    assert broken(check_rules(database.engine, example, table="people_master")) == [(person_id(1), "person-email")]
