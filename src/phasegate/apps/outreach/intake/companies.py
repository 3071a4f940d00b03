"""Rows of a company file, judged: valid, invalid with every reason, or duplicate with what they repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phasegate.apps.outreach.intake.cleaning import clean_text, content_key, domain_of, whole_number
from phasegate.apps.outreach.intake.columns import COMPANY_FIELDS, ColumnMap, require, resolve_columns
from phasegate.apps.outreach.intake.reading import Row, Table
from phasegate.apps.outreach.intake.verdicts import DuplicateOf, Verdict, statistics
from phasegate.errors import InputError

#: Pages on these hosts belong to whoever made them, so that two companies found there are not the same.
SHARED_HOSTS = frozenset(
    (
        "facebook.com",
        "instagram.com",
        "linkedin.com",
        "linktr.ee",
        "sites.google.com",
        "twitter.com",
        "x.com",
        "youtube.com",
    )
)


@dataclass(frozen=True, slots=True)
class CompanyRecord:
    """A company as the pipeline wants it: cleaned values, None for what the file does not say."""

    #: sha256 of the record's content: the same row read again, from whatever file, has the same key.
    record_key: str
    company_name: str
    company_unique_id: str | None = None
    website: str | None = None
    domain: str | None = None
    industry: str | None = None
    employee_count: int | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    linkedin_url: str | None = None
    phone: str | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    contact_title: str | None = None
    source: str | None = None
    source_record_id: str | None = None
    #: Cleaned cells of columns that mean nothing to the pipeline, by header.
    extras: Mapping[str, str] = field(default_factory=dict)

    @property
    def name_key(self) -> str:
        """The name in lower case: what tells companies apart."""
        return self.company_name.lower()

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """The verdict on one row; ``cells`` holds the row as it was written."""

    line: int
    verdict: Verdict
    record: CompanyRecord
    cells: Mapping[str, str]
    errors: tuple[str, ...] = ()
    duplicate_of: DuplicateOf | None = None


@dataclass(frozen=True, slots=True)
class CompanyIntake:
    """Every row of the file that is not blank, in the order of the file."""

    columns: ColumnMap
    rows: tuple[CompanyRow, ...]

    @property
    def valid(self) -> tuple[CompanyRecord, ...]:
        """The records to be loaded."""
        return tuple(row.record for row in self.rows if row.verdict is Verdict.VALID)

    def statistics(self) -> dict[str, Any]:
        """``total_rows, valid_rows, invalid_rows, duplicate_rows, error_count`` and the first ten ``errors``."""
        return statistics(self.rows)


def company_records(
    table: Table,
    mapping: Mapping[str, str] | None = None,
    *,
    known_names: Mapping[str, str] | None = None,
    known_domains: Mapping[str, str] | None = None,
) -> CompanyIntake:
    """Judge every row of the table against the row rules, the rows before it, and what is already loaded.

    ``mapping`` leads from header to field. ``known_names`` (lower-case name to id, see ``name_key``) and
    ``known_domains`` (see ``domain_of``) describe the companies already loaded. A row is invalid without a company
    name, with a contact e-mail without "@", or with an employee count that is no whole number. A row is a duplicate
    when its id, name or domain is that of a *valid* row before it or of a known company; an invalid row is not loaded,
    so nothing can repeat it.

    Raises InputError when no column names the company, and when two different companies carry the same id.
    """
    columns = resolve_columns(table.columns, COMPANY_FIELDS, person_field="contact_name", mapping=mapping)
    require(table.path, columns, ("company_name",), COMPANY_FIELDS)
    seen = _Seen(known_names or {}, known_domains or {})
    judged = [(row, *_record(row, columns)) for row in table.rows if any(row.cells.values())]
    _refuse_shared_ids(table, [(row.line, record) for row, record, _ in judged])
    return CompanyIntake(columns, tuple(_judge(row, record, errors, seen) for row, record, errors in judged))


class _Seen:
    """The companies a row could repeat. Those already loaded come first, then the valid rows in order."""

    def __init__(self, names: Mapping[str, str], domains: Mapping[str, str]) -> None:
        self._known: dict[str, Mapping[str, str]] = {"name": names, "domain": domains}
        self._found: dict[tuple[str, str], tuple[int | None, str | None]] = {}

    def find(self, record: CompanyRecord) -> DuplicateOf | None:
        identities = tuple(_identities(record))
        for by, value in identities:
            if (known_id := self._known.get(by, {}).get(value)) is not None:
                return DuplicateOf(by, known_id=known_id)
        for by, value in identities:
            if (found := self._found.get((by, value))) is not None:
                line, known_id = found
                return DuplicateOf(by, line=line, known_id=known_id)
        return None

    def add(self, record: CompanyRecord, line: int | None, known_id: str | None = None) -> None:
        for identity in _identities(record):
            self._found.setdefault(identity, (line, known_id))


def _identities(record: CompanyRecord) -> Iterator[tuple[str, str]]:
    if record.company_unique_id:
        yield "id", record.company_unique_id
    yield "name", record.name_key
    if record.domain and record.domain not in SHARED_HOSTS:
        yield "domain", record.domain


def _judge(row: Row, record: CompanyRecord, errors: tuple[str, ...], seen: _Seen) -> CompanyRow:
    if errors:
        return CompanyRow(row.line, Verdict.INVALID, record, row.cells, errors)
    duplicate = seen.find(record)
    if duplicate is not None:
        # The same name is the same company, whose other identities become known. A shared domain proves less: that the
        # row is not to be loaded, but not that another row of its name is the first company too.
        if duplicate.by != "domain":
            seen.add(record, duplicate.line, duplicate.known_id)
        return CompanyRow(row.line, Verdict.DUPLICATE, record, row.cells, duplicate_of=duplicate)
    seen.add(record, row.line)
    return CompanyRow(row.line, Verdict.VALID, record, row.cells)


def _record(row: Row, columns: ColumnMap) -> tuple[CompanyRecord, tuple[str, ...]]:
    """The cleaned record of a row and everything wrong with it."""
    texts = {target: clean_text(row.cells[column]) for target, column in columns.columns.items()}
    extras = {column: clean_text(row.cells[column]) for column in columns.extras}
    values: dict[str, Any] = {target: text or None for target, text in texts.items()}
    count = texts.get("employee_count", "")
    values["company_name"] = texts["company_name"]
    values["employee_count"] = whole_number(count)
    values["domain"] = domain_of(values.get("website"))
    errors = tuple(_errors(texts, values["employee_count"]))
    key = content_key({**texts, "extras": extras})
    return CompanyRecord(record_key=key, extras=extras, **values), errors


def _errors(texts: Mapping[str, str], count: int | None) -> Iterator[str]:
    if not texts["company_name"]:
        yield "company_name is missing"
    email = texts.get("contact_email", "")
    if email and "@" not in email:
        yield f"contact_email {email[:80]!r} holds no @"
    number = texts.get("employee_count", "")
    if number and count is None:
        yield f"employee_count {number[:80]!r} is not a whole number"


def _refuse_shared_ids(table: Table, records: list[tuple[int, CompanyRecord]]) -> None:
    """One id on two companies would attach the contacts of one to the other, so that neither row can be believed."""
    first: dict[str, tuple[int, CompanyRecord]] = {}
    for line, record in records:
        identity = record.company_unique_id
        if identity is None:
            continue
        before, other = first.setdefault(identity, (line, record))
        if other.name_key != record.name_key:
            raise InputError(
                f"{table.path}: lines {before} and {line} give the id {identity!r} to two companies: "
                f"correct one of them"
            )
