"""Acceptance: a person's decision on a finished document, before anything may use it."""

from __future__ import annotations

from collections.abc import Mapping

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.states.workflow_state import AcceptanceDecision

__all__ = ["AcceptanceDecision", "AcceptanceGate"]


class AcceptanceGate:
    """What the workflow says about acceptance, and what the decisions made so far come to.

    Decisions are kept by ``make_decision_key``. A ``scope_id`` must be unambiguous: where ids repeat under different parents
    it is the whole path, as in ``epic=e1/story=s1``.
    """

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    def requires_acceptance(self, doc_type: str) -> bool:
        """Whether a document of this type must be accepted; not so for a type nobody knows."""
        found = self.workflow.document_types.get(doc_type)
        return found is not None and found.acceptance_required

    def get_acceptors(self, doc_type: str) -> list[str]:
        """The roles that may decide; empty when anybody may, and for a type nobody knows."""
        found = self.workflow.document_types.get(doc_type)
        return list(found.accepted_by) if found is not None else []

    def can_accept(self, doc_type: str, role: str) -> bool:
        """Whether somebody in this role may decide."""
        acceptors = self.get_acceptors(doc_type)
        return not acceptors or role in acceptors

    def record_decision(
        self,
        doc_type: str,
        scope_id: str | None,
        accepted: bool,
        decided_by: str,
        comment: str | None = None,
        *,
        decided_by_role: str | None = None,
        sha256: str | None = None,
    ) -> AcceptanceDecision:
        """The decision, made now. ``sha256`` binds it to one version of the document. Nothing is stored."""
        return AcceptanceDecision(
            doc_type=doc_type,
            scope_id=scope_id,
            accepted=accepted,
            comment=comment,
            decided_by=decided_by,
            decided_by_role=decided_by_role,
            sha256=sha256,
        )

    def make_decision_key(self, doc_type: str, scope_id: str | None = None) -> str:
        """The key of a decision: ``doc:root``, or ``doc:<scope id>``."""
        return f"{doc_type}:{'root' if scope_id is None else scope_id}"

    def get_decision(
        self,
        doc_type: str,
        scope_id: str | None,
        decisions: Mapping[str, AcceptanceDecision],
        *,
        sha256: str | None = None,
    ) -> AcceptanceDecision | None:
        """The decision on a document. With ``sha256`` one that was made on another version does not count."""
        found = decisions.get(self.make_decision_key(doc_type, scope_id))
        if found is None or (sha256 is not None and found.sha256 not in {None, sha256}):
            return None
        return found

    def can_proceed(
        self,
        doc_type: str,
        scope_id: str | None,
        decisions: Mapping[str, AcceptanceDecision],
        *,
        sha256: str | None = None,
    ) -> bool:
        """Whether the document may be used: it needs no acceptance, or it has been accepted."""
        if not self.requires_acceptance(doc_type):
            return True
        found = self.get_decision(doc_type, scope_id, decisions, sha256=sha256)
        return found is not None and found.accepted

    def is_rejected(
        self,
        doc_type: str,
        scope_id: str | None,
        decisions: Mapping[str, AcceptanceDecision],
        *,
        sha256: str | None = None,
    ) -> bool:
        """Whether the document has been rejected."""
        found = self.get_decision(doc_type, scope_id, decisions, sha256=sha256)
        return found is not None and not found.accepted

    def is_pending(
        self,
        doc_type: str,
        scope_id: str | None,
        decisions: Mapping[str, AcceptanceDecision],
        *,
        sha256: str | None = None,
    ) -> bool:
        """Whether the document waits for a decision."""
        needed = self.requires_acceptance(doc_type)
        return needed and self.get_decision(doc_type, scope_id, decisions, sha256=sha256) is None
