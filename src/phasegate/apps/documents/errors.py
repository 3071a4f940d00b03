"""What can go wrong with document workflows.

Those who wrote against earlier versions of these classes catch ``ValueError`` for a call that came at the wrong time; the
errors of such calls are therefore one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from phasegate.errors import UsageError, did_you_mean


class WorkflowError(UsageError):
    """Something a document workflow could not do."""


class ScopeHierarchyError(WorkflowError):
    """The scopes of a definition do not form trees."""


class WorkflowLoadError(WorkflowError):
    """A definition that cannot be loaded. ``errors`` has every problem, each with its place."""

    def __init__(self, message: str, errors: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class WorkflowNotFoundError(WorkflowError):
    """A workflow that does not exist."""

    status = 404

    def __init__(self, workflow_id: str, known: Iterable[str] = ()) -> None:
        self.workflow_id = workflow_id
        super().__init__(f"workflow {workflow_id!r} not found", hint=did_you_mean(workflow_id, known))


class PromptNotFoundError(WorkflowError):
    """A prompt that does not exist."""

    status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        available = ", ".join(self.known) or "none"
        super().__init__(f"{kind} prompt {name!r} not found; available: {available}")


class PersistenceError(WorkflowError):
    """A saved state that cannot be read or written."""

    status = 500


class InvalidTransitionError(WorkflowError, ValueError):
    """A state that does not allow this."""

    status = 409


class AcceptanceError(WorkflowError, ValueError):
    """A decision that does not fit what is waiting for one. Nothing was changed."""

    status = 409


class ClarificationError(WorkflowError, ValueError):
    """Answers that do not fit the questions, or that nobody waits for. Nothing was changed."""

    status = 409


class ConcurrentUpdateError(WorkflowError, ValueError):
    """The state was saved by somebody else since it was read."""

    status = 409


class ExecutionNotFoundError(WorkflowError, ValueError):
    """An execution that does not exist."""

    status = 404


class InvalidExecutionStateError(WorkflowError, ValueError):
    """The execution is in a state that does not allow this."""

    status = 409
