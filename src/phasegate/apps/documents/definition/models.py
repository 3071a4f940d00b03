"""A workflow definition as values: scopes, document types, entity types, and the steps that produce documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class ScopeConfig:
    """A level of the tree that documents belong to. ``parent`` is the level above; None for a root."""

    parent: str | None


@dataclass(kw_only=True)
class DocumentTypeConfig:
    """A kind of JSON document, of one scope.

    ``may_own`` names the entity types whose items the document holds in its ``collection_field``. With
    ``acceptance_required`` nobody may use a document before a person in one of the roles ``accepted_by`` (none: anyone) has
    accepted it. ``extra`` keeps what the definition says beside that, such as ``schema`` and ``on_reject``.
    """

    name: str
    scope: str
    may_own: list[str] = field(default_factory=list)
    collection_field: str | None = None
    acceptance_required: bool = False
    accepted_by: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> dict[str, Any] | str | None:
        """The JSON schema of the document, or the name of the file that has it."""
        found: dict[str, Any] | str | None = self.extra.get("schema")
        return found

    @property
    def on_reject(self) -> str:
        """What a rejection leads to: ``fail`` or ``revise``."""
        return str(self.extra.get("on_reject", "fail"))


@dataclass(kw_only=True)
class EntityTypeConfig:
    """A kind of item in a document's collection; each item opens an instance of the scope ``creates_scope``."""

    name: str
    parent_doc_type: str
    creates_scope: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class InputReference:
    """What a step reads: a document or an entity of ``scope``. ``context`` marks what belongs to the step's own instance."""

    scope: str
    doc_type: str | None = None
    entity_type: str | None = None
    required: bool = True
    context: bool = False

    @property
    def name(self) -> str:
        """The type of what is referred to."""
        return self.doc_type or self.entity_type or ""


@dataclass(kw_only=True)
class IterationConfig:
    """What an iteration goes through: the items of a document's collection."""

    doc_type: str
    collection_field: str
    entity_type: str


@dataclass(kw_only=True)
class WorkflowStep:
    """One step: it produces a document (``role``, ``task_prompt``, ``produces``), or repeats ``steps`` per item.

    ``extra`` keeps what the definition says beside that: ``model``, ``temperature``, ``max_tokens``, ``allow_clarification``,
    ``max_attempts``, ``timeout_s``.
    """

    step_id: str
    scope: str
    role: str | None = None
    task_prompt: str | None = None
    produces: str | None = None
    inputs: list[InputReference] = field(default_factory=list)
    iterate_over: IterationConfig | None = None
    steps: list[WorkflowStep] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_iteration(self) -> bool:
        """Whether the step repeats others."""
        return self.iterate_over is not None

    @property
    def is_production(self) -> bool:
        """Whether the step produces a document."""
        return self.role is not None and self.task_prompt is not None


@dataclass(kw_only=True)
class Workflow:
    """A whole definition."""

    schema_version: str
    workflow_id: str
    revision: str
    effective_date: str
    name: str
    description: str = ""
    scopes: dict[str, ScopeConfig]
    document_types: dict[str, DocumentTypeConfig]
    entity_types: dict[str, EntityTypeConfig]
    steps: list[WorkflowStep]

    def walk(self) -> Iterator[WorkflowStep]:
        """Every step, each before those nested in it."""
        todo = list(reversed(self.steps))
        while todo:
            step = todo.pop()
            yield step
            todo.extend(reversed(step.steps))

    def get_step(self, step_id: str) -> WorkflowStep | None:
        """The step with this id, wherever it is nested; None when there is none."""
        return next((step for step in self.walk() if step.step_id == step_id), None)

    def get_production_steps(self) -> list[WorkflowStep]:
        """Every step that produces a document, in the order of the definition."""
        return [step for step in self.walk() if step.is_production]
