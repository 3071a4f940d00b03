from __future__ import annotations

import pytest

from phasegate.apps.documents.definition.validator import ValidationErrorCode, WorkflowValidator
from tests.apps.documents.definitions import (
    MISSING,
    Definition,
    Found,
    changed,
    detailed,
    document_type,
    errors_of,
    found,
    iteration,
    note,
    production,
    small,
)


def warnings_of(definition: object) -> Found:
    result = WorkflowValidator().validate(definition)
    assert result.errors == []
    return found(result.warnings)


OTHER_OWNER = ("document_types.other", document_type("project", may_own=["part"], collection_field="parts"))
TOP_TEXT = ("steps.+", production("top_text", "part", "memo"))
MEMO = ("document_types.memo", document_type("part"))


def skipping_a_level() -> Definition:
    """Details are listed by sections, but parts go through them without entering a section."""
    per_detail = iteration("per_detail", "detail", [production("make_memo", "detail", "memo")],
                           doc_type="contents", collection_field="details", entity_type="detail")  # fmt: skip
    return changed(
        small(),
        ("scopes.section", {"parent": "part"}),
        ("scopes.detail", {"parent": "section"}),
        ("document_types.contents", document_type("section", may_own=["detail"], collection_field="details")),
        ("document_types.memo", document_type("detail")),
        ("entity_types.detail", {"name": "Detail", "parent_doc_type": "contents", "creates_scope": "detail"}),
        ("steps.1.steps.+", per_detail),
    )


RULES: list[tuple[str, Definition, Found]] = [
    ("the scope of a document", changed(small(), ("document_types.plan.scope", "nowhere")),
     {("UNKNOWN_SCOPE", "document_types.plan.scope"), ("SCOPE_MISMATCH", "steps[0].scope")}),
    ("the scope of an entity", changed(small(), ("entity_types.part.creates_scope", "nowhere")),
     {("UNKNOWN_SCOPE", "entity_types.part.creates_scope"), ("ITERATION_SCOPE_MISMATCH", "steps[1].scope")}),
    ("a product", changed(small(), ("steps.1.steps.0.produces", "nothing")),
     {("UNKNOWN_DOCUMENT_TYPE", "steps[1].steps[0].produces")}),
    ("what is owned", changed(small(), ("document_types.plan.may_own.+", "nothing")),
     {("UNKNOWN_ENTITY_TYPE", "document_types.plan.may_own[1]")}),
    ("the scope of a product", changed(small(), ("document_types.plan2", document_type("part")),
     ("steps.0.produces", "plan2")), {("SCOPE_MISMATCH", "steps[0].scope")}),
    ("an unknown source", changed(small(), ("steps.1.iterate_over.doc_type", "nothing")),
     {("MISSING_ITERATION_SOURCE", "steps[1].iterate_over.doc_type")}),
    ("another collection", changed(small(), ("steps.1.iterate_over.collection_field", "pieces")),
     {("MISSING_ITERATION_SOURCE", "steps[1].iterate_over.collection_field")}),
    ("items of another document", detailed(("steps.1.steps.1.iterate_over.entity_type", "part"),
     ("steps.1.steps.1.scope", "part"), ("steps.1.steps.1.steps", [production("make_other", "part", "memo")]), MEMO),
     {("MISSING_ITERATION_SOURCE", "steps[1].steps[1].iterate_over.entity_type"),
      ("ITERATION_SCOPE_MISMATCH", "steps[1].steps[1].scope")}),
    ("unknown items", changed(small(), ("steps.1.iterate_over.entity_type", "nothing")),
     {("UNKNOWN_ENTITY_TYPE", "steps[1].iterate_over.entity_type")}),
    ("an unknown document read", changed(small(), note(doc_type="nothing", scope="project")),
     {("INVALID_REFERENCE", "steps[1].steps[0].inputs[0].doc_type")}),
    ("an unknown entity read", changed(small(), note(entity_type="nothing", scope="project")),
     {("INVALID_REFERENCE", "steps[1].steps[0].inputs[0].entity_type")}),
    ("reading in no scope", changed(small(), note(doc_type="plan", scope="nowhere")),
     {("UNKNOWN_SCOPE", "steps[1].steps[0].inputs[0].scope")}),
    ("reading a sibling", changed(small(), note(entity_type="part", scope="part")),
     {("FORBIDDEN_SIBLING_REFERENCE", "steps[1].steps[0].inputs[0].scope")}),
    ("reading below", changed(small(), ("steps.0.inputs.+", {"entity_type": "part", "scope": "part"})),
     {("FORBIDDEN_DESCENDANT_REFERENCE", "steps[0].inputs[0].scope")}),
    ("reading below, optional", changed(small(), ("steps.0.inputs.+", {
     "entity_type": "part", "scope": "part", "required": False, "context": True})),
     {("FORBIDDEN_DESCENDANT_REFERENCE", "steps[0].inputs[0].scope")}),
    ("reading elsewhere", changed(small(), ("scopes.other", {"parent": "project"}), note(doc_type="plan", scope="other")),
     {("FORBIDDEN_CROSS_BRANCH_REFERENCE", "steps[1].steps[0].inputs[0].scope")}),
    ("a prompt without version", changed(small(), ("steps.0.task_prompt", "Some Document")),
     {("INVALID_PROMPT_FORMAT", "steps[0].task_prompt")}),
    ("a prompt with a line feed", changed(small(), ("steps.0.task_prompt", "Some Document v1.0\n")),
     {("INVALID_PROMPT_FORMAT", "steps[0].task_prompt")}),
    ("an id used twice", changed(small(), ("steps.1.steps.0.step_id", "make_plan")),
     {("DUPLICATE_STEP_ID", "steps[1].steps[0].step_id")}),
    ("a step in no scope", changed(small(), ("steps.1.steps.0.scope", "nowhere")),
     {("UNKNOWN_SCOPE", "steps[1].steps[0].scope"), ("SCOPE_MISMATCH", "steps[1].steps[0].scope")}),
    ("no parent", changed(small(), ("entity_types.part.parent_doc_type", "nothing")),
     {("OWNERSHIP_MISMATCH", "entity_types.part.parent_doc_type"),
      ("OWNERSHIP_MISMATCH", "document_types.plan.may_own[0]")}),
    ("a parent that does not own", changed(small(), ("document_types.plan.may_own", [])),
     {("OWNERSHIP_MISMATCH", "entity_types.part.parent_doc_type"),
      ("MISSING_ITERATION_SOURCE", "steps[1].iterate_over.entity_type")}),
    ("two owners", changed(small(), OTHER_OWNER), {("OWNERSHIP_MISMATCH", "document_types.other.may_own[0]")}),
    ("an owner that is not above", changed(small(), ("entity_types.part.creates_scope", "project"),
     ("steps.1.scope", "project"), ("steps.1.steps.0", production("make_memo", "project", "memo")),
     ("document_types.memo", document_type("project"))), {("OWNERSHIP_MISMATCH", "entity_types.part.creates_scope")}),
    ("an iteration of another scope", changed(small(), ("steps.1.scope", "project")),
     {("ITERATION_SCOPE_MISMATCH", "steps[1].scope")}),
    ("a nested step of another scope", detailed(("steps.1.steps.1.steps.0", production("make_text", "part", "memo")), MEMO),
     {("ITERATION_SCOPE_MISMATCH", "steps[1].steps[1].steps[0].scope")}),
    ("a nested step further down", detailed(("steps.1.steps.+", production("lost", "detail", "memo")),
     ("document_types.memo", document_type("detail"))), {("ITERATION_SCOPE_MISMATCH", "steps[1].steps[2].scope")}),
    ("a nested iteration that does not go down", changed(small(), MEMO,
     ("steps.1.steps.+", iteration("again", "part", [production("make_memo", "part", "memo")]))),
     {("ITERATION_SCOPE_MISMATCH", "steps[1].steps[1].scope")}),
    ("no collection", changed(small(), ("document_types.plan.collection_field", MISSING)),
     {("MISSING_COLLECTION_FIELD", "document_types.plan.collection_field"),
      ("MISSING_ITERATION_SOURCE", "steps[1].iterate_over.collection_field")}),
    ("two producers", changed(small(), ("steps.+", production("make_plan_again", "project", "plan"))),
     {("DUPLICATE_PRODUCER", "steps[2].produces")}),
    ("a step that nothing leads to", changed(small(), MEMO, TOP_TEXT), {("UNREACHABLE_SCOPE", "steps[2].scope")}),
    ("a source that nothing leads to", detailed(("steps.+", iteration("top", "detail", [
     production("make_memo", "detail", "memo")], doc_type="note", collection_field="details", entity_type="detail")),
     ("document_types.memo", document_type("detail"))),
     {("UNREACHABLE_SCOPE", "steps[2].iterate_over.doc_type"), ("ITERATION_SCOPE_MISMATCH", "steps[2].scope")}),
    ("a nested source that nothing leads to", skipping_a_level(),
     {("UNREACHABLE_SCOPE", "steps[1].steps[1].iterate_over.doc_type")}),
    ("an input twice", changed(small(), ("steps.1.steps.0.inputs", [{"doc_type": "plan", "scope": "project"}] * 2)),
     {("DUPLICATE_INPUT", "steps[1].steps[0].inputs[1]")}),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "expected"), [each[1:] for each in RULES], ids=[each[0] for each in RULES])
def test_a_broken_rule_is_reported_with_its_place(definition: Definition, expected: Found) -> None:
    assert errors_of(definition) == expected


DOUBTS: list[tuple[str, Definition, Found]] = [
    ("a source nobody makes", changed(small(), ("steps.0", MISSING)),
     {("INPUT_NOT_PRODUCED", "steps[0].iterate_over.doc_type")}),
    ("an input made later", changed(small(), ("document_types.memo", document_type("project")),
     ("steps.0.inputs.+", {"doc_type": "memo", "scope": "project"}),
     ("steps.+", production("make_memo", "project", "memo"))), {("INPUT_NOT_PRODUCED", "steps[0].inputs[0].doc_type")}),
    ("items of no iteration around", detailed(("entity_types.other", {
     "name": "Other", "parent_doc_type": "plan", "creates_scope": "part"}), ("document_types.plan.may_own.+", "other"),
     ("steps.1.steps.0.inputs.+", {"entity_type": "other", "scope": "part", "context": True})),
     {("INPUT_NOT_PRODUCED", "steps[1].steps[0].inputs[0].entity_type")}),
    ("an input looked for elsewhere", changed(small(), note(entity_type="part", scope="project")),
     {("SCOPE_MISMATCH", "steps[1].steps[0].inputs[0].scope")}),
    ("unused types", changed(small(), MEMO, ("entity_types.other", {
     "name": "Other", "parent_doc_type": "plan", "creates_scope": "part"}), ("document_types.plan.may_own.+", "other")),
     {("UNREFERENCED_TYPE", "document_types.memo"), ("UNREFERENCED_TYPE", "entity_types.other")}),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "expected"), [each[1:] for each in DOUBTS], ids=[each[0] for each in DOUBTS])
def test_a_doubt_is_a_warning_with_its_place(definition: Definition, expected: Found) -> None:
    assert warnings_of(definition) == expected


def test_skipping_a_level_leaves_its_documents_out_of_reach() -> None:
    """Details that the plan owns directly: no part is entered, so that there is no note to read."""
    skipping = iteration("per_detail", "detail", [
        production("make_text", "detail", "text", {"doc_type": "note", "scope": "part"})], entity_type="detail",
        collection_field="parts")  # fmt: skip
    definition = changed(
        small(),
        ("scopes.detail", {"parent": "part"}),
        ("document_types.text", document_type("detail")),
        ("document_types.plan.may_own.+", "detail"),
        ("entity_types.detail", {"name": "Detail", "parent_doc_type": "plan", "creates_scope": "detail"}),
        ("steps.+", skipping),
    )
    assert warnings_of(definition) == {("INPUT_NOT_PRODUCED", "steps[2].steps[0].inputs[0].doc_type")}


def test_optional_inputs_need_no_producer() -> None:
    optional = {"doc_type": "note", "scope": "part", "context": True, "required": False}
    assert warnings_of(changed(small(), note(**optional))) == set()


def test_the_same_name_for_a_document_and_an_item_is_no_repetition() -> None:
    definition = changed(
        small(),
        ("document_types.part", document_type("project")),
        ("steps.0", production("make_part", "project", "part")),
        ("steps.+", production("make_plan", "project", "plan")),
        ("steps.1.steps.0.inputs", [{"doc_type": "part", "scope": "project"},
                                    {"entity_type": "part", "scope": "part", "context": True}]),
    )  # fmt: skip
    assert errors_of(definition) == set()


def test_owners_that_refer_to_each_other_are_no_cycle() -> None:
    definition = changed(
        small(),
        ("document_types.other", document_type("project", may_own=["thing"], collection_field="things")),
        ("entity_types.part.parent_doc_type", "other"),
        ("entity_types.thing", {"name": "Thing", "parent_doc_type": "plan", "creates_scope": "part"}),
    )
    codes = {code for code, _ in errors_of(definition)}
    assert codes == {"OWNERSHIP_MISMATCH"}


def test_every_code_but_the_reserved_ones_has_a_case() -> None:
    seen = {code for _, _, expected in (*RULES, *DOUBTS) for code, _ in expected}
    elsewhere = {"SCHEMA_INVALID", "INVALID_SCOPE_HIERARCHY", "PROMPT_NOT_IN_MANIFEST"}
    assert set(ValidationErrorCode) - seen - elsewhere == {"MISSING_REQUIRED_FIELD", "OWNERSHIP_CYCLE"}
