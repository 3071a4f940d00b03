"""Keeps the rows of flows in step with what the engine records, in the same commit; the only writer of their status.

What somebody asked of a flow as a whole is audited here, too: the fact that came of it says who it was, whoever they asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from phasegate import Run, RunStatus
from phasegate.apps.discovery.phase_names import PHASE_OF, PHASES
from phasegate.apps.discovery.phases.common import MORE, dump, load
from phasegate.apps.discovery.standing import Pieces, Standing, standing_of, step_under_way
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.flows import (
    ADD_CHILD,
    ADD_MASTER,
    AUDIT,
    CHILD_STANDS,
    MASTER_STANDS,
    STATE,
)
from phasegate.apps.discovery.statements.imports import ADD_IMPORT, END_IMPORT
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.core.facts import (
    AttemptSucceeded,
    PhaseReset,
    QuestionsAnswered,
    RecordedFact,
    RunEnding,
    RunPaused,
    RunResumed,
    RunStarted,
)

FLOW = "discovery"
#: What becomes of an import whose flow ends before it has been brought in.
_ENDED = {"failed": "failed", "cancelled": "cancelled"}
#: Why people have steps done again, and what that is called in the audit.
PROPOSED_AGAIN, PREVIEWED_AGAIN = "proposed again", "previewed again"
_AGAIN = {"retried": "retry", PROPOSED_AGAIN: "propose_mapping", PREVIEWED_AGAIN: "preview_again"}

Rows = Sequence[Mapping[str, Any]]
#: Rows on their way into the commit that begins the flow of their import, by the import's id.
_arriving: dict[str, Sequence[tuple[Any, Rows]]] = {}


@contextmanager
def arriving(import_id: str, rows: Sequence[tuple[Any, Rows]]) -> Iterator[None]:
    """Have rows, by the statement that writes them, written in the commit that begins the flow of an import. It is made within
    the block, and by this process, as all commits are that somebody here asks for."""
    _arriving[import_id] = rows
    try:
        yield
    finally:
        del _arriving[import_id]


def project(connection: Any, recorded: Sequence[RecordedFact]) -> None:
    """Write down where the flows of these facts stand now, and what was asked of them."""
    ours = [each for each in recorded if each.run.flow == FLOW]
    runs = {each.run.id: (each.run, each.fact.at) for each in ours}
    if not runs:
        return
    for each in ours:
        if isinstance(each.fact, RunStarted):
            _begin(connection, each.run, each.fact.at)
    left = _left_by_pieces(ours)
    found = [(run, standing_of(run, _pieces(connection, run, left)), at) for run, at in runs.values()]
    connection.execute(MASTER_STANDS, [_master(*each) for each in found])
    connection.execute(CHILD_STANDS, [_child(*each) for each in found])
    ended = [_import(run, standing, at) for run, standing, at in found if standing.master in _ENDED]
    if ended:
        connection.execute(END_IMPORT, ended)
    asked = _asked(ours)
    if asked:
        connection.execute(AUDIT, asked)


# --- the beginning ----------------------------------------------------------------------------------------------------


def _begin(connection: Any, run: Run, at: datetime) -> None:
    """The rows of a flow come into being in the commit that starts its run."""
    given: Mapping[str, Any] = run.input
    tenant = Tenant(given["client_account_id"], given["engagement_id"], given["user_id"])
    times = {"created_at": at, "updated_at": at}
    common = {**tenant.columns, "user_id": tenant.user_id, "flow_name": given["flow_name"], **times}
    connection.execute(
        ADD_MASTER,
        {
            **common, "flow_id": given["flow_id"], "flow_type": FLOW, "flow_status": "initialized", "run_id": run.id,
            "flow_configuration": dump(given["configuration"]),
        },
    )  # fmt: skip
    row = {**given["import"], **tenant.columns, "master_flow_id": given["flow_id"], **times}
    connection.execute(ADD_IMPORT, {"id": given["data_import_id"], "imported_by": tenant.user_id, **row})
    for statement, rows in _arriving.get(given["data_import_id"], ()):
        if rows:
            connection.execute(statement, list(rows))
    connection.execute(
        ADD_CHILD,
        {
            **common, "flow_id": given["flow_id"], "master_flow_id": given["flow_id"], "status": "active",
            "data_import_id": given["data_import_id"],
        },
    )  # fmt: skip
    connection.execute(AUDIT, _entry(run, at, "create", tenant.user_id, None))


# --- how far the records are ------------------------------------------------------------------------------------------


def _left_by_pieces(recorded: Sequence[RecordedFact]) -> dict[tuple[str, str], Pieces | None]:
    """How far the steps are that have done a piece, by run and step."""
    return {
        (each.run.id, each.fact.phase): Pieces.of(each.fact.phase, each.output)
        for each in recorded
        if isinstance(each.fact, AttemptSucceeded) and each.fact.outcome == MORE
    }


def _pieces(connection: Any, run: Run, left: Mapping[tuple[str, str], Pieces | None]) -> Pieces | None:
    """How far the step under way is: by what it has just left behind, else as it was."""
    under_way = step_under_way(run)
    if under_way is None:
        return None
    if (run.id, under_way.phase) in left:
        return left[run.id, under_way.phase]
    before = load(connection.execute(STATE, _where(run)).scalar()) or {}
    return Pieces.of(before.get("step", ""), before)


# --- what was asked ---------------------------------------------------------------------------------------------------


def _asked(recorded: Sequence[RecordedFact]) -> list[dict[str, Any]]:
    """What people asked of flows, one entry each, however many steps are done again for it."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in recorded:
        told = _told(each.fact)
        if told is not None:
            operation, by, details = told
            key = (each.run.id, operation, each.fact.at)
            found.setdefault(key, _entry(each.run, each.fact.at, operation, by, details))
    return list(found.values())


def _told(fact: Any) -> tuple[str, str, dict[str, Any]] | None:
    """The operation that a fact comes of, who asked for it, and the details; None when it comes of none that is audited here."""
    match fact:
        case RunPaused(by=by, reason=reason):
            return "pause", by, {"reason": reason}
        case RunResumed(by=by):
            return "resume", by, {}
        case RunEnding(status=RunStatus.CANCELLED, by=by, reason=reason):
            return "cancel", by, {"reason": reason}
        case QuestionsAnswered(by=by, answers=answers):
            return "decide_data", by, {"decisions": answers}
        case PhaseReset(phase=step, reason=reason, by=by) if reason in _AGAIN:
            return _AGAIN[reason], by, {"phase": PHASE_OF.get(step, step)}
    return None


def _entry(run: Run, at: datetime, operation: str, by: str, details: Any) -> dict[str, Any]:
    given: Mapping[str, Any] = run.input
    tenant = Tenant(given["client_account_id"], given["engagement_id"])
    return {
        **tenant.columns, "user_id": by, "flow_id": given["flow_id"], "operation": operation, "success": True,
        "error": None, "details": dump(details) if details else None, "created_at": at,
    }  # fmt: skip


# --- where they stand -------------------------------------------------------------------------------------------------


def _where(run: Run) -> dict[str, Any]:
    given: Mapping[str, Any] = run.input
    tenant = Tenant(given["client_account_id"], given["engagement_id"])
    return {**tenant.where, "the_flow": given["flow_id"]}


def _master(run: Run, standing: Standing, at: datetime) -> dict[str, Any]:
    return {**_where(run), **news(flow_status=standing.master, updated_at=at)}


def _child(run: Run, standing: Standing, at: datetime) -> dict[str, Any]:
    details = {"phase": standing.error_phase, "at": at.isoformat()} if standing.error else None
    return {
        **_where(run),
        **news(
            status=standing.child, progress_percentage=standing.progress, current_phase=standing.current_phase,
            awaiting_user_approval=standing.waits_for is not None, phase_state=dump(standing.state),
            error_message=standing.error, error_phase=standing.error_phase,
            error_details=dump(details) if details else None, updated_at=at,
            completed_at=at if standing.master == "completed" else None,
            **{f"{phase}_completed": phase in standing.completed for phase in PHASES},
        ),
    }  # fmt: skip


def _import(run: Run, standing: Standing, at: datetime) -> dict[str, Any]:
    given = run.input
    where = {**Tenant(given["client_account_id"], given["engagement_id"]).where, "import_id": given["data_import_id"]}
    return {**where, **news(status=_ENDED[standing.master], updated_at=at)}
