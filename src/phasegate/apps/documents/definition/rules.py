"""The rules about names: what every scope, type and owner that a definition names must be.

Pure functions from a well-formed definition whose scopes form trees to findings. Rules about steps stand in
``step_rules``; what may be meant but is probably a mistake stands in ``doubts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from phasegate.apps.documents.definition.models import DocumentTypeConfig, EntityTypeConfig, Workflow, WorkflowStep
from phasegate.apps.documents.definition.places import extend, place
from phasegate.apps.documents.definition.scopes import ScopeHierarchy
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode
from phasegate.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step, where it stands, and the iterations it is nested in, outermost first."""

    step: WorkflowStep
    path: str
    around: tuple[WorkflowStep, ...]

    def at(self, *parts: str | int) -> str:
        """The place of something within the step."""
        return extend(self.path, parts)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the rules look at. ``task_prompts`` are the prompts that exist; empty: nobody has said."""

    workflow: Workflow
    hierarchy: ScopeHierarchy
    steps: tuple[PlacedStep, ...]
    task_prompts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, workflow: Workflow, task_prompts: frozenset[str] = frozenset()) -> Subject:
        """Raises ``ScopeHierarchyError`` when the scopes do not form trees."""
        return cls(workflow, ScopeHierarchy.from_workflow(workflow), tuple(_placed(workflow)), task_prompts)

    def document_type(self, name: str | None) -> DocumentTypeConfig | None:
        """The document type of that name, if there is one."""
        return self.workflow.document_types.get(name) if name is not None else None

    def entity_type(self, name: str | None) -> EntityTypeConfig | None:
        """The entity type of that name, if there is one."""
        return self.workflow.entity_types.get(name) if name is not None else None

    def opened_by(self, iteration: WorkflowStep) -> str:
        """The scope that an iteration enters: that of its entities, or what it says itself when they are unknown."""
        entity = self.entity_type(iteration.iterate_over.entity_type) if iteration.iterate_over else None
        return entity.creates_scope if entity is not None else iteration.scope

    def unknown_scope(self, scope: str, path: str) -> Iterator[ValidationError]:
        """A finding when the scope does not exist."""
        if not self.hierarchy.is_valid_scope(scope):
            yield unknown(ValidationErrorCode.UNKNOWN_SCOPE, "scope", scope, self.hierarchy.get_all_scopes(), path)

    def unknown_document_type(self, code: ValidationErrorCode, name: str, path: str) -> Iterator[ValidationError]:
        """A finding, under this code, when the document type does not exist."""
        if name not in self.workflow.document_types:
            yield unknown(code, "document type", name, list(self.workflow.document_types), path)

    def unknown_entity_type(self, code: ValidationErrorCode, name: str, path: str) -> Iterator[ValidationError]:
        """A finding, under this code, when the entity type does not exist."""
        if name not in self.workflow.entity_types:
            yield unknown(code, "entity type", name, list(self.workflow.entity_types), path)


def unknown(code: ValidationErrorCode, kind: str, name: str, known: list[str], path: str) -> ValidationError:
    """The finding for a name that does not exist, with the nearest one that does."""
    hint = did_you_mean(name, known)
    return ValidationError(code, f"unknown {kind} {name!a}" + (f"; {hint}" if hint else ""), path)


def _placed(workflow: Workflow) -> Iterator[PlacedStep]:
    todo = [PlacedStep(step, place("steps", index), ()) for index, step in enumerate(workflow.steps)][::-1]
    while todo:
        placed = todo.pop()
        yield placed
        inside = (*placed.around, placed.step)
        nested = [PlacedStep(step, placed.at("steps", index), inside) for index, step in enumerate(placed.step.steps)]
        todo.extend(reversed(nested))


def document_scopes(subject: Subject) -> Iterator[ValidationError]:
    """Every document type is of a scope that exists."""
    for name, each in subject.workflow.document_types.items():
        yield from subject.unknown_scope(each.scope, place("document_types", name, "scope"))


def entity_scopes(subject: Subject) -> Iterator[ValidationError]:
    """Every entity type creates a scope that exists."""
    for name, each in subject.workflow.entity_types.items():
        yield from subject.unknown_scope(each.creates_scope, place("entity_types", name, "creates_scope"))


def owned_types(subject: Subject) -> Iterator[ValidationError]:
    """What a document type may own exists."""
    for name, each in subject.workflow.document_types.items():
        for index, entity in enumerate(each.may_own):
            path = place("document_types", name, "may_own", index)
            yield from subject.unknown_entity_type(ValidationErrorCode.UNKNOWN_ENTITY_TYPE, entity, path)


def collection_fields(subject: Subject) -> Iterator[ValidationError]:
    """A document type that owns items says in which field they are."""
    for name, each in subject.workflow.document_types.items():
        if each.may_own and each.collection_field is None:
            yield ValidationError(
                ValidationErrorCode.MISSING_COLLECTION_FIELD,
                f"document type {name!a} owns {', '.join(map(ascii, each.may_own))} and must say in which field",
                place("document_types", name, "collection_field"),
            )


def parents(subject: Subject) -> Iterator[ValidationError]:
    """The parent of an entity type exists, owns it, and stands above the scope that the entity creates."""
    for name, entity in subject.workflow.entity_types.items():
        path = place("entity_types", name, "parent_doc_type")
        parent = subject.document_type(entity.parent_doc_type)
        if parent is None:
            code = ValidationErrorCode.OWNERSHIP_MISMATCH
            yield from subject.unknown_document_type(code, entity.parent_doc_type, path)
        elif name not in parent.may_own:
            yield _mismatch(f"document type {entity.parent_doc_type!a} does not own entity type {name!a}", path)
        elif _both_known(subject, parent, entity) and not subject.hierarchy.is_ancestor(
            parent.scope, of=entity.creates_scope
        ):
            yield _mismatch(
                f"entity type {name!a} creates scope {entity.creates_scope!a}, which is not below scope "
                f"{parent.scope!a} of its owner {entity.parent_doc_type!a}",
                place("entity_types", name, "creates_scope"),
            )


def owners(subject: Subject) -> Iterator[ValidationError]:
    """Nobody but its parent owns an entity type."""
    for name, each in subject.workflow.document_types.items():
        for index, owned in enumerate(each.may_own):
            entity = subject.entity_type(owned)
            if entity is not None and entity.parent_doc_type != name:
                yield _mismatch(
                    f"entity type {owned!a} belongs to document type {entity.parent_doc_type!a} and has one owner only",
                    place("document_types", name, "may_own", index),
                )


def _both_known(subject: Subject, parent: DocumentTypeConfig, entity: EntityTypeConfig) -> bool:
    return all(map(subject.hierarchy.is_valid_scope, (parent.scope, entity.creates_scope)))


def _mismatch(message: str, path: str) -> ValidationError:
    return ValidationError(ValidationErrorCode.OWNERSHIP_MISMATCH, message, path)


#: Every rule about types, in the order in which findings are listed.
TYPE_RULES = (document_scopes, entity_scopes, owned_types, collection_fields, parents, owners)
