"""Answers of whole files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.errors import InvalidJSONError, RefusedError
from phasegate.apps.build.schema import MODES, Change
from tests.apps.build.answer_cases import POLICY, edits, entry, files, lines, problems, read, refused

changes = st.builds(
    lambda path, mode, content: Change(path, mode, None if mode == "delete" else content),
    st.text(min_size=1),
    st.sampled_from(MODES),
    st.text(),
)


@settings(max_examples=100)
@given(st.text(min_size=1, max_size=50), st.lists(changes, min_size=1, max_size=4))
def test_what_is_answered_is_what_is_read(summary: str, said: list[Change]) -> None:
    answer = read(json.dumps({"summary": summary, "files": [change.told() for change in said]}))
    assert answer.changes == tuple(said)
    assert answer.repair_method == "direct"


def test_an_answer_has_its_parts() -> None:
    answer = read(
        files(entry(), entry("b.py", "modify", ""), entry("c.py", "delete", None), already_satisfied=["d.py", "d.py"])
    )
    assert answer.summary == "Does it."
    assert answer.changes == (
        Change("a.py", "create", "x = 1\n"),
        Change("b.py", "modify", ""),
        Change("c.py", "delete"),
    )
    assert answer.already_satisfied == ("d.py",)
    assert answer.warnings == ()


def test_an_empty_new_file_is_content() -> None:
    assert read(files(entry("pkg/__init__.py", "create", ""))).changes == (Change("pkg/__init__.py", "create", ""),)


@pytest.mark.parametrize("without", [{"new_content": None}, {}, {"new_content": ""}], ids=["null", "absent", "empty"])
def test_a_deletion_needs_no_content(without: dict[str, Any]) -> None:
    assert read(files({"path": "a.py", "mode": "delete", **without})).changes == (Change("a.py", "delete"),)


def test_a_deletion_of_a_file_that_was_not_shown_can_be_read() -> None:
    assert read(files(entry("never/seen.py", "delete", None)), originals={}).changes == (
        Change("never/seen.py", "delete"),
    )


def test_two_changes_of_one_path_both_go_to_the_check() -> None:
    assert len(read(files(entry("a.py"), entry("./a.py"))).changes) == 2


def test_a_path_is_not_judged_here_and_not_changed() -> None:
    assert read(files(entry("../../etc/passwd"))).changes[0].path == "../../etc/passwd"


@pytest.mark.parametrize("mode", ["update", "rename", "Create", "", "patch", 3, None, ["create"]], ids=repr)
def test_an_unknown_mode_is_an_error_and_no_modification(mode: Any) -> None:
    error = refused(files(entry(mode=mode)))
    assert (error.code, error.path, error.category) == ("E_MODE_UNKNOWN", "a.py", "model")


@pytest.mark.parametrize("mode", ["create", "modify"])
def test_content_must_be_there(mode: str) -> None:
    assert refused(files({"path": "a.py", "mode": mode})).code == "E_CONTENT_MISSING"
    assert refused(files(entry(mode=mode, content=None))).code == "E_CONTENT_MISSING"


@pytest.mark.parametrize(
    "wrong",
    [
        entry(content=3),
        entry(content={"a": 1}),
        entry(content=["x"]),
        entry(mode="delete", content="x"),
        {"mode": "create", "new_content": "x"},
        entry(path=7),
        entry(content="x") | {"content": "y"},
        entry() | {"file_path": "b.py"},
        "a.py",
        None,
        ["a.py", "create", "x"],
    ],
    ids=[
        "number", "object", "list", "deleted-with-content", "no-path", "path-number", "two-contents", "two-paths", "text", "null",
        "row",
    ],
)  # fmt: skip
def test_an_entry_that_is_not_as_it_must_be_is_an_error(wrong: Any) -> None:
    error = refused(files(entry("ok.py"), wrong))
    assert error.code == "E_ENTRY_INVALID"
    assert isinstance(error, InvalidJSONError)
    assert "files[1]" in error.message


def test_every_problem_is_told_and_not_only_the_first() -> None:
    error = refused(files(entry(mode="patch"), entry("b.py", "create", None), 3))
    assert problems(error) == ["E_MODE_UNKNOWN", "E_CONTENT_MISSING", "E_ENTRY_INVALID"]
    assert [each["path"] for each in error.details["problems"]] == ["a.py", "b.py", None]


def test_other_words_are_understood_with_a_warning() -> None:
    told = {"summary": "s", "changes": [{"file_path": "a.py", "action": "replace", "content": "x"}]}
    answer = read(json.dumps(told))
    assert answer.changes == (Change("a.py", "modify", "x"),)
    assert len(answer.warnings) == 5
    assert all("was read as" in warning for warning in answer.warnings)


def test_both_words_for_one_thing_are_a_problem() -> None:
    assert problems(refused(json.dumps({"summary": "s", "files": [entry()], "changes": []})))[0] == "E_ENTRY_INVALID"


def test_a_bare_list_is_read_as_the_files() -> None:
    answer = read(json.dumps([entry()]))
    assert answer.changes == (Change("a.py", "create", "x = 1\n"),)
    assert answer.summary == "Changes 1 file: create a.py."
    assert len(answer.warnings) == 2


def test_notes_and_commands_are_ignored_and_what_nobody_knows_is_named() -> None:
    assert read(files(entry(), notes=["n"], commands=["rm -rf /"])).warnings == ()
    assert "'plan'" in " ".join(read(files(entry(), plan="p")).warnings)
    assert "'why'" in " ".join(read(files(entry(why="w"))).warnings)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"summary": "s"}, "E_FILES_MISSING"),
        ({"other": 1}, "E_FILES_MISSING"),
        ({"summary": "s", "files": {"a.py": "x"}}, "E_FILES_NOT_ARRAY"),
        ({"summary": "s", "files": None}, "E_FILES_NOT_ARRAY"),
        ({"summary": "s", "files": []}, "E_FILES_EMPTY"),
        ([], "E_FILES_EMPTY"),
        ("text", "E_JSON_SHAPE"),
        (3, "E_JSON_SHAPE"),
        (None, "E_JSON_SHAPE"),
        ({"summary": "s", "files": [], "no_changes_reason": 3}, "E_JSON_SHAPE"),
        ({"summary": "s", "files": [], "already_satisfied": "a.py"}, "E_JSON_SHAPE"),
        ({"summary": "s", "files": [], "refusal": 3}, "E_JSON_SHAPE"),
        ([entry(), 3], "E_ENTRY_INVALID"),
    ],
    ids=[str(number) for number in range(13)],
)
def test_an_answer_of_another_shape_is_an_error(told: Any, code: str) -> None:
    error = refused(json.dumps(told))
    assert error.code == code
    assert error.message.startswith("Invalid JSON response: ")


def test_no_changes_need_a_reason_or_what_is_satisfied_or_leave() -> None:
    assert read(files(no_changes_reason="It is so already.")).no_changes_reason == "It is so already."
    assert read(json.dumps({"summary": "s", "no_changes_reason": "It is so already."})).changes == ()
    assert read(files(already_satisfied=["a.py"])).already_satisfied == ("a.py",)
    assert read(files(), allow_empty=True).changes == ()
    assert refused(files(no_changes_reason="  ")).code == "E_FILES_EMPTY"


@pytest.mark.parametrize("summary", [None, "", "  ", 3, ["s"]], ids=repr)
def test_a_missing_summary_is_made_up_with_a_warning(summary: Any) -> None:
    answer = read(files(entry(), entry("b.py", "delete", None), summary=summary))
    assert answer.summary == "Changes 2 files: create a.py, delete b.py."
    assert answer.warnings


def test_a_summary_as_long_as_allowed_stays_and_a_longer_one_is_cut() -> None:
    most = POLICY.max_summary_chars
    assert read(files(entry(), summary="s" * most)).warnings == ()
    answer = read(files(entry(), summary="s" * (most + 1)))
    assert (len(answer.summary), len(answer.warnings)) == (most, 1)


def test_a_summary_is_free_of_control_characters() -> None:
    assert read(files(entry(), summary="a\0b\x1b[31m\nc")).summary == "a b [31m\nc"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ({"reason": "No access.", "needs": "the schema"}, "No access."),
        ({"reason": "No access.", "needs": ["the schema"]}, "No access."),
        ({"needs": "the schema"}, "no reason given"),
        ("No access.", "No access."),
    ],
    ids=["object", "list", "only-needs", "text"],
)
@pytest.mark.parametrize("write", [files, edits, lines], ids=["files", "edits", "lines"])
def test_a_refusal_is_an_error_of_its_own_in_every_form(write: Any, refusal: Any, reason: str) -> None:
    format = write.__name__
    for text in (write(refusal=refusal), json.dumps({"refusal": refusal})):
        error = refused(text, format)
        assert isinstance(error, RefusedError)
        assert (error.code, error.details["reason"], error.retryable) == ("E_REFUSED", reason, False)
        assert isinstance(error.details["needs"], str)


def test_a_refusal_with_changes_is_a_refusal() -> None:
    assert refused(files(entry(), refusal={"reason": "r", "needs": ""})).code == "E_REFUSED"


@pytest.mark.parametrize("refusal", [None, {}, {"reason": "", "needs": ""}, {"reason": None}, ""], ids=repr)
def test_a_refusal_that_says_nothing_is_none(refusal: Any) -> None:
    assert len(read(files(entry(), refusal=refusal)).changes) == 1
