from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.registry import WorkflowRegistry
from phasegate.apps.documents.definition.validator import WorkflowValidator
from phasegate.apps.documents.errors import WorkflowNotFoundError
from tests.apps.documents.definitions import EXAMPLES, small


def write(folder: Path, file: str, workflow_id: str) -> Path:
    path = folder / file
    path.write_text(json.dumps({**small(), "workflow_id": workflow_id}), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "b.json", "second")
    write(tmp_path, "a.json", "first")
    (tmp_path / "notes.txt").write_text("not a workflow")
    return tmp_path


def test_every_definition_of_a_directory_is_there(folder: Path) -> None:
    registry = WorkflowRegistry(folder)
    assert registry.list_ids() == ["first", "second"]
    assert [workflow.workflow_id for workflow in registry.list_all()] == ["first", "second"]
    assert (registry.count(), registry.load_errors, registry.warnings) == (2, {}, {})
    assert registry.get("second").workflow_id == "second"
    assert registry.get_optional("second") is registry.get("second")


def test_the_examples_are_a_directory_of_workflows() -> None:
    registry = WorkflowRegistry(EXAMPLES)
    assert (registry.list_ids(), registry.load_errors) == (["conference_programme"], {})


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (5, 3, 8, 1, 9, 2, 7, 4, 6):
        write(tmp_path, f"{number}.json", f"w{number}")
    assert WorkflowRegistry(tmp_path).list_ids() == [f"w{number}" for number in range(1, 10)]


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_directory_there_is_nothing(missing: bool, tmp_path: Path) -> None:
    registry = WorkflowRegistry(tmp_path / "nothing" if missing else None)
    assert (registry.count(), registry.list_ids(), registry.list_all()) == (0, [], [])
    registry.reload()
    assert registry.count() == 0


def test_an_unknown_id_is_not_found(folder: Path) -> None:
    registry = WorkflowRegistry(folder)
    assert registry.get_optional("secnd") is None
    with pytest.raises(WorkflowNotFoundError, match="not found") as raised:
        registry.get("secnd")
    assert raised.value.hint == "did you mean 'second'?"


def test_a_bad_file_is_skipped_logged_and_listed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "aa.json").write_text("{")
    (folder / "dir.json").mkdir()
    with caplog.at_level(logging.WARNING, logger="phasegate.documents"):
        registry = WorkflowRegistry(folder)
    assert registry.list_ids() == ["first", "second"]
    assert list(registry.load_errors) == [folder / "aa.json", folder / "dir.json"]
    assert "Invalid JSON" in str(registry.load_errors[folder / "aa.json"])
    assert [record.getMessage().split(" error=")[0] for record in caplog.records] == [
        "workflow.skipped file=aa.json",
        "workflow.skipped file=dir.json",
    ]


def test_of_two_files_with_one_id_the_first_counts(folder: Path) -> None:
    twin = write(folder, "c.json", "first")
    registry = WorkflowRegistry(folder)
    assert registry.list_ids() == ["first", "second"]
    assert str(registry.load_errors[twin]) == "workflow id 'first' is defined by a.json already"


def test_what_is_added_stays_until_the_directory_is_read_again(folder: Path) -> None:
    registry = WorkflowRegistry(folder)
    added = WorkflowLoader().load_dict({**small(), "workflow_id": "third"})
    registry.add(added)
    assert (registry.get("third"), registry.count()) == (added, 3)
    assert registry.remove("first")
    assert not registry.remove("first")
    registry.reload()
    assert registry.list_ids() == ["first", "second"]


def test_adding_replaces(folder: Path) -> None:
    registry = WorkflowRegistry(folder)
    other = WorkflowLoader().load_dict({**small(), "workflow_id": "first", "revision": "2"})
    registry.add(other)
    assert (registry.get("first"), registry.count()) == (other, 2)


def test_reading_again_sees_what_has_changed(folder: Path) -> None:
    bad = folder / "c.json"
    bad.write_text("[]")
    registry = WorkflowRegistry(folder)
    assert list(registry.load_errors) == [bad]
    write(folder, "c.json", "third")
    (folder / "a.json").unlink()
    registry.reload()
    assert (registry.list_ids(), registry.load_errors) == (["second", "third"], {})


def test_the_loader_may_be_another_one_and_its_warnings_are_kept(folder: Path) -> None:
    registry = WorkflowRegistry(folder, WorkflowLoader(WorkflowValidator(manifest=["Other v1.0"])))
    assert registry.count() == 2
    assert {path.name: len(warnings) for path, warnings in registry.warnings.items()} == {"a.json": 2, "b.json": 2}
