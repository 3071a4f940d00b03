"""The documents of a run as a step sees them: the outputs of the phases above it, and what the run was started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate import Context
from phasegate.apps.documents.definition.models import WorkflowStep
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.states.scope_paths import ScopePath

#: Where a run's input has the documents that were there before it began, by type.
GIVEN = "documents"


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
