from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import AcceptanceError, PersistenceError, WorkflowError
from phasegate.apps.documents.states.context import AmbiguousIdError, ScopeInstance, UnknownPlaceError, WorkflowContext
from phasegate.apps.documents.states.scope_paths import ScopePath, parse_path
from tests.apps.documents import shapes
from tests.apps.documents.shapes import LATER, NOW

WORKFLOW = shapes.workflow()


def context(*opened: tuple[str, str]) -> WorkflowContext:
    made = WorkflowContext(WORKFLOW, "shop")
    for scope, scope_id in opened:
        made.push_scope(scope, scope_id, {"id": scope_id})
    return made


def two_epics() -> WorkflowContext:
    """Story s1 in both epics, story s2 in the second only."""
    made = context()
    for epic, stories in (("e1", ["s1"]), ("e2", ["s1", "s2"])):
        made.push_scope("epic", epic, {"id": epic})
        made.store_document("stories", {"of": epic})
        for story in stories:
            made.push_scope("story", story, {"id": story, "of": epic})
            made.store_document("plan", {"of": f"{epic} {story}"})
            made.pop_scope()
        made.pop_scope()
    return made


def test_a_root_document_needs_no_id() -> None:
    made = context()
    assert made.get_document("brief", "project") is None
    assert made.has_document("brief", "project") is False
    made.store_document("brief", {"a": 1})
    assert made.get_document("brief", "project") == {"a": 1}
    assert made.get_document("brief", "project", "anything") == {"a": 1}
    assert made.has_document("brief", "project") is True


def test_a_document_below_the_root_belongs_to_the_open_instance_or_the_named_one() -> None:
    made = context(("epic", "e1"))
    made.store_document("stories", {"of": "e1"})
    made.store_document("stories", {"of": "e2"}, scope_id="e2")
    assert made.get_document("stories", "epic") == {"of": "e1"}
    made.pop_scope()
    assert made.get_document("stories", "epic") is None
    assert made.get_document("stories", "epic", "e1") == {"of": "e1"}
    assert made.get_document("stories", "epic", "e2") == {"of": "e2"}
    assert made.get_document("stories", "epic", "e3") is None


@pytest.mark.parametrize(("kind", "scope"), [("brief", "epic"), ("stories", "project"), ("unheard of", "project")])
def test_a_type_in_the_wrong_scope_is_missing(kind: str, scope: str) -> None:
    made = two_epics()
    made.store_document("brief", {"a": 1})
    assert made.get_document(kind, scope, "e1") is None
    assert made.get_entity("story", "epic", "e1") is None
    assert made.get_entity("unheard of", "epic", "e1") is None


def test_what_has_no_place_cannot_be_stored() -> None:
    made = context()
    for store in (
        lambda: made.store_document("unheard of", {}),
        lambda: made.store_document("stories", {}),
        lambda: made.store_entity("unheard of", "x", {}),
    ):
        with pytest.raises(UnknownPlaceError) as caught:
            store()
        assert isinstance(caught.value, ValueError)
    with pytest.raises(WorkflowError, match="JSON"):
        made.store_document("brief", {"a": {1, 2}})
    assert made.to_dict()["documents"] == []


def test_nobody_changes_what_is_stored() -> None:
    made = context()
    given_content: dict[str, Any] = {"list": [1]}
    made.store_document("brief", given_content)
    made.push_scope("epic", "e1", given_content)
    given_content["list"].append(2)
    for got in (
        made.get_document("brief", "project"),
        made.get_entity("epic", "epic"),
        getattr(made.current_scope(), "entity", None),
        getattr(made.document_info("brief", "project"), "content", None),
        made.to_dict()["documents"][0]["content"],
    ):
        assert got == {"list": [1]}
        got["list"].append(3)
    assert made.get_document("brief", "project") == made.get_entity("epic", "epic") == {"list": [1]}


def test_an_instance_that_is_open_is_the_one_that_is_meant() -> None:
    made = two_epics()
    for epic in ("e1", "e2"):
        made.push_scope("epic", epic, {"id": epic})
        assert made.get_document("stories", "epic") == {"of": epic}
        assert made.get_document("plan", "story", "s1") == {"of": f"{epic} s1"}
        made.push_scope("story", "s1", {"id": "s1", "of": epic})
        assert made.get_document("plan", "story") == {"of": f"{epic} s1"}
        assert made.get_document("plan", "story", "s1") == {"of": f"{epic} s1"}
        assert made.get_entity("story", "story", "s1") == {"id": "s1", "of": epic}
        assert made.get_entity("epic", "epic", epic) == {"id": epic}
        made.pop_scope()
        made.pop_scope()


def test_a_plain_id_does_when_there_is_only_one() -> None:
    made = two_epics()
    assert made.get_document("plan", "story", "s2") == {"of": "e2 s2"}
    with pytest.raises(AmbiguousIdError, match="epic=e1/story=s1, epic=e2/story=s1"):
        made.get_document("plan", "story", "s1")
    with pytest.raises(AmbiguousIdError):
        made.get_entity("story", "story", "s1")
    assert made.get_document("plan", "story", "epic=e1/story=s1") == {"of": "e1 s1"}
    assert made.get_document("plan", "story", "epic=e3/story=s1") is None


def test_in_an_open_instance_other_branches_are_out_of_sight() -> None:
    made = two_epics()
    made.push_scope("epic", "e1", {"id": "e1"})
    assert made.get_document("plan", "story", "s2") is None
    assert made.get_document("plan", "story", "epic=e2/story=s2") == {"of": "e2 s2"}


def test_a_document_may_be_stored_under_a_whole_path() -> None:
    made = context()
    made.store_document("plan", {"n": 1}, scope_id="epic=e1/story=s1")
    made.push_scope("epic", "e1", {})
    made.push_scope("story", "s1", {})
    assert made.get_document("plan", "story") == {"n": 1}
    made.store_document("plan", {"n": 2})
    assert [each.version for each in made.document_versions("plan", "story")] == [1, 2]


def test_what_was_stored_without_its_parents_is_found_in_its_instance() -> None:
    made = context()
    made.store_document("plan", {"n": 1}, scope_id="s1")
    made.push_scope("epic", "e1", {})
    made.push_scope("story", "s1", {})
    assert made.get_document("plan", "story") == {"n": 1}
    made.store_document("plan", {"n": 2})
    assert made.get_document("plan", "story") == {"n": 2}


def test_scopes_open_and_close_like_a_stack() -> None:
    made = context()
    assert (made.current_scope(), made.scope_depth(), made.get_scope_chain(), made.scope_path()) == (None, 0, {}, "")
    made.push_scope("epic", "e1", {"id": "e1"})
    made.push_scope("story", "a/b", {"n": 1})
    assert made.current_scope() == ScopeInstance("story", "a/b", {"n": 1})
    assert list(made.get_scope_chain().items()) == [("epic", "e1"), ("story", "a/b")]
    assert (made.scope_depth(), made.scope_path()) == (2, "epic=e1/story=a%2Fb")
    assert made.pop_scope() == ScopeInstance("story", "a/b", {"n": 1})
    assert made.pop_scope().scope == "epic"
    with pytest.raises(IndexError):
        made.pop_scope()


def test_entities_are_kept_by_type() -> None:
    made = two_epics()
    assert made.list_entities("epic") == ["e1", "e2"]
    assert made.list_entities("story") == ["s1", "s1", "s2"]
    assert made.list_entities("unheard of") == []
    made.store_entity("epic", "e1", {"id": "e1", "new": True})
    assert made.get_entity("epic", "epic", "e1") == {"id": "e1", "new": True}
    assert made.get_entity("epic", "epic") is None


def test_versions_are_kept_with_what_is_known_about_each() -> None:
    made = context(("epic", "e1"))
    first = made.store_document("stories", {"n": 1}, produced_by="write[epic=e1]", qa_passed=True, now=NOW)
    assert (first.version, first.path, first.created_at, first.produced_by, first.qa_passed, first.accepted) == (
        1, "epic=e1", NOW, "write[epic=e1]", True, None,
    )  # fmt: skip
    assert first.sha256 == digest({"n": 1})
    made.store_document("stories", {"n": 2}, now=LATER)
    assert [each.content for each in made.document_versions("stories", "epic")] == [{"n": 1}, {"n": 2}]
    latest = made.document_info("stories", "epic", "e1")
    assert latest is not None
    assert (latest.version, latest.created_at) == (2, LATER)
    assert made.document_info("stories", "epic", "e2") is None


def test_acceptance_is_of_one_version() -> None:
    made = context(("epic", "e1"))
    assert made.is_accepted("stories", "epic") is False
    with pytest.raises(AcceptanceError, match="no document"):
        made.mark_accepted("stories", "epic")
    stored = made.store_document("stories", {"n": 1})
    with pytest.raises(AcceptanceError, match="another version"):
        made.mark_accepted("stories", "epic", sha256=digest({"n": 2}))
    assert made.is_accepted("stories", "epic") is False
    made.mark_accepted("stories", "epic", sha256=stored.sha256, decided_by="jo", now=LATER)
    assert made.is_accepted("stories", "epic", "e1") is True
    info = made.document_info("stories", "epic")
    assert info is not None
    assert (info.accepted, info.decided_by, info.decided_at) == (True, "jo", LATER)
    made.store_document("stories", {"n": 2})
    assert made.is_accepted("stories", "epic") is False
    made.mark_accepted("stories", "epic", accepted=False)
    assert made.is_accepted("stories", "epic") is False
    assert [each.accepted for each in made.document_versions("stories", "epic")] == [True, False]


@given(shapes.contexts())
def test_a_context_survives_as_json(made: WorkflowContext) -> None:
    again = WorkflowContext.from_dict(json.loads(json.dumps(made.to_dict())), WORKFLOW)
    assert again == made
    assert (again.scope_path(), again.get_scope_chain()) == (made.scope_path(), made.get_scope_chain())
    for kind, scope in (("brief", "project"), ("stories", "epic"), ("plan", "story")):
        assert again.document_versions(kind, scope) == made.document_versions(kind, scope)


def test_contexts_differ_by_their_content() -> None:
    assert context() == context()
    assert context() != context(("epic", "e1"))
    assert context() != {}


def test_what_a_later_version_wrote_is_refused() -> None:
    with pytest.raises(PersistenceError, match=r"workflow_context\.v9"):
        WorkflowContext.from_dict(context().to_dict() | {"schema_version": "workflow_context.v9"}, WORKFLOW)


@given(st.lists(st.tuples(st.sampled_from(["epic", "story"]), st.text(max_size=5)), max_size=3))
def test_a_path_survives_as_text(parts: list[tuple[str, str]]) -> None:
    path = ScopePath(tuple(parts))
    assert parse_path(str(path)) == path


@pytest.mark.parametrize("text", ["e1", "epic=e1/", "a=b=c", "/", "="])
def test_what_is_no_path_is_refused(text: str) -> None:
    if text == "=":
        assert parse_path(text) == ScopePath((("", ""),))
        return
    with pytest.raises(ValueError, match="no path"):
        parse_path(text)
