"""What the state and the context of an execution know about an instance, as the facts that the planner is told.

They are all that is remembered between two calls. Whoever tells the planner nothing else gets the same run from them after a
restart as before it.
"""

from __future__ import annotations

from datetime import datetime

from phasegate.apps.documents.executor.sequence import Sequence, Stop
from phasegate.apps.documents.gates.acceptance import AcceptanceGate
from phasegate.apps.documents.prompting import Revision
from phasegate.apps.documents.states.context import StoredDocument, WorkflowContext
from phasegate.apps.documents.states.scope_paths import ScopePath
from phasegate.apps.documents.states.step_state import StepState, StepStatus, question_to_dict
from phasegate.apps.documents.states.workflow_state import AcceptanceDecision, WorkflowState
from phasegate.core import facts as f
from phasegate.core.run import PhaseStatus, Run


def scope_id_of(path: ScopePath) -> str | None:
    """The id by which the document of a place is accepted.

    None at the root, the item's own id one level below. Deeper it is the whole path, for there ids may repeat.
    """
    if len(path.parts) < 2:
        return path.last_id if path.parts else None
    return str(path)


class Memory:
    """A state and a context. Of a ``Stop`` they are asked about while the context has its scopes open."""

    def __init__(
        self, sequence: Sequence, state: WorkflowState, context: WorkflowContext, gate: AcceptanceGate
    ) -> None:
        self.state, self.context = state, context
        self._sequence, self._gate = sequence, gate

    def facts_of(self, run: Run, stop: Stop, now: datetime) -> tuple[f.Fact, ...]:
        """What is known of this instance and new to the run; empty when the next thing has yet to happen."""
        if self._sequence.at_gate(run, stop):
            return self._decided(run, stop, now)
        at = run.at(*stop.instance)
        if at.status is PhaseStatus.WAITING:
            return self._answered(run, stop, now)
        ended = self._ended(run, stop, at.attempt + 1, now)
        return (f.AttemptStarted(now, *stop.instance, at.attempt + 1), ended) if ended is not None else ()

    def made(self, stop: Stop) -> list[StoredDocument]:
        """The documents that this instance has made, the first version first."""
        name = stop.step.produces or ""
        versions = self.context.document_versions(name, self._sequence.workflow.document_types[name].scope)
        # What was decided on here has been made here, whoever put it into the context.
        known = {each.sha256 for each in self.decisions(stop)}
        return [each for each in versions if each.produced_by == stop.key or each.sha256 in known]

    def decisions(self, stop: Stop) -> list[AcceptanceDecision]:
        """What was decided on the documents of this instance: one for each version, except perhaps the last."""
        key = self._key(stop)
        return [
            each
            for each in self.state.decision_history
            if self._gate.make_decision_key(each.doc_type, each.scope_id) == key
        ]

    def decision(self, run: Run, stop: Stop) -> AcceptanceDecision | None:
        """The decision on the version that the planner asks about; None when nobody has decided yet."""
        past, made, rejected = self.decisions(stop), self.made(stop), self._rejections(run, stop)
        if rejected < len(past):
            return past[rejected]
        if past:
            return None
        # A state made by hand may say what counts without saying how it came to that.
        scope_id = scope_id_of(stop.path)
        sha256 = made[0].sha256 if made else None
        return self._gate.get_decision(
            stop.step.produces or "", scope_id, self.state.acceptance_decisions, sha256=sha256
        )

    def revision(self, run: Run, stop: Stop) -> Revision | None:
        """The document that has to be made anew, and why; None when none was rejected."""
        rejected = self._rejections(run, stop)
        if not rejected:
            return None
        made, decision = self.made(stop), self.decisions(stop)[rejected - 1]
        document = made[rejected - 1].content if rejected <= len(made) else None
        return Revision(document, decision.comment or "", decision.decided_by)

    def is_complete(self, stop: Stop) -> bool:
        """Whether the state says that there is nothing more to do at this instance, nor in it."""
        return stop.key in self.state.completed_instances or self.state.is_step_complete(stop.step.step_id)

    def _ended(self, run: Run, stop: Stop, attempt: int, now: datetime) -> f.Fact | None:
        said = self._listed(stop, attempt, now) if stop.step.is_iteration else self._produced(run, stop, attempt, now)
        state = self.state.get_step_state(stop.key)
        if said is not None or state is None:
            return said
        if state.status is StepStatus.FAILED:
            return f.AttemptFailed(now, *stop.instance, attempt, "", state.error or "it failed", fatal=True)
        if state.status is StepStatus.CLARIFYING:
            return f.AttemptAsked(now, *stop.instance, attempt, _asked(state))
        return None

    def _listed(self, stop: Stop, attempt: int, now: datetime) -> f.Fact | None:
        progress = self.state.iteration_progress.get(stop.key)
        if self.is_complete(stop):
            items: tuple[str, ...] = ()
        elif progress is not None and len(progress.entity_ids) == progress.total:
            items = tuple(progress.entity_ids)
        else:
            return None
        return f.AttemptSucceeded(now, *stop.instance, attempt, items=items)

    def _produced(self, run: Run, stop: Stop, attempt: int, now: datetime) -> f.Fact | None:
        made, rejected = self.made(stop), self._rejections(run, stop)
        if self.is_complete(stop):
            sha256 = made[-1].sha256 if made else None
        elif rejected < len(made):
            sha256 = made[rejected].sha256
        elif rejected < len(self.decisions(stop)):
            sha256 = None  # it has been decided on, so it was there
        else:
            return None
        return f.AttemptSucceeded(now, *stop.instance, attempt, sha256=sha256)

    def _answered(self, run: Run, stop: Stop, now: datetime) -> tuple[f.Fact, ...]:
        state = self.state.get_step_state(stop.key)
        if state is None or state.status is StepStatus.CLARIFYING:
            return ()
        attempt = run.at(*stop.instance).attempt
        return (f.QuestionsAnswered(now, *stop.instance, attempt, answers=state.clarification_answers or {}),)

    def _decided(self, run: Run, stop: Stop, now: datetime) -> tuple[f.Fact, ...]:
        at = run.at(*stop.gate)
        if self.is_complete(stop):
            return (f.DecisionMade(now, *stop.gate, at.round, "accepted", seen=at.shown),)
        found = self.decision(run, stop)
        if found is None:
            return ()
        outcome = "accepted" if found.accepted else "rejected"
        return (
            f.DecisionMade(
                now, *stop.gate, at.round, outcome, found.decided_by, found.decided_by_role or "", at.shown,
                comment=found.comment or "",
            ),
        )  # fmt: skip

    def _rejections(self, run: Run, stop: Stop) -> int:
        """How often the planner has sent this instance back for a rejection."""
        return run.at(*stop.gate).round if self._sequence.has_gate(stop.step) else 0

    def _key(self, stop: Stop) -> str:
        return self._gate.make_decision_key(stop.step.produces or "", scope_id_of(stop.path))


def _asked(state: StepState) -> list[dict[str, object]]:
    return [question_to_dict(each) for each in state.clarification_questions or ()]
