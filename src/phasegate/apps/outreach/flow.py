"""The flows of the outreach application, as data, and the registry that knows them.

One run of ``outreach`` is one company's way from a row of a file to the outreach log. ``outreach-import`` brings a file
into the database, once. ``outreach-orphans`` judges the people whose company does not exist. Invalid records leave by the flow of
``outbox``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phasegate import Batch, Flow, InputError, Phase, Registry, Retry
from phasegate.apps.outreach.dependencies import Commit, Dependencies
from phasegate.apps.outreach.enrichment import IMPORTED, Provider, Verifier, VerifierTerms, arrange_tiers, offline_tiers
from phasegate.apps.outreach.outbox import OUTBOX
from phasegate.apps.outreach.phases import enrichment, gate, intake, intent, promotion, readiness, validation
from phasegate.apps.outreach.projection import project
from phasegate.apps.outreach.registering import register
from phasegate.apps.outreach.rules.promotion import Campaigns
from phasegate.apps.outreach.tables import SCHEMAS

if TYPE_CHECKING:
    from phasegate.apps.outreach.routing import Sink

#: One call for many companies: enough to make a query per table cheap, few enough to answer soon.
_TOGETHER = Batch(size=500, within=0.02)


def _phase(name: str, label: str, run: Callable[..., Any], title: str, **options: Any) -> Phase:
    # A returned error is a failure, whichever phase returns it.
    return Phase(name, run, label=label, title=title, batch=_TOGETHER, reports_failure=True, **options)


OUTREACH = Flow(
    "outreach",
    1,
    (
        _phase("intake", "0", intake.load_companies, "Intake Load", expects=30.0),
        _phase(
            "company_validation",
            "1",
            validation.validate_companies,
            "Company Validation",
            # Not a need: a company that came into the table in another way may be validated as well.
            after=("intake",),
            expects=2.0,
        ),
        _phase(
            "people_validation",
            "1.1",
            validation.validate_people,
            "Phase 1b: People Validation Trigger",
            needs=("company_validation",),
            expects=2.0,
        ),
        _phase(
            "enrichment",
            "1.5",
            enrichment.enrich,
            "Three-tier Enrichment Waterfall",
            needs=("company_validation",),
            # So that whether a derived address is judged now or next time is never a matter of chance.
            after=("people_validation",),
            retry=Retry(attempts=3),
        ),
        _phase(
            "slot_gate", "2.5", gate.check_slots, "3/3 Slot Completion Gate", needs=("enrichment", "people_validation")
        ),
        _phase(
            "readiness",
            "3",
            readiness.evaluate,
            "Outreach Readiness Evaluation",
            needs=("company_validation", "people_validation"),
            # The gate holds back whoever is on the way through the whole flow; who asks for this phase alone gets it.
            after=("slot_gate",),
            expects=5.0,
        ),
        _phase("trigger", "4", intent.trigger, "BIT Trigger Check", needs=("readiness",), expects=3.0),
        _phase("score", "5", intent.score, "BIT Score Calculation", needs=("trigger",), expects=2.0),
        _phase("promotion", "6", promotion.promote, "Promotion to Outreach Log", needs=("score",), expects=2.0),
    ),
)

IMPORT = Flow(
    "outreach-import",
    1,
    (Phase("register", register, label="0", title="Register a file", transactional=True),),
)

ORPHANS = Flow(
    "outreach-orphans",
    1,
    (_phase("people_validation", "1.1", validation.validate_orphans, "Phase 1b: People Validation Trigger"),),
)

FLOWS = (OUTREACH, IMPORT, ORPHANS, OUTBOX)


def build_registry(
    *,
    sink: Sink | None = None,
    providers: Sequence[Provider] | None = None,
    campaigns: Campaigns | None = None,
    sheet_ids: Mapping[str, str] | None = None,
    verifier: Verifier | None = None,
    verifier_terms: VerifierTerms | None = None,
    commit: Commit | None = None,
) -> Registry:
    """A registry with all flows and the projection that keeps the application's log.

    ``sink`` takes invalid records when the outbox is delivered. ``providers`` are asked in phase 1.5; None means the
    offline ones, an empty sequence nobody. ``sheet_ids`` maps a sheet tab to the id of its sheet. ``verifier`` is asked in
    phase 1.5 about guessed addresses; None means nobody. Its answers are kept by ``commit`` one by one, as the engine of
    ``open_engine`` does; without it when the phase is complete, so that those of a killed process are lost. Time comes from
    the engine's clock. Raises InputError for a verifier whose answers could not be told from a file's.
    """
    if verifier is not None and verifier.name in ("", IMPORTED):
        raise InputError(f"a verifier cannot be named {verifier.name!r}: give it another name")
    tiers = offline_tiers() if providers is None else arrange_tiers(providers)
    deps = Dependencies(
        sink,
        tiers,
        campaigns or Campaigns(),
        dict(sheet_ids or {}),
        verifier,
        verifier_terms or VerifierTerms(),
        commit,
    )
    registry = Registry(*FLOWS, deps=deps, schemas=sorted(set(SCHEMAS.values())))
    registry.projection(project)
    return registry
