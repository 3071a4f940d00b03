from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.documents.definition.models import DocumentTypeConfig
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.gates.qa import QAFinding, QAGate, QAResult, check_document
from phasegate.apps.documents.gates.schemas import LONGEST_MESSAGE, MOST_VIOLATIONS, compile_schema, violations
from tests.apps.documents import shapes
from tests.apps.documents.shapes import question_set

NOTE = {
    "type": "object",
    "required": ["title"],
    "properties": {
        "title": {"type": "string"},
        "due": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "id": {"type": "string", "format": "uuid"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def rules(found: list[QAFinding]) -> list[tuple[str, str | None]]:
    return [(each.severity, each.rule) for each in found]


@pytest.fixture
def gate(tmp_path: Path) -> QAGate:
    (tmp_path / "note.json").write_text(json.dumps(NOTE), encoding="utf-8")
    gate = QAGate(tmp_path)
    gate.register_schema("note", "note.json")
    return gate


@pytest.mark.parametrize(
    ("output", "passed", "found", "says"),
    [
        ({"a": 1}, True, [], ""),
        ([1], True, [], ""),
        ('{"a": 1}', True, [], ""),
        ("{", False, [("error", "json_parse")], "Invalid JSON: "),
        ("", False, [("error", "json_parse")], "Invalid JSON: "),
        (None, False, [("error", "not_null")], "null"),
        ("null", False, [("error", "not_null")], "null"),
        (7, False, [("error", "json_type")], "must be object or array"),
        (True, False, [("error", "json_type")], "must be object or array"),
        ('"text"', False, [("error", "json_type")], "must be object or array"),
        (object(), False, [("error", "json_type")], "must be object or array"),
        ({}, True, [("warning", "not_empty")], "empty"),
        ("[]", True, [("warning", "not_empty")], "empty"),
    ],
)
def test_the_shape_of_an_answer(output: Any, passed: bool, found: list[tuple[str, str]], says: str) -> None:
    result = QAGate().check(output, "anything")
    assert (result.passed, rules(result.findings), result.schema_used) == (passed, found, None)
    assert all(says in each.message for each in result.findings)


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        (
            {
                "title": "Plan",
                "due": "2026-02-28",
                "at": "2026-02-28T10:00:00Z",
                "id": question_set()["correlation_id"],
            },
            [],
        ),
        ({"title": 7, "tags": ["a", 1, None]}, ["$.title", "$.tags[1]", "$.tags[2]"]),
        ({}, ["$", "$"]),
        ([1], ["$"]),
        ({"title": "Plan", "due": "2026-02-30"}, ["$.due"]),
        ({"title": "Plan", "due": "soon", "at": "2026-02-28T10:00:00", "id": "seven"}, ["$.due", "$.at", "$.id"]),
    ],
)
def test_every_violation_of_the_schema_is_an_error(gate: QAGate, document: Any, paths: list[str]) -> None:
    result = gate.check(document, "note")
    assert (result.passed, [each.path for each in result.findings]) == (not paths, paths)
    assert {each.rule for each in result.findings if each.severity == "error"} <= {"schema_validation"}
    assert result.schema_used == "note.json"


def test_a_schema_file_that_is_missing_is_a_warning_when_it_is_taken_strictly(gate: QAGate) -> None:
    gate.register_schema("letter", "letter.json")
    result = gate.check({"a": 1}, "letter")
    assert (result.passed, rules(result.findings)) == (True, [("warning", "schema_missing")])
    assert (result.error_count, result.warning_count, result.schema_used) == (0, 1, None)
    assert gate.check({"a": 1}, "letter", strict=False).findings == []


def test_a_file_that_comes_later_is_read_then(gate: QAGate, tmp_path: Path) -> None:
    gate.register_schema("letter", "letter.json")
    assert gate.check({"a": 1}, "letter").passed
    (tmp_path / "letter.json").write_text('{"required": ["to"]}', encoding="utf-8")
    assert not gate.check({"a": 1}, "letter").passed


@pytest.mark.parametrize("text", ["{", '"text"', '{"type": "colour"}', '{"$ref": "other.json"}'])
def test_a_schema_file_that_cannot_be_used_is_nobodys_fault_but_its_own(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text, encoding="utf-8")
    gate = QAGate(tmp_path)
    gate.register_schema("note", "broken.json")
    with pytest.raises(WorkflowError, match="schema"):
        gate.check({"a": 1}, "note")


@pytest.mark.parametrize("name", ["../note.json", "/note.json", "a/note.json", "a\\note.json", "", "."])
def test_a_schema_is_a_plain_file_name(gate: QAGate, name: str) -> None:
    with pytest.raises(WorkflowError, match="plain file name"):
        gate.register_schema("letter", name)
    assert not gate.has_schema("letter")


def test_what_one_gate_knows_no_other_does(gate: QAGate) -> None:
    assert gate.has_schema("note")
    assert not QAGate().has_schema("note")
    assert QAGate().list_schemas() == {
        "clarification_questions": "clarification_question_set.v1.json",
        "intake_gate_result": "intake_gate_result.v1.json",
    }


@pytest.mark.parametrize(
    ("kind", "document", "passed"),
    [
        ("clarification_questions", question_set(), True),
        ("clarification_questions", question_set(correlation_id="seven"), False),
        ("clarification_questions", question_set(questions=[]), False),
        ("intake_gate_result",
         {"schema_version": "intake_gate_result.v1", "outcome": "accepted", "reason": "clear", "workflow_id": "a"}, True),
        ("intake_gate_result", {"schema_version": "intake_gate_result.v1", "outcome": "accepted", "reason": "clear"}, False),
        ("intake_gate_result", {"schema_version": "intake_gate_result.v1", "outcome": "rejected", "reason": "spam"}, True),
        ("intake_gate_result", {"outcome": "maybe"}, False),
    ],
)  # fmt: skip
def test_the_schemas_that_come_with_the_package(kind: str, document: Any, passed: bool) -> None:
    result = QAGate().check(document, kind)
    assert (result.passed, result.schema_used) == (passed, QAGate().list_schemas()[kind])


BACKLOG = shapes.workflow().document_types["backlog"]


@pytest.mark.parametrize(
    ("value", "paths", "says"),
    [
        ({"epics": [{"id": "a"}, {"id": 1}, {"epic_id": "b"}, {}, {}]}, [], ""),
        ({"epics": []}, [], ""),
        ({}, ["$"], "empty document"),
        ([], ["$"], "document must be an object"),
        ([{"id": "a"}], ["$"], "document must be an object"),
        (None, ["$"], "document must be an object"),
        ("text", ["$"], "document must be an object"),
        ({"title": "x"}, ["$.epics"], "missing"),
        ({"epics": {"id": "a"}}, ["$.epics"], "must be an array"),
        ({"epics": ["a", {"id": "b"}, None]}, ["$.epics[0]", "$.epics[2]"], "must be an object"),
        ({"epics": [{"id": "a"}, {"id": "b"}, {"epic_id": "a"}]}, ["$.epics[2]"], "same id as item 0: 'a'"),
        ({"epics": [{"id": "1"}, {"id": 1}]}, ["$.epics[1]"], "same id"),
        ({"epics": [{"id": ["a"]}, {"id": "a\n"}, {"id": True}]}, [f"$.epics[{each}]" for each in range(3)], "'id'"),
    ],
)
def test_what_can_be_stored_as_a_document_that_owns_others(value: Any, paths: list[str], says: str) -> None:
    found = check_document(value, BACKLOG)
    assert [each.path for each in found] == paths
    assert all(each.severity == "error" and says in each.message for each in found)


def test_a_document_is_checked_against_its_own_schema_too() -> None:
    plain = DocumentTypeConfig(name="Note", scope="project")
    found = check_document({"title": 7}, plain, NOTE)
    assert [(each.path, each.rule) for each in found] == [("$.title", "schema_validation")]
    compiled = compile_schema(NOTE)
    assert check_document({"title": 7}, plain, compiled) == found
    assert check_document({"title": "x"}, plain, compiled) == []
    assert rules(check_document({"title": "x"}, plain, False)) == [("error", "schema_validation")]
    both = check_document({"epics": 7}, BACKLOG, {"required": ["title"]})
    assert [each.path for each in both] == ["$.epics", "$"]


def test_findings_stay_few_and_short() -> None:
    schema = compile_schema({"items": {"type": "string"}})
    found = violations(schema, list(range(10_000)))
    assert len(found) == MOST_VIOLATIONS + 1
    assert "more violations" in found[-1][1]
    [(_, message)] = violations(compile_schema({"type": "object"}), ["x" * 100_000])
    assert len(message) < LONGEST_MESSAGE + 10


def test_a_schema_never_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda *arguments, **_: asked.append(arguments))
    schema = compile_schema({"$ref": "https://schemas.example/other.json"})
    with pytest.raises(WorkflowError, match="not in it"):
        violations(schema, {})
    assert asked == []


def test_a_value_too_deep_for_the_schema_is_a_finding() -> None:
    value: Any = []
    for _ in range(3_000):
        value = [value]
    assert violations(compile_schema({"items": {"$ref": "#"}}), value) == [("$", "nested too deeply to be checked")]


@pytest.mark.parametrize("schema", [7, None, "text", {"type": 7}, {"properties": []}])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(WorkflowError, match="schema"):
        compile_schema(schema)


@given(shapes.results)
def test_a_result_survives_as_json(result: QAResult) -> None:
    written = json.loads(json.dumps(result.to_dict()))
    assert QAResult.from_dict(written) == result
    assert written["error_count"] + written["warning_count"] == len(result.findings)
    assert set(written) == {"passed", "error_count", "warning_count", "findings", "checked_at", "schema_used"}


@given(shapes.json_values)
def test_any_value_is_judged(value: Any) -> None:
    gate = QAGate()
    for kind in ("anything", "clarification_questions"):
        result = gate.check(value, kind)
        assert result.passed == (result.error_count == 0)
    assert (check_document(value, BACKLOG) == []) <= isinstance(value, dict)
