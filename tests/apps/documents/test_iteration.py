from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents.definition.models import IterationConfig, WorkflowStep
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.iteration import LONGEST_ID, IterationHandler, declared_id, item_key
from phasegate.apps.documents.states.context import WorkflowContext
from tests.apps.documents import shapes

WORKFLOW = shapes.workflow()
HANDLER = IterationHandler(WORKFLOW)
PER_EPIC = shapes.per_epic()
PER_STORY = WorkflowStep(
    step_id="per_story", scope="story",
    iterate_over=IterationConfig(doc_type="stories", collection_field="stories", entity_type="story"),
)  # fmt: skip


def context(*epics: Any) -> WorkflowContext:
    made = WorkflowContext(WORKFLOW, "shop")
    made.store_document("backlog", {"epics": list(epics), "title": "All"})
    return made


def test_every_item_is_one_instance() -> None:
    first, second = HANDLER.expand(PER_EPIC, context({"id": "e1", "n": 1}, {"id": "e2"}))
    assert (first.entity_type, first.entity_id, first.entity_data) == ("epic", "e1", {"id": "e1", "n": 1})
    assert (first.scope, first.scope_id, first.steps) == ("epic", "e1", PER_EPIC.steps)
    assert second.entity_id == "e2"


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ({"id": "a", "entity_id": "b", "epic_id": "c"}, "a"),
        ({"entity_id": "b", "epic_id": "c"}, "b"),
        ({"id": None, "entity_id": " ", "epic_id": "c"}, "c"),
        ({"id": 7}, "7"),
        ({"id": 0}, "0"),
        ({"id": "日本 👨‍👩‍👧 é"}, "日本 👨‍👩‍👧 é"),
        ({"id": "a/b"}, "a/b"),
    ],
)
def test_an_item_goes_by_its_own_id(item: Any, key: str) -> None:
    assert item_key(item, 3, "epic") == key


@pytest.mark.parametrize("item", [{}, {"name": "x"}, {"story_id": "s"}, {"id": ""}, "text", 7, None, ["id"]])
def test_an_item_without_an_id_goes_by_its_place_and_content(item: Any) -> None:
    assert re.fullmatch(r"epic_4_[0-9a-f]{8}", item_key(item, 4, "epic"))
    assert declared_id(item, "epic") is None


@pytest.mark.parametrize(
    "value", [True, 1.5, [], {}, "a\x00", "a\nb", "\ud800", "x" * (LONGEST_ID + 1), 10 ** (LONGEST_ID + 1)]
)
def test_what_cannot_be_an_id_is_refused(value: Any) -> None:
    with pytest.raises(WorkflowError, match="'id' "):
        item_key({"id": value}, 0, "epic")


@given(st.lists(shapes.json_values, max_size=4))
def test_the_same_items_always_have_the_same_different_ids(items: list[Any]) -> None:
    items = [item for item in items if not isinstance(item, dict) or not {"id", "entity_id", "epic_id"} & item.keys()]
    stored = context(*items)
    ids = [each.entity_id for each in HANDLER.expand(PER_EPIC, stored)]
    assert ids == [each.entity_id for each in HANDLER.expand(PER_EPIC, stored)]
    assert len(set(ids)) == len(items) == HANDLER.count_iterations(PER_EPIC, stored)


def test_the_order_of_fields_does_not_matter_but_the_content_does() -> None:
    assert item_key({"a": 1, "b": 2}, 0, "epic") == item_key({"b": 2, "a": 1}, 0, "epic")
    assert item_key({"a": 1}, 0, "epic") != item_key({"a": 2}, 0, "epic")


def test_an_item_that_is_no_object_is_wrapped() -> None:
    [instance] = HANDLER.expand(PER_EPIC, context("first"))
    assert instance.entity_data == {"value": "first"}


@pytest.mark.parametrize(
    "document", [None, {}, {"title": "x"}, {"epics": None}, {"epics": {"id": "a"}}, {"epics": "ab"}]
)
def test_without_a_collection_there_is_nothing(document: Any) -> None:
    made = WorkflowContext(WORKFLOW, "shop")
    if document is not None:
        made.store_document("backlog", document)
    assert HANDLER.expand(PER_EPIC, made) == []
    assert HANDLER.count_iterations(PER_EPIC, made) == 0


def test_only_iterations_expand() -> None:
    assert HANDLER.expand(PER_EPIC.steps[0], context({"id": "e1"})) == []
    assert HANDLER.count_iterations(PER_EPIC.steps[0], context({"id": "e1"})) == 0
    assert HANDLER.get_collection("unheard of", "epics", context()) == []


def test_a_nested_collection_is_that_of_the_open_instance() -> None:
    made = context({"id": "e1"}, {"id": "e2"})
    for epic, story in (("e1", "s1"), ("e2", "s2")):
        made.push_scope("epic", epic, {"id": epic})
        made.store_document("stories", {"stories": [{"id": story}]})
        assert [each.scope_id for each in HANDLER.expand(PER_STORY, made)] == [story]
        made.pop_scope()
    assert HANDLER.expand(PER_STORY, made) == []


class Shelf:
    """A store that gives out what it has, and no copy."""

    def __init__(self) -> None:
        self.backlog: dict[str, Any] = {"epics": [{"tags": []}]}

    def get_document(self, doc_type: str, scope: str, scope_id: str | None = None) -> dict[str, Any] | None:
        return self.backlog


def test_the_document_is_not_touched() -> None:
    shelf = Shelf()
    HANDLER.expand(PER_EPIC, shelf)[0].entity_data["tags"].append("new")
    assert shelf.backlog == {"epics": [{"tags": []}]}
    made = context({"tags": []})
    HANDLER.expand(PER_EPIC, made)[0].entity_data["tags"].append("new")
    assert made.get_document("backlog", "project") == {"epics": [{"tags": []}], "title": "All"}
