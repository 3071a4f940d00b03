"""The shape of a definition: JSON at all, and JSON that fits the schema. Nothing here asks what the names mean."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.exceptions import Unresolvable

from phasegate.apps.documents.definition.places import extend, place
from phasegate.apps.documents.definition.verdicts import ValidationError, ValidationErrorCode
from phasegate.errors import did_you_mean

#: How many objects and arrays may stand within one another; more than thirty iterations within iterations.
DEEPEST = 64
#: A whole number of more bits than this cannot be written as JSON text by every program.
_LONGEST_NUMBER = 4096
_LONGEST_MESSAGE = 300
_TOO_DEEP = f"is nested more than {DEEPEST} levels deep"


@cache
def packaged_schema() -> dict[str, Any]:
    """The schema of ``workflow.v1`` that comes with phasegate. Shared: do not change it."""
    found = resources.files("phasegate.apps.documents").joinpath("schemas", "workflow.v1.json")
    schema: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return schema


def shape_errors(definition: object, schema: Mapping[str, Any]) -> list[ValidationError]:
    """Everything that keeps a value from fitting the schema, each with its place. Never raises, whatever the value is."""
    unusable = list(_unusable(definition))
    if unusable:
        return unusable
    checker = Draft202012Validator(schema, registry=Registry(), format_checker=FormatChecker(["date"]))
    try:
        found = [_error(path, message) for each in checker.iter_errors(definition) for path, message in _findings(each)]
        return list(dict.fromkeys(found)) or list(_document_schema_errors(definition))
    except RecursionError:
        return [_error("", "is nested too deeply to be checked here")]
    except Unresolvable as error:
        return [_error("", f"cannot be checked, the schema refers to something unknown: {error}")]


def _error(path: str, message: str) -> ValidationError:
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + "..."
    return ValidationError(ValidationErrorCode.SCHEMA_INVALID, message, path)


def _unusable(definition: object) -> Iterator[ValidationError]:
    """What could not stand in a JSON file, or stands too deep in one. Without recursion, and finite even for a cycle."""
    todo: list[tuple[object, tuple[str | int, ...]]] = [(definition, ())]
    while todo:
        value, path = todo.pop()
        if isinstance(value, (dict, list)) and len(path) >= DEEPEST:
            yield _error(place(*path), _TOO_DEEP)
            return
        complaint = _complaint(value)
        if complaint is not None:
            yield _error(place(*path), complaint)
        if isinstance(value, (dict, list)):
            items: Any = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [(each, (*path, key if isinstance(key, (str, int)) else ascii(key))) for key, each in items]
            todo.extend(reversed(inner))


def _complaint(value: object) -> str | None:
    if isinstance(value, str):
        return None if _is_text(value) else "has characters that no text can have"
    if isinstance(value, int):
        return "is a number that is too large" if value.bit_length() > _LONGEST_NUMBER else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str) or not _is_text(key)), None)
        return None if wrong is None else f"has a key that is not text: {type(wrong).__name__} {_shown(wrong)}"
    return None if value is None or isinstance(value, list) else f"is a {type(value).__name__}, which is not JSON"


def _is_text(value: str) -> bool:
    """False for half of a surrogate pair, which JSON can spell but no file or request can carry."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    shown = json.dumps(value) if value is None or isinstance(value, (str, bool, int, float)) else type(value).__name__
    return shown if len(shown) <= 80 else shown[:80] + "..."


def _findings(error: jsonschema.ValidationError) -> Iterator[tuple[str, str]]:
    """Place and sentence of each thing that one error of the library is about."""
    path, wanted, schema = place(*error.absolute_path), _wanted(error), error.schema
    instance: Any = error.instance
    if error.validator == "required":
        yield from ((extend(path, [name]), "is missing") for name in wanted if name not in instance)
    elif error.validator == "additionalProperties" and wanted is False:
        known = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        for name in instance:
            if name not in known:
                hint = did_you_mean(name, known)
                yield extend(path, [name]), "is not a known field here" + (f"; {hint}" if hint else "")
    else:
        sentence = _SENTENCES.get(str(error.validator))
        yield path, sentence(error) if sentence is not None else error.message


def _wanted(error: jsonschema.ValidationError) -> Any:
    """What the schema says under the keyword that was not met."""
    return error.validator_value


def _type(error: jsonschema.ValidationError) -> str:
    wanted = [_wanted(error)] if isinstance(_wanted(error), str) else _wanted(error)
    return f"must be {' or '.join(_TYPES.get(name, name) for name in wanted)}, not {_kind(error.instance)}"


def _kind(value: object) -> str:
    if isinstance(value, (dict, list)):
        return _TYPES["object" if isinstance(value, dict) else "array"]
    return _shown(value)


def _pattern(error: jsonschema.ValidationError) -> str:
    wanted = str(_wanted(error))
    if wanted == packaged_schema()["$defs"]["identifier"]["pattern"]:
        wanted = "small letters, digits and underscores, a letter first"
    return f"must be {wanted}, not {_shown(error.instance)}"


def _exactly_one(error: jsonschema.ValidationError) -> str:
    names = [name for choice in _wanted(error) if isinstance(choice, dict) for name in choice.get("required", [])]
    return f"must have exactly one of {' and '.join(names)}" if names else "must fit exactly one of several schemas"


_TYPES = {
    "object": "an object",
    "array": "an array",
    "string": "text",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
}
_SENTENCES: dict[str, Callable[[jsonschema.ValidationError], str]] = {
    "not": lambda _: "is not allowed beside the other fields here",
    "type": _type,
    "pattern": _pattern,
    "oneOf": _exactly_one,
    "const": lambda error: f"must be {_shown(_wanted(error))}, not {_kind(error.instance)}",
    "enum": lambda error: f"must be one of {', '.join(map(_shown, _wanted(error)))}, not {_kind(error.instance)}",
    "format": lambda error: f"must be a {_wanted(error)}, not {_shown(error.instance)}",
    "minLength": lambda _: "must not be empty",
    "minItems": lambda _: "must have at least one entry",
    "minProperties": lambda _: "must have at least one entry",
    "minimum": lambda error: f"must be at least {_wanted(error)}, not {_shown(error.instance)}",
    "exclusiveMinimum": lambda error: f"must be more than {_wanted(error)}, not {_shown(error.instance)}",
}


def _document_schema_errors(definition: object) -> Iterator[ValidationError]:
    """Schemas of documents, given in the definition itself, that are no JSON schemas."""
    types = definition.get("document_types") if isinstance(definition, dict) else None
    for name, each in types.items() if isinstance(types, dict) else ():
        schema = each.get("schema") if isinstance(each, dict) else None
        if isinstance(schema, dict):
            try:
                # Without formats: what a pattern may look like is the business of the engine that runs it.
                Draft202012Validator.check_schema(schema, format_checker=FormatChecker([]))
            except jsonschema.SchemaError as error:
                where = extend(place("document_types", name, "schema"), error.absolute_path)
                yield _error(where, f"is not a JSON schema: {error.message}")
