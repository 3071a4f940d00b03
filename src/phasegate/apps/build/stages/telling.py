"""What listeners are told while a run works: one event for each stage, as a mapping with ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate.apps.build.flow import AGAIN, UNFIT

#: The event of a stage; what is unfit is told as ``validation_failed``, but for the health.
_TYPES: Mapping[str, str] = {
    "baseline": "run_started", "check": "phase_started", "context": "attempt_started", "ask": "context_built",
    "parse": "response_parsed", "validate": "validated", "apply": "applied", "health": "health_checked",
    "restore": "rolled_back", "verdict": "phase_finished", "work": "attempt_finished",
}  # fmt: skip


def event_of(stage: str, word: str, output: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a stage's outcome is told as, without ids; None when it is not worth telling."""
    if word == UNFIT and stage not in ("health", "baseline"):
        return {"type": "validation_failed", "stage": stage, "errors": [each["message"] for each in output["errors"]]}
    if stage not in _TYPES:
        return None
    event: dict[str, Any] = {"type": _TYPES[stage], "outcome": word}
    if stage == "context":
        event |= {"attempt": output["index"], "with_feedback": output["past"]["feedback"] is not None}
    elif stage == "validate":
        event |= {"files": [each["path"] for each in output.get("files", ())], "diff": output.get("diff", "")}
        event |= {"risk": output.get("risk")}
    elif stage == "apply":
        event |= {"files": output["files"]}
    elif stage == "health":
        event |= {"health": output.get("health"), "errors": [each["message"] for each in output.get("errors", ())]}
    elif stage == "baseline":
        event |= {"health": output if output.get("checks") else None}
    elif stage == "verdict":
        event |= {"type": "retry_scheduled"} if word == AGAIN else {"status": output["result"]["status"]}
    return event
