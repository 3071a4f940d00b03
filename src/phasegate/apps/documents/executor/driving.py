"""One execution on its way from where it stands to the next pause or its end.

What happens next is the planner's to say; what happened is told to it by the memory, which is the state and the context. So
there are three moves: what the memory knows is told to the planner; what it does not know is made to happen, which changes the
state and the context and nothing else; and where a person is to say something, the way ends. After each move state and context
are saved and what happened is announced, before the next one begins.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.executor.performing import Means, Performer
from phasegate.apps.documents.executor.recalling import Memory, scope_id_of
from phasegate.apps.documents.executor.sequence import Sequence, Stop
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.workflow_state import Frame, WorkflowState, WorkflowStatus
from phasegate.core import facts as f
from phasegate.core.planner import advance
from phasegate.core.run import PhaseStatus, Run, RunStatus, Subject


class Drive:
    """An execution being driven. It changes the state and the context it was given."""

    def __init__(self, means: Means, workflow: Workflow, state: WorkflowState, context: WorkflowContext) -> None:
        self.means, self.workflow, self.state, self.context = means, workflow, state, context
        self.sequence, self.gate = Sequence(workflow), means.gate(workflow)
        self.memory = Memory(self.sequence, state, context, self.gate)
        self._performer = Performer(means, workflow, self.memory, self.note)
        self._saving = asyncio.Lock()
        self._unsaid: list[dict[str, Any]] = []
        self._before: tuple[Frame, ...] = ()
        self._call: asyncio.Task[None] | None = None

    async def go(self) -> None:
        """Go on until a person has to say something, or the execution has ended.

        Raises what saving and announcing raise; from what was saved the execution can go on later.
        """
        if self.state.status is WorkflowStatus.PENDING:
            self.state.start(now=self.means.now())
            self.note("execution_started")
        await self.commit()
        if not self._moving():
            return
        run, stop = self._move(self._begun())
        while stop is not None and self._moving():
            facts = self.memory.facts_of(run, stop, self.means.now())
            if facts:
                run, stop = self._told(run, stop, facts)
            elif run.at(*stop.instance).status is PhaseStatus.READY:
                await self._perform(run, stop)
            else:
                self._wait(run, stop)
            await self.commit()
        if self._moving():
            self._finish(run)
            await self.commit()

    async def cancel(self, reason: str) -> None:
        """End the execution, and the call of the model that is under way. Raises ``InvalidTransitionError`` if it has ended."""
        again = self.state.status is WorkflowStatus.CANCELLED
        self.state.cancel(now=self.means.now())
        if again:
            return
        self.state.error = reason or None
        self.note("cancelled", reason=reason)
        if self._call is not None:
            self._call.cancel()
        await self.commit()

    def note(self, event_type: str, stop: Stop | None = None, **data: Any) -> None:
        """Put on record what happened; ``commit`` saves and announces it."""
        where = {"instance": stop.key, "scope": str(stop.path)} if stop is not None else {}
        event = {
            "number": self.state.events[-1]["number"] + 1 if self.state.events else 1,
            "event_type": event_type,
            "execution_id": self.state.execution_id,
            "step_id": stop.step.step_id if stop is not None else None,
            "timestamp": self.means.now().isoformat(),
            "data": {**where, **data},
        }
        self.state.events.append(event)
        self._unsaid.append(event)

    async def commit(self) -> None:
        """Save and announce what happened, if anything did."""
        async with self._saving:  # a cancellation saves too, and two at a time would be in each other's way
            happened = list(self._unsaid)
            if happened and self.means.persistence is not None:
                await self.means.persistence.save(self.state, self.context)
            del self._unsaid[: len(happened)]
        if self.means.sink is not None:
            for event in happened:
                heard = self.means.sink(event)
                if inspect.isawaitable(heard):
                    await heard

    def _moving(self) -> bool:
        # A cancellation may have come in whenever something was waited for.
        return self.state.status is WorkflowStatus.RUNNING

    def _begun(self) -> Run:
        """The run of an execution about which nothing is known yet; the context is at the root."""
        self._before = tuple(self.state.run_stack)
        self.state.run_stack.clear()
        while self.context.scope_depth():
            self.context.pop_scope()
        now, about = self.means.now(), Subject("project", self.state.project_id)
        name, flow = self.state.execution_id or "", self.sequence.flow
        return advance(flow, None, now, f.RunStarted(now, name, "", flow.name, flow.version, about))[0]

    def _told(self, run: Run, stop: Stop, facts: tuple[f.Fact, ...]) -> tuple[Run, Stop | None]:
        """The run after facts about one instance, and the instance that is next; what is done is marked so."""
        run, _ = advance(self.sequence.flow, run, self.means.now(), *facts)
        if not run.at(*stop.instance).items and self.sequence.done(run, stop.step, stop.scope):
            self._mark_complete(stop)
        found = self._move(run)
        for step in self.sequence.inner_first:
            if not self.state.is_step_complete(step.step_id) and self.sequence.done(run, step):
                self.state.mark_step_complete(step.step_id)
        return found

    def _mark_complete(self, stop: Stop) -> None:
        """Nothing is left to do at this instance, nor in it."""
        if not self.memory.is_complete(stop):
            self.state.mark_instance_complete(stop.key)
            self.note("step_completed", stop)

    def _move(self, run: Run) -> tuple[Run, Stop | None]:
        """Go to the instance that is next: out of the items that are done, and into those that it stands in."""
        stop = self.sequence.next_stop(run)
        if stop is not None and self.sequence.has_failed(run, stop):
            return run, None  # it stays where it failed, whatever else the planner might begin elsewhere
        wanted, stack = stop.frames if stop is not None else (), self.state.run_stack
        while tuple(stack) != wanted[: len(stack)]:
            self._leave()
        for frame in wanted[len(stack) :]:
            self._enter(frame)
        self.state.current_step_id = stop.step.step_id if stop is not None else None
        return run, stop

    def _enter(self, frame: Frame) -> None:
        around = self._around(frame)
        scope = self.sequence.opened_by(around.step)
        self.context.push_scope(scope, frame.entity_id, self._performer.entity(around.step, scope, frame))
        self.state.run_stack.append(frame)
        progress = self.state.iteration_progress[around.key]
        progress.current_index = max(progress.current_index, frame.index)
        stack = tuple(self.state.run_stack)
        if progress.completed <= frame.index and self._before[: len(stack)] != stack:
            self.note("iteration_item_started", around, entity_id=frame.entity_id, index=frame.index)

    def _leave(self) -> None:
        frame = self.state.run_stack.pop()
        self.context.pop_scope()
        around = self._around(frame)
        progress = self.state.iteration_progress[around.key]
        if progress.completed <= frame.index:
            progress.completed = frame.index + 1
            self.note("iteration_item_completed", around, entity_id=frame.entity_id, index=frame.index)
        if progress.is_complete:
            self._mark_complete(around)

    def _around(self, frame: Frame) -> Stop:
        """The instance of the iteration that gives a frame; the frames around that are those on the stack."""
        step = self.workflow.get_step(frame.step_id)
        assert step is not None
        frames = tuple(self.state.run_stack)
        return Stop(step, tuple(each.entity_id for each in frames), self.sequence.path_of(frames), frames)

    async def _perform(self, run: Run, stop: Stop) -> None:
        """Make the next thing happen at an instance."""
        if stop.step.is_iteration:
            self._performer.expand(stop)
            return
        state = self._performer.begun(run, stop)
        await self.commit()
        if not self._moving():
            return
        self._call = asyncio.ensure_future(self._performer.ask(stop, state, self.memory.revision(run, stop)))
        try:
            await self._call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._moving() or (task is not None and task.cancelling()):
                raise  # it is the caller who was cancelled, not the execution
        finally:
            self._call = None

    def _wait(self, run: Run, stop: Stop) -> None:
        """Wait for the person for whom the planner waits."""
        if self.sequence.at_gate(run, stop):
            doc_type, scope_id = stop.step.produces or "", scope_id_of(stop.path)
            self.state.wait_for_acceptance(doc_type, scope_id)
            self.note("waiting_acceptance", stop, doc_type=doc_type, scope_id=scope_id)
        else:
            self.state.wait_for_clarification(stop.step.step_id, str(stop.path) or None)
            self.note("waiting_clarification", stop, questions=run.at(*stop.instance).questions)

    def _finish(self, run: Run) -> None:
        if run.status is RunStatus.SUCCEEDED:
            self.state.complete(now=self.means.now())
            self.note("completed")
            return
        self.state.fail(self._why(run), now=self.means.now())
        self.note("failed", error=self.state.error)

    def _why(self, run: Run) -> str:
        """Why the run failed, in the words of who made it fail."""
        stop = self.sequence.next_stop(run)
        assert stop is not None, "what failed is not settled"
        where = f" (in {stop.path})" if stop.path.parts else ""
        if not self.sequence.at_gate(run, stop):
            return f"Step {stop.step.step_id} failed: {run.at(*stop.instance).reason or run.reason}{where}"
        last, gate = self.memory.decision(run, stop), run.at(*stop.gate)
        said = f" by {last.decided_by}: {last.comment or 'no comment'}" if last is not None else ""
        times = f" (after {gate.round} revisions)" if gate.round else ""
        return f"Document {stop.step.produces!r} was rejected{said}{times}{where}"
