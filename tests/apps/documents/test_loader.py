from __future__ import annotations

import json
from pathlib import Path

import pytest

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import InputReference, IterationConfig, ScopeConfig
from phasegate.apps.documents.definition.validator import ValidationErrorCode, ValidationResult, WorkflowValidator
from phasegate.apps.documents.errors import WorkflowError, WorkflowLoadError
from tests.apps.documents.definitions import EXAMPLE, MISSING, changed, example, small


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "workflow.json"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def failure(path: Path) -> WorkflowLoadError:
    with pytest.raises(WorkflowLoadError) as raised:
        WorkflowLoader().load(path)
    return raised.value


def test_the_example_loads_as_it_stands() -> None:
    workflow = WorkflowLoader().load(EXAMPLE)
    assert (workflow.workflow_id, workflow.revision, workflow.effective_date) == (
        "conference_programme", "r1-draft", "2026-02-01",
    )  # fmt: skip
    assert workflow.scopes == {
        "event": ScopeConfig(parent=None),
        "track": ScopeConfig(parent="event"),
        "talk": ScopeConfig(parent="track"),
    }
    assert workflow.document_types["talk_list"].accepted_by == ["chair", "track_lead"]
    assert workflow.document_types["talk_list"].acceptance_required
    assert (workflow.document_types["event_brief"].may_own, workflow.document_types["event_brief"].on_reject) == (
        [],
        "fail",
    )
    assert workflow.entity_types["talk"].creates_scope == "talk"
    assert [step.step_id for step in workflow.get_production_steps()] == [
        "brief", "plan_tracks", "outline_track", "list_talks", "write_abstract",
    ]  # fmt: skip


def test_steps_keep_their_inputs_and_what_they_repeat() -> None:
    workflow = WorkflowLoader().load(EXAMPLE)
    per_talk, outline = workflow.get_step("per_talk"), workflow.get_step("outline_track")
    assert per_talk is not None
    assert outline is not None
    assert per_talk.iterate_over == IterationConfig(doc_type="talk_list", collection_field="talks", entity_type="talk")
    assert (per_talk.is_iteration, per_talk.is_production) == (True, False)
    assert outline.inputs == [
        InputReference(entity_type="track", scope="track", context=True),
        InputReference(doc_type="event_brief", scope="event", required=False),
    ]


def test_a_file_and_its_definition_give_equal_workflows() -> None:
    assert WorkflowLoader().load(EXAMPLE) == WorkflowLoader().load_dict(example())


def test_further_fields_are_kept_apart_from_the_definition() -> None:
    definition = changed(
        small(),
        ("document_types.note.schema", {"type": "object"}),
        ("document_types.note.on_reject", "revise"),
        ("entity_types.part.colour", ["red"]),
        ("steps.0.max_attempts", 5),
        ("steps.1.comment", "one note each"),
    )
    workflow = WorkflowLoader().load_dict(definition)
    definition["document_types"]["note"]["schema"]["type"] = "array"
    definition["entity_types"]["part"]["colour"].append("blue")
    assert workflow.document_types["note"].extra == {"schema": {"type": "object"}, "on_reject": "revise"}
    assert workflow.document_types["note"].on_reject == "revise"
    assert workflow.entity_types["part"].extra == {"colour": ["red"]}
    assert [step.extra for step in workflow.steps] == [{"max_attempts": 5}, {"comment": "one note each"}]


def test_a_description_may_be_missing() -> None:
    assert WorkflowLoader().load_dict(small()).description == ""


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    definition = {**small(), "name": "Größe"}
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(definition, ensure_ascii=False).encode("utf-8"))
    assert WorkflowLoader().load(path).name == "Größe"


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    error = failure(path)
    assert str(error) == f"Workflow file not found: {path}"
    assert isinstance(error, WorkflowError)
    assert "not found" in str(failure(Path("a\0b.json")))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read" in str(failure(tmp_path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"name": "x",}', "property name"),
        (b'{"name": NaN}', "NaN is not JSON"),
        (b'{"name": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"steps": [{"role": 1, "scope": 2, "role": 3}]}', "the key 'role' stands twice"),
        (b'{"name": "\xff"}', "not UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5_000, "digits"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_not_json_is_said_to_be_invalid(content: bytes, why: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    message = str(failure(path))
    assert message.startswith(f"Invalid JSON in {path}: ")
    assert why in message


@pytest.mark.parametrize("content", ["null", "[]", "5", '"text"', "{}", '{"steps": 1e999}'])
def test_json_that_is_no_definition_has_its_errors(content: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    error = failure(path)
    assert {each.code for each in error.errors} == {ValidationErrorCode.SCHEMA_INVALID}
    assert str(path) in str(error)


def test_every_problem_is_listed_and_the_message_names_the_first() -> None:
    definition = changed(small(), ("steps.0.produces", "nothing"), ("steps.1.steps.0.task_prompt", "x"))
    with pytest.raises(WorkflowLoadError, match=r"\[UNKNOWN_DOCUMENT_TYPE\] steps\[0\]\.produces: ") as raised:
        WorkflowLoader().load_dict(definition)
    assert [(each.code.value, each.path) for each in raised.value.errors] == [
        ("UNKNOWN_DOCUMENT_TYPE", "steps[0].produces"),
        ("INVALID_PROMPT_FORMAT", "steps[1].steps[0].task_prompt"),
    ]


def test_a_message_stays_short_however_much_is_wrong() -> None:
    definition = changed(small(), *[(f"scopes.s{n}", {}) for n in range(50)])
    with pytest.raises(WorkflowLoadError, match=r"and 45 more$") as raised:
        WorkflowLoader().load_dict(definition)
    assert len(raised.value.errors) == 50


def test_prompts_missing_in_the_manifest_are_warnings() -> None:
    loader = WorkflowLoader(WorkflowValidator(manifest=["Other v1.0"]))
    loaded = loader.load_dict_checked(small())
    assert loaded.workflow == loader.load_dict(small())
    assert [(each.code.value, each.path) for each in loaded.warnings] == [
        ("PROMPT_NOT_IN_MANIFEST", "steps[0].task_prompt"),
        ("PROMPT_NOT_IN_MANIFEST", "steps[1].steps[0].task_prompt"),
    ]


def test_beside_another_error_they_are_errors() -> None:
    loader = WorkflowLoader(WorkflowValidator(manifest=["Other v1.0"]))
    with pytest.raises(WorkflowLoadError) as raised:
        loader.load_dict(changed(small(), ("steps.1", MISSING), ("steps.0.produces", "nothing")))
    assert {each.code.value for each in raised.value.errors} == {"PROMPT_NOT_IN_MANIFEST", "UNKNOWN_DOCUMENT_TYPE"}


def test_doubts_of_the_validator_are_warnings() -> None:
    (warning,) = WorkflowLoader().load_dict_checked(changed(small(), ("steps.0", MISSING))).warnings
    assert warning.code is ValidationErrorCode.INPUT_NOT_PRODUCED
    assert WorkflowLoader().load_checked(EXAMPLE).warnings == []


class Silent(WorkflowValidator):
    """Finds nothing wrong with anything, or everything without saying why."""

    def __init__(self, valid: bool) -> None:
        super().__init__()
        self._valid = valid

    def validate(self, definition: object) -> ValidationResult:
        return ValidationResult(self._valid)


@pytest.mark.parametrize("definition", [None, [], {}, {**small(), "steps": [None]}])
def test_what_a_lenient_validator_lets_pass_must_still_be_readable(definition: object) -> None:
    with pytest.raises(WorkflowLoadError, match="cannot be read") as raised:
        WorkflowLoader(Silent(valid=True)).load_dict_checked(definition)
    assert len(raised.value.errors) == 1


def test_a_verdict_without_reasons_is_a_verdict() -> None:
    with pytest.raises(WorkflowLoadError, match="invalid"):
        WorkflowLoader(Silent(valid=False)).load_dict(small())
