from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.errors import PromptNotFoundError, WorkflowError
from phasegate.apps.documents.prompts import PromptLoader, prompt_sha256
from tests.apps.documents.definitions import EXAMPLE, EXAMPLES

ROLE = "You write.\n"
TASK = "Write a note, größer als klein.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, name, text in [("roles", "Writer 1.0", ROLE), ("tasks", "Note v1.0", TASK), ("tasks", "Bill v1.0", TASK)]:
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{name}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "tasks" / "readme.md").write_text("not a prompt")
    (tmp_path / "secret.txt").write_text("outside")
    return tmp_path


@pytest.fixture
def prompts(folder: Path) -> PromptLoader:
    return PromptLoader(folder)


def test_prompts_are_the_text_of_their_files(prompts: PromptLoader) -> None:
    assert (prompts.load_role("Writer 1.0"), prompts.load_task("Note v1.0")) == (ROLE, TASK)


def test_prompts_are_listed_by_name(prompts: PromptLoader) -> None:
    assert (prompts.list_roles(), prompts.list_tasks()) == (["Writer 1.0"], ["Bill v1.0", "Note v1.0"])
    assert [prompts.role_exists(name) for name in ("Writer 1.0", "Note v1.0", "readme")] == [True, False, False]
    assert [prompts.task_exists(name) for name in ("Writer 1.0", "Note v1.0", "readme")] == [False, True, False]


def test_a_file_is_read_once(prompts: PromptLoader, folder: Path) -> None:
    first = prompts.load_task("Note v1.0")
    assert prompts.load_task("Note v1.0") is first
    prompts.clear_cache()
    again = prompts.load_task("Note v1.0")
    assert again == first
    assert again is not first
    (folder / "tasks" / "Note v1.0.txt").write_text("another")
    assert prompts.load_task("Note v1.0") is again
    prompts.clear_cache()
    assert prompts.load_task("Note v1.0") == "another"


def test_a_role_and_a_task_of_one_name_are_two_prompts(prompts: PromptLoader, folder: Path) -> None:
    (folder / "roles" / "Note v1.0.txt").write_text("a role")
    assert (prompts.load_role("Note v1.0"), prompts.load_task("Note v1.0")) == ("a role", TASK)


def test_what_is_missing_is_not_found_and_the_others_are_named(prompts: PromptLoader) -> None:
    with pytest.raises(
        PromptNotFoundError, match=r"task prompt 'Letter v1.0' not found; available: Bill v1.0, Note v1.0"
    ):
        prompts.load_task("Letter v1.0")
    with pytest.raises(PromptNotFoundError, match=r"role prompt 'Reader 1.0' not found; available: Writer 1.0"):
        prompts.load_role("Reader 1.0")


def test_without_the_directory_there_are_no_prompts(tmp_path: Path) -> None:
    prompts = PromptLoader(tmp_path / "nothing")
    assert (prompts.list_roles(), prompts.list_tasks(), prompts.role_exists("Writer 1.0")) == ([], [], False)
    with pytest.raises(PromptNotFoundError, match="available: none"):
        prompts.load_role("Writer 1.0")


@pytest.mark.parametrize(
    "name",
    ["../secret", "..", ".", "", " ", "../roles/Writer 1.0", "a/b", "a\\b", "C:secret", "nul\0", "two\nlines", "\ud800",
     "x" * 300],
)  # fmt: skip
def test_only_a_plain_file_name_is_a_name(name: str, prompts: PromptLoader) -> None:
    assert not prompts.role_exists(name)
    assert not prompts.task_exists(name)
    with pytest.raises(PromptNotFoundError):
        prompts.load_role(name)


def test_a_file_with_an_odd_name_is_no_prompt(prompts: PromptLoader, folder: Path) -> None:
    (folder / "roles" / "two\nlines.txt").write_text("You write.")
    assert not prompts.role_exists("two\nlines")
    assert prompts.list_roles() == ["Writer 1.0"]


def test_an_absolute_path_is_no_name(prompts: PromptLoader, folder: Path) -> None:
    assert not prompts.role_exists(str(folder / "roles" / "Writer 1.0"))


@pytest.mark.parametrize(("content", "why"), [(b"", "empty"), (b" \n\t", "empty"), (b"\xff\xfe", "cannot be read")])
def test_a_file_without_text_is_an_error(content: bytes, why: str, prompts: PromptLoader, folder: Path) -> None:
    (folder / "roles" / "Bad 1.0.txt").write_bytes(content)
    with pytest.raises(WorkflowError, match=f"role prompt 'Bad 1.0'.*{why}") as raised:
        prompts.load_role("Bad 1.0")
    assert not isinstance(raised.value, PromptNotFoundError)


def test_a_byte_order_mark_is_no_part_of_a_prompt(prompts: PromptLoader, folder: Path) -> None:
    (folder / "roles" / "Marked 1.0.txt").write_bytes(b"\xef\xbb\xbfYou write.")
    assert prompts.load_role("Marked 1.0") == "You write."


def test_the_digest_is_that_of_the_text(prompts: PromptLoader) -> None:
    assert prompts.task_sha256("Note v1.0") == hashlib.sha256(TASK.encode("utf-8")).hexdigest()
    assert prompts.role_sha256("Writer 1.0") == prompt_sha256(ROLE) != prompt_sha256(TASK)
    with pytest.raises(PromptNotFoundError):
        prompts.role_sha256("Reader 1.0")


def test_the_default_directory_is_below_where_the_program_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "prompts").mkdir()
    (folder / "roles").rename(folder / "prompts" / "roles")
    monkeypatch.chdir(folder)
    prompts = PromptLoader()
    monkeypatch.chdir(folder.parent)
    assert prompts.list_roles() == ["Writer 1.0"]


def test_the_example_has_all_its_prompts_and_no_other() -> None:
    prompts, workflow = PromptLoader(EXAMPLES / "prompts"), WorkflowLoader().load(EXAMPLE)
    steps = workflow.get_production_steps()
    assert prompts.list_roles() == sorted({step.role for step in steps if step.role})
    assert prompts.list_tasks() == sorted({step.task_prompt for step in steps if step.task_prompt})
    assert all(len(prompts.load_task(name)) > 200 for name in prompts.list_tasks())


def test_the_prompts_of_the_example_name_the_collections_of_the_example() -> None:
    prompts, workflow = PromptLoader(EXAMPLES / "prompts"), WorkflowLoader().load(EXAMPLE)
    for step in workflow.get_production_steps():
        field = workflow.document_types[step.produces or ""].collection_field
        assert field is None or f'"{field}"' in prompts.load_task(step.task_prompt or "")
