"""What listeners are told while a run works: what each stage has done, as mappings with ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phasegate.apps.build.flow import AGAIN, RISKY, UNFIT

#: The event of a stage that has done what it is for.
_TYPES: Mapping[str, str] = {
    "baseline": "run_started", "check": "phase_started", "context": "context_built", "parse": "response_parsed",
    "validate": "validated", "apply": "applied", "health": "health_checked", "restore": "rolled_back",
    "verdict": "phase_finished", "work": "attempt_finished",
}  # fmt: skip
#: What is unfit is told as ``validation_failed``, but for these.
_NEVER_UNFIT = frozenset({"health", "baseline"})


def events_of(
    stage: str, word: str, output: Mapping[str, Any], approval: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """What a stage's outcome is told as, without ids. ``approval`` is what was decided before the stage, if anything was."""
    if stage == "context":
        with_feedback = output["past"]["feedback"] is not None
        yield {"type": "attempt_started", "outcome": word, "attempt": output["index"], "with_feedback": with_feedback}
    if approval and (stage == "apply" or (stage == "verdict" and approval["outcome"] == "rejected")):
        yield {"type": "approval_decided", "outcome": approval["outcome"], "by": list(approval["by"])}
    if word == UNFIT and stage not in _NEVER_UNFIT:
        yield {"type": "validation_failed", "stage": stage, "errors": _messages(output)}
    elif stage in _TYPES:
        yield {"type": _TYPES[stage], "outcome": word, **_about(stage, word, output)}
    if stage == "validate" and word == RISKY:
        yield {"type": "approval_requested", "risk": output["risk"]["score"], "reasons": output["risk"]["reasons"]}


def _about(stage: str, word: str, output: Mapping[str, Any]) -> dict[str, Any]:
    if stage == "validate":
        files = [each["path"] for each in output.get("files", ())]
        return {"files": files, "diff": output.get("diff", ""), "risk": output.get("risk")}
    if stage == "apply":
        return {"files": output["files"]}
    if stage == "health":
        return {"health": output.get("health"), "errors": _messages(output)}
    if stage == "baseline":
        return {"health": output if output.get("checks") else None}
    if stage == "verdict":
        return {"type": "retry_scheduled"} if word == AGAIN else {"status": output["result"]["status"]}
    return {}


def _messages(output: Mapping[str, Any]) -> list[str]:
    return [each["message"] for each in output.get("errors", ())]
