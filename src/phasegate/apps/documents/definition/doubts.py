"""What may be meant, but is probably a mistake: documents nobody has made yet, and types nobody uses.

These are warnings. A caller may put documents in place before the first step, so that nothing here makes a definition
invalid.
"""

from __future__ import annotations

from collections.abc import Iterator

from phasegate.apps.documents.definition.models import InputReference
from phasegate.apps.documents.definition.places import place
from phasegate.apps.documents.definition.references import violation
from phasegate.apps.documents.definition.rules import PlacedStep, Subject
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode


def production_order(subject: Subject) -> Iterator[ValidationError]:
    """What a step needs has been produced by a step before it, or is an item of an iteration around it."""
    produced: set[str] = set()
    for each in subject.steps:
        over = each.step.iterate_over
        if over is not None and over.doc_type in subject.workflow.document_types and over.doc_type not in produced:
            path, why = each.at("iterate_over", "doc_type"), f"no step before this one produces {over.doc_type!a}"
            yield ValidationError(ValidationErrorCode.INPUT_NOT_PRODUCED, why, path)
        for index, reference in enumerate(each.step.inputs):
            message = _why_missing(subject, each, reference, produced)
            if message is not None:
                path = each.at("inputs", index, "doc_type" if reference.doc_type is not None else "entity_type")
                yield ValidationError(ValidationErrorCode.INPUT_NOT_PRODUCED, message, path)
        if each.step.produces is not None:
            produced.add(each.step.produces)


def _why_missing(subject: Subject, placed: PlacedStep, reference: InputReference, produced: set[str]) -> str | None:
    if not reference.required or _home(subject, reference) != reference.scope:
        return None
    if violation(subject.hierarchy, placed.step.scope, reference) is not None:
        return None
    entered = [subject.opened_by(iteration) for iteration in placed.around]
    if not subject.hierarchy.is_root(reference.scope) and reference.scope not in entered:
        return f"no iteration around the step enters scope {reference.scope!a} of {reference.name!a}"
    if reference.doc_type is not None:
        return None if reference.doc_type in produced else f"no step before this one produces {reference.doc_type!a}"
    items = [iteration.iterate_over.entity_type for iteration in placed.around if iteration.iterate_over is not None]
    return None if reference.entity_type in items else f"no iteration around the step is over {reference.name!a}"


def input_scopes(subject: Subject) -> Iterator[ValidationError]:
    """An input is looked for in the scope that its type lives in."""
    for each in subject.steps:
        for index, reference in enumerate(each.step.inputs):
            home = _home(subject, reference)
            if home is not None and home != reference.scope:
                message = f"{reference.name!a} lives in scope {home!a} and will not be found in {reference.scope!a}"
                yield ValidationError(ValidationErrorCode.SCOPE_MISMATCH, message, each.at("inputs", index, "scope"))


def _home(subject: Subject, reference: InputReference) -> str | None:
    """The scope of what is referred to; None when there is no such type."""
    document = subject.document_type(reference.doc_type)
    entity = subject.entity_type(reference.entity_type)
    return document.scope if document is not None else entity.creates_scope if entity is not None else None


def unused_types(subject: Subject) -> Iterator[ValidationError]:
    """Every document type and every entity type is named by some step."""
    documents: set[str | None] = set()
    entities: set[str | None] = set()
    for each in subject.steps:
        documents |= {each.step.produces, *(reference.doc_type for reference in each.step.inputs)}
        entities |= {reference.entity_type for reference in each.step.inputs}
        if each.step.iterate_over is not None:
            documents.add(each.step.iterate_over.doc_type)
            entities.add(each.step.iterate_over.entity_type)
    for kind, names, used in (
        ("document", subject.workflow.document_types, documents),
        ("entity", subject.workflow.entity_types, entities),
    ):
        for name in names:
            if name not in used:
                path = place(f"{kind}_types", name)
                yield ValidationError(
                    ValidationErrorCode.UNREFERENCED_TYPE, f"no step names {kind} type {name!a}", path
                )


#: Every doubt, in the order in which warnings are listed.
DOUBTS = (production_order, input_scopes, unused_types)
