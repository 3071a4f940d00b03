from __future__ import annotations

from typing import Any

import pytest

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import (
    DocumentTypeConfig,
    InputReference,
    ScopeConfig,
    Workflow,
    WorkflowStep,
)
from phasegate.apps.documents.inputs import InputResolutionResult, InputResolver, ResolvedInput
from tests.apps.documents.definitions import EXAMPLE

Key = tuple[str, str, str | None]


class Shelf:
    """Documents and entities by type, scope and id; remembers what it was asked for."""

    def __init__(self, **values: Any) -> None:
        self.documents: dict[Key, Any] = {}
        self.entities: dict[Key, Any] = {}
        self.asked: list[Key] = []

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> Any | None:
        self.asked.append((doc_type, scope, scope_id))
        return self.documents.get((doc_type, scope, scope_id))

    def get_entity(self, entity_type: str, scope: str, scope_id: str | None = None) -> Any | None:
        self.asked.append((entity_type, scope, scope_id))
        return self.entities.get((entity_type, scope, scope_id))


class Desk(Shelf):
    """A shelf that knows what was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: set[Key] = set()

    def is_accepted(self, doc_type: str, scope: str, scope_id: str | None = None) -> bool:
        return (doc_type, scope, scope_id) in self.accepted


@pytest.fixture
def workflow() -> Workflow:
    workflow = WorkflowLoader().load(EXAMPLE)
    workflow.scopes["stand"] = ScopeConfig(parent="event")
    workflow.document_types["stand_plan"] = DocumentTypeConfig(name="Stand Plan", scope="stand")
    return workflow


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.documents = {
        ("event_brief", "event", None): {"title": "Days"},
        ("track_outline", "track", "t1"): {"storyline": "one"},
        ("track_outline", "track", "t2"): {"storyline": "two"},
        ("stand_plan", "stand", "s1"): {"stands": 4},
        ("talk_abstract", "talk", "k1"): {"title": "Talk"},
    }
    shelf.entities = {("track", "track", "t2"): {"id": "t2"}, ("talk", "talk", "k1"): {"id": "k1"}}
    return shelf


def step(workflow: Workflow, step_id: str) -> WorkflowStep:
    found = workflow.get_step(step_id)
    assert found is not None
    return found


def reading(scope: str, *inputs: InputReference) -> WorkflowStep:
    return WorkflowStep(step_id="reader", scope=scope, inputs=list(inputs))


def document(name: str, scope: str, **more: Any) -> InputReference:
    return InputReference(doc_type=name, scope=scope, **more)


def entity(name: str, scope: str, **more: Any) -> InputReference:
    return InputReference(entity_type=name, scope=scope, **more)


def test_each_instance_gets_its_own_inputs(workflow: Workflow, shelf: Shelf) -> None:
    result = InputResolver(workflow, shelf).resolve(step(workflow, "write_abstract"), "k1", {"track": "t2"})
    assert (result.success, result.errors) == (True, [])
    assert result.to_dict() == {"talk": {"id": "k1"}, "track_outline": {"storyline": "two"}}
    assert result.get_value("track_outline") == {"storyline": "two"}
    assert shelf.asked == [("talk", "talk", "k1"), ("track_outline", "track", "t2")]


def test_a_root_is_asked_without_an_id(workflow: Workflow, shelf: Shelf) -> None:
    at_root = InputResolver(workflow, shelf).resolve(step(workflow, "plan_tracks"), "p1")
    below = InputResolver(workflow, shelf).resolve(step(workflow, "outline_track"), "t2", {"event": "e1"})
    assert at_root.to_dict() == {"event_brief": {"title": "Days"}}
    assert list(below.to_dict()) == ["track", "event_brief"]
    assert {key for key in shelf.asked if key[1] == "event"} == {("event_brief", "event", None)}


def test_a_step_without_inputs_may_begin(workflow: Workflow, shelf: Shelf) -> None:
    assert InputResolver(workflow, shelf).resolve(step(workflow, "brief")) == InputResolutionResult()


def test_what_is_required_and_missing_is_an_error(workflow: Workflow, shelf: Shelf) -> None:
    result = InputResolver(workflow, shelf).resolve(step(workflow, "write_abstract"), "k9", {"track": "t9"})
    assert not result.success
    assert result.errors == [
        "required entity 'talk' not found in scope talk, id k9",
        "required document 'track_outline' not found in scope track, id t9",
    ]
    assert result.inputs["talk"] == ResolvedInput(
        ref=entity("talk", "talk", context=True), value=None, found=False, error=result.errors[0]
    )
    assert result.to_dict() == {}


def test_what_is_optional_and_missing_is_none(workflow: Workflow) -> None:
    result = InputResolver(workflow, Shelf()).resolve(
        reading("track", document("event_brief", "event", required=False))
    )
    assert (result.success, result.errors, result.get_value("event_brief")) == (True, [], None)
    assert (list(result.inputs), result.to_dict()) == (["event_brief"], {})
    assert result.get_value("never heard of") is None


def test_an_empty_document_is_found(workflow: Workflow, shelf: Shelf) -> None:
    shelf.documents["event_brief", "event", None] = {}
    assert InputResolver(workflow, shelf).resolve(step(workflow, "plan_tracks")).to_dict() == {"event_brief": {}}


FORBIDDEN = [
    ("track", document("track_outline", "track"), "t1", "forbidden sibling"),
    ("talk", entity("talk", "talk"), "k1", "forbidden sibling"),
    ("event", document("track_outline", "track", context=True), None, "descendant"),
    ("track", document("talk_abstract", "talk"), "t1", "descendant"),
    ("track", document("stand_plan", "stand", context=True), "t1", "cross-branch"),
]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(("scope", "reference", "scope_id", "word"), FORBIDDEN)
def test_what_is_forbidden_is_an_error_even_when_optional(
    workflow: Workflow, shelf: Shelf, scope: str, reference: InputReference, scope_id: str, word: str, required: bool
) -> None:
    reference = InputReference(**{**vars(reference), "required": required})
    result = InputResolver(workflow, shelf).resolve(reading(scope, reference), scope_id, {"stand": "s1", "talk": "k1"})
    assert not result.success
    assert word in result.errors[0]
    assert "forbidden" in result.errors[0]
    assert (result.to_dict(), shelf.asked) == ({}, [])


def test_what_belongs_to_the_instance_may_be_read_in_context(workflow: Workflow, shelf: Shelf) -> None:
    inputs = (document("track_outline", "track", context=True), entity("track", "track", context=True))
    result = InputResolver(workflow, shelf).resolve(reading("track", *inputs), "t2")
    assert result.to_dict() == {"track_outline": {"storyline": "two"}, "track": {"id": "t2"}}


@pytest.mark.parametrize(
    "reference",
    [document("nothing", "event"), entity("nothing", "event"), document("event_brief", "nowhere"),
     entity("track", "nowhere")],
)  # fmt: skip
def test_what_the_workflow_does_not_know_is_missing(
    workflow: Workflow, shelf: Shelf, reference: InputReference
) -> None:
    resolver = InputResolver(workflow, shelf)
    shelf.documents["nothing", "event", None] = shelf.entities["nothing", "event", None] = {"stray": True}
    result = resolver.resolve(reading("event", reference))
    assert "not found" in result.errors[0]
    optional = InputReference(**{**vars(reference), "required": False})
    assert resolver.resolve(reading("event", optional)).success


def test_inputs_of_one_name_are_told_apart_by_their_scope(workflow: Workflow, shelf: Shelf) -> None:
    workflow.document_types["talk"] = DocumentTypeConfig(name="Talk", scope="track")
    shelf.documents["talk", "track", "t1"] = {"of": "track"}
    inputs = (document("talk", "track"), entity("talk", "talk", context=True), entity("talk", "talk", context=True))
    result = InputResolver(workflow, shelf).resolve(reading("talk", *inputs), "k1", {"track": "t1"})
    assert result.to_dict() == {"talk": {"of": "track"}, "talk@talk": {"id": "k1"}, "talk@talk#2": {"id": "k1"}}


def test_what_must_be_accepted_is_missing_until_it_is(workflow: Workflow) -> None:
    desk = Desk()
    desk.documents = {("track_plan", "event", None): {"tracks": []}, ("event_brief", "event", None): {"title": "Days"}}
    reader = reading("track", document("track_plan", "event"), document("event_brief", "event"))
    waiting = InputResolver(workflow, desk).resolve(reader, "t1")
    assert waiting.errors == ["required document 'track_plan' not found in scope event: it is not accepted yet"]
    assert waiting.to_dict() == {"event_brief": {"title": "Days"}}
    desk.accepted.add(("track_plan", "event", None))
    assert InputResolver(workflow, desk).resolve(reader, "t1").success


def test_what_is_not_accepted_and_optional_is_none(workflow: Workflow) -> None:
    desk = Desk()
    desk.documents = {("track_plan", "event", None): {"tracks": []}}
    reader = reading("track", document("track_plan", "event", required=False))
    result = InputResolver(workflow, desk).resolve(reader, "t1")
    assert (result.success, result.get_value("track_plan")) == (True, None)


def test_a_store_that_knows_no_acceptance_gives_what_it_has(workflow: Workflow, shelf: Shelf) -> None:
    shelf.documents["track_plan", "event", None] = {"tracks": []}
    assert InputResolver(workflow, shelf).resolve(reading("track", document("track_plan", "event")), "t1").success


def test_types_added_to_the_workflow_later_count(workflow: Workflow, shelf: Shelf) -> None:
    resolver = InputResolver(workflow, shelf)
    workflow.scopes["hall"] = ScopeConfig(parent=None)
    workflow.document_types["hall_plan"] = DocumentTypeConfig(name="Hall Plan", scope="hall")
    shelf.documents["hall_plan", "hall", None] = {"rooms": 3}
    assert resolver.resolve(reading("hall", document("hall_plan", "hall"))).to_dict() == {"hall_plan": {"rooms": 3}}
