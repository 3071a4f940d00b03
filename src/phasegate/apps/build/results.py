"""The results that callers get: plain dictionaries, with every key always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasegate.apps.build.errors import one_line
from phasegate.apps.build.plain import plain

#: What a result says when nobody said anything else.
_DEFAULTS: Mapping[str, Any] = {
    "success": False, "files_changed": [], "summary": "", "errors": [], "token_usage": 0, "duration": 0.0, "retry_count": 0,
    "phase_id": "", "status": "failed", "error_details": [], "changes": [], "warnings": [],
    "tokens": {"prompt": 0, "completion": 0, "total": 0, "calls": 0, "estimated": False}, "context": {}, "approval": None,
    "attempt_ids": [], "health": None,
}  # fmt: skip
#: How a phase of another executor may have ended, if not well; any other word counts as failed.
_ENDS = frozenset({"failed", "blocked", "rejected", "awaiting_approval", "cancelled"})
#: Keys that are not for executors to set.
_RESERVED = frozenset({"stopped", "kept_from"})
#: No count and no time of another executor's that is larger can be meant.
_MOST = 2**53


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
    """What an executor that is not ours returned, as a result that is JSON: missing keys filled, nothing believed that is not of
    its type, and no error lost. Raises what reading it raises."""
    if not isinstance(given, Mapping):
        return phase_result(phase_id=phase_id, errors=[f"the executor returned {type(given).__name__}, not a result"])
    said = {plain(str(name)): plain(value) for name, value in given.items()}
    success, details = said.get("success") is True, _listed(said.get("error_details"))
    complete = [each for each in map(_detail, details) if each is not None]
    errors = [_words(each) for each in _listed(given.get("errors"))]
    errors += [_words(each) for each in details if _detail(each) is None]
    errors = list(dict.fromkeys(each for each in [*errors, *(each["message"] for each in complete)] if each))
    known = {name: _believed(said.get(name), value) for name, value in _DEFAULTS.items()}
    known |= {
        "status": "succeeded" if success else known["status"] if known["status"] in _ENDS else "failed", "phase_id": phase_id,
        "error_details": complete, "errors": errors,
        "changes": [each for each in _listed(said.get("changes")) if isinstance(each, dict)],
        "summary": known["summary"] if known["summary"].strip() else "",
        "warnings": [*known["warnings"], *(f"It succeeded, and says: {each}" for each in errors if success)],
    }  # fmt: skip
    extra = {name: value for name, value in said.items() if name not in _DEFAULTS and name not in _RESERVED}
    result = {**extra, **phase_result(**known)}
    return result if success or not errors else result | {"errors": errors}


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
        "skipped_phases": total - len(executed),
        "stopped_early": len(results) < total or any(each.get("stopped") for each in results),
        "token_usage": sum(each["token_usage"] for each in executed) if tokens is None else tokens, "status": status,
    }  # fmt: skip


def _fresh(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value


def _believed(value: Any, default: Any) -> Any:
    """A value of JSON where it is of the type of the default, and the default where it is not. Of a list each entry counts for
    itself."""
    if isinstance(default, list):
        return [each for each in _listed(value) if isinstance(each, str)]
    if isinstance(default, dict) and isinstance(value, dict):
        return value | {name: _believed(value.get(name), each) for name, each in default.items()}
    if default is None:
        return value
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(value, bool) and isinstance(default, bool) else default
    if isinstance(default, int | float):
        wanted = int | float if isinstance(default, float) else int
        return type(default)(value) if isinstance(value, wanted) and 0 <= value <= _MOST else default
    return value if isinstance(value, type(default)) else _fresh(default)


def _listed(value: Any) -> list[Any]:
    """The entries of a list of any kind; what is none is one entry, and nothing is none."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _words(error: Any) -> str:
    """What an error says, whatever it is, on one line."""
    if isinstance(error, BaseException):
        return raised(error)
    value = plain(error)
    if isinstance(value, dict):
        value = value.get("message") or value.get("code") or value
    return one_line(str(value))


def raised(error: BaseException) -> str:
    """What an exception of somebody else's says, on one line; one that says nothing has its name."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return one_line(f"{type(error).__name__}: {said}" if said.strip() else type(error).__name__)


def _detail(given: Any) -> dict[str, Any] | None:
    """An error with all its keys, from one that has at least a code, a category and a message."""
    if not isinstance(given, dict):
        return None
    code, category, message = texts = [given.get(name) for name in ("code", "category", "message")]
    if not all(isinstance(each, str) and each.strip() for each in texts):
        return None
    path, message = given.get("path"), one_line(str(message))
    path = path if isinstance(path, str) else None
    filled: dict[str, Any] = {
        "retryable": category != "fatal", "details": {},
        "signature": f"{code}|{path or ''}|{''.join('#' if c.isdigit() else c for c in message)}",
    }  # fmt: skip
    believed = {name: _believed(given.get(name), value) for name, value in filled.items()}
    return {**given, **believed, "message": message, "path": path}


def _default_summary(result: Mapping[str, Any]) -> str:
    if not result["success"]:
        return f"The phase {result['status'].replace('_', ' ')}: {result['errors'][0].removesuffix('.')}."
    files = result["files_changed"]
    return f"Changed {', '.join(files)}." if files else "Nothing had to be changed."
