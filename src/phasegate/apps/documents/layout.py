"""Where a definition's documents and items come from, and where its steps stand."""

from __future__ import annotations

from phasegate.apps.documents.definition.models import InputReference, Workflow, WorkflowStep
from phasegate.apps.documents.states.scope_paths import ScopePath
from phasegate.core.run import Scope


class Layout:
    """Where a definition's documents and items come from: the steps that make them, and the scopes those stand in."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.producer = {step.produces: step.step_id for step in workflow.get_production_steps() if step.produces}
        self.lister = {step.scope: step.step_id for step in workflow.walk() if step.is_iteration}

    def chain(self, scope: str) -> tuple[str, ...]:
        """The scopes with a number of instances from the outermost down to ``scope``; a root has none."""
        found: list[str] = []
        at: str | None = scope
        while at is not None and at in self.lister:
            found.append(at)
            known = self.workflow.scopes.get(at)
            at = known.parent if known else None
        return tuple(reversed(found))

    def sources(self, step: WorkflowStep) -> tuple[str, ...]:
        """The steps whose documents a step is made from: those it reads, and those in which the items it reads stand."""
        found = [self.source(reference) for reference in step.inputs]
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def source(self, reference: InputReference) -> str | None:
        """The step that makes the document referred to, or the one in which the item referred to stands; None for what is there
        from the start."""
        if reference.doc_type is not None:
            return self.producer.get(reference.doc_type)
        lister = self.workflow.get_step(self.lister.get(reference.scope, ""))
        over = lister.iterate_over if lister is not None else None
        return self.producer.get(over.doc_type) if over is not None else None

    def standing(self, step: WorkflowStep) -> tuple[str, ...]:
        """The scopes whose instances a step stands in, the outermost first."""
        chain = self.chain(step.scope)
        return chain[:-1] if step.is_iteration else chain

    def path(self, step: WorkflowStep, scope: Scope) -> str:
        """Where an instance of a step stands, as in ``track=t1/talk=k2``; empty at the root."""
        return str(ScopePath(tuple(zip(self.standing(step), scope, strict=True))))
