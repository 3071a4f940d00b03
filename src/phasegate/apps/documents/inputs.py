"""What a step reads, fetched from wherever documents are kept, under the rules of who may read what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from phasegate.apps.documents.definition.models import InputReference, Workflow, WorkflowStep
from phasegate.apps.documents.definition.references import input_keys, violation, violation_message
from phasegate.apps.documents.definition.scopes import ScopeHierarchy


class DocumentStore(Protocol):
    """Where documents and entities are kept. None means: there is none.

    ``scope_id`` is None for a root scope, and where the resolver was not told the instance; a store that knows the current
    one may use it then. A store may also have ``is_accepted(doc_type, scope, scope_id) -> bool``: documents that must be
    accepted are missing until it says so. Without it, whatever the store gives counts as accepted.
    """

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> Any | None:
        """The document of that type in that instance of the scope."""
        ...

    def get_entity(self, entity_type: str, scope: str, scope_id: str | None = None) -> Any | None:
        """The entity of that type in that instance of the scope."""
        ...


@dataclass
class ResolvedInput:
    """One input. ``error`` says why a required one was not found, or why the step may not read it."""

    ref: InputReference
    value: Any | None
    found: bool
    error: str | None = None


@dataclass
class InputResolutionResult:
    """Every input of a step by its key, and whether the step may begin."""

    inputs: dict[str, ResolvedInput] = field(default_factory=dict)
    success: bool = True
    errors: list[str] = field(default_factory=list)

    def get_value(self, key: str) -> Any | None:
        """The value under a key; None when it was not found, or is no input."""
        found = self.inputs.get(key)
        return found.value if found is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Key to value of what was found, in the order of the definition."""
        return {key: each.value for key, each in self.inputs.items() if each.found}


class InputResolver:
    """Fetches the inputs of steps."""

    def __init__(self, workflow: Workflow, store: DocumentStore) -> None:
        self._workflow, self._store = workflow, store

    def resolve(
        self,
        step: WorkflowStep,
        scope_id: str | None = None,
        parent_scope_ids: Mapping[str, str] | None = None,
    ) -> InputResolutionResult:
        """Every input of a step that runs in the instance ``scope_id``, within the instances ``parent_scope_ids``.

        A reference the rules forbid is an error even when it is optional, and the store is not asked. Of what is missing,
        required inputs are errors; optional ones are None. Raises ``ScopeHierarchyError`` when the workflow's scopes do not
        form trees, and whatever the store raises.
        """
        hierarchy, result = ScopeHierarchy.from_workflow(self._workflow), InputResolutionResult()
        ids = {**(parent_scope_ids or {}), step.scope: scope_id}
        for key, reference in zip(input_keys(step.inputs), step.inputs, strict=True):
            at = None if hierarchy.is_root(reference.scope) else ids.get(reference.scope)
            resolved = self._forbidden(hierarchy, step, reference) or self._fetch(reference, at)
            result.inputs[key] = resolved
            if resolved.error is not None:
                result.errors.append(resolved.error)
        result.success = not result.errors
        return result

    def _forbidden(
        self, hierarchy: ScopeHierarchy, step: WorkflowStep, reference: InputReference
    ) -> ResolvedInput | None:
        if not all(map(hierarchy.is_valid_scope, (step.scope, reference.scope))):
            return None  # what lives in no scope is missing, not forbidden
        code = violation(hierarchy, step.scope, reference)
        if code is None:
            return None
        return ResolvedInput(reference, None, False, violation_message(code, step.scope, reference))

    def _fetch(self, reference: InputReference, scope_id: str | None) -> ResolvedInput:
        value, why = self._document(reference, scope_id) if reference.doc_type else self._entity(reference, scope_id)
        if value is not None:
            return ResolvedInput(reference, value, True)
        if not reference.required:
            return ResolvedInput(reference, None, False)
        kind = "document" if reference.doc_type else "entity"
        where = f"scope {reference.scope}" + (f", id {scope_id}" if scope_id is not None else "")
        return ResolvedInput(reference, None, False, f"required {kind} {reference.name!r} not found in {where}{why}")

    def _document(self, reference: InputReference, scope_id: str | None) -> tuple[Any | None, str]:
        """The document, or None and what the message says beside that."""
        name, scope = reference.doc_type or "", reference.scope
        config = self._workflow.document_types.get(name)
        if config is None:
            return None, ": the workflow has no such document type"
        value = self._store.get_document(name, scope, scope_id)
        is_accepted = getattr(self._store, "is_accepted", None)
        if value is None or not config.acceptance_required or is_accepted is None:
            return value, ""
        return (value, "") if is_accepted(name, scope, scope_id) else (None, ": it is not accepted yet")

    def _entity(self, reference: InputReference, scope_id: str | None) -> tuple[Any | None, str]:
        name = reference.entity_type or ""
        if name not in self._workflow.entity_types:
            return None, ": the workflow has no such entity type"
        return self._store.get_entity(name, reference.scope, scope_id), ""
