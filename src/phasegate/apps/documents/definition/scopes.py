"""The levels that documents belong to, as trees: who is above whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phasegate.apps.documents.definition.models import ScopeConfig, Workflow
from phasegate.apps.documents.errors import ScopeHierarchyError


class ScopeHierarchy:
    """Scopes by name, each with its parent; there may be several roots.

    Takes what a definition has under ``scopes``: ``{name: {"parent": ...}}``; a ``ScopeConfig`` in place of the inner mapping
    is fine too. Raises ``ScopeHierarchyError`` when a parent does not exist or scopes form a cycle. What the questions answer
    about a scope nobody knows is said with each; none of them raises.
    """

    def __init__(self, scopes: Mapping[str, Any]) -> None:
        self._parents = {name: _parent(name, scope) for name, scope in scopes.items()}
        problems = hierarchy_problems(self._parents)
        if problems:
            raise ScopeHierarchyError("; ".join(sentence for _, sentence in problems))

    @classmethod
    def from_workflow(cls, workflow: Workflow | Mapping[str, Any]) -> ScopeHierarchy:
        """The scopes of a definition, loaded or as it stands in the file."""
        scopes = workflow.scopes if isinstance(workflow, Workflow) else workflow.get("scopes", {})
        if not isinstance(scopes, Mapping):
            raise ScopeHierarchyError("the scopes of a definition are an object")
        return cls(scopes)

    def is_valid_scope(self, scope: str) -> bool:
        """Whether the scope exists."""
        return scope in self._parents

    def get_parent(self, scope: str) -> str | None:
        """The scope directly above; None for a root and for an unknown scope."""
        return self._parents.get(scope)

    def get_ancestors(self, scope: str) -> list[str]:
        """Every scope above, nearest first; empty for a root and for an unknown scope."""
        return list(_above(scope, self._parents))

    def is_ancestor(self, scope: str, of: str) -> bool:
        """Whether ``scope`` stands anywhere above ``of``. No scope is its own ancestor, and an unknown one is nobody's."""
        return scope in _above(of, self._parents)

    def is_descendant(self, scope: str, of: str) -> bool:
        """Whether ``scope`` stands anywhere below ``of``."""
        return self.is_ancestor(of, scope)

    def is_root(self, scope: str) -> bool:
        """Whether the scope exists and has no parent."""
        return scope in self._parents and self._parents[scope] is None

    def get_root_scopes(self) -> list[str]:
        """The scopes without a parent, in the order of the definition."""
        return [name for name, parent in self._parents.items() if parent is None]

    def get_all_scopes(self) -> list[str]:
        """Every scope, in the order of the definition."""
        return list(self._parents)

    def get_depth(self, scope: str) -> int:
        """How many scopes stand above: 0 for a root, -1 for an unknown scope."""
        return len(self.get_ancestors(scope)) if scope in self._parents else -1


def hierarchy_problems(parents: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """What keeps scopes from forming trees: the scope to blame, and a sentence. Each cycle is named once."""
    problems = [
        (name, f"scope {name!a} has an unknown parent {parent!a}")
        for name, parent in parents.items()
        if parent is not None and parent not in parents
    ]
    settled: set[str] = set()
    for name in parents:
        path: dict[str, None] = {}  # a set that keeps its order
        here: str | None = name
        while here is not None and here in parents and here not in settled and here not in path:
            path[here] = None
            here = parents[here]
        if here in path:
            problems.append((here, f"Cycle detected among scopes: {_round(here, parents)}"))
        settled.update(path)
    return problems


def _round(start: str, parents: Mapping[str, str | None]) -> str:
    names, here = [start], parents[start]
    while here is not None and here != start:
        names.append(here)
        here = parents[here]
    return " -> ".join(ascii(name) for name in [*names, start])


def _above(scope: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    here = parents.get(scope)
    while here is not None:
        yield here
        here = parents.get(here)


def _parent(name: str, scope: Any) -> str | None:
    if isinstance(scope, ScopeConfig):
        return scope.parent
    if isinstance(scope, Mapping):
        parent = scope.get("parent")
        if parent is None or isinstance(parent, str):
            return parent
    raise ScopeHierarchyError(f"scope {name!a} must be an object whose parent is the name of a scope or null")
