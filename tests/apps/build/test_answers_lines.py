"""Answers of one object on each line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.errors import TruncatedResponseError
from phasegate.apps.build.schema import Change
from tests.apps.build.answer_cases import entry, files, lines, operation, read, refused

CREATE = operation("create", "a.py", content="x = 1\n")
DELETE = operation("delete", "old.py")


def modify(*operations: Any, path: str = "f.txt") -> dict[str, Any]:
    return operation("modify", path, operations=list(operations))


def after(text: str, *operations: dict[str, Any]) -> str | None:
    (change,) = read(lines(modify(*operations)), "lines", {"f.txt": text}).changes
    assert (change.path, change.mode) == ("f.txt", "modify")
    return change.content


def code_of(text: str, *operations: Any) -> str:
    return refused(lines(modify(*operations)), "lines", {"f.txt": text}).code


def test_each_line_becomes_the_change_of_a_whole_file() -> None:
    append = {"type": "append", "content": "c\n"}
    answer = read(lines(CREATE, DELETE, modify(append)), "lines", {"f.txt": "a\nb"})
    assert answer.changes == (
        Change("a.py", "create", "x = 1\n"), Change("old.py", "delete"), Change("f.txt", "modify", "a\nb\nc")
    )  # fmt: skip
    assert (answer.summary, answer.warnings, answer.repair_method) == ("Does it.", (), "direct")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ({"type": "append", "content": "x"}, "one\ntwo two\nthree\nx\n"),
        ({"type": "insert_after", "anchor": "one", "content": "x"}, "one\nx\ntwo two\nthree\n"),
        ({"type": "insert_after", "anchor": "on", "content": "x\n"}, "one\nx\ntwo two\nthree\n"),
        ({"type": "insert_after", "anchor": "one\n", "content": "x"}, "one\nx\ntwo two\nthree\n"),
        ({"type": "insert_after", "anchor": "one\ntwo t", "content": "x"}, "one\ntwo two\nx\nthree\n"),
        ({"type": "insert_after", "anchor": "three", "content": "x\ny"}, "one\ntwo two\nthree\nx\ny\n"),
        ({"type": "replace", "old_text": "two two", "new_text": "2"}, "one\n2\nthree\n"),
        ({"type": "replace", "old_text": "ne\nt", "new_text": ""}, "owo two\nthree\n"),
        ({"type": "replace_all", "old_text": "two", "new_text": "2"}, "one\n2 2\nthree\n"),
        ({"type": "replace_all", "old_text": "one", "new_text": "oneone"}, "oneone\ntwo two\nthree\n"),
    ],
    ids=[str(number) for number in range(10)],
)
def test_each_kind_of_edit_does_what_it_says(one: dict[str, Any], expected: str) -> None:
    assert after("one\ntwo two\nthree\n", one) == expected


@pytest.mark.parametrize(
    "one",
    [
        {"type": "insert_after", "anchor": "four", "content": "x"},
        {"type": "insert_after", "anchor": "two", "content": "x"},
        {"type": "insert_after", "anchor": "", "content": "x"},
        {"type": "replace", "old_text": "two", "new_text": "x"},
        {"type": "replace", "old_text": "four", "new_text": "x"},
        {"type": "replace", "old_text": "", "new_text": "x"},
        {"type": "replace_all", "old_text": "four", "new_text": "x"},
        {"type": "replace_all", "old_text": "", "new_text": "x"},
    ],
    ids=[str(number) for number in range(8)],
)
def test_an_anchor_that_is_missing_or_ambiguous_is_an_error_and_nothing_is_appended(one: dict[str, Any]) -> None:
    assert code_of("one\ntwo two\n", one) == "E_ANCHOR"


def test_places_that_overlap_are_more_than_one() -> None:
    assert code_of("aaa\n", {"type": "replace", "old_text": "aa", "new_text": "x"}) == "E_ANCHOR"


def test_edits_follow_one_another_and_all_of_them_or_none() -> None:
    first = {"type": "replace", "old_text": "a", "new_text": "b c"}
    assert after("a\n", first, {"type": "insert_after", "anchor": "b c", "content": "d"}) == "b c\nd\n"
    error = refused(
        lines(modify(first, {"type": "replace", "old_text": "a", "new_text": "x"})), "lines", {"f.txt": "a\n"}
    )
    assert (error.code, error.path) == ("E_ANCHOR", "f.txt")
    assert "lines[1].operations[1]" in error.message


def test_anchors_are_found_whatever_line_ends_the_file_has() -> None:
    assert after("a\r\nb\r\nc\r\n", {"type": "replace", "old_text": "a\nb", "new_text": "x"}) == "x\nc\n"
    assert after("a\r\nb\nc\n", {"type": "insert_after", "anchor": "b\n", "content": "x"}) == "a\r\nb\nx\nc\n"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (modify(), "E_ENTRY_INVALID"),
        (operation("modify"), "E_ENTRY_INVALID"),
        (operation("modify", content="whole"), "E_ENTRY_INVALID"),
        (modify({"type": "truncate"}), "E_MODE_UNKNOWN"),
        (modify({"type": "append"}), "E_CONTENT_MISSING"),
        (modify({"type": "replace", "old_text": "a"}), "E_CONTENT_MISSING"),
        (modify({"type": "replace_all", "content": "a"}), "E_CONTENT_MISSING"),
        (modify({"type": "append", "content": 3}), "E_ENTRY_INVALID"),
        (modify("append"), "E_ENTRY_INVALID"),
        (modify({"type": "append", "content": "x"}, path="other.txt"), "E_MODIFY_UNSEEN"),
        (modify({"type": "append", "content": "x"}, path="../f.txt"), "E_PATH_UNSAFE"),
        (modify({"type": "append", "content": "x"}, path=".git/../f.txt"), "E_PATH_UNSAFE"),
        (operation("rename"), "E_MODE_UNKNOWN"),
        ({"file_path": "a"}, "E_MODE_UNKNOWN"),
        ({"type": "create", "content": "x"}, "E_ENTRY_INVALID"),
        (operation("create"), "E_CONTENT_MISSING"),
        (operation("create", content=3), "E_ENTRY_INVALID"),
        (operation("delete", content="x"), "E_ENTRY_INVALID"),
    ],
    ids=[str(number) for number in range(18)],
)
def test_a_line_that_is_not_as_it_must_be_is_an_error(wrong: Any, code: str) -> None:
    assert refused(lines(CREATE, wrong), "lines", {"f.txt": "a\n"}).code == code


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CREATE),
        files(entry()),
        json.dumps([{"type": "meta", "total_operations": 1}, CREATE]),
        '{"type": "meta", "summary": "s"}\n' + json.dumps(CREATE),
        lines(CREATE, total="1"),
        lines(CREATE, total=True),
        lines(CREATE, total=-1),
        "no object at all",
    ],
    ids=["no-meta", "whole-files", "list", "no-total", "text", "bool", "negative", "prose"],
)
def test_without_a_first_line_that_says_how_many_follow_nothing_is_read(text: str) -> None:
    assert refused(text, "lines").code == "E_JSON_SHAPE"


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "```jsonl\n{}\n```",
        "```json\n{}\n```\nbye",
        "Sure:\n{}\n\nThat is all.",
        "```\n{}\n```",
        "\ufeff{}\n",
        "```ndjson\n{}",
    ],
    ids=["bare", "jsonl", "json", "prose", "fence", "mark", "unclosed-fence"],
)
def test_lines_are_found_in_what_stands_around_them(around: str) -> None:
    answer = read(around.replace("{}", lines(CREATE, DELETE)), "lines")
    assert answer.changes == (Change("a.py", "create", "x = 1\n"), Change("old.py", "delete"))


def test_objects_may_run_over_several_lines() -> None:
    text = "\n\n".join(json.dumps(json.loads(line), indent=2) for line in lines(CREATE, DELETE).splitlines())
    assert len(read(text, "lines").changes) == 2


@pytest.mark.parametrize("total", [0, 1, 3, 9])
def test_another_number_of_operations_than_was_said_is_an_answer_cut_short(total: int) -> None:
    error = refused(lines(CREATE, DELETE, total=total), "lines")
    assert isinstance(error, TruncatedResponseError)
    assert (error.code, error.category, error.details["total"]) == ("E_TRUNCATED", "capacity", total)
    assert [each["path"] for each in error.details["salvaged"]] == ["a.py", "old.py"]


def test_what_is_complete_before_a_cut_is_kept_and_the_rest_named() -> None:
    whole = lines(CREATE, DELETE, operation("create", "b.py", content="y = 2\n"))
    error = refused(whole[:-4], "lines")
    assert isinstance(error, TruncatedResponseError)
    assert [each["path"] for each in error.details["salvaged"]] == ["a.py", "old.py"]
    assert error.details["salvaged"][0] == {"path": "a.py", "mode": "create", "new_content": "x = 1\n"}
    assert (error.details["cut"], error.path, error.details["summary"]) == ("b.py", "b.py", "Does it.")


def test_what_is_complete_but_wrong_is_not_kept() -> None:
    error = refused(lines(CREATE, operation("rename", "c.py"), DELETE)[:-4], "lines")
    assert [each["path"] for each in error.details["salvaged"]] == ["a.py"]


def test_a_cut_inside_of_the_first_line_is_one_too() -> None:
    error = refused(lines(CREATE)[:30], "lines")
    assert (error.code, error.details["salvaged"], error.details["cut"]) == ("E_TRUNCATED", [], None)


def test_a_line_that_is_broken_is_an_error_with_its_place() -> None:
    text = lines(CREATE, DELETE).replace('"type": "create"', '"type" "create"')
    error = refused(text, "lines")
    assert (error.code, error.details["line"]) == ("E_JSON_INVALID", 2)
    assert error.details["repairs"]
    assert refused(text, "lines", stop="max_tokens").code == "E_TRUNCATED"


def test_something_behind_an_object_on_its_line_shows_that_it_was_closed_too_early() -> None:
    text = lines(total=1) + '\n{"type": "create", "file_path": "a.py", "content": "f("}")"}'
    assert refused(text, "lines").code == "E_JSON_INVALID"


def test_the_spelling_of_a_line_is_repaired() -> None:
    text = lines(CREATE, DELETE).replace("\\n", "\n").replace('"old.py"', '"old.py",')
    answer = read(text, "lines")
    assert answer.changes[0].content == "x = 1\n"
    assert answer.repair_method == "direct+control+commas"


def test_a_key_that_stands_twice_in_a_line_is_an_error() -> None:
    text = lines(CREATE).replace('"file_path": "a.py"', '"file_path": "a.py", "file_path": "b.py"')
    assert refused(text, "lines").code == "E_JSON_INVALID"


def test_a_complete_answer_that_used_up_the_tokens_is_taken_with_a_warning() -> None:
    answer = read(lines(CREATE), "lines", stop="max_tokens")
    assert (len(answer.changes), len(answer.warnings)) == (1, 1)


def test_nothing_to_do_needs_a_reason() -> None:
    assert refused(lines(), "lines").code == "E_FILES_EMPTY"
    assert read(lines(no_changes_reason="so already"), "lines").changes == ()


@settings(max_examples=100)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.data())
def test_no_beginning_of_lines_is_taken_for_all_of_them(contents: list[str], data: st.DataObject) -> None:
    creates = [operation("create", f"f{number}", content=each) for number, each in enumerate(contents)]
    text = lines(*creates)
    whole = read(text, "lines").changes
    assert [change.content for change in whole] == contents
    error = refused(text[: data.draw(st.integers(1, len(text) - 1))], "lines")
    assert error.code == "E_TRUNCATED"
    salvaged = [Change(each["path"], each["mode"], each["new_content"]) for each in error.details["salvaged"]]
    assert tuple(salvaged) == whole[: len(salvaged)]
