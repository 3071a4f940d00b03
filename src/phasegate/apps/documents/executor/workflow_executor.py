"""Document workflows in process: state and context in, state and context out.

It works without a database. Steps come one after the other, and the planner that the engine uses says which is next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import AcceptanceError, ClarificationError, InvalidExecutionStateError
from phasegate.apps.documents.executor.accepting import Pending, called, is_repeated
from phasegate.apps.documents.executor.driving import Drive
from phasegate.apps.documents.executor.performing import EventSink, Means
from phasegate.apps.documents.flow import named
from phasegate.apps.documents.gates.acceptance import AcceptanceGate
from phasegate.apps.documents.iteration import IterationHandler
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.persistence import StatePersistence
from phasegate.apps.documents.states.scope_paths import parse_path
from phasegate.apps.documents.states.workflow_state import AcceptanceDecision, WorkflowState, WorkflowStatus
from phasegate.apps.documents.step_executor import StepExecutor


@dataclass
class WorkflowExecutionResult:
    """Where an execution stands. ``paused`` says that it waits for a person, and ``pause_reason`` for whom and what."""

    state: WorkflowState
    context: WorkflowContext
    paused: bool = False
    pause_reason: str | None = None


class WorkflowExecutor:
    """Executes workflows until a person is needed, and goes on from there.

    The state and the context that are given are changed, and are all that is remembered: whoever keeps them, or sets
    ``persistence``, can go on in another process, and the model is asked nothing again that it has answered. With
    ``persistence`` both are saved after each transition, before ``event_sink`` hears of it and before the next one begins.

    What goes wrong in an execution fails the execution and is not raised. Raised are a call that does not fit the state (a
    ``ValueError``; nothing is changed then), what saving or ``event_sink`` raise, and cancellation. Of two calls about one
    execution, the second may only cancel the first.

    A role that is told with a decision must be one that may decide; ``enforce_acceptors`` demands that it is told.
    """

    def __init__(
        self,
        step_executor: StepExecutor,
        iteration_handler_factory: Callable[[Workflow], IterationHandler] | None = None,
        acceptance_gate_factory: Callable[[Workflow], AcceptanceGate] | None = None,
        *,
        persistence: StatePersistence | None = None,
        event_sink: EventSink | None = None,
        enforce_acceptors: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._means = Means(
            step_executor, iteration_handler_factory or IterationHandler, acceptance_gate_factory or AcceptanceGate,
            persistence, event_sink, clock or _clock,
        )  # fmt: skip
        self._enforce = enforce_acceptors
        self._under_way: dict[str, Drive] = {}

    async def start(
        self, workflow: Workflow, project_id: str, *, initial_documents: Mapping[str, Any] | None = None,
        execution_id: str | None = None,
    ) -> WorkflowExecutionResult:  # fmt: skip
        """Begin an execution, with documents that are there already by type; they need nobody's acceptance.

        Raises ``ValueError`` for a document of an unknown type or below the root.
        """
        context = WorkflowContext(workflow, project_id)
        for doc_type, content in (initial_documents or {}).items():
            context.store_document(doc_type, content, now=self._means.now())
        state = WorkflowState(workflow.workflow_id, project_id, execution_id=execution_id or f"exec_{uuid4().hex[:12]}")
        return await self.run_until_pause(workflow, state, context)

    async def run_until_pause(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext
    ) -> WorkflowExecutionResult:
        """Go on from the state given. One that waits for a person, or has ended, is returned as it is."""
        return await self._driven(self._drive(workflow, state, context))

    async def resume(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext, *, force: bool = False
    ) -> WorkflowExecutionResult:
        """Go on after a restart. One that waits for a person, or has ended, is returned as it is: the same pause again.

        Raises ``InvalidExecutionStateError`` when the execution was begun with another definition, unless ``force`` is set.
        """
        drive = self._drive(workflow, state, context, force=force)
        if state.status is WorkflowStatus.RUNNING:
            drive.note("execution_resumed")
        return await self._driven(drive)

    async def process_acceptance(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext, decision: AcceptanceDecision
    ) -> WorkflowExecutionResult:
        """Put a decision on record and go on. The same decision once more changes nothing.

        Raises ``AcceptanceError`` when it does not fit what is waited for: another document or version, or a role that may
        not decide.
        """
        pending = Pending.of(workflow, state, context)
        if is_repeated(state, decision, pending):
            return _result(workflow, state, context)
        if pending is None:
            raise AcceptanceError(f"the execution is {state.status}: no document waits for a decision")
        drive = self._drive(workflow, state, context)
        bound = pending.bound(decision, drive.gate, enforce=self._enforce)
        state.record_decision(drive.gate.make_decision_key(bound.doc_type, bound.scope_id), bound)
        if pending.document is not None:
            context.mark_accepted(
                bound.doc_type, pending.scope, bound.scope_id, accepted=bound.accepted, decided_by=bound.decided_by,
                now=self._means.now(),
            )  # fmt: skip
        state.resume()
        drive.note("acceptance_recorded", pending.stop, **bound.to_dict())
        return await self._driven(drive)

    async def process_clarification(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext, answers: Mapping[str, Any]
    ) -> WorkflowExecutionResult:
        """Give the answers to the questions of a step, and go on with it.

        Raises ``ClarificationError`` when nobody waits for answers, or they do not fit the questions.
        """
        step_id = state.pending_clarification_step_id
        if state.status is not WorkflowStatus.WAITING_CLARIFICATION or step_id is None:
            raise ClarificationError(f"the execution is {state.status}: no step waits for answers")
        key = named(step_id, parse_path(state.pending_clarification_scope or ""))
        step_state = state.get_step_state(key)
        if step_state is None or not step_state.is_waiting_for_human:
            raise ClarificationError(f"step {key!r} has no open questions")
        drive = self._drive(workflow, state, context)
        self._means.executor.give_answers(step_state, answers)
        state.resume()
        drive.note("clarification_answered", instance=key)
        return await self._driven(drive)

    async def cancel(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext, reason: str = ""
    ) -> WorkflowExecutionResult:
        """End an execution; when it is under way here, with the call of the model it is waiting for.

        To cancel what is cancelled changes nothing. Raises ``InvalidTransitionError`` when it has ended otherwise.
        """
        drive = self._under_way.get(_name(state)) or Drive(self._means, workflow, state, context)
        await drive.cancel(reason)
        return _result(workflow, drive.state, drive.context)

    def _drive(
        self, workflow: Workflow, state: WorkflowState, context: WorkflowContext, *, force: bool = False
    ) -> Drive:
        """What drives an execution on. Raises when it must not be: it is under way, or follows another definition."""
        if _name(state) in self._under_way:
            raise InvalidExecutionStateError(f"execution {_name(state)!r} is under way already")
        revision = revision_of(workflow)
        if not force and state.revision not in {None, revision}:
            raise InvalidExecutionStateError(
                f"execution {_name(state)!r} was begun with another definition of {state.workflow_id!r}: "
                f"{state.revision}, not {revision}",
                hint="resume(..., force=True) goes on with this one",
            )
        return Drive(self._means, workflow, state, context)

    async def _driven(self, drive: Drive) -> WorkflowExecutionResult:
        drive.state.revision = revision_of(drive.workflow)
        name = _name(drive.state)
        self._under_way[name] = drive
        try:
            await drive.go()
        finally:
            del self._under_way[name]
        return _result(drive.workflow, drive.state, drive.context)


def revision_of(workflow: Workflow) -> str:
    """What tells one definition from another: the revision it names, and a hash of all that it says."""
    return f"{workflow.revision}@{digest(asdict(workflow))[:16]}"


def _result(workflow: Workflow, state: WorkflowState, context: WorkflowContext) -> WorkflowExecutionResult:
    return WorkflowExecutionResult(state, context, state.is_waiting, _pause_reason(workflow, state))


def _pause_reason(workflow: Workflow, state: WorkflowState) -> str | None:
    if state.status is WorkflowStatus.WAITING_CLARIFICATION:
        step_id = state.pending_clarification_step_id or ""
        where = parse_path(state.pending_clarification_scope or "")
        return f"step {named(step_id, where)!r} waits for clarification: its questions must be answered"
    if state.status is not WorkflowStatus.WAITING_ACCEPTANCE:
        return None
    known = workflow.document_types.get(state.pending_acceptance or "")
    who = f" by {' or '.join(known.accepted_by)}" if known is not None and known.accepted_by else ""
    return f"{called(state.pending_acceptance, state.pending_acceptance_scope_id)} waits for acceptance{who}"


def _name(state: WorkflowState) -> str:
    return state.execution_id or f"{state.workflow_id} of {state.project_id}"


def _clock() -> datetime:
    return datetime.now(UTC)
