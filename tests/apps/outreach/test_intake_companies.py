"""Rows of a company file and their verdicts."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.intake import (
    CompanyIntake,
    DuplicateOf,
    Verdict,
    clean_text,
    company_records,
    domain_of,
    name_key,
    read_table,
)
from phasegate.apps.outreach.intake.cleaning import LARGEST_COUNT, whole_number
from phasegate.errors import InputError

DATA = Path(__file__).parents[3] / "examples" / "data" / "companies.csv"


def intake(tmp_path: Path, text: str, **known: Mapping[str, str]) -> CompanyIntake:
    path = tmp_path / "companies.csv"
    path.write_text(text, encoding="utf-8")
    return company_records(read_table(path), **known)


def verdicts(result: CompanyIntake) -> list[str]:
    return [row.verdict.value for row in result.rows]


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("  Acorn \t Works\u00a0Ltd ", "Acorn Works Ltd"),
        ("Lowe&#8217;s", "Lowe\u2019s"),
        ("Smith &amp; Roe", "Smith & Roe"),
        ("Smith &amp;amp; Roe", "Smith & Roe"),
        ("AT&T", "AT&T"),
        ("AT&T; more", "AT&T; more"),
        ("https://x.example/?a=1&copy=2", "https://x.example/?a=1&copy=2"),
        ("Caf\u0065\u0301", "Caf\u00e9"),
        ("\u200bAcorn\ufeff", "Acorn"),
        ("&nbsp;", ""),
        ("", ""),
    ],
)
def test_cleaning(written: str, cleaned: str) -> None:
    assert clean_text(written) == cleaned


@given(st.text(max_size=40))
def test_a_cleaned_text_has_no_surplus_space_and_a_stable_key(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned == " ".join(cleaned.split())
    assert name_key(f" {text}\n") == name_key(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("51", 51),
        ("190,000", 190_000),
        ("2,200,000", 2_200_000),
        ("12,34,567", 1_234_567),
        ("190 000", 190_000),
        ("190'000", 190_000),
        ("190\u2019000", 190_000),
        ("190_000", 190_000),
        (str(LARGEST_COUNT), LARGEST_COUNT),
        (str(LARGEST_COUNT + 1), None),
        ("9" * 5000, None),
        ("51-200", None),
        ("51\u2013200", None),
        ("12.5", None),
        ("190.000", None),
        ("12,5", None),
        ("1,000 000", None),
        (",100", None),
        ("-5", None),
        ("+5", None),
        ("500+", None),
        ("about 50", None),
        ("\u0663", None),
        ("", None),
    ],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    assert whole_number(text) == number


@given(st.integers(0, LARGEST_COUNT))
def test_every_number_is_read_with_and_without_separators(number: int) -> None:
    assert whole_number(str(number)) == number
    assert whole_number(f"{number:,}") == number
    assert whole_number(f"{number:_}") == number


@pytest.mark.parametrize(
    ("website", "domain"),
    [
        ("https://www.Acorn.example", "acorn.example"),
        ("www.acorn.example/investors/default.aspx", "acorn.example"),
        ("http://user:word@shop.acorn.example:8080/a?b#c", "shop.acorn.example"),
        ("//acorn.example.", "acorn.example"),
        ("acorn.example?x=1", "acorn.example"),
        ("http://localhost", None),
        ("http://localhost:8000/x", None),
        ("http://127.0.0.1:80", None),
        ("http://[::1]/", None),
        ("n/a", None),
        ("www.example", None),
        ("not a site.example", None),
        ("", None),
        (None, None),
    ],
)
def test_domains(website: str | None, domain: str | None) -> None:
    assert domain_of(website) == domain


@given(st.text(max_size=40))
def test_any_text_has_a_domain_or_none(text: str) -> None:
    domain = domain_of(text)
    assert domain is None or ("." in domain and domain == domain.lower() and not re.search(r"[\s/:@]", domain))


def test_a_full_row_becomes_a_record(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "Company,Home Page,URL,Employees,Sector,City,State,ZIP,Contact,Email,Title,Origin,ID,Rating\n"
        '" Acorn  &amp; Co",ignored,www.acorn.example/x,"1,250",Tools,Springfield,OH,45501,'
        "Jane Roe,jane@acorn.example,CFO,fair,17,A+\n",
    )
    (record,) = result.valid
    assert record.company_name == "Acorn & Co"
    assert record.name_key == "acorn & co"
    assert record.website == "www.acorn.example/x"
    assert record.domain == "acorn.example"
    assert record.employee_count == 1250
    assert (record.industry, record.city, record.state, record.postal_code) == ("Tools", "Springfield", "OH", "45501")
    assert (record.contact_name, record.contact_email, record.contact_title) == (
        "Jane Roe",
        "jane@acorn.example",
        "CFO",
    )
    assert (record.source, record.source_record_id, record.linkedin_url) == ("fair", "17", None)
    assert record.extras == {"Home Page": "ignored", "Rating": "A+"}
    assert record.as_dict()["extras"] == {"Home Page": "ignored", "Rating": "A+"}
    assert result.rows[0].cells["Company"] == " Acorn  &amp; Co"


def test_row_rules_report_every_error_with_its_line(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "company,headcount,email\n"
        "Acorn,,\n"
        "&nbsp;,12.5,jane at acorn.example\n"
        "Birch,51-200,\n"
        'Cedar,"9,500",info@cedar.example\n',
    )
    assert verdicts(result) == ["valid", "invalid", "invalid", "valid"]
    assert result.rows[1].errors == (
        "company_name is missing",
        "contact_email 'jane at acorn.example' holds no @",
        "employee_count '12.5' is not a whole number",
    )
    assert result.rows[2].record.employee_count is None
    assert result.rows[2].cells["headcount"] == "51-200"
    assert result.statistics() == {
        "total_rows": 4,
        "valid_rows": 2,
        "invalid_rows": 2,
        "duplicate_rows": 0,
        "error_count": 4,
        "errors": [
            "line 3: company_name is missing",
            "line 3: contact_email 'jane at acorn.example' holds no @",
            "line 3: employee_count '12.5' is not a whole number",
            "line 4: employee_count '51-200' is not a whole number",
        ],
    }


def test_only_ten_errors_are_shown_but_all_are_counted(tmp_path: Path) -> None:
    result = intake(tmp_path, "company,size\n" + "".join(f"C{number},x\n" for number in range(25)))
    assert result.statistics()["error_count"] == 25
    assert len(result.statistics()["errors"]) == 10


def test_blank_rows_count_for_nothing(tmp_path: Path) -> None:
    result = intake(tmp_path, "company,city\nAcorn,x\n,\n,\n")
    assert result.statistics()["total_rows"] == 1


def test_duplicates_in_the_file_name_the_first_line(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "company,website\n"
        "Acorn &amp; Co,https://www.acorn.example\n"
        "ACORN  & CO ,\n"
        "Acorn Holdings,acorn.example/about\n"
        "Acorn Shop,https://shop.acorn.example\n",
    )
    assert verdicts(result) == ["valid", "duplicate", "duplicate", "valid"]
    assert result.rows[1].duplicate_of == DuplicateOf("name", line=2)
    assert result.rows[2].duplicate_of == DuplicateOf("domain", line=2)


def test_places_that_are_no_domain_of_ones_own_do_not_make_duplicates(tmp_path: Path) -> None:
    rows = ["http://localhost", "http://localhost", "", "", "https://facebook.com/c", "https://facebook.com/d"]
    text = "company,website\n" + "".join(f"Company {number},{site}\n" for number, site in enumerate(rows))
    assert verdicts(intake(tmp_path, text)) == ["valid"] * 6


def test_rows_that_are_not_loaded_cannot_be_repeated(tmp_path: Path) -> None:
    result = intake(
        tmp_path,
        "company,website,headcount\n"
        "Acorn,acorn.example,51-200\n"
        "Acorn Works,acorn.example,75\n"
        "Acorn,,60\n"
        "Oak,acorn.example,60\n"
        "Oak,oak.example,60\n",
    )
    assert verdicts(result) == ["invalid", "valid", "valid", "duplicate", "valid"]


def test_duplicates_of_what_is_loaded_name_its_id(tmp_path: Path) -> None:
    text = "company,website\nACORN,\nBirch Works,https://birch.example\nCedar,\n"
    result = intake(tmp_path, text, known_names={"acorn": "A1"}, known_domains={"birch.example": "B1"})
    assert [row.duplicate_of for row in result.rows] == [
        DuplicateOf("name", known_id="A1"),
        DuplicateOf("domain", known_id="B1"),
        None,
    ]
    assert [record.company_name for record in result.valid] == ["Cedar"]


def test_one_company_under_two_domains_holds_both(tmp_path: Path) -> None:
    text = "company,website\nAcorn,acorn.example\nAcorn,acorn-works.example\nOak,acorn-works.example\n"
    assert intake(tmp_path, text).rows[2].duplicate_of == DuplicateOf("domain", line=2)
    again = intake(tmp_path, text, known_names={"acorn": "A1"})
    assert [row.duplicate_of for row in again.rows] == [
        DuplicateOf("name", known_id="A1"),
        DuplicateOf("name", known_id="A1"),
        DuplicateOf("domain", known_id="A1"),
    ]


def test_one_id_on_two_companies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lines 2 and 4 give the id 'C1' to two companies"):
        intake(tmp_path, "company_id,company\nC1,Acorn\nC2,Birch\nC1,Cedar\n")


def test_one_company_twice_with_its_id_is_a_duplicate(tmp_path: Path) -> None:
    result = intake(tmp_path, "company_id,company\nC1,Acorn\nC1,ACORN\n")
    assert result.rows[1].duplicate_of == DuplicateOf("id", line=2)


def test_record_keys_depend_on_the_content_only(tmp_path: Path) -> None:
    (first,) = intake(tmp_path, "company,headcount,note\nAcorn,75,x\n").valid
    (moved,) = intake(tmp_path, "note;Employees;Company Name\n\n x ;75; Acorn\n").valid
    (changed,) = intake(tmp_path, "company,headcount,note\nAcorn,76,x\n").valid
    assert first.record_key == moved.record_key
    assert first.record_key != changed.record_key
    assert re.fullmatch("[0-9a-f]{64}", first.record_key)


def count_independently() -> dict[str, int]:
    """The verdicts on the example file, by a way of its own."""
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names: set[str] = set()
    sites: set[str] = set()
    counts = {"valid": 0, "invalid": 0, "duplicate": 0}
    for row in rows:
        name = html.unescape(row["company"]).strip().lower()
        site = re.sub(r"^(https?://)?(www\.)?", "", row["website"]).split("/")[0]
        if row["headcount"] and not row["headcount"].replace(",", "").isdigit():
            counts["invalid"] += 1
        elif name in names or site in sites:
            counts["duplicate"] += 1
        else:
            counts["valid"] += 1
            names.add(name)
            sites |= {site} - {"", "localhost"}
    return counts


def test_the_example_file() -> None:
    result = company_records(read_table(DATA))
    statistics = result.statistics()
    expected = count_independently()
    assert expected == {"valid": 674, "invalid": 11, "duplicate": 14}
    assert {verdict.value: verdicts(result).count(verdict.value) for verdict in Verdict} == expected
    assert statistics["total_rows"] == 699
    assert statistics["error_count"] == 11
    assert len({record.record_key for record in result.valid}) == 674
    with DATA.open(encoding="utf-8", newline="") as file:
        empty = [row["company"] for row in csv.DictReader(file) if not row["headcount"]]
    assert len(empty) == 23
    assert [row.cells["company"] for row in result.rows if row.cells["headcount"] == ""] == empty
    assert sum(row.record.employee_count is None for row in result.rows) == 23 + 11
    assert not [record for record in result.valid if "&#" in record.company_name]
    by_domain = [row.duplicate_of for row in result.rows if row.duplicate_of and row.duplicate_of.by == "domain"]
    assert by_domain == [DuplicateOf("domain", line=65)]


def test_the_example_file_loaded_again_holds_nothing_new() -> None:
    first = company_records(read_table(DATA))
    names = {record.name_key: record.record_key for record in first.valid}
    again = company_records(read_table(DATA), known_names=names)
    assert not again.valid
    keys = [row.record.record_key for row in first.rows]
    assert [row.record.record_key for row in again.rows] == keys
    for row in again.rows:
        if row.duplicate_of is not None and row.duplicate_of.known_id is not None and row.duplicate_of.by == "name":
            assert row.duplicate_of.known_id == names[row.record.name_key]
