"""What can go wrong with a build phase.

    PhaseExecutorError
    |- SpecError                 the phase is described wrongly; found before anything costs money
    |- ContextError              what the model must see does not fit
    |- BudgetError               the tokens that may be spent are spent
    |- LLMTransportError         the model could not be asked
    |- LLMResponseError          the model's answer cannot be used
    |  |- InvalidJSONError
    |  |- TruncatedResponseError
    |  `- RefusedError
    |- ChangeValidationError     the answer can be read, but must not be applied
    |  |- ProtectedPathError
    |  |- UnsafePathError
    |  |- ScopeError
    |  |- DuplicatePathError
    |  |- MissingDeliverableError
    |  `- ContentError
    |- ApplyError
    |  |- FileSystemError
    |  |- ConcurrentEditError
    |  `- RollbackError
    |- HealthCheckError
    |- ApprovalError
    |- HistoryError
    |- LockError
    |- BuildTimeoutError
    `- CancelledError

They are values as often as they are raised: a rule gives every problem it finds. Where a result leaves the package they are data
(``told``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from phasegate.errors import PhasegateError
from phasegate.llm import redact

#: What an error means for the phase: repeat the same call; ask for less or allow more; tell the model; tell the model; give up.
Category = Literal["transient", "capacity", "model", "validation", "fatal"]
RETRYABLE: frozenset[Category] = frozenset({"transient", "capacity", "model", "validation"})


class PhaseExecutorError(PhasegateError):
    """Something that kept a phase from being done.

    The message is one line: the phrase of the class, which stays the same for ever, the path if it is about one, and the cause.
    It contains no secret and no absolute path. ``code`` is for programs, ``details`` has what a message has no room for, as JSON.
    """

    phrase: ClassVar[str] = "Build phase failed"
    category: Category = "fatal"

    def __init__(
        self, code: str, cause: str, *, path: str | None = None, category: Category | None = None,
        retryable: bool | None = None, details: Mapping[str, Any] | None = None, hint: str | None = None,
    ) -> None:  # fmt: skip
        """``category`` is that of the class unless given, and ``retryable`` follows from it unless given."""
        self.code, self.path = code, path
        self.cause = one_line(cause)
        if category is not None:
            self.category = category
        self.retryable = self.category in RETRYABLE if retryable is None else retryable
        self.details = dict(details or {})
        about = f"{shown_path(path)}: " if path is not None else ""
        super().__init__(f"{self.phrase}: {about}{self.cause}", hint=hint)

    @property
    def message(self) -> str:
        """The one line."""
        return str(self)

    @property
    def signature(self) -> str:
        """Equal for errors that are the same one again: its code, its path, and its cause without numbers."""
        return f"{self.code}|{self.path or ''}|{''.join('#' if c.isdigit() else c for c in self.cause)}"

    def told(self) -> dict[str, Any]:
        """The error as JSON: ``code``, ``category``, ``message``, ``path``, ``retryable``, and ``details`` and ``signature``."""
        return {
            "code": self.code, "category": self.category, "message": self.message, "path": self.path,
            "retryable": self.retryable, "details": self.details, "signature": self.signature,
        }  # fmt: skip


class SpecError(PhaseExecutorError):
    """The phase is described wrongly. Found before the first call."""

    phrase = "Invalid phase specification"


class ContextError(PhaseExecutorError):
    """What the model must see does not fit into its window."""

    phrase = "Context overflow"
    category: Category = "capacity"


class BudgetError(PhaseExecutorError):
    """Another call might cost more tokens than are left."""

    phrase = "Token budget exhausted"


class LLMTransportError(PhaseExecutorError):
    """The model could not be asked, or did not answer."""

    phrase = "Model call failed"
    category: Category = "transient"


class LLMResponseError(PhaseExecutorError):
    """The model's answer cannot be used."""

    phrase = "Unusable response"
    category: Category = "model"


class InvalidJSONError(LLMResponseError):
    """The answer is no JSON, or not of the shape that was asked for."""

    phrase = "Invalid JSON response"


class TruncatedResponseError(LLMResponseError):
    """The answer was cut short."""

    phrase = "Truncated response"
    category: Category = "capacity"


class RefusedError(LLMResponseError):
    """The model says that it cannot do what it was asked for."""

    phrase = "Task refused by the model"
    category: Category = "fatal"


class ChangeValidationError(PhaseExecutorError):
    """A change that must not be applied."""

    phrase = "Invalid change"
    category: Category = "validation"


class ProtectedPathError(ChangeValidationError):
    """A change of something protected."""

    phrase = "Protected path violation"


class UnsafePathError(ChangeValidationError):
    """A path that could lead anywhere else than it says."""

    phrase = "Unsafe path"


class ScopeError(ChangeValidationError):
    """A change of something that this phase may not write."""

    phrase = "Outside of the phase's scope"


class DuplicatePathError(ChangeValidationError):
    """Two changes of one file."""

    phrase = "Duplicate path"


class MissingDeliverableError(ChangeValidationError):
    """A file that the phase must deliver, and did not."""

    phrase = "Missing deliverables"


class ContentError(ChangeValidationError):
    """A file whose new content cannot be right."""

    phrase = "Invalid content"


class ApplyError(PhaseExecutorError):
    """The changes could not be put on disk; nothing of them is."""

    phrase = "File system error"


class FileSystemError(ApplyError):
    """The operating system refused something."""


class ConcurrentEditError(ApplyError):
    """A file is not what the model was shown any more."""

    phrase = "Concurrent edit"
    category: Category = "validation"


class RollbackError(ApplyError):
    """Something that the phase changed could not be put back, because somebody else has changed it since, or the disk failed."""

    phrase = "Rollback failed"


class HealthCheckError(PhaseExecutorError):
    """The repository is not healthy after the change."""

    phrase = "Health check failed"
    category: Category = "validation"


class ApprovalError(PhaseExecutorError):
    """A change that needs a person's approval and has none."""

    phrase = "Approval refused"


class HistoryError(PhaseExecutorError):
    """The database of the history cannot be used."""

    phrase = "History database error"
    exit_code = 2


class LockError(PhaseExecutorError):
    """Another process works on the repository."""

    phrase = "Repository locked"


class BuildTimeoutError(PhaseExecutorError):
    """A run took longer than it may."""

    phrase = "Out of time"


class CancelledError(PhaseExecutorError):
    """Somebody stopped the run."""

    phrase = "Cancelled"


def told(errors: Iterable[PhaseExecutorError]) -> list[dict[str, Any]]:
    """Errors as JSON."""
    return [each.told() for each in errors]


def one_line(text: str) -> str:
    """Text that may stand in a message: one line, no control characters, no secrets."""
    line = " ".join(redact(text).split())
    return "".join(c if c.isprintable() else "?" for c in line)


def shown_path(path: str) -> str:
    """A path as a message names it, however odd: without control characters, and not longer than a line."""
    shown = one_line(path.encode("utf-8", "replace").decode())
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
