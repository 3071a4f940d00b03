"""Keeps the rows of flows in step with what the engine records, in the same commit; the only writer of their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from phasegate import Run
from phasegate.apps.discovery.phase_names import PHASES
from phasegate.apps.discovery.phases.common import dump
from phasegate.apps.discovery.standing import Standing, standing_of
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.flows import ADD_CHILD, ADD_MASTER, AUDIT, CHILD_STANDS, MASTER_STANDS
from phasegate.apps.discovery.statements.imports import ADD_IMPORT, END_IMPORT, LINK_IMPORT
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.core.facts import RecordedFact, RunStarted

FLOW = "discovery"
#: What becomes of an import whose flow ends before it has been brought in.
_ENDED = {"failed": "failed", "cancelled": "cancelled"}


def project(connection: Any, recorded: Sequence[RecordedFact]) -> None:
    """Write down where the flows of these facts stand now."""
    runs = {each.run.id: (each.run, each.fact.at) for each in recorded if each.run.flow == FLOW}
    if not runs:
        return
    begun = [each for each in recorded if isinstance(each.fact, RunStarted) and each.run.flow == FLOW]
    for each in begun:
        _begin(connection, each.run, each.fact.at)
    found = [(run, standing_of(run), at) for run, at in runs.values()]
    connection.execute(MASTER_STANDS, [_master(*each) for each in found])
    connection.execute(CHILD_STANDS, [_child(*each) for each in found])
    ended = [_import(run, standing, at) for run, standing, at in found if standing.master in _ENDED]
    if ended:
        connection.execute(END_IMPORT, ended)


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
    if given.get("import"):
        row = {**given["import"], **tenant.columns, "master_flow_id": given["flow_id"], **times}
        connection.execute(ADD_IMPORT, {"id": given["data_import_id"], "imported_by": tenant.user_id, **row})
    else:
        where = {**tenant.where, "import_id": given["data_import_id"]}
        connection.execute(LINK_IMPORT, {**where, **news(master_flow_id=given["flow_id"], updated_at=at)})
    connection.execute(
        ADD_CHILD,
        {
            **common, "flow_id": given["flow_id"], "master_flow_id": given["flow_id"], "status": "active",
            "data_import_id": given["data_import_id"],
        },
    )  # fmt: skip
    audited = {**tenant.columns, "user_id": tenant.user_id, "flow_id": given["flow_id"], "created_at": at}
    connection.execute(AUDIT, {**audited, "operation": "create", "success": True})


def _where(run: Run) -> dict[str, Any]:
    given: Mapping[str, Any] = run.input
    tenant = Tenant(given["client_account_id"], given["engagement_id"])
    return {**tenant.where, "the_flow": given["flow_id"]}


def _master(run: Run, standing: Standing, at: datetime) -> dict[str, Any]:
    return {**_where(run), **news(flow_status=standing.master, updated_at=at)}


def _child(run: Run, standing: Standing, at: datetime) -> dict[str, Any]:
    waits = {"waits_for": standing.waits_for, "seen": standing.shown} if standing.waits_for else {}
    details = {"phase": standing.error_phase, "at": at.isoformat()} if standing.error else None
    return {
        **_where(run),
        **news(
            status=standing.child, progress_percentage=standing.progress, current_phase=standing.current_phase,
            awaiting_user_approval=standing.waits_for is not None, phase_state=dump(waits),
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
