"""From a workflow definition to a flow: what a step needs, what it repeats over, where a person decides.

A production step is a phase; an answer that is not fit sends the phase back to itself, with what was wrong with it. A document
that must be accepted has a gate behind it, which shows exactly that document. An iteration is a phase that gives the items of
the collection, and the steps in it repeat once for each. Steps that follow one another wait for one another, as they are
written; the items of an iteration do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phasegate.apps.documents.definition.models import InputReference, Workflow, WorkflowStep
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.states.scope_paths import ScopePath
from phasegate.core.flow import Flow, Gate, Phase, Retry
from phasegate.core.run import Scope
from phasegate.llm import LLMError

#: How often an answer that is not fit is asked for again, the first time included, when the step does not say.
ATTEMPTS = 3
#: How often a rejected document is revised.
REVISIONS = 3
#: Items an iteration goes through when the step does not say ``max_items``: more are rather a mistake of the model.
MOST_ITEMS = 200
#: Of rounds the engine counts every one, also those in which somebody had a step done again; answers and revisions are counted by
#: whoever executes the step.
UNBOUNDED = 1_000_000
#: The outcome of a step whose answer is not fit.
UNFIT = "unfit"
#: Waits, in seconds, between attempts in which the model could not be reached; the client has tried for a while by then.
UNREACHED = Retry(attempts=5, base=15, cap=300, retry_on=(LLMError,))

_ACCEPTANCE = ".acceptance"  # no step can be called so: their ids have no dots

#: Makes the function of a step's phase.
Maker = Callable[[WorkflowStep], Callable[..., Any]]


def gate_name(step_id: str) -> str:
    """The phase in which the document of a step is accepted."""
    return f"{step_id}{_ACCEPTANCE}"


def is_gate(phase: str) -> bool:
    """Whether a phase is one in which a document is accepted."""
    return phase.endswith(_ACCEPTANCE)


def flow_of(workflow: Workflow, version: int, make: Maker, revisions: int = REVISIONS) -> Flow:
    """The flow of a definition. ``make`` gives the function of a step: what produces its document, or what lists its items.

    The definition must be one that the validator has passed. Raises ``FlowError`` when two steps have the same id.
    """
    built = _Building(workflow, make, revisions)
    built.add(workflow.steps, None, ())
    return Flow(workflow.workflow_id, version, tuple(built.phases))


def attempts_of(step: WorkflowStep) -> int:
    """How many answers a step may ask for until one is fit."""
    return int(step.extra.get("max_attempts", ATTEMPTS))


def instance_key(workflow: Workflow, flow: Flow, phase: str, scope: Scope) -> str:
    """What one instance of a step is called: ``brief`` at the root, ``write[track=t1/talk=k2]`` below."""
    levels = [step for name in flow.levels[phase] if (step := workflow.get_step(name)) is not None]
    return named(phase, ScopePath(tuple((step.scope, key) for step, key in zip(levels, scope, strict=True))))


def named(step_id: str, path: ScopePath) -> str:
    """What the instance of a step at this place is called; ids that look like part of a name are encoded in it."""
    return f"{step_id}[{path}]" if path.parts else step_id


class _Building:
    def __init__(self, workflow: Workflow, make: Maker, revisions: int) -> None:
        self.workflow, self.make, self.revisions = workflow, make, revisions
        self.layout = Layout(workflow)
        self.phases: list[Phase] = []

    def add(self, steps: Sequence[WorkflowStep], each: str | None, before: tuple[str, ...]) -> tuple[str, ...]:
        """Append the phases of steps that follow one another; the names that what follows them must wait for."""
        for step in steps:
            before = self._iteration(step, each, before) if step.is_iteration else self._production(step, each, before)
        return before

    def _iteration(self, step: WorkflowStep, each: str | None, before: tuple[str, ...]) -> tuple[str, ...]:
        assert step.iterate_over is not None
        source = self.layout.producer.get(step.iterate_over.doc_type)
        self.phases.append(
            Phase(step.step_id, self.make(step), needs=_once(before, source), each=each, title=step.step_id)
        )
        return self.add(step.steps, step.step_id, (step.step_id,))

    def _production(self, step: WorkflowStep, each: str | None, before: tuple[str, ...]) -> tuple[str, ...]:
        assert step.produces is not None
        document = self.workflow.document_types[step.produces]
        sources = [source for reference in step.inputs for source in self._sources(reference)]
        self.phases.append(
            Phase(
                step.step_id, self.make(step), needs=_once(before, *sources), each=each, redo={UNFIT: step.step_id},
                rounds=UNBOUNDED, retry=UNREACHED, title=document.name,
            )
        )  # fmt: skip
        if not document.acceptance_required:
            return (step.step_id,)
        revise = document.on_reject == "revise"
        gate = Gate(
            outcomes=("accepted", "rejected"), roles=tuple(document.accepted_by), shows=(step.step_id,),
            ends=("rejected",),
        )  # fmt: skip
        self.phases.append(
            Phase(
                gate_name(step.step_id), gate=gate, needs=(step.step_id,), each=each,
                redo={"rejected": step.step_id} if revise else {}, rounds=self.revisions,
                title=f"Acceptance of {document.name}",
            )
        )  # fmt: skip
        return (gate_name(step.step_id),)

    def _sources(self, reference: InputReference) -> tuple[str | None, ...]:
        """The phases whose outputs have what is referred to: of an item what lists it, and the document it stands in."""
        lister = self.layout.lister.get(reference.scope) if reference.doc_type is None else None
        return (lister, self.layout.source(reference))


def _once(names: Sequence[str], *more: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*names, *(name for name in more if name is not None)]))
