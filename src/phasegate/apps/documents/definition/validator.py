"""Checking a workflow definition before anybody runs it: everything that is wrong with it, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator

from phasegate.apps.documents.definition.doubts import DOUBTS
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.definition.places import place
from phasegate.apps.documents.definition.reading import read_workflow
from phasegate.apps.documents.definition.rules import TYPE_RULES, Subject
from phasegate.apps.documents.definition.scopes import hierarchy_problems
from phasegate.apps.documents.definition.shape import packaged_schema, shape_errors
from phasegate.apps.documents.definition.step_rules import STEP_RULES
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode, ValidationResult
from phasegate.apps.documents.errors import WorkflowLoadError
from phasegate.errors import InputError

__all__ = ["ValidationError", "ValidationErrorCode", "ValidationResult", "WorkflowValidator"]


class WorkflowValidator:
    """Checks definitions.

    ``schema`` (a mapping, or the path of a file) is used in place of the schema that comes with phasegate; what the rules
    cannot read is refused nevertheless. ``manifest`` names the task prompts that exist: their names, a mapping that has
    them under ``tasks``, or the path of a JSON file with either; an empty one counts as none. Raises ``InputError`` when
    one of the two cannot be used.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | Path | None = None,
        manifest: Mapping[str, Any] | Iterable[str] | Path | None = None,
    ) -> None:
        self._schema = packaged_schema() if schema is None else _usable_schema(schema)
        self._task_prompts = frozenset[str]() if manifest is None else _prompt_names(manifest)

    def validate(self, definition: object) -> ValidationResult:
        """Check one definition, as it comes out of a JSON file.

        Never raises, whatever the value is. When the shape is wrong, or scopes do not form trees, that alone is reported;
        otherwise every rule is asked and everything found is listed.
        """
        errors = shape_errors(definition, self._schema)
        if errors:
            return ValidationResult.failure(errors)
        try:
            workflow = read_workflow(definition)
        except WorkflowLoadError as error:
            return ValidationResult.failure(error.errors)
        except RecursionError:
            found = ValidationError(ValidationErrorCode.SCHEMA_INVALID, "is nested too deeply to be read here")
            return ValidationResult.failure([found])
        return self.validate_workflow(workflow)

    def validate_workflow(self, workflow: Workflow) -> ValidationResult:
        """Check a definition that was built in Python: the rules alone, for its shape is that of the classes."""
        parents = {name: scope.parent for name, scope in workflow.scopes.items()}
        code = ValidationErrorCode.INVALID_SCOPE_HIERARCHY
        broken = hierarchy_problems(parents)
        if broken:
            return ValidationResult.failure(
                ValidationError(code, message, place("scopes", name, "parent")) for name, message in broken
            )
        subject = Subject.of(workflow, self._task_prompts)
        errors = [found for rule in (*TYPE_RULES, *STEP_RULES) for found in rule(subject)]
        warnings = [found for doubt in DOUBTS for found in doubt(subject)]
        return ValidationResult.failure(errors, warnings) if errors else ValidationResult.success(warnings)


def _usable_schema(source: Mapping[str, Any] | Path) -> Mapping[str, Any]:
    schema = _read(source) if isinstance(source, Path) else source
    if not isinstance(schema, Mapping):
        raise InputError("a schema for workflow definitions is an object")
    schema = dict(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InputError(f"this is not a JSON schema: {error.message}") from error
    return schema


def _prompt_names(source: Mapping[str, Any] | Iterable[str] | Path) -> frozenset[str]:
    manifest = _read(source) if isinstance(source, Path) else source
    if isinstance(manifest, Mapping) and manifest:
        manifest = manifest.get("tasks")
    names = list(manifest) if isinstance(manifest, Iterable) and not isinstance(manifest, str) else [None]
    texts = frozenset(name for name in names if isinstance(name, str))
    if not all(isinstance(name, str) for name in names):
        raise InputError("a prompt manifest is a list of names, or an object that has them under 'tasks'")
    return texts


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
