"""What a crash, or somebody with an editor, can do to the files of an execution."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest

from phasegate.apps.documents.errors import PersistenceError
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.persistence import FileStatePersistence
from phasegate.apps.documents.states.workflow_state import WorkflowState
from tests.apps.documents.test_persistence import FILES, execution, kept, load, put, save


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], int]]:
    """Kill the process before its nth step on the disk; the function sets n and returns how many there have been since."""
    count, limit = 0, -1

    def step() -> None:
        nonlocal count
        if count == limit:
            raise Killed
        count += 1

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            step()
            return function(*arguments, **options)

        return wrapped

    monkeypatch.setattr(Path, "replace", before(Path.replace))
    monkeypatch.setattr(Path, "unlink", before(Path.unlink))
    monkeypatch.setattr(os, "fsync", before(lambda handle: None))  # thousands of them, and no power fails here

    def restart(at: int | None) -> int:
        nonlocal count, limit
        count, seen, limit = 0, count, -1 if at is None else at
        return seen

    yield restart
    monkeypatch.undo()


def saved_twice(folder: Path, saves: int) -> tuple[FileStatePersistence, WorkflowState, WorkflowContext]:
    store = FileStatePersistence(folder)
    state, context = execution()
    for n in range(1, saves + 1):
        put(state, context, n)
        save(store, state, context)
    put(state, context, saves + 1)
    return store, state, context


def steps_of(folder: Path, saves: int, steps: Callable[[int | None], int], act: Callable[..., None]) -> int:
    prepared = saved_twice(folder, saves)
    steps(None)
    act(*prepared)
    return steps(None)


def killed_at(at: int, steps: Callable[[int | None], int], act: Callable[[], None]) -> bool:
    """Whether the process died before the step; it ends well when there are not so many."""
    steps(at)
    try:
        act()
    except Killed:
        return True
    finally:
        steps(None)
    return False


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_a_save_that_is_killed_leaves_this_pair_or_the_one_before(
    tmp_path: Path, steps: Callable[[int | None], int], saves: int
) -> None:
    total = steps_of(tmp_path / "whole", saves, steps, save)
    assert total == (6 if saves == 0 else 9)
    outcomes = set()
    for first, second in product(range(total), range(total + 1)):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        store, state, context = saved_twice(tmp_path / "kept", saves)
        before = saves or None
        # Each time another process goes on from what it finds, and dies in its turn.
        for n, at in enumerate((first, second), saves + 1):
            killed = killed_at(at, steps, partial(save, store, state, context))
            outcomes.add((killed, kept(store) == n))
            assert kept(store) in ({before, n} if killed else {n})
            before = kept(store)
            assert asyncio.run(store.exists("product", "shop")) == (before is not None)
            state, context = load(store) or execution()
            put(state, context, n + 1)
        for n in (8, 9):
            put(state, context, n)
            save(store, state, context)
            assert kept(store) == n
    assert outcomes == {(True, False), (True, True), (False, True)}


def test_a_delete_that_is_killed_never_brings_back_what_was_before(
    tmp_path: Path, steps: Callable[[int | None], int]
) -> None:
    def delete(store: FileStatePersistence, *_: Any) -> None:
        asyncio.run(store.delete("product", "shop"))

    total = steps_of(tmp_path / "whole", 3, steps, delete)
    assert total >= 4
    for at in range(total):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        store, *_ = saved_twice(tmp_path / "kept", 3)
        steps(at)
        with pytest.raises(Killed):
            delete(store)
        steps(None)
        assert kept(store) in {3, None}
        delete(store)
        assert list((tmp_path / "kept").iterdir()) == []


ALL_FILES = [*FILES, *(f"{name}.bak" for name in FILES)]


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_file_that_is_missing_is_made_up_for_or_missed(tmp_path: Path, name: str) -> None:
    store, *_ = saved_twice(tmp_path, 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(ALL_FILES)
    (tmp_path / name).unlink()
    assert kept(store) == (2 if name.endswith(".bak") else 1)


def test_a_state_without_its_context_is_damage(tmp_path: Path) -> None:
    store, *_ = saved_twice(tmp_path, 1)
    (tmp_path / FILES[0]).unlink()
    with pytest.raises(PersistenceError, match="missing"):
        load(store)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_an_error_and_not_nothing(tmp_path: Path, name: str) -> None:
    store, state, context = saved_twice(tmp_path, 2)
    path = tmp_path / name
    whole = path.read_bytes()
    part = name.split("_")[2].removesuffix(".json")
    for damaged in (
        b"", b"{}", b"[]", b"null", b"\xff", whole[:-1], whole[: len(whole) // 2], whole + b"}",
        orjson.dumps(orjson.loads(whole) | {"generation": "2"}), orjson.dumps(orjson.loads(whole) | {"generation": True}),
        orjson.dumps(orjson.loads(whole) | {part: None}), orjson.dumps(orjson.loads(whole) | {part: {}}),
        orjson.dumps(orjson.loads(whole) | {part: {"status": "asleep", "documents": 7, "project_id": 1}}),
    ):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(PersistenceError):
            load(store)
        assert asyncio.run(store.exists("product", "shop")) is True
    path.write_bytes(whole[:-1])
    with pytest.raises(PersistenceError):
        save(store, state, context)
    path.write_bytes(whole)
    assert kept(store) == 2
    asyncio.run(store.delete("product", "shop"))
    assert load(store) is None


@pytest.mark.parametrize("name", FILES)
def test_files_of_different_saves_are_never_put_together(tmp_path: Path, name: str) -> None:
    store, state, context = saved_twice(tmp_path, 2)
    older = (tmp_path / name).read_bytes()
    save(store, state, context)
    assert kept(store) == 3
    (tmp_path / name).write_bytes(older)
    assert kept(store) == 2
