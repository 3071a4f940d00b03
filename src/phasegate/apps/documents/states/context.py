"""The documents and entities of one execution, each in its place in the tree of scopes.

What is stored and what is given out are copies: nobody can change a stored document except by storing another version.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import AcceptanceError, PersistenceError, WorkflowError
from phasegate.apps.documents.states.scope_paths import ScopePath, parse_path

SCHEMA_VERSION = "workflow_context.v1"


class UnknownPlaceError(WorkflowError, ValueError):
    """A document or entity of an unknown type, or of no instance of its scope."""


class AmbiguousIdError(WorkflowError, ValueError):
    """An id that exists under several parents. The whole path, as in ``epic=e1/story=s1``, says which is meant."""

    status = 409


@dataclass(frozen=True, slots=True)
class ScopeInstance:
    """An instance of a scope, and the entity that opened it."""

    scope: str
    scope_id: str
    entity: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One version of a document, and what is known about it.

    ``path`` is its place, as in ``epic=e1/story=s1``; empty at the root. ``accepted`` is None until somebody has decided.
    """

    doc_type: str
    path: str
    version: int
    content: dict[str, Any]
    sha256: str
    created_at: datetime
    produced_by: str | None = None
    qa_passed: bool | None = None
    accepted: bool | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """The version as JSON."""
        decided_at = None if self.decided_at is None else self.decided_at.isoformat()
        return asdict(self) | {"created_at": self.created_at.isoformat(), "decided_at": decided_at}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StoredDocument:
        """The version that ``to_dict`` wrote."""
        known = {each.name: copy.deepcopy(data[each.name]) for each in fields(cls) if each.name in data}
        decided_at = known.get("decided_at")
        known["decided_at"] = None if decided_at is None else datetime.fromisoformat(decided_at)
        return cls(**known | {"created_at": datetime.fromisoformat(data["created_at"])})


class WorkflowContext:
    """Documents by type and place, entities by type and place, and the scope instances that are open now.

    Where a method takes a ``scope_id``, that is the id of the instance, or its whole path when the same id exists under
    several parents; without one the instance that is open now is meant. In a root scope there is nothing to tell apart, and
    the id does not matter.
    """

    def __init__(self, workflow: Workflow, project_id: str) -> None:
        self.workflow, self.project_id = workflow, project_id
        self._stack: list[ScopeInstance] = []
        self._documents: dict[tuple[str, ScopePath], list[StoredDocument]] = {}
        self._entities: dict[tuple[str, ScopePath], dict[str, Any]] = {}

    def store_document(
        self,
        doc_type: str,
        content: dict[str, Any],
        scope_id: str | None = None,
        *,
        produced_by: str | None = None,
        qa_passed: bool | None = None,
        now: datetime | None = None,
    ) -> StoredDocument:
        """Store the next version of a document; earlier ones stay, and it is nobody's acceptance that they had.

        Raises ``UnknownPlaceError``, a ``ValueError``, for an unknown type, and for a document below the root when no
        instance is named or open. Raises ``WorkflowError`` when the content is not JSON.
        """
        known = self.workflow.document_types.get(doc_type)
        if known is None:
            raise UnknownPlaceError(f"unknown document type {doc_type!r}")
        path = self._place(known.scope, scope_id, f"document {doc_type!r}")
        versions = self._documents.get((doc_type, path), [])
        stored = StoredDocument(
            doc_type, str(path), len(versions) + 1, copy.deepcopy(content), digest(content),
            now or datetime.now(UTC), produced_by, qa_passed,
        )  # fmt: skip
        self._documents[doc_type, path] = [*versions, stored]
        return copy.deepcopy(stored)

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> dict[str, Any] | None:
        """The latest version; None when there is none, or the type does not belong to this scope.

        Raises ``AmbiguousIdError`` when several instances go by this id and none of them is open.
        """
        versions = self._versions(doc_type, scope, scope_id)
        return copy.deepcopy(versions[-1].content) if versions else None

    def has_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> bool:
        """Whether ``get_document`` has one."""
        return bool(self._versions(doc_type, scope, scope_id))

    def document_versions(self, doc_type: str, scope: str, scope_id: str | None = None) -> list[StoredDocument]:
        """Every version with what is known about it, the oldest first."""
        return copy.deepcopy(self._versions(doc_type, scope, scope_id))

    def document_info(self, doc_type: str, scope: str, scope_id: str | None = None) -> StoredDocument | None:
        """The latest version with what is known about it; None when there is none."""
        versions = self._versions(doc_type, scope, scope_id)
        return copy.deepcopy(versions[-1]) if versions else None

    def is_accepted(self, doc_type: str, scope: str, scope_id: str | None = None) -> bool:
        """Whether somebody has accepted the latest version."""
        versions = self._versions(doc_type, scope, scope_id)
        return bool(versions) and versions[-1].accepted is True

    def mark_accepted(
        self,
        doc_type: str,
        scope: str,
        scope_id: str | None = None,
        *,
        accepted: bool = True,
        decided_by: str | None = None,
        sha256: str | None = None,
        now: datetime | None = None,
    ) -> None:
        """Note what somebody decided on the latest version.

        Raises ``AcceptanceError`` when there is no document, or ``sha256`` says that another version was decided on.
        """
        versions = self._versions(doc_type, scope, scope_id)
        if not versions:
            raise AcceptanceError(f"there is no document {doc_type!r} to accept")
        if sha256 is not None and sha256 != versions[-1].sha256:
            raise AcceptanceError(f"document {doc_type!r} has changed: the decision is about another version")
        decided_at = now or datetime.now(UTC)
        versions[-1] = replace(versions[-1], accepted=accepted, decided_by=decided_by, decided_at=decided_at)

    def store_entity(self, entity_type: str, entity_id: str, content: dict[str, Any]) -> None:
        """Store an entity, in place of an earlier one with this id. Raises ``UnknownPlaceError`` for an unknown type."""
        known = self.workflow.entity_types.get(entity_type)
        if known is None:
            raise UnknownPlaceError(f"unknown entity type {entity_type!r}")
        path = self._place(known.creates_scope, entity_id, f"entity {entity_type!r}")
        self._entities[entity_type, path] = copy.deepcopy(content)

    def get_entity(self, entity_type: str, scope: str, scope_id: str | None = None) -> dict[str, Any] | None:
        """The entity that opens this instance of the scope; None when there is none, or it opens another scope.

        Raises ``AmbiguousIdError`` when several instances go by this id and none of them is open.
        """
        known = self.workflow.entity_types.get(entity_type)
        if known is None or known.creates_scope != scope:
            return None
        places = [path for kind, path in self._entities if kind == entity_type]
        path = self._find(places, scope, scope_id)
        return copy.deepcopy(self._entities[entity_type, path]) if path is not None else None

    def list_entities(self, entity_type: str) -> list[str]:
        """The ids of all entities of this type, in the order they were stored; an id under two parents comes twice."""
        return [path.last_id for kind, path in self._entities if kind == entity_type]

    def push_scope(self, scope: str, scope_id: str, entity: dict[str, Any]) -> None:
        """Open an instance of a scope; its entity is stored under the type that creates the scope."""
        self._stack.append(ScopeInstance(scope, scope_id, copy.deepcopy(entity)))
        for name, known in self.workflow.entity_types.items():
            if known.creates_scope == scope:
                self.store_entity(name, scope_id, entity)
                break

    def pop_scope(self) -> ScopeInstance:
        """Close the innermost instance. Raises ``IndexError`` when none is open."""
        return self._stack.pop()

    def current_scope(self) -> ScopeInstance | None:
        """The innermost open instance; None at the root."""
        return copy.deepcopy(self._stack[-1]) if self._stack else None

    def scope_depth(self) -> int:
        """How many instances are open."""
        return len(self._stack)

    def get_scope_chain(self) -> dict[str, str]:
        """The id of every open instance by its scope, the outermost first."""
        return {each.scope: each.scope_id for each in self._stack}

    def scope_path(self) -> str:
        """Where the context is now, as in ``epic=e1/story=s1``; empty at the root."""
        return str(self._open_path())

    def to_dict(self) -> dict[str, Any]:
        """The whole context as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "project_id": self.project_id,
            "documents": [each.to_dict() for versions in self._documents.values() for each in versions],
            "entities": [
                {"entity_type": kind, "path": str(path), "content": copy.deepcopy(content)}
                for (kind, path), content in self._entities.items()
            ],
            "scope_stack": [asdict(each) for each in self._stack],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], workflow: Workflow) -> WorkflowContext:
        """The context that ``to_dict`` wrote. Raises ``PersistenceError`` when a later version of this class wrote it."""
        if data.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise PersistenceError(f"the context has the unknown schema version {data['schema_version']!r}")
        context = cls(workflow, data["project_id"])
        for each in map(StoredDocument.from_dict, data["documents"]):
            context._documents.setdefault((each.doc_type, parse_path(each.path)), []).append(each)
        for each in data["entities"]:
            context._entities[each["entity_type"], parse_path(each["path"])] = copy.deepcopy(each["content"])
        context._stack = [ScopeInstance(**copy.deepcopy(each)) for each in data["scope_stack"]]
        return context

    def __eq__(self, other: object) -> bool:
        """Two contexts are the same when they have the same content; the definition is not compared."""
        return self.to_dict() == other.to_dict() if isinstance(other, WorkflowContext) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _versions(self, doc_type: str, scope: str, scope_id: str | None) -> list[StoredDocument]:
        known = self.workflow.document_types.get(doc_type)
        if known is None or known.scope != scope:
            return []
        places = [path for kind, path in self._documents if kind == doc_type]
        path = self._find(places, scope, scope_id)
        return self._documents[doc_type, path] if path is not None else []

    def _place(self, scope: str, scope_id: str | None, what: str) -> ScopePath:
        """Where something of this scope is to be stored."""
        if self._is_root(scope):
            return ScopePath()
        opened = self._open_path().upto(scope)
        if scope_id is None:
            if opened is None:
                raise UnknownPlaceError(f"{what} belongs to an instance of {scope!r}, and none is named or open")
            return opened
        if opened is not None and opened.last_id == scope_id:
            return opened
        return self._whole_path(scope, scope_id) or self._open_path().above(self._chain(scope)).then(scope, scope_id)

    def _find(self, places: list[ScopePath], scope: str, scope_id: str | None) -> ScopePath | None:
        """Which of these places is meant, all of them places of instances of the scope."""
        if self._is_root(scope):
            return next(iter(places), None)
        opened = self._open_path().upto(scope)
        if scope_id is None or (opened is not None and opened.last_id == scope_id):
            # What was stored from outside may not know its parents.
            known = () if opened is None else (opened, ScopePath().then(scope, opened.last_id))
            return next((each for each in known if each in places), None)
        above = self._open_path().above(self._chain(scope))
        # In an open instance its siblings have nothing to say; only a whole path leads there.
        named = [each for each in places if each.last_id == scope_id and each.parent.may_be_in(above)]
        near = [each for each in named if each.parent == above]
        found = near or named or [each for each in places if each == self._whole_path(scope, scope_id)]
        if len(found) > 1:
            raise AmbiguousIdError(f"{scope} {scope_id!r} exists in several places: {', '.join(map(str, found))}")
        return found[0] if found else None

    def _whole_path(self, scope: str, scope_id: str) -> ScopePath | None:
        """The path that an id is, if it is a whole path to an instance of the scope."""
        try:
            path = parse_path(scope_id)
        except ValueError:
            return None
        return path if path.scopes == self._chain(scope) else None

    def _open_path(self) -> ScopePath:
        return ScopePath(tuple((each.scope, each.scope_id) for each in self._stack if not self._is_root(each.scope)))

    def _is_root(self, scope: str) -> bool:
        return scope in self.workflow.scopes and self.workflow.scopes[scope].parent is None

    def _chain(self, scope: str) -> tuple[str, ...]:
        """The scopes from just below the root down to this one."""
        chain = [scope]
        while (known := self.workflow.scopes.get(chain[0])) is not None and known.parent not in {None, *chain}:
            chain.insert(0, str(known.parent))
        return tuple(each for each in chain if not self._is_root(each))
