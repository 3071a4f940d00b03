"""The documents of a run as a step sees them: the outputs of the phases above it, and what the run was started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate import Context
from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.states.scope_paths import ScopePath
from phasegate.core.run import Scope

#: Where a run's input has the documents that were there before it began, by type.
GIVEN = "documents"


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
        found: list[str | None] = []
        for reference in step.inputs:
            lister = self.workflow.get_step(self.lister.get(reference.scope, ""))
            over = lister.iterate_over if lister is not None and reference.doc_type is None else None
            found.append(self.producer.get(over.doc_type if over is not None else reference.doc_type or ""))
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def standing(self, step: WorkflowStep) -> tuple[str, ...]:
        """The scopes whose instances a step stands in, the outermost first."""
        chain = self.chain(step.scope)
        return chain[:-1] if step.is_iteration else chain

    def path(self, step: WorkflowStep, scope: Scope) -> str:
        """Where an instance of a step stands, as in ``track=t1/talk=k2``; empty at the root."""
        return str(ScopePath(tuple(zip(self.standing(step), scope, strict=True))))


class RunDocuments:
    """A store of documents and items for the one instance of ``step`` that ``context`` is about."""

    def __init__(self, layout: Layout, context: Context, step: WorkflowStep) -> None:
        self._layout, self._context = layout, context
        #: The instance of each scope that the step stands in, by the scope's name.
        self.ids: dict[str, str] = dict(zip(layout.standing(step), context.scope, strict=True))

    @property
    def path(self) -> str:
        """Where the step stands, as in ``track=t1/talk=k2``; empty at the root."""
        return str(ScopePath(tuple(self.ids.items())))

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> Any:
        """The document of this type that the step may read: an ancestor's or its own instance's; None when there is none."""
        phase = self._layout.producer.get(doc_type)
        if phase is not None and phase in self._context.inputs:
            return self._context.inputs[phase]
        given: Mapping[str, Any] = (self._context.input or {}).get(GIVEN, {})
        return given.get(doc_type)

    def get_entity(self, entity_type: str, scope: str, scope_id: str | None = None) -> Any:
        """The item that opened the instance of this scope; None when the step stands in none."""
        key, phase = self.ids.get(scope), self._layout.lister.get(scope)
        if key is None or phase is None:
            return None
        if scope == next(reversed(self.ids)):
            return (self._context.item or {}).get("entity")
        items = self._context.inputs.get(phase) or []
        return next((item["entity"] for item in items if item["id"] == key), None)
