"""Definitions for tests: the example, one small enough to break in one place, and what changes them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from phasegate.apps.documents.definition.validator import ValidationError, WorkflowValidator

EXAMPLES = Path(__file__).parents[3] / "examples" / "workflows"
EXAMPLE = EXAMPLES / "conference_programme.json"

Definition = dict[str, Any]
Found = set[tuple[str, str]]


def example() -> Definition:
    """The definition that comes with the examples."""
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


def small() -> Definition:
    """Projects with one plan each, and one note for every part that the plan names."""
    return {
        "schema_version": "workflow.v1",
        "workflow_id": "small",
        "revision": "1",
        "effective_date": "2026-01-31",
        "name": "Small",
        "scopes": {"project": {"parent": None}, "part": {"parent": "project"}},
        "document_types": {
            "plan": {"name": "Plan", "scope": "project", "may_own": ["part"], "collection_field": "parts"},
            "note": {"name": "Note", "scope": "part", "may_own": []},
        },
        "entity_types": {"part": {"name": "Part", "parent_doc_type": "plan", "creates_scope": "part"}},
        "steps": [
            production("make_plan", "project", "plan"),
            iteration("per_part", "part", [production("make_note", "part", "note")]),
        ],
    }


def production(step_id: str, scope: str, produces: str, *inputs: Definition) -> Definition:
    return {
        "step_id": step_id,
        "scope": scope,
        "role": "Writer 1.0",
        "task_prompt": "Some Document v1.0",
        "produces": produces,
        "inputs": list(inputs),
    }


def iteration(step_id: str, scope: str, steps: list[Definition], **over: str) -> Definition:
    source = {"doc_type": "plan", "collection_field": "parts", "entity_type": "part", **over}
    return {"step_id": step_id, "scope": scope, "iterate_over": source, "steps": steps}


def document_type(scope: str, **more: Any) -> Definition:
    return {"name": "Anything", "scope": scope, "may_own": [], **more}


MISSING = object()


def changed(definition: Definition, *changes: tuple[str, Any]) -> Definition:
    """A copy with other values at some places (``"steps.0.scope"``); ``MISSING`` takes one out, ``+`` appends to a list."""
    result = copy.deepcopy(definition)
    for path, value in changes:
        *way, last = path.split(".")
        target: Any = result
        for key in way:
            target = target[int(key)] if isinstance(target, list) else target[key]
        if last == "+":
            target.append(value)
        elif value is MISSING:
            del target[int(last) if isinstance(target, list) else last]
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return result


def note(**reference: Any) -> tuple[str, Definition]:
    """The step that makes notes, with one input."""
    return ("steps.1.steps.0", production("make_note", "part", "note", reference))


def detailed(*changes: tuple[str, Any]) -> Definition:
    """The small definition with a third level: notes own details, and each detail gets a text."""
    inner = iteration("per_detail", "detail", [production("make_text", "detail", "text")],
                      doc_type="note", collection_field="details", entity_type="detail")  # fmt: skip
    return changed(
        small(),
        ("scopes.detail", {"parent": "part"}),
        ("document_types.note", document_type("part", may_own=["detail"], collection_field="details")),
        ("document_types.text", document_type("detail")),
        ("entity_types.detail", {"name": "Detail", "parent_doc_type": "note", "creates_scope": "detail"}),
        ("steps.1.steps.+", inner),
        *changes,
    )


def found(errors: list[ValidationError]) -> Found:
    return {(error.code.value, error.path) for error in errors}


def errors_of(definition: object) -> Found:
    return found(WorkflowValidator().validate(definition).errors)
