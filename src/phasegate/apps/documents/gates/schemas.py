"""JSON schemas, compiled once and asked without ever reaching for the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from phasegate.apps.documents.errors import WorkflowError

#: As many violations as are listed; a last one says that there are more.
MOST_VIOLATIONS = 200
#: A message quotes the value it is about, which may be long.
LONGEST_MESSAGE = 500

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that is ready to be asked. ``compile_schema`` makes it."""

    validator: Validator


def compile_schema(schema: Any) -> Schema:
    """Make a schema ready; formats such as ``date`` and ``uuid`` will be checked too.

    The dialect is the one that ``$schema`` names, otherwise draft 2020-12. Raises ``WorkflowError`` when it is no schema.
    """
    if not isinstance(schema, Mapping | bool):
        raise WorkflowError("a schema is an object or a boolean")
    kind: Any = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise WorkflowError(f"no valid JSON schema: {_cut(error.message)} at {error.json_path}") from error
    except RecursionError as error:
        raise WorkflowError("no valid JSON schema: nested too deeply") from error
    # With a registry of its own a reference to the outside cannot be resolved, instead of being fetched.
    return Schema(kind(schema, format_checker=FORMATS, registry=Registry()))


def violations(schema: Schema, value: Any) -> list[tuple[str, str]]:
    """Everything in which a value violates a schema: the place, as in ``$.items[0]``, and a sentence; in the schema's order.

    Raises ``WorkflowError`` when the schema refers to something that is not in it.
    """
    try:
        found = list(islice(schema.validator.iter_errors(value), MOST_VIOLATIONS + 1))
    except RecursionError:
        return [("$", "nested too deeply to be checked")]
    except Unresolvable as error:
        raise WorkflowError(f"the schema refers to something that is not in it: {_cut(str(error))}") from error
    listed = [_sentence(each) for each in found[:MOST_VIOLATIONS]]
    if len(found) > MOST_VIOLATIONS:
        listed.append(("$", "there are more violations, which are not listed"))
    return listed


def _sentence(error: ValidationError) -> tuple[str, str]:
    return error.json_path, _cut(error.message)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."
