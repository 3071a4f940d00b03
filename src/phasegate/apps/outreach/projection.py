"""The phase log of every company, kept in step with what the engine records, in the same transaction.

An attempt leaves exactly one row in ``phase_completion_log``: opened as running when its start is committed before its
end, inserted closed when both arrive together. Failures are told to the event, audit and error tables as well. The trigger
of ``schema`` derives a company's phase from the log.

This runs inside every commit, so that it looks at each fact once and issues one call per table, however many facts there
are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from phasegate.apps.outreach.tables import (
    audit_log,
    company_master,
    error_master,
    failure_outbox,
    phase_completion_log,
    pipeline_events,
)
from phasegate.core import facts as f
from phasegate.core.facts import RecordedFact


class LoggedPhase(NamedTuple):
    """A phase as the log names it."""

    phase_id: Decimal
    phase_name: str


#: The phases that are logged, by the name they have in the flow.
PHASES: Mapping[str, LoggedPhase] = {
    "intake": LoggedPhase(Decimal("0"), "Intake Load"),
    "company_validation": LoggedPhase(Decimal("1"), "Company Validation"),
    "people_validation": LoggedPhase(Decimal("1.1"), "Phase 1b: People Validation Trigger"),
    "enrichment": LoggedPhase(Decimal("1.5"), "Three-tier Enrichment Waterfall"),
    "slot_gate": LoggedPhase(Decimal("2.5"), "3/3 Slot Completion Gate"),
    "readiness": LoggedPhase(Decimal("3"), "Outreach Readiness Evaluation"),
    "trigger": LoggedPhase(Decimal("4"), "BIT Trigger Check"),
    "score": LoggedPhase(Decimal("5"), "BIT Score Calculation"),
    "promotion": LoggedPhase(Decimal("6"), "Promotion to Outreach Log"),
}

FLOW, ORPHANS_FLOW, OUTBOX_FLOW = "outreach", "outreach-orphans", "outreach-outbox"
_LOGGED_FLOWS = frozenset({FLOW, ORPHANS_FLOW})

#: The component under which failures are audited.
COMPONENT = "phase_executor"
#: What the log says of a phase that ran although what it needs was not complete.
UNCHECKED = "dependencies not checked"

_KEPT = ("status", "valid", "invalid", "total", "phase_id", "phase_name", "statistics")
_LONGEST = 200

Row = dict[str, Any]


def project(connection: Any, recorded: Sequence[RecordedFact]) -> None:
    """Bring the application's tables to where the facts are; raises nothing of its own."""
    batch = _Batch()
    for each in recorded:
        keep = _KEEPERS.get(type(each.fact))
        if keep is not None:
            flow = each.run.flow
            if flow in _LOGGED_FLOWS:
                phase = PHASES.get(each.fact.phase)  # type: ignore[union-attr]  # the keepers' facts are of phases
                if phase is not None:
                    keep(batch, each, phase)
            elif flow == OUTBOX_FLOW:
                _keep_undelivered(batch, each)
    batch.write(connection)


def summary_of(output: Any, *, unchecked: bool = False) -> Any:
    """What the log keeps of a result: of a mapping the counts and verdicts, of anything else its text, shortened."""
    summary: Any = None
    if isinstance(output, Mapping):
        summary = {name: output[name] for name in _KEPT if name in output}
    elif output is not None:
        summary = str(output)[:_LONGEST]
    if not unchecked:
        return summary
    return (summary if isinstance(summary, dict) else {} if summary is None else {"result": summary}) | {
        "note": UNCHECKED
    }


@dataclass(slots=True)
class _Batch:
    """The rows of one commit, by table."""

    #: By run, phase and attempt, so that a start and an end in one commit make one row.
    attempts: dict[tuple[str, Decimal, int], Row] = field(default_factory=dict)
    others: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    audits: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    undelivered: list[Row] = field(default_factory=list)

    def write(self, connection: Any) -> None:
        """One call per table that has rows."""
        for statement, rows in (
            (_LOG, [*self.attempts.values(), *self.others]),
            (_EVENT, self.events),
            (_AUDIT, self.audits),
            (_ERROR, self.errors),
            (_UNDELIVERED, self.undelivered),
        ):
            if rows:
                connection.execute(statement, rows)


# --- one kind of fact each ------------------------------------------------------------------------------------------


def _keep_start(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    fact: Any = each.fact
    row = _row(each, phase, "running", fact.at, None)
    batch.attempts[each.run.id, phase.phase_id, fact.attempt] = row


def _keep_success(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    summary = summary_of(each.output, unchecked=each.run.unchecked)
    _close(batch, each, phase, "complete", summary=summary)


def _keep_skip(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    _close(batch, each, phase, "skipped", summary=_reason(each))


def _keep_question(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    _close(batch, each, phase, "skipped", summary={"reason": "waits for answers"})


def _keep_failure(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    fact: Any = each.fact
    lost = isinstance(fact, f.AttemptLost)
    message = (fact.reason or "the worker vanished") if lost else fact.message
    _close(batch, each, phase, "failed", error=message)
    code = "AttemptLost" if lost else fact.error
    _tell(batch, each, phase, code, message)


def _keep_unstarted(batch: _Batch, each: RecordedFact, phase: LoggedPhase) -> None:
    """Asked for too early, or left out by a condition or a person: there is no attempt."""
    fact: Any = each.fact
    row = _row(each, phase, "skipped", fact.at, fact.at, summary=_reason(each))
    batch.others.append(row | {"attempt": None})


def _keep_undelivered(batch: _Batch, each: RecordedFact) -> None:
    """A delivery that did not succeed; the phase itself marks those that did."""
    fact = each.fact
    if isinstance(fact, f.AttemptFailed):
        batch.undelivered.append(
            {
                "key": each.run.subject.id,
                "row_tenant": each.run.tenant,
                "status_now": "failed" if fact.fatal else "pending",
                "error_now": fact.message,
            }
        )


_KEEPERS: dict[type[Any], Callable[[_Batch, RecordedFact, LoggedPhase], None]] = {
    f.AttemptStarted: _keep_start,
    f.AttemptSucceeded: _keep_success,
    f.AttemptSkipped: _keep_skip,
    f.AttemptSnoozed: _keep_skip,
    f.AttemptStopped: _keep_skip,
    f.AttemptAsked: _keep_question,
    f.AttemptFailed: _keep_failure,
    f.AttemptLost: _keep_failure,
    f.PhaseRefused: _keep_unstarted,
    f.PhaseSkipped: _keep_unstarted,
}


# --- rows -----------------------------------------------------------------------------------------------------------


def _close(
    batch: _Batch, each: RecordedFact, phase: LoggedPhase, status: str, *, summary: Any = None, error: str | None = None
) -> None:
    fact: Any = each.fact
    row = _row(each, phase, status, each.started_at or fact.at, fact.at, summary=summary, error=error)
    batch.attempts[each.run.id, phase.phase_id, fact.attempt] = row


def _row(
    each: RecordedFact, phase: LoggedPhase, status: str, started: datetime, ended: datetime | None,
    *, summary: Any = None, error: str | None = None,
) -> Row:  # fmt: skip
    run, fact = each.run, each.fact
    return {
        "company": run.subject.id,
        "tenant": run.tenant,
        "phase_id": phase.phase_id,
        "phase_name": phase.phase_name,
        "status": status,
        "started_at": started,
        "completed_at": ended,
        # A machine's clock may be set back between the two.
        "duration_seconds": None if ended is None else max(0.0, round((ended - started).total_seconds(), 2)),
        "error_message": error,
        "result_summary": summary,
        "run_id": run.id,
        "attempt": getattr(fact, "attempt", None),
        "now": fact.at,
    }


def _reason(each: RecordedFact) -> Row | None:
    reason = getattr(each.fact, "reason", "")
    return {"reason": reason} if reason else None


def _tell(batch: _Batch, each: RecordedFact, phase: LoggedPhase, code: str, message: str) -> None:
    run, fact = each.run, each.fact
    number = int(phase.phase_id) if phase.phase_id == int(phase.phase_id) else float(phase.phase_id)
    told = {
        "phase_id": number,
        "phase_name": phase.phase_name,
        "status": "failed",
        "error": message,
        "company_unique_id": run.subject.id,
        "run_id": run.id,
        "attempt": getattr(fact, "attempt", None),
    }
    common = {"tenant": run.tenant, "created_at": fact.at, "phase_id": phase.phase_id}
    batch.events.append(common | {"event_type": "phase_failed", "payload": told, "error_message": message})
    batch.audits.append(
        {"tenant": run.tenant, "created_at": fact.at, "component": COMPONENT, "event_type": "phase_failed",
         "event_data": told, "barton_id": run.subject.id}
    )  # fmt: skip
    batch.errors.append(
        common
        | {"error_code": code, "error_message": message, "severity": "ERROR", "component": COMPONENT,
           "context": told, "barton_id": run.subject.id}
    )  # fmt: skip


# --- statements -----------------------------------------------------------------------------------------------------


def _log_statement() -> Any:
    """Insert or close the row of an attempt. A company that has no row (its intake failed, or the subject is no company)
    has no log either: the foreign key would refuse it, and with it the whole commit."""
    log = phase_completion_log.c
    given = {
        "company_unique_id": "company", "tenant": "tenant", "phase_id": "phase_id", "phase_name": "phase_name",
        "status": "status", "started_at": "started_at", "completed_at": "completed_at",
        "duration_seconds": "duration_seconds", "error_message": "error_message", "result_summary": "result_summary",
        "run_id": "run_id", "attempt": "attempt", "created_at": "now", "updated_at": "now",
    }  # fmt: skip
    binds = {
        name: sa.bindparam(name, type_=log[column].type)
        for column, name in given.items()
        if column != "updated_at"
    }  # fmt: skip
    exists = sa.exists().where(company_master.c.company_unique_id == binds["company"])
    row = sa.select(*(binds[name].label(column) for column, name in given.items())).where(exists)
    # SQLite took this clause over from PostgreSQL, word for word, so that the one construct serves both.
    insert = postgresql.insert(phase_completion_log).from_select(list(given), row)
    closing = ("status", "completed_at", "duration_seconds", "error_message", "result_summary", "updated_at")
    return insert.on_conflict_do_update(
        index_elements=["run_id", "phase_id", "attempt"], set_={name: insert.excluded[name] for name in closing}
    )


_LOG = _log_statement()
_EVENT = sa.insert(pipeline_events)
_AUDIT = sa.insert(audit_log)
_ERROR = sa.insert(error_master)
_UNDELIVERED = (
    sa.update(failure_outbox)
    .where(failure_outbox.c.dedup_key == sa.bindparam("key"), failure_outbox.c.tenant == sa.bindparam("row_tenant"))
    .values(
        status=sa.bindparam("status_now"),
        last_error=sa.bindparam("error_now"),
        attempts=failure_outbox.c.attempts + 1,
    )
)
