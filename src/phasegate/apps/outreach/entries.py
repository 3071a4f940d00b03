"""What is known of every phase of the outreach pipeline, in the order of the ids. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from phasegate.apps.outreach.rules.phase_ids import display_phase_id

#: The doctrine id of the whole pipeline.
PIPELINE_DOCTRINE_ID = "04.04.02.04.ple.validation_pipeline"

IMPLEMENTED, PLANNED = "implemented", "planned"


@dataclass(frozen=True, slots=True)
class PhaseEntry:
    """One phase. ``file`` and ``function`` say where its code is; ``flow_phase`` is its name in the flow, if it has one.

    ``dependencies`` are ids; ``provides`` are the ids that count as complete for a company once this phase is. ``accepts`` are
    the keys of a context that mean something to the phase. ``details`` holds what only some phases have.
    """

    phase_id: Decimal
    phase_name: str
    description: str
    file: str
    function: str
    input_table: str
    output_table: str
    error_routing: str
    dependencies: tuple[Decimal, ...]
    estimated_duration_seconds: float
    accepts: frozenset[str]
    status: str = IMPLEMENTED
    flow_phase: str | None = None
    provides: tuple[Decimal, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int | float:
        """The id as people write it: 1, not 1.0."""
        return display_phase_id(self.phase_id)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON has them, the details among the others."""
        left_out = ("details", "flow_phase")
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}
        return {
            **plain,
            "phase_id": self.number,
            "dependencies": [display_phase_id(each) for each in self.dependencies],
            "provides": [display_phase_id(each) for each in self.provides],
            "accepts": sorted(self.accepts),
            **self.details,
        }


#: Keys that every phase accepts.
_ALWAYS = frozenset({"dry_run", "verbose"})
#: Keys of a phase that works on stored companies.
_BATCH = _ALWAYS | {"state", "limit", "company_id", "company_unique_id", "company", "revalidate"}
_PERSON = _BATCH | {"person", "person_id"}

_SEVERITIES = ("CRITICAL", "ERROR", "WARNING")


def _entry(  # noqa: PLR0917 - the columns of the table below
    number: str, name: str, description: str, place: str, tables: tuple[str, str], routing: str,
    dependencies: tuple[str, ...], seconds: float, accepts: frozenset[str], *, flow_phase: str | None = None,
    provides: tuple[str, ...] = (), **details: Any,
) -> PhaseEntry:  # fmt: skip
    module, _, function = place.partition(":")
    return PhaseEntry(
        Decimal(number), name, description, f"phasegate/apps/outreach/{module}.py", function, *tables, routing,
        tuple(map(Decimal, dependencies)), seconds, accepts, flow_phase=flow_phase,
        provides=tuple(map(Decimal, provides)), details=MappingProxyType(details),
    )  # fmt: skip


ENTRIES: tuple[PhaseEntry, ...] = (
    _entry(
        "0", "Intake Load", "Bring the rows of a file into the company table, each once.",
        "importing:load_companies", ("company_raw_intake", "company_master"), "error_master", (), 30.0,
        _ALWAYS | {"csv_file", "people_file", "mapping", "people_mapping"}, flow_phase="intake",
    ),
    _entry(
        "1", "Company Validation", "Judge a company and its slot rows by the company rules.",
        "phases/validation:validate_companies", ("company_master", "company_master"), "failure_outbox: Invalid_Companies",
        (), 2.0, _BATCH | {"slot_rows", "only_pending"}, flow_phase="company_validation",
        validation_rules=5, severity_levels=_SEVERITIES, google_sheet_tab="Invalid_Companies",
        failure_schema="pipeline_errors",
    ),
    _entry(
        "1.1", "Phase 1b: People Validation Trigger", "Judge the people of companies, then fill the slots.",
        "phases/validation:validate_people", ("people_master", "people_master"), "failure_outbox: Invalid_People",
        ("1",), 2.0, _PERSON | {"only_pending", "valid_company_ids"}, flow_phase="people_validation", provides=("2",),
        validation_rules=7, severity_levels=_SEVERITIES, google_sheet_tab="Invalid_People",
        failure_schema="pipeline_errors", doctrine_id="4.svg.marketing.ple.phase1b_people_validator",
    ),
    _entry(
        "1.5", "Three-tier Enrichment Waterfall", "Conclude what is free, buy what is not, cheapest provider first.",
        "phases/enrichment:enrich", ("people_master", "contact_enrichment"), "manual review", ("1",), 5.0, _BATCH,
        flow_phase="enrichment",
    ),
    _entry(
        "2", "Person Validation (Low-Level)", "Judge one person by the person rules.",
        "single:judge_person", ("people_master", "people_master"), "returned result", ("1",), 0.01,
        _PERSON | {"only_pending", "valid_company_ids"}, flow_phase="people_validation",
        validation_rules=7, severity_levels=_SEVERITIES, note="Recorded for a company by phase 1.1, which runs its rules.",
    ),
    _entry(
        "2.5", "3/3 Slot Completion Gate", "Let a company pass when CEO, CFO and HR are filled.",
        "phases/gate:check_slots", ("company_slot", "pipeline_events"), "stays waiting", ("1.5", "2"), 1.0, _BATCH,
        flow_phase="slot_gate",
    ),
    _entry(
        "3", "Outreach Readiness Evaluation", "Judge whether a company may be written to, slot by slot.",
        "phases/readiness:evaluate", ("company_master", "company_master"), "pipeline_events", ("1", "2"), 5.0,
        _BATCH | {"only_validated"}, flow_phase="readiness", checks_per_company=15,
        failure_categories=("Slot Not Filled", "Enrichment Missing", "Email Not Verified", "Title Mismatch"),
    ),
    _entry(
        "4", "BIT Trigger Check", "Find the people of ready companies who give a signal.",
        "phases/intent:trigger", ("company_master", "bit_events"), "error_master", ("3",), 3.0, _PERSON,
        flow_phase="trigger", doctrine_id="4.svg.marketing.ple.bit_trigger_check",
        signal_types=(
            "Executive Movement", "Funding Round", "Hiring Spree", "Tech Stack Change", "Leadership Change",
        ),
    ),
    _entry(
        "5", "BIT Score Calculation", "Score the people who gave a signal, from 0 to 100.",
        "phases/intent:score", ("bit_events", "company_scores"), "error_master", ("4",), 2.0, _PERSON,
        flow_phase="score", doctrine_id="4.svg.marketing.ple.bit_score_calc", score_range=(0, 100),
        thresholds={"hot": 75, "warm": 50, "cold": 25},
    ),
    _entry(
        "6", "Promotion to Outreach Log", "Enter the people with a score of 50 and more, once per campaign.",
        "phases/promotion:promote", ("company_scores", "outreach_log"), "error_master", ("5",), 2.0, _PERSON,
        flow_phase="promotion", doctrine_id="4.svg.marketing.ple.outreach_promotion",
        campaign_metadata=("campaign_id", "sequence_id", "personalization_template", "send_date"),
    ),
)  # fmt: skip
