"""The results that callers get: plain dictionaries, with every key always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasegate.apps.build.errors import one_line

#: What a result says when nobody said anything else.
_DEFAULTS: Mapping[str, Any] = {
    "success": False, "files_changed": [], "summary": "", "errors": [], "token_usage": 0, "duration": 0.0, "retry_count": 0,
    "phase_id": "", "status": "failed", "error_details": [], "changes": [], "warnings": [],
    "tokens": {"prompt": 0, "completion": 0, "total": 0, "calls": 0, "estimated": False}, "context": {}, "approval": None,
    "attempt_ids": [], "health": None,
}  # fmt: skip


def phase_result(**values: Any) -> dict[str, Any]:
    """A result with these values, and what the others are when nobody says; ``summary`` is never empty, ``errors`` is empty
    exactly when ``success``."""
    result = {name: _fresh(value) for name, value in _DEFAULTS.items()} | values
    result["errors"] = [each["message"] for each in result["error_details"]] or list(result["errors"])
    result["success"] = result["status"] == "succeeded"
    if result["success"]:
        result["errors"], result["error_details"] = [], []
    elif not result["errors"]:
        result["errors"] = [result["summary"] or f"The phase ended as {result['status']}"]
    result["summary"] = result["summary"] or _default_summary(result)
    result["files_changed"] = sorted(set(result["files_changed"]))
    return result


def of_foreign(given: object, phase_id: str) -> dict[str, Any]:
    """What an executor that is not ours returned, as a result: missing keys filled, nothing believed that is not of its type."""
    if not isinstance(given, Mapping):
        return phase_result(phase_id=phase_id, errors=[f"the executor returned {type(given).__name__}, not a result"])
    known = {name: given[name] for name, value in _DEFAULTS.items() if name in given and _fits(given[name], value)}
    extra = {str(name): value for name, value in given.items() if name not in _DEFAULTS}
    success = given.get("success") is True
    known |= {"status": "succeeded" if success else known.get("status", "failed"), "phase_id": phase_id}
    if not success and known["status"] == "succeeded":
        known["status"] = "failed"
    known["errors"] = [one_line(str(each)) for each in known.get("errors", [])]
    return {**extra, **phase_result(**known)}


def orchestration_result(
    results: Sequence[Mapping[str, Any]], *, run_id: str, total: int, duration: float, health: Sequence[Mapping[str, Any]],
    status: str, tokens: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The result of a run, from those of the phases; skipped ones are counted and not listed."""
    executed = [dict(each) for each in results if each["status"] != "skipped"]
    successful = sum(each["success"] for each in executed)
    return {
        "total_phases": total, "successful_phases": successful,
        "failed_phases": sum(not each["success"] and each["status"] != "awaiting_approval" for each in executed),
        "phase_results": executed, "total_duration": duration, "health_check_results": list(health), "run_id": run_id,
        "skipped_phases": total - len(executed), "stopped_early": len(executed) < total,
        "token_usage": sum(each["token_usage"] for each in executed) if tokens is None else tokens, "status": status,
    }  # fmt: skip


def _fresh(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value


def _fits(value: object, default: object) -> bool:
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def _default_summary(result: Mapping[str, Any]) -> str:
    if not result["success"]:
        return f"The phase {result['status'].replace('_', ' ')}: {result['errors'][0]}"
    files = result["files_changed"]
    return f"Changed {', '.join(files)}." if files else "Nothing had to be changed."
