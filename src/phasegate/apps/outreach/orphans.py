"""The people whose company does not exist: one subject, judged again whenever somebody asks."""

from __future__ import annotations

from phasegate import Engine, PhaseReport, Purged, Subject

FLOW, PHASE = "outreach-orphans", "people_validation"
ORPHANS = Subject("people", "orphans")


def judge_orphans(engine: Engine, *, by: str = "") -> PhaseReport:
    """Have them all judged as they are now, also when the run that did it the last time has been purged."""
    try:
        return engine.run_phase(FLOW, PHASE, [ORPHANS], by=by)
    except Purged:  # it was old; being judged again is all this subject is for
        engine.start(FLOW, ORPHANS, aim=(), by=by, again=True)
        return engine.run_phase(FLOW, PHASE, [ORPHANS], by=by)
