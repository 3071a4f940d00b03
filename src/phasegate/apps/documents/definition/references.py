"""Which scopes a step may read from: one rule, asked by the validator beforehand and by the resolver at run time."""

from __future__ import annotations

from enum import Enum

from phasegate.apps.documents.definition.models import InputReference
from phasegate.apps.documents.definition.scopes import ScopeHierarchy
from phasegate.apps.documents.definition.verdicts import ValidationErrorCode


class ScopeRelation(Enum):
    """Where the scope referred to stands, seen from the step's scope."""

    SAME = "same"
    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    OTHER_BRANCH = "other branch"


def relation(hierarchy: ScopeHierarchy, step_scope: str, scope: str) -> ScopeRelation:
    """Where ``scope`` stands, seen from ``step_scope``; an unknown scope stands in another branch."""
    if scope == step_scope:
        return ScopeRelation.SAME
    if hierarchy.is_ancestor(scope, of=step_scope):
        return ScopeRelation.ANCESTOR
    if hierarchy.is_descendant(scope, of=step_scope):
        return ScopeRelation.DESCENDANT
    return ScopeRelation.OTHER_BRANCH


def violation(hierarchy: ScopeHierarchy, step_scope: str, reference: InputReference) -> ValidationErrorCode | None:
    """Why a step of ``step_scope`` may not read this, or None when it may.

    Allowed are ancestors, and the step's own scope when that is a root or the reference says ``context``. Whether the type
    exists, and whether anything has produced it, is not asked here.
    """
    found = relation(hierarchy, step_scope, reference.scope)
    if found is ScopeRelation.DESCENDANT:
        return ValidationErrorCode.FORBIDDEN_DESCENDANT_REFERENCE
    if found is ScopeRelation.OTHER_BRANCH:
        return ValidationErrorCode.FORBIDDEN_CROSS_BRANCH_REFERENCE
    if found is ScopeRelation.SAME and not (reference.context or hierarchy.is_root(step_scope)):
        return ValidationErrorCode.FORBIDDEN_SIBLING_REFERENCE
    return None


def violation_message(code: ValidationErrorCode, step_scope: str, reference: InputReference) -> str:
    """A sentence for what ``violation`` answered."""
    what = f"a step of scope {step_scope!a} may not read {reference.name!a} of scope {reference.scope!a}"
    return f"{_WHY[code]}: {what}"


_WHY = {
    ValidationErrorCode.FORBIDDEN_SIBLING_REFERENCE: (
        "forbidden sibling reference (say context: true for what belongs to the step's own instance)"
    ),
    ValidationErrorCode.FORBIDDEN_DESCENDANT_REFERENCE: "forbidden descendant reference",
    ValidationErrorCode.FORBIDDEN_CROSS_BRANCH_REFERENCE: "forbidden cross-branch reference",
}


def input_keys(references: list[InputReference]) -> list[str]:
    """The key of each input, in order: the name of its type, and ``name@scope`` where an earlier input has that name.

    No two keys are the same: what the definition lists twice outright is numbered, ``name@scope#2``.
    """
    keys: list[str] = []
    for reference in references:
        qualified = f"{reference.name}@{reference.scope}"
        key, number = reference.name, 1
        while key in keys:
            key = qualified if number == 1 else f"{qualified}#{number}"
            number += 1
        keys.append(key)
    return keys
