"""Answers of line edits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.answers.editing import EditError, LineEdit, edited
from phasegate.apps.build.schema import Change
from tests.apps.build.answer_cases import edits, entry, operation, problems, read, refused

FIVE = "1\n2\n3\n4\n5\n"


def after(text: str, *operations: dict[str, Any]) -> str | None:
    """The text of a file after operations."""
    (change,) = read(edits(*operations), "edits", {"f.txt": text}).changes
    assert (change.path, change.mode) == ("f.txt", "modify")
    return change.content


def code_of(text: str, *operations: dict[str, Any]) -> str:
    return refused(edits(*operations), "edits", {"f.txt": text}).code


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (operation("insert", line=1, content="x\n"), "x\n1\n2\n3\n4\n5\n"),
        (operation("insert", line=3, content="x\ny"), "1\n2\nx\ny\n3\n4\n5\n"),
        (operation("insert", line=6, content="x"), "1\n2\n3\n4\n5\nx\n"),
        (operation("insert", line=3, content="\n"), "1\n2\n\n3\n4\n5\n"),
        (operation("replace", start_line=2, end_line=4, content="x\n"), "1\nx\n5\n"),
        (operation("replace", start_line=1, end_line=5, content="x"), "x\n"),
        (operation("replace", start_line=3, end_line=3, content=""), "1\n2\n4\n5\n"),
        (operation("delete", start_line=1, end_line=1), "2\n3\n4\n5\n"),
        (operation("delete", start_line=1, end_line=5), ""),
        (operation("append", content="x\n\n"), "1\n2\n3\n4\n5\nx\n\n"),
        (operation("prepend", content="x"), "x\n1\n2\n3\n4\n5\n"),
    ],
    ids=[str(number) for number in range(11)],
)
def test_each_kind_of_edit_does_what_it_says(one: dict[str, Any], expected: str) -> None:
    assert after(FIVE, one) == expected


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("a\nb", "c\n", "a\nb\nc"),
        ("a\nb", "c", "a\nb\nc"),
        ("a\nb\n", "c", "a\nb\nc\n"),
        ("a\nb\n", "c\n", "a\nb\nc\n"),
        ("", "c", "c\n"),
        ("", "c\n", "c\n"),
        ("\n", "c\n", "\nc\n"),
        ("a", "", "a"),
    ],
    ids=[str(number) for number in range(8)],
)
def test_appending_neither_loses_nor_adds_a_line_end(text: str, content: str, expected: str) -> None:
    assert after(text, operation("append", content=content)) == expected


def test_all_numbers_refer_to_the_file_as_it_was() -> None:
    operations = [
        operation("delete", start_line=1, end_line=2),
        operation("insert", line=4, content="before 4"),
        operation("replace", start_line=4, end_line=4, content="new 4\nand more"),
        operation("insert", line=6, content="behind 5"),
        operation("append", content="last"),
        operation("prepend", content="first"),
        operation("insert", line=4, content="also before 4"),
    ]
    expected = "first\n3\nbefore 4\nalso before 4\nnew 4\nand more\n5\nbehind 5\nlast\n"
    assert after(FIVE, *operations) == expected


def test_several_at_one_place_stand_in_the_order_given() -> None:
    assert after("m\n", *(operation("append", content=c) for c in "xyz")) == "m\nx\ny\nz\n"
    assert after("m\n", *(operation("prepend", content=c) for c in "xyz")) == "x\ny\nz\nm\n"


@pytest.mark.parametrize(
    "operations",
    [
        [operation("insert", line=0, content="x")],
        [operation("insert", line=7, content="x")],
        [operation("replace", start_line=0, end_line=1, content="x")],
        [operation("replace", start_line=5, end_line=6, content="x")],
        [operation("replace", start_line=3, end_line=2, content="x")],
        [operation("delete", start_line=6, end_line=6)],
        [operation("delete", start_line=-1, end_line=2)],
        [operation("delete", start_line=1, end_line=3), operation("delete", start_line=3, end_line=4)],
        [operation("replace", start_line=1, end_line=5, content="x"), operation("delete", start_line=2, end_line=2)],
        [operation("delete", start_line=2, end_line=4), operation("insert", line=3, content="x")],
        [operation("delete", start_line=2, end_line=4), operation("insert", line=4, content="x")],
    ],
    ids=[str(number) for number in range(11)],
)
def test_ranges_that_are_not_there_or_overlap_are_errors(operations: list[dict[str, Any]]) -> None:
    assert code_of(FIVE, *operations) == "E_EDIT_RANGE"


def test_an_insertion_at_the_edge_of_a_range_is_none() -> None:
    cut = operation("delete", start_line=2, end_line=4)
    assert after(FIVE, cut, operation("insert", line=2, content="x")) == "1\nx\n5\n"
    assert after(FIVE, cut, operation("insert", line=5, content="x")) == "1\nx\n5\n"


def test_context_must_be_there_but_for_the_space_around_it() -> None:
    text = "def f():\n    a = 1\n    b = 2\n    return a\n"
    one = operation("replace", start_line=3, end_line=3, content="    b = 3")
    expected = "def f():\n    a = 1\n    b = 3\n    return a\n"
    for context in (
        {"context_before": "a = 1"}, {"context_before": "    a = 1\n"}, {"context_before": "def f():\n  a = 1"},
        {"context_after": "\treturn a  "}, {"context_before": "a = 1", "context_after": "return a\n"},
        {"context_before": "", "context_after": None}, {"context_before": " \n"},
    ):  # fmt: skip
        assert after(text, one | context) == expected
    for context in ({"context_before": "b = 2"}, {"context_after": "b = 2"}, {"context_before": "x\ndef f():\na = 1"}):
        assert code_of(text, one | context) == "E_EDIT_CONTEXT"


def test_one_edit_that_does_not_fit_stops_all_of_them() -> None:
    operations = [operation("append", content="x"), operation("delete", start_line=9, end_line=9)]
    error = refused(edits(*operations), "edits", {"f.txt": FIVE})
    assert (error.code, error.path) == ("E_EDIT_RANGE", "f.txt")
    assert "operations[1]" in error.message
    with pytest.raises(EditError):
        edited(FIVE, [LineEdit("append", content="x"), LineEdit("delete", 9, 9)])


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (operation("move", line=1), "E_MODE_UNKNOWN"),
        ({"file_path": "f.txt", "content": "x"}, "E_MODE_UNKNOWN"),
        (operation("insert", line="1", content="x"), "E_ENTRY_INVALID"),
        (operation("insert", line=1.0, content="x"), "E_ENTRY_INVALID"),
        (operation("insert", line=True, content="x"), "E_ENTRY_INVALID"),
        (operation("insert", content="x"), "E_ENTRY_INVALID"),
        (operation("replace", start_line=1, content="x"), "E_ENTRY_INVALID"),
        (operation("insert", line=1), "E_CONTENT_MISSING"),
        (operation("append", content=3), "E_ENTRY_INVALID"),
        (operation("delete", start_line=1, end_line=1, content="x"), "E_ENTRY_INVALID"),
        (operation("replace", start_line=1, end_line=1, content="x", context_before=3), "E_ENTRY_INVALID"),
        ({"type": "append", "content": "x"}, "E_ENTRY_INVALID"),
        ("append", "E_ENTRY_INVALID"),
        (operation("append", "other.txt", content="x"), "E_MODIFY_UNSEEN"),
        (operation("append", "../f.txt", content="x"), "E_PATH_UNSAFE"),
        (operation("append", "/etc/passwd", content="x"), "E_PATH_UNSAFE"),
        (operation("append", "", content="x"), "E_PATH_UNSAFE"),
    ],
    ids=[str(number) for number in range(17)],
)
def test_an_operation_that_is_not_as_it_must_be_is_an_error(wrong: Any, code: str) -> None:
    assert code_of(FIVE, wrong) == code


def test_a_file_that_was_shown_is_known_in_every_spelling() -> None:
    originals = {"src/f.txt": FIVE}
    operations = [operation("append", "./src/f.txt", content="x"), operation("prepend", "src\\f.txt", content="y")]
    answer = read(edits(*operations), "edits", originals)
    assert answer.changes == (Change("src/f.txt", "modify", f"y\n{FIVE}x\n"),)


def test_several_files_each_become_one_change_in_the_order_they_come() -> None:
    operations = [operation("append", name, content=name) for name in ("b", "a", "b")]
    answer = read(edits(*operations), "edits", {"a": "", "b": "x\n"})
    assert answer.changes == (Change("b", "modify", "x\nb\nb\n"), Change("a", "modify", "a\n"))


def test_new_files_come_as_whole_files_beside_the_edits() -> None:
    text = edits(operation("append", content="x"), files=[entry("new.py"), entry("old.py", "delete", None)])
    answer = read(text, "edits", {"f.txt": FIVE})
    assert [(each.path, each.mode) for each in answer.changes] == [
        ("f.txt", "modify"), ("new.py", "create"), ("old.py", "delete")
    ]  # fmt: skip
    assert refused(edits(files=[entry(mode="x")]), "edits").code == "E_MODE_UNKNOWN"


def test_answers_without_edits_are_judged_as_those_without_files() -> None:
    assert refused(edits(), "edits").code == "E_FILES_EMPTY"
    assert refused('{"summary": "s"}', "edits").code == "E_FILES_MISSING"
    assert refused('{"summary": "s", "operations": {}}', "edits").code == "E_FILES_NOT_ARRAY"
    assert refused("[]", "edits").code == "E_JSON_SHAPE"
    assert read(edits(no_changes_reason="so already"), "edits").changes == ()


def test_line_ends_of_one_kind_are_plain_while_editing_and_mixed_ones_stay() -> None:
    assert after("a\r\nb\r\n", operation("append", content="c\r\nd")) == "a\nb\nc\nd\n"
    assert after("a\r\nb\nc\r\n", operation("delete", start_line=2, end_line=2)) == "a\r\nc\r\n"
    assert after("a\r\nb\n", operation("replace", start_line=2, end_line=2, content="x")) == "a\r\nx\n"
    one = operation("replace", start_line=2, end_line=2, content="x", context_before="a")
    assert after("a\r\nb\r\nc\n", one) == "a\r\nx\nc\n"


def test_only_line_feeds_end_lines() -> None:
    text = "a\x0cb\u2028c\x85d\re\nf\n"
    assert after(text, operation("delete", start_line=2, end_line=2)) == "a\x0cb\u2028c\x85d\re\n"


def test_every_problem_is_told() -> None:
    operations = [operation("x"), operation("append", "no.txt", content="c"), operation("append")]
    error = refused(edits(*operations), "edits", {"f.txt": FIVE})
    assert problems(error) == ["E_MODE_UNKNOWN", "E_MODIFY_UNSEEN", "E_CONTENT_MISSING"]


line_texts = st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=3), max_size=8)


@settings(max_examples=150)
@given(line_texts, st.booleans(), st.data())
def test_edits_do_what_the_same_edits_do_to_a_list(lines: list[str], ends: bool, data: st.DataObject) -> None:
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    # What is joined may have fewer lines than went into it: an empty last one is none.
    lines = text.removesuffix("\n").split("\n") if text else []
    marks = (
        data.draw(st.lists(st.integers(0, len(lines)), min_size=2, max_size=4, unique=True).map(sorted))
        if lines
        else [0]
    )
    ranges = [(start + 1, end) for start, end in zip(marks[::2], marks[1::2], strict=False)]
    contents = [data.draw(line_texts) for _ in ranges]
    made = [
        LineEdit("replace", a, b, "".join(f"{x}\n" for x in new)) for (a, b), new in zip(ranges, contents, strict=True)
    ]
    expected = list(lines)
    for (first, last), new in reversed(list(zip(ranges, contents, strict=True))):
        expected[first - 1 : last] = new
    whole = "\n".join(expected) + ("\n" if text.endswith("\n") and expected else "")
    shuffled = data.draw(st.permutations(made))
    assert edited(text, shuffled) == whole
