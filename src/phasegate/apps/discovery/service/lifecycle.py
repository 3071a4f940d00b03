"""What can be done with a flow as a whole: look at it, stop it, let it go on, try again, end it, delete it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from phasegate import PhaseStatus, RunStatus
from phasegate.apps.discovery.errors import DiscoveryError, InvalidFlowState
from phasegate.apps.discovery.phase_names import PHASE_OF, PHASES, STEPS, canonical
from phasegate.apps.discovery.phases.common import WARNINGS, dump, load
from phasegate.apps.discovery.registries import FlowTypeRegistry
from phasegate.apps.discovery.results import PhaseOutcome, PhaseResult
from phasegate.apps.discovery.service.base import TERMINAL, Base, Entry, Flow
from phasegate.apps.discovery.service.mappings import seen_of
from phasegate.apps.discovery.standing import phases_of
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.flows import CONFIGURE, DELETE_CHILD, DELETE_MASTER, FLOWS
from phasegate.apps.discovery.statements.imports import SKIPPED, SKIPPED_REASONS
from phasegate.apps.discovery.statements.inventory import CONFLICTS
from phasegate.apps.discovery.statements.mappings import MAPPINGS

#: A code in an error, such as ``VALIDATION_FAILED:``.
_CODE = re.compile(r"\b([A-Z]+_[A-Z_]+):")
#: Seconds after which it is worth asking again, while something is done and while somebody is waited for.
_SOON, _LATER = 2, 15


class Lifecycle(Base):
    """The part that looks after flows."""

    # --- look ---

    def status(self, flow_id: str, *, details: bool = False) -> dict[str, Any]:
        """Where a flow stands: status, phases, progress from 0 to 100, what it waits for, whether asking again is of use."""
        found = self.flow(flow_id)
        told = _told(found)
        if found.standing.waits_for == "field_mapping":
            rows = self.engine.read(MAPPINGS, {**self.tenant.where, "import_id": found.import_id})
            told["phase_state"] = {**told["phase_state"], "seen": seen_of(found, rows)}
        return {**told, **self._details(found)} if details else told

    def flows(self, limit: int = 50) -> list[dict[str, Any]]:
        """The tenant's flows, latest first, also those that are paused, wait or have failed; not those that were deleted."""
        rows = self.engine.read(FLOWS, {**self.tenant.where, "most": limit})
        names = (
            "flow_id", "flow_name", "status", "current_phase", "progress_percentage", "filename", "error_message",
            "created_at", "updated_at",
        )  # fmt: skip
        return [{name: row[name] for name in names} | {"lifecycle": row["flow_status"]} for row in rows]

    def skipped(self, flow_id: str, limit: int = 1_000) -> list[Mapping[str, Any]]:
        """Records of the file that could not be brought in: line, reason, sample."""
        found = self.flow(flow_id)
        return self.engine.read(SKIPPED, {**self.tenant.where, "import_id": found.import_id, "most": limit})

    def _details(self, found: Flow) -> dict[str, Any]:
        where = {**self.tenant.where, "import_id": found.import_id}
        reasons = self.engine.read(SKIPPED_REASONS, where)
        conflicts = self.engine.read(CONFLICTS, {**self.tenant.where, "flow_id": found.id})
        outputs = self.engine.outputs(found.run.id, tenant=self.tenant.name)
        return {
            "data_import_id": found.import_id, "run_id": found.run.id,
            "phases": {phase: phase in found.standing.completed for phase in phases_of(found.run.input["configuration"])},
            "cleansing": outputs.get("data_cleansing"),
            "error_details": load(found.row["error_details"]),
            "import_metadata": {
                "filename": found.row["filename"], "status": found.row["import_status"],
                "total_records": found.row["total_records"], "processed_records": found.row["processed_records"],
                "skipped": {row["reason"]: row["n"] for row in reasons},
            },
            "warnings": warnings_of(outputs),
            "conflicts": {"total": len(conflicts), "pending": sum(c["resolution_status"] == "pending" for c in conflicts)},
            "why": [reason.text for reason in self.engine.why(found.run.id, tenant=self.tenant.name)],
        }  # fmt: skip

    # --- stop and go on ---

    def pause(self, flow_id: str, reason: str = "") -> dict[str, Any]:
        """Stop a flow for now; what is under way is given up, and nothing of it is written. Idempotent."""
        with self.audited("pause", flow_id, reason=reason) as entry:
            found = self.live_flow(flow_id)
            if found.run.status is RunStatus.PAUSED:
                return {"status": "already_paused", "flow_id": found.id}
            self.engine.pause(found.run.id, by=self.tenant.user_id, reason=reason, tenant=self.tenant.name)
            entry.written = True
            return {"status": "paused", "flow_id": found.id, "phase": found.standing.current_phase, "reason": reason}

    def resume(self, flow_id: str) -> dict[str, Any]:
        """Let a flow go on that is paused or has failed. One that works already stays as it is; one that waits for a person says
        for what."""
        with self.audited("resume", flow_id) as entry:
            found = self.live_flow(flow_id)
            if found.run.status is RunStatus.PAUSED:
                self.engine.resume(found.run.id, by=self.tenant.user_id, tenant=self.tenant.name)
                entry.written = True
                return {"status": "resumed", "flow_id": found.id, "phase": found.standing.current_phase}
            if found.run.status is RunStatus.FAILED:
                return self._retry(found, None, entry)
            if found.standing.waits_for is not None and not self.settle(found, entry).get("complete"):
                return {"status": "waiting_for_approval", "flow_id": found.id, "waits_for": found.standing.waits_for}
            if found.standing.waits_for is not None:
                return {"status": "resumed", "flow_id": found.id, "phase": found.standing.current_phase}
            return {"status": "already_running", "flow_id": found.id, "phase": found.standing.current_phase}

    def retry(self, flow_id: str, phase: str | None = None) -> dict[str, Any]:
        """Do the phase again that failed, with the same inputs; its earlier attempts stay on record."""
        with self.audited("retry", flow_id, phase=phase) as entry:
            found = self.live_flow(flow_id)
            if found.run.status is not RunStatus.FAILED:
                raise InvalidFlowState(f"flow {found.id} has not failed: it is {found.standing.child}")
            return self._retry(found, phase, entry)

    def _retry(self, found: Flow, phase: str | None, entry: Entry) -> dict[str, Any]:
        failed = [each for each in found.run.phases.values() if each.status is PhaseStatus.FAILED]
        if phase is not None and canonical(phase) not in {found.standing.error_phase}:
            raise InvalidFlowState(f"{canonical(phase)} has not failed; {found.standing.error_phase} has")
        self.engine.retry(found.run.id, by=self.tenant.user_id, tenant=self.tenant.name)
        entry.written = True
        attempts = max((each.attempt for each in failed), default=0)
        return {"status": "running", "flow_id": found.id, "phase": found.standing.error_phase, "attempt": attempts + 1}

    def cancel(self, flow_id: str, reason: str = "") -> dict[str, Any]:
        """End a flow; nothing of it is written afterwards."""
        with self.audited("cancel", flow_id, reason=reason) as entry:
            found = self.live_flow(flow_id)
            if found.run.status is RunStatus.FAILED:
                raise InvalidFlowState(f"flow {found.id} has failed already", hint="delete it, or retry it")
            self.engine.cancel(found.run.id, by=self.tenant.user_id, reason=reason, tenant=self.tenant.name)
            entry.written = True
            return {"status": "cancelled", "flow_id": found.id}

    def delete(self, flow_id: str, reason: str = "") -> dict[str, Any]:
        """Stop a flow if it lives, and take it out of sight; its rows and its audit stay. Assets that it made stay too.

        On a deleted flow it changes nothing.
        """
        with self.audited("delete", flow_id, reason=reason) as entry:
            found = self.flow(flow_id)
            if found.status == "deleted":
                return {"status": "already_deleted", "flow_id": found.id}
            if not found.run.status.final:
                self.engine.cancel(found.run.id, by=self.tenant.user_id, reason="deleted", tenant=self.tenant.name)
            where, now = {**self.tenant.where, "the_flow": found.id}, self.now()
            master = {**where, **news(flow_status="deleted", updated_at=now, deleted_at=now)}
            child = {**where, **news(status="deleted", updated_at=now)}
            entry.details["records"] = found.row["processed_records"]
            self.engine.write([(DELETE_MASTER, master), (DELETE_CHILD, child), self._noted(entry)])
            return {"status": "deleted", "flow_id": found.id, "was": found.status}

    # --- one phase ---

    def execute(
        self, flow_id: str, phase: str, *, validation_overrides: Sequence[str] = (), work: bool = True
    ) -> dict[str, Any]:
        """Have a phase done, if it is its turn: the phases before it are complete and it is not.

        ``validation_overrides`` name validators that are left out this time, which is audited. The result is one of
        ``PhaseResult``; ``already_running`` when somebody is at it, ``waiting_for_approval`` when a person is. With ``work`` it
        is done here, else by whoever works.
        """
        name = canonical(phase)
        with self.audited("execute", flow_id, phase=name, validation_overrides=list(validation_overrides)) as entry:
            found = self.live_flow(flow_id)
            refused = self._not_now(found, name)
            if refused is not None:
                return refused.to_dict()
            if validation_overrides:
                self._override(found, name, validation_overrides, entry)
            if found.run.status is RunStatus.FAILED:
                self.engine.retry(found.run.id, by=self.tenant.user_id, tenant=self.tenant.name)
            elif found.run.status is RunStatus.PAUSED:
                self.engine.resume(found.run.id, by=self.tenant.user_id, tenant=self.tenant.name)
        if work:
            self.work()
        found = self.flow(flow_id)
        remarks = warnings_of(self.engine.outputs(found.run.id, tenant=self.tenant.name)).get(name, ())
        return replace(_result(found, name), warnings=tuple(remarks)).to_dict()

    def _not_now(self, found: Flow, phase: str) -> PhaseResult | None:
        phases = phases_of(found.run.input["configuration"])
        if phase not in phases:
            raise DiscoveryError(f"the flow has no phase {phase}", hint="it was begun without analysis")
        missing = [each for each in phases[: phases.index(phase)] if each not in found.standing.completed]
        if missing:
            code = "CLEANSING_REQUIRED" if "data_cleansing" in missing else "NEEDS_NOT_MET"
            return PhaseResult(
                phase=phase, status=PhaseOutcome.FAILED, error=f"{code}: {', '.join(missing)} must be complete before {phase}",
                error_type="NeedsNotMet", error_code=code, recoverable=True,
            )  # fmt: skip
        if phase in found.standing.completed:
            raise InvalidFlowState(f"{phase} is complete already")
        running = [found.run.phases.get((step, ())) for step in STEPS[phase]]
        if any(each is not None and each.status is PhaseStatus.RUNNING for each in running):
            return PhaseResult(phase=phase, status=PhaseOutcome.ALREADY_RUNNING)
        return None

    def _override(self, found: Flow, phase: str, names: Sequence[str], entry: Entry) -> None:
        configuration = load(found.row["flow_configuration"]) or {}
        types: FlowTypeRegistry = self.engine.registry.deps.flow_types
        known = types.validators.of(types.get("discovery"), types.get_phase_config("discovery", phase))
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise DiscoveryError(f"{phase} has no validator {', '.join(unknown)}", hint=f"it has: {', '.join(known)}")
        overrides = {**configuration.get("validation_overrides", {}), phase: sorted(names)}
        changed = dump({**configuration, "validation_overrides": overrides})
        where = {**self.tenant.where, "the_flow": found.id}
        configured = {**where, **news(flow_configuration=changed, updated_at=self.now())}
        self.engine.write([(CONFIGURE, configured), self._noted(entry)])


def _result(found: Flow, phase: str) -> PhaseResult:
    standing = found.standing
    steps = [found.run.phases.get((step, ())) for step in STEPS[phase]]
    attempt = max((each.attempt for each in steps if each is not None), default=0)
    following = next((each for each in PHASES[PHASES.index(phase) + 1 :] if each not in standing.completed), None)
    if phase in standing.completed:
        return PhaseResult(phase=phase, status=PhaseOutcome.COMPLETED, next_phase=following, attempt=attempt)
    if standing.error is not None:
        return PhaseResult(
            phase=phase, status=PhaseOutcome.FAILED, error=standing.error, error_type="PhaseFailed", recoverable=True,
            error_code=_code_of(standing.error), attempt=attempt,
        )  # fmt: skip
    if standing.waits_for is not None:
        return PhaseResult(
            phase=phase, status=PhaseOutcome.WAITING, data={"waits_for": standing.waits_for}, attempt=attempt
        )
    return PhaseResult(phase=phase, status=PhaseOutcome.PAUSED, attempt=attempt)


def _code_of(error: str) -> str | None:
    """The code with which an error begins, behind the phase and the kind of exception that it names."""
    found = _CODE.search(error)
    return found.group(1) if found else None


def _told(found: Flow) -> dict[str, Any]:
    standing, row = found.standing, found.row
    terminal = found.status in TERMINAL
    return {
        "flow_id": found.id, "flow_name": row["flow_name"], "status": found.status,
        "operational_status": "deleted" if found.status == "deleted" else standing.child,
        "current_phase": standing.current_phase, "next_phase": standing.next_phase,
        "progress_percentage": standing.progress, "awaiting_user_approval": standing.waits_for is not None,
        "phase_state": standing.state,
        "error_message": standing.error, "error_phase": standing.error_phase,
        "client_account_id": row["client_account_id"], "engagement_id": row["engagement_id"],
        "created_at": row["created_at"], "updated_at": row["updated_at"], "terminal": terminal,
        "next_poll_seconds": None if terminal else (_LATER if standing.waits_for else _SOON),
    }  # fmt: skip


def warnings_of(outputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """What validators had to remark on phases that they let go on, by phase."""
    found: dict[str, list[str]] = {phase: [] for phase in PHASES}
    for step, output in outputs.items():
        if isinstance(output, Mapping):
            found[PHASE_OF[step]] += output.get(WARNINGS, ())
    return {phase: remarks for phase, remarks in found.items() if remarks}
