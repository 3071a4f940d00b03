from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.documents.definition.shape import DEEPEST, packaged_schema
from phasegate.apps.documents.definition.validator import (
    ValidationError,
    ValidationErrorCode,
    ValidationResult,
    WorkflowValidator,
)
from phasegate.errors import InputError
from tests.apps.documents.definitions import (
    MISSING,
    Definition,
    changed,
    detailed,
    errors_of,
    example,
    found,
    note,
    small,
)


@pytest.mark.parametrize("definition", [example(), small(), detailed()])
def test_good_definitions_give_no_error_and_no_warning(definition: Definition) -> None:
    result = WorkflowValidator().validate(definition)
    assert (result.errors, result.warnings, result.valid) == ([], [], True)
    assert result


SHAPES: list[tuple[str, tuple[str, Any], str]] = [
    ("another version", ("schema_version", "workflow.v2"), "schema_version"),
    ("no version", ("schema_version", MISSING), "schema_version"),
    ("an id with a capital", ("workflow_id", "Small"), "workflow_id"),
    ("an id with a line feed", ("workflow_id", "small\n"), "workflow_id"),
    ("no date", ("effective_date", "31.1.2026"), "effective_date"),
    ("a day that is none", ("effective_date", "2026-02-30"), "effective_date"),
    ("no name", ("name", ""), "name"),
    ("a number for a description", ("description", 5), "description"),
    ("a field too many", ("descripton", "x"), "descripton"),
    ("no scope", ("scopes", {}), "scopes"),
    ("no document type", ("document_types", {}), "document_types"),
    ("no step", ("steps", []), "steps"),
    ("steps as an object", ("steps", {}), "steps"),
    ("a scope without parent", ("scopes.part", {}), "scopes.part.parent"),
    ("a scope that is text", ("scopes.part", "project"), "scopes.part"),
    ("an odd name", ("scopes.a b", {"parent": 1}), 'scopes["a b"].parent'),
    ("a document type without scope", ("document_types.note.scope", MISSING), "document_types.note.scope"),
    ("ownership not said", ("document_types.note.may_own", MISSING), "document_types.note.may_own"),
    ("a number owned", ("document_types.note.may_own", [1]), "document_types.note.may_own[0]"),
    ("a word for yes", ("document_types.note.acceptance_required", "yes"), "document_types.note.acceptance_required"),
    ("acceptors alone", ("document_types.note.accepted_by", ["chair"]), "document_types.note.acceptance_required"),
    ("another end", ("document_types.note.on_reject", "retry"), "document_types.note.on_reject"),
    ("a list for a schema", ("document_types.note.schema", []), "document_types.note.schema"),
    ("a schema that is none", ("document_types.note.schema", {"type": "text"}), "document_types.note.schema.type"),
    ("no owner", ("entity_types.part.parent_doc_type", MISSING), "entity_types.part.parent_doc_type"),
    ("no entity types", ("entity_types", MISSING), "entity_types"),
    ("a step id with a dash", ("steps.0.step_id", "make-plan"), "steps[0].step_id"),
    ("a step without role", ("steps.0.role", MISSING), "steps[0].role"),
    ("a step without inputs", ("steps.0.inputs", MISSING), "steps[0].inputs"),
    ("a step that is text", ("steps.0", "make_plan"), "steps[0]"),
    ("a step of two kinds", ("steps.1.role", "Writer 1.0"), "steps[1].role"),
    ("nothing to repeat", ("steps.1.steps", []), "steps[1].steps"),
    ("nothing to go through", ("steps.1.iterate_over", MISSING), "steps[1].iterate_over"),
    ("a source with more", ("steps.1.iterate_over.limit", 3), "steps[1].iterate_over.limit"),
    ("a nested step", ("steps.1.steps.0.produces", 3), "steps[1].steps[0].produces"),
    ("a negative temperature", ("steps.0.temperature", -1), "steps[0].temperature"),
    ("no attempt", ("steps.0.max_attempts", 0), "steps[0].max_attempts"),
    ("no time", ("steps.0.timeout_s", 0), "steps[0].timeout_s"),
    ("true for a number", ("steps.0.max_tokens", True), "steps[0].max_tokens"),
    ("an input of nothing", note(scope="project"), "steps[1].steps[0].inputs[0]"),
    ("an input of two", note(scope="part", doc_type="note", entity_type="part"), "steps[1].steps[0].inputs[0]"),
    ("an input of no scope", note(doc_type="plan"), "steps[1].steps[0].inputs[0].scope"),
    ("an input with more", note(doc_type="plan", scope="project", why="x"), "steps[1].steps[0].inputs[0].why"),
    ("a number that is none", ("steps.0.extra", [float("nan")]), "steps[0].extra[0]"),
    ("a number beyond all", ("steps.0.extra", 10**5000), "steps[0].extra"),
    ("half a character", ("steps.0.role", "\ud800"), "steps[0].role"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "path"), [each[1:] for each in SHAPES], ids=[each[0] for each in SHAPES])
def test_a_wrong_shape_is_reported_with_its_place(change: tuple[str, Any], path: str) -> None:
    assert errors_of(changed(small(), change)) == {("SCHEMA_INVALID", path)}


def test_an_input_of_two_things_says_so() -> None:
    (error,) = WorkflowValidator().validate(changed(small(), note(scope="part"))).errors
    assert str(error) == (
        "[SCHEMA_INVALID] steps[1].steps[0].inputs[0]: must have exactly one of doc_type and entity_type"
    )


def test_every_wrong_shape_is_reported_once_and_nothing_else() -> None:
    definition = changed(
        small(), ("name", 1), ("scopes.part.parent", "nowhere"), ("steps.0.role", MISSING), ("steps.0.inputs", MISSING)
    )
    assert [str(error) for error in WorkflowValidator().validate(definition).errors] == [
        "[SCHEMA_INVALID] name: must be text, not 1",
        "[SCHEMA_INVALID] steps[0].role: is missing",
        "[SCHEMA_INVALID] steps[0].inputs: is missing",
    ]


def test_broken_scopes_stop_the_check() -> None:
    definition = changed(
        small(),
        ("scopes", {"project": {"parent": "part"}, "part": {"parent": "project"}, "lost": {"parent": "nowhere"}}),
        ("steps.0.produces", "nothing"),
    )
    assert errors_of(definition) == {
        ("INVALID_SCOPE_HIERARCHY", "scopes.project.parent"),
        ("INVALID_SCOPE_HIERARCHY", "scopes.lost.parent"),
    }


def test_every_rule_is_asked() -> None:
    definition = changed(
        small(), ("steps.0.task_prompt", "x"), ("steps.0.produces", "nothing"), ("document_types.note.scope", "nowhere")
    )
    result = WorkflowValidator().validate(definition)
    assert {error.code for error in result.errors} >= {
        ValidationErrorCode.INVALID_PROMPT_FORMAT,
        ValidationErrorCode.UNKNOWN_DOCUMENT_TYPE,
        ValidationErrorCode.UNKNOWN_SCOPE,
    }
    assert (result.valid, bool(result)) == (False, False)
    assert ("INPUT_NOT_PRODUCED", "steps[1].iterate_over.doc_type") in found(result.warnings)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_prompts_are_looked_up_in_the_manifest(as_mapping: bool, tmp_path: Path) -> None:
    names = ["Track Plan v1.0", "Track Outline v1.0", "Talk List v1.0", "Talk Abstract v1.0"]
    manifest: Any = {"tasks": names} if as_mapping else names
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    for source in (manifest, path):
        result = WorkflowValidator(manifest=source).validate(example())
        assert found(result.errors) == {("PROMPT_NOT_IN_MANIFEST", "steps[0].task_prompt")}


@pytest.mark.parametrize("manifest", [None, [], {}, {"tasks": []}, {"tasks": {}}])
def test_a_manifest_without_entries_says_nothing(manifest: Any) -> None:
    assert WorkflowValidator(manifest=manifest).validate(example()).valid


@pytest.mark.parametrize("manifest", ["tasks", [1], {"tasks": 5}, {"roles": []}, Path("no/such/manifest.json")])
def test_a_manifest_that_cannot_be_used_is_refused_at_once(manifest: Any) -> None:
    with pytest.raises(InputError, match="manifest"):
        WorkflowValidator(manifest=manifest)


def test_another_schema_may_be_used(tmp_path: Path) -> None:
    schema = {**packaged_schema(), "required": [*packaged_schema()["required"], "owner"], "additionalProperties": True}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema), encoding="utf-8")
    for source in (schema, path):
        validator = WorkflowValidator(source)
        assert found(validator.validate(small()).errors) == {("SCHEMA_INVALID", "owner")}
        assert validator.validate({**small(), "owner": "me"}).valid


def test_what_another_schema_lets_pass_is_read_with_care() -> None:
    validator = WorkflowValidator({"type": "object"})
    assert validator.validate(small()).valid
    for change, path in [(("name", 5), "name"), (("steps.0.inputs", [5]), "steps[0].inputs[0]"),
                         (("scopes.part", 5), "scopes.part"), (("steps.1.iterate_over", None), "steps[1].iterate_over"),
                         (("document_types.plan.may_own", [5]), "document_types.plan.may_own[0]")]:  # fmt: skip
        assert found(validator.validate(changed(small(), change)).errors) == {("SCHEMA_INVALID", path)}


@pytest.mark.parametrize("schema", [{"type": "thing"}, [], Path("no/such/schema.json")])
def test_a_schema_that_cannot_be_used_is_refused_at_once(schema: Any) -> None:
    with pytest.raises(InputError, match="schema"):
        WorkflowValidator(schema)


def test_a_message_stays_short_whatever_it_is_about() -> None:
    validator = WorkflowValidator({"properties": {"steps": {"maxItems": 1}, "name": {"pattern": "^Y"}}})
    errors = validator.validate({"name": "x" * 10_000, "steps": ["y" * 10_000] * 2}).errors
    assert sorted(error.path for error in errors) == ["name", "steps"]
    assert max(len(error.message) for error in errors) < 400


def test_a_schema_that_points_nowhere_is_an_error_of_the_definition() -> None:
    (error,) = WorkflowValidator({"$ref": "https://nowhere.invalid/schema"}).validate(small()).errors
    assert error.code is ValidationErrorCode.SCHEMA_INVALID
    assert "unknown" in error.message


NO_OBJECTS: list[object] = [
    None,
    True,
    0,
    10**6000,
    float("inf"),
    "",
    "\ud800",
    [],
    [[]],
    (),
    {1: 2},
    {"\ud800": 1},
    b"",
]


@pytest.mark.parametrize("value", NO_OBJECTS, ids=lambda value: type(value).__name__)
def test_what_is_no_object_is_invalid(value: object) -> None:
    result = WorkflowValidator().validate(value)
    assert {error.code for error in result.errors} == {ValidationErrorCode.SCHEMA_INVALID}


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> Definition:
        value: Any = "x"
        for _ in range(levels):
            value = [value]
        return {**small(), "description": "", "steps": [{**small()["steps"][0], "extra": value}, small()["steps"][1]]}

    assert WorkflowValidator().validate(nested(DEEPEST - 3)).valid
    for levels in (DEEPEST - 2, 50_000):
        (error,) = WorkflowValidator().validate(nested(levels)).errors
        assert "nested more than" in error.message


def test_a_value_that_contains_itself_is_invalid() -> None:
    definition = small()
    definition["steps"][0]["extra"] = [definition, definition]
    (error,) = WorkflowValidator().validate(definition).errors
    assert "nested more than" in error.message


def test_findings_stand_in_the_order_of_the_definition() -> None:
    definition = {**small(), "a": float("nan"), "b": [float("inf"), {1: 2}], "c": ()}
    assert [error.path for error in WorkflowValidator().validate(definition).errors] == ["a", "b[0]", "b[1]", "c"]


def test_a_finding_reads_as_code_place_and_sentence() -> None:
    assert str(ValidationError(ValidationErrorCode.UNKNOWN_SCOPE, "unknown", "steps[0].scope")) == (
        "[UNKNOWN_SCOPE] steps[0].scope: unknown"
    )
    assert str(ValidationError(ValidationErrorCode.SCHEMA_INVALID, "no object")) == "[SCHEMA_INVALID] no object"


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    (error,) = WorkflowValidator().validate(changed(small(), ("steps.0.produces", "plam"), ("steps.1", MISSING))).errors
    assert error.message == "unknown document type 'plam'; did you mean 'plan'?"


def test_verdicts_have_named_constructors() -> None:
    error = ValidationError(ValidationErrorCode.UNKNOWN_SCOPE, "unknown")
    assert ValidationResult.success() == ValidationResult(True, [])
    assert ValidationResult.failure([error]) == ValidationResult(False, [error])
