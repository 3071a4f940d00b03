"""Rows of a people file."""

from __future__ import annotations

import csv
import html
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.intake import DuplicateOf, PeopleIntake, name_key, people_records, read_table
from phasegate.apps.outreach.intake.cleaning import instant, split_name
from phasegate.errors import InputError

DATA = Path(__file__).parents[3] / "examples" / "data" / "people.csv"


def intake(tmp_path: Path, text: str) -> PeopleIntake:
    path = tmp_path / "people.csv"
    path.write_text(text, encoding="utf-8")
    return people_records(read_table(path))


def verdicts(result: PeopleIntake) -> list[str]:
    return [row.verdict.value for row in result.rows]


@pytest.mark.parametrize(
    ("full", "parts"),
    [
        ("Jane Roe", ("Jane", "Roe")),
        ("Jane", ("Jane", "")),
        ("Jane Anne Roe", ("Jane", "Anne Roe")),
        ("Vesper D'Ambrose", ("Vesper", "D'Ambrose")),
        ("Roe, Jane", ("Jane", "Roe")),
        ("Jane Roe, PhD", ("Jane", "Roe")),
        ("Jane Roe, Ph. D.", ("Jane", "Roe")),
        ("Jane Roe,", ("Jane", "Roe")),
        (", Jane Roe", ("Jane", "Roe")),
        ("", ("", "")),
    ],
)
def test_names_are_split(full: str, parts: tuple[str, str]) -> None:
    assert split_name(full) == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-15T12:30:00+02:00", datetime(2026, 7, 15, 10, 30, tzinfo=UTC)),
        ("2026-11-01T09:00:00Z", datetime(2026, 11, 1, 9, tzinfo=UTC)),
        ("2026-11-01 09:00", datetime(2026, 11, 1, 9, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
        ("11/01/2026", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_instants(text: str, expected: datetime | None) -> None:
    assert instant(text) == expected


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_utc_time_is_read_back(moment: datetime) -> None:
    assert instant(moment.isoformat()) == moment


def test_a_full_row_becomes_a_record(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "Person ID,Company,Company ID,Full Name,Title,Email,Email Verification,LinkedIn,Phone,Last Updated,Mood\n"
        "P1, ACORN &amp; Co ,C1,Zo\u00eb  Roe,CFO,zoe@acorn.example,valid,linkedin.com/in/zoe,+1 202-555-0100,"
        "2026-07-15T12:30:00+02:00,good\n",
    )
    (record,) = result.valid
    assert (record.person_id, record.company_unique_id, record.company_name) == ("P1", "C1", "ACORN & Co")
    assert record.company_key == name_key("Acorn & Co")
    assert (record.full_name, record.first_name, record.last_name) == ("Zo\u00eb Roe", "Zo\u00eb", "Roe")
    assert (record.title, record.email, record.email_verification) == ("CFO", "zoe@acorn.example", "valid")
    assert (record.linkedin_url, record.phone) == ("linkedin.com/in/zoe", "+1 202-555-0100")
    assert record.updated_at == datetime(2026, 7, 15, 10, 30, tzinfo=UTC)
    assert record.updated_at.tzinfo is UTC
    assert record.extras == {"Mood": "good"}
    assert record.as_dict()["full_name"] == "Zo\u00eb Roe"


def test_separate_name_columns(tmp_path: Path) -> None:
    result = intake(tmp_path, "company,first name,last name\nAcorn,Anne Jane,van Roe\nAcorn,,Oak\n")
    assert [(each.full_name, each.first_name, each.last_name) for each in result.valid] == [
        ("Anne Jane van Roe", "Anne Jane", "van Roe"),
        ("Oak", "", "Oak"),
    ]


def test_failures_of_the_validation_rules_keep_nobody_out(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "company,full_name,email,title,updated_at\n"
        "No Such Company,Jane,jane at acorn.example,Gardener,yesterday\n"
        ",Roe Jane,,,\n"
        "Acorn,,info@acorn.example,,\n"
        "Acorn,,,CFO,\n",
    )
    assert verdicts(result) == ["valid", "valid", "valid", "invalid"]
    assert result.rows[0].warnings == ("updated_at 'yesterday' is not an ISO 8601 date",)
    assert result.rows[0].record.updated_at is None
    assert result.rows[1].record.company_key is None
    assert result.statistics()["errors"] == ["line 5: neither a name nor an e-mail address"]


def test_exact_repetitions_are_duplicates_of_the_first(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "company,full_name,email,linkedin,title\n"
        "Acorn,Jane Roe,jane@acorn.example,l/1,CFO\n"
        "ACORN ,jane  roe,JANE@acorn.example,l/1,Treasurer\n"
        "Acorn,Jane Roe,jane@acorn.example,l/2,CFO\n"
        "Birch,Jane Roe,jane@acorn.example,l/1,CFO\n"
        "Acorn,Jane Roe,jane@acorn.example,l/1,CFO\n",
    )
    assert verdicts(result) == ["valid", "duplicate", "valid", "valid", "duplicate"]
    assert result.rows[1].duplicate_of == DuplicateOf("content", line=2)
    assert result.rows[4].duplicate_of == DuplicateOf("content", line=2)
    assert result.rows[4].record.record_key == result.rows[0].record.record_key


def test_one_id_on_two_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lines 2 and 3 give the id 'P1' to two people"):
        intake(tmp_path, "person_id,company,name\nP1,Acorn,Jane Roe\nP1,Acorn,John Doe\n")
    result = intake(tmp_path, "person_id,company,name\nP1,Acorn,Jane Roe\nP1,Acorn,JANE ROE\n")
    assert verdicts(result) == ["valid", "duplicate"]


def test_the_example_file() -> None:
    with DATA.open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    result = people_records(read_table(DATA))
    people = result.valid
    assert len(expected) == len(people) == 1935
    assert result.statistics()["error_count"] == 0
    assert not [row for row in result.rows if row.warnings]
    assert [row.line for row in result.rows] == list(range(2, 1937))
    assert [person.full_name for person in people] == [row["full_name"] for row in expected]
    assert [person.company_name for person in people] == [html.unescape(row["company"]).strip() for row in expected]
    assert len({person.record_key for person in people}) == 1935
    assert sum(person.email is None for person in people) == 100
    assert sum(person.updated_at is None for person in people) == 471
    assert sum(not person.last_name for person in people) == sum(" " not in row["full_name"] for row in expected)
    assert sum(person.company_key == "no such company ltd" for person in people) == 29
    keys = [row.record.record_key for row in people_records(read_table(DATA)).rows]
    assert keys == [person.record_key for person in people]
