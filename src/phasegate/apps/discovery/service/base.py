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
from phasegate.apps.discovery.standing import Pieces, Standing, standing_of
from phasegate.apps.discovery.statements.flows import AUDIT, AUDITED, FLOW
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.errors import NotAllowed

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


@dataclass(slots=True)
class Entry:
    """What is written down about one operation: ``details`` may be added to while it lasts.

    ``written`` says that it is in the commit of the operation; else it is written afterwards.
    """

    operation: str
    flow_id: str | None
    details: dict[str, Any]
    written: bool = False


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
        state = load(rows[0]["phase_state"]) or {}
        return Flow(flow_id, rows[0], run, standing_of(run, Pieces.of(state.get("step", ""), state)))

    def live_flow(self, flow_id: str) -> Flow:
        """A flow that something can still be done with. Raises ``InvalidFlowState`` for one that has been deleted, completed or
        cancelled."""
        return self._live(self.flow(flow_id))

    def _live(self, found: Flow) -> Flow:
        if found.status in ("deleted", "completed", "cancelled"):
            raise InvalidFlowState(f"flow {found.id} is {found.status}", hint="import the file again to begin anew")
        return found

    def waiting_flow(self, flow_id: str, waits_for: str) -> Flow:
        """A flow that waits for this decision. Raises ``InvalidFlowState`` with what it does instead."""
        return self._waiting(self.live_flow(flow_id), waits_for)

    def _waiting(self, found: Flow, waits_for: str) -> Flow:
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
    def audited(self, operation: str, flow_id: str | None, **details: Any) -> Iterator[Entry]:
        """Write down an operation and whether it succeeded.

        What changes something commits the entry with it, by ``_noted`` or, where the engine's fact is the change, through the
        projection of the facts. What changes nothing, or is refused, has no commit that the entry could be part of.
        """
        entry = Entry(operation, flow_id, details)
        try:
            yield entry
        except Exception as refused:
            self.engine.write([(AUDIT, self._row(entry, str(refused) or type(refused).__name__))])
            raise
        if not entry.written:
            self.engine.write([self._noted(entry)])

    def _noted(self, entry: Entry) -> tuple[Any, dict[str, Any]]:
        """The write that notes an operation as done, for the commit that does it."""
        entry.written = True
        return AUDIT, self._row(entry, None)

    def _notes(self, entry: Entry | None) -> list[tuple[Any, dict[str, Any]]]:
        """The same of an operation that may have no entry of its own, or has it written already."""
        return [] if entry is None or entry.written else [self._noted(entry)]

    def _row(self, entry: Entry, error: str | None) -> dict[str, Any]:
        return {
            **self.tenant.columns, "user_id": self.tenant.user_id, "flow_id": entry.flow_id, "operation": entry.operation,
            "success": error is None, "error": error, "details": dump(entry.details) if entry.details else None,
            "created_at": self.now(),
        }  # fmt: skip

    def settle(self, found: Flow, entry: Entry | None = None) -> Mapping[str, Any]:
        """Open the gate that a flow waits at when everything that it asks has been decided; with what is then to be noted."""
        return {}

    def now(self) -> datetime:
        """The time, aware UTC."""
        return datetime.now(UTC)
