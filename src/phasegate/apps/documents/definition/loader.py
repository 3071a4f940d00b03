"""Workflow definitions from files: read, checked, and turned into values."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.definition.reading import read_workflow
from phasegate.apps.documents.definition.validator import WorkflowValidator
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode
from phasegate.apps.documents.errors import WorkflowLoadError

#: Findings that do not keep a definition from being loaded: prompts may be written after it.
_TOLERATED = frozenset({ValidationErrorCode.PROMPT_NOT_IN_MANIFEST})
#: Findings that stand in the message of the error; all of them stand in its ``errors``.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow, and what was found in its definition that did not keep it from being loaded."""

    workflow: Workflow
    warnings: list[ValidationError] = field(default_factory=list)


class WorkflowLoader:
    """Loads definitions. Every failure, whatever is in the file, is a ``WorkflowLoadError``.

    A file is UTF-8, with or without a byte order mark, and JSON to the letter: no key twice in one object, no NaN. Prompts
    that the manifest does not list are warnings here.
    """

    def __init__(self, validator: WorkflowValidator | None = None) -> None:
        self._validator = validator if validator is not None else WorkflowValidator()

    def load(self, path: Path) -> Workflow:
        """The workflow in a file."""
        return self.load_checked(path).workflow

    def load_dict(self, definition: dict[str, Any]) -> Workflow:
        """The workflow of a definition that has been read already; it shares nothing with it."""
        return self.load_dict_checked(definition).workflow

    def load_checked(self, path: Path) -> LoadedWorkflow:
        """The workflow in a file, with the warnings."""
        return self.load_dict_checked(_parse(_read(Path(path)), Path(path)), str(path))

    def load_dict_checked(self, definition: Any, source: str | None = None) -> LoadedWorkflow:
        """The workflow of a definition, with the warnings. ``source`` is named in the message of an error."""
        verdict = self._validator.validate(definition)
        tolerated = [error for error in verdict.errors if error.code in _TOLERATED]
        if not verdict.valid and (not tolerated or len(tolerated) < len(verdict.errors)):
            raise WorkflowLoadError(_summary(verdict.errors, source), verdict.errors)
        try:
            workflow = read_workflow(definition)
        except RecursionError as error:
            raise WorkflowLoadError("the workflow definition is nested too deeply to be read here") from error
        return LoadedWorkflow(workflow, [*tolerated, *verdict.warnings])


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowLoadError(f"Invalid JSON in {path}: it is not UTF-8: {error}") from error
    except (FileNotFoundError, ValueError) as error:  # a path with a null character is a ValueError
        raise WorkflowLoadError(f"Workflow file not found: {path}") from error
    except OSError as error:
        raise WorkflowLoadError(f"Workflow file {path} cannot be read: {error.strerror or error}") from error


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except ValueError as error:
        raise WorkflowLoadError(f"Invalid JSON in {path}: {error}") from error
    except RecursionError as error:
        raise WorkflowLoadError(f"Invalid JSON in {path}: it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!a} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _summary(errors: list[ValidationError], source: str | None) -> str:
    what = "the workflow definition" if source is None else f"the workflow definition in {source}"
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return f"{what} is invalid: " + "; ".join([*map(str, errors[:_SHOWN]), *more])
