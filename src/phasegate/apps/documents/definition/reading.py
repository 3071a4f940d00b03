"""From the JSON of a definition to values. Whatever has the wrong type is refused with its place; nothing else is judged."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

from phasegate.apps.documents.definition.models import (
    DocumentTypeConfig,
    EntityTypeConfig,
    InputReference,
    IterationConfig,
    ScopeConfig,
    Workflow,
    WorkflowStep,
)
from phasegate.apps.documents.definition.places import extend
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode
from phasegate.apps.documents.errors import WorkflowLoadError

T = TypeVar("T")

_STEP_FIELDS = frozenset({"step_id", "scope", "role", "task_prompt", "produces", "inputs", "iterate_over", "steps"})
_DOCUMENT_TYPE_FIELDS = frozenset(
    {"name", "scope", "may_own", "collection_field", "acceptance_required", "accepted_by"},
)
_ENTITY_TYPE_FIELDS = frozenset({"name", "parent_doc_type", "creates_scope"})


def read_workflow(definition: object) -> Workflow:
    """The definition as values, which share nothing with it.

    Raises ``WorkflowLoadError`` at the first thing that is missing or of the wrong type.
    """
    top = _Fields(definition, "")
    return Workflow(
        schema_version=top.text("schema_version"),
        workflow_id=top.text("workflow_id"),
        revision=top.text("revision"),
        effective_date=top.text("effective_date"),
        name=top.text("name"),
        description=top.text("description", ""),
        scopes={name: ScopeConfig(parent=each.text_or_none("parent")) for name, each in top.named("scopes")},
        document_types={name: _document_type(each) for name, each in top.named("document_types")},
        entity_types={name: _entity_type(each) for name, each in top.named("entity_types")},
        steps=[_step(each) for each in top.objects("steps")],
    )


class _Fields:
    """One object of a definition, and where it stands."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise _wrong(path, "must be an object")
        self._value, self._path = value, path

    def has(self, key: str) -> bool:
        return key in self._value

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self._value.get(key, default)
        if isinstance(value, kind):
            return value
        raise _wrong(extend(self._path, [key]), f"must be a value of type {kind.__name__}")

    def text(self, key: str, default: str | None = None) -> str:
        return self.get(key, str, default)

    def text_or_none(self, key: str) -> str | None:
        return None if self._value.get(key) is None else self.text(key)

    def texts(self, key: str) -> list[str]:
        values = self.get(key, list, [])
        for index, each in enumerate(values):
            if not isinstance(each, str):
                raise _wrong(extend(self._path, [key, index]), "must be text")
        return list(values)

    def inner(self, key: str) -> _Fields:
        return _Fields(self._value.get(key), extend(self._path, [key]))

    def named(self, key: str) -> list[tuple[str, _Fields]]:
        values, path = self.get(key, dict), extend(self._path, [key])
        return [(name, _Fields(each, extend(path, [name]))) for name, each in values.items()]

    def objects(self, key: str) -> list[_Fields]:
        values = self.get(key, list, [])
        return [_Fields(each, extend(self._path, [key, index])) for index, each in enumerate(values)]

    def beside(self, known: frozenset[str]) -> dict[str, Any]:
        return {key: deepcopy(value) for key, value in self._value.items() if key not in known}


def _wrong(path: str, message: str) -> WorkflowLoadError:
    found = ValidationError(ValidationErrorCode.SCHEMA_INVALID, message, path)
    return WorkflowLoadError(f"the workflow definition cannot be read: {found}", [found])


def _document_type(fields: _Fields) -> DocumentTypeConfig:
    return DocumentTypeConfig(
        name=fields.text("name"),
        scope=fields.text("scope"),
        may_own=fields.texts("may_own"),
        collection_field=fields.text_or_none("collection_field"),
        acceptance_required=fields.get("acceptance_required", bool, default=False),
        accepted_by=fields.texts("accepted_by"),
        extra=fields.beside(_DOCUMENT_TYPE_FIELDS),
    )


def _entity_type(fields: _Fields) -> EntityTypeConfig:
    return EntityTypeConfig(
        name=fields.text("name"),
        parent_doc_type=fields.text("parent_doc_type"),
        creates_scope=fields.text("creates_scope"),
        extra=fields.beside(_ENTITY_TYPE_FIELDS),
    )


def _step(fields: _Fields) -> WorkflowStep:
    return WorkflowStep(
        step_id=fields.text("step_id"),
        scope=fields.text("scope"),
        role=fields.text_or_none("role"),
        task_prompt=fields.text_or_none("task_prompt"),
        produces=fields.text_or_none("produces"),
        inputs=[_input(each) for each in fields.objects("inputs")],
        iterate_over=_iteration(fields.inner("iterate_over")) if fields.has("iterate_over") else None,
        steps=[_step(each) for each in fields.objects("steps")],
        extra=fields.beside(_STEP_FIELDS),
    )


def _input(fields: _Fields) -> InputReference:
    return InputReference(
        scope=fields.text("scope"),
        doc_type=fields.text_or_none("doc_type"),
        entity_type=fields.text_or_none("entity_type"),
        required=fields.get("required", bool, default=True),
        context=fields.get("context", bool, default=False),
    )


def _iteration(fields: _Fields) -> IterationConfig:
    return IterationConfig(
        doc_type=fields.text("doc_type"),
        collection_field=fields.text("collection_field"),
        entity_type=fields.text("entity_type"),
    )
