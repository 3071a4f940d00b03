"""Which column means what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from phasegate.apps.outreach.intake import (
    COMPANY_FIELDS,
    PEOPLE_FIELDS,
    company_records,
    load_mapping,
    people_records,
    read_table,
    resolve_columns,
)
from phasegate.errors import InputError


def company_columns(*columns: str, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    return dict(resolve_columns(columns, COMPANY_FIELDS, person_field="contact_name", mapping=mapping).columns)


def people_columns(*columns: str) -> dict[str, str]:
    return dict(resolve_columns(columns, PEOPLE_FIELDS, person_field="full_name").columns)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("company_name", "company_name"),
        ("company", "company_name"),
        ("organization", "company_name"),
        ("Company Name", "company_name"),
        ("COMPANY-NAME", "company_name"),
        (" companyname ", "company_name"),
        ("industry", "industry"),
        ("sector", "industry"),
        ("vertical", "industry"),
        ("employee_count", "employee_count"),
        ("employees", "employee_count"),
        ("headcount", "employee_count"),
        ("Head Count", "employee_count"),
        ("size", "employee_count"),
        ("website", "website"),
        ("url", "website"),
        ("domain", "website"),
        ("contact_name", "contact_name"),
        ("contact", "contact_name"),
        ("full_name", "contact_name"),
        ("contact_email", "contact_email"),
        ("E-Mail", "contact_email"),
        ("email", "contact_email"),
        ("contact_title", "contact_title"),
        ("title", "contact_title"),
        ("job_title", "contact_title"),
        ("position", "contact_title"),
        ("source", "source"),
        ("data_source", "source"),
        ("origin", "source"),
        ("company_unique_id", "company_unique_id"),
        ("State", "state"),
        ("linkedin_url", "linkedin_url"),
    ],
)
def test_every_alias_whatever_its_case_and_separators(header: str, target: str) -> None:
    assert company_columns(header) == {target: header}


def test_no_header_means_two_fields() -> None:
    for fields in (COMPANY_FIELDS, PEOPLE_FIELDS):
        aliases = [alias for each in fields.values() for alias in each]
        assert len(aliases) == len(set(aliases))
        assert "name" not in aliases


def test_name_is_the_company_when_nothing_else_is() -> None:
    assert company_columns("name", "email") == {"company_name": "name", "contact_email": "email"}


def test_name_is_the_contact_beside_a_company() -> None:
    assert company_columns("Name", "organization") == {"contact_name": "Name", "company_name": "organization"}


def test_name_beside_company_and_contact_is_an_extra() -> None:
    found = resolve_columns(("name", "company", "contact"), COMPANY_FIELDS, person_field="contact_name")
    assert found.columns == {"company_name": "company", "contact_name": "contact"}
    assert found.extras == ("name",)


def test_name_in_a_file_of_people() -> None:
    assert people_columns("name", "company")["full_name"] == "name"
    assert people_columns("name", "company_id")["full_name"] == "name"
    assert people_columns("name", "email")["full_name"] == "name"
    assert people_columns("name", "full_name") == {"company_name": "name", "full_name": "full_name"}


def test_of_two_columns_for_one_field_the_more_trusted_wins() -> None:
    found = resolve_columns(("domain", "company", "Website"), COMPANY_FIELDS, person_field="contact_name")
    assert found.columns == {"company_name": "company", "website": "Website"}
    assert found.extras == ("domain",)


def test_unknown_columns_are_kept_as_extras_in_the_order_of_the_file() -> None:
    found = resolve_columns(("zebra", "company", "apple"), COMPANY_FIELDS, person_field="contact_name")
    assert found.extras == ("zebra", "apple")


def test_a_mapping_goes_before_the_aliases() -> None:
    found = company_columns("Firm", "company", "Staff", mapping={"firm": "company_name", "Staff": "employee_count"})
    assert found == {"company_name": "Firm", "employee_count": "Staff"}


def test_a_mapping_of_a_column_the_file_lacks_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'Frim' that the file does not have: did you mean 'Firm'"):
        company_columns("Firm", "city", mapping={"Frim": "company_name"})


def test_a_mapping_to_a_field_of_the_other_kind_is_refused() -> None:
    with pytest.raises(InputError, match="unknown field 'email_verification'"):
        company_columns("company", "checked", mapping={"checked": "email_verification"})


def mapping_file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "mapping.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_mapping_file_is_read_and_used(tmp_path: Path) -> None:
    mapping = load_mapping(mapping_file(tmp_path, '\ufeff{"Firm": "company_name", "Staff": "employee_count"}'))
    source = tmp_path / "firms.csv"
    source.write_text("Firm,Staff\nAcorn,75\n")
    (record,) = company_records(read_table(source), mapping).valid
    assert (record.company_name, record.employee_count) == ("Acorn", 75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Firm": "compny_name"}', "did you mean 'company_name'"),
        ('{"Firm": "zzzzzz"}', "known: city, company_name"),
        ('{"Firm": 3}', "must be mapped to the name of a field"),
        ('{"A": "city", "B": "city"}', "'A' and 'B' are both mapped to 'city'"),
        ('{"A": "city", "A": "state"}', "'A' stands in it twice"),
        ('["Firm"]', "one JSON object"),
        ('{"Firm": ', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("", "not valid JSON"),
        (b'{"Firm": "\xff"}', "JSON in UTF-8"),
    ],
)
def test_a_wrong_mapping_file_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = mapping_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_mapping(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_mapping_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_mapping(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_mapping(tmp_path)


def test_a_missing_required_column_names_what_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "cities.csv"
    path.write_text("city,state\nSpringfield,OH\n")
    with pytest.raises(InputError, match="company_name, company, organization"):
        company_records(read_table(path))
    with pytest.raises(InputError, match="full_name, contact_name"):
        people_records(read_table(path))
    path.write_text("full_name,email\nJane Roe,jane@acorn.example\n")
    with pytest.raises(InputError, match="company_unique_id, company_id, company_name"):
        people_records(read_table(path))
