"""Which instance of a workflow is next when one comes after the other: a pure reading of the planner's run.

Steps follow in the order of the definition, items in the order of their list; what stands in an item is done, its acceptances
included, before the next item begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.flow import flow_of, gate_name, named
from phasegate.apps.documents.states.scope_paths import ScopePath
from phasegate.apps.documents.states.workflow_state import Frame
from phasegate.core import planner
from phasegate.core.run import Instance, PhaseStatus, Run, Scope


@dataclass(frozen=True, slots=True)
class Stop:
    """An instance of a step: the step, and the item of each iteration around it, the outermost first."""

    step: WorkflowStep
    scope: Scope
    path: ScopePath
    frames: tuple[Frame, ...]

    @property
    def key(self) -> str:
        """What the instance is called, as in ``write[track=t1/talk=k2]``."""
        return named(self.step.step_id, self.path)

    @property
    def instance(self) -> Instance:
        """The step's instance as the planner knows it."""
        return self.step.step_id, self.scope

    @property
    def gate(self) -> Instance:
        """The instance in which its document is accepted, as the planner knows it."""
        return gate_name(self.step.step_id), self.scope


class Sequence:
    """The order of a workflow, and the flow that the planner plans it with. Raises ``FlowError`` when there can be none."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.flow = flow_of(workflow, 1, lambda step: _not_here)
        #: Every step after those nested in it.
        self.inner_first = tuple(_inner_first(workflow.steps))
        self._names = {step.step_id: tuple(self._phases(step)) for step in self.inner_first}

    def next_stop(self, run: Run) -> Stop | None:
        """The first instance that is not settled; None when every one is."""
        return self._first(run, self.workflow.steps, Stop(self.workflow.steps[0], (), ScopePath(), ()))

    def done(self, run: Run, step: WorkflowStep, prefix: Scope = ()) -> bool:
        """Whether a step is settled, with its acceptance and all that is nested in it, everywhere below ``prefix``."""
        return all(planner.settled(self.flow, run, name, prefix) for name in self._names[step.step_id])

    def has_gate(self, step: WorkflowStep) -> bool:
        """Whether the document of a step must be accepted."""
        return gate_name(step.step_id) in self.flow.by_name

    def at_gate(self, run: Run, stop: Stop) -> bool:
        """Whether the document is there, and only its acceptance is not."""
        return run.at(*stop.instance).settled and self.has_gate(stop.step)

    def has_failed(self, run: Run, stop: Stop) -> bool:
        """Whether the document cannot be made, or was not accepted, for good."""
        return any(run.at(*each).status is PhaseStatus.FAILED for each in (stop.instance, stop.gate))

    def opened_by(self, step: WorkflowStep) -> str:
        """The scope whose instances an iteration enters."""
        known = self.workflow.entity_types.get(step.iterate_over.entity_type) if step.iterate_over else None
        return known.creates_scope if known is not None else step.scope

    def path_of(self, frames: tuple[Frame, ...]) -> ScopePath:
        """The place that frames lead to."""
        steps = [(self.workflow.get_step(frame.step_id), frame.entity_id) for frame in frames]
        return ScopePath(tuple((self.opened_by(step), each) for step, each in steps if step is not None))

    def _first(self, run: Run, steps: list[WorkflowStep], at: Stop) -> Stop | None:
        """The first instance among steps that is not settled; ``at`` says in which items they stand."""
        for step in steps:
            names = [step.step_id] + ([gate_name(step.step_id)] if self.has_gate(step) else [])
            if not all(run.at(name, at.scope).settled for name in names):
                return Stop(step, at.scope, at.path, at.frames)
            for index, key in enumerate(run.at(step.step_id, at.scope).items or ()):
                scope = (*at.scope, key)
                if all(self.done(run, each, scope) for each in step.steps):
                    continue
                path = at.path.then(self.opened_by(step), key)
                return self._first(
                    run, step.steps, Stop(step, scope, path, (*at.frames, Frame(step.step_id, index, key)))
                )
        return None

    def _phases(self, step: WorkflowStep) -> Iterator[str]:
        yield step.step_id
        if self.has_gate(step):
            yield gate_name(step.step_id)
        for each in step.steps:
            yield from self._phases(each)


def _inner_first(steps: list[WorkflowStep]) -> Iterator[WorkflowStep]:
    for step in steps:
        yield from _inner_first(step.steps)
        yield step


def _not_here(*_: Any) -> NoReturn:
    raise AssertionError("the flow is planned with, never executed")
