"""Whether a file can be read by the programs that it is for: Python, JSON, TOML, YAML. Pure; nothing of a file is executed."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from phasegate.apps.build.errors import ContentError, one_line
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Found

#: JSON files whose readers allow comments.
_WITH_COMMENTS = re.compile(
    r"(?:^|/)(?:tsconfig[^/]*|jsconfig[^/]*|\.eslintrc|\.babelrc|api-extractor)\.json$|(?:^|/)\.(?:vscode|devcontainer)/"
)
_MARK = "\ufeff"
#: Deeper than anybody writes. Without libyaml the time grows with the square of the depth.
_MOST_YAML_NESTING = 500
_TOO_DEEP = "it is nested too deeply to be read"


def check(path: str, text: str, policy: Policy, before: str | None = None) -> Found:
    """An error (E_SYNTAX) if the text cannot be read as what its name says.

    It is only a warning where the policy does not ask for it, or where the file could not be read ``before`` either: it is then
    of a dialect that is not known here.
    """
    cause = problem(path, text)
    if cause is None:
        return Found()
    if policy.require_parses and (before is None or problem(path, before) is None):
        return Found((ContentError("E_SYNTAX", cause, path=path),))
    return Found(warnings=(f"{path}: {cause}",))


def problem(path: str, text: str) -> str | None:
    """What keeps the text from being read as what its name says, with its line; None if nothing does, or for other files."""
    reader = _READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None or _is_exempt(path, text):
        return None
    try:
        return reader(text.removeprefix(_MARK))
    except (RecursionError, MemoryError):
        return _TOO_DEEP


def _is_exempt(path: str, text: str) -> bool:
    """Templates, which become what their name says only later, and JSON with comments."""
    is_template = "templates/" in f"/{path}" and any(mark in text for mark in ("{{", "{%"))
    return is_template or _WITH_COMMENTS.search(path) is not None


def _python(text: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<file>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"it does not compile as Python: line {error.lineno or 1}: {error.msg}"
    except (ValueError, OverflowError) as error:
        return f"it does not compile as Python: {error}"
    return None


def _json(text: str) -> str | None:
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"it is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except ValueError as error:
        return f"it is no JSON: {error}"
    return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _toml(text: str) -> str | None:
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        return f"it is no TOML: {error}"
    return None


def _yaml(text: str) -> str | None:
    import yaml

    loader, depth = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader, 0
    try:
        # Only the form is read: no alias is followed, and no tag asked for its meaning.
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_YAML_NESTING:
                return _TOO_DEEP
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"it is no YAML: {where}{one_line(getattr(error, 'problem', None) or str(error))}"
    except (ValueError, IndexError) as error:
        return f"it is no YAML: {error}"
    return None


_READERS: dict[str, Callable[[str], str | None]] = {
    ".py": _python, ".pyi": _python, ".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip
