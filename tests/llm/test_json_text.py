from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.llm.json_pieces import extent, pieces
from phasegate.llm.json_repairs import REPAIRS, repairs
from phasegate.llm.json_salvage import salvage
from phasegate.llm.json_strict import JSONTextError, loads
from phasegate.llm.json_text import Sought, find, mended

SOUGHT = Sought(frozenset({"files", "summary"}), frozenset({"path"}))
ANSWER = {"summary": "s", "files": [{"path": "a.py", "new_content": 'f("{")\n'}]}
TEXT = json.dumps(ANSWER)
OTHER = json.dumps({"summary": "other", "files": []})

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
answers = st.fixed_dictionaries(
    {"summary": st.text(), "files": st.lists(st.dictionaries(st.text(), st.text(), max_size=3))}
)


def problem_of(text: str, **limits: int) -> JSONTextError:
    with pytest.raises(JSONTextError) as caught:
        loads(text, **limits)
    return caught.value


def position_of(read: Callable[[str], Any], text: str) -> int | None:
    """Where a text cannot be read, or its beginning when it can; None when that is nowhere in it."""
    try:
        read(text)
    except JSONTextError as error:
        return error.position if 0 <= error.position <= len(text) else None
    return 0


# ---------------------------------------------------------------- strict


@settings(max_examples=100)
@given(values)
def test_what_json_writes_is_read_as_it_was(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert loads("\ufeff \n" + json.dumps(value, ensure_ascii=False, indent=1) + "\r\n\t") == value


@pytest.mark.parametrize(
    ("text", "problem", "line", "column"),
    [
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', "duplicate", 2, 16),
        ('{"a": 1, "\\u0061": 2}', "duplicate", 1, 10),
        ('{"a": {"b": 1}, "c": {"b": 2}, "a": 3}', "duplicate", 1, 32),
        ('{"a": "NaN",\n"b": NaN}', "constant", 2, 6),
        ("[Infinity]", "constant", 1, 2),
        ("[-Infinity]", "constant", 1, 2),
        ("[1.5, 1e999]", "number", 1, 7),
        ("[1, " + "9" * 5_000 + "]", "number", 1, 5),
        ('["ok \\ud83d\\ude00", "\\ud800"]', "surrogate", 1, 21),
        ('{"a": "\ud800"}', "surrogate", 1, 8),
        ("[1,\n 2,,]", "syntax", 2, 4),
        ("", "syntax", 1, 1),
        ("{} {}", "syntax", 1, 4),
        ('["a\nb"]', "syntax", 1, 4),
        ("\n\n\ufeff{'a': 1}", "syntax", 3, 3),
    ],
    ids=lambda value: "" if isinstance(value, str) and not value.isalpha() else str(value),
)
def test_what_is_refused_is_refused_with_its_place(text: str, problem: str, line: int, column: int) -> None:
    error = problem_of(text)
    assert (error.problem, error.line, error.column) == (problem, line, column)
    assert f"line {line}, column {column}" in str(error)


def test_the_depth_allowed_is_allowed_and_one_more_is_not() -> None:
    assert loads("[" * 50 + "]" * 50)
    error = problem_of("[" * 51 + "]" * 51)
    assert (error.problem, error.column) == ("depth", 51)
    assert problem_of("[[1]]", deepest=1).problem == "depth"
    assert problem_of('{"a":' * 100_000 + "1" + "}" * 100_000).problem == "depth"


def test_the_size_allowed_is_allowed_and_one_byte_more_is_not() -> None:
    assert loads('"ü"', longest=4) == "ü"
    assert problem_of('"ü"', longest=3).problem == "size"


@settings(max_examples=120)
@given(st.text() | st.text('{}[]",:\\u0d8 \n1eNa', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (loads, mended, lambda each: find(each, SOUGHT)):
        assert isinstance(position_of(read, text), int)
    salvage(text)


# ---------------------------------------------------------------- finding


@pytest.mark.parametrize(
    ("text", "method"),
    [
        (TEXT, "direct"),
        ("\ufeff\n" + TEXT + "\n", "direct"),
        (f"```json\n{TEXT}\n```", "fence"),
        (f"```JSON\r\n{TEXT}\r\n```\r\n", "fence"),
        (f"Sure:\n```\n{TEXT}\n```\nBye", "fence"),
        (f"~~~json\n{TEXT}\n~~~", "fence"),
        (f"````json\n{TEXT}\n````", "fence"),
        (f"```json {TEXT}```", "fence"),
        (f"```json\n{TEXT}", "fence"),
        (f"```json\n// the answer\n{TEXT}\n```", "balanced"),
        (f"It uses {{braces}}, [1] and {{}}: {TEXT} That is all.", "balanced"),
        (f'He said "{{}}" and {TEXT}', "balanced"),
        (f"{TEXT} trailing }} prose", "balanced"),
        (f"{TEXT}}}", "balanced"),
        (f"{TEXT}\n```", "balanced"),
        (f"Inline: ```json\n{TEXT}\n```\n", "balanced"),
        (f"```python\nx = {OTHER}\n```\n{TEXT}", "balanced"),
        (f'```json\n{{"example": 1}}\n```\n{TEXT}', "balanced"),
        (f"{OTHER}\n```json\n{TEXT}\n```", "fence"),
        (f"```json\n{OTHER}\n```\nbetter:\n```json\n{TEXT}\n```", "fence"),
        (f'```json\n{TEXT}\n```\nfor example:\n```json\n{{"x": 1}}\n```', "fence"),
        (f"```\n{OTHER}\n```\n```json\n{TEXT}\n```\n```\n{OTHER}\n```", "fence"),
        (f"```\n{TEXT}\n```\n```\n{OTHER}\n```", "fence"),
        (f"```json\n{{broken}}\n```\n```json\n{TEXT}\n```", "fence"),
        (f'```json\n{{"summary": }}\n```\nsorry:\n```json\n{TEXT}\n```', "fence"),
        (f'in prose {{"x": 1\n```json\n{TEXT}\n```', "fence"),
    ],
    ids=[str(number) for number in range(26)],
)
def test_the_value_is_found_in_what_stands_around_it(text: str, method: str) -> None:
    found = find(text, SOUGHT)
    assert (found.value, found.method) == (ANSWER, method)
    if method != "direct":
        assert text[found.start :].lstrip().startswith(TEXT)


def test_a_whole_text_of_json_is_the_value_whatever_it_is() -> None:
    assert find('{"other": 1}', SOUGHT).value == {"other": 1}
    assert find("[]", SOUGHT).value == []


def test_a_bare_list_of_the_rows_is_found_in_prose_and_no_row_of_it() -> None:
    rows = [{"path": "a"}, {"path": "b"}]
    assert find(f"Here: {json.dumps(rows)}.", SOUGHT).value == rows
    with pytest.raises(JSONTextError) as caught:
        find('Here: {"path": "a"}.', SOUGHT)
    assert caught.value.problem == "missing"


def test_further_answers_are_counted() -> None:
    assert find(f"{TEXT}\n{OTHER}", SOUGHT).others == 1
    assert find(f"{TEXT}\nbye", SOUGHT).others == 0


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],
        TEXT[:30],
        f"```json\n{TEXT[:-5]}",
        f"```json\n{TEXT}\n```\nbetter:\n```json\n{OTHER[:15]}",
        f"```json\n{TEXT}\n```\nbetter:\n```json\n",
        f"```json\n{TEXT}\n```\nbetter:\n{OTHER[:15]}",
        f'{{"result": {TEXT}, "and": "cut',
        f'Sure: {{"summary": "s", "files": [{TEXT}',
        '{"summary": "s", "files": [{"path": "a.md", "new_content": "# T\n```json\n' + OTHER + "\n```\n",
        "{",
    ],
    ids=[str(number) for number in range(10)],
)
def test_a_text_that_ends_inside_of_what_was_meant_is_open_and_nothing_else_stands_in(text: str) -> None:
    with pytest.raises(JSONTextError) as caught:
        find(text, SOUGHT)
    assert caught.value.problem == "open"


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{TEXT}\n```\nbetter:\n```json\n" + '{"summary": "x", "files": [1 2]}\n```',
        '{"summary": "s", "files": [}',
        '```json\n{"summary": "s", "files": [\n```\nthen\n```json\n' + OTHER + "\n```",
        '{"summary": "s", "files": [{"path": "a", "new_content": "f("}]}")"}]}',
        '{"summary": "a" "b", "files": []} ' + f"{OTHER}",
    ],
    ids=["last-broken", "mismatch", "unclosed-in-fence", "closed-too-early", "broken-before-good"],
)
def test_what_was_meant_and_is_broken_is_an_error_and_nothing_else_stands_in(text: str) -> None:
    with pytest.raises(JSONTextError) as caught:
        find(text, SOUGHT)
    assert caught.value.problem == "syntax"


def test_a_key_that_stands_twice_is_an_error_also_where_another_part_would_do() -> None:
    with pytest.raises(JSONTextError) as caught:
        find(f'```json\n{OTHER}\n```\n```json\n{{"summary": "a",\n"summary": "b"}}\n```', SOUGHT)
    assert (caught.value.problem, caught.value.line, caught.value.column) == ("duplicate", 6, 1)


def test_brackets_and_fences_inside_of_strings_count_for_nothing() -> None:
    value = {"summary": '}]{["\\', "files": [{"path": "a.md", "new_content": "```json\n{\n```\n\\\\"}]}
    assert find(f"x {json.dumps(value)} y", SOUGHT).value == value
    assert find(f"```json\n{json.dumps(value, indent=1)}\n```", SOUGHT).value == value


@settings(max_examples=120)
@given(answers, st.sampled_from(["%s", "```json\n%s\n```", "Well:\n\n%s\n\nbye", "```\n%s\n```\n"]), st.data())
def test_no_beginning_of_an_answer_is_taken_for_an_answer(value: dict, around: str, data: st.DataObject) -> None:
    whole = json.dumps(value)
    before, _, after = around.partition("%s")
    assert find(before + whole + after, SOUGHT).value == value
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(JSONTextError):
        find(before + whole[:cut], SOUGHT)


def test_an_answer_of_hostile_length_is_read_in_time() -> None:
    for piece in (
        '{"',
        "[{",
        '{"a":[',
        "```json\n{\n```\n",
        "```\n",
        "{ ",
        '{"summary": 1 ',
        "“",
        '"\\',
        "\\u",
        ",",
        "~~~\n",
        "{}}",
    ):
        text = piece * (60_000 // len(piece))
        with pytest.raises(JSONTextError):
            find(text, SOUGHT)
        mended_text = "{" + text + "}"
        assert sum(1 for _ in repairs(mended_text)) <= len(REPAIRS) + 1
        salvage(text)


# ---------------------------------------------------------------- repairing


@pytest.mark.parametrize(
    ("text", "value", "names"),
    [
        ('{"a": "x\ny\tz\x01"}', {"a": "x\ny\tz\x01"}, "control"),
        ('{"a": [1, 2,], }', {"a": [1, 2]}, "commas"),
        ('{"a": True, "b": None, "c": [False]}', {"a": True, "b": None, "c": [False]}, "literals"),
        ("{“a”: 1, ”b“ : 2}", {"a": 1, "b": 2}, "quotes"),
        ('{"a": "\\d+ C:\\x \\u12"}', {"a": "\\d+ C:\\x \\u12"}, "backslashes"),
        ('{"a": "x\ny", "b": [1,],}', {"a": "x\ny", "b": [1]}, "control+commas"),
        ('{"a": "cd x \\\ny"}', {"a": "cd x \\\ny"}, "control+backslashes"),
        ('{“a”: "True, None,]\n“q”: \\s", "b": None,}', {"a": "True, None,]\n“q”: \\s", "b": None},
         "control+commas+literals+quotes+backslashes"),
    ],
    ids=["control", "commas", "literals", "quotes", "backslashes", "two", "line-end-after-backslash", "all"],
)  # fmt: skip
def test_spelling_is_repaired_one_thing_at_a_time_and_then_together(text: str, value: Any, names: str) -> None:
    assert mended(text) == (value, names)


def test_what_is_read_without_a_repair_is_not_repaired() -> None:
    assert mended('{"a": "True,]"}') == ({"a": "True,]"}, "")


@pytest.mark.parametrize(
    "text", ['{"a": "b}', '{"a": 1 "b": 2}', "{'a': 1}", '{"a": [1, 2}', '{"a": }', '{"a": "b" c"}']
)
def test_nothing_is_invented(text: str) -> None:
    with pytest.raises(JSONTextError) as caught:
        mended(text)
    assert caught.value.problem == "syntax"
    assert caught.value.tried == tuple(REPAIRS)


def test_a_repair_does_not_let_a_duplicate_pass() -> None:
    with pytest.raises(JSONTextError) as caught:
        mended('{"a": 1, “a”: 2}')
    assert caught.value.problem == "duplicate"


def test_a_repaired_answer_says_so() -> None:
    assert find('{"summary": "s", "files": [],}', SOUGHT).method == "direct+commas"
    assert find('```json\n{"summary": "a\nb", "files": [],}\n```', SOUGHT).method == "fence+control+commas"
    with pytest.raises(JSONTextError):
        find('{"summary": "s", "files": [],}', SOUGHT, repair=False)


@settings(max_examples=100)
@given(values)
def test_no_repair_changes_json_that_is_right(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert list(repairs(text)) == []


# ---------------------------------------------------------------- what is complete


@settings(max_examples=120)
@given(answers, st.data())
def test_what_is_saved_of_a_cut_answer_is_the_beginning_of_it(value: dict, data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = data.draw(st.integers(0, len(text)))
    found = salvage(text[:cut])
    assert all(value[name] == member for name, member in found.members.items())
    assert found.entries == value["files"][: len(found.entries)]
    assert text[:cut].endswith(found.rest)


def test_only_what_something_follows_counts_as_complete() -> None:
    text = '{"summary": "s", "n": 12, "files": [{"path": "a"}, {"path": "b"}'
    found = salvage(text)
    assert (found.members, found.name, found.entries) == ({"summary": "s", "n": 12}, "files", [{"path": "a"}])
    assert found.rest == '{"path": "b"}'
    assert salvage(text + ",").entries == [{"path": "a"}, {"path": "b"}]
    assert salvage('{"n": 12').members == {}
    assert salvage('[{"path": "a"}, {"pa').entries == [{"path": "a"}]
    assert salvage('{"a": 1, "a": 2, "b').members == {"a": 1}
    assert salvage('{"f": [{"a": "x"}")"}, 2').entries == []


def test_extents_are_counted_outside_of_strings() -> None:
    assert extent('{"a": "}"} x', 0) == (10, "closed")
    assert extent('{"a": "}', 0) == (8, "open")
    assert extent('{"a": [}', 0) == (7, "ragged")
    assert [piece.text for piece in pieces('a {"b": 1} [{"c": "]"}] {d}', SOUGHT.resembles)] == [
        '{"b": 1}',
        '[{"c": "]"}]',
    ]
