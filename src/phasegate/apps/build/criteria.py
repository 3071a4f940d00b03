"""Acceptance criteria that a program can check. All others are words: shown to the model, and never claimed to be verified."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from phasegate.apps.build.errors import HealthCheckError, PhaseExecutorError, UnsafePathError, one_line
from phasegate.apps.build.health.commands import CommandResult, parse_command
from phasegate.apps.build.health.testreports import shown
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Command, Found, PhaseSpec

Criterion = Mapping[str, Any]
RunCommand = Callable[[Command], CommandResult]

_MOST_BYTES = 16 << 20
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_NOTHING = object()
_TEXTS = ("text", "pattern")


def check_criteria(spec: PhaseSpec, root: Root, run_command: RunCommand) -> Found:
    """An error (E_HEALTH_CRITERION) for every checkable criterion that the repository, with the changes in it, does not meet.

    A criterion that cannot be checked is not met. The warnings say how many criteria are words.
    """
    errors = [error for each in spec.checks if (error := _check(each, root, run_command)) is not None]
    words, total = len(spec.acceptance_criteria), len(spec.acceptance_criteria) + len(spec.checks)
    said = (f"{words} of {total} acceptance criteria were not machine-checked",) if words else ()
    return Found(tuple(errors), said)


def problem(criterion: object) -> str | None:
    """What keeps a criterion from being checked, whatever the repository looks like; None if it can be.

    ``check`` is ``file_exists`` {path}, ``contains`` or ``not_contains`` {path, text or pattern}, ``json_path`` {path, query, and
    equals or non_empty if more is asked for than that it is there}, or ``command`` {command}, with a ``timeout`` in seconds.
    """
    if not isinstance(criterion, Mapping):
        return "a criterion for a program is a mapping with 'check'"
    kind = criterion.get("check")
    if not isinstance(kind, str) or kind not in _KINDS:
        return f"'check' must be one of {', '.join(_KINDS)}"
    try:
        return next(_faults(kind, criterion), None)
    except (PhaseExecutorError, re.error) as error:
        return one_line(error.cause if isinstance(error, PhaseExecutorError) else f"the pattern is wrong: {error}")


def _faults(kind: str, criterion: Criterion) -> Iterator[str]:
    if kind == "command":
        _command(criterion)
        return
    normalise(criterion.get("path"))
    if kind in ("contains", "not_contains"):
        given = [criterion[name] for name in _TEXTS if name in criterion]
        if len(given) != 1 or not isinstance(given[0], str) or not given[0]:
            yield "give either 'text' or 'pattern', not empty"
        re.compile(criterion.get("pattern", ""))
    if kind == "json_path" and _steps(criterion.get("query")) is None:
        yield "'query' must be a path like $.name[0].other"


def _check(criterion: Criterion, root: Root, run_command: RunCommand) -> HealthCheckError | None:
    fault = problem(criterion)
    if fault is not None:
        return _error(criterion, f"cannot be checked: {fault}", fatal=True)
    try:
        return _KINDS[criterion["check"]](criterion, root, run_command)
    except (PhaseExecutorError, UnsafePathError) as error:
        return _error(criterion, f"cannot be checked: {error.cause}")


def _file_exists(criterion: Criterion, root: Root, _: RunCommand) -> HealthCheckError | None:
    return None if root.facts(criterion["path"]).exists else _error(criterion, "the file does not exist")


def _contains(criterion: Criterion, root: Root, _: RunCommand) -> HealthCheckError | None:
    text = _text(criterion, root)
    if text is None:
        return _error(criterion, "the file does not exist")
    return None if _is_in(criterion, text) else _error(criterion, f"{_wanted(criterion)} is not in the file")


def _not_contains(criterion: Criterion, root: Root, _: RunCommand) -> HealthCheckError | None:
    text = _text(criterion, root)
    return (
        _error(criterion, f"{_wanted(criterion)} is in the file")
        if text is not None and _is_in(criterion, text)
        else None
    )


def _json_path(criterion: Criterion, root: Root, _: RunCommand) -> HealthCheckError | None:
    text, query = _text(criterion, root), criterion["query"]
    if text is None:
        return _error(criterion, "the file does not exist")
    try:
        value = _follow(json.loads(text.removeprefix("\ufeff")), _steps(query) or [])
    except (ValueError, RecursionError):
        return _error(criterion, "the file is no JSON")
    if value is _NOTHING:
        return _error(criterion, f"there is nothing at {query}")
    if "equals" in criterion and json.dumps(value, sort_keys=True) != json.dumps(criterion["equals"], sort_keys=True):
        return _error(criterion, f"{query} is {json.dumps(value)[:100]}, not {json.dumps(criterion['equals'])[:100]}")
    if criterion.get("non_empty") and value in (None, "", [], {}):
        return _error(criterion, f"{query} is empty")
    return None


def _run(criterion: Criterion, _: Root, run_command: RunCommand) -> HealthCheckError | None:
    result = run_command(_command(criterion))
    if result.ok:
        return None
    if result.missing is not None:
        return _error(criterion, f"cannot be checked: {result.missing}", fatal=True)
    what = "did not end in time" if result.timed_out else f"ended with exit code {result.exit}"
    said = " ".join(_command(criterion).argv)
    return _error(criterion, f"the command {one_line(said)[:120]} {what}", output=shown(result.output))


_KINDS: dict[str, Callable[[Criterion, Root, RunCommand], HealthCheckError | None]] = {
    "file_exists": _file_exists, "contains": _contains, "not_contains": _not_contains, "json_path": _json_path, "command": _run,
}  # fmt: skip


def _command(criterion: Criterion) -> Command:
    timeout = criterion.get("timeout", 300.0)
    return parse_command(
        criterion.get("command"), timeout=timeout if isinstance(timeout, int | float) else 0.0, name="criterion"
    )


def _text(criterion: Criterion, root: Root) -> str | None:
    facts, data = root.load(criterion["path"], limit=_MOST_BYTES)
    encoding = "utf-8" if facts.encoding == "binary" else facts.encoding
    return data.decode(encoding, "replace").replace("\r\n", "\n") if facts.exists else None


def _is_in(criterion: Criterion, text: str) -> bool:
    if "pattern" in criterion:
        return re.search(criterion["pattern"], text, re.MULTILINE) is not None
    return criterion["text"] in text


def _wanted(criterion: Criterion) -> str:
    return repr(next(criterion[name] for name in _TEXTS if name in criterion))[:120]


def _steps(query: object) -> list[str | int] | None:
    """The steps of a path like ``$.name[0]['other name']``; None if it is none."""
    if not isinstance(query, str) or not query.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(query):
        found = _STEP.match(query, at)
        if not found:
            return None
        steps.append(
            int(found[2]) if found[2] else next(each for each in (found[1], found[3], found[4]) if each is not None)
        )
        at = found.end()
    return steps


def _follow(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else _NOTHING
        else:
            value = value.get(step, _NOTHING) if isinstance(value, dict) else _NOTHING
    return value


def _error(criterion: Criterion, cause: str, *, fatal: bool = False, output: str = "") -> HealthCheckError:
    path, kind = criterion.get("path"), criterion.get("check")
    return HealthCheckError(
        "E_HEALTH_CRITERION", f"criterion {kind}: {cause}", path=path if isinstance(path, str) else None,
        category="fatal" if fatal else None, details={"check": str(kind), **({"output": output} if output else {})},
    )  # fmt: skip
