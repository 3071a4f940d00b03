"""What an executor came to, in one form, whatever words it used for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class PhaseOutcome(StrEnum):
    """How a phase ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    PAUSED = "paused"
    WAITING = "waiting_for_approval"
    SKIPPED = "skipped"
    ALREADY_RUNNING = "already_running"


_WORDS = {
    "success": PhaseOutcome.COMPLETED, "succeeded": PhaseOutcome.COMPLETED, "complete": PhaseOutcome.COMPLETED,
    "completed": PhaseOutcome.COMPLETED, "done": PhaseOutcome.COMPLETED, "ok": PhaseOutcome.COMPLETED,
    "failed": PhaseOutcome.FAILED, "failure": PhaseOutcome.FAILED, "error": PhaseOutcome.FAILED,
    "cancelled": PhaseOutcome.FAILED, "timeout": PhaseOutcome.FAILED,
    "paused": PhaseOutcome.PAUSED, "waiting": PhaseOutcome.WAITING, "waiting_for_approval": PhaseOutcome.WAITING,
    "skipped": PhaseOutcome.SKIPPED, "already_running": PhaseOutcome.ALREADY_RUNNING,
}  # fmt: skip
#: Where wrappers put what they were given.
_NESTED = ("crew_results", "result", "results", "data")
_DEEPEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One phase's result. ``success`` always agrees with ``status``; a failure always has an ``error``."""

    phase: str
    status: PhaseOutcome
    next_phase: str | None = None
    data: Any = None
    error: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    recoverable: bool = False
    execution_time: float = 0.0
    attempt: int = 0
    mode: str = "direct"
    warnings: tuple[str, ...] = field(default=())

    @property
    def success(self) -> bool:
        """Whether the phase is complete."""
        return self.status in (PhaseOutcome.COMPLETED, PhaseOutcome.SKIPPED)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        told = asdict(self) | {"status": self.status.value, "warnings": list(self.warnings)}
        return told | {"success": self.success}


def outcome_of(result: Any) -> tuple[PhaseOutcome, str | None]:
    """How what an executor returned is to be understood, and its error if it is one.

    A mapping says it by its status, by ``success`` or by ``error``, at its top or where a wrapper has put what it was given:
    whatever says failure wins. Anything else that is not a mapping is a success.
    """
    return _outcome(result, _DEEPEST)


def _outcome(result: Any, deeper: int) -> tuple[PhaseOutcome, str | None]:
    if not isinstance(result, Mapping):
        return PhaseOutcome.COMPLETED, None
    said = str(result.get("status") or "").strip().lower()
    status = _WORDS.get(said)
    error = result.get("error") or result.get("error_message")
    if said and status is None:
        return PhaseOutcome.FAILED, f"the executor says {said!r}, which is no status"
    if status is PhaseOutcome.FAILED or result.get("success") is False or error:
        return PhaseOutcome.FAILED, str(error or result.get("message") or "the executor failed without saying why")
    for name in _NESTED if deeper else ():
        inner = _outcome(result.get(name), deeper - 1)
        if inner[0] is PhaseOutcome.FAILED and isinstance(result.get(name), Mapping):
            return inner
    return status or PhaseOutcome.COMPLETED, None
