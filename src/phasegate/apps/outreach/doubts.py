"""Doubts about the records in the tables: what is missing, stands for nothing, or does not fit together.

Looking only. No row is changed, and no phase ends differently because of a doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phasegate import UnknownName
from phasegate.apps.outreach import queries, reports
from phasegate.apps.outreach.phases.batch import Row, Rows, group_rows, parts_of, read_many
from phasegate.apps.outreach.rules.plausibility import (
    BAYS,
    Plausibility,
    check_company_plausibility,
    check_person_plausibility,
)

if TYPE_CHECKING:
    from phasegate import Engine


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A company or a person (``record_type``), and what there is to doubt."""

    record_type: str
    record_id: str
    name: str | None
    found: Plausibility

    def to_result(self) -> dict[str, Any]:
        """``record_type, record_id, name, garage_bay, reasons, is_chronic, attempt, last_hash``."""
        found = self.found.to_result()
        told = {name: found[name] for name in ("garage_bay", "reasons", "is_chronic")}
        head = {"record_type": self.record_type, "record_id": self.record_id, "name": self.name}
        return {**head, **told, "attempt": self.found.attempt, "last_hash": found["last_hash"]}


@dataclass(slots=True)
class BayTotals:
    """How many records of one type were looked at, and where those in doubt are sent."""

    looked_at: int = 0
    bay_a: int = 0
    bay_b: int = 0
    chronic: int = 0

    def count(self, found: Plausibility) -> None:
        """Count one more record."""
        self.looked_at += 1
        self.bay_a += found.garage_bay == "bay_a"
        self.bay_b += found.garage_bay == "bay_b"
        self.chronic += found.is_chronic


@dataclass(frozen=True, slots=True)
class DoubtReport:
    """The records in doubt: every company before its people, people without a company last. ``totals`` counts all records
    by type, also those that are not listed; ``more`` says that a limit left some out."""

    doubts: tuple[JudgedRecord, ...]
    more: bool
    totals: Mapping[str, BayTotals]


def find_doubts(
    engine: Engine, *, state: str | None = None, bay: str | None = None, limit: int | None = None
) -> DoubtReport:
    """The doubts about the companies of a state (None: of all) and their people; with None also about people without one.

    ``bay`` lists only what is sent to ``bay_a`` or to ``bay_b``, ``limit`` at most so many. A doubt is chronic when the
    company has been enriched twice or more. Raises ``UnknownName`` for another bay.
    """
    if bay is not None and bay not in BAYS:
        raise UnknownName("bay", bay, BAYS)
    totals = {"company": BayTotals(), "person": BayTotals()}
    listed: list[JudgedRecord] = []
    more = False
    for record in _judged(engine, state):
        totals[record.record_type].count(record.found)
        to = record.found.garage_bay
        if to is None or bay not in (None, to):
            continue
        if limit is None or len(listed) < limit:
            listed.append(record)
        else:
            more = True
    return DoubtReport(tuple(listed), more, totals)


def _judged(engine: Engine, state: str | None) -> Iterator[JudgedRecord]:
    """Every company with its people, some hundred companies in memory at a time."""
    companies = engine.read(reports.select_companies(tenant=engine.tenant, state=state))
    for ids in parts_of([row["company_unique_id"] for row in companies]):
        rows = {row["company_unique_id"]: row for row in _read(engine, queries.CONTENT_OF_COMPANIES, ids)}
        people = group_rows(_read(engine, queries.CONTENT_OF_PEOPLE, ids))
        attempts = {
            row["company_unique_id"]: row["attempts"] for row in _read(engine, queries.ENRICHMENT_ATTEMPTS, ids)
        }
        for identity in ids:
            if identity in rows:  # it may be gone since its id was read
                yield from _judge(rows[identity], people.get(identity, []), attempts.get(identity, 0))
    if state is None:
        yield from _judge_orphans(engine)


def _judge(company: Row, people: Rows, attempt: int) -> Iterator[JudgedRecord]:
    found = check_company_plausibility(company, attempt)
    yield JudgedRecord("company", company["company_unique_id"], company["company_name"], found)
    for person in people:
        yield _person(person, check_person_plausibility(person, company, attempt))


def _judge_orphans(engine: Engine) -> Iterator[JudgedRecord]:
    orphans = engine.read(reports.orphan_people(tenant=engine.tenant))
    for ids in parts_of([row["unique_id"] for row in orphans]):
        rows = {row["unique_id"]: row for row in _read(engine, queries.CONTENT_OF_PERSONS, ids)}
        for identity in ids:
            if identity in rows:
                yield _person(rows[identity], check_person_plausibility(rows[identity]))


def _person(row: Row, found: Plausibility) -> JudgedRecord:
    return JudgedRecord("person", row["unique_id"], row["full_name"], found)


def _read(engine: Engine, query: Any, ids: list[str]) -> Rows:
    return read_many(engine.read, query, engine.tenant, ids)
