"""Rows of a people file as records. Whether a person is fit for outreach is judged later, by the validation phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from phasegate.apps.outreach.intake.cleaning import clean_text, content_key, instant, split_name
from phasegate.apps.outreach.intake.columns import PEOPLE_FIELDS, ColumnMap, require, resolve_columns
from phasegate.apps.outreach.intake.reading import Row, Table
from phasegate.apps.outreach.intake.verdicts import DuplicateOf, Verdict, statistics
from phasegate.errors import InputError


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person as the pipeline wants it: cleaned values, None for what the file does not say.

    The company is referred to by ``company_unique_id`` when the file has one, and by ``company_key``, its name in lower
    case, when it has a name. Neither need exist; ``city`` tells apart companies with similar names.
    """

    #: sha256 of the record's content: the same row read again, from whatever file, has the same key.
    record_key: str
    full_name: str
    first_name: str
    last_name: str
    person_id: str | None = None
    company_unique_id: str | None = None
    company_name: str | None = None
    city: str | None = None
    title: str | None = None
    email: str | None = None
    email_verification: str | None = None
    linkedin_url: str | None = None
    phone: str | None = None
    #: Aware UTC; None when the file says nothing or something that is no date (then there is a warning).
    updated_at: datetime | None = None
    source: str | None = None
    source_record_id: str | None = None
    #: Cleaned cells of columns that mean nothing to the pipeline, by header.
    extras: Mapping[str, str] = field(default_factory=dict)

    @property
    def company_key(self) -> str | None:
        """The company's name in lower case, as ``name_key`` makes it."""
        return self.company_name.lower() if self.company_name else None

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PersonRow:
    """The verdict on one row; ``cells`` holds the row as it was written. Warnings do not keep a person out."""

    line: int
    verdict: Verdict
    record: PersonRecord
    cells: Mapping[str, str]
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    duplicate_of: DuplicateOf | None = None


@dataclass(frozen=True, slots=True)
class PeopleIntake:
    """Every row of the file that is not blank, in the order of the file."""

    columns: ColumnMap
    rows: tuple[PersonRow, ...]

    @property
    def valid(self) -> tuple[PersonRecord, ...]:
        """The records to be loaded."""
        return tuple(row.record for row in self.rows if row.verdict is Verdict.VALID)

    def statistics(self) -> dict[str, Any]:
        """``total_rows, valid_rows, invalid_rows, duplicate_rows, error_count`` and the first ten ``errors``."""
        return statistics(self.rows)


def people_records(table: Table, mapping: Mapping[str, str] | None = None) -> PeopleIntake:
    """Turn every row of the table into a person.

    ``mapping`` leads from header to field. Invalid are only rows that say neither a name nor an e-mail address:
    any other failure is for the validation phase to find, and to route. A row is a duplicate when company, name, e-mail
    and LinkedIn address are those of a row before it.

    Raises InputError when no column names the company or the person, and when two people carry the same id.
    """
    columns = resolve_columns(table.columns, PEOPLE_FIELDS, person_field="full_name", mapping=mapping)
    require(table.path, columns, ("full_name", "first_name", "last_name", "email"), PEOPLE_FIELDS)
    require(table.path, columns, ("company_unique_id", "company_name"), PEOPLE_FIELDS)
    first: dict[tuple[str, ...], int] = {}
    rows = tuple(_judge(row, columns, first) for row in table.rows if any(row.cells.values()))
    _refuse_shared_ids(table, rows)
    return PeopleIntake(columns, rows)


def _judge(row: Row, columns: ColumnMap, first: dict[tuple[str, ...], int]) -> PersonRow:
    record, warnings = _record(row, columns)
    if not record.full_name and not record.email:
        errors = ("neither a name nor an e-mail address",)
        return PersonRow(row.line, Verdict.INVALID, record, row.cells, errors, warnings)
    earlier = first.setdefault(_identity(record), row.line)
    if earlier != row.line:
        duplicate = DuplicateOf("content", line=earlier)
        return PersonRow(row.line, Verdict.DUPLICATE, record, row.cells, (), warnings, duplicate)
    return PersonRow(row.line, Verdict.VALID, record, row.cells, (), warnings)


def _identity(record: PersonRecord) -> tuple[str, ...]:
    company = record.company_unique_id or record.company_key or ""
    return company, record.full_name.lower(), (record.email or "").lower(), record.linkedin_url or ""


def _record(row: Row, columns: ColumnMap) -> tuple[PersonRecord, tuple[str, ...]]:
    """The cleaned record of a row, and what could not be understood in it."""
    texts = {target: clean_text(row.cells[column]) for target, column in columns.columns.items()}
    extras = {column: clean_text(row.cells[column]) for column in columns.extras}
    values: dict[str, Any] = {target: text or None for target, text in texts.items()}
    values.update(_names(texts))
    warnings: tuple[str, ...] = ()
    if written := texts.get("updated_at"):
        values["updated_at"] = instant(written)
        if values["updated_at"] is None:
            warnings = (f"updated_at {written[:80]!r} is not an ISO 8601 date",)
    key = content_key({**texts, "extras": extras})
    return PersonRecord(record_key=key, extras=extras, **values), warnings


def _names(texts: Mapping[str, str]) -> dict[str, str]:
    """Full, first and last name, each from its own column where there is one."""
    first, last = texts.get("first_name", ""), texts.get("last_name", "")
    full = texts.get("full_name", "") or f"{first} {last}".strip()
    split_first, split_last = split_name(full)
    if not first and not last:
        first, last = split_first, split_last
    return {"full_name": full, "first_name": first, "last_name": last}


def _refuse_shared_ids(table: Table, rows: tuple[PersonRow, ...]) -> None:
    first: dict[str, PersonRow] = {}
    for row in rows:
        identity = row.record.person_id
        if identity is None:
            continue
        other = first.setdefault(identity, row)
        if _identity(other.record) != _identity(row.record):
            raise InputError(
                f"{table.path}: lines {other.line} and {row.line} give the id {identity!r} to two people: "
                f"correct one of them"
            )
