"""The transactional phase that brings a file into the database: every row is kept with its verdict, ids are given out
from the counter, people find their companies. All of it is one transaction: it happens once or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from phasegate import Context, Fatal
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.homes import Employer, Home, Homes, KnownCompany
from phasegate.apps.outreach.intake import (
    CompanyRow,
    DuplicateOf,
    PersonRow,
    Table,
    Verdict,
    company_records,
    name_key,
    people_records,
    read_table,
)
from phasegate.apps.outreach.phases.records import outbox_row
from phasegate.apps.outreach.routing import Routing, company_payload, person_payload, pipeline_id
from phasegate.apps.outreach.rules import RULE_SET_HASH
from phasegate.apps.outreach.rules.identifiers import FAMILY, IdKind, format_id, is_id, parse_id

#: Verification words of a file that say an address works.
_CONFIRMED = frozenset({"ok", "valid", "deliverable"})
#: The columns of ``people_master`` that an ``Employer`` is made of.
_EMPLOYER = ("company_unique_id", "company_name", "email", "city")


def register(ctx: Context) -> dict[str, Any]:
    """Register the file named in the run's input: ``path, kind (companies|people), sha256, mapping``.

    Returns ``import_id, kind, statistics`` with the counts of the file. A file that is no longer the one whose digest the
    run was started with is ``Fatal``.
    """
    given = ctx.input
    table = read_table(given["path"])
    if file_digest(given["path"]) != given["sha256"]:
        raise Fatal(f"{given['path']} has changed since it was named for import: load it again")
    work = _Registration(ctx, ctx.subject.id, ctx.now())
    counts = (_register_companies if given["kind"] == "companies" else _register_people)(work, table, given["mapping"])
    return {"import_id": work.import_id, "kind": given["kind"], "statistics": counts}


def file_digest(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class _Registration:
    """One transaction's session, with what every row of it shares."""

    def __init__(self, ctx: Context, import_id: str, now: datetime) -> None:
        self.ctx, self.import_id, self.now = ctx, import_id, now
        self.tenant = ctx.tenant

    def rows(self, query: Any, **params: Any) -> list[Mapping[str, Any]]:
        """The rows of a query that takes the tenant."""
        return list(self.ctx.session.execute(query, {"tenant": self.tenant, **params}).mappings())

    def add(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write many rows with one statement."""
        if rows:
            self.ctx.session.execute(statement, list(rows))

    def numbers(self, kind: IdKind, count: int, taken: Iterable[str]) -> list[str]:
        """The next ids of a kind; never one of ``taken``, which the counter is moved past."""
        if not count:
            return []
        last = self.ctx.session.execute(sql.COUNTER, {"kind": kind.value}).scalar() or 0
        last = max([last, *_numbers_of(taken, kind)])
        self.add(sql.SET_COUNTER, [{"kind": kind.value, "last": last + count}])
        return [format_id(kind, last + place) for place in range(1, count + 1)]

    def add_raw(self, statement: Any, rows: Sequence[CompanyRow] | Sequence[PersonRow], ids: Mapping[int, str]) -> None:
        """Keep every row of the file as it was written, with what became of it."""
        column = "company_unique_id" if statement is sql.ADD_RAW_COMPANY else "person_unique_id"
        self.add(statement, [self._raw(row, column, ids.get(row.line)) for row in rows])

    def _raw(self, row: CompanyRow | PersonRow, column: str, identity: str | None) -> dict[str, Any]:
        record = row.record.as_dict()
        if isinstance(row, PersonRow) and row.record.updated_at is not None:
            record["updated_at"] = row.record.updated_at.isoformat()
        again = row.duplicate_of
        return {
            "tenant": self.tenant,
            "import_id": self.import_id,
            "line": row.line,
            "record_key": row.record.record_key,
            "verdict": row.verdict.value,
            "errors": list(row.errors) or None,
            "warnings": list(getattr(row, "warnings", ())) or None,
            "duplicate_of": {"by": again.by, "line": again.line, "known_id": again.known_id} if again else None,
            "record": record,
            column: identity,
            "created_at": self.now,
        }

    def route_invalid(
        self, kind: str, rows: Sequence[CompanyRow] | Sequence[PersonRow], columns: Mapping[str, str]
    ) -> None:
        """Rows that cannot be loaded go to the error table and to the outbox, with their cells as they were written."""
        invalid = [row for row in rows if row.verdict is Verdict.INVALID]
        self.add(sql.ADD_ERROR, [self._error(row) for row in invalid])
        make = company_payload if kind == "company" else person_payload
        routing = Routing(pipeline_id(kind, self.now), self.now, RULE_SET_HASH)
        payloads = (make(_written(row, columns), _failures(row), routing) for row in invalid)
        self.add(sql.ADD_TO_OUTBOX, [outbox_row(self.tenant, payload, self.now) for payload in payloads])

    def _error(self, row: CompanyRow | PersonRow) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "error_code": "invalid_row",
            "error_message": "; ".join(row.errors),
            "severity": "ERROR",
            "component": "intake_loader",
            "phase_id": 0,
            "context": {"import_id": self.import_id, "line": row.line},
            "created_at": self.now,
        }


# --- companies ------------------------------------------------------------------------------------------------------


def _register_companies(work: _Registration, table: Table, mapping: Mapping[str, str] | None) -> dict[str, Any]:
    known = _known_companies(work)
    judged = company_records(
        table,
        mapping,
        known_names={each.name_key: each.id for each in known},
        known_domains={each.domain: each.id for each in known if each.domain},
    )
    taken = {each.id for each in known}
    rows = [_own_id(row, taken) for row in judged.rows]
    own = [row.record.company_unique_id for row in rows if row.record.company_unique_id]
    valid = [row for row in rows if row.verdict is Verdict.VALID]
    nameless = [row for row in valid if row.record.company_unique_id is None]
    ids = {row.line: str(row.record.company_unique_id) for row in valid if row.record.company_unique_id}
    fresh = work.numbers(IdKind.COMPANY, len(nameless), [*taken, *own])
    ids |= {row.line: identity for row, identity in zip(nameless, fresh, strict=True)}
    work.add_raw(sql.ADD_RAW_COMPANY, rows, ids)
    work.route_invalid("company", rows, judged.columns.columns)
    adopted = _adopt_people(work, known, [_brought(row, ids[row.line]) for row in valid])
    return {**replace(judged, rows=tuple(rows)).statistics(), "inserted_rows": len(valid), "adopted_people": adopted}


def _known_companies(work: _Registration) -> list[KnownCompany]:
    """Every company that is loaded or on its way."""
    loaded = [
        KnownCompany(
            row["company_unique_id"], row["name_key"] or name_key(row["company_name"]), row["domain"],
            row["address_city"], row["source_record_id"],
        )
        for row in work.rows(sql.KNOWN_COMPANIES)
    ]  # fmt: skip
    under_way = [
        KnownCompany(
            row["company_unique_id"], name_key(row["record"]["company_name"]), row["record"]["domain"],
            row["record"]["city"], row["record"]["source_record_id"],
        )
        for row in work.rows(sql.COMPANIES_UNDER_WAY)
    ]  # fmt: skip
    return loaded + under_way


def _brought(row: CompanyRow, identity: str) -> KnownCompany:
    record = row.record
    return KnownCompany(identity, record.name_key, record.domain, record.city, record.source_record_id)


def _own_id(row: CompanyRow, taken: set[str]) -> CompanyRow:
    """A row with an id of ours keeps it, unless the id is taken; an id of another system is that system's record id."""
    record = row.record
    given = record.company_unique_id
    if given is None:
        return row
    if not is_id(given, IdKind.COMPANY):
        own = record.source_record_id or given
        return replace(row, record=replace(record, company_unique_id=None, source_record_id=own))
    if given in taken and row.verdict is Verdict.VALID:
        return replace(row, verdict=Verdict.DUPLICATE, duplicate_of=DuplicateOf("id", known_id=given))
    return row


def _adopt_people(work: _Registration, known: Sequence[KnownCompany], brought: Sequence[KnownCompany]) -> int:
    """People whose company was unknown until now belong to it from now on; returns how many they are.

    The companies known before count as well: a new one that is as like as one of them makes neither certain.
    """
    ids = {each.id for each in known}
    # Whose company is still on its way has found it.
    unresolved = [row for row in work.rows(sql.UNRESOLVED_PEOPLE) if row["company_unique_id"] not in ids]
    if not unresolved:
        return 0
    new, together = Homes(brought), Homes([*known, *brought])
    said = [(row, Employer(*(row[name] for name in _EMPLOYER))) for row in unresolved]
    # For the others nothing has changed, and comparing them with every company would take its time.
    found = [(row, together.find(employer)) for row, employer in said if new.find(employer).in_question]
    work.add(sql.SET_MATCH, [_match(work, row["record_key"], home) for row, home in found])
    adopted = [{"person": row["unique_id"], "company": home.company_id} for row, home in found if home.company_id]
    work.add(sql.SET_COMPANY_OF_PERSON, adopted)
    return len(adopted)


# --- people ---------------------------------------------------------------------------------------------------------


def _register_people(work: _Registration, table: Table, mapping: Mapping[str, str] | None) -> dict[str, Any]:
    judged = people_records(table, mapping)
    known = {row["record_key"]: row["unique_id"] for row in work.rows(sql.KNOWN_PEOPLE)}
    taken = set(known.values())
    rows = [_person_row(row, known, taken) for row in judged.rows]
    valid = [row for row in rows if row.verdict is Verdict.VALID]
    nameless = [row for row in valid if row.record.person_id is None]
    ids = {row.line: str(row.record.person_id) for row in valid if row.record.person_id}
    fresh = work.numbers(IdKind.PERSON, len(nameless), [*taken, *ids.values()])
    ids |= {row.line: identity for row, identity in zip(nameless, fresh, strict=True)}
    homes = Homes(_known_companies(work))
    found = [homes.find(_employer(row)) for row in valid]
    people = [_person(work, row, ids[row.line], home.company_id) for row, home in zip(valid, found, strict=True)]
    work.add(sql.ADD_PERSON, people)
    work.add_raw(sql.ADD_RAW_PERSON, rows, ids)
    compared = [(row, home) for row, home in zip(valid, found, strict=True) if home.score is not None]
    work.add(sql.SET_MATCH, [_match(work, row.record.record_key, home) for row, home in compared])
    work.route_invalid("person", rows, judged.columns.columns)
    statistics = replace(judged, rows=tuple(rows)).statistics()
    return {**statistics, "inserted_rows": len(valid), **_counted(found)}


def _counted(found: Sequence[Home]) -> dict[str, Any]:
    """``orphan_rows``, of these ``held_rows`` by reason, and ``matched_rows``: whose company was found by likeness."""
    held = Counter(home.hold_reason.value for home in found if home.hold_reason is not None)
    matched = sum(home.score is not None and home.company_id is not None for home in found)
    return {"orphan_rows": held.total(), "matched_rows": matched, "held_rows": dict(sorted(held.items()))}


def _employer(row: PersonRow) -> Employer:
    record = row.record
    return Employer(record.company_unique_id, record.company_name, record.email, record.city)


def _match(work: _Registration, record_key: str | None, home: Home) -> dict[str, Any]:
    reason = home.hold_reason.value if home.hold_reason is not None else None
    return {"of_tenant": work.tenant, "of_record": record_key, "score": home.score, "reason": reason}


def _person_row(row: PersonRow, known: Mapping[str, str], taken: set[str]) -> PersonRow:
    """A person who is loaded already is a duplicate; an id of another system is that system's record id."""
    record = row.record
    if row.verdict is not Verdict.VALID:
        return row
    present = known.get(record.record_key)
    if present is not None:
        return replace(row, verdict=Verdict.DUPLICATE, duplicate_of=DuplicateOf("content", known_id=present))
    given = record.person_id
    if given is None:
        return row
    if not is_id(given, IdKind.PERSON):
        return replace(row, record=replace(record, person_id=None, source_record_id=record.source_record_id or given))
    if given in taken:
        return replace(row, verdict=Verdict.DUPLICATE, duplicate_of=DuplicateOf("id", known_id=given))
    return row


def _person(work: _Registration, row: PersonRow, identity: str, home: str | None) -> dict[str, Any]:
    """The row of ``people_master``; without a company found it holds what the file says of it."""
    record = row.record
    return {
        "unique_id": identity,
        "tenant": work.tenant,
        "company_unique_id": home or record.company_unique_id or record.company_name,
        "company_name": record.company_name,
        "city": record.city,
        "first_name": record.first_name,
        "last_name": record.last_name,
        "full_name": record.full_name or None,
        "title": record.title,
        "email": record.email,
        "email_verification": record.email_verification,
        "email_class": "given" if record.email else None,
        "email_verified": bool(record.email) and (record.email_verification or "").casefold() in _CONFIRMED,
        "work_phone_e164": record.phone,
        "linkedin_url": record.linkedin_url,
        "extras": dict(record.extras) or None,
        "source_system": record.source or "unknown",
        "source_record_id": record.source_record_id,
        "record_key": record.record_key,
        "import_batch_id": work.import_id,
        "created_at": work.now,
        "updated_at": record.updated_at,
    }


# --- both -----------------------------------------------------------------------------------------------------------


def _numbers_of(ids: Iterable[str], kind: IdKind) -> Iterable[int]:
    """The running numbers of those ids that the counter could give out as well."""
    for identity in ids:
        if is_id(identity, kind) and (found := parse_id(identity)).family == FAMILY:
            yield found.number


def _written(row: CompanyRow | PersonRow, columns: Mapping[str, str]) -> dict[str, Any]:
    return {field: row.cells[column] for field, column in columns.items()}


def _failures(row: CompanyRow | PersonRow) -> list[dict[str, Any]]:
    """The row's errors as failures; each error begins with the field it is about."""
    return [
        {"field": error.partition(" ")[0], "rule": "row_rule", "message": error, "severity": "ERROR"}
        for error in row.errors
    ]
