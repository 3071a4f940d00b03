"""What came of the pipeline, on one page: counted from the rows, nothing estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from phasegate.apps.outreach import reports
from phasegate.apps.outreach.rules.phase_ids import display_phase_id, parse_phase_id
from phasegate.apps.outreach.tables import company_master, people_master

if TYPE_CHECKING:
    from phasegate.engine import Engine


@dataclass(frozen=True, slots=True)
class PipelineSummary:
    """Counts of companies unless the name says people. ``stops`` counts every company once and names only what occurs;
    the mappings below it say why, most frequent reason first."""

    companies: int
    companies_by_phase: Mapping[str, int]
    companies_by_validation: Mapping[str, int]
    people_by_validation: Mapping[str, int]
    orphan_people: int
    promoted_people: int
    promoted_companies: int
    stops: Mapping[str, int]
    #: Rule -> how many records break it.
    company_rules: Mapping[str, int]
    people_rules: Mapping[str, int]
    #: The slots that are missing, such as ``CFO, HR`` -> how many companies wait for them.
    missing_slots: Mapping[str, int]
    readiness_reasons: Mapping[str, int]
    outbox: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def summarise(engine: Engine, *, tenant: str = "default") -> PipelineSummary:
    """Count what is in the database now."""

    def counted(statement: Any, name: str) -> dict[str, int]:
        return {row[name]: row["count"] for row in engine.read(statement)}

    companies = counted(reports.validation_counts(company_master, tenant=tenant), "validation_status")
    promoted = engine.read(reports.promotion_counts(tenant=tenant))[0]
    stops = counted(reports.stops(tenant=tenant), "stop")
    return PipelineSummary(
        companies=sum(companies.values()),
        companies_by_phase={
            _phase(row["current_phase"]): row["count"]
            for row in engine.read(reports.companies_per_phase(tenant=tenant))
        },
        companies_by_validation=companies,
        people_by_validation=counted(reports.validation_counts(people_master, tenant=tenant), "validation_status"),
        orphan_people=len(engine.read(reports.orphan_people(tenant=tenant))),
        promoted_people=promoted["people"],
        promoted_companies=promoted["companies"],
        stops={stop: stops[stop] for stop in reports.STOPS if stop in stops},
        company_rules=counted(reports.broken_rules("company", tenant=tenant), "reason"),
        people_rules=counted(reports.broken_rules("person", tenant=tenant), "reason"),
        missing_slots={_missing(row): row["count"] for row in engine.read(reports.missing_slots(tenant=tenant))},
        readiness_reasons=counted(reports.unready_reasons(tenant=tenant), "reason"),
        outbox=counted(reports.outbox_counts(tenant=tenant), "status"),
    )


def _phase(number: object) -> str:
    return "none" if number is None else str(display_phase_id(parse_phase_id(number)))


def _missing(row: Mapping[str, Any]) -> str:
    return ", ".join(slot for slot in ("CEO", "CFO", "HR") if not row[slot.lower()])
