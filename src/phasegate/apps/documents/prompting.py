"""What a model is told: the task, what it may use, what is expected, what it was answered, what was wrong before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from phasegate.apps.documents.definition.models import DocumentTypeConfig


@dataclass(frozen=True, slots=True)
class Revision:
    """A document that a person rejected, and why; ``number`` counts the revisions in a row."""

    document: Any
    comment: str
    decided_by: str = ""
    number: int = 1


def user_prompt(
    task: str, inputs: Mapping[str, Any], document_type: str, document: DocumentTypeConfig,
    schema: Mapping[str, Any] | None = None, answers: Sequence[tuple[str, Any]] = (), revision: Revision | None = None,
    no_more_questions: bool = False,
) -> str:  # fmt: skip
    """The whole request of a step; ``answers`` are pairs of a question's text and its answer."""
    parts = [("Task", task.strip())]
    if inputs:
        parts.append(("Inputs", "\n\n".join(f"## {name}\n\n{_json(value)}" for name, value in inputs.items())))
    parts.append(("Output", _output(document_type, document, schema)))
    if answers:
        said = "\n".join(f"- {question}\n  {_inline(answer)}" for question, answer in answers)
        parts.append(("Clarification Answers", said))
    if no_more_questions:
        parts.append(
            ("No more questions", "Do not ask again: produce the document and state the assumptions it rests on.")
        )
    if revision is not None:
        said = f"A reviewer rejected this document:\n\n{_json(revision.document)}\n\nThe reviewer's words: {revision.comment}"
        parts.append(("Revision", f"{said}\n\nProduce the whole document again so that it meets them."))
    return "\n\n".join(f"# {heading}\n\n{text}" for heading, text in parts)


def _output(document_type: str, document: DocumentTypeConfig, schema: Mapping[str, Any] | None) -> str:
    lines = [f"One JSON object, the document {document.name!r} of type {document_type}, and nothing else."]
    if document.collection_field:
        owned = ", ".join(document.may_own) or "items"
        lines.append(
            f"Its field {document.collection_field!r} is an array with one object per {owned}, each with an id of its own."
        )
    if schema is not None:
        lines.append(f"It conforms to this JSON schema:\n\n{_json(schema)}")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return f"```json\n{orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}\n```"


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
