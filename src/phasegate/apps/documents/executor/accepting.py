"""The document that waits for a decision, and whether a decision fits it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.errors import AcceptanceError
from phasegate.apps.documents.executor.recalling import scope_id_of
from phasegate.apps.documents.executor.sequence import Stop
from phasegate.apps.documents.gates.acceptance import AcceptanceGate
from phasegate.apps.documents.states.context import StoredDocument, WorkflowContext
from phasegate.apps.documents.states.scope_paths import ScopePath, parse_path
from phasegate.apps.documents.states.workflow_state import AcceptanceDecision, WorkflowState, WorkflowStatus


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a decision: the instance that made a document, and the version that is shown."""

    doc_type: str
    scope: str
    stop: Stop
    document: StoredDocument | None

    @classmethod
    def of(cls, workflow: Workflow, state: WorkflowState, context: WorkflowContext) -> Pending | None:
        """What the state says is waiting; None when nothing is."""
        doc_type, scope_id = state.pending_acceptance, state.pending_acceptance_scope_id
        step = next((each for each in workflow.get_production_steps() if each.produces == doc_type), None)
        if state.status is not WorkflowStatus.WAITING_ACCEPTANCE or doc_type is None or step is None:
            return None
        scope = workflow.document_types[doc_type].scope
        path = _path(workflow, scope, scope_id)
        stop = Stop(step, tuple(each for _, each in path.parts), path, tuple(state.run_stack))
        return cls(doc_type, scope, stop, context.document_info(doc_type, scope, scope_id))

    @property
    def scope_id(self) -> str | None:
        """The id by which the document is decided on."""
        return scope_id_of(self.stop.path)

    def is_meant_by(self, decision: AcceptanceDecision) -> bool:
        """Whether a decision is about this document."""
        return (decision.doc_type, decision.scope_id) == (self.doc_type, self.scope_id)

    def bound(self, decision: AcceptanceDecision, gate: AcceptanceGate, *, enforce: bool) -> AcceptanceDecision:
        """The decision, bound to the version it is about. Raises ``AcceptanceError`` when it does not fit.

        A role that is told must be one that may decide; with ``enforce`` it must be told where not everybody may.
        """
        if not self.is_meant_by(decision):
            said, waits = called(decision.doc_type, decision.scope_id), called(self.doc_type, self.scope_id)
            raise AcceptanceError(f"the decision is about {said}, but {waits} waits for one")
        role, sha256 = decision.decided_by_role, self.document.sha256 if self.document is not None else None
        if (role is not None or enforce) and not gate.can_accept(decision.doc_type, role or ""):
            who = f"{decision.decided_by} as {role}" if role else f"{decision.decided_by}, whose role is not told,"
            acceptors = ", ".join(gate.get_acceptors(decision.doc_type))
            raise AcceptanceError(f"{who} may not decide on {decision.doc_type!r}: it is for {acceptors}")
        if decision.sha256 not in {None, sha256}:
            raise AcceptanceError(f"{called(self.doc_type, self.scope_id)} has changed since the decision was made")
        return replace(decision, sha256=sha256)


def is_repeated(state: WorkflowState, decision: AcceptanceDecision, pending: Pending | None) -> bool:
    """Whether this decision is on record already, and not meant for the version that is waiting now."""
    past = [each for each in state.decision_history if _same(each, decision)]
    if pending is None or not pending.is_meant_by(decision):
        return bool(past)
    # Of a document that is made anew the next version may well be decided on in the same words.
    now = pending.document.sha256 if pending.document is not None else None
    return any(
        each.decided_at == decision.decided_at or (decision.sha256 is not None and decision.sha256 != now)
        for each in past
    )


def called(doc_type: str | None, scope_id: str | None) -> str:
    """A document as messages name it."""
    return f"document {doc_type!r}" + (f" of {scope_id!r}" if scope_id is not None else "")


def _same(past: AcceptanceDecision, decision: AcceptanceDecision) -> bool:
    """Whether two decisions say the same of the same document, at whatever time."""
    if decision.sha256 not in {None, past.sha256}:
        return False
    return replace(decision, decided_at=past.decided_at, sha256=past.sha256) == past


def _path(workflow: Workflow, scope: str, scope_id: str | None) -> ScopePath:
    """The place that the id of a decision leads to."""
    if scope_id is None:
        return ScopePath()
    parent = workflow.scopes[scope].parent if scope in workflow.scopes else None
    deep = parent is not None and parent in workflow.scopes and workflow.scopes[parent].parent is not None
    return parse_path(scope_id) if deep else ScopePath(((scope, scope_id),))
