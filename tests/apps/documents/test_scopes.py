from __future__ import annotations

from typing import Any

import pytest

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import ScopeConfig
from phasegate.apps.documents.definition.scopes import ScopeHierarchy
from phasegate.apps.documents.errors import ScopeHierarchyError, WorkflowError
from tests.apps.documents.definitions import example

TREES = {
    "project": {"parent": None},
    "epic": {"parent": "project"},
    "story": {"parent": "epic"},
    "risk": {"parent": "project"},
    "archive": {"parent": None},
}


@pytest.fixture
def trees() -> ScopeHierarchy:
    return ScopeHierarchy(TREES)


@pytest.mark.parametrize(
    ("upper", "lower", "above"),
    [("project", "epic", True), ("project", "story", True), ("epic", "story", True), ("epic", "epic", False),
     ("story", "epic", False), ("risk", "story", False), ("archive", "epic", False), ("nowhere", "epic", False),
     ("project", "nowhere", False), ("nowhere", "nowhere", False)],
)  # fmt: skip
def test_ancestors_and_descendants_are_two_views_of_one_relation(
    trees: ScopeHierarchy, upper: str, lower: str, above: bool
) -> None:
    assert trees.is_ancestor(upper, lower) is above
    assert trees.is_descendant(lower, upper) is above
    assert trees.is_ancestor(upper, of=lower) is above


def test_a_scope_knows_its_parent_and_its_depth(trees: ScopeHierarchy) -> None:
    assert [trees.get_parent(name) for name in ("project", "story", "nowhere")] == [None, "epic", None]
    assert [trees.get_depth(name) for name in ("project", "archive", "epic", "story", "nowhere")] == [0, 0, 1, 2, -1]
    assert trees.get_ancestors("story") == ["epic", "project"]


def test_there_may_be_several_roots(trees: ScopeHierarchy) -> None:
    assert trees.get_root_scopes() == ["project", "archive"]
    assert [trees.is_root(name) for name in ("project", "epic", "nowhere")] == [True, False, False]


def test_scopes_are_listed_as_defined(trees: ScopeHierarchy) -> None:
    assert trees.get_all_scopes() == list(TREES)
    assert [trees.is_valid_scope(name) for name in ("risk", "nowhere")] == [True, False]
    assert ScopeHierarchy({}).get_all_scopes() == []


def test_a_hierarchy_comes_from_a_definition_or_from_a_workflow() -> None:
    for source in (example(), WorkflowLoader().load_dict(example())):
        assert ScopeHierarchy.from_workflow(source).get_ancestors("talk") == ["track", "event"]
    assert ScopeHierarchy({"a": ScopeConfig(parent=None), "b": ScopeConfig(parent="a")}).get_parent("b") == "a"


@pytest.mark.parametrize(
    ("scopes", "cycle"),
    [
        ({"a": {"parent": "a"}}, "'a' -> 'a'"),
        ({"a": {"parent": "b"}, "b": {"parent": "c"}, "c": {"parent": "a"}}, "'a' -> 'b' -> 'c' -> 'a'"),
        ({"top": {"parent": None}, "tail": {"parent": "a"}, "a": {"parent": "b"}, "b": {"parent": "a"}}, "'a' -> 'b'"),
    ],
)
def test_a_cycle_is_refused(scopes: dict[str, Any], cycle: str) -> None:
    with pytest.raises(ScopeHierarchyError, match=f"Cycle detected.*{cycle}") as raised:
        ScopeHierarchy(scopes)
    assert str(raised.value).count("Cycle") == 1


def test_an_unknown_parent_is_refused() -> None:
    with pytest.raises(ScopeHierarchyError, match="'b' has an unknown parent 'nowhere'"):
        ScopeHierarchy({"a": {"parent": None}, "b": {"parent": "nowhere"}})


@pytest.mark.parametrize("scope", [None, "project", ["project"], {"parent": 5}])
def test_what_is_no_scope_is_refused(scope: object) -> None:
    with pytest.raises(WorkflowError, match="scope 'a' must be an object"):
        ScopeHierarchy({"a": scope})


@pytest.mark.parametrize("scopes", [None, "project", ["project"]])
def test_what_are_no_scopes_is_refused(scopes: object) -> None:
    with pytest.raises(ScopeHierarchyError, match="are an object"):
        ScopeHierarchy.from_workflow({"scopes": scopes})


def test_a_long_chain_is_no_trouble() -> None:
    chain = {f"s{n}": {"parent": f"s{n - 1}" if n else None} for n in range(5_000)}
    assert ScopeHierarchy(dict(reversed(chain.items()))).get_depth("s4999") == 4_999
