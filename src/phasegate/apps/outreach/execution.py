"""One phase for the companies somebody named: select, have the engine do it, put the answer into its shape.

There is no loop over companies here, no retry and no status: the engine has the runs, the projection keeps the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phasegate import NeedsNotMet, PhaseReport, PhaseResult, PhaseStatus
from phasegate.apps.outreach import single
from phasegate.apps.outreach.asked import Asked, BadContext
from phasegate.apps.outreach.catalogue import CATALOGUE
from phasegate.apps.outreach.entries import PhaseEntry
from phasegate.apps.outreach.importing import load
from phasegate.apps.outreach.orphans import judge_orphans
from phasegate.apps.outreach.outbox import deliver_outbox
from phasegate.apps.outreach.records import judge_record
from phasegate.apps.outreach.results import Came, batch_result
from phasegate.apps.outreach.selection import Selection, company, select
from phasegate.apps.outreach.statistics import Deliveries, Times

if TYPE_CHECKING:
    from phasegate import Engine

NOTHING_FAILED = "no company has an outstanding failure of this phase"

#: Phases whose invalid records leave through the outbox.
_ROUTING = frozenset({"company_validation", "people_validation"})
#: Phases that, asked about one company, answer with the company's own result.
_OWN_RESULT = frozenset({"company_validation", "slot_gate", "readiness"})
_ENDED = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED, PhaseStatus.FAILED)


class PhaseFailed(Exception):
    """The phase could not be done: nothing was eligible, or it failed wherever it was tried."""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a phase, and the attempts of the engine it came from, as (run, number)."""

    result: dict[str, Any]
    attempts: tuple[tuple[str, int], ...] = ()


def perform(engine: Engine, entry: PhaseEntry, asked: Asked) -> Done:
    """Do a phase. Raises ``PhaseFailed``, or what the engine raises, when it cannot be done."""
    if entry.flow_phase == "intake":
        return Done(_intake(engine, asked))
    recorded = judge_record(engine, entry, asked)
    if recorded is not None:
        return Done(recorded)
    if isinstance(asked.company, str):
        return _one_company(engine, entry, asked, asked.company)
    return _batch(engine, entry, asked)


# --- phase 0 --------------------------------------------------------------------------------------------------------


def _intake(engine: Engine, asked: Asked) -> dict[str, Any]:
    files = asked.files or {}
    if not files.get("csv_file") and not files.get("people_file"):
        raise BadContext("phase 0 needs a file to load", hint="give csv_file, people_file or both")
    found = load(
        engine, companies=files.get("csv_file"), people=files.get("people_file"), mapping=files.get("mapping"),
        people_mapping=files.get("people_mapping"),
    )  # fmt: skip
    result = found["companies"] if "companies" in found else found["people"]
    return {**result, **({"people": found["people"]["statistics"]} if len(found) > 1 else {})}


# --- one company ----------------------------------------------------------------------------------------------------


def _one_company(engine: Engine, entry: PhaseEntry, asked: Asked, company_id: str) -> Done:
    if single.read_company(engine, company_id, tenant=engine.tenant) is None:
        raise PhaseFailed(f"there is no company {company_id}")
    selection = Selection((company_id,), 1)
    came, report = _run(engine, entry, replace(asked, limit=None), selection, orphans=False)
    for reason in came.failed.values():
        raise PhaseFailed(reason)
    shaped = batch_result(entry, came, state=asked.state, dry_run=engine.dry_run)
    if entry.flow_phase in _OWN_RESULT:
        own = came.gates[0].to_result() if came.gates else dict(came.results[0]) if came.results else {}
        shaped = {**own, "statistics": shaped["statistics"]}
    return Done(shaped, _attempts(report))


# --- many companies -------------------------------------------------------------------------------------------------


def _batch(engine: Engine, entry: PhaseEntry, asked: Asked) -> Done:
    if entry.phase_id >= 4 and not asked.named_state and not asked.retrying:
        raise BadContext(
            f"phase {entry.number} needs a person, a company or a state", hint="state None means every state"
        )
    selection = select(engine, entry, asked)
    _refuse_if_none_may(engine, entry, asked, selection)
    came, report = _run(engine, entry, asked, selection, orphans=asked.limit is None and not asked.retrying)
    if came.failed and not (came.results or came.skipped or came.waiting):
        first = next(iter(came.failed.values()))
        raise PhaseFailed(f"phase {entry.number} failed for {_companies(len(came.failed))}: {first}")
    result = batch_result(entry, came, state=asked.state, dry_run=engine.dry_run)
    if asked.retrying and not selection.companies:
        result["statistics"]["note"] = NOTHING_FAILED
    return Done(result, _attempts(report))


def _companies(number: int) -> str:
    return "1 company" if number == 1 else f"{number} companies"


def _refuse_if_none_may(engine: Engine, entry: PhaseEntry, asked: Asked, selection: Selection) -> None:
    """When a filter has left nobody because nothing was validated yet, that is what the caller is told."""
    if not (selection.excluded and asked.check_needs):
        return
    subjects = [company(each) for each in selection.excluded]
    plans = engine.plan("outreach", subjects, tenant=engine.tenant).values()
    unmet = [CATALOGUE.unmet(entry.phase_id, plan) for plan in plans]
    if all(unmet):
        raise PhaseFailed(unmet_message(entry, {each.phase_id for phases in unmet for each in phases}))


def _run(
    engine: Engine, entry: PhaseEntry, asked: Asked, selection: Selection, *, orphans: bool
) -> tuple[Came, PhaseReport | None]:
    phase, began = entry.flow_phase or "", engine.store.now()
    report = _asked_of_engine(engine, entry, asked, selection) if selection.companies else None
    judged = _orphans(engine) if orphans and phase == "people_validation" and selection.population else None
    deliveries = _deliver(engine) if report is not None and phase in _ROUTING else Deliveries()
    gates = single.slot_gates(engine, selection.companies, tenant=engine.tenant) if phase == "slot_gate" else []
    came = Came(Times(began, engine.store.now()), gates=gates, orphans=judged, deliveries=deliveries)
    if report is None:
        return came, None
    blocked = {subject.id for subject in report.blocked}
    return replace(
        came,
        results=[each.output for each in report.succeeded if each.output is not None],
        blocked=len(blocked),
        gates=[gate for gate in gates if gate.company_id not in blocked],
        failed=_reasons(report.failed),
        skipped={
            **_reasons(_with(report, lambda status: status is PhaseStatus.SKIPPED)),
            **{subject.id: why for subject, why in report.refused.items()},
        },
        waiting=_reasons(_with(report, lambda status: status not in _ENDED)),
    ), report


def _asked_of_engine(engine: Engine, entry: PhaseEntry, asked: Asked, selection: Selection) -> PhaseReport:
    try:
        return engine.run_phase(
            "outreach", entry.flow_phase or "", selection.subjects, check_needs=asked.check_needs, by="phase_executor"
        )
    except NeedsNotMet as error:
        unmet = {each.phase_id for each in CATALOGUE.unmet(entry.phase_id, error.missing)}
        raise PhaseFailed(unmet_message(entry, unmet)) from error


def unmet_message(entry: PhaseEntry, unmet: set[Any]) -> str:
    """The sentence of the brief: every missing phase is named."""
    names = [f"Phase {each.number}" for each in CATALOGUE.dependencies(entry.phase_id) if each.phase_id in unmet]
    return f"Phase {entry.number} requires {' and '.join(names)} to be complete first"


def _orphans(engine: Engine) -> dict[str, Any] | None:
    """The people whose company does not exist belong to no state, and are reported whatever the state."""
    report = judge_orphans(engine, by="phase_executor")
    return next((dict(each.output) for each in report.succeeded), None)


def _deliver(engine: Engine) -> Deliveries:
    """Deliver what is in the outbox when there is somebody to deliver to; whatever fails stays there."""
    if engine.dry_run or getattr(engine.registry.deps, "sink", None) is None:
        return Deliveries()
    sent = deliver_outbox(engine, wait=0.0)
    return Deliveries(sent.delivered, sent.pending + sent.failed)


def _with(report: PhaseReport, test: Callable[[PhaseStatus], bool]) -> list[PhaseResult]:
    return [each for each in report.results if test(each.status)]


def _reasons(results: Sequence[PhaseResult]) -> dict[str, str]:
    return {each.subject.id: each.reason or each.status.value for each in results}


def _attempts(report: PhaseReport | None) -> tuple[tuple[str, int], ...]:
    return tuple((each.run_id, each.attempt) for each in report.results) if report else ()
