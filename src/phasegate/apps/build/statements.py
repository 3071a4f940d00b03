"""Every statement of the build application."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.build.tables import (
    OPEN,
    approvals,
    attempts,
    events,
    file_changes,
    health_checks,
    llm_calls,
    meta,
    phases,
    runs,
)


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.String)


def _set(table: sa.Table, key: sa.Column[str], *columns: str) -> sa.Update:
    """Set columns of one row; a column's new value is the parameter ``new_`` and its name, the row's key ``its_key``."""
    values = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    return sa.update(table).where(key == _text("its_key")).values(values)


def setting(key: str, **values: object) -> dict[str, object]:
    """The parameters of a statement that sets columns of one row."""
    return {"its_key": key} | {f"new_{name}": value for name, value in values.items()}


ADD_RUN = sa.insert(runs)
RUN_STANDS = _set(runs, runs.c.run_id, "status")
RUN_ENDS = _set(runs, runs.c.run_id, "status", "finished_at", "duration_s", "failure_reason")
RUN_TAKEN = _set(runs, runs.c.run_id, "status", "pid", "host", "heartbeat_at")
RUN_BEATS = _set(runs, runs.c.run_id, "heartbeat_at")
RUN_COUNTS = _set(runs, runs.c.run_id, "successful_phases", "failed_phases", "skipped_phases")

ADD_PHASE = sa.insert(phases)
PHASE_STANDS = _set(phases, phases.c.id, "status")
PHASE_TRIED = _set(phases, phases.c.id, "attempts")
PHASE_COUNTS = (
    sa.select(phases.c.status, sa.func.count().label("n"))
    .where(phases.c.run_id == _text("run"))
    .group_by(phases.c.status)
)
PHASE_ENDS = _set(
    phases, phases.c.id, "status", "attempts", "summary", "errors_json", "result_json", "finished_at", "duration_s"
)  # fmt: skip

ADD_ATTEMPT = sa.insert(attempts)
ATTEMPT_STANDS = _set(attempts, attempts.c.attempt_id, "status")
ATTEMPT_ASKED = _set(
    attempts, attempts.c.attempt_id, "model", "escalation_level", "prompt_sha256", "prompt_text", "response_text"
)
ATTEMPT_PARSED = _set(attempts, attempts.c.attempt_id, "parse_method")
ATTEMPT_CUT = _set(attempts, attempts.c.attempt_id, "truncated")
ATTEMPT_ENDS = _set(
    attempts, attempts.c.attempt_id, "status", "error_code", "error_category", "errors_json", "feedback_json", "finished_at",
    "duration_s",
)  # fmt: skip
#: What of a run is under way, when the run ends or stops.
OPEN_ATTEMPTS_STAND = (
    sa.update(attempts)
    .where(
        attempts.c.status.in_(OPEN),
        attempts.c.phase_fk.in_(sa.select(phases.c.id).where(phases.c.run_id == _text("its_run"))),
    )
    .values(status=_text("new_status"))
)
OPEN_PHASES_STAND = (
    sa.update(phases)
    .where(phases.c.run_id == _text("its_run"), phases.c.status.in_(OPEN))
    .values(status=_text("new_status"))
)

DROP_CHANGES = sa.delete(file_changes).where(file_changes.c.attempt_fk == _text("its_key"))
ADD_CHANGES = sa.insert(file_changes)
CHANGES_STAND = (
    sa.update(file_changes).where(file_changes.c.attempt_fk == _text("its_key")).values(state=_text("new_state"))
)
DROP_CHECKS = sa.delete(health_checks).where(
    health_checks.c.run_fk == _text("its_run"), health_checks.c.attempt_fk.is_not_distinct_from(_text("its_attempt"))
)
ADD_CHECKS = sa.insert(health_checks)
ADD_APPROVAL = sa.insert(approvals)
WAITING_ATTEMPT = sa.select(approvals.c.attempt_fk).where(
    approvals.c.status == "pending",
    approvals.c.attempt_fk.in_(sa.select(attempts.c.attempt_id).where(attempts.c.phase_fk == _text("its_phase"))),
)
APPROVAL_ANSWERED = (
    sa.update(approvals)
    .where(
        approvals.c.status == "pending",
        approvals.c.attempt_fk.in_(sa.select(attempts.c.attempt_id).where(attempts.c.phase_fk == _text("its_phase"))),
    )
    .values(
        status=_text("new_status"),
        responded_at=sa.bindparam("new_responded_at", type_=approvals.c.responded_at.type),
        decided_by=_text("new_decided_by"),
        comment=_text("new_comment"),
    )
)
#: The phase and the attempt of which a run's pending approvals are.
WAITING_IN = (
    sa.select(approvals.c.attempt_fk, attempts.c.phase_fk)
    .join(attempts, attempts.c.attempt_id == approvals.c.attempt_fk)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .where(phases.c.run_id == _text("run"), approvals.c.status == "pending")
)
#: What waits in a run that has ended.
APPROVALS_END = (
    sa.update(approvals)
    .where(
        approvals.c.status == "pending",
        approvals.c.attempt_fk.in_(
            sa.select(attempts.c.attempt_id)
            .join(phases, phases.c.id == attempts.c.phase_fk)
            .where(phases.c.run_id == _text("its_run"))
        ),
    )
    .values(status="expired", responded_at=sa.bindparam("new_responded_at", type_=approvals.c.responded_at.type))
)
APPROVAL_CONSUMED = (
    sa.update(approvals)
    .where(approvals.c.attempt_fk == _text("its_key"), approvals.c.status == "approved")
    .values(status="consumed")
)
ADD_EVENT = sa.insert(events)

# --- calls of a model, in a commit of their own -------------------------------------------------------------------------------

ADD_CALL = sa.insert(llm_calls)
COUNT_FOR_PHASE = (
    sa.update(phases)
    .where(phases.c.id == _text("its_key"))
    .values(tokens_used=phases.c.tokens_used + sa.bindparam("its_tokens", type_=sa.Integer))
)
COUNT_FOR_RUN = (
    sa.update(runs)
    .where(runs.c.run_id == _text("its_key"))
    .values(token_usage=runs.c.token_usage + sa.bindparam("its_tokens", type_=sa.Integer))
)

# --- looks --------------------------------------------------------------------------------------------------------------------

_of_phase = sa.select(attempts.c.attempt_id).where(attempts.c.phase_fk == _text("phase"))
CALLS_OF_PHASE = (
    sa.select(llm_calls).where(llm_calls.c.attempt_fk.in_(_of_phase)).order_by(llm_calls.c.created_at, llm_calls.c.seq)
)
CALLS_OF_ATTEMPT = (
    sa.select(sa.func.count().label("calls")).select_from(llm_calls).where(llm_calls.c.attempt_fk == _text("attempt"))
)
SPENT = sa.select(
    sa.select(runs.c.token_usage).where(runs.c.run_id == _text("run")).scalar_subquery().label("run"),
    sa.select(phases.c.tokens_used).where(phases.c.id == _text("phase")).scalar_subquery().label("phase"),
)
ATTEMPT_IDS = (
    sa.select(attempts.c.attempt_id).where(attempts.c.phase_fk == _text("phase")).order_by(attempts.c.attempt_index)
)
KEPT = sa.select(phases.c.result_json).where(
    phases.c.run_id == _text("run"), phases.c.phase_id == _text("phase_id"), phases.c.spec_sha256 == _text("sha256"),
    phases.c.status == "succeeded",
)  # fmt: skip
UNFINISHED = sa.select(runs).where(runs.c.status.in_(OPEN))
RUNS = sa.select(runs).order_by(runs.c.started_at.desc()).limit(sa.bindparam("most", type_=sa.Integer))
RUN = sa.select(runs).where(runs.c.run_id == _text("run"))
PHASES = sa.select(phases).where(phases.c.run_id == _text("run")).order_by(phases.c.phase_index)
ATTEMPTS = (
    sa.select(attempts, phases.c.phase_id, phases.c.phase_index)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .where(phases.c.run_id == _text("run"))
    .order_by(phases.c.phase_index, attempts.c.attempt_index)
)
CHANGES = (
    sa.select(file_changes, phases.c.phase_id, attempts.c.attempt_index)
    .join(attempts, attempts.c.attempt_id == file_changes.c.attempt_fk)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .where(phases.c.run_id == _text("run"))
    .order_by(phases.c.phase_index, attempts.c.attempt_index, file_changes.c.path)
)
CHECKS = sa.select(health_checks).where(health_checks.c.run_fk == _text("run")).order_by(health_checks.c.id)
COST = (
    sa.select(sa.func.sum(llm_calls.c.cost).label("cost"))
    .join(attempts, attempts.c.attempt_id == llm_calls.c.attempt_fk)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .where(phases.c.run_id == _text("run"))
)
COSTS = (
    sa.select(phases.c.phase_id, llm_calls)
    .join(attempts, attempts.c.attempt_id == llm_calls.c.attempt_fk)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .where(phases.c.run_id == _text("run"))
    .order_by(phases.c.phase_index, llm_calls.c.created_at, llm_calls.c.seq)
)
APPROVALS = (
    sa.select(approvals, phases.c.run_id, phases.c.phase_id, phases.c.phase_index, attempts.c.attempt_index)
    .join(attempts, attempts.c.attempt_id == approvals.c.attempt_fk)
    .join(phases, phases.c.id == attempts.c.phase_fk)
    .order_by(approvals.c.requested_at)
)
APPROVAL = APPROVALS.where(approvals.c.request_id == _text("request"))
WAITING = APPROVALS.where(approvals.c.status == "pending")
#: Decisions that nobody has carried out.
DECIDED_OF_RUN = APPROVALS.where(
    approvals.c.status.in_(("approved", "rejected")), phases.c.run_id == _text("run"), phases.c.finished_at.is_(None)
)
WAITING_OF_RUN = WAITING.where(phases.c.run_id == _text("run"))
META = sa.select(meta)
EVENTS = sa.select(events).where(events.c.run_fk == _text("run")).order_by(events.c.id)
