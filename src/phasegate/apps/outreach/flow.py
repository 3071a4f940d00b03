"""The flows of the outreach application, as data, and the registry that knows them.

One run of ``outreach`` is one company's way from a row of a file to the outreach log. ``outreach-import`` brings a file
into the database, once. ``outreach-orphans`` judges the people whose company does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phasegate import Batch, Flow, Phase, Registry, Retry
from phasegate.apps.outreach import phases
from phasegate.apps.outreach.enrichment import Provider, Tier, arrange_tiers, offline_tiers
from phasegate.apps.outreach.registering import register
from phasegate.apps.outreach.rules.promotion import Campaigns

if TYPE_CHECKING:
    from phasegate.apps.outreach.routing import Sink

#: One call for many companies: enough to make a query per table cheap, few enough to answer soon.
_TOGETHER = Batch(size=500, within=0.02)
#: For phases that ask vendors, or that a busy database may disturb.
_PATIENT = Retry(attempts=3)


def _phase(name: str, label: str, title: str, **options: object) -> Phase:
    # A returned error is a failure, whichever phase returns it.
    return Phase(name, getattr(phases, name), label=label, title=title, batch=_TOGETHER, reports_failure=True, **options)  # type: ignore[arg-type]


OUTREACH = Flow(
    "outreach",
    1,
    (
        _phase("intake", "0", "Intake Load", expects=30.0),
        # Not a need: a company that came into the table by other ways may be validated as well.
        _phase("company_validation", "1", "Company Validation", after=("intake",), expects=2.0),
        _phase(
            "people_validation", "1.1", "Phase 1b: People Validation Trigger", needs=("company_validation",), expects=2.0
        ),
        # After the people were judged, so that a derived address is judged in the next validation and never by chance.
        _phase(
            "enrichment", "1.5", "Three-tier Enrichment Waterfall", needs=("company_validation",),
            after=("people_validation",), retry=_PATIENT,
        ),
        _phase("slot_gate", "2.5", "3/3 Slot Completion Gate", needs=("enrichment", "people_validation")),
        _phase(
            "readiness", "3", "Outreach Readiness Evaluation", needs=("company_validation", "people_validation"),
            after=("slot_gate",), expects=5.0,
        ),
        _phase("trigger", "4", "BIT Trigger Check", needs=("readiness",), expects=3.0),
        _phase("score", "5", "BIT Score Calculation", needs=("trigger",), expects=2.0),
        _phase("promotion", "6", "Promotion to Outreach Log", needs=("score",), expects=2.0),
    ),
)  # fmt: skip

IMPORT = Flow(
    "outreach-import",
    1,
    (Phase("register", register, label="0", title="Register a file", transactional=True),),
)

ORPHANS = Flow(
    "outreach-orphans",
    1,
    (
        Phase(
            "people_validation",
            phases.orphan_validation,
            label="1.1",
            title="Phase 1b: People Validation Trigger",
            batch=_TOGETHER,
            reports_failure=True,
        ),
    ),
)

FLOWS = (OUTREACH, IMPORT, ORPHANS)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the phases are given besides their rows: where invalid records go, who enriches, what is promoted to."""

    sink: Sink | None = None
    tiers: tuple[Tier, ...] = field(default_factory=offline_tiers)
    campaigns: Campaigns = field(default_factory=Campaigns)
    sheet_ids: Mapping[str, str] = field(default_factory=dict)


def build_registry(
    *,
    sink: Sink | None = None,
    providers: Sequence[Provider] | None = None,
    campaigns: Campaigns | None = None,
    sheet_ids: Mapping[str, str] | None = None,
) -> Registry:
    """A registry with the three flows and the projection that keeps the application's log.

    ``sink`` takes invalid records when the outbox is delivered. ``providers`` are asked in phase 1.5; None means the
    offline ones, an empty sequence nobody. ``sheet_ids`` maps a sheet tab to the id of its sheet. Time comes from the
    engine's clock.
    """
    from phasegate.apps.outreach.projection import project

    tiers = offline_tiers() if providers is None else arrange_tiers(providers)
    deps = Dependencies(sink, tiers, campaigns or Campaigns(), dict(sheet_ids or {}))
    registry = Registry(*FLOWS, deps=deps)
    registry.projection(project)
    return registry
