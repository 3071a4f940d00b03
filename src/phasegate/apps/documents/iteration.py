"""What an iteration step goes through: the items of a collection, each under an id that stays what it is."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import WorkflowError

#: An id becomes part of keys, paths and pages; nobody needs a longer one.
LONGEST_ID = 200

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Documents(Protocol):
    """Where the document with the collection is; a ``WorkflowContext`` is one."""

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> dict[str, Any] | None:
        """The document, or None."""


@dataclass(frozen=True, slots=True)
class IterationInstance:
    """One item: what it is, the scope it opens, and the steps to take in it."""

    entity_type: str
    entity_id: str
    entity_data: dict[str, Any]
    scope: str
    scope_id: str
    steps: list[WorkflowStep]


class IterationHandler:
    """Expands the iteration steps of a workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    def expand(self, step: WorkflowStep, context: Documents) -> list[IterationInstance]:
        """One instance per item, in the order of the collection; the same ones each time as long as the items are the same.

        Empty when the step does not iterate, and when there is no such document or collection. An item that is not an object
        is taken as ``{"value": item}``. The document itself is not changed. Raises ``WorkflowError`` for an id that cannot
        be one.
        """
        over = step.iterate_over
        if over is None:
            return []
        entity_type = self.workflow.entity_types.get(over.entity_type)
        scope = entity_type.creates_scope if entity_type is not None else step.scope
        instances = []
        for index, item in enumerate(self.get_collection(over.doc_type, over.collection_field, context)):
            key = item_key(item, index, over.entity_type)
            data = as_entity(item)
            instances.append(IterationInstance(over.entity_type, key, data, scope, key, step.steps))
        return instances

    def get_collection(self, doc_type: str, collection_field: str, context: Documents) -> list[Any]:
        """A copy of the list in a document's field; empty when there is no such document, field, or it is not a list.

        The document is looked for in its own scope, in the instance that the context is in.
        """
        document_type = self.workflow.document_types.get(doc_type)
        if document_type is None:
            return []
        document = context.get_document(doc_type, document_type.scope)
        items = document.get(collection_field) if isinstance(document, Mapping) else None
        return copy.deepcopy(items) if isinstance(items, list) else []

    def count_iterations(self, step: WorkflowStep, context: Documents) -> int:
        """How many instances ``expand`` gives."""
        over = step.iterate_over
        return len(self.get_collection(over.doc_type, over.collection_field, context)) if over is not None else 0


def as_entity(item: Any) -> dict[str, Any]:
    """An item as an object: itself, or ``{"value": item}``."""
    return item if isinstance(item, dict) else {"value": item}


def item_key(item: Any, index: int, entity_type: str) -> str:
    """The id under which an item is worked on: its own, or one made of its type, place and content, as ``epic_0_1f2e3d4c``.

    The same item at the same place always has the same one. Raises ``WorkflowError`` for an id that cannot be one.
    """
    return declared_id(item, entity_type) or f"{entity_type}_{index}_{digest(item)[:8]}"


def declared_id(item: Any, entity_type: str) -> str | None:
    """The id an item gives itself, in ``id``, ``entity_id`` or ``<type>_id``; None when it gives none.

    A field that is missing, null or blank is passed over. Raises ``WorkflowError`` when the id is neither a text nor a whole
    number, is longer than ``LONGEST_ID``, or has control characters.
    """
    if not isinstance(item, Mapping):
        return None
    for name in ("id", "entity_id", f"{entity_type}_id"):
        value = item.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        problem = _id_problem(value)
        if problem is not None:
            raise WorkflowError(f"{name!r} {problem}")
        return str(value)
    return None


def _id_problem(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return f"must be a text or a whole number, not {type(value).__name__}"
    if isinstance(value, int):
        return None if abs(value) < 10**LONGEST_ID else "is too large a number"
    if len(value) > LONGEST_ID:
        return f"is longer than {LONGEST_ID} characters"
    return f"has control characters: {value!a}" if _CONTROL.search(value) else None
