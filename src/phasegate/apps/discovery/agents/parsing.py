"""The JSON in what a model answers: taken strictly, and checked against the schema of the task.

An answer is the value itself, or one fenced block and nothing else. JSON in the midst of prose may be an example or a quotation,
so that it is not taken for the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phasegate.apps.discovery.errors import AgentError
from phasegate.llm import redact
from phasegate.llm.json_strict import JSONTextError, loads

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

#: How deeply lists and objects may stand in one another. Far more than an answer needs, and little enough to be copied,
#: compared and stored.
DEEPEST = 100
#: As many violations of the schema as are told to the model at once.
MOST_VIOLATIONS = 5
#: Characters of a problem that are told; a message of a validator quotes the value it is about.
QUOTED = 300

_FENCE = re.compile(r"```[ \t]*+[^\s`]*+[ \t]*+\r?\n")


class UnusableAnswer(AgentError):
    """An answer that is empty, cut short, not JSON, or not as the schema wants it. The message says which."""


class AnswerReader:
    """Reads the answers to one task."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises ``AgentError`` when the schema cannot be used to check an answer."""
        self._validator = _validator(schema)

    def read(self, text: str, *, cut: bool = False) -> Any:
        """The value an answer is. ``cut`` says that the model ran out of tokens before it was done.

        Raises ``UnusableAnswer`` when there is none that the schema allows.
        """
        body = _body(text)
        if not body:
            raise UnusableAnswer("the answer is empty")
        if cut:
            raise UnusableAnswer("the answer is cut short: it reached the most tokens it may have")
        value = _value(body)
        problems = self._problems(value)
        if problems:
            raise UnusableAnswer("the answer does not follow the schema: " + "; ".join(problems))
        return value

    def _problems(self, value: Any) -> list[str]:
        from referencing.exceptions import Unresolvable

        problems: list[str] = []
        try:
            for error in self._validator.iter_errors(value):
                problems.append(_shortened(f"{error.json_path}: {error.message}"))
                if len(problems) == MOST_VIOLATIONS:
                    break
        except Unresolvable as error:
            problem = f"the schema of the task refers to something that is not in it: {_shortened(str(error))}"
            raise AgentError(problem) from None
        except RecursionError:
            raise AgentError("the schema of the task refers to itself without end") from None
        return problems


def _validator(schema: Any) -> Validator:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    if not isinstance(schema, Mapping) or not schema:
        raise AgentError("the task has no schema, without which no answer can be checked", hint="give a JSON Schema")
    plain = dict(schema)
    kind: Any = validator_for(plain, default=Draft202012Validator)
    try:
        json.dumps(plain, allow_nan=False)
        kind.check_schema(plain)
    except (SchemaError, RecursionError, TypeError, ValueError) as error:
        said = error.message if isinstance(error, SchemaError) else str(error)
        raise AgentError(f"the task has no valid JSON Schema: {_shortened(said)}") from None
    # With a registry of its own, a reference to the outside is an error and is never fetched.
    found: Validator = kind(plain, format_checker=kind.FORMAT_CHECKER, registry=Registry())
    return found


def _body(text: str) -> str:
    """The text, or what stands in its fence when it is one fenced block from beginning to end."""
    stripped = text.strip().removeprefix("\ufeff").strip()
    opened = _FENCE.match(stripped)
    if opened is None:
        return stripped
    # A fence that nobody closes, as in an answer cut short: what is inside says best what is wrong with it.
    return stripped[opened.end() :].rstrip().removesuffix("```").strip()


def _value(body: str) -> Any:
    if body[0] in "{[" and body[-1] not in "}]":
        raise UnusableAnswer("the answer is cut short: it ends before its JSON is closed, or goes on after it")
    try:
        return loads(body, deepest=DEEPEST)
    except JSONTextError as error:
        raise UnusableAnswer(f"the answer is not JSON from beginning to end: {_shortened(str(error))}") from None


def _shortened(text: str) -> str:
    """A problem as it may be told to anybody: one line, of some length, without secrets."""
    line = " ".join(redact(text).split())
    return line if len(line) <= QUOTED else f"{line[:QUOTED]}..."
