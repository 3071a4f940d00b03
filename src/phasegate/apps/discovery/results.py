"""What an executor came to, in one form, whatever words it used for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum
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
    "cancelled": PhaseOutcome.FAILED, "timeout": PhaseOutcome.FAILED, "aborted": PhaseOutcome.FAILED,
    "false": PhaseOutcome.FAILED,
    "paused": PhaseOutcome.PAUSED, "waiting": PhaseOutcome.WAITING, "waiting_for_approval": PhaseOutcome.WAITING,
    "skipped": PhaseOutcome.SKIPPED, "already_running": PhaseOutcome.ALREADY_RUNNING,
}  # fmt: skip
#: Where wrappers put what they were given.
_WRAPPERS = ("crew_results", "result", "results")
_NESTED = (*_WRAPPERS, "data")
_FINISHED = (PhaseOutcome.COMPLETED, PhaseOutcome.SKIPPED)
_NO = ("false", "no", "0")
_DEEPEST = 5
_SILENT = "the executor failed without saying why"


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

    def __post_init__(self) -> None:
        if self.status is PhaseOutcome.FAILED and not self.error:
            object.__setattr__(self, "error", _SILENT)

    @property
    def success(self) -> bool:
        """Whether the phase is complete."""
        return self.status in (PhaseOutcome.COMPLETED, PhaseOutcome.SKIPPED)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        told = asdict(self) | {"status": self.status.value, "warnings": list(self.warnings)}
        return told | {"success": self.success}


def outcome_of(result: Any) -> tuple[PhaseOutcome, str | None]:
    """How what an executor returned is to be understood, and its error if it is one. Never raises.

    A mapping says it by its status, by ``success`` or by ``error``, at its top or where a wrapper has put what it was given:
    whatever says failure wins, then whatever says that the phase is not at its end. A status that nobody knows is a failure,
    except in the data. Anything that is not a mapping is a success.
    """
    found = _outcome(result, _DEEPEST, strict=True)
    return (PhaseOutcome.COMPLETED, None) if found is None else found


def _outcome(result: Any, deeper: int, *, strict: bool) -> tuple[PhaseOutcome, str | None] | None:
    if not isinstance(result, Mapping):
        return None
    own = _own(result, strict=strict)
    inner = [_outcome(result.get(name), deeper - 1, strict=name in _WRAPPERS) for name in _NESTED] if deeper else []
    said = [each for each in (own, *inner) if each is not None]
    for fits in (_is_failure, _is_unfinished):
        first = next(filter(fits, said), None)
        if first is not None:
            return first
    return said[0] if said else None


def _is_failure(said: tuple[PhaseOutcome, str | None]) -> bool:
    return said[0] is PhaseOutcome.FAILED


def _is_unfinished(said: tuple[PhaseOutcome, str | None]) -> bool:
    return said[0] not in _FINISHED


def _own(result: Mapping[Any, Any], *, strict: bool) -> tuple[PhaseOutcome, str | None] | None:
    """What a mapping says itself, or None."""
    given = result.get("status")
    word = "" if given is None else _text(given).strip().lower()
    status, error = _WORDS.get(word), result.get("error") or result.get("error_message")
    # Of a phase that is not at its end yet, no success is no failure.
    denied = (status is None or status in _FINISHED) and _denies(result.get("success"))
    if status is PhaseOutcome.FAILED or denied or error:
        return PhaseOutcome.FAILED, _text(error or result.get("message") or _SILENT)
    if word and status is None and strict:
        return PhaseOutcome.FAILED, f"the executor says {word!r}, which is no status"
    return None if status is None else (status, None)


def _denies(success: Any) -> bool:
    return success is not None and _text(success).strip().lower() in _NO


def _text(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)
