from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.documents.errors import ConcurrentUpdateError, PersistenceError
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.persistence import FileStatePersistence, InMemoryStatePersistence
from phasegate.apps.documents.states.workflow_state import WorkflowState, WorkflowStatus
from tests.apps.documents import shapes

WORKFLOW = shapes.workflow()
Store = FileStatePersistence | InMemoryStatePersistence
FILES = ["product_shop_context.json", "product_shop_state.json"]


def execution(n: int = 0, **changes: Any) -> tuple[WorkflowState, WorkflowContext]:
    """An execution whose state and context both say which save they belong to."""
    state = WorkflowState("product", "shop", status=WorkflowStatus.RUNNING, **changes)
    context = WorkflowContext(WORKFLOW, "shop")
    put(state, context, n)
    return state, context


def put(state: WorkflowState, context: WorkflowContext, n: int) -> None:
    state.current_step_id = f"step {n}"
    context.store_document("brief", {"n": n})


def save(store: Store, state: WorkflowState, context: WorkflowContext) -> None:
    asyncio.run(store.save(state, context))


def load(
    store: Store, workflow_id: str = "product", project_id: str = "shop"
) -> tuple[WorkflowState, WorkflowContext] | None:
    return asyncio.run(store.load(workflow_id, project_id, WORKFLOW))


def kept(store: Store) -> int | None:
    """Which save is kept, the same one in both halves."""
    found = load(store)
    if found is None:
        return None
    state, context = found
    document = context.get_document("brief", "project") or {}
    assert state.current_step_id == f"step {document['n']}"
    return int(document["n"])


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FileStatePersistence(tmp_path / "kept") if request.param == "files" else InMemoryStatePersistence()


def test_what_is_saved_is_loaded_as_new_objects(store: Store) -> None:
    assert load(store) is None
    assert asyncio.run(store.exists("product", "shop")) is False
    state, context = execution()
    save(store, state, context)
    assert asyncio.run(store.exists("product", "shop")) is True
    assert load(store) == (state, context)
    context.store_document("brief", {"n": 9})
    state.events.append({"kind": "unsaved"})
    assert kept(store) == 0
    found = load(store)
    assert found is not None
    assert found[0].events == []
    assert found[0].version == state.version == 1


def test_a_later_save_replaces_the_earlier_one(store: Store) -> None:
    state, context = execution()
    for n in range(4):
        put(state, context, n)
        save(store, state, context)
        assert (kept(store), state.version) == (n, n + 1)
    found = load(store)
    assert found is not None
    put(*found, 7)
    save(store, *found)
    assert kept(store) == 7


def test_who_comes_too_late_is_told(store: Store) -> None:
    state, context = execution()
    save(store, state, context)
    first, second = load(store), load(store)
    assert first is not None
    assert second is not None
    put(*first, 1)
    save(store, *first)
    put(*second, 2)
    with pytest.raises(ConcurrentUpdateError, match="version 2, not 1") as caught:
        save(store, *second)
    assert isinstance(caught.value, ValueError)
    assert (kept(store), second[0].version) == (1, 1)


def test_another_execution_may_follow_but_not_push_in(store: Store) -> None:
    state, context = execution(1, execution_id="exec_1")
    save(store, state, context)
    with pytest.raises(ConcurrentUpdateError):
        save(store, *execution(2, execution_id="exec_2"))
    state.complete()
    save(store, state, context)
    follower = execution(2, execution_id="exec_2")
    save(store, *follower)
    assert (kept(store), follower[0].version) == (2, 1)
    with pytest.raises(ConcurrentUpdateError):
        save(store, state, context)


def test_what_is_deleted_is_gone(store: Store) -> None:
    asyncio.run(store.delete("product", "shop"))
    state, context = execution()
    save(store, state, context)
    put(state, context, 1)
    save(store, state, context)
    asyncio.run(store.delete("product", "shop"))
    assert (load(store), asyncio.run(store.exists("product", "shop")), store.list_all()) == (None, False, [])
    save(store, *execution(5))
    assert kept(store) == 5


def test_what_is_no_json_is_refused_and_nothing_changes(store: Store) -> None:
    state, context = execution()
    save(store, state, context)
    state.events.append({"at": {1, 2}})
    with pytest.raises(PersistenceError, match="JSON"):
        save(store, state, context)
    assert (kept(store), state.version) == (0, 1)


IDS = ["a", "a_b", "b", "", "_", "..", ".", "a/b", "../b", "a\\b", "A%5F", "é", "日本", "a b", "nul\x00", "-", "a.b"]


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_ids_are_never_mistaken_for_one_another(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    store: Store = FileStatePersistence(folder) if kind == "files" else InMemoryStatePersistence()
    pairs = [(one, two) for one in IDS for two in IDS[:6]]
    for one, two in pairs:
        save(store, WorkflowState(one, two, error=f"{one} and {two}"), WorkflowContext(WORKFLOW, two))
    assert store.list_all() == sorted(pairs)
    for one, two in pairs:
        found = load(store, one, two)
        assert found is not None
        assert found[0].error == f"{one} and {two}"
    assert [each.name for each in tmp_path.iterdir()] == ([folder.name] if kind == "files" else [])


def test_simple_ids_stand_in_the_names_of_the_files_as_they_are(tmp_path: Path) -> None:
    save(FileStatePersistence(tmp_path), *execution())
    assert sorted(each.name for each in tmp_path.iterdir()) == FILES
    (tmp_path / "another_file.json").touch()
    (tmp_path / "a_b_c_state.json").touch()
    assert FileStatePersistence(str(tmp_path)).list_all() == [("product", "shop")]
    assert FileStatePersistence(tmp_path / "nowhere").list_all() == []


@pytest.mark.parametrize("workflow_id", ["x" * 300, "\ud800"])
def test_an_id_that_makes_no_file_name_is_an_error_of_its_own(tmp_path: Path, workflow_id: str) -> None:
    store = FileStatePersistence(tmp_path)
    with pytest.raises(PersistenceError):
        save(store, WorkflowState(workflow_id, "shop"), WorkflowContext(WORKFLOW, "shop"))


def test_a_folder_that_is_a_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(PersistenceError):
        save(FileStatePersistence(tmp_path / "kept"), *execution())


@settings(max_examples=50)
@given(shapes.workflow_states, shapes.contexts(), st.sampled_from(["files", "memory"]))
def test_every_execution_survives(
    tmp_path_factory: pytest.TempPathFactory, state: WorkflowState, context: WorkflowContext, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    store: Store = FileStatePersistence(folder) if kind == "files" else InMemoryStatePersistence()
    save(store, state, context)
    assert load(store) == (state, context)


def test_a_large_execution_survives(store: Store) -> None:
    state, context = execution()
    context.store_document("brief", {"n": 0, "text": "x" * 3_000_000, "list": list(range(50_000))})
    save(store, state, context)
    assert load(store) == (state, context)
