"""What is done at an instance: the items of an iteration are fixed, or a model is asked once.

Either changes the state and the context, and tells nobody else; see ``driving``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from phasegate.apps.documents.definition.models import IterationConfig, Workflow, WorkflowStep
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.executor.recalling import Memory
from phasegate.apps.documents.executor.sequence import Stop
from phasegate.apps.documents.flow import MOST_ITEMS, attempts_of
from phasegate.apps.documents.gates.acceptance import AcceptanceGate
from phasegate.apps.documents.iteration import IterationHandler, IterationInstance
from phasegate.apps.documents.prompting import Revision
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.persistence import StatePersistence
from phasegate.apps.documents.states.step_state import StepState, StepStatus
from phasegate.apps.documents.states.workflow_state import Frame, IterationProgress, WorkflowStatus
from phasegate.apps.documents.step_executor import Place, StepExecutor
from phasegate.core.run import Run

#: Is told what happened, one event after the other.
EventSink = Callable[[dict[str, Any]], Awaitable[None] | None]


class Note(Protocol):
    """Puts on record what happened at an instance."""

    def __call__(self, event_type: str, stop: Stop | None = None, **data: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What executions are driven with."""

    executor: StepExecutor
    handler: Callable[[Workflow], IterationHandler]
    gate: Callable[[Workflow], AcceptanceGate]
    persistence: StatePersistence | None
    sink: EventSink | None
    now: Callable[[], datetime]


class Performer:
    """Does what is next at the instances of one execution. The context has the scopes of an instance open by then."""

    def __init__(self, means: Means, workflow: Workflow, memory: Memory, note: Note) -> None:
        self._executor, self._now, self._note = means.executor, means.now, note
        self._workflow, self._handler, self._memory = workflow, means.handler(workflow), memory
        self._state, self._context = memory.state, memory.context
        means.executor.register_schemas(workflow)

    def expand(self, stop: Stop) -> None:
        """Fix the items of an iteration, once and for all; or fail it, when they cannot be used."""
        try:
            instances = self._items(stop.step)
        except Exception as error:
            said = str(error) if isinstance(error, WorkflowError) else f"{type(error).__name__}: {error}"
            failed = StepState(stop.step.step_id, scope_path=str(stop.path) or None)
            failed.fail(said, now=self._now())
            self._state.set_step_state(stop.key, failed)
            self._note("step_failed", stop, error=said)
            return
        ids = [each.entity_id for each in instances]
        self._state.iteration_progress[stop.key] = IterationProgress(stop.step.step_id, len(ids), entity_ids=ids)
        for each in instances:  # opened once, an item is stored, and stays what it is now
            self._context.push_scope(each.scope, each.entity_id, each.entity_data)
            self._context.pop_scope()
        self._note("iteration_started", stop, total=len(ids))

    def entity(self, step: WorkflowStep, scope: str, frame: Frame) -> dict[str, Any]:
        """The item that a frame is about."""
        assert step.iterate_over is not None
        stored = self._context.get_entity(step.iterate_over.entity_type, scope, frame.entity_id)
        if stored is not None:
            return stored
        # A state made by hand may name items of which the context has only the document they stand in.
        instances = self._handler.expand(step, self._context)
        named = [each for each in instances if each.entity_id == frame.entity_id]
        found = named or instances[frame.index : frame.index + 1]
        return found[0].entity_data if found else {}

    def begun(self, run: Run, stop: Stop) -> StepState:
        """The state in which an instance goes on; a new one at first, and for each revision."""
        state = self._state.get_step_state(stop.key)
        rejected = len(self._memory.decisions(stop))
        revised = state is not None and state.status is StepStatus.COMPLETED and rejected > 0
        if state is not None and not revised:
            return state
        fresh = StepState(stop.step.step_id, max_attempts=attempts_of(stop.step), scope_path=str(stop.path) or None)
        if state is not None:  # what was asked and answered before is not asked again
            fresh.llm_calls, fresh.transitions = state.llm_calls, state.transitions
            fresh.answered, fresh.clarification_rounds = state.answered, state.clarification_rounds
        self._state.set_step_state(stop.key, fresh)
        self._note("step_started", stop, revision=rejected)
        return fresh

    async def ask(self, stop: Stop, state: StepState, revision: Revision | None) -> None:
        """Ask the model once, and keep what comes of it before anybody can interrupt."""
        ids = dict(stop.path.parts)
        scope_id = stop.path.last_id if stop.path.parts else None
        place = Place(stop.step, self._workflow, _Readable(self._context), scope_id, ids)
        calls = len(state.llm_calls)
        try:
            if state.status is not StepStatus.COMPLETED:  # else the answer is there, only the document is not
                await self._executor.attempt(place, state, revision)
        except Exception as error:
            self._executor.give_up(state, error)
        if len(state.llm_calls) > calls:
            self._count(stop, state)
        if self._state.status is WorkflowStatus.RUNNING:  # it may have been cancelled meanwhile
            self._keep(stop, state)

    def _items(self, step: WorkflowStep) -> list[IterationInstance]:
        """What an iteration goes through. Raises ``WorkflowError`` when it cannot."""
        over = step.iterate_over
        assert over is not None
        instances = self._handler.expand(step, self._context)
        if not instances:
            self._check_source(over)
        most = int(step.extra.get("max_items", MOST_ITEMS))
        if len(instances) > most:
            raise WorkflowError(
                f"{over.doc_type!r} has {len(instances)} items, more than the {most} that this iteration may have"
            )
        twice = [key for key, count in Counter(each.entity_id for each in instances).items() if count > 1]
        if twice:
            raise WorkflowError(f"items of {over.doc_type!r} have the same id: {', '.join(twice)}")
        return instances

    def _check_source(self, over: IterationConfig) -> None:
        """An empty list is a list; no list is a mistake."""
        known = self._workflow.document_types.get(over.doc_type)
        document = self._context.get_document(over.doc_type, known.scope) if known is not None else None
        if document is None:
            raise WorkflowError(f"iteration source missing: there is no document {over.doc_type!r}")
        if not isinstance(document.get(over.collection_field), list):
            raise WorkflowError(f"iteration source missing: {over.doc_type!r} has no list {over.collection_field!r}")

    def _count(self, stop: Stop, state: StepState) -> None:
        call, usage = state.llm_calls[-1], self._state.llm_usage
        told = {"tokens_in": call.tokens_in, "tokens_out": call.tokens_out, "cost": call.cost}
        for name, value in told.items():
            if value is not None:
                usage[name] = usage.get(name, 0) + value
        usage["calls"] = usage.get("calls", 0) + 1
        self._note("llm_called", stop, attempt=state.attempt, model=call.model, status=state.status.value, **told)
        if state.qa_result is not None and state.status in {StepStatus.REMEDIATING, StepStatus.FAILED}:
            self._note("qa_failed", stop, attempt=state.attempt, errors=state.qa_result.error_count)

    def _keep(self, stop: Stop, state: StepState) -> None:
        """What an answer comes to."""
        if state.status is StepStatus.REMEDIATING:
            self._note("remediation_started", stop, attempt=state.attempt + 1)
        elif state.status is StepStatus.FAILED:
            self._note("step_failed", stop, error=state.error)
        elif state.status is StepStatus.COMPLETED:
            made = self._context.store_document(
                stop.step.produces or "", state.output_document, produced_by=stop.key, qa_passed=True, now=self._now()
            )
            self._note("document_produced", stop, doc_type=made.doc_type, version=made.version, sha256=made.sha256)


class _Readable:
    """The documents of a context as steps may read them: what was there from the start needs nobody's acceptance."""

    def __init__(self, context: WorkflowContext) -> None:
        self._context = context
        self.get_document, self.get_entity = context.get_document, context.get_entity

    def is_accepted(self, doc_type: str, scope: str, scope_id: str | None = None) -> bool:
        found = self._context.document_info(doc_type, scope, scope_id)
        return found is not None and (found.produced_by is None or found.accepted is True)
