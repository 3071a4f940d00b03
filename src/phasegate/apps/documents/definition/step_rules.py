"""The rules about steps: what each produces, repeats and reads, and in which scope."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phasegate.apps.documents.definition.models import InputReference
from phasegate.apps.documents.definition.references import violation, violation_message
from phasegate.apps.documents.definition.rules import PlacedStep, Subject
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode

_TASK_PROMPT = re.compile(r"[\w\s]+ v\d+\.\d+")


def step_ids(subject: Subject) -> Iterator[ValidationError]:
    """No two steps, however nested, have the same id."""
    first: dict[str, str] = {}
    for each in subject.steps:
        before = first.setdefault(each.step.step_id, each.path)
        if before != each.path:
            message = f"step id {each.step.step_id!a} is used by {before} already"
            yield ValidationError(ValidationErrorCode.DUPLICATE_STEP_ID, message, each.at("step_id"))


def step_scopes(subject: Subject) -> Iterator[ValidationError]:
    """Every step is of a scope that exists."""
    for each in subject.steps:
        yield from subject.unknown_scope(each.step.scope, each.at("scope"))


def products(subject: Subject) -> Iterator[ValidationError]:
    """What a step produces exists, and is of the step's scope."""
    for each in subject.steps:
        if each.step.produces is None:
            continue
        code = ValidationErrorCode.UNKNOWN_DOCUMENT_TYPE
        yield from subject.unknown_document_type(code, each.step.produces, each.at("produces"))
        product = subject.document_type(each.step.produces)
        if product is not None and product.scope != each.step.scope:
            message = (
                f"the step is of scope {each.step.scope!a}, but {each.step.produces!a} is a document of "
                f"scope {product.scope!a}"
            )
            yield ValidationError(ValidationErrorCode.SCOPE_MISMATCH, message, each.at("scope"))


def producers(subject: Subject) -> Iterator[ValidationError]:
    """No two steps produce the same document in the same scope, and no two go through the same scope."""
    first: dict[tuple[str, str], str] = {}
    opened: dict[str, str] = {}
    for each in subject.steps:
        if each.step.is_iteration and opened.setdefault(each.step.scope, each.path) != each.path:
            message = f"{opened[each.step.scope]} goes through scope {each.step.scope!a} already: put the steps there"
            yield ValidationError(ValidationErrorCode.ITERATION_SCOPE_MISMATCH, message, each.at("scope"))
        if each.step.produces is None:
            continue
        before = first.setdefault((each.step.produces, each.step.scope), each.path)
        if before != each.path:
            message = f"{each.step.produces!a} is produced by {before} already"
            yield ValidationError(ValidationErrorCode.DUPLICATE_PRODUCER, message, each.at("produces"))


def sources(subject: Subject) -> Iterator[ValidationError]:
    """An iteration goes through a collection that a document has, of items that the document owns."""
    for each in subject.steps:
        over = each.step.iterate_over
        if over is None:
            continue
        code, path = ValidationErrorCode.MISSING_ITERATION_SOURCE, each.at("iterate_over", "doc_type")
        yield from subject.unknown_document_type(code, over.doc_type, path)
        source = subject.document_type(over.doc_type)
        if source is not None and source.collection_field != over.collection_field:
            has = "none" if source.collection_field is None else ascii(source.collection_field)
            message = f"the collection field of {over.doc_type!a} is {has}, not {over.collection_field!a}"
            yield ValidationError(code, message, each.at("iterate_over", "collection_field"))
        path = each.at("iterate_over", "entity_type")
        if subject.entity_type(over.entity_type) is None:
            code = ValidationErrorCode.UNKNOWN_ENTITY_TYPE
            yield from subject.unknown_entity_type(code, over.entity_type, path)
        elif source is not None and over.entity_type not in source.may_own:
            yield ValidationError(code, f"{over.doc_type!a} does not own {over.entity_type!a}", path)


def iteration_scopes(subject: Subject) -> Iterator[ValidationError]:
    """An iteration is of the scope that its items create; what is nested in it is of that scope, or iterates below it."""
    for each in subject.steps:
        message = _wrong_scope(subject, each)
        if message is not None:
            yield ValidationError(ValidationErrorCode.ITERATION_SCOPE_MISMATCH, message, each.at("scope"))


def _wrong_scope(subject: Subject, placed: PlacedStep) -> str | None:
    step, scope = placed.step, placed.step.scope
    if not subject.hierarchy.is_valid_scope(scope):
        return None
    opened = subject.opened_by(step)
    if step.iterate_over is not None and scope != opened:
        return f"the iteration is of scope {scope!a}, but {step.iterate_over.entity_type!a} creates scope {opened!a}"
    outer = subject.opened_by(placed.around[-1]) if placed.around else None
    if outer is None or not subject.hierarchy.is_valid_scope(outer):
        return None
    if step.is_iteration and not subject.hierarchy.is_descendant(scope, of=outer):
        return f"an iteration within scope {outer!a} must be of a scope below it, not of {scope!a}"
    if not step.is_iteration and scope != outer:
        return f"a step within an iteration of scope {outer!a} must be of that scope, not of {scope!a}"
    return None


def reachable_scopes(subject: Subject) -> Iterator[ValidationError]:
    """A step below the root stands within an iteration; the source of an iteration is of that scope or above."""
    for each in subject.steps:
        step = each.step
        if step.iterate_over is not None:
            yield from _unreachable_source(subject, each, step.iterate_over.doc_type)
        elif not each.around and subject.hierarchy.get_depth(step.scope) > 0:
            message = f"no iteration around the step enters scope {step.scope!a}"
            yield ValidationError(ValidationErrorCode.UNREACHABLE_SCOPE, message, each.at("scope"))


def _unreachable_source(subject: Subject, placed: PlacedStep, doc_type: str) -> Iterator[ValidationError]:
    source, hierarchy = subject.document_type(doc_type), subject.hierarchy
    if source is None or not hierarchy.is_valid_scope(source.scope):
        return
    outer = subject.opened_by(placed.around[-1]) if placed.around else None
    if outer is None:
        reachable, where = hierarchy.is_root(source.scope), "at the top"
    else:
        reachable = source.scope == outer or hierarchy.is_ancestor(source.scope, of=outer)
        where = f"within scope {outer!a}"
    if not reachable:
        message = f"{doc_type!a} of scope {source.scope!a} cannot be reached {where}"
        yield ValidationError(ValidationErrorCode.UNREACHABLE_SCOPE, message, placed.at("iterate_over", "doc_type"))


def inputs(subject: Subject) -> Iterator[ValidationError]:
    """What a step reads exists, and the step may read it."""
    for each in subject.steps:
        for index, reference in enumerate(each.step.inputs):
            yield from _unknown_input(subject, each, index, reference)
            scopes = (each.step.scope, reference.scope)
            if not all(map(subject.hierarchy.is_valid_scope, scopes)):
                continue
            code = violation(subject.hierarchy, each.step.scope, reference)
            if code is not None:
                message = violation_message(code, each.step.scope, reference)
                yield ValidationError(code, message, each.at("inputs", index, "scope"))


def _unknown_input(
    subject: Subject, placed: PlacedStep, index: int, reference: InputReference
) -> Iterator[ValidationError]:
    code = ValidationErrorCode.INVALID_REFERENCE
    if reference.doc_type is not None:
        yield from subject.unknown_document_type(code, reference.doc_type, placed.at("inputs", index, "doc_type"))
    elif reference.entity_type is not None:
        yield from subject.unknown_entity_type(code, reference.entity_type, placed.at("inputs", index, "entity_type"))
    yield from subject.unknown_scope(reference.scope, placed.at("inputs", index, "scope"))


def repeated_inputs(subject: Subject) -> Iterator[ValidationError]:
    """No two inputs of a step have the same name and scope: they could not be told apart."""
    for each in subject.steps:
        first: dict[tuple[str, str], int] = {}
        for index, reference in enumerate(each.step.inputs):
            before = first.setdefault((reference.name, reference.scope), index)
            if before != index:
                message = f"{reference.name!a} of scope {reference.scope!a} is an input already, inputs[{before}]"
                yield ValidationError(ValidationErrorCode.DUPLICATE_INPUT, message, each.at("inputs", index))


def prompt_names(subject: Subject) -> Iterator[ValidationError]:
    """A task prompt has a name that ends in its version, and is among the prompts that exist, if those are known."""
    for each in subject.steps:
        name, path = each.step.task_prompt, each.at("task_prompt")
        if name is None:
            continue
        if not _TASK_PROMPT.fullmatch(name):
            message = f"task prompt {name!a} must be words and a version, such as 'Talk List v1.0'"
            yield ValidationError(ValidationErrorCode.INVALID_PROMPT_FORMAT, message, path)
        elif subject.task_prompts and name not in subject.task_prompts:
            message = f"task prompt {name!a} is not in the manifest"
            yield ValidationError(ValidationErrorCode.PROMPT_NOT_IN_MANIFEST, message, path)


#: Every rule about steps, in the order in which findings are listed.
STEP_RULES = (
    step_ids, step_scopes, products, producers, sources, iteration_scopes, reachable_scopes, inputs, repeated_inputs,
    prompt_names,
)  # fmt: skip
