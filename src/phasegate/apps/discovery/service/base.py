"""What every operation shares: finding the tenant's flow, and writing down that something was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from phasegate import Engine, Run
from phasegate.apps.discovery.errors import FlowNotFound, InvalidFlowState
from phasegate.apps.discovery.identifiers import as_id
from phasegate.apps.discovery.phases.common import dump, load
from phasegate.apps.discovery.standing import Standing, standing_of
from phasegate.apps.discovery.statements.flows import AUDIT, AUDITED, FLOW
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.errors import NotAllowed, PhasegateError

#: Statuses in which nothing is done with a flow any more.
TERMINAL = ("completed", "failed", "cancelled", "aborted", "deleted", "archived")


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of the tenant: its row, its run, and where it stands."""

    id: str
    row: Mapping[str, Any]
    run: Run
    standing: Standing

    @property
    def import_id(self) -> str:
        """The import whose rows it works on."""
        return str(self.row["data_import_id"])

    @property
    def status(self) -> str:
        """Its status: that of its lifecycle, also when it was deleted."""
        return "deleted" if self.row["flow_status"] == "deleted" else self.standing.master


class Base:
    """An engine and a tenant."""

    def __init__(self, engine: Engine, tenant: Tenant) -> None:
        self.engine, self.tenant = engine, tenant

    def work(self) -> None:
        """Do here, in this process, everything that can be done now."""
        self.engine.drain()

    def flow(self, flow_id: str) -> Flow:
        """A flow of the tenant. Raises ``FlowNotFound``."""
        flow_id = as_id(flow_id, "flow id")
        rows = self.engine.read(FLOW, {**self.tenant.where, "flow_id": flow_id})
        if not rows:
            raise FlowNotFound(f"there is no flow {flow_id}", hint="phasegate discovery flows lists those there are")
        run = self.engine.get(rows[0]["run_id"], tenant=self.tenant.name)
        return Flow(flow_id, rows[0], run, standing_of(run))

    def live_flow(self, flow_id: str) -> Flow:
        """A flow that something can still be done with. Raises ``InvalidFlowState`` for one that has been deleted, completed or
        cancelled."""
        found = self.flow(flow_id)
        if found.status in ("deleted", "completed", "cancelled"):
            raise InvalidFlowState(f"flow {found.id} is {found.status}", hint="import the file again to begin anew")
        return found

    def waiting_flow(self, flow_id: str, waits_for: str) -> Flow:
        """A flow that waits for this decision. Raises ``InvalidFlowState`` with what it does instead."""
        found = self.live_flow(flow_id)
        if not self.tenant.user_id:
            raise NotAllowed("a decision needs a name", hint="Tenant(account, engagement, user) names who decides")
        if found.standing.waits_for != waits_for:
            instead = found.standing.waits_for
            said = (
                f"it waits for {instead}"
                if instead
                else f"it is {found.standing.child} in {found.standing.current_phase}"
            )
            raise InvalidFlowState(f"flow {found.id} does not wait for {waits_for}: {said}")
        return found

    def audit(self, flow_id: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """What was asked for, latest first; of one flow, or of all."""
        rows = self.engine.read(AUDITED, {**self.tenant.where, "flow_id": flow_id, "most": limit})
        return [{**row, "details": load(row["details"])} for row in rows]

    @contextmanager
    def audited(self, operation: str, flow_id: str | None, **details: Any) -> Iterator[dict[str, Any]]:
        """Write down an operation, with what is put into ``details`` meanwhile, and whether it succeeded."""
        error: str | None = None
        try:
            yield details
        except PhasegateError as refused:
            error = str(refused)
            raise
        finally:
            row = {
                **self.tenant.columns, "user_id": self.tenant.user_id, "flow_id": flow_id, "operation": operation,
                "success": error is None, "error": error, "details": dump(details) if details else None,
                "created_at": self.now(),
            }  # fmt: skip
            self.engine.write([(AUDIT, row)])

    def settle(self, found: Flow) -> Mapping[str, Any]:
        """Open the gate that a flow waits at when everything that it asks has been decided."""
        return {}

    def now(self) -> datetime:
        """The time, aware UTC."""
        return datetime.now(UTC)
